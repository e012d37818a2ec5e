//! One connection, from its handshake to its end.
//!
//! A watchdog beside the connection closes it when a client takes too long to send headers, or nothing is asked of
//! it for too long. It looks at what the stream and the requests note in [`Activity`], and wakes only when a
//! deadline may have passed, so a busy connection pays nothing for it.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use norn_base::net::TcpStream;
use norn_base::tasks::Stop;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep};
use tower::ServiceExt;

use super::Timeouts;
use super::stream::{Activity, InFlight, TimedStream};
use super::tls::ReloadingTls;
use crate::errors::plain_text;
use crate::tenant::is_grpc;

/// Where a request came from; in the extensions of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// How long a connection that was told to close may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// What all connections of a listener have in common.
pub(super) struct Shared {
    pub(super) router: Router,
    pub(super) builder: auto::Builder<TokioExecutor>,
    pub(super) tls: Option<Arc<ReloadingTls>>,
    pub(super) timeouts: Timeouts,
    pub(super) age_max: Option<Duration>,
    pub(super) age_grace: Option<Duration>,
    /// Requested when HTTP/1 connections are to close after the request that is under way.
    pub(super) farewell: Stop,
    /// Requested when connections are to close as soon as their requests have ended.
    pub(super) stop: Stop,
}

/// Serves a connection until it ends.
pub(super) async fn serve(stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>) {
    let Some(tls) = &shared.tls else { return serve_stream(stream, peer, shared).await };
    let handshake = tokio::time::timeout(shared.timeouts.header, tls.acceptor().accept(stream));
    match shared.stop.unless_requested(handshake).await {
        Some(Ok(Ok(stream))) => serve_stream(stream, peer, shared).await,
        Some(Ok(Err(error))) => tracing::debug!(%peer, %error, "TLS handshake failed"),
        Some(Err(_)) => tracing::debug!(%peer, "TLS handshake took too long"),
        None => {}
    }
}

async fn serve_stream<S>(stream: S, peer: SocketAddr, shared: &Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::new(Activity::new());
    let stream = TimedStream::new(stream, activity.clone(), shared.timeouts.write);
    let (of_requests, in_requests) = (shared.clone(), activity.clone());
    let service = service_fn(move |request| answer(request, peer, of_requests.clone(), in_requests.clone()));
    let mut connection = pin!(shared.builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let grace = tokio::select! {
        biased;
        result = connection.as_mut() => return log(peer, result),
        () = shared.stop.requested() => None,
        () = after(shared.age_max) => shared.age_grace,
        () = expired(&activity, shared.timeouts) => {
            if !activity.is_http2() {
                // Between requests nothing is lost; within headers there is nobody to answer.
                return;
            }
            None
        }
    };
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        biased;
        result = connection => log(peer, result),
        () = quiet(&activity) => {}
        () = after(grace) => tracing::debug!(%peer, "connection was cut at its age, its requests had not ended"),
    }
}

fn log(peer: SocketAddr, result: Result<(), axum::BoxError>) {
    if let Err(error) = result {
        tracing::debug!(%peer, error = &*error, "connection failed");
    }
}

/// Waits for a while, or for ever.
async fn after(duration: Option<Duration>) {
    match duration {
        Some(duration) => tokio::time::sleep(duration).await,
        None => std::future::pending().await,
    }
}

/// Waits until no request was in flight for as long as a goodbye may take.
async fn quiet(activity: &Activity) {
    loop {
        let since = if activity.in_flight() == 0 { activity.quiet_since() } else { Instant::now() };
        if since.elapsed() >= GOODBYE {
            return;
        }
        tokio::time::sleep_until(since + GOODBYE).await;
    }
}

/// Waits until the client has taken too long to send headers, or has asked nothing for too long.
async fn expired(activity: &Activity, timeouts: Timeouts) {
    loop {
        let now = Instant::now();
        let deadline = activity.deadline(timeouts.header, timeouts.idle);
        if deadline.is_some_and(|deadline| deadline <= now) {
            return;
        }
        // What happens meanwhile can set a deadline no earlier than this.
        let latest = now + timeouts.header;
        tokio::time::sleep_until(deadline.map_or(latest, |deadline| deadline.min(latest))).await;
    }
}

/// Hands a request to the router, within its limits of time.
async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    shared: Arc<Shared>,
    activity: Arc<Activity>,
) -> Result<Response, Infallible> {
    let in_flight = InFlight::start(&activity);
    let endless = is_grpc(request.headers()) || request.headers().contains_key(header::UPGRADE);
    let deadline_after =
        |timeout: Option<Duration>| timeout.filter(|_| !endless).map(|timeout| Instant::now() + timeout);
    let (read, write) = (deadline_after(shared.timeouts.read), deadline_after(shared.timeouts.write));
    let mut request = request.map(|body| Body::new(TimedBody::new(body, read, None)));
    request.extensions_mut().insert(PeerAddress(peer));
    let call = shared.router.clone().oneshot(request);
    let response = match write {
        None => call.await?,
        Some(write) => match tokio::time::timeout_at(write, call).await {
            Ok(response) => response?,
            Err(_) => plain_text(StatusCode::GATEWAY_TIMEOUT, "the answer took longer than the server's write timeout"),
        },
    };
    let mut response = response.map(|body| Body::new(TimedBody::new(body, write, Some(in_flight))));
    if shared.farewell.is_requested() && !activity.is_http2() && !endless {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// A body that fails when it is not through by its deadline.
struct TimedBody<B> {
    body: B,
    deadline: Option<Instant>,
    // Made when the body is first waited for, which most never are.
    timer: Option<Pin<Box<Sleep>>>,
    // Held until the body ends.
    _in_flight: Option<InFlight>,
}

impl<B> TimedBody<B> {
    fn new(body: B, deadline: Option<Instant>, in_flight: Option<InFlight>) -> Self {
        Self { body, deadline, timer: None, _in_flight: in_flight }
    }
}

impl<B> HttpBody for TimedBody<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<axum::BoxError>,
{
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let Some(deadline) = self.deadline else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
        match timer.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::TimedOut).into()))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
