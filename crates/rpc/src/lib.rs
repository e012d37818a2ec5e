//! Messages that cross the process's border.
//!
//! What is hot is decoded by hand, in place, from borrowed bytes: remote write is mostly label strings, and a
//! generated decoder would allocate each of them. Rejected: generated code everywhere (two allocations per label),
//! and zero-copy code generators (all of them before their 1.0). A generated decoder is the oracle of the tests.
//!
//! Nothing here panics on bytes from outside, and nothing allocates more than a small multiple of their length.

/// The wire format of protocol buffers: reading and writing fields.
pub mod wire;

/// Raw Snappy blocks, whose declared length is checked before memory is taken.
pub mod snappy;

/// Prometheus remote write 1.0 and 2.0.
pub mod remote_write;

/// Prometheus remote read, sampled and streamed.
pub mod remote_read;

/// OpenTelemetry metrics, as protocol buffers and as JSON.
pub mod otlp;

/// `google.rpc.Status`, the body of failed OTLP requests.
pub mod status;
