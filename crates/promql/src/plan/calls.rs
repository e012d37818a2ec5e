//! The planner's part for functions: which node a call becomes.

use norn_base::{Error, ErrorKind, Result};
use norn_gotext::regex::GoRegex;
use norn_model::labels::{LabelsBuilder, METRIC_NAME};
use norn_model::matcher::MatchOp;
use norn_model::{Labels, Matcher};

use super::build::Planner;
use super::duration;
use super::invariant::{has_one_name, without_parens};
use super::needs::Needs;
use super::node::{
    HistogramCall, HistogramKind, Info, Map, Names, RangeCall, RangeSource, Reading, Relabel, RelabelKind, Scalar,
    Sort, SortBy, Vector,
};
use crate::kernels::{CallContext, PointRef, PointValue, instant_kernel, range_kernel};
use crate::tree::{Call, DurationExpr, DurationExprKind, Expr, ExprKind, Position, RangeExtension, VectorSelector};

/// A query that is well formed and cannot be carried out.
pub(super) fn unprocessable(message: String) -> Error {
    Error::new(ErrorKind::Unprocessable, message)
}

impl Planner<'_> {
    pub(super) fn scalar_call(&mut self, call: &Call) -> Result<Scalar> {
        let context = |kind| DurationExpr { kind, position: Position::default(), wrapped: false };
        let constant = |expr: DurationExpr| duration::evaluate(&expr, self.context_time()).map(Scalar::Constant);
        match call.function.name {
            "time" => Ok(Scalar::Time),
            "pi" => Ok(Scalar::Constant(std::f64::consts::PI)),
            "start" => constant(context(DurationExprKind::Start)),
            "end" => constant(context(DurationExprKind::End)),
            "range" => constant(context(DurationExprKind::Range)),
            "step" => constant(context(DurationExprKind::Step)),
            "scalar" => {
                let input = self.vector(argument(call, 0)?, &Needs::only([]))?;
                Ok(Scalar::OfVector(Box::new(input)))
            }
            "min_of" | "max_of" => {
                let left = Box::new(self.scalar(argument(call, 0)?)?);
                let right = Box::new(self.scalar(argument(call, 1)?)?);
                let minimum = call.function.name == "min_of";
                Ok(if minimum { Scalar::MinOf(left, right) } else { Scalar::MaxOf(left, right) })
            }
            name => Err(Error::bad_request(format!("unknown function with name {name:?}"))),
        }
    }

    pub(super) fn vector_call(&mut self, call: &Call, position: Position, needs: &Needs) -> Result<Vector> {
        let name = call.function.name;
        match name {
            "vector" => self.scalar(argument(call, 0)?).map(Vector::FromScalar),
            "timestamp" | "start_timestamp" => self.timestamp_call(call, needs),
            "absent" => {
                let input = without_parens(argument(call, 0)?);
                let labels = absent_labels(input);
                Ok(Vector::Absent { input: Box::new(self.vector(input, &Needs::only([]))?), labels })
            }
            "absent_over_time" => {
                let input = without_parens(argument(call, 0)?);
                let labels = absent_labels(input);
                let source = self.range_source(input, &Needs::only([]))?;
                check_extension(&source, name)?;
                Ok(Vector::AbsentOverTime { source, labels })
            }
            "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => self.sort_call(call, position),
            "label_replace" => self.label_replace(call),
            "label_join" => self.label_join(call),
            "info" => self.info_call(call),
            "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => {
                self.bucket_readers += 1;
                let planned = self.histogram_call(call);
                self.bucket_readers -= 1;
                planned
            }
            _ => match (range_kernel(name), instant_kernel(name)) {
                (Some(kernel), _) => self.range_call(call, kernel, needs),
                (None, Some(kernel)) => {
                    let stats = matches!(name, "histogram_count" | "histogram_sum" | "histogram_avg");
                    self.stats_readers += usize::from(stats);
                    let planned = self.map_call(call, kernel, needs);
                    self.stats_readers -= usize::from(stats);
                    planned
                }
                (None, None) => Err(Error::bad_request(format!("unknown function with name {name:?}"))),
            },
        }
    }

    fn range_call(&mut self, call: &Call, kernel: crate::kernels::RangeKernel, needs: &Needs) -> Result<Vector> {
        let name = call.function.name;
        let first = without_parens(argument(call, 0)?);
        let is_range = |expr: &&Expr| super::invariant::value_type(expr) == crate::tree::ValueType::Matrix;
        let range = call.arguments.iter().map(without_parens).find(is_range);
        let range = range.ok_or_else(|| Error::bad_request("expected type range vector"))?;
        let keeps = matches!(name, "last_over_time" | "first_over_time");
        let (names, mut needs) = if keeps { (Names::Keep, needs.clone()) } else { self.name_removal(range, needs) };
        if !matches!(&range.kind, ExprKind::Matrix(_)) || !has_one_name(range, true) {
            // Annotations show it.
            needs = needs.and([METRIC_NAME]);
        }
        if self.options.type_and_unit_labels {
            needs = needs.and(["__type__"]);
        }
        let source = self.range_source(range, &needs)?;
        check_extension(&source, name)?;
        let mut parameters = Vec::new();
        for parameter in &call.arguments {
            if !std::ptr::eq(without_parens(parameter), range) {
                parameters.push(self.scalar(parameter)?);
            }
        }
        let planned = Vector::RangeCall(Box::new(RangeCall {
            function: call.function,
            kernel,
            source,
            parameters,
            names,
            position: first.position,
        }));
        Ok(if keeps { planned } else { self.distinct(range, planned) })
    }

    fn map_call(&mut self, call: &Call, kernel: crate::kernels::InstantKernel, needs: &Needs) -> Result<Vector> {
        let Some((first, rest)) = call.arguments.split_first() else {
            // Date functions without an argument read the step's time.
            let input = Vector::FromScalar(Scalar::Time);
            let position = Position::default();
            return Ok(Vector::Map(Box::new(Map {
                name: call.function.name,
                kernel,
                input,
                parameters: Vec::new(),
                names: Names::Keep,
                position,
            })));
        };
        let (names, needs) = self.name_removal(first, needs);
        let planned = Vector::Map(Box::new(Map {
            name: call.function.name,
            kernel,
            input: self.vector(first, &needs)?,
            parameters: rest.iter().map(|parameter| self.scalar(parameter)).collect::<Result<_>>()?,
            names,
            position: without_parens(first).position,
        }));
        Ok(self.distinct(first, planned))
    }

    fn timestamp_call(&mut self, call: &Call, needs: &Needs) -> Result<Vector> {
        let input = without_parens(argument(call, 0)?);
        let (names, needs) = self.name_removal(input, needs);
        let of_start = call.function.name == "start_timestamp";
        let planned = match &input.kind {
            ExprKind::Vector(selector) if !of_start || self.options.start_timestamps => {
                let reading = if of_start { Reading::StartTimestamp } else { Reading::Timestamp };
                let mut selector = self.selector(selector, input.position, &needs, reading)?;
                selector.names = names;
                Vector::Selector(selector)
            }
            _ if of_start => {
                let input = self.vector(input, &needs)?;
                let (name, position) = (call.function.name, Position::default());
                Vector::Map(Box::new(Map { name, kernel: nothing, input, parameters: Vec::new(), names, position }))
            }
            _ => Vector::StepTime { input: Box::new(self.vector(input, &needs)?), names },
        };
        Ok(self.distinct(input, planned))
    }

    fn sort_call(&mut self, call: &Call, position: Position) -> Result<Vector> {
        let by_label = call.function.name.starts_with("sort_by_label");
        let by = if by_label {
            SortBy::Labels((1..call.arguments.len()).map(|index| text(call, index)).collect::<Result<_>>()?)
        } else {
            SortBy::Value
        };
        let input = self.vector(argument(call, 0)?, &Needs::All)?;
        let descending = call.function.name.ends_with("_desc");
        Ok(Vector::Sort(Box::new(Sort { input, by, descending, position })))
    }

    fn label_replace(&mut self, call: &Call) -> Result<Vector> {
        let (destination, replacement) = (text(call, 1)?, text(call, 2)?);
        let (source, pattern) = (text(call, 3)?, text(call, 4)?);
        let regex = GoRegex::anchored(&pattern)
            .map_err(|_| unprocessable(format!("invalid regular expression in label_replace(): {pattern}")))?;
        if !self.is_label_name(&destination, argument(call, 1)?.position) {
            return Err(unprocessable(format!("invalid destination label name in label_replace(): {destination}")));
        }
        let input = self.vector(argument(call, 0)?, &Needs::All)?;
        let kind = RelabelKind::Replace { source, regex, replacement };
        Ok(Vector::Distinct(Box::new(Vector::Relabel(Box::new(Relabel { kind, destination, input })))))
    }

    fn label_join(&mut self, call: &Call) -> Result<Vector> {
        let (destination, separator) = (text(call, 1)?, text(call, 2)?);
        let sources: Vec<String> = (3..call.arguments.len()).map(|index| text(call, index)).collect::<Result<_>>()?;
        if let Some(source) = sources.iter().find(|source| source.is_empty()) {
            return Err(unprocessable(format!("invalid source label name in label_join(): {source}")));
        }
        if !self.is_label_name(&destination, argument(call, 1)?.position) {
            return Err(unprocessable(format!("invalid destination label name in label_join(): {destination}")));
        }
        let input = self.vector(argument(call, 0)?, &Needs::All)?;
        let kind = RelabelKind::Join { sources, separator };
        Ok(Vector::Distinct(Box::new(Vector::Relabel(Box::new(Relabel { kind, destination, input })))))
    }

    fn histogram_call(&mut self, call: &Call) -> Result<Vector> {
        let input_index = match call.function.name {
            "histogram_quantile" => 1,
            "histogram_fraction" => 2,
            _ => 0,
        };
        let input = without_parens(argument(call, input_index)?);
        let kind = match call.function.name {
            "histogram_quantile" => {
                let quantile = argument(call, 0)?;
                let quantile_position = without_parens(quantile).position;
                HistogramKind::Quantile { quantile: self.scalar(quantile)?, quantile_position }
            }
            "histogram_fraction" => HistogramKind::Fraction {
                lower: self.scalar(argument(call, 0)?)?,
                upper: self.scalar(argument(call, 1)?)?,
            },
            _ => {
                let mut quantiles = Vec::new();
                for quantile in call.arguments.iter().skip(2) {
                    quantiles.push((self.scalar(quantile)?, without_parens(quantile).position));
                }
                HistogramKind::Quantiles { label: text(call, 1)?, quantiles }
            }
        };
        let (names, _) = self.name_removal(input, &Needs::All);
        let planned = Vector::Histogram(Box::new(HistogramCall {
            kind,
            input: self.vector(input, &Needs::All)?,
            names,
            position: input.position,
        }));
        // The label of the quantile may overwrite one that told two histograms apart.
        let overwrites = call.function.name == "histogram_quantiles";
        Ok(if overwrites { Vector::Distinct(Box::new(planned)) } else { self.distinct(input, planned) })
    }

    fn info_call(&mut self, call: &Call) -> Result<Vector> {
        let input = argument(call, 0)?;
        let selected: &[Matcher] = match call.arguments.get(1).map(|expr| &without_parens(expr).kind) {
            Some(ExprKind::Vector(selector)) if selector.matchers.is_empty() && !self.options.newer_rules => {
                // The original prints the query before it evaluates it, an empty selector as nothing, and does not
                // accept what it printed.
                let comma = "info(".len() + self.written(input.position).len() + 1;
                let message = format!("1:{comma}: parse error: trailing commas not allowed in function call args");
                return Err(Error::bad_request(message));
            }
            Some(ExprKind::Vector(selector)) => &selector.matchers,
            Some(_) => return Err(Error::bad_request("expected label selectors as the second argument to info")),
            None => &[],
        };
        let (names, data): (Vec<&Matcher>, Vec<&Matcher>) =
            selected.iter().partition(|matcher| matcher.name() == METRIC_NAME);
        let (at_ms, offset_ms) = self.first_selector_time(input)?.unwrap_or((None, 0));
        let planned = Vector::Info(Box::new(Info {
            input: self.vector(input, &Needs::All)?,
            data_matchers: data.into_iter().cloned().collect(),
            name_matchers: info_name_matchers(names.into_iter().cloned().collect()),
            offset_ms,
            at_ms,
        }));
        Ok(Vector::Distinct(Box::new(planned)))
    }

    /// `@` and offset of the first selector in an expression, those of the subqueries around it included until one of
    /// them fixes the time. Source: Prometheus `promql/info.go`, `infoSelectTimestampAndOffset`.
    fn first_selector_time(&self, expr: &Expr) -> Result<Option<(Option<i64>, i64)>> {
        let of = |selector: &VectorSelector| -> Result<_> {
            Ok(Some((self.at(selector.at), duration::resolve(&selector.offset, self.time, true)?)))
        };
        match &expr.kind {
            ExprKind::Vector(selector) => of(selector),
            ExprKind::Matrix(matrix) => of(&matrix.selector),
            ExprKind::Subquery(subquery) => match self.first_selector_time(&subquery.expr)? {
                Some((None, inner_ms)) => {
                    let offset_ms = duration::resolve(&subquery.offset, self.time, true)?;
                    Ok(Some((self.at(subquery.at), inner_ms.saturating_add(offset_ms))))
                }
                found => Ok(found),
            },
            ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => self.first_selector_time(expr),
            ExprKind::Aggregate(aggregate) => self.first_selector_time(&aggregate.expr),
            ExprKind::Binary(binary) => match self.first_selector_time(&binary.left)? {
                None => self.first_selector_time(&binary.right),
                found => Ok(found),
            },
            ExprKind::Call(call) => {
                for argument in &call.arguments {
                    if let Some(found) = self.first_selector_time(argument)? {
                        return Ok(Some(found));
                    }
                }
                Ok(None)
            }
            ExprKind::Number(_) | ExprKind::String(_) | ExprKind::Duration(_) => Ok(None),
        }
    }
}

/// Without a condition on the name it is `target_info`; with only negative ones, names that end in `_info`.
fn info_name_matchers(mut matchers: Vec<Matcher>) -> Vec<Matcher> {
    if matchers.is_empty() {
        return vec![Matcher::equal(METRIC_NAME, "target_info")];
    }
    if !matchers.iter().any(|matcher| matches!(matcher.op(), MatchOp::Equal | MatchOp::Regex)) {
        let any_info = Matcher::new(MatchOp::Regex, METRIC_NAME, ".+_info").expect("the pattern is valid");
        matchers.insert(0, any_info);
    }
    matchers
}

/// The labels of what `absent` answers: those that the selector fixes. Source: Prometheus
/// `createLabelsForAbsentFunction`; a label that occurs twice is left out.
fn absent_labels(expr: &Expr) -> Labels {
    let selector = match &expr.kind {
        ExprKind::Vector(selector) => selector,
        ExprKind::Matrix(matrix) => &matrix.selector,
        _ => return Labels::empty(),
    };
    let mut builder = LabelsBuilder::default();
    let mut seen: Vec<&str> = Vec::new();
    for matcher in selector.matchers.iter().filter(|matcher| matcher.name() != METRIC_NAME) {
        if matcher.op() == MatchOp::Equal && !seen.contains(&matcher.name()) {
            builder.set(matcher.name(), matcher.value());
            seen.push(matcher.name());
        } else {
            builder.remove(matcher.name());
        }
    }
    builder.build()
}

/// `anchored` and `smoothed` hand samples from outside of the range to a function; only some know what to do with them.
fn check_extension(source: &RangeSource, function: &str) -> Result<()> {
    let RangeSource::Selector { selector, .. } = source else { return Ok(()) };
    let (modifier, allowed): (_, &[&str]) = match selector.extension {
        RangeExtension::None => return Ok(()),
        RangeExtension::Anchored => ("anchored", &["changes", "delta", "increase", "rate", "resets"]),
        RangeExtension::Smoothed => ("smoothed", &["delta", "increase", "rate"]),
    };
    if allowed.contains(&function) {
        return Ok(());
    }
    let allowed = allowed.join(", ");
    Err(Error::bad_request(format!("{modifier} modifier can only be used with: {allowed} - not with {function}")))
}

fn nothing(_: PointRef<'_>, _: &mut CallContext<'_>) -> Option<PointValue> {
    None
}

fn argument(call: &Call, index: usize) -> Result<&Expr> {
    let missing = || Error::bad_request(format!("missing argument in call to function {:?}", call.function.name));
    call.arguments.get(index).ok_or_else(missing)
}

fn text(call: &Call, index: usize) -> Result<String> {
    match &without_parens(argument(call, index)?).kind {
        ExprKind::String(text) => Ok(text.clone()),
        _ => Err(Error::bad_request(format!("expected type string in call to function {:?}", call.function.name))),
    }
}
