//! The syntax tree. Every node knows where it stands in the text, so that errors and annotations can point at it.
//!
//! Source: Prometheus `promql/parser/ast.go`.

mod operator;

use norn_model::{Labels, Matcher};

pub use operator::{AggregateOp, BinaryOp, Cardinality};

/// Bytes `start..end` of the query's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Position {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

/// What an expression evaluates to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// One number per step.
    Scalar,
    /// At each step one sample per series.
    Vector,
    /// At each step a range of samples per series.
    Matrix,
    /// A string.
    String,
}

impl ValueType {
    /// The name in error messages: `instant vector`, `range vector`, `scalar`, `string`.
    pub fn documented(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
            Self::String => "string",
        }
    }

    /// The name in the API: `vector`, `matrix`, `scalar`, `string`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "vector",
            Self::Matrix => "matrix",
            Self::String => "string",
        }
    }
}

/// A node with its place in the text.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub position: Position,
}

impl Expr {
    /// What the expression evaluates to. Cost: a walk down to the first nodes whose type does not depend on others.
    pub fn value_type(&self) -> ValueType {
        match &self.kind {
            ExprKind::Number(_) | ExprKind::Duration(_) => ValueType::Scalar,
            ExprKind::String(_) => ValueType::String,
            ExprKind::Vector(_) | ExprKind::Aggregate(_) => ValueType::Vector,
            ExprKind::Matrix(_) | ExprKind::Subquery(_) => ValueType::Matrix,
            ExprKind::Call(call) => call.function.returns,
            ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => expr.value_type(),
            ExprKind::Binary(binary) => match (binary.left.value_type(), binary.right.value_type()) {
                (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
                _ => ValueType::Vector,
            },
        }
    }
}

/// What a node is.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// `1.5`, `0x1f`, `NaN`, `5m` as a number.
    Number(NumberLiteral),
    /// `"text"`.
    String(String),
    /// `name{label="value"} offset 5m @ end()`.
    Vector(VectorSelector),
    /// `selector[5m]`.
    Matrix(MatrixSelector),
    /// `expr[1h:5m] offset 5m`.
    Subquery(Box<Subquery>),
    /// `function(arguments)`.
    Call(Call),
    /// `sum by (label) (expr)`.
    Aggregate(Box<Aggregate>),
    /// `left + on (label) group_left (other) right`.
    Binary(Box<Binary>),
    /// `-expr` or `+expr`.
    Unary {
        /// Whether the sign is a minus.
        negative: bool,
        /// What it stands before.
        expr: Box<Expr>,
    },
    /// `(expr)`.
    Paren(Box<Expr>),
    /// `step()`, `range()`, `min_of(…)` and arithmetic on durations, where an expression of its own is asked for.
    Duration(Box<DurationExpr>),
}

/// A number as written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NumberLiteral {
    /// The value; a duration's is in seconds.
    pub value: f64,
    /// Whether it was written as a duration, and is printed as one.
    pub is_duration: bool,
}

/// `@ 123`, `@ start()`, `@ end()`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum AtModifier {
    /// Milliseconds since the Unix epoch.
    Timestamp(i64),
    /// The start of the query's range.
    Start,
    /// The end of the query's range.
    End,
}

/// A length of time that is known, or depends on the query's range and step.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationValue {
    /// Milliseconds.
    Literal(i64),
    /// To be computed before evaluation.
    Expr(Box<DurationExpr>),
}

/// Arithmetic on durations. All values are in seconds.
#[derive(Debug, Clone, PartialEq)]
pub struct DurationExpr {
    /// What it is.
    pub kind: DurationExprKind,
    /// Where it stands.
    pub position: Position,
    /// Whether it was written in parentheses.
    pub wrapped: bool,
}

/// What a duration expression is.
#[derive(Debug, Clone, PartialEq)]
pub enum DurationExprKind {
    /// A number of seconds, or a duration.
    Number(NumberLiteral),
    /// `step()`.
    Step,
    /// `range()`.
    Range,
    /// `start()` and `end()` as expressions, in seconds since the Unix epoch.
    Start,
    /// See `Start`.
    End,
    /// `-x`.
    Negate(Box<DurationExpr>),
    /// `+x`.
    Plus(Box<DurationExpr>),
    /// `x + y` and its kin.
    Binary {
        /// One of add, subtract, multiply, divide, modulo, power.
        op: BinaryOp,
        /// The left side.
        left: Box<DurationExpr>,
        /// The right side.
        right: Box<DurationExpr>,
    },
    /// `min_of(x, y)`.
    MinOf(Box<DurationExpr>, Box<DurationExpr>),
    /// `max_of(x, y)`.
    MaxOf(Box<DurationExpr>, Box<DurationExpr>),
}

/// Whether samples beyond a range's edges are taken into account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RangeExtension {
    /// As always.
    #[default]
    None,
    /// `anchored`: the last sample before the range is its first.
    Anchored,
    /// `smoothed`: values at the edges are interpolated.
    Smoothed,
}

/// An instant vector selector.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSelector {
    /// The name before the braces, or empty.
    pub name: String,
    /// All conditions, that on the name included.
    pub matchers: Vec<Matcher>,
    /// `or` between matchers: further alternatives, each a full list. Empty where none was written.
    pub alternatives: Vec<Vec<Matcher>>,
    /// How far back from the evaluation time samples are read.
    pub offset: DurationValue,
    /// A fixed evaluation time.
    pub at: Option<AtModifier>,
    /// `anchored` or `smoothed`.
    pub extension: RangeExtension,
}

/// A range vector selector.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSelector {
    /// The selector before the bracket, with offset, `@` and extension.
    pub selector: VectorSelector,
    /// Where the selector stands, without range and modifiers.
    pub selector_position: Position,
    /// The width.
    pub range: DurationValue,
}

/// A subquery.
#[derive(Debug, Clone, PartialEq)]
pub struct Subquery {
    /// What is evaluated at each step.
    pub expr: Expr,
    /// The width.
    pub range: DurationValue,
    /// The distance of steps; `None` is the server's default.
    pub step: Option<DurationValue>,
    /// How far back from the evaluation time the range ends.
    pub offset: DurationValue,
    /// A fixed evaluation time.
    pub at: Option<AtModifier>,
}

/// A function call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// The function; see [`crate::functions`].
    pub function: &'static crate::functions::Function,
    /// The arguments as written.
    pub arguments: Vec<Expr>,
}

/// Which labels an aggregation groups by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grouping {
    /// `without` instead of `by`.
    pub without: bool,
    /// The labels as written.
    pub labels: Vec<String>,
}

/// An aggregation over series.
#[derive(Debug, Clone, PartialEq)]
pub struct Aggregate {
    /// The operator.
    pub op: AggregateOp,
    /// The vector.
    pub expr: Expr,
    /// `k`, the quantile, the ratio, or the label of `count_values`.
    pub parameter: Option<Expr>,
    /// The grouping; `by ()` where none was written.
    pub grouping: Grouping,
}

/// How the two sides of a binary operator are matched.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorMatching {
    /// By `group_left`, `group_right`, or the operator.
    pub cardinality: Cardinality,
    /// `on` instead of `ignoring`.
    pub on: bool,
    /// Labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// Labels of `group_left` or `group_right`.
    pub include: Vec<String>,
    /// `fill_left`: what a missing left side counts as.
    pub fill_left: Option<f64>,
    /// `fill_right`: what a missing right side counts as.
    pub fill_right: Option<f64>,
}

/// A binary operation.
#[derive(Debug, Clone, PartialEq)]
pub struct Binary {
    /// The operator.
    pub op: BinaryOp,
    /// Where the operator stands.
    pub op_position: Position,
    /// The left side.
    pub left: Expr,
    /// The right side.
    pub right: Expr,
    /// Present exactly where both sides are vectors.
    pub matching: Option<VectorMatching>,
    /// `bool` after a comparison.
    pub returns_bool: bool,
}

/// A series and its values in the notation of test scripts: `name{label="value"} 1+2x3 _ stale`.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesDescription {
    /// The label set.
    pub labels: Labels,
    /// One value per interval.
    pub values: Vec<SequenceValue>,
    /// Whether a histogram among the values named its `counter_reset_hint`.
    pub names_reset_hint: bool,
}

/// One item of a [`SeriesDescription`].
#[derive(Debug, Clone, PartialEq)]
pub enum SequenceValue {
    /// `_`.
    Omitted,
    /// A value; `stale` is the stale marker.
    Float(f64),
    /// `{{…}}`.
    Histogram(Box<norn_model::FloatHistogram>),
}
