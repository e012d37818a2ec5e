//! What the evaluation runs: the tree after types, durations, `@`, name removal and needed labels have been decided.
//!
//! A node knows nothing of steps: the evaluation hands them down, and a subquery or a step-invariant part below sees
//! other ones than its parent.

use std::sync::Arc;

use norn_gotext::regex::GoRegex;
use norn_model::select::Projection;
use norn_model::{Labels, Matcher};

use crate::functions::Function;
use crate::kernels::{InstantKernel, RangeKernel};
use crate::tree::{AggregateOp, BinaryOp, Position, RangeExtension, VectorMatching};

/// The root of a plan.
#[derive(Debug, Clone)]
pub(crate) enum Root {
    Scalar(Scalar),
    String(String),
    Vector(Vector),
    Matrix(RangeSource),
}

/// One number at each step.
#[derive(Debug, Clone)]
pub(crate) enum Scalar {
    Constant(f64),
    /// The step's time in seconds since the Unix epoch.
    Time,
    Negate(Box<Scalar>),
    Binary {
        op: BinaryOp,
        left: Box<Scalar>,
        right: Box<Scalar>,
    },
    MinOf(Box<Scalar>, Box<Scalar>),
    MaxOf(Box<Scalar>, Box<Scalar>),
    /// `scalar(v)`.
    OfVector(Box<Vector>),
}

/// Series, each with at most one point at each step. At one step no two series of a stream have equal labels; a series
/// may come in several parts that have no step in common, unless [`Vector::whole`] says otherwise.
#[derive(Debug, Clone)]
pub(crate) enum Vector {
    Selector(Selector),
    RangeCall(Box<RangeCall>),
    Map(Box<Map>),
    /// `timestamp(v)` where `v` is no selector: the time of the step.
    StepTime {
        input: Box<Vector>,
        names: Names,
    },
    Negate {
        input: Box<Vector>,
        names: Names,
    },
    FromScalar(Scalar),
    Absent {
        input: Box<Vector>,
        labels: Labels,
    },
    AbsentOverTime {
        source: RangeSource,
        labels: Labels,
    },
    ScalarSide(Box<ScalarSide>),
    Match(Box<Match>),
    Set(Box<Set>),
    Aggregate(Box<Aggregate>),
    Choose(Box<Choose>),
    CountValues(Box<CountValues>),
    Histogram(Box<HistogramCall>),
    Relabel(Box<Relabel>),
    Sort(Box<Sort>),
    Info(Box<Info>),
    /// Equal at every step: evaluated at the first and repeated.
    Invariant(Box<Vector>),
    /// Fails where two series have equal labels at one step.
    Distinct(Box<Vector>),
    /// One of several equal vectors, which have one number and are evaluated once.
    Shared {
        id: usize,
        input: Box<Vector>,
    },
    /// The result of a part that was evaluated elsewhere: the index of the part in the fragment.
    Part(usize),
}

/// What becomes of a metric's name where an operation gives the series another meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// It stays.
    Keep,
    /// It goes at once.
    Drop,
    /// It goes at the end of the query.
    DropLater,
}

/// An instant vector selector, or what a range vector selector reads.
#[derive(Debug, Clone)]
pub(crate) struct Selector {
    /// One list per alternative.
    pub(crate) matchers: Vec<Vec<Matcher>>,
    /// The name that all series have, where the matchers say so.
    pub(crate) metric_name: Option<Arc<str>>,
    pub(crate) offset_ms: i64,
    pub(crate) at_ms: Option<i64>,
    pub(crate) extension: RangeExtension,
    pub(crate) projection: Projection,
    pub(crate) reading: Reading,
    /// Whether histograms say how they relate to the one before them. Where only count and sum are looked at, the original
    /// finds that out while it reads, and so do conflicts between histograms.
    pub(crate) finds_resets: bool,
    pub(crate) names: Names,
    pub(crate) position: Position,
}

/// What an instant vector selector reads of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    Value,
    /// `timestamp(selector)`.
    Timestamp,
    /// `start_timestamp(selector)`.
    StartTimestamp,
    /// The time of a float; a histogram as it is. For info series, which must not have any.
    FloatTimestamp,
}

/// Where windows are cut from.
#[derive(Debug, Clone)]
pub(crate) enum RangeSource {
    Selector { selector: Selector, range_ms: i64 },
    Subquery(Box<Subquery>),
}

#[derive(Debug, Clone)]
pub(crate) struct Subquery {
    pub(crate) input: Vector,
    pub(crate) range_ms: i64,
    pub(crate) step_ms: i64,
    pub(crate) offset_ms: i64,
    pub(crate) at_ms: Option<i64>,
}

/// A function over windows.
#[derive(Debug, Clone)]
pub(crate) struct RangeCall {
    pub(crate) function: &'static Function,
    pub(crate) kernel: RangeKernel,
    pub(crate) source: RangeSource,
    /// The other arguments.
    pub(crate) parameters: Vec<Scalar>,
    pub(crate) names: Names,
    /// Where the first argument stands.
    pub(crate) position: Position,
}

/// A function of one point.
#[derive(Debug, Clone)]
pub(crate) struct Map {
    /// The function's name.
    pub(crate) name: &'static str,
    pub(crate) kernel: InstantKernel,
    pub(crate) input: Vector,
    pub(crate) parameters: Vec<Scalar>,
    pub(crate) names: Names,
    /// Where the vector stands.
    pub(crate) position: Position,
}

/// A binary operation between a vector and a scalar.
#[derive(Debug, Clone)]
pub(crate) struct ScalarSide {
    pub(crate) op: BinaryOp,
    pub(crate) input: Vector,
    pub(crate) scalar: Scalar,
    pub(crate) scalar_is_left: bool,
    pub(crate) returns_bool: bool,
    pub(crate) names: Names,
    pub(crate) position: Position,
}

/// An arithmetic or comparing operation between two vectors.
#[derive(Debug, Clone)]
pub(crate) struct Match {
    pub(crate) op: BinaryOp,
    pub(crate) left: Vector,
    pub(crate) right: Vector,
    pub(crate) matching: VectorMatching,
    pub(crate) returns_bool: bool,
    pub(crate) delayed_name_removal: bool,
    /// Whether no two series of the *many* side differ in nothing but their names.
    pub(crate) many_has_one_name: bool,
    pub(crate) position: Position,
}

/// `and`, `or`, `unless`.
#[derive(Debug, Clone)]
pub(crate) struct Set {
    pub(crate) op: BinaryOp,
    pub(crate) left: Vector,
    pub(crate) right: Vector,
    pub(crate) matching: VectorMatching,
}

/// Which labels make a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupLabels {
    pub(crate) without: bool,
    /// Sorted, unique.
    pub(crate) names: Vec<String>,
}

/// An aggregation to one series per group.
#[derive(Debug, Clone)]
pub(crate) struct Aggregate {
    pub(crate) op: AggregateOp,
    pub(crate) input: Vector,
    /// The quantile.
    pub(crate) parameter: Option<(Scalar, Position)>,
    pub(crate) labels: GroupLabels,
    /// Where the vector stands.
    pub(crate) position: Position,
}

/// `topk`, `bottomk`, `limitk`, `limit_ratio`: some of the series, as they are.
#[derive(Debug, Clone)]
pub(crate) struct Choose {
    pub(crate) op: AggregateOp,
    pub(crate) input: Vector,
    pub(crate) parameter: Scalar,
    pub(crate) parameter_position: Position,
    pub(crate) labels: GroupLabels,
    /// Where the whole aggregation stands.
    pub(crate) position: Position,
}

#[derive(Debug, Clone)]
pub(crate) struct CountValues {
    pub(crate) input: Vector,
    pub(crate) label: String,
    pub(crate) labels: GroupLabels,
}

/// Functions that put the series of a classic histogram together.
#[derive(Debug, Clone)]
pub(crate) struct HistogramCall {
    pub(crate) kind: HistogramKind,
    pub(crate) input: Vector,
    pub(crate) names: Names,
    /// Where the vector stands.
    pub(crate) position: Position,
}

#[derive(Debug, Clone)]
pub(crate) enum HistogramKind {
    Quantile { quantile: Scalar, quantile_position: Position },
    Quantiles { label: String, quantiles: Vec<(Scalar, Position)> },
    Fraction { lower: Scalar, upper: Scalar },
}

impl HistogramKind {
    /// All arguments that are numbers.
    pub(crate) fn scalars(&self) -> impl Iterator<Item = &Scalar> {
        let (few, many): (Vec<&Scalar>, &[(Scalar, Position)]) = match self {
            Self::Quantile { quantile, .. } => (vec![quantile], &[]),
            Self::Fraction { lower, upper } => (vec![lower, upper], &[]),
            Self::Quantiles { quantiles, .. } => (Vec::new(), quantiles),
        };
        few.into_iter().chain(many.iter().map(|(quantile, _)| quantile))
    }
}

/// `label_replace` and `label_join`.
#[derive(Debug, Clone)]
pub(crate) struct Relabel {
    pub(crate) kind: RelabelKind,
    pub(crate) destination: String,
    pub(crate) input: Vector,
}

#[derive(Debug, Clone)]
pub(crate) enum RelabelKind {
    Replace { source: String, regex: GoRegex, replacement: String },
    Join { sources: Vec<String>, separator: String },
}

#[derive(Debug, Clone)]
pub(crate) struct Sort {
    pub(crate) input: Vector,
    pub(crate) by: SortBy,
    pub(crate) descending: bool,
    /// Where the call stands.
    pub(crate) position: Position,
}

#[derive(Debug, Clone)]
pub(crate) enum SortBy {
    Value,
    Labels(Vec<String>),
}

/// `info(v, selector)`.
#[derive(Debug, Clone)]
pub(crate) struct Info {
    pub(crate) input: Vector,
    /// All conditions of the second argument that are not on the name.
    pub(crate) data_matchers: Vec<Matcher>,
    /// Conditions on the names of info metrics, at least one.
    pub(crate) name_matchers: Vec<Matcher>,
    /// Offset and `@` of the first argument's selector, which govern the info series too.
    pub(crate) offset_ms: i64,
    pub(crate) at_ms: Option<i64>,
}

impl Vector {
    /// Whether the series of an instant answer come in an order that means something.
    pub(crate) fn has_order(&self) -> bool {
        match self {
            Self::Sort(_) | Self::Choose(_) => true,
            Self::Invariant(input) | Self::Distinct(input) | Self::Shared { input, .. } => input.has_order(),
            _ => false,
        }
    }

    /// Whether each series comes in one piece.
    pub(crate) fn is_whole(&self) -> bool {
        match self {
            Self::Selector(selector) => selector.names == Names::Keep || selector.metric_name.is_some(),
            Self::RangeCall(call) => call.names != Names::Drop || call.source.has_one_name(),
            Self::Map(map) => map.input.is_whole() && map.names != Names::Drop,
            Self::StepTime { input, names } | Self::Negate { input, names } => {
                input.is_whole() && *names != Names::Drop
            }
            Self::ScalarSide(side) => side.input.is_whole() && side.names != Names::Drop,
            Self::Shared { input, .. } => input.is_whole(),
            Self::Choose(choose) => choose.input.is_whole(),
            Self::Sort(sort) => sort.input.is_whole(),
            Self::Invariant(_)
            | Self::Aggregate(_)
            | Self::CountValues(_)
            | Self::FromScalar(_)
            | Self::Absent { .. }
            | Self::AbsentOverTime { .. }
            | Self::Part(_) => true,
            Self::Match(_)
            | Self::Set(_)
            | Self::Histogram(_)
            | Self::Relabel(_)
            | Self::Info(_)
            | Self::Distinct(_) => false,
        }
    }
}

impl RangeSource {
    /// Whether all series have one name, as far as the selector says so.
    fn has_one_name(&self) -> bool {
        match self {
            Self::Selector { selector, .. } => selector.metric_name.is_some(),
            Self::Subquery(_) => false,
        }
    }
}
