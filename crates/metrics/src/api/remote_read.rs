//! Remote read: another Prometheus asks for raw samples.
//!
//! Samples come either in one message, or in frames of chunks, series by series, so that neither side holds the whole
//! answer. Chunks are encoded anew from the merged samples: those of ingesters and blocks may overlap.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use norn_base::{Error, ErrorKind, Result};
use norn_model::sample::Sample;
use norn_model::select::{SeriesBatch, SeriesOrder, SeriesRequest, SeriesStore, SeriesView, TimeRange};
use norn_model::write::{HistogramSample, WriteHistogram};
use norn_model::{FloatHistogram, Labels};
use norn_rpc::remote_read::{
    ChunkEncoding, ReadChunk, ReadQuery, ResponseType, STREAMED_CONTENT_TYPE, SampledResponse, decode_request,
    put_series_frames,
};
use norn_rpc::snappy;
use norn_server::tenant::Tenants;
use norn_tsdb::chunk::{HistogramAppender, XorAppender};

use super::ApiState;
use super::envelope::ApiResult;
use crate::concurrency::{all_or_first_error, at_most};

/// The most bytes of a decoded request: matchers of a few queries.
const REQUEST_BYTES_MAX: usize = 32 << 20;

/// Samples of one chunk, as many as Prometheus puts in.
const CHUNK_SAMPLES: usize = 120;

/// `POST /api/v1/read`
pub async fn read(State(frontend): State<ApiState>, tenants: Tenants, body: Bytes) -> ApiResult {
    let mut message = Vec::new();
    snappy::decode(&body, &mut message, REQUEST_BYTES_MAX).map_err(|error| Error::bad_request(error.to_string()))?;
    let request = decode_request(&message).map_err(|error| Error::bad_request(error.to_string()))?;
    let store = frontend.querier().store_for(frontend.scope(&tenants)?);
    let at_once = frontend.settings().remote_reads_at_once;
    Ok(match request.response_type {
        ResponseType::Samples => sampled(&*store, &request.queries, at_once).await?,
        ResponseType::StreamedXorChunks => streamed(&*store, &request.queries, at_once).await?,
    })
}

async fn sampled(store: &dyn SeriesStore, queries: &[ReadQuery], at_once: usize) -> Result<Response> {
    let read = |query: &ReadQuery| {
        let query = query.clone();
        async move {
            let mut series = Vec::new();
            for_each_series(store, &query, |view| series.push(OwnedSeries::from(view))).await?;
            // Clients expect the series of an answer in the order of their labels.
            series.sort_by(|left, right| left.labels.cmp(&right.labels));
            Ok::<_, Error>(series)
        }
    };
    let mut answer = SampledResponse::default();
    for series in all_or_first_error(at_most(at_once, queries, read).await)? {
        for owned in series {
            answer.series(owned.labels.as_ref(), &owned.samples, &owned.histograms);
        }
        answer.end_query();
    }
    let mut response = Response::new(snappy::encode(&answer.finish()).into());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    Ok(response)
}

struct OwnedSeries {
    labels: Labels,
    samples: Vec<Sample>,
    histograms: Vec<HistogramSample>,
}

impl From<SeriesView<'_>> for OwnedSeries {
    fn from(view: SeriesView<'_>) -> Self {
        let samples = view.timestamps_ms.iter().zip(view.values);
        let histograms = view.histograms.iter().map(|point| HistogramSample {
            timestamp_ms: point.timestamp_ms,
            histogram: WriteHistogram::Float((*point.histogram).clone()),
        });
        Self {
            labels: view.labels.clone(),
            samples: samples
                .map(|(timestamp_ms, value)| Sample { timestamp_ms: *timestamp_ms, value: *value })
                .collect(),
            histograms: histograms.collect(),
        }
    }
}

async fn streamed(store: &dyn SeriesStore, queries: &[ReadQuery], at_once: usize) -> Result<Response> {
    let read = |query: &ReadQuery| {
        let query = query.clone();
        async move {
            let mut series = Vec::new();
            for_each_series(store, &query, |view| series.push((view.labels.clone(), encode_chunks(&view)))).await?;
            series.sort_by(|left, right| left.0.cmp(&right.0));
            Ok::<_, Error>(series)
        }
    };
    let mut frames = Vec::new();
    for (index, series) in all_or_first_error(at_most(at_once, queries, read).await)?.into_iter().enumerate() {
        for (labels, chunks) in series {
            let views: Vec<_> = chunks.iter().map(EncodedChunk::view).collect();
            put_series_frames(&mut frames, index, labels.as_ref(), &views, checksum);
        }
    }
    let mut response = Response::new(frames.into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(STREAMED_CONTENT_TYPE));
    Ok(response)
}

fn checksum(message: &[u8]) -> u32 {
    let checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, message);
    u32::try_from(checksum).expect("a CRC-32C has 32 bits")
}

async fn for_each_series(
    store: &dyn SeriesStore,
    query: &ReadQuery,
    mut take: impl FnMut(SeriesView<'_>) + Send,
) -> Result<()> {
    if query.end_ms < query.start_ms {
        let text = "the end of a query lies before its start; exchange start_timestamp_ms and end_timestamp_ms";
        return Err(Error::new(ErrorKind::BadRequest, text));
    }
    let range = TimeRange { start_ms: query.start_ms, end_ms: query.end_ms };
    let mut request = SeriesRequest::new(query.matchers.clone(), range);
    request.order = SeriesOrder::Any;
    let mut source = store.select(request);
    let mut batch = SeriesBatch::default();
    while std::future::poll_fn(|context| source.poll_batch(context, &mut batch)).await? {
        batch.iter().for_each(&mut take);
    }
    Ok(())
}

struct EncodedChunk {
    min_time_ms: i64,
    max_time_ms: i64,
    encoding: ChunkEncoding,
    data: Vec<u8>,
}

impl EncodedChunk {
    fn view(&self) -> ReadChunk<'_> {
        let Self { min_time_ms, max_time_ms, encoding, data } = self;
        ReadChunk { min_time_ms: *min_time_ms, max_time_ms: *max_time_ms, encoding: *encoding, data }
    }
}

/// Encodes a series' samples; chunks ascend by their first sample.
fn encode_chunks(view: &SeriesView<'_>) -> Vec<EncodedChunk> {
    let mut chunks = Vec::new();
    for (times, values) in view.timestamps_ms.chunks(CHUNK_SAMPLES).zip(view.values.chunks(CHUNK_SAMPLES)) {
        let mut appender = XorAppender::new();
        times.iter().zip(values).for_each(|(timestamp_ms, value)| appender.append(*timestamp_ms, *value));
        chunks.push(EncodedChunk {
            min_time_ms: times[0],
            max_time_ms: times[times.len() - 1],
            encoding: ChunkEncoding::Xor,
            data: appender.into_bytes(),
        });
    }
    for points in view.histograms.chunks(CHUNK_SAMPLES) {
        let mut appender = HistogramAppender::<FloatHistogram>::new();
        let mut first_ms = points[0].timestamp_ms;
        let mut last_ms = first_ms;
        let mut finish = |first_ms, last_ms, data| {
            let encoding = ChunkEncoding::FloatHistogram;
            chunks.push(EncodedChunk { min_time_ms: first_ms, max_time_ms: last_ms, encoding, data });
        };
        for point in points {
            // Where a histogram does not fit the layout of the chunk, the appender hands the finished chunk out.
            if let Some(finished) = appender.append(point.timestamp_ms, &Arc::clone(&point.histogram)) {
                finish(first_ms, last_ms, finished);
                first_ms = point.timestamp_ms;
            }
            last_ms = point.timestamp_ms;
        }
        finish(first_ms, last_ms, appender.into_bytes());
    }
    chunks.sort_by_key(|chunk| chunk.min_time_ms);
    chunks
}
