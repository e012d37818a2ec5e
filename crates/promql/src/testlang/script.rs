//! From text to commands.

use norn_gotext::duration::parse_prometheus;
use norn_gotext::number::{parse_float, parse_int};
use norn_gotext::quote::unquote;
use norn_gotext::regex::GoRegex;
use norn_model::Labels;

use super::annotations::{AnnotationRule, TextRule};
use crate::annotations::Severity;
use crate::plan::QueryTime;
use crate::series_description::{parse_metric, parse_series_description};
use crate::tree::SeriesDescription;

/// One command of a script.
#[derive(Debug)]
pub(super) enum Command {
    /// `clear`
    Clear,
    /// `load`, `load_with_nhcb`
    Load(Load),
    /// `eval` in all its forms
    Eval(Box<Eval>),
}

/// A command that cannot be read.
#[derive(Debug)]
pub(super) struct ScriptError {
    pub(super) line: usize,
    pub(super) message: String,
}

/// Samples to be added.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) line: usize,
    /// The distance of samples, the first of which is at time 0.
    pub(super) step_ms: i64,
    /// Whether classic histograms are stored as native ones, too.
    pub(super) with_native: bool,
    pub(super) series: Vec<LoadSeries>,
}

/// A series to be added.
#[derive(Debug)]
pub(super) struct LoadSeries {
    pub(super) description: SeriesDescription,
    /// Start timestamps relative to the samples' times: empty, or as many as there are values.
    pub(super) start_offsets_ms: Vec<Option<i64>>,
}

/// A query and what it is to answer with.
#[derive(Debug)]
pub(super) struct Eval {
    pub(super) line: usize,
    pub(super) query: String,
    pub(super) time: QueryTime,
    /// Set where the query has to fail.
    pub(super) fails: Option<TextRule>,
    /// Whether a vector has to come in the order of `series`.
    pub(super) ordered: bool,
    pub(super) annotations: Vec<AnnotationRule>,
    pub(super) string: Option<String>,
    pub(super) scalar: Option<f64>,
    /// The times of `series` where an instant query answers with a matrix.
    pub(super) range_vector: Option<QueryTime>,
    pub(super) series: Vec<SeriesDescription>,
}

/// Splits a script into commands.
pub(super) fn parse(text: &str) -> Vec<Result<Command, ScriptError>> {
    let mut lines = Lines { lines: text.lines().collect(), next: 0 };
    let mut commands = Vec::new();
    while let Some((line, text)) = lines.take() {
        if text.is_empty() {
            continue;
        }
        let command = command(text, line, &mut lines);
        // What is left of a block that could not be read belongs to no other command.
        lines.skip_block(&command);
        commands.push(command.map_err(|message| ScriptError { line, message }));
    }
    commands
}

struct Lines<'a> {
    lines: Vec<&'a str>,
    next: usize,
}

impl<'a> Lines<'a> {
    /// The next line with its number from 1; comments count as empty.
    fn take(&mut self) -> Option<(usize, &'a str)> {
        let text = self.lines.get(self.next)?.trim();
        self.next += 1;
        Some((self.next, if text.starts_with('#') { "" } else { text }))
    }

    /// The next line of a block; an empty one ends it.
    fn take_of_block(&mut self) -> Option<(usize, &'a str)> {
        self.take().filter(|(_, text)| !text.is_empty())
    }

    fn skip_block<T>(&mut self, command: &Result<T, String>) {
        if command.is_err() {
            while self.take_of_block().is_some() {}
        }
    }
}

fn command(text: &str, line: usize, lines: &mut Lines<'_>) -> Result<Command, String> {
    let (word, rest) = split_word(text);
    match word.to_lowercase().as_str() {
        "clear" => Ok(Command::Clear),
        "load" => load(rest, line, false, lines).map(Command::Load),
        "load_with_nhcb" => load(rest, line, true, lines).map(Command::Load),
        "eval" => eval(rest, line, "", lines).map(|eval| Command::Eval(Box::new(eval))),
        word => match word.strip_prefix("eval_") {
            Some(form @ ("fail" | "warn" | "info" | "ordered")) => {
                eval(rest, line, form, lines).map(|eval| Command::Eval(Box::new(eval)))
            }
            _ => Err(format!("unknown command {word:?}")),
        },
    }
}

/// The first word and what follows it.
fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim_start()))
}

fn duration_ms(text: &str) -> Result<i64, String> {
    parse_prometheus(text).map_err(|error| format!("invalid duration {text:?}: {error}"))
}

/// A duration with a sign.
fn offset_ms(text: &str) -> Result<i64, String> {
    match text.strip_prefix('-') {
        Some(magnitude) => duration_ms(magnitude).map(|duration| -duration),
        None => duration_ms(text.strip_prefix('+').unwrap_or(text)),
    }
}

fn load(step: &str, line: usize, with_native: bool, lines: &mut Lines<'_>) -> Result<Load, String> {
    let mut load = Load { line, step_ms: duration_ms(step)?, with_native, series: Vec::new() };
    let mut starts: Option<(Labels, Vec<Option<i64>>)> = None;
    while let Some((line, text)) = lines.take_of_block() {
        let at_line = |message: String| format!("line {line}: {message}");
        if let Some((metric, offsets)) = split_start_line(text) {
            let metric = parse_metric(metric).map_err(|error| at_line(error.to_string()))?;
            starts = Some((metric, start_offsets(offsets).map_err(at_line)?));
            continue;
        }
        let description = parse_series_description(text).map_err(|error| at_line(error.to_string()))?;
        let start_offsets_ms = match starts.take() {
            None => Vec::new(),
            Some((metric, offsets)) if metric == description.labels && offsets.len() == description.values.len() => {
                offsets
            }
            Some(_) => return Err(at_line("the @st line before does not fit this series".to_owned())),
        };
        load.series.push(LoadSeries { description, start_offsets_ms });
    }
    if starts.is_some() { Err("an @st line has no series behind it".to_owned()) } else { Ok(load) }
}

/// Splits `metric{…}@st offsets`.
fn split_start_line(text: &str) -> Option<(&str, &str)> {
    // Label values may hold blanks: the marker is directly before the last blank that has it.
    let at = text.find("@st ")?;
    let metric = &text[..at];
    let quotes = metric.matches('"').count();
    quotes.is_multiple_of(2).then_some((metric, &text[at + 4..]))
}

fn start_offsets(text: &str) -> Result<Vec<Option<i64>>, String> {
    let mut offsets = Vec::new();
    for item in text.split_whitespace() {
        if item == "_" {
            offsets.push(None);
            continue;
        }
        let (values, times) = match item.split_once('x') {
            Some((values, times)) => {
                let times: usize = times.parse().map_err(|_| format!("invalid repetition in {item:?}"))?;
                (values, times.min(VALUES_MAX))
            }
            None => (item, 0),
        };
        if values == "_" {
            offsets.extend(std::iter::repeat_n(None, times));
            continue;
        }
        let sign = values.char_indices().skip(1).find(|(_, character)| matches!(character, '+' | '-'));
        let (base, step) = sign.map_or((values, "0s"), |(at, _)| values.split_at(at));
        let (base, step) = (offset_ms(base)?, offset_ms(step)?);
        let mut offset = base;
        for _ in 0..=times {
            offsets.push(Some(offset));
            offset = offset.saturating_add(step);
        }
    }
    Ok(offsets)
}

/// More values in one item are a mistake.
const VALUES_MAX: usize = 1_000_000;

fn eval(rest: &str, line: usize, form: &str, lines: &mut Lines<'_>) -> Result<Eval, String> {
    let (kind, rest) = split_word(rest);
    let (time, query) = match kind {
        "instant" => instant_time(rest)?,
        "range" => range_time(rest)?,
        _ => return Err("expected \"eval instant\" or \"eval range\"".to_owned()),
    };
    let mut eval = Eval {
        line,
        query: query.to_owned(),
        time,
        fails: (form == "fail").then_some(TextRule::Any),
        ordered: form == "ordered",
        annotations: Vec::new(),
        string: None,
        scalar: None,
        range_vector: None,
        series: Vec::new(),
    };
    match form {
        "warn" => eval.annotations.push(AnnotationRule::Some(Severity::Warning, TextRule::Any)),
        "info" => eval.annotations.push(AnnotationRule::Some(Severity::Info, TextRule::Any)),
        _ => {}
    }
    while let Some((line, text)) = lines.take_of_block() {
        expectation(text, &mut eval).map_err(|message| format!("line {line}: {message}"))?;
    }
    Ok(eval)
}

fn instant_time(rest: &str) -> Result<(QueryTime, &str), String> {
    let (word, after) = split_word(rest);
    if word != "at" {
        return Ok((QueryTime::Instant { time_ms: 0 }, rest));
    }
    let (time, query) = split_word(after);
    Ok((QueryTime::Instant { time_ms: offset_ms(time)? }, query))
}

/// `from <t> to <t> step <d>` and what follows.
fn range_time(rest: &str) -> Result<(QueryTime, &str), String> {
    let mut rest = rest;
    let mut times = [0; 3];
    for (time, keyword) in times.iter_mut().zip(["from", "to", "step"]) {
        let (word, after) = split_word(rest);
        if word != keyword {
            return Err(format!("expected {keyword:?}, found {word:?}"));
        }
        let (duration, after) = split_word(after);
        *time = offset_ms(duration)?;
        rest = after;
    }
    let [start_ms, end_ms, step_ms] = times;
    Ok((QueryTime::Range { start_ms, end_ms, step_ms }, rest))
}

/// Reads one line below an `eval`.
fn expectation(text: &str, eval: &mut Eval) -> Result<(), String> {
    let (word, rest) = split_word(text);
    match word {
        "expect" => return expect(rest, eval),
        "expected_fail_message" => {
            eval.fails = Some(TextRule::Equal(rest.to_owned()));
            return Ok(());
        }
        "expected_fail_regexp" => {
            eval.fails = Some(regex(rest)?);
            return Ok(());
        }
        _ => {}
    }
    if let Some(number) = number(text) {
        eval.scalar = Some(number);
        return Ok(());
    }
    eval.series.push(parse_series_description(text).map_err(|error| error.to_string())?);
    Ok(())
}

fn number(text: &str) -> Option<f64> {
    parse_int(text).map(|integer| integer as f64).or_else(|_| parse_float(text)).ok()
}

fn expect(rest: &str, eval: &mut Eval) -> Result<(), String> {
    let (what, rest) = split_word(rest);
    match what {
        "ordered" => eval.ordered = true,
        "string" => {
            let text = unquote(rest).map_err(|error| format!("invalid string {rest:?}: {error}"))?;
            eval.string = Some(String::from_utf8_lossy(&text).into_owned());
        }
        "range" => {
            let (word, rest) = split_word(rest);
            if word != "vector" {
                return Err(format!("expected \"range vector\", found {word:?}"));
            }
            eval.range_vector = Some(range_time(rest)?.0);
        }
        "fail" => eval.fails = Some(text_rule(rest)?),
        "warn" => eval.annotations.push(AnnotationRule::Some(Severity::Warning, text_rule(rest)?)),
        "info" => eval.annotations.push(AnnotationRule::Some(Severity::Info, text_rule(rest)?)),
        "no_warn" => eval.annotations.push(AnnotationRule::None(Severity::Warning)),
        "no_info" => eval.annotations.push(AnnotationRule::None(Severity::Info)),
        _ => return Err(format!("unknown expectation {what:?}")),
    }
    Ok(())
}

/// Nothing, `msg: text` or `regex: pattern`.
fn text_rule(rest: &str) -> Result<TextRule, String> {
    match rest.split_once(':') {
        None if rest.is_empty() => Ok(TextRule::Any),
        Some(("msg", text)) => Ok(TextRule::Equal(text.trim().to_owned())),
        Some(("regex", pattern)) => regex(pattern.trim()),
        _ => Err(format!("expected \"msg:\" or \"regex:\", found {rest:?}")),
    }
}

fn regex(pattern: &str) -> Result<TextRule, String> {
    GoRegex::new(pattern).map(TextRule::Matches).map_err(|error| format!("invalid pattern {pattern:?}: {error}"))
}
