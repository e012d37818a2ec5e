//! One event as one line.

use std::fmt::{self, Debug, Write};

use jiff::Timestamp;
use norn_base::clock::SharedClock;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// The form of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// `key=value`, values quoted where they need it.
    #[default]
    Logfmt,
    /// One object a line.
    Json,
}

impl LogFormat {
    /// Reads the originals' setting.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "logfmt" => Some(Self::Logfmt),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

pub(super) fn level_name(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG | Level::TRACE => "debug",
    }
}

/// Writes events in one of the formats.
pub(super) struct LineFormat {
    format: LogFormat,
    clock: SharedClock,
}

impl LineFormat {
    pub(super) fn new(format: LogFormat, clock: SharedClock) -> Self {
        Self { format, clock }
    }
}

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let metadata = event.metadata();
        let file = metadata.file().map_or("", |file| file.rsplit('/').next().unwrap_or(file));
        let mut line = Line { format: self.format, text: String::with_capacity(256), message: String::new() };
        match Timestamp::from_millisecond(self.clock.now_ms()) {
            Ok(timestamp) => line.push("ts", &format!("{timestamp:.3}")),
            Err(_) => line.push("ts", "unknown"),
        }
        line.push("caller", &format!("{file}:{}", metadata.line().unwrap_or(0)));
        line.push("level", level_name(metadata.level()));
        // The message is the first of the fields for whoever reads, whatever its place in the event.
        let mut fields = Line { format: self.format, text: String::new(), message: String::new() };
        event.record(&mut fields);
        line.push("msg", &fields.message);
        line.text.push_str(&fields.text);
        match self.format {
            LogFormat::Logfmt => writeln!(writer, "{}", line.text.trim_start()),
            LogFormat::Json => writeln!(writer, "{{{}}}", line.text.trim_start_matches(',')),
        }
    }
}

/// Pairs of a line, each with its separator in front.
struct Line {
    format: LogFormat,
    text: String,
    message: String,
}

impl Line {
    fn push(&mut self, key: &str, value: &str) {
        match self.format {
            LogFormat::Logfmt => {
                self.text.push(' ');
                self.text.push_str(key);
                self.text.push('=');
                push_logfmt_value(&mut self.text, value);
            }
            LogFormat::Json => {
                self.text.push(',');
                push_json_string(&mut self.text, key);
                self.text.push(':');
                push_json_string(&mut self.text, value);
            }
        }
    }

    /// A value that needs no quotes in either form.
    fn push_bare(&mut self, key: &str, value: impl fmt::Display) {
        let written = match self.format {
            LogFormat::Logfmt => write!(self.text, " {key}={value}"),
            LogFormat::Json => write!(self.text, ",\"{key}\":{value}"),
        };
        written.expect("writing to a string does not fail");
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        match field.name() {
            "message" => self.message = format!("{value:?}"),
            name => self.push(name, &format!("{value:?}")),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            name => self.push(name, value),
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.push_bare(field.name(), value);
        } else {
            self.push(field.name(), &value.to_string());
        }
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.push_bare(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.push_bare(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.push_bare(field.name(), value);
    }

    /// The error and its causes, `a: b: c`.
    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        self.push(field.name(), &text);
    }
}

fn push_logfmt_value(text: &mut String, value: &str) {
    let plain = |character: char| character > ' ' && !"=\"\\".contains(character) && !character.is_control();
    if !value.is_empty() && value.chars().all(plain) {
        text.push_str(value);
    } else {
        push_json_string(text, value);
    }
}

/// A string in quotes, escaped as JSON wants it; logfmt takes the same.
fn push_json_string(text: &mut String, value: &str) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            control if control < ' ' => {
                write!(text, "\\u{:04x}", u32::from(control)).expect("writing to a string does not fail");
            }
            other => text.push(other),
        }
    }
    text.push('"');
}
