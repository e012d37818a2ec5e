//! Calls with one message each way whose messages norn reads and writes itself.
//!
//! Such a call is an HTTP/2 request whose body is five bytes and a message, so it is received like every other body:
//! within the memory budget of all bodies, decompressed on the pool for computing, and decoded where it lies.
//! Rejected: a codec of tonic's, which takes what the five bytes claim from the allocator, decompresses on the threads
//! that move bytes, and calls a message that is too large `OutOfRange`, which OpenTelemetry's clients send again.
//!
//! Source: gRPC, `doc/PROTOCOL-HTTP2.md` and `doc/compression.md`.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body_util::{BodyExt, Full};
use norn_base::{Error, ErrorKind};

use crate::body::{BodyError, BodyLimits, BodyReader, Encoding};
use crate::errors::FailureChain;
use crate::errors::grpc::to_status;

/// One byte that says whether the message is compressed, and its length in four.
const FRAME_HEADER_BYTES: usize = 5;

const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// How messages may be compressed, in the words of the protocol.
const ACCEPTED: &str = "identity,gzip,zstd";

/// Why there is no message.
#[derive(Debug, thiserror::Error)]
pub enum UnaryError {
    /// The body was not received, or not decompressed.
    #[error(transparent)]
    Body(#[from] BodyError),
    /// `grpc-encoding` names what norn does not read.
    #[error("grpc-encoding {name:?} is not supported, expected one of {ACCEPTED}")]
    UnsupportedEncoding {
        /// What the client wrote.
        name: String,
    },
    /// The body is not exactly one message.
    #[error("the body of the call is not one message: {reason}")]
    NotOneMessage {
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl From<UnaryError> for Error {
    fn from(error: UnaryError) -> Self {
        match error {
            UnaryError::Body(error) => error.into(),
            UnaryError::UnsupportedEncoding { .. } => Self::new(ErrorKind::Unimplemented, error.to_string()),
            UnaryError::NotOneMessage { .. } => Self::bad_request(error.to_string()),
        }
    }
}

/// Receives the message of a call, decompressed. `bytes_max` holds for the message on the wire and decompressed.
pub async fn receive(
    bodies: &BodyReader,
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
) -> Result<Bytes, UnaryError> {
    let encoding = encoding(headers)?;
    let limits = BodyLimits::both(bytes_max.saturating_add(FRAME_HEADER_BYTES));
    let frame =
        bodies.read_as(Encoding::Identity, body, limits).await.map_err(|error| without_frame(error, bytes_max))?;
    let (is_compressed, message) = split_frame(&frame)?;
    if !is_compressed {
        return Ok(message);
    }
    if encoding == Encoding::Identity {
        return Err(UnaryError::NotOneMessage { reason: "it is compressed, and no grpc-encoding says how" });
    }
    Ok(bodies.read_as(encoding, Body::from(message), BodyLimits::both(bytes_max)).await?)
}

/// Whether the message is compressed, and the message.
fn split_frame(frame: &Bytes) -> Result<(bool, Bytes), UnaryError> {
    let not_one = |reason| Err(UnaryError::NotOneMessage { reason });
    let Some((header, rest)) = frame.split_first_chunk::<FRAME_HEADER_BYTES>() else {
        return not_one("it ends within the five bytes before the message");
    };
    let [flag, length @ ..] = *header;
    let is_compressed = match flag {
        0 => false,
        1 => true,
        _ => return not_one("its first byte is neither 0 nor 1"),
    };
    if usize::try_from(u32::from_be_bytes(length)) != Ok(rest.len()) {
        return not_one("its length is not the one that it claims");
    }
    Ok((is_compressed, frame.slice(FRAME_HEADER_BYTES..)))
}

fn encoding(headers: &HeaderMap) -> Result<Encoding, UnaryError> {
    let name = headers.get(GRPC_ENCODING).map_or(&b""[..], |value| value.as_bytes());
    match name {
        b"" | b"identity" => Ok(Encoding::Identity),
        b"gzip" => Ok(Encoding::Gzip),
        b"zstd" => Ok(Encoding::Zstd),
        other => Err(UnaryError::UnsupportedEncoding { name: String::from_utf8_lossy(other).into_owned() }),
    }
}

/// A client knows the size of its message, not that of the frame around it.
fn without_frame(error: BodyError, bytes_max: usize) -> BodyError {
    match error {
        BodyError::TooLarge { size_bytes, decompressed, .. } => {
            let size_bytes = size_bytes.map(|size| size.saturating_sub(FRAME_HEADER_BYTES as u64));
            BodyError::TooLarge { size_bytes, limit_bytes: bytes_max, decompressed }
        }
        other => other,
    }
}

/// The answer of a call that succeeded. The message stays as it is: answers of such calls are short.
pub fn reply(message: &[u8]) -> Response {
    let Ok(length) = u32::try_from(message.len()) else {
        return failure(&Error::internal("the answer of the call is longer than a message may be"));
    };
    let mut frame = Vec::with_capacity(FRAME_HEADER_BYTES + message.len());
    frame.push(0);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(message);
    let trailers = HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static("0"))]);
    let body = Full::new(Bytes::from(frame)).with_trailers(std::future::ready(Some(Ok(trailers))));
    let mut response = Body::new(body).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response.headers_mut().insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED));
    response
}

/// The answer of a call that failed.
pub fn failure(error: &Error) -> Response {
    let mut response: Response = to_status(error).into_http();
    response.headers_mut().insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED));
    response.extensions_mut().insert(FailureChain(error.chain().into()));
    response
}

#[cfg(test)]
mod tests {
    use norn_base::memory::MemoryBudget;
    use norn_base::pool::ComputePool;

    use super::*;

    fn frame(flag: u8, claimed: usize, message: &[u8]) -> Vec<u8> {
        let claimed = u32::try_from(claimed).unwrap().to_be_bytes();
        [&[flag][..], &claimed, message].concat()
    }

    async fn received(encoding: &str, frame: Vec<u8>) -> Result<Vec<u8>, String> {
        let bodies = BodyReader::new(MemoryBudget::new("test", 1 << 20), ComputePool::start(1, 10).unwrap());
        let mut headers = HeaderMap::new();
        if !encoding.is_empty() {
            headers.insert(GRPC_ENCODING, encoding.parse().unwrap());
        }
        let message = receive(&bodies, &headers, Body::from(frame), 100).await;
        message.map(|message| message.to_vec()).map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn messages_are_taken_out_of_their_frames() {
        let zeroes = zstd::encode_all(&[0; 100][..], 0).unwrap();
        assert_eq!(received("", frame(0, 3, b"abc")).await.unwrap(), b"abc");
        assert_eq!(received("zstd", frame(0, 3, b"abc")).await.unwrap(), b"abc");
        assert_eq!(received("zstd", frame(1, zeroes.len(), &zeroes)).await.unwrap(), [0; 100]);
        assert_eq!(received("", frame(0, 100, &[1; 100])).await.unwrap(), [1; 100]);
    }

    #[tokio::test]
    async fn what_is_not_one_message_is_refused() {
        async fn check(encoding: &str, frame: Vec<u8>, expected: &str) {
            let message = received(encoding, frame).await.unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
        let zeroes = zstd::encode_all(&[0; 101][..], 0).unwrap();
        check("", b"\0\0".to_vec(), "ends within the five bytes").await;
        check("", frame(2, 0, b""), "neither 0 nor 1").await;
        check("", frame(0, 4, b"abc"), "not the one that it claims").await;
        check("", frame(0, usize::try_from(u32::MAX).unwrap(), b"abc"), "not the one that it claims").await;
        check("", frame(1, 3, b"abc"), "no grpc-encoding").await;
        check("snappy", frame(1, 3, b"abc"), "\"snappy\" is not supported").await;
        check("gzip", frame(1, 3, b"abc"), "decompress gzip").await;
        check("zstd", frame(1, zeroes.len(), &zeroes), "100 bytes").await;
        check("", frame(0, 101, &[1; 101]), "of 101 bytes is larger than the allowed 100 bytes").await;
    }

    #[tokio::test]
    async fn an_answer_ends_with_its_status() {
        let collected = reply(b"abc").into_body().collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
        assert_eq!(collected.to_bytes(), frame(0, 3, b"abc"));
        let failed = failure(&Error::unavailable("later"));
        assert_eq!(failed.headers()["grpc-status"], "14");
    }
}
