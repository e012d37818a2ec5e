//! Request bodies: received, limited, decompressed.
//!
//! A body is untrusted twice: by the length it claims and by the length it unpacks to. Both are checked before memory
//! is taken, and all memory is drawn from one budget, so that many bodies at a time cannot take the process down: the
//! client that comes too late is told to retry.
//!
//! Decompressing less than half a mebibyte is done where the request is handled; a larger body goes to the
//! pool for computing, so that it holds up no other connection.

mod buffer;
mod decode;

use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use norn_base::memory::{BudgetExceeded, MemoryBudget};
use norn_base::pool::ComputePool;
use norn_base::{Error, ErrorKind};

use self::buffer::{Buffer, Buffers};
pub use self::decode::Encoding;

/// What may be decompressed on a thread that also moves bytes: about half a millisecond of work.
const INLINE_BYTES_MAX: usize = 512 << 10;

/// How large a body may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimits {
    /// On the wire.
    pub compressed_bytes_max: usize,
    /// Decompressed.
    pub decompressed_bytes_max: usize,
}

impl BodyLimits {
    /// One limit for both.
    pub fn both(bytes_max: usize) -> Self {
        Self { compressed_bytes_max: bytes_max, decompressed_bytes_max: bytes_max }
    }
}

/// Why there is no body. Becomes an [`Error`] as it is, or with words of the API that reads it.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Larger than its limit.
    #[error("the request body{} is larger than the allowed {limit_bytes} bytes", describe(*size_bytes, *decompressed))]
    TooLarge {
        /// Where it is known.
        size_bytes: Option<u64>,
        /// What is allowed.
        limit_bytes: usize,
        /// Whether it is the decompressed size that is too large.
        decompressed: bool,
    },
    /// Not what `Content-Encoding` says.
    #[error("decompress {}: {reason}", encoding.name())]
    Corrupt {
        /// How it should have been compressed.
        encoding: Encoding,
        /// What is wrong, in the words of the decoder.
        reason: String,
    },
    /// An encoding that norn does not read.
    #[error("unsupported content encoding {name:?}, expected one of {}", decode::ENCODING_NAMES)]
    UnsupportedEncoding {
        /// What the client wrote.
        name: String,
    },
    /// All bodies together need more memory than they may have.
    #[error("too many request bodies are being received, retry later")]
    NoMemory(#[from] BudgetExceeded),
    /// The pool for computing takes no more work.
    #[error("{0}")]
    Busy(Error),
    /// The client was too slow.
    #[error("the request body did not arrive in time")]
    TooSlow,
    /// The connection broke.
    #[error("failed to read the request body")]
    Broken(#[source] axum::Error),
}

fn describe(size_bytes: Option<u64>, decompressed: bool) -> String {
    let suffix = if decompressed { " (uncompressed)" } else { "" };
    size_bytes.map_or_else(|| suffix.to_owned(), |size| format!(" of {size} bytes{suffix}"))
}

impl From<BodyError> for Error {
    fn from(error: BodyError) -> Self {
        let message = error.to_string();
        match error {
            BodyError::TooLarge { .. } => Self::new(ErrorKind::TooLarge, message),
            BodyError::Corrupt { .. } => Self::bad_request(message),
            BodyError::UnsupportedEncoding { .. } => Self::bad_request(message).with_http_status(415),
            BodyError::NoMemory(source) => Self::unavailable(message).with_source(source),
            BodyError::Busy(error) => error,
            BodyError::TooSlow => Self::new(ErrorKind::Timeout, message).with_http_status(408),
            BodyError::Broken(source) => Self::new(ErrorKind::Canceled, message).with_source(source),
        }
    }
}

/// Reads bodies. One per process: its buffers and its budget are shared by all routes.
#[derive(Debug, Clone)]
pub struct BodyReader {
    buffers: Arc<Buffers>,
    pool: ComputePool,
}

impl BodyReader {
    /// Bodies draw from `budget`; large ones are decompressed on `pool`.
    pub fn new(budget: Arc<MemoryBudget>, pool: ComputePool) -> Self {
        Self { buffers: Buffers::new(budget), pool }
    }

    /// Where large bodies are decompressed, and what is in them may be decoded.
    pub fn pool(&self) -> &ComputePool {
        &self.pool
    }

    /// Receives a body and decompresses it as `Content-Encoding` says.
    ///
    /// The memory is given back when the last clone of the result, or of a part of it, is dropped.
    pub async fn read(&self, headers: &HeaderMap, body: Body, limits: BodyLimits) -> Result<Bytes, BodyError> {
        let name = headers.get(header::CONTENT_ENCODING).map_or(&b""[..], |value| value.as_bytes());
        let name = String::from_utf8_lossy(name);
        let encoding = Encoding::parse(name.trim())
            .ok_or_else(|| BodyError::UnsupportedEncoding { name: name.trim().to_owned() })?;
        self.read_as(encoding, body, limits).await
    }

    /// Receives a body and decompresses it, whatever its headers say.
    pub async fn read_as(&self, encoding: Encoding, body: Body, limits: BodyLimits) -> Result<Bytes, BodyError> {
        let received = self.receive(body, limits.compressed_bytes_max).await?;
        let limit_bytes = limits.decompressed_bytes_max;
        if encoding == Encoding::Identity {
            let size = received.as_ref().len();
            if size > limit_bytes {
                return Err(BodyError::TooLarge { size_bytes: Some(size as u64), limit_bytes, decompressed: false });
            }
            return Ok(received.into_bytes());
        }
        let mut output = self.buffers.take();
        if encoding.estimate(received.as_ref()) <= INLINE_BYTES_MAX {
            decode::decode(encoding, received.as_ref(), limit_bytes, &mut output)?;
            return Ok(output.into_bytes());
        }
        let work = self.pool.compute(move || {
            decode::decode(encoding, received.as_ref(), limit_bytes, &mut output)?;
            Ok(output.into_bytes())
        });
        work.await.map_err(BodyError::Busy)?
    }

    async fn receive(&self, mut body: Body, limit_bytes: usize) -> Result<Buffer, BodyError> {
        let too_large = |size_bytes| BodyError::TooLarge { size_bytes, limit_bytes, decompressed: false };
        let claimed = http_body::Body::size_hint(&body).lower();
        if claimed > limit_bytes as u64 {
            return Err(too_large(Some(claimed)));
        }
        let mut buffer = self.buffers.take();
        // What is claimed is believed up to the size of a usual body; beyond, memory follows the bytes.
        let expected = usize::try_from(claimed).unwrap_or(usize::MAX).min(INLINE_BYTES_MAX);
        buffer.room(expected)?;
        while let Some(frame) = body.frame().await {
            let Ok(bytes) = frame.map_err(failure)?.into_data() else { continue };
            if buffer.as_ref().len() + bytes.len() > limit_bytes {
                return Err(too_large(None));
            }
            buffer.extend(&bytes)?;
        }
        Ok(buffer)
    }
}

/// Tells a client that was too slow from one that went away.
fn failure(error: axum::Error) -> BodyError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(current) = cause {
        let io = current.downcast_ref::<std::io::Error>();
        if io.is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut) {
            return BodyError::TooSlow;
        }
        cause = current.source();
    }
    BodyError::Broken(error)
}

#[cfg(test)]
mod tests;
