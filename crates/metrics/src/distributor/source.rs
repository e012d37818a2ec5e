//! Where the series of a request come from: everything that can show them to a visitor.

use norn_model::write::WriteBatch;
use norn_rpc::remote_write::{DecodeError, DecodedMetadata, DecodedSeries, WriteVisitor, v1, v2};

/// A request whose series can be shown, more than once and always alike.
pub(crate) trait Source {
    /// Shows all parts to `visitor`, until it has seen enough.
    fn show<'a>(&'a self, visitor: &mut impl WriteVisitor<'a>) -> Result<(), DecodeError>;
}

/// The versions of remote write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// `prometheus.WriteRequest`
    V1,
    /// `io.prometheus.write.v2.Request`
    V2,
}

/// The decompressed body of a remote write request.
pub(super) struct Body<'b> {
    pub(super) version: Version,
    pub(super) bytes: &'b [u8],
}

impl Source for Body<'_> {
    fn show<'a>(&'a self, visitor: &mut impl WriteVisitor<'a>) -> Result<(), DecodeError> {
        match self.version {
            Version::V1 => v1::decode(self.bytes, visitor),
            Version::V2 => v2::decode(self.bytes, visitor),
        }
    }
}

impl Source for WriteBatch {
    fn show<'a>(&'a self, visitor: &mut impl WriteVisitor<'a>) -> Result<(), DecodeError> {
        let mut decoded = DecodedSeries::default();
        for series in self.iter() {
            decoded.clear();
            decoded.labels.extend(series.labels.iter());
            decoded.samples.extend_from_slice(series.samples);
            decoded.histograms.extend_from_slice(series.histograms);
            decoded.created_ms = series.created_ms;
            for exemplar in series.exemplars {
                decoded.push_exemplar(exemplar.timestamp_ms, exemplar.value, exemplar.labels.iter());
            }
            if visitor.series(&mut decoded).is_break() {
                return Ok(());
            }
        }
        for metadata in &self.metadata {
            visitor.metadata(DecodedMetadata {
                family: &metadata.family,
                metric_type: metadata.metric_type,
                help: &metadata.help,
                unit: &metadata.unit,
            });
        }
        Ok(())
    }
}
