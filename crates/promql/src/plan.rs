//! From a tree to what is evaluated: types are checked, durations, `@` and parentheses resolved, and each node knows
//! what becomes of metric names and which labels anyone looks at.
//!
//! A plan is made for one query at one time, because durations may depend on the query's range and step. It is data: the
//! text, the time and the options make it again anywhere ([`crate::partial`]).
//!
//! Source of the rules: Prometheus `promql/engine.go`, `PreprocessExpr`.

mod build;
mod calls;
mod describe;
pub(crate) mod duration;
pub(crate) mod invariant;
pub(crate) mod needs;
pub(crate) mod node;
pub mod reads;
mod repeated;
pub(crate) mod split;
mod visit;

use norn_base::{Error, Result};

use crate::parser::{ParseOptions, parse};
use crate::tree::Expr;
use node::Root;

/// How queries are evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineOptions {
    /// How far back a sample counts as a series' current value, in milliseconds.
    pub lookback_ms: i64,
    /// The step of subqueries that name none, in milliseconds.
    pub default_subquery_step_ms: i64,
    /// Whether metric names are removed at the end of a query instead of by each operation.
    pub delayed_name_removal: bool,
    /// Whether `rate` and `increase` look for counters by the label `__type__` instead of the name's ending.
    pub type_and_unit_labels: bool,
    /// Whether samples' start timestamps count as counter resets.
    pub start_timestamps: bool,
    /// Whether rules count that Prometheus changed after Mimir 3.0 had taken them over: `mad_over_time` of a NaN is NaN,
    /// a smoothed range before a series' first sample has no growth, and sorting the answer of a range query, which has
    /// its own order, is worth a warning.
    pub newer_rules: bool,
    /// How many samples a query may hold at one time; a histogram counts once. 0 is no limit.
    pub samples_max: u64,
    /// How many warnings an answer shows; 0 is no limit.
    pub warnings_max: usize,
    /// How many infos an answer shows; 0 is no limit.
    pub infos_max: usize,
    /// What the language allows.
    pub parse: ParseOptions,
}

impl Default for EngineOptions {
    /// The defaults of Prometheus: 5 minutes, 1 minute, names removed at once, 50 million samples, 10 annotations.
    fn default() -> Self {
        Self {
            lookback_ms: 300_000,
            default_subquery_step_ms: 60_000,
            delayed_name_removal: false,
            type_and_unit_labels: false,
            start_timestamps: false,
            newer_rules: false,
            samples_max: 50_000_000,
            warnings_max: 10,
            infos_max: 10,
            parse: ParseOptions::default(),
        }
    }
}

/// When a query is evaluated, in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QueryTime {
    /// Once.
    Instant {
        /// The time.
        time_ms: i64,
    },
    /// At `start_ms`, and then every `step_ms` up to `end_ms`.
    Range {
        /// The first time.
        start_ms: i64,
        /// No time after this one; itself included.
        end_ms: i64,
        /// The distance of two times, at least 1.
        step_ms: i64,
    },
}

impl QueryTime {
    /// The first time.
    pub fn start_ms(self) -> i64 {
        match self {
            Self::Instant { time_ms } => time_ms,
            Self::Range { start_ms, .. } => start_ms,
        }
    }

    /// The end of the range as it was asked for.
    pub fn end_ms(self) -> i64 {
        match self {
            Self::Instant { time_ms } => time_ms,
            Self::Range { end_ms, .. } => end_ms,
        }
    }

    /// The distance of two times; 0 for an instant query.
    pub fn step_ms(self) -> i64 {
        match self {
            Self::Instant { .. } => 0,
            Self::Range { step_ms, .. } => step_ms,
        }
    }

    pub(crate) fn is_instant(self) -> bool {
        matches!(self, Self::Instant { .. })
    }
}

/// A query that is ready to be evaluated, any number of times.
#[derive(Debug, Clone)]
pub struct Query {
    text: String,
    time: QueryTime,
    options: EngineOptions,
    root: Root,
}

impl Query {
    /// Parses and plans a query. Fails where the text is no query, or none that can be evaluated at this time.
    pub fn new(text: &str, time: QueryTime, options: EngineOptions) -> Result<Self> {
        let expr = parse(text, &options.parse).map_err(|error| Error::bad_request(error.to_string()))?;
        Self::from_expr(&expr, text, time, options)
    }

    /// Plans a tree. `text` is what the tree's positions refer to, and what annotations point into.
    pub fn from_expr(expr: &Expr, text: &str, time: QueryTime, options: EngineOptions) -> Result<Self> {
        if let QueryTime::Range { start_ms, end_ms, step_ms } = time {
            if step_ms < 1 {
                return Err(Error::bad_request("zero or negative query resolution step widths are not accepted"));
            }
            if end_ms < start_ms {
                return Err(Error::bad_request("end timestamp must not be before start time"));
            }
        }
        let root = build::plan(expr, text, time, &options)?;
        Ok(Self { text: text.to_owned(), time, options, root })
    }

    /// The query's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// When it is evaluated.
    pub fn time(&self) -> QueryTime {
        self.time
    }

    /// How it is evaluated.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    pub(crate) fn root(&self) -> &Root {
        &self.root
    }
}
