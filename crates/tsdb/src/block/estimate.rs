//! How much a block would answer, found out from its index and from what it says of itself.
//!
//! An index knows when a chunk starts and ends, and not how many samples or bytes it has: a chunk is taken to be as
//! large as the block's chunks are on average.

use norn_base::Result;
use norn_model::estimate::{SeriesCount, SeriesEstimate, extrapolate, samples_within};
use norn_model::select::{SeriesRequest, TimeRange};

use super::file::FileError;
use super::reader::BlockReader;
use crate::index::SeriesEntry;
use crate::index::matching::{MatchingSeries, fulfils};

/// What a chunk has in a block that does not say how much it holds.
const USUAL_CHUNK: Chunk = Chunk { samples: 120, bytes: 180 };

/// The average of a block's chunks.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    samples: u64,
    bytes: u64,
}

impl SeriesEstimate for BlockReader {
    fn estimate(&self, request: &SeriesRequest) -> Result<SeriesCount> {
        if !self.range().overlaps(request.range) {
            return Ok(SeriesCount::default());
        }
        let (found, put_off) = MatchingSeries::run(self.index(), &request.matchers)?.into_found();
        let chunk = self.average_chunk();
        let mut entry = SeriesEntry::default();
        let count = extrapolate(&found, |id| {
            self.index().series(id, &mut entry)?;
            if !put_off.is_empty() && !fulfils(&put_off, self.index().labels(&entry)?.as_ref()) {
                return Ok::<_, FileError>(SeriesCount::default());
            }
            Ok(count_chunks(&entry, chunk, request.range))
        })?;
        Ok(count)
    }
}

impl BlockReader {
    fn average_chunk(&self) -> Chunk {
        let stats = self.meta().stats;
        if stats.num_chunks == 0 || stats.num_samples == 0 {
            return USUAL_CHUNK;
        }
        let samples = (stats.num_samples + stats.num_chunks / 2) / stats.num_chunks;
        Chunk { samples, bytes: self.segments().bytes() / stats.num_chunks }
    }
}

fn count_chunks(entry: &SeriesEntry, chunk: Chunk, range: TimeRange) -> SeriesCount {
    let mut count = SeriesCount::default();
    for held in entry.chunks.iter().map(|chunk| chunk.range) {
        let samples = samples_within(chunk.samples, held, range);
        if samples > 0 {
            count = count.beside(SeriesCount { series: 1, samples, bytes: chunk.bytes });
        }
    }
    count
}
