//! Log lines in the form of the originals: logfmt (`ts=… caller=… level=info msg="…" key=value`) or JSON with the
//! same keys.
//!
//! Lines go to standard error. Those of norn have the level that is configured; those of libraries are warnings and
//! worse, because what they tell at `info` is of no use to an operator. A bucket of tokens keeps a
//! failing dependency from filling a disk; what it drops is counted.

mod format;

use norn_base::clock::SharedClock;
use norn_base::{Error, Result};
use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::{EnvFilter, Layer};

pub use self::format::LogFormat;
use crate::telemetry::MetricsRegistry;

/// How a process logs.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// The form of a line.
    pub format: LogFormat,
    /// `debug`, `info`, `warn` or `error`; or directives by target such as `info,norn_tsdb=debug`.
    pub level: String,
    /// Lines a second and at once; `None` is without limit.
    pub rate_limit: Option<LogRateLimit>,
}

/// How many lines may be written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogRateLimit {
    /// In the long run.
    pub lines_per_second: f64,
    /// At once.
    pub burst: u32,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { format: LogFormat::Logfmt, level: "info".to_owned(), rate_limit: None }
    }
}

/// Makes this the log of the process, for panics too. To be called once, before anything is logged.
pub fn install(options: &LogOptions, clock: SharedClock, registry: &MetricsRegistry) -> Result<()> {
    let subscriber = subscriber(options, clock, registry, std::io::stderr)?;
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|error| Error::internal("failed to set up logging").with_source(error))?;
    std::panic::set_hook(Box::new(|panic| {
        let location = panic.location().map(ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("without a message");
        let backtrace = std::backtrace::Backtrace::capture();
        let backtrace =
            matches!(backtrace.status(), std::backtrace::BacktraceStatus::Captured).then(|| backtrace.to_string());
        tracing::error!(panic = message, location, backtrace, "a thread panicked");
    }));
    Ok(())
}

/// The log as a value, written to `writer`.
fn subscriber<W>(
    options: &LogOptions,
    clock: SharedClock,
    registry: &MetricsRegistry,
    writer: W,
) -> Result<impl Subscriber + Send + Sync + use<W>>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = filter(&options.level)?;
    let limit = options.rate_limit.map(|limit| LimitLayer::new(limit, clock.clone(), registry));
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_writer(writer)
        .event_format(format::LineFormat::new(options.format, clock));
    Ok(tracing_subscriber::registry().with(filter).with(limit).with(lines))
}

fn filter(level: &str) -> Result<EnvFilter> {
    let directives = match level {
        "debug" | "info" | "warn" | "error" => {
            let libraries = if level == "error" { "error" } else { "warn" };
            format!("{libraries},norn={level}")
        }
        directives => directives.to_owned(),
    };
    EnvFilter::builder().parse(&directives).map_err(|error| {
        Error::bad_request(format!("unrecognized log level {level:?}, expected debug, info, warn or error"))
            .with_source(error)
    })
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LevelLabel {
    level: &'static str,
}

/// Drops lines beyond the limit.
struct LimitLayer {
    limit: LogRateLimit,
    clock: SharedClock,
    bucket: Mutex<Bucket>,
    discarded: Family<LevelLabel, Counter>,
}

struct Bucket {
    tokens: f64,
    filled_at: std::time::Duration,
}

impl LimitLayer {
    fn new(limit: LogRateLimit, clock: SharedClock, registry: &MetricsRegistry) -> Self {
        let discarded =
            registry.counters("logger_rate_limit_discarded_log_lines", "Total number of discarded log lines per level");
        let bucket = Mutex::new(Bucket { tokens: f64::from(limit.burst), filled_at: clock.monotonic() });
        Self { limit, clock, bucket, discarded }
    }

    fn take(&self) -> bool {
        let now = self.clock.monotonic();
        let mut bucket = self.bucket.lock();
        let since = now.saturating_sub(bucket.filled_at).as_secs_f64();
        bucket.tokens = (bucket.tokens + since * self.limit.lines_per_second).min(f64::from(self.limit.burst));
        bucket.filled_at = now;
        let enough = bucket.tokens >= 1.0;
        if enough {
            bucket.tokens -= 1.0;
        }
        enough
    }
}

impl<S: Subscriber> Layer<S> for LimitLayer {
    fn event_enabled(&self, event: &Event<'_>, _context: Context<'_, S>) -> bool {
        let taken = self.take();
        if !taken {
            self.discarded.get_or_create(&LevelLabel { level: format::level_name(event.metadata().level()) }).inc();
        }
        taken
    }
}

#[cfg(test)]
pub(crate) mod tests;
