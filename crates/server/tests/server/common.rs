//! A server for a test, and the simplest client there is.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use norn_base::clock::{SharedClock, SystemClock};
use norn_base::tasks::{Stop, Tasks};
use norn_server::app::App;
use norn_server::listener::{ConnectionMetrics, Listener, ListenerOptions};
use norn_server::telemetry::{MetricsRegistry, RequestMetrics, RequestObserver};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// A listener that serves until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) registry: MetricsRegistry,
    pub(crate) stop: Stop,
    pub(crate) farewell: Stop,
    pub(crate) tasks: Tasks,
}

/// Options for a port that is free, on loopback.
pub(crate) fn options() -> ListenerOptions {
    ListenerOptions { address: "127.0.0.1".to_owned(), ..ListenerOptions::http(0) }
}

impl Server {
    /// Serves what `build` adds to an empty app.
    pub(crate) async fn start(options: ListenerOptions, build: impl FnOnce(App) -> App) -> Self {
        Self::start_at(options, "", build).await
    }

    /// The same below a path prefix.
    pub(crate) async fn start_at(options: ListenerOptions, prefix: &str, build: impl FnOnce(App) -> App) -> Self {
        Self::start_with(options, prefix, SystemClock::shared(), build).await
    }

    /// The same with a clock for certificates.
    pub(crate) async fn start_with(
        options: ListenerOptions,
        prefix: &str,
        clock: SharedClock,
        build: impl FnOnce(App) -> App,
    ) -> Self {
        let registry = MetricsRegistry::default();
        let observer = RequestObserver::new(RequestMetrics::register(&registry), SystemClock::shared());
        let router: Router = build(App::new(observer, prefix)).finish();
        let metrics = ConnectionMetrics::register(&registry);
        let listener = Listener::bind(options, clock, &metrics).await.unwrap();
        let (address, stop, tasks) = (listener.local_address(), Stop::new(), Tasks::new());
        let farewell = Stop::new();
        let listener = listener.closing_connections_on(farewell.clone());
        tasks.spawn("server", listener.serve(router, stop.clone(), Duration::from_secs(5)));
        Self { address, registry, stop, farewell, tasks }
    }

    pub(crate) async fn connect(&self) -> Client<TcpStream> {
        Client::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// One request on a connection of its own.
    pub(crate) async fn get(&self, path: &str, headers: &str) -> Answer {
        self.request("GET", path, headers).await
    }

    /// The same with another method, and no body.
    pub(crate) async fn request(&self, method: &str, path: &str, headers: &str) -> Answer {
        let mut client = self.connect().await;
        let common = "host: norn\r\nconnection: close\r\ncontent-length: 0\r\n";
        client.send(format!("{method} {path} HTTP/1.1\r\n{common}{headers}\r\n").as_bytes()).await;
        client.answer().await
    }

    /// The value of a series of `/metrics`, by the text in front of it.
    pub(crate) fn metric(&self, series: &str) -> Option<f64> {
        let text = self.registry.prometheus_text(&[]);
        let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map(|value| value.parse().unwrap())
    }

    /// Waits until a series has a value: counting ends a moment after a client has its answer.
    pub(crate) async fn expect_metric(&self, series: &str, expected: f64) {
        let reached = async {
            while self.metric(series) != Some(expected) {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(10), reached).await;
        assert!(waited.is_ok(), "{series} is {:?}, expected {expected}", self.metric(series));
    }
}

/// HTTP/1.1 by hand, so that a test decides over every byte.
pub(crate) struct Client<S> {
    stream: S,
    buffer: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}: ");
        self.head.lines().find_map(|line| line.strip_prefix(&prefix))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: norn\r\n\r\n").as_bytes()).await;
        self.answer().await
    }

    /// Reads one answer with a `content-length`, or up to the end of the connection.
    pub(crate) async fn answer(&mut self) -> Answer {
        let mut answer = self.answer_without_body().await;
        match answer.header("content-length").map(|len| len.parse::<usize>().unwrap()) {
            Some(len) => {
                while self.buffer.len() < len {
                    assert!(self.more().await, "the connection ended within a body");
                }
                answer.body = self.buffer.drain(..len).collect();
            }
            None => {
                while self.more().await {}
                answer.body = std::mem::take(&mut self.buffer);
            }
        }
        answer
    }

    /// Reads status and headers.
    pub(crate) async fn answer_without_body(&mut self) -> Answer {
        let head_end = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            assert!(self.more().await, "the connection ended within {:?}", String::from_utf8_lossy(&self.buffer));
        };
        let head = String::from_utf8(self.buffer[..head_end].to_vec()).unwrap();
        self.buffer.drain(..head_end + 4);
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head, body: Vec::new() }
    }

    /// The next bytes.
    pub(crate) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert!(self.more().await, "the connection ended after {} bytes", self.buffer.len());
        }
        self.buffer.drain(..count).collect()
    }

    /// Waits until the server has closed the connection, and returns what came before.
    pub(crate) async fn closed(&mut self) -> Vec<u8> {
        while self.more().await {}
        std::mem::take(&mut self.buffer)
    }

    async fn more(&mut self) -> bool {
        let read = tokio::time::timeout(Duration::from_secs(20), self.stream.read_buf(&mut self.buffer)).await;
        // A reset is an end too.
        read.expect("the server answers or closes").unwrap_or(0) > 0
    }
}
