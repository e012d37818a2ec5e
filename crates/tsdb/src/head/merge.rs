//! Chunks of one series that overlap, as one run of samples.

use std::sync::Arc;

use norn_model::histogram::ResetHint;
use norn_model::select::{SeriesBatch, TimeRange};
use norn_model::{FloatHistogram, Labels};

use super::open_chunk::HeadChunk;
use crate::chunk::{ChunkError, decode_into};

/// Scratch space for merging.
#[derive(Default)]
pub(crate) struct ChunkMerge {
    decoded: SeriesBatch,
    samples: Vec<(i64, usize, Point)>,
}

enum Point {
    Float(f64),
    Histogram(Arc<FloatHistogram>),
}

impl ChunkMerge {
    /// Appends the samples of chunks in any order to the last series of a batch. Of several samples of one time that of
    /// the first chunk counts. `range_of` says what is wanted of the chunk with an index.
    pub(crate) fn append(
        &mut self,
        chunks: &[HeadChunk],
        range_of: impl Fn(usize) -> TimeRange,
        batch: &mut SeriesBatch,
    ) -> Result<(), ChunkError> {
        let Self { decoded, samples } = self;
        samples.clear();
        for (priority, chunk) in chunks.iter().enumerate() {
            decoded.clear();
            decoded.push_series(Labels::empty(), 0);
            decode_into(chunk.encoding, &chunk.data, range_of(priority), decoded)?;
            let series = decoded.series(0);
            let floats = series.timestamps_ms.iter().zip(series.values);
            samples.extend(floats.map(|(timestamp_ms, value)| (*timestamp_ms, priority, Point::Float(*value))));
            for point in series.histograms {
                samples.push((point.timestamp_ms, priority, Point::Histogram(point.histogram.clone())));
            }
        }
        samples.sort_by_key(|sample| (sample.0, sample.1));
        samples.dedup_by_key(|sample| sample.0);
        for (timestamp_ms, _, point) in samples.drain(..) {
            match point {
                Point::Float(value) => batch.push_float(timestamp_ms, value),
                Point::Histogram(mut histogram) => {
                    // What a chunk knows about resets holds between its own samples, not among merged ones.
                    if histogram.reset_hint != ResetHint::Gauge {
                        Arc::make_mut(&mut histogram).reset_hint = ResetHint::Unknown;
                    }
                    batch.push_histogram(timestamp_ms, histogram);
                }
            }
        }
        Ok(())
    }
}
