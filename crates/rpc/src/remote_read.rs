//! Prometheus remote read: the request, the sampled answer, and the frames of the streamed one.
//!
//! Source: Prometheus `prompb/remote.proto`, `storage/remote/chunked.go`.

use norn_model::labels::LabelsRef;
use norn_model::matcher::{MatchOp, Matcher};
use norn_model::sample::Sample;
use norn_model::write::HistogramSample;

use crate::remote_write::encode::{put_histogram, put_labels, put_sample};
use crate::wire::{self, Reader, WireError};

/// The media type of a streamed answer.
pub const STREAMED_CONTENT_TYPE: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";

/// How large a message within a frame may become.
pub const FRAME_BYTES_MAX: usize = 1 << 20;

/// A request that cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum ReadRequestError {
    /// Not a message, or not this one.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// A kind of matcher that does not exist.
    #[error("invalid matcher type: {0}")]
    MatcherType(u32),
    /// A pattern that is no regular expression.
    #[error("invalid matcher {name:?}: {source}")]
    Pattern {
        /// The label.
        name: String,
        /// Why.
        source: norn_gotext::regex::RegexError,
    },
    /// The client takes none of the answers that norn has.
    #[error("server does not support any of the requested response types: {0:?}")]
    NoResponseType(Vec<u32>),
}

/// How the client wants its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseType {
    /// All samples in one message.
    Samples,
    /// Encoded chunks, frame by frame.
    StreamedXorChunks,
}

/// `prometheus.ReadRequest`.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadRequest {
    /// What is asked.
    pub queries: Vec<ReadQuery>,
    /// The first of the client's preferences that norn has.
    pub response_type: ResponseType,
}

/// One of the questions of a request.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ReadQuery {
    /// Milliseconds since the Unix epoch.
    pub start_ms: i64,
    /// Milliseconds since the Unix epoch, inclusive.
    pub end_ms: i64,
    /// Which series.
    pub matchers: Vec<Matcher>,
}

/// Decodes an uncompressed request.
pub fn decode_request(body: &[u8]) -> Result<ReadRequest, ReadRequestError> {
    let mut queries = Vec::new();
    let mut accepted = Vec::new();
    let mut reader = Reader::new(body);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => queries.push(decode_query(field.bytes()?)?),
            2 => field.extend_varints(&mut accepted, |number| number as u32)?,
            _ => {}
        }
    }
    let response_type = match accepted.iter().find(|number| **number <= 1) {
        Some(1) => ResponseType::StreamedXorChunks,
        Some(_) => ResponseType::Samples,
        None if accepted.is_empty() => ResponseType::Samples,
        None => return Err(ReadRequestError::NoResponseType(accepted)),
    };
    Ok(ReadRequest { queries, response_type })
}

fn decode_query(message: &[u8]) -> Result<ReadQuery, ReadRequestError> {
    let mut query = ReadQuery::default();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => query.start_ms = field.int64()?,
            2 => query.end_ms = field.int64()?,
            3 => query.matchers.push(decode_matcher(field.bytes()?)?),
            _ => {}
        }
    }
    Ok(query)
}

fn decode_matcher(message: &[u8]) -> Result<Matcher, ReadRequestError> {
    let (mut op, mut name, mut value) = (MatchOp::Equal, "", "");
    let mut reader = Reader::new(message);
    while let Some(field) = reader.next_field()? {
        match field.number {
            1 => {
                op = match field.uint32()? {
                    0 => MatchOp::Equal,
                    1 => MatchOp::NotEqual,
                    2 => MatchOp::Regex,
                    3 => MatchOp::NotRegex,
                    other => return Err(ReadRequestError::MatcherType(other)),
                }
            }
            2 => name = field.text()?,
            3 => value = field.text()?,
            _ => {}
        }
    }
    Matcher::new(op, name, value).map_err(|source| ReadRequestError::Pattern { name: name.to_owned(), source })
}

/// Builds a `prometheus.ReadResponse`, query by query, series by series.
#[derive(Debug, Default)]
pub struct SampledResponse {
    body: Vec<u8>,
    result: Vec<u8>,
}

impl SampledResponse {
    /// Adds a series to the query at hand.
    pub fn series(&mut self, labels: LabelsRef<'_>, samples: &[Sample], histograms: &[HistogramSample]) {
        wire::put_message(&mut self.result, 1, |message| {
            put_labels(message, 1, labels);
            for sample in samples {
                wire::put_message(message, 2, |message| put_sample(message, *sample));
            }
            for histogram in histograms {
                wire::put_message(message, 4, |message| put_histogram(message, histogram));
            }
        });
    }

    /// Ends the query at hand; each query of the request has a result, perhaps an empty one.
    pub fn end_query(&mut self) {
        wire::put_bytes(&mut self.body, 1, &self.result);
        self.result.clear();
    }

    /// The uncompressed message.
    pub fn finish(self) -> Vec<u8> {
        self.body
    }
}

/// How a chunk of a streamed answer is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ChunkEncoding {
    /// Floats.
    Xor = 1,
    /// Histograms with integer counts.
    Histogram = 2,
    /// Histograms with float counts.
    FloatHistogram = 3,
}

/// A chunk of a streamed answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadChunk<'a> {
    /// Time of its first sample, in milliseconds since the Unix epoch.
    pub min_time_ms: i64,
    /// Time of its last sample, in milliseconds since the Unix epoch.
    pub max_time_ms: i64,
    /// How `data` is encoded.
    pub encoding: ChunkEncoding,
    /// The encoded samples.
    pub data: &'a [u8],
}

/// Appends the frames of one series: its chunks in order, as many to a frame as [`FRAME_BYTES_MAX`] allows.
///
/// A frame is the length of its message as a varint, the CRC-32C of the message in big endian, and the message.
/// `checksum` computes that CRC.
pub fn put_series_frames(
    into: &mut Vec<u8>,
    query_index: usize,
    labels: LabelsRef<'_>,
    chunks: &[ReadChunk<'_>],
    checksum: impl Fn(&[u8]) -> u32,
) {
    let mut head = Vec::new();
    put_labels(&mut head, 1, labels);
    let mut series = head.clone();
    for chunk in chunks {
        let mut message = Vec::with_capacity(chunk.data.len() + 32);
        wire::put_uint(&mut message, 1, chunk.min_time_ms.cast_unsigned());
        wire::put_uint(&mut message, 2, chunk.max_time_ms.cast_unsigned());
        wire::put_uint(&mut message, 3, chunk.encoding as u64);
        wire::put_bytes(&mut message, 4, chunk.data);
        // Room for the tags and lengths around the message.
        if series.len() > head.len() && series.len() + message.len() + 32 > FRAME_BYTES_MAX {
            put_frame(into, query_index, &series, &checksum);
            series.truncate(head.len());
        }
        wire::put_bytes(&mut series, 2, &message);
    }
    put_frame(into, query_index, &series, &checksum);
}

fn put_frame(into: &mut Vec<u8>, query_index: usize, series: &[u8], checksum: impl Fn(&[u8]) -> u32) {
    let mut message = Vec::with_capacity(series.len() + 16);
    wire::put_bytes(&mut message, 1, series);
    wire::put_uint(&mut message, 2, query_index as u64);
    wire::put_varint(into, message.len() as u64);
    into.extend_from_slice(&checksum(&message).to_be_bytes());
    into.extend_from_slice(&message);
}

#[cfg(test)]
mod tests;
