//! `norn promql …`: the language without a server.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll, Waker};

use norn_base::clock::SystemClock;
use norn_base::memory::MemoryBudget;
use norn_config::load::Printed;
use norn_metrics::api::encode::write_value;
use norn_promql::evaluate::{QueryContext, evaluate};
use norn_promql::memory_store::MemoryStore;
use norn_promql::parser::{ParseOptions, parse};
use norn_promql::plan::{EngineOptions, Query, QueryTime};
use norn_promql::printer::pretty;
use norn_promql::testlang::{Settings, run_file};

const USAGE: &str = "\
Usage:
  norn promql test FILE...                     run test scripts in Prometheus' language
  norn promql eval QUERY [UNIX-SECONDS]        evaluate a query that reads no series
  norn promql format QUERY                     print a query in its usual form
";

/// Runs a command.
pub(crate) fn run(arguments: &[String]) -> Printed {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["test", files @ ..] if !files.is_empty() => test(files),
        ["eval", query] => eval(query, "0"),
        ["eval", query, seconds] => eval(query, seconds),
        ["format", query] => match parse(query, &ParseOptions::all()) {
            Ok(expr) => Printed::answer(pretty(&expr) + "\n", 0),
            Err(error) => Printed::failure(format!("{error}\n"), 1),
        },
        _ => Printed::failure(USAGE.to_owned(), 2),
    }
}

fn test(files: &[&str]) -> Printed {
    let mut text = String::new();
    let (mut passed, mut failed) = (0, 0);
    for file in files {
        let script = match std::fs::read_to_string(file) {
            Ok(script) => script,
            Err(error) => return Printed::failure(format!("{file}: {error}\n"), 1),
        };
        let report = run_file(file, &script, &Settings::default());
        for failure in &report.failures {
            let _ = writeln!(text, "{failure}");
        }
        passed += report.passed;
        failed += report.failures.len();
    }
    let _ = writeln!(text, "{passed} passed, {failed} failed");
    Printed::answer(text, u8::from(failed > 0))
}

fn eval(query: &str, seconds: &str) -> Printed {
    let Ok(time_ms) = norn_gotext::time::parse_time(seconds) else {
        return Printed::failure(format!("{seconds:?} is no time: give Unix seconds or RFC 3339\n"), 2);
    };
    let options = EngineOptions { parse: ParseOptions::all(), ..EngineOptions::default() };
    let planned = Query::new(query, QueryTime::Instant { time_ms }, options);
    let result = planned.and_then(|query| {
        let context = QueryContext {
            budget: MemoryBudget::new("query", u64::MAX),
            canceled: Arc::new(AtomicBool::new(false)),
            deadline: None,
            clock: SystemClock::shared(),
        };
        let evaluation = std::pin::pin!(evaluate(&query, Arc::new(MemoryStore::default()), context));
        poll_to_end(evaluation)
    });
    match result {
        Ok(result) => {
            let mut json = Vec::new();
            write_value(&mut json, &result);
            json.push(b'\n');
            Printed::answer(String::from_utf8_lossy(&json).into_owned(), 0)
        }
        Err(error) => Printed::failure(format!("{error}\n"), 1),
    }
}

/// Polls a future whose sources are all in memory, so that it only ever yields its turn.
fn poll_to_end<F: Future>(mut future: std::pin::Pin<&mut F>) -> F::Output {
    let mut context = Context::from_waker(Waker::noop());
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}
