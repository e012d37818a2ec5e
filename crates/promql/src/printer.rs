//! From tree to text, on one line: the canonical form, by which queries are compared, logged and blocked.
//!
//! What was printed parses to the same tree. The form is Prometheus' to the byte: matchers are sorted, names are quoted
//! where they have to be, durations lose units that say nothing.
//!
//! Source: Prometheus `promql/parser/printer.go`.

mod pretty;

use std::fmt::{self, Display, Formatter, Write as _};

use norn_gotext::duration::format_prometheus;
use norn_gotext::number::{FloatFormat, format_float};
use norn_gotext::quote::quote;
use norn_model::Matcher;
use norn_model::labels::METRIC_NAME;
use norn_model::matcher::MatchOp;

pub use pretty::{pretty, pretty_within};

use crate::parser::is_legacy_label_name;
use crate::tree::{
    Aggregate, AtModifier, Binary, Cardinality, DurationExpr, DurationExprKind, DurationValue, Expr, ExprKind,
    MatrixSelector, NumberLiteral, RangeExtension, Subquery, VectorMatching, VectorSelector,
};

impl Display for Expr {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number(number) => number.fmt(formatter),
            ExprKind::String(text) => formatter.write_str(&string(text)),
            ExprKind::Vector(selector) => selector.fmt(formatter),
            ExprKind::Matrix(matrix) => matrix.fmt(formatter),
            ExprKind::Subquery(subquery) => write!(formatter, "{}{}", subquery.expr, SubquerySuffix(subquery)),
            ExprKind::Call(call) => {
                write!(formatter, "{}(", call.function.name)?;
                separated(formatter, &call.arguments)?;
                formatter.write_char(')')
            }
            ExprKind::Aggregate(aggregate) => {
                write!(formatter, "{}(", AggregateHead(aggregate))?;
                if let Some(parameter) = &aggregate.parameter {
                    write!(formatter, "{parameter}, ")?;
                }
                write!(formatter, "{})", aggregate.expr)
            }
            ExprKind::Binary(binary) => {
                write!(formatter, "{} {} {}", binary.left, BinaryHead(binary), binary.right)
            }
            ExprKind::Unary { negative, expr } => write!(formatter, "{}{expr}", sign(*negative)),
            ExprKind::Paren(expr) => write!(formatter, "({expr})"),
            ExprKind::Duration(duration) => duration.fmt(formatter),
        }
    }
}

/// A string in quotes. The replacement character becomes an escape: as it is, it would be refused.
fn string(text: &str) -> String {
    quote(text).replace(char::REPLACEMENT_CHARACTER, "\\ufffd")
}

fn sign(negative: bool) -> char {
    if negative { '-' } else { '+' }
}

fn separated(formatter: &mut Formatter<'_>, items: &[impl Display]) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        write!(formatter, "{comma}{item}")?;
    }
    Ok(())
}

impl Display for NumberLiteral {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        if self.is_duration {
            return formatter.write_str(&format_prometheus((self.value * 1e9) as i64 / 1_000_000));
        }
        formatter.write_str(&format_float(self.value, FloatFormat::Fixed))
    }
}

impl Display for VectorSelector {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", Bare(self), At(self.at))?;
        write!(formatter, "{}{}", Extension(self.extension), Offset(&self.offset))
    }
}

impl Display for MatrixSelector {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let selector = &self.selector;
        write!(formatter, "{}[{}]", Bare(selector), self.range)?;
        write!(formatter, "{}{}{}", Extension(selector.extension), At(selector.at), Offset(&selector.offset))
    }
}

/// A selector without what is attached to it.
struct Bare<'a>(&'a VectorSelector);

impl Display for Bare<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let VectorSelector { name, matchers, alternatives, .. } = self.0;
        formatter.write_str(name)?;
        let first = sorted(name, matchers);
        if first.is_empty() && alternatives.is_empty() && !name.is_empty() {
            return Ok(());
        }
        write!(formatter, "{{{}", first.join(","))?;
        for alternative in alternatives {
            write!(formatter, " or {}", sorted(name, alternative).join(","))?;
        }
        formatter.write_char('}')
    }
}

/// Matchers as text, without the one for the name before the braces.
pub(crate) fn sorted(name: &str, matchers: &[Matcher]) -> Vec<String> {
    let is_named_outside = |matcher: &&Matcher| {
        let names = matcher.op() == MatchOp::Equal && matcher.name() == METRIC_NAME;
        names && matcher.value() == name && !name.is_empty()
    };
    let shown = matchers.iter().filter(|matcher| !is_named_outside(matcher));
    let mut shown: Vec<String> = shown
        .map(|matcher| format!("{}{}{}", label_name(matcher.name()), matcher.op().symbol(), string(matcher.value())))
        .collect();
    shown.sort_unstable();
    shown
}

/// A label's name, in quotes where it is not letters, digits and underscores.
pub(crate) fn label_name(name: &str) -> String {
    if is_legacy_label_name(name) { name.to_owned() } else { string(name) }
}

/// Names of labels in parentheses.
pub(crate) struct LabelNames<'a>(pub(crate) &'a [String]);

impl Display for LabelNames<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(|name| label_name(name)).collect();
        write!(formatter, "({})", names.join(", "))
    }
}

struct At(Option<AtModifier>);

impl Display for At {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => Ok(()),
            Some(AtModifier::Timestamp(ms)) => write!(formatter, " @ {:.3}", ms as f64 / 1000.0),
            Some(AtModifier::Start) => formatter.write_str(" @ start()"),
            Some(AtModifier::End) => formatter.write_str(" @ end()"),
        }
    }
}

/// ` smoothed`
pub(crate) struct Extension(pub(crate) RangeExtension);

impl Display for Extension {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.0 {
            RangeExtension::None => "",
            RangeExtension::Anchored => " anchored",
            RangeExtension::Smoothed => " smoothed",
        })
    }
}

struct Offset<'a>(&'a DurationValue);

impl Display for Offset<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            DurationValue::Literal(0) => Ok(()),
            offset => write!(formatter, " offset {offset}"),
        }
    }
}

/// ` @ 1.000 offset 5m`, after both are known as milliseconds.
pub(crate) struct Modifiers {
    pub(crate) at_ms: Option<i64>,
    pub(crate) offset_ms: i64,
}

impl Display for Modifiers {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let offset = DurationValue::Literal(self.offset_ms);
        write!(formatter, "{}{}", At(self.at_ms.map(AtModifier::Timestamp)), Offset(&offset))
    }
}

/// `[1h:5m] @ 1.000 offset 5m`
struct SubquerySuffix<'a>(&'a Subquery);

impl Display for SubquerySuffix<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Subquery { range, step, offset, at, .. } = self.0;
        write!(formatter, "[{range}:")?;
        if let Some(step) = step {
            step.fmt(formatter)?;
        }
        write!(formatter, "]{}{}", At(*at), Offset(offset))
    }
}

/// `sum by (label) `, with the blank before the parenthesis.
struct AggregateHead<'a>(&'a Aggregate);

impl Display for AggregateHead<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Aggregate { op, grouping, .. } = self.0;
        formatter.write_str(op.name())?;
        match (grouping.without, grouping.labels.is_empty()) {
            (true, _) => write!(formatter, " without {} ", LabelNames(&grouping.labels)),
            (false, false) => write!(formatter, " by {} ", LabelNames(&grouping.labels)),
            (false, true) => Ok(()),
        }
    }
}

/// `* on (label) group_left (other)`
struct BinaryHead<'a>(&'a Binary);

impl Display for BinaryHead<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Binary { op, matching, returns_bool, .. } = self.0;
        formatter.write_str(op.symbol())?;
        if *returns_bool {
            formatter.write_str(" bool")?;
        }
        matching.as_ref().map_or(Ok(()), |matching| matching.fmt(formatter))
    }
}

impl Display for VectorMatching {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let group = match self.cardinality {
            Cardinality::ManyToOne => Some("group_left"),
            Cardinality::OneToMany => Some("group_right"),
            Cardinality::OneToOne | Cardinality::ManyToMany => None,
        };
        if !self.labels.is_empty() || self.on || group.is_some() {
            let clause = if self.on { "on" } else { "ignoring" };
            write!(formatter, " {clause} {}", LabelNames(&self.labels))?;
        }
        if let Some(group) = group {
            write!(formatter, " {group} {}", LabelNames(&self.include))?;
        }
        let shown = |value: f64| format_float(value, FloatFormat::General);
        match (self.fill_left, self.fill_right) {
            (Some(left), Some(right)) if left == right => write!(formatter, " fill ({})", shown(left)),
            (left, right) => {
                for (name, value) in [("fill_left", left), ("fill_right", right)] {
                    if let Some(value) = value {
                        write!(formatter, " {name} ({})", shown(value))?;
                    }
                }
                Ok(())
            }
        }
    }
}

impl Display for DurationValue {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(ms) => formatter.write_str(&format_prometheus(*ms)),
            Self::Expr(expr) => expr.fmt(formatter),
        }
    }
}

impl Display for DurationExpr {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        if self.wrapped {
            formatter.write_char('(')?;
        }
        match &self.kind {
            DurationExprKind::Number(number) => number.fmt(formatter),
            DurationExprKind::Step => formatter.write_str("step()"),
            DurationExprKind::Range => formatter.write_str("range()"),
            DurationExprKind::Start => formatter.write_str("start()"),
            DurationExprKind::End => formatter.write_str("end()"),
            DurationExprKind::Negate(inner) => write!(formatter, "-{inner}"),
            DurationExprKind::Plus(inner) => inner.fmt(formatter),
            DurationExprKind::Binary { op, left, right } => write!(formatter, "{left} {} {right}", op.symbol()),
            DurationExprKind::MinOf(left, right) => write!(formatter, "min_of({left}, {right})"),
            DurationExprKind::MaxOf(left, right) => write!(formatter, "max_of({left}, {right})"),
        }?;
        if self.wrapped {
            formatter.write_char(')')?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
