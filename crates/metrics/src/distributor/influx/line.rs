//! The text of the line protocol.
//!
//! `measurement,tag=value,… field=value,… timestamp`, where commas, spaces and equals signs of names and tags are
//! escaped by a backslash, and texts stand in double quotes.
//!
//! Source: the reference of InfluxDB's line protocol.

use norn_base::{Error, Result};
use norn_model::labels::METRIC_NAME;
use norn_model::sample::Sample;
use norn_rpc::remote_write::{DecodeError, DecodedSeries, WriteVisitor};

use crate::distributor::Source;

/// Says of a series where it came from, so that nobody takes its name for one of Prometheus'.
const PROXY_LABEL: (&str, &str) = ("__proxy_source__", "influx");

/// The samples of a request, each with its series.
#[derive(Debug, Default, PartialEq)]
pub(in crate::distributor) struct Lines {
    samples: Vec<(Vec<(String, String)>, Sample)>,
}

impl Lines {
    /// Parses a request. Lines without a time are of `now_ms`. One bad line refuses the request: it may be the
    /// client's precision or encoding that is wrong, and then all of them are.
    pub(super) fn parse(body: &[u8], precision: &str, now_ms: i64) -> Result<Self> {
        let text = std::str::from_utf8(body).map_err(|_| Error::bad_request("line protocol is not valid UTF-8"))?;
        let precision = Precision::parse(precision)?;
        let mut lines = Self::default();
        for (index, line) in split(text, '\n').into_iter().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let number = index + 1;
            lines.add(line, precision, now_ms).map_err(|problem| {
                Error::bad_request(format!("unable to parse line {number} of the line protocol: {problem}"))
            })?;
        }
        Ok(lines)
    }

    fn add(&mut self, line: &str, precision: Precision, now_ms: i64) -> Result<(), String> {
        let mut parts = split(line, ' ').into_iter().filter(|part| !part.is_empty());
        let series = parts.next().ok_or("missing measurement")?;
        let fields = parts.next().ok_or("missing fields")?;
        let timestamp_ms = match parts.next() {
            Some(text) => precision.millis(text.parse().map_err(|_| format!("bad timestamp {text:?}"))?),
            None => now_ms,
        };
        let mut tags = split(series, ',').into_iter();
        let measurement = unescape(tags.next().filter(|name| !name.is_empty()).ok_or("missing measurement")?);
        let mut labels = vec![(PROXY_LABEL.0.to_owned(), PROXY_LABEL.1.to_owned())];
        for tag in tags {
            let (name, value) = pair(tag)?;
            labels.push((sanitize(&unescape(name)), unescape(value)));
        }
        for field in split(fields, ',') {
            let (name, value) = pair(field)?;
            let Some(value) = number(value)? else { continue };
            let name = unescape(name);
            let metric = if name == "value" { measurement.clone() } else { format!("{measurement}_{name}") };
            let mut labels = labels.clone();
            labels.push((METRIC_NAME.to_owned(), sanitize(&metric)));
            self.samples.push((labels, Sample { timestamp_ms, value }));
        }
        Ok(())
    }
}

impl Source for Lines {
    fn show<'a>(&'a self, visitor: &mut impl WriteVisitor<'a>) -> Result<(), DecodeError> {
        let mut decoded = DecodedSeries::default();
        for (labels, sample) in &self.samples {
            decoded.clear();
            decoded.labels.extend(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            decoded.samples.push(*sample);
            if visitor.series(&mut decoded).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// The unit of a request's timestamps.
#[derive(Debug, Clone, Copy)]
enum Precision {
    Finer { per_ms: i64 },
    Coarser { ms: i64 },
}

impl Precision {
    fn parse(name: &str) -> Result<Self> {
        Ok(match name {
            "" | "n" | "ns" => Self::Finer { per_ms: 1_000_000 },
            "u" | "us" | "µ" | "%C2%B5" => Self::Finer { per_ms: 1000 },
            "ms" => Self::Coarser { ms: 1 },
            "s" => Self::Coarser { ms: 1000 },
            "m" => Self::Coarser { ms: 60_000 },
            "h" => Self::Coarser { ms: 3_600_000 },
            _ => return Err(Error::bad_request(format!("precision supplied is not valid: {name}"))),
        })
    }

    fn millis(self, timestamp: i64) -> i64 {
        match self {
            Self::Finer { per_ms } => timestamp.div_euclid(per_ms),
            Self::Coarser { ms } => timestamp.saturating_mul(ms),
        }
    }
}

/// Splits where `separator` is neither escaped nor within double quotes. Escapes stay.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut is_escaped, mut is_quoted) = (false, false);
    for (index, char) in text.char_indices() {
        match char {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if char == separator && !is_quoted => {
                parts.push(&text[start..index]);
                start = index + char.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn pair(text: &str) -> Result<(&str, &str), String> {
    match split(text, '=').as_slice() {
        [name, value] if !name.is_empty() && !value.is_empty() => Ok((name, value)),
        _ => Err(format!("{text:?} is no name and value")),
    }
}

/// A field as a number; `None` for texts, which have no place in a series.
fn number(text: &str) -> Result<Option<f64>, String> {
    let bad = || format!("bad field value {text:?}");
    Ok(match text {
        "t" | "T" | "true" | "True" | "TRUE" => Some(1.0),
        "f" | "F" | "false" | "False" | "FALSE" => Some(0.0),
        _ if text.starts_with('"') => None,
        _ => match text.strip_suffix(['i', 'u']) {
            Some(integer) => Some(integer.parse::<i128>().map_err(|_| bad())? as f64),
            None => Some(text.parse().map_err(|_| bad())?),
        },
    })
}

fn unescape(text: &str) -> String {
    let mut unescaped = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        // A backslash before anything else is itself.
        match (char, chars.peek()) {
            ('\\', Some(',' | '=' | ' ' | '\\')) => unescaped.extend(chars.next()),
            _ => unescaped.push(char),
        }
    }
    unescaped
}

/// Other characters than letters, digits and underscores become underscores.
fn sanitize(name: &str) -> String {
    name.chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '_' }).collect()
}
