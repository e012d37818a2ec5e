//! A plan as text, for people: a line for each part, indented below the part that it belongs to.

use std::fmt::{self, Display, Formatter};

use norn_gotext::duration::format_prometheus;
use norn_gotext::number::{FloatFormat, format_float};
use norn_gotext::quote::quote;
use norn_model::select::Projection;

use super::Query;
use super::node::{
    GroupLabels, HistogramKind, RangeSource, Reading, RelabelKind, Root, Scalar, Selector, SortBy, Subquery, Vector,
};
use super::visit::{Node, visit};
use crate::evaluate::steps_of;
use crate::printer::{Extension, LabelNames, Modifiers, label_name, sorted};

impl Query {
    /// The plan as text. How it looks may change; it is for people.
    pub fn describe(&self) -> String {
        if let Root::String(text) = &self.root {
            return format!("string {}\n", quote(text));
        }
        let mut lines = String::new();
        let mut steps_above = steps_of(self.time);
        visit(&self.root, steps_above, |node, depth, steps| {
            lines.extend(std::iter::repeat_n("  ", depth));
            lines.push_str(&Line(node).to_string());
            if steps != steps_above {
                lines.push_str(&format!(" (steps: {})", steps.count));
                steps_above = steps;
            }
            lines.push('\n');
            true
        });
        lines
    }
}

/// A part without what is below it.
struct Line<'a>(Node<'a>);

impl Display for Line<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            Node::Vector(vector) => vector_line(formatter, vector),
            Node::Scalar(scalar) => scalar_line(formatter, scalar),
            Node::Range(RangeSource::Selector { selector, range_ms }) => {
                selector_line(formatter, selector, Some(*range_ms))
            }
            Node::Range(RangeSource::Subquery(subquery)) => {
                let Subquery { range_ms, step_ms, offset_ms, at_ms, .. } = **subquery;
                let (range, step) = (format_prometheus(range_ms), format_prometheus(step_ms));
                write!(formatter, "subquery [{range}:{step}]{}", Modifiers { at_ms, offset_ms })
            }
        }
    }
}

fn vector_line(formatter: &mut Formatter<'_>, vector: &Vector) -> fmt::Result {
    match vector {
        Vector::Selector(selector) => selector_line(formatter, selector, None),
        Vector::RangeCall(call) => write!(formatter, "{} of each window", call.function.name),
        Vector::Map(map) => write!(formatter, "{} of each point", map.name),
        Vector::StepTime { .. } => formatter.write_str("time of the step for each point"),
        Vector::Negate { .. } => formatter.write_str("negative of each point"),
        Vector::FromScalar(_) => formatter.write_str("one series without labels"),
        Vector::Absent { .. } => formatter.write_str("absent"),
        Vector::AbsentOverTime { .. } => formatter.write_str("absent_over_time"),
        Vector::ScalarSide(side) => {
            let place = if side.scalar_is_left { "left" } else { "right" };
            write!(formatter, "{}{} with a number on the {place}", side.op.symbol(), bool_word(side.returns_bool))
        }
        Vector::Match(matched) => {
            write!(formatter, "match {}{}{}", matched.op.symbol(), bool_word(matched.returns_bool), matched.matching)
        }
        Vector::Set(set) => write!(formatter, "{}{}", set.op.symbol(), set.matching),
        Vector::Aggregate(aggregate) => write!(formatter, "{}{}", aggregate.op.name(), aggregate.labels),
        Vector::Choose(choose) => write!(formatter, "{}{}", choose.op.name(), choose.labels),
        Vector::CountValues(count) => {
            write!(formatter, "count_values as {}{}", label_name(&count.label), count.labels)
        }
        Vector::Histogram(call) => formatter.write_str(match call.kind {
            HistogramKind::Quantile { .. } => "histogram_quantile",
            HistogramKind::Quantiles { .. } => "histogram_quantiles",
            HistogramKind::Fraction { .. } => "histogram_fraction",
        }),
        Vector::Relabel(relabel) => {
            let name = match relabel.kind {
                RelabelKind::Replace { .. } => "label_replace",
                RelabelKind::Join { .. } => "label_join",
            };
            write!(formatter, "{name} to {}", label_name(&relabel.destination))
        }
        Vector::Sort(sort) => {
            let order = if sort.descending { "descending" } else { "ascending" };
            match &sort.by {
                SortBy::Value => write!(formatter, "sort by value, {order}"),
                SortBy::Labels(names) => write!(formatter, "sort by {}, {order}", LabelNames(names)),
            }
        }
        Vector::Info(_) => formatter.write_str("info"),
        Vector::Invariant(_) => formatter.write_str("once for all steps"),
        Vector::Distinct(_) => formatter.write_str("distinct label sets"),
        Vector::Shared { id, .. } => write!(formatter, "shared {id}"),
        Vector::Part(index) => write!(formatter, "part {index}"),
    }
}

fn scalar_line(formatter: &mut Formatter<'_>, scalar: &Scalar) -> fmt::Result {
    match scalar {
        Scalar::Constant(value) => write!(formatter, "number {}", format_float(*value, FloatFormat::General)),
        Scalar::Time => formatter.write_str("time of the step"),
        Scalar::Negate(_) => formatter.write_str("negative number"),
        Scalar::Binary { op, .. } => write!(formatter, "{} of numbers", op.symbol()),
        Scalar::MinOf(..) => formatter.write_str("smaller number"),
        Scalar::MaxOf(..) => formatter.write_str("greater number"),
        Scalar::OfVector(_) => formatter.write_str("number of the only series"),
    }
}

fn selector_line(formatter: &mut Formatter<'_>, selector: &Selector, range_ms: Option<i64>) -> fmt::Result {
    write!(formatter, "select {selector}")?;
    if let Some(range_ms) = range_ms {
        write!(formatter, "[{}]", format_prometheus(range_ms))?;
    }
    let Selector { at_ms, offset_ms, extension, .. } = *selector;
    write!(formatter, "{}{}", Extension(extension), Modifiers { at_ms, offset_ms })?;
    match selector.reading {
        Reading::Value => {}
        Reading::Timestamp | Reading::FloatTimestamp => formatter.write_str(", times of samples")?,
        Reading::StartTimestamp => formatter.write_str(", start times of samples")?,
    }
    match &selector.projection {
        Projection::All => Ok(()),
        Projection::Only(names) => write!(formatter, ", labels {}", Names(names)),
        Projection::Without(names) => write!(formatter, ", labels without {}", Names(names)),
    }
}

/// Without range and modifiers.
impl Display for Selector {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let name = self.metric_name.as_deref().unwrap_or("");
        let alternatives: Vec<String> = self.matchers.iter().map(|list| sorted(name, list).join(",")).collect();
        formatter.write_str(name)?;
        if name.is_empty() || alternatives.iter().any(|list| !list.is_empty()) {
            write!(formatter, "{{{}}}", alternatives.join(" or "))?;
        }
        Ok(())
    }
}

struct Names<'a>(&'a [Box<str>]);

impl Display for Names<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.0.iter().map(|name| name.to_string()).collect();
        LabelNames(&names).fmt(formatter)
    }
}

impl Display for GroupLabels {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match (self.without, self.names.is_empty()) {
            (false, true) => Ok(()),
            (false, false) => write!(formatter, " by {}", LabelNames(&self.names)),
            (true, _) => write!(formatter, " without {}", LabelNames(&self.names)),
        }
    }
}

fn bool_word(returns_bool: bool) -> &'static str {
    if returns_bool { " bool" } else { "" }
}

#[cfg(test)]
mod tests {
    use crate::plan::{EngineOptions, Query, QueryTime};

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        let time = QueryTime::Range { start_ms: 0, end_ms: 600_000, step_ms: 60_000 };
        let options = EngineOptions { parse: crate::parser::ParseOptions::all(), ..EngineOptions::default() };
        let described = Query::new(text, time, options).unwrap().describe();
        assert_eq!(described.lines().collect::<Vec<_>>(), expected, "{text}");
    }

    #[test]
    fn every_part_has_a_line() {
        check("2 * time()", &["* of numbers", "  number 2", "  time of the step"]);
        check(
            "sum by (job) (rate(a{b=\"c\"}[5m] offset 1m))",
            &["sum by (job)", "  rate of each window", "    select a{b=\"c\"}[5m] offset 1m, labels (job)"],
        );
        check(
            "max_over_time(sum(a)[20m:15s])",
            &[
                "max_over_time of each window",
                "  subquery [20m:15s]",
                "    sum (steps: 120)",
                "      select a, labels ()",
            ],
        );
        check(
            "histogram_quantile(0.9, a) > bool on (x) group_left (y) (b @ 5)",
            &[
                "match > bool on (x) group_left (y)",
                "  histogram_quantile",
                "    select a",
                "    number 0.9",
                "  once for all steps",
                "    select b @ 5.000 (steps: 1)",
            ],
        );
        check(
            "topk(3, {a=\"1\" or b=~\"2.*\"}) unless abs(-x)",
            &[
                "unless",
                "  topk",
                "    select {a=\"1\" or b=~\"2.*\"}",
                "    number 3",
                "  abs of each point",
                "    negative of each point",
                "      select x, labels without (__name__, __type__, __unit__)",
            ],
        );
    }

    #[test]
    fn what_is_evaluated_once_has_one_number() {
        check(
            "sum(a) / (sum(a) + 1)",
            &[
                "match /",
                "  shared 0",
                "    sum",
                "      select a, labels ()",
                "  + with a number on the right",
                "    shared 0",
                "      sum",
                "        select a, labels ()",
                "    number 1",
            ],
        );
    }
}
