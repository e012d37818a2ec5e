//! Where the series of a request come from: everything that can show them to a visitor.

use norn_model::write::WriteBatch;
use norn_rpc::remote_write::{DecodeError, DecodedExemplar, DecodedMetadata, DecodedSeries, WriteVisitor, v1, v2};

/// A request whose series can be shown, more than once and always alike.
pub(super) trait Source {
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
        for series in self.iter() {
            let mut decoded = DecodedSeries {
                labels: series.labels.iter().collect(),
                samples: series.samples.to_vec(),
                histograms: series.histograms.to_vec(),
                created_ms: series.created_ms,
                ..DecodedSeries::default()
            };
            for exemplar in series.exemplars {
                let start = decoded.exemplar_labels.len();
                let pairs = exemplar.labels.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
                decoded.exemplar_labels.extend(pairs);
                let labels = start..decoded.exemplar_labels.len();
                let (timestamp_ms, value) = (exemplar.timestamp_ms, exemplar.value);
                decoded.exemplars.push(DecodedExemplar { timestamp_ms, value, labels });
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
