use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use norn_base::clock::ManualClock;
use norn_base::{Error, ErrorKind};

use super::*;

/// Collects what is logged while it is the log of its thread.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// Makes this the log of the thread, at level info, until the guard is dropped.
    pub(crate) fn collect(&self) -> tracing::subscriber::DefaultGuard {
        let clock = ManualClock::at(1_793_491_200_123);
        let subscriber = subscriber(&LogOptions::default(), clock, &MetricsRegistry::default(), self.clone());
        tracing::subscriber::set_default(subscriber.unwrap())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn logged(options: &LogOptions, registry: &MetricsRegistry, log: impl FnOnce(&ManualClock)) -> String {
    let (lines, clock) = (Lines::default(), ManualClock::at(1_793_491_200_123));
    let subscriber = subscriber(options, clock.clone(), registry, lines.clone()).unwrap();
    tracing::subscriber::with_default(subscriber, || log(&clock));
    lines.text()
}

fn three_lines(_clock: &ManualClock) {
    let error = Error::new(ErrorKind::Corrupt, "segment 3").with_source("bad checksum");
    let error: &(dyn std::error::Error + 'static) = &error;
    tracing::warn!(user = "a b", path = "/x", status = 500, error, "request \"failed\"");
    tracing::debug!("not at this level");
    tracing::info!(target: "hyper", "not of libraries");
    tracing::info!(ready = true, duration_ms = 1.5, tenant = %"t1", empty = "", nothing = None::<&str>, "server listening");
}

#[test]
fn logfmt_lines_look_like_the_originals() {
    let text = logged(&LogOptions::default(), &MetricsRegistry::default(), three_lines);
    let lines: Vec<&str> = text.lines().collect();
    let caller = |line: &str| line.split(' ').nth(1).unwrap().to_owned();
    assert!(caller(lines[0]).starts_with("caller=tests.rs:"), "{text}");
    assert_eq!(
        lines[0].replace(&caller(lines[0]), "caller=X"),
        r#"ts=2026-11-01T00:00:00.123Z caller=X level=warn msg="request \"failed\"" user="a b" path=/x status=500 error="segment 3: bad checksum""#
    );
    assert_eq!(
        lines[1].replace(&caller(lines[1]), "caller=X"),
        r#"ts=2026-11-01T00:00:00.123Z caller=X level=info msg="server listening" ready=true duration_ms=1.5 tenant=t1 empty="""#
    );
    assert_eq!(lines.len(), 2);
}

#[test]
fn json_lines_have_the_same_keys() {
    let options = LogOptions { format: LogFormat::Json, ..LogOptions::default() };
    let text = logged(&options, &MetricsRegistry::default(), three_lines);
    let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(line["msg"], "request \"failed\"");
    assert_eq!(line["level"], "warn");
    assert_eq!(line["status"], 500);
    assert_eq!(line["error"], "segment 3: bad checksum");
}

#[test]
fn a_flood_is_cut_and_counted() {
    let rate_limit = Some(LogRateLimit { lines_per_second: 10.0, burst: 2 });
    let registry = MetricsRegistry::default();
    let text = logged(&LogOptions { rate_limit, ..LogOptions::default() }, &registry, |clock| {
        for number in 0..5 {
            tracing::info!(number, "flood");
        }
        clock.advance(Duration::from_millis(100));
        tracing::info!(number = 5, "flood");
    });
    assert_eq!(text.lines().count(), 3);
    assert!(text.contains("number=5"));
    assert!(registry.prometheus_text(&[]).contains("logger_rate_limit_discarded_log_lines_total{level=\"info\"} 3\n"));
}

#[test]
fn levels_are_words_or_directives() {
    for level in ["debug", "info", "warn", "error", "info,norn_tsdb=debug"] {
        assert!(filter(level).is_ok(), "{level}");
    }
    let error = filter("loud=very").unwrap_err();
    assert_eq!(error.message(), "unrecognized log level \"loud=very\", expected debug, info, warn or error");
}
