//! Errors as gRPC statuses, and back.
//!
//! The status code and the message are for everyone. What only norn knows of an error (its kind, the original's id, the
//! HTTP status, the pause, whether the rest was accepted) travels in the status' details, in the form that gRPC
//! tools can print: a `google.rpc.Status` with an `Any`. A peer that finds none keeps what the code says. A pause
//! travels as `google.rpc.RetryInfo` too: without it, OpenTelemetry's clients drop what was refused for its rate.

use std::time::Duration;

use norn_base::{Error, ErrorKind};
use prost::Message;
use tonic::{Code, Status};

const TYPE_URL: &str = "type.googleapis.com/norn.ErrorDetails";

const RETRY_INFO_TYPE_URL: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// `google.rpc.Status`.
#[derive(Clone, PartialEq, Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<Any>,
}

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, Message)]
struct Any {
    #[prost(string, tag = "1")]
    type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// `google.rpc.RetryInfo`.
#[derive(Clone, PartialEq, Message)]
struct RetryInfo {
    #[prost(message, optional, tag = "1")]
    retry_delay: Option<Delay>,
}

/// `google.protobuf.Duration`.
#[derive(Clone, PartialEq, Message)]
struct Delay {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

/// What a status code cannot say.
#[derive(Clone, PartialEq, Message)]
struct ErrorDetails {
    /// The position of the kind in [`KINDS`], plus one.
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(string, tag = "2")]
    id: String,
    #[prost(uint32, tag = "3")]
    http_status: u32,
    #[prost(uint64, tag = "4")]
    retry_after_ms: u64,
    #[prost(bool, tag = "5")]
    rest_accepted: bool,
}

/// Kinds in the order of their numbers on the wire: only ever appended to.
const KINDS: [ErrorKind; 13] = [
    ErrorKind::BadRequest,
    ErrorKind::Unauthenticated,
    ErrorKind::NotFound,
    ErrorKind::Conflict,
    ErrorKind::TooLarge,
    ErrorKind::Unprocessable,
    ErrorKind::LimitReached,
    ErrorKind::Canceled,
    ErrorKind::Unimplemented,
    ErrorKind::Unavailable,
    ErrorKind::Timeout,
    ErrorKind::Corrupt,
    ErrorKind::Internal,
];

/// The status that carries an error to a gRPC client.
pub fn to_status(error: &Error) -> Status {
    let kind = KINDS.iter().position(|kind| *kind == error.kind()).map_or(0, |index| index as u32 + 1);
    let details = ErrorDetails {
        kind,
        id: error.id().unwrap_or_default().to_owned(),
        http_status: u32::from(error.http_status()),
        retry_after_ms: error.retry_after().map_or(0, |after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
        rest_accepted: error.rest_accepted(),
    };
    let mut any = vec![Any { type_url: TYPE_URL.to_owned(), value: details.encode_to_vec() }];
    any.extend(error.retry_after().map(|after| {
        let seconds = i64::try_from(after.as_secs()).unwrap_or(i64::MAX);
        let retry_delay = Some(Delay { seconds, nanos: after.subsec_nanos().cast_signed() });
        Any { type_url: RETRY_INFO_TYPE_URL.to_owned(), value: RetryInfo { retry_delay }.encode_to_vec() }
    }));
    let status = RpcStatus { code: error.grpc_code(), message: error.message().to_owned(), details: any };
    Status::with_details(Code::from_i32(error.grpc_code()), error.message(), status.encode_to_vec().into())
}

/// The error that a status carries. `known_ids` are the ids that this process can name; another one is left out.
pub fn from_status(status: &Status, known_ids: &[&'static str]) -> Error {
    let kind = kind_of(status.code());
    let Some(details) = details_of(status) else { return Error::new(kind, status.message()) };
    let index = usize::try_from(details.kind).unwrap_or(usize::MAX).wrapping_sub(1);
    let mut error = Error::new(KINDS.get(index).copied().unwrap_or(kind), status.message());
    if let Some(id) = known_ids.iter().find(|id| **id == details.id) {
        error = error.with_id(id);
    }
    if let Ok(http_status @ 100..=599) = u16::try_from(details.http_status) {
        error = error.with_http_status(http_status);
    }
    if details.retry_after_ms > 0 {
        error = error.with_retry_after(Duration::from_millis(details.retry_after_ms));
    }
    if details.rest_accepted { error.with_rest_accepted() } else { error }
}

fn details_of(status: &Status) -> Option<ErrorDetails> {
    let decoded = RpcStatus::decode(status.details()).ok()?;
    let any = decoded.details.iter().find(|any| any.type_url == TYPE_URL)?;
    ErrorDetails::decode(any.value.as_slice()).ok()
}

fn kind_of(code: Code) -> ErrorKind {
    match code {
        Code::Cancelled => ErrorKind::Canceled,
        Code::InvalidArgument | Code::OutOfRange => ErrorKind::BadRequest,
        Code::DeadlineExceeded => ErrorKind::Timeout,
        Code::NotFound => ErrorKind::NotFound,
        Code::AlreadyExists | Code::Aborted => ErrorKind::Conflict,
        Code::PermissionDenied | Code::Unauthenticated => ErrorKind::Unauthenticated,
        Code::ResourceExhausted => ErrorKind::LimitReached,
        Code::FailedPrecondition => ErrorKind::Unprocessable,
        Code::Unimplemented => ErrorKind::Unimplemented,
        Code::Unavailable => ErrorKind::Unavailable,
        Code::DataLoss => ErrorKind::Corrupt,
        Code::Ok | Code::Unknown | Code::Internal => ErrorKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_the_wire() {
        for kind in KINDS {
            let status = to_status(&Error::new(kind, "text"));
            assert_eq!(i32::from(status.code()), kind.grpc_code());
            assert_eq!(from_status(&status, &[]).kind(), kind);
        }
    }

    #[test]
    fn what_a_code_cannot_say_travels_in_the_details() {
        let error = Error::new(ErrorKind::Unprocessable, "too many series")
            .with_id("err-mimir-max-series-per-user")
            .with_http_status(400)
            .with_retry_after(Duration::from_secs(6))
            .with_rest_accepted();
        let back = from_status(&to_status(&error), &["err-other", "err-mimir-max-series-per-user"]);
        assert_eq!(format!("{back:?}"), format!("{error:?}"));
        assert_eq!((back.id(), back.http_status()), (error.id(), 400));
        assert_eq!((back.retry_after(), back.rest_accepted()), (error.retry_after(), true));
        assert_eq!(from_status(&to_status(&error), &[]).id(), None);
    }

    #[test]
    fn a_pause_is_told_in_the_words_of_every_client() {
        let pause = |error: &Error| {
            let decoded = RpcStatus::decode(to_status(error).details()).unwrap();
            let info = decoded.details.iter().find(|any| any.type_url == RETRY_INFO_TYPE_URL)?;
            RetryInfo::decode(info.value.as_slice()).unwrap().retry_delay
        };
        let error = Error::new(ErrorKind::LimitReached, "slow down");
        assert_eq!(pause(&error), None);
        let error = error.with_retry_after(Duration::from_millis(6500));
        assert_eq!(pause(&error), Some(Delay { seconds: 6, nanos: 500_000_000 }));
    }

    #[test]
    fn details_from_elsewhere_are_harmless() {
        let status = Status::with_details(Code::NotFound, "gone", vec![0xff; 40].into());
        assert_eq!(from_status(&status, &[]).kind(), ErrorKind::NotFound);
    }
}
