//! Listening sockets: HTTP/1.1, HTTP/2 with and without TLS, and gRPC, all on one port and one router.
//!
//! The accept loop is norn's own, because those of the libraries hide what decides over a server's health: windows,
//! stream limits, header, body, answer and idle timeouts, a limit on connections, certificates that change, and
//! a shutdown with an end.
//!
//! - Windows are large and fixed. A small connection window makes HTTP/2 count the many small replies of
//!   one connection as an attack; an adaptive window discards what is configured.
//! - A connection beyond the limit waits in the kernel's queue until another one ends.
//! - Shutdown: no more connections are taken, those that wait between requests close, requests finish within a bound.

mod connection;
mod stream;
mod tls;

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;
use norn_base::clock::SharedClock;
use norn_base::net::{TcpListener, TcpStream};
use norn_base::tasks::{Stop, Tasks};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Semaphore;

pub use self::connection::PeerAddress;
pub use self::tls::{ClientAuth, PemSource, TlsError, TlsOptions, TlsVersion};
use crate::telemetry::MetricsRegistry;

/// What a connection may hold of unread data; see the module's first rule.
const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
/// What one request of a connection may hold of it: a quarter, so that none starves the others.
const HTTP2_STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// Large messages in few frames; a peer's replies stay as small as they are.
const HTTP2_FRAME_BYTES_MAX: u32 = 256 << 10;
/// All headers of a request, in bytes; the tenants of a federated read are the longest of them.
const HTTP2_HEADERS_BYTES_MAX: u32 = 64 << 10;
/// The pause after the operating system refused to accept, as it does when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How a listener behaves. Durations of `None` are without end.
#[derive(Debug, Clone)]
pub struct ListenerOptions {
    /// `http` or `grpc`: the label of its metrics, and its name in messages.
    pub protocol: &'static str,
    /// A host name or an IP address; empty is all addresses of `network`.
    pub address: String,
    /// Which kind of addresses is meant by an empty one.
    pub network: Network,
    /// 0 lets the operating system choose.
    pub port: u16,
    /// The setting that changes the port, for messages, such as `-server.http-listen-port`.
    pub port_setting: &'static str,
    /// Connections at a time; 0 is without limit.
    pub connections_max: usize,
    /// TLS; `None` is plain text.
    pub tls: Option<TlsOptions>,
    /// Limits on time.
    pub timeouts: Timeouts,
    /// How old a connection may become before it takes no more requests, so that clients spread anew over the
    /// instances behind a load balancer.
    pub age_max: Option<Duration>,
    /// How long the requests of such a connection may still take; then it is cut.
    pub age_grace: Option<Duration>,
    /// Requests at a time on one HTTP/2 connection.
    pub http2_streams_max: u32,
    /// A ping after this long without a frame.
    pub http2_ping_interval: Option<Duration>,
    /// A connection whose ping is not answered within this is closed.
    pub http2_ping_timeout: Duration,
}

/// Kinds of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Network {
    /// IPv6 and IPv4, as far as the machine has them.
    #[default]
    Any,
    /// IPv4.
    V4,
    /// IPv6; where the machine is set up so, IPv4 too.
    V6,
}

impl Network {
    /// Reads the originals' setting.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "" | "tcp" => Some(Self::Any),
            "tcp4" => Some(Self::V4),
            "tcp6" => Some(Self::V6),
            _ => None,
        }
    }
}

/// Limits on the time that a client may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the first byte of a request, or from accepting the connection, to the end of its headers.
    pub header: Duration,
    /// From the end of the headers to the end of the body. Not for gRPC and websockets.
    pub read: Option<Duration>,
    /// From the end of the headers to the end of the answer. Not for gRPC and websockets, where it only bounds how long
    /// a single write may be stuck.
    pub write: Option<Duration>,
    /// Between requests.
    pub idle: Option<Duration>,
}

impl ListenerOptions {
    /// HTTP on `port` of all addresses, with the originals' limits.
    pub fn http(port: u16) -> Self {
        let header = Duration::from_secs(30);
        let two_minutes = Some(Duration::from_secs(120));
        Self {
            protocol: "http",
            address: String::new(),
            network: Network::Any,
            port,
            port_setting: "-server.http-listen-port",
            connections_max: 0,
            tls: None,
            timeouts: Timeouts { header, read: Some(header), write: two_minutes, idle: two_minutes },
            age_max: None,
            age_grace: None,
            http2_streams_max: 250,
            http2_ping_interval: None,
            http2_ping_timeout: Duration::from_secs(20),
        }
    }

    /// gRPC on `port` of all addresses, with the originals' limits.
    pub fn grpc(port: u16) -> Self {
        Self {
            protocol: "grpc",
            port_setting: "-server.grpc-listen-port",
            timeouts: Timeouts { header: Duration::from_secs(30), read: None, write: None, idle: None },
            http2_streams_max: 100,
            http2_ping_interval: Some(Duration::from_secs(2 * 60 * 60)),
            ..Self::http(port)
        }
    }
}

/// Why a port cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another program listens there, or this one does twice.
    #[error(
        "{protocol} address {address} is already in use: stop what listens there, or choose another with {setting}"
    )]
    Taken {
        /// See [`ListenerOptions::protocol`].
        protocol: &'static str,
        /// Host and port.
        address: String,
        /// See [`ListenerOptions::port_setting`].
        setting: &'static str,
    },
    /// The operating system refuses for another reason.
    #[error("failed to listen on {protocol} address {address}")]
    Refused {
        /// See [`ListenerOptions::protocol`].
        protocol: &'static str,
        /// Host and port.
        address: String,
        /// The reason.
        source: io::Error,
    },
    /// The certificates are not usable.
    #[error("failed to set up TLS for {protocol}")]
    Tls {
        /// See [`ListenerOptions::protocol`].
        protocol: &'static str,
        /// The reason.
        source: TlsError,
    },
}

impl From<ListenError> for norn_base::Error {
    fn from(error: ListenError) -> Self {
        Self::new(norn_base::ErrorKind::Unavailable, error.to_string()).with_source(error)
    }
}

/// Connections of all listeners, as the dashboards read them.
#[derive(Debug, Clone)]
pub struct ConnectionMetrics {
    open: Family<ProtocolLabel, Gauge>,
    limit: Family<ProtocolLabel, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProtocolLabel {
    protocol: &'static str,
}

impl ConnectionMetrics {
    /// Registers the metrics.
    pub fn register(registry: &MetricsRegistry) -> Self {
        Self {
            open: registry.gauges("cortex_tcp_connections", "Current number of accepted TCP connections"),
            limit: registry.gauges(
                "cortex_tcp_connections_limit",
                "The max number of TCP connections that can be accepted (0 means no limit)",
            ),
        }
    }
}

/// A bound port that does not serve yet.
#[derive(Debug)]
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<tls::ReloadingTls>>,
    options: ListenerOptions,
    open: Gauge,
    farewell: Stop,
}

impl Listener {
    /// Binds the port and reads the certificates.
    pub async fn bind(
        options: ListenerOptions,
        clock: SharedClock,
        metrics: &ConnectionMetrics,
    ) -> Result<Self, ListenError> {
        let protocol = options.protocol;
        let tls = match &options.tls {
            Some(tls) => {
                let loaded = tls::ReloadingTls::load(tls.clone(), clock);
                Some(Arc::new(loaded.map_err(|source| ListenError::Tls { protocol, source })?))
            }
            None => None,
        };
        let listener = bind(&options.address, options.network, options.port).await.map_err(|source| {
            let host = if options.address.is_empty() { "*" } else { &options.address };
            let address = format!("{host}:{}", options.port);
            match source.kind() {
                io::ErrorKind::AddrInUse => ListenError::Taken { protocol, address, setting: options.port_setting },
                _ => ListenError::Refused { protocol, address, source },
            }
        })?;
        let label = ProtocolLabel { protocol };
        let limit = i64::try_from(options.connections_max).unwrap_or(i64::MAX);
        metrics.limit.get_or_create(&label).set(limit);
        let refused = |source| ListenError::Refused { protocol, address: options.address.clone(), source };
        let address = listener.local_addr().map_err(refused)?;
        Ok(Self {
            listener,
            address,
            tls,
            open: metrics.open.get_or_create_owned(&label),
            options,
            farewell: Stop::new(),
        })
    }

    /// From the moment that `farewell` is requested, HTTP/1 connections close after the request that is under way:
    /// clients move to other instances while this one still answers.
    #[must_use]
    pub fn closing_connections_on(mut self, farewell: Stop) -> Self {
        self.farewell = farewell;
        self
    }

    /// The address that is bound, with the port that was chosen where 0 was asked for.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Serves `router` until `stop` is requested, then lets requests finish for at most `drain`.
    pub async fn serve(self, router: Router, stop: Stop, drain: Duration) {
        let protocol = self.options.protocol;
        tracing::info!(protocol, address = %self.address, tls = self.tls.is_some(), "server listening");
        let connections = Tasks::new();
        let shared = Arc::new(connection::Shared {
            router,
            builder: builder(&self.options),
            tls: self.tls.clone(),
            timeouts: self.options.timeouts,
            age_max: self.options.age_max,
            age_grace: self.options.age_grace,
            farewell: self.farewell.clone(),
            stop: connections.stop_signal().clone(),
        });
        stop.unless_requested(self.accept(&connections, shared)).await;
        drop(self.listener);
        let late = connections.stop(drain).await;
        if !late.is_empty() {
            tracing::warn!(protocol, ?drain, "connections were cut at shutdown, their requests had not ended");
        }
    }

    async fn accept(&self, connections: &Tasks, shared: Arc<connection::Shared>) {
        let permits = match self.options.connections_max {
            0 => Semaphore::MAX_PERMITS,
            max => max.min(Semaphore::MAX_PERMITS),
        };
        let permits = Arc::new(Semaphore::new(permits));
        loop {
            let permit = permits.clone().acquire_owned().await.expect("the semaphore is never closed");
            let (stream, peer) = self.accept_one().await;
            let open = Open::count(&self.open);
            let shared = shared.clone();
            connections.spawn("connection", async move {
                connection::serve(stream, peer, &shared).await;
                drop((open, permit));
            });
        }
    }

    async fn accept_one(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    // Fails only for a connection that is gone already.
                    let _ = stream.set_nodelay(true);
                    return (stream, peer);
                }
                Err(error) if is_of_connection(&error) => {}
                Err(error) => {
                    let protocol = self.options.protocol;
                    tracing::error!(protocol, error = %error, "failed to accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// Whether accepting failed for the one connection, and not for all.
fn is_of_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionRefused | ConnectionAborted | ConnectionReset)
}

async fn bind(address: &str, network: Network, port: u16) -> io::Result<TcpListener> {
    if !address.is_empty() {
        return TcpListener::bind((address.trim_matches(['[', ']']), port)).await;
    }
    match network {
        Network::V4 => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await,
        Network::V6 => TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await,
        // IPv6 sockets take IPv4 connections too, where there is IPv6 at all.
        Network::Any => match TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await {
            Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
                TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
            }
            bound => bound,
        },
    }
}

fn builder(options: &ListenerOptions) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Header and idle timeouts are those of `connection`, which knows the one from the other.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None);
    builder
        .http2()
        .timer(TokioTimer::new())
        .adaptive_window(false)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
        .max_frame_size(HTTP2_FRAME_BYTES_MAX)
        .max_header_list_size(HTTP2_HEADERS_BYTES_MAX)
        .max_concurrent_streams(options.http2_streams_max)
        .keep_alive_interval(options.http2_ping_interval)
        .keep_alive_timeout(options.http2_ping_timeout);
    builder
}

/// Counts one open connection until it is dropped.
struct Open(Gauge);

impl Open {
    fn count(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
