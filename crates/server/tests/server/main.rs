//! The server as its clients see it: real sockets on ports that the operating system chooses.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails; the lint knows only test functions")]

mod common;
mod conformance;
mod grpc;
mod http;
mod process;
mod tls;
