//! The byte stream below a connection, which notes when bytes come and fails when they do not go.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// What a connection is doing, noted by its stream and its requests, read by its watchdog.
///
/// Times are in milliseconds since `start`. The fields are independent hints: a watchdog that sees an old value
/// looks again at the next deadline.
#[derive(Debug)]
pub(super) struct Activity {
    start: Instant,
    in_flight: AtomicUsize,
    http2: AtomicBool,
    served: AtomicBool,
    // When the last request ended, or the connection began.
    quiet_since_ms: AtomicU64,
    // When the first byte came after that, plus one; 0 where none has.
    bytes_since_ms: AtomicU64,
}

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            start: Instant::now(),
            in_flight: AtomicUsize::new(0),
            http2: AtomicBool::new(false),
            served: AtomicBool::new(false),
            quiet_since_ms: AtomicU64::new(0),
            bytes_since_ms: AtomicU64::new(0),
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    pub(super) fn is_http2(&self) -> bool {
        self.http2.load(Ordering::Relaxed)
    }

    pub(super) fn quiet_since(&self) -> Instant {
        self.start + Duration::from_millis(self.quiet_since_ms.load(Ordering::Relaxed))
    }

    /// When the connection is to be closed as things stand; `None` while it is busy or may idle without end.
    pub(super) fn deadline(&self, header: Duration, idle: Option<Duration>) -> Option<Instant> {
        if self.in_flight() > 0 {
            return None;
        }
        let bytes_since = self.bytes_since_ms.load(Ordering::Relaxed).checked_sub(1);
        match bytes_since {
            // Pings and window updates are bytes too, so HTTP/2 only idles.
            _ if self.is_http2() => idle.map(|idle| self.quiet_since() + idle),
            Some(since_ms) => Some(self.start + Duration::from_millis(since_ms) + header),
            None if self.served.load(Ordering::Relaxed) => idle.map(|idle| self.quiet_since() + idle),
            None => Some(self.quiet_since() + header),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }

    fn note_bytes(&self) {
        if self.in_flight() == 0 && self.bytes_since_ms.load(Ordering::Relaxed) == 0 {
            self.bytes_since_ms.store(self.now_ms() + 1, Ordering::Relaxed);
        }
    }
}

/// One request that has not ended; ends when it is dropped.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Activity>);

impl InFlight {
    pub(super) fn start(activity: &Arc<Activity>) -> Self {
        activity.in_flight.fetch_add(1, Ordering::Relaxed);
        activity.served.store(true, Ordering::Relaxed);
        Self(activity.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.quiet_since_ms.store(self.0.now_ms(), Ordering::Relaxed);
        self.0.bytes_since_ms.store(0, Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream whose writes fail when the peer takes no byte for too long.
pub(super) struct TimedStream<S> {
    stream: S,
    activity: Arc<Activity>,
    seen_bytes: bool,
    write_timeout: Option<Duration>,
    // Runs while a write is stuck.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> TimedStream<S> {
    pub(super) fn new(stream: S, activity: Arc<Activity>, write_timeout: Option<Duration>) -> Self {
        Self { stream, activity, seen_bytes: false, write_timeout, timer: None }
    }

    /// Passes on what a write came to, and fails it where it has been stuck for too long.
    fn bound<T>(&mut self, polled: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let Some(timeout) = self.write_timeout else { return polled };
        if polled.is_ready() {
            self.timer = None;
            return polled;
        }
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        match timer.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TimedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        let bytes = &buffer.filled()[before..];
        if !bytes.is_empty() {
            if !self.seen_bytes {
                self.seen_bytes = true;
                // The preface of HTTP/2, RFC 9113 section 3.4; no method begins like it.
                self.activity.http2.store(bytes.starts_with(b"PRI"), Ordering::Relaxed);
            }
            self.activity.note_bytes();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bound(polled, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.bound(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.bound(polled, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.bound(polled, context)
    }
}
