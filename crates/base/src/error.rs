//! The one error value that travels from where a failure arises to the client, through every call.
//!
//! Inside a crate errors are precise enums; at a crate's edge they become this type, whose kind says what the
//! caller can do about it. Clients see [`Error::message`]; logs and status pages see the whole chain.

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// A result whose failure can be shown to a client.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can do about a failure. Each kind has one HTTP and one gRPC status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The request is wrong; the same request will fail again. 400, `InvalidArgument`.
    BadRequest,
    /// The request names no tenant, or one that is not valid. 401, `Unauthenticated`.
    Unauthenticated,
    /// What was asked for is not there. 404, `NotFound`.
    NotFound,
    /// Someone else was faster; read again, then retry. 409, `AlreadyExists`.
    Conflict,
    /// The request, or its answer, is larger than allowed; ask for less. 413, `ResourceExhausted`.
    TooLarge,
    /// The request was understood and cannot be carried out on this data. 422, `FailedPrecondition`.
    Unprocessable,
    /// A rate or a limit of the tenant was reached; slow down or raise the limit. 429, `ResourceExhausted`.
    LimitReached,
    /// The caller went away. 499, `Canceled`.
    Canceled,
    /// This server cannot do that, and a retry will not change it. 501, `Unimplemented`.
    Unimplemented,
    /// A part of norn is not there right now; retry. 503, `Unavailable`.
    Unavailable,
    /// The deadline passed; ask for less, or allow more time. 504, `DeadlineExceeded`.
    Timeout,
    /// Stored bytes are damaged; an operator must look. 500, `DataLoss`.
    Corrupt,
    /// A bug of norn's. 500, `Internal`.
    Internal,
}

impl ErrorKind {
    /// The HTTP status of this kind, unless an error says otherwise.
    pub fn http_status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthenticated => 401,
            Self::NotFound => 404,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::Unprocessable => 422,
            Self::LimitReached => 429,
            Self::Canceled => 499,
            Self::Corrupt | Self::Internal => 500,
            Self::Unimplemented => 501,
            Self::Unavailable => 503,
            Self::Timeout => 504,
        }
    }

    /// The number of this kind's gRPC status code.
    pub fn grpc_code(self) -> i32 {
        match self {
            Self::Canceled => 1,
            Self::BadRequest => 3,
            Self::Timeout => 4,
            Self::NotFound => 5,
            Self::Conflict => 6,
            Self::TooLarge | Self::LimitReached => 8,
            Self::Unprocessable => 9,
            Self::Unimplemented => 12,
            Self::Internal => 13,
            Self::Unavailable => 14,
            Self::Corrupt => 15,
            Self::Unauthenticated => 16,
        }
    }
}

/// A failure with all that a client, a peer or an operator has to know of it.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    id: Option<&'static str>,
    http_status: Option<u16>,
    message: String,
    retry_after: Option<Duration>,
    rest_accepted: bool,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error with the message that a client sees: the cause, the value, the limit, the remedy.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            id: None,
            http_status: None,
            message: message.into(),
            retry_after: None,
            rest_accepted: false,
            source: None,
        }))
    }

    /// A request that is wrong.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadRequest, message)
    }

    /// A bug of norn's.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// A part that is not there right now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// Adds the identifier by which the original system documents this error, such as `err-mimir-max-series-per-user`.
    #[must_use]
    pub fn with_id(mut self, id: &'static str) -> Self {
        self.0.id = Some(id);
        self
    }

    /// Answers over HTTP with this status instead of the kind's.
    #[must_use]
    pub fn with_http_status(mut self, status: u16) -> Self {
        self.0.http_status = Some(status);
        self
    }

    /// Tells the client when to come back.
    #[must_use]
    pub fn with_retry_after(mut self, retry_after: Duration) -> Self {
        self.0.retry_after = Some(retry_after);
        self
    }

    /// Says that what was not at fault in the request has been accepted.
    #[must_use]
    pub fn with_rest_accepted(mut self) -> Self {
        self.0.rest_accepted = true;
        self
    }

    /// Adds the cause, which logs and status pages show and clients do not.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The original system's identifier of this error.
    pub fn id(&self) -> Option<&'static str> {
        self.0.id
    }

    /// What a client sees.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The HTTP status to answer with.
    pub fn http_status(&self) -> u16 {
        self.0.http_status.unwrap_or_else(|| self.0.kind.http_status())
    }

    /// The number of the gRPC status code to answer with.
    pub fn grpc_code(&self) -> i32 {
        self.0.kind.grpc_code()
    }

    /// When the client may come back.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Whether the rest of the request has been accepted.
    pub fn rest_accepted(&self) -> bool {
        self.0.rest_accepted
    }

    /// The message and all its causes, for logs: `a: b: c`.
    pub fn chain(&self) -> String {
        let mut text = self.0.message.clone();
        let mut cause = self.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: {}", self.0.kind, self.chain())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
    }
}
