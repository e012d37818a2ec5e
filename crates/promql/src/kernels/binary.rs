//! Operators between two points.
//!
//! Source: Prometheus `promql/engine.go`, `scalarBinop` and `vectorElemBinop`.

use norn_model::FloatHistogram;
use norn_model::histogram::trim::Keep;
use norn_model::histogram::{Combination, IncompatibleSchemas, ResetHint};

use super::{PointRef, PointValue};
use crate::annotations::{Annotation, Annotations, HistogramOperation};
use crate::tree::{BinaryOp, Position};

/// What an operator between two scalars gives: comparisons give 1 or 0.
///
/// Set and trim operators do not exist between scalars, the parser refuses them; they give NaN.
pub fn scalar_operation(op: BinaryOp, left: f64, right: f64) -> f64 {
    match float_operation(op, left, right) {
        Outcome::Value(PointValue::Float(value)) => value,
        Outcome::Compared(holds) => f64::from(holds),
        Outcome::Value(PointValue::Histogram(_)) | Outcome::Undefined => f64::NAN,
    }
}

/// What comes of an operator between two points.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Arithmetic gave a point.
    Value(PointValue),
    /// A comparison holds or does not. Without `bool` the point of the vector's side stays, or goes.
    Compared(bool),
    /// The operator is not made for such points, not even with `bool`. An annotation says so.
    Undefined,
}

/// Applies an operator to two points. Set operators are none of points: they are undefined here.
///
/// - `position`: where annotations point, the whole operation.
pub fn operation(
    op: BinaryOp,
    left: PointRef<'_>,
    right: PointRef<'_>,
    position: Position,
    annotations: &mut Annotations,
) -> Outcome {
    let outcome = match (left, right) {
        (PointRef::Float(left), PointRef::Float(right)) => float_operation(op, left, right),
        (PointRef::Float(left), PointRef::Histogram(right)) if op == BinaryOp::Multiply => multiplied(right, left),
        (PointRef::Float(_), PointRef::Histogram(_)) => Outcome::Undefined,
        (PointRef::Histogram(left), PointRef::Float(right)) => histogram_float_operation(op, left, right),
        (PointRef::Histogram(left), PointRef::Histogram(right)) => match op {
            BinaryOp::Add | BinaryOp::Subtract => return combined(op, left, right, position, annotations),
            BinaryOp::Equal => Outcome::Compared(left.is_identical(right)),
            BinaryOp::NotEqual => Outcome::Compared(!left.is_identical(right)),
            _ => Outcome::Undefined,
        },
    };
    if outcome == Outcome::Undefined {
        let (left, right) = (kind(left), kind(right));
        annotations.add(Annotation::IncompatibleTypes { left, operator: op.symbol(), right }, position);
    }
    outcome
}

fn kind(point: PointRef<'_>) -> &'static str {
    match point {
        PointRef::Float(_) => "float",
        PointRef::Histogram(_) => "histogram",
    }
}

/// Applies an operator to two floats. Cheap enough to be called for every sample.
#[inline]
pub fn float_operation(op: BinaryOp, left: f64, right: f64) -> Outcome {
    let value = match op {
        BinaryOp::Add => left + right,
        BinaryOp::Subtract => left - right,
        BinaryOp::Multiply => left * right,
        BinaryOp::Divide => left / right,
        BinaryOp::Modulo => left % right,
        BinaryOp::Power => left.powf(right),
        BinaryOp::Atan2 => left.atan2(right),
        BinaryOp::Equal => return Outcome::Compared(left == right),
        BinaryOp::NotEqual => return Outcome::Compared(left != right),
        BinaryOp::Greater => return Outcome::Compared(left > right),
        BinaryOp::GreaterOrEqual => return Outcome::Compared(left >= right),
        BinaryOp::Less => return Outcome::Compared(left < right),
        BinaryOp::LessOrEqual => return Outcome::Compared(left <= right),
        BinaryOp::And | BinaryOp::Or | BinaryOp::Unless | BinaryOp::TrimUpper | BinaryOp::TrimLower => {
            return Outcome::Undefined;
        }
    };
    Outcome::Value(PointValue::Float(value))
}

fn multiplied(histogram: &FloatHistogram, factor: f64) -> Outcome {
    changed(histogram, |histogram| {
        histogram.multiply(factor);
        histogram.compact(0);
    })
}

fn histogram_float_operation(op: BinaryOp, left: &FloatHistogram, right: f64) -> Outcome {
    match op {
        BinaryOp::Multiply => multiplied(left, right),
        BinaryOp::Divide => changed(left, |histogram| {
            histogram.divide(right);
            histogram.compact(0);
        }),
        BinaryOp::TrimUpper => changed(left, |histogram| histogram.trim(right, Keep::Below)),
        BinaryOp::TrimLower => changed(left, |histogram| histogram.trim(right, Keep::Above)),
        _ => Outcome::Undefined,
    }
}

fn changed(histogram: &FloatHistogram, change: impl FnOnce(&mut FloatHistogram)) -> Outcome {
    let mut result = histogram.clone();
    change(&mut result);
    Outcome::Value(result.into())
}

/// The sum or difference of two histograms.
fn combined(
    op: BinaryOp,
    left: &FloatHistogram,
    right: &FloatHistogram,
    position: Position,
    annotations: &mut Annotations,
) -> Outcome {
    let mut result = left.clone();
    let (combination, operation) = if op == BinaryOp::Subtract {
        (result.subtract(right), HistogramOperation::Subtraction)
    } else {
        (result.add(right), HistogramOperation::Addition)
    };
    match combination {
        Err(IncompatibleSchemas) => {
            annotations.add(Annotation::IncompatibleBucketLayout { operator: op.symbol() }, position);
            return Outcome::Undefined;
        }
        Ok(Combination { reset_collision, bounds_reconciled }) => {
            if reset_collision {
                annotations.add(Annotation::CounterResetCollision { operation }, position);
            }
            if bounds_reconciled {
                annotations.add(Annotation::MismatchedCustomBuckets { operation }, position);
            }
        }
    }
    if op == BinaryOp::Subtract {
        result.reset_hint = ResetHint::Gauge;
    }
    result.compact(0);
    Outcome::Value(result.into())
}

#[cfg(test)]
mod tests {
    use super::super::test_windows::histogram;
    use super::*;

    fn check(op: BinaryOp, left: PointRef<'_>, right: PointRef<'_>, expected: &Outcome, texts: &[&str]) {
        let mut annotations = Annotations::default();
        let found = operation(op, left, right, Position::default(), &mut annotations);
        assert_eq!(found, *expected, "{left:?} {} {right:?}", op.symbol());
        let (mut found, infos) = annotations.texts("", 0, 0);
        found.extend(infos);
        assert_eq!(found, texts);
    }

    #[test]
    fn floats_are_computed_and_compared() {
        let value = |value| Outcome::Value(PointValue::Float(value));
        let check = |op, left, right, expected| {
            check(op, PointRef::Float(left), PointRef::Float(right), &expected, &[]);
        };
        check(BinaryOp::Modulo, -7.0, 3.0, value(-1.0));
        check(BinaryOp::Power, 2.0, 0.5, value(2f64.sqrt()));
        check(BinaryOp::Divide, 1.0, 0.0, value(f64::INFINITY));
        check(BinaryOp::NotEqual, f64::NAN, f64::NAN, Outcome::Compared(true));
        assert_eq!(scalar_operation(BinaryOp::LessOrEqual, 1.0, 1.0), 1.0);
        assert_eq!(scalar_operation(BinaryOp::Equal, 1.0, 2.0), 0.0);
    }

    #[test]
    fn histograms_are_computed() {
        let (left, right) = (histogram(1.0, 2.0, 3.0), histogram(1.0, 1.0, 1.0));
        let (left, right) = (PointRef::Histogram(&left), PointRef::Histogram(&right));
        check(BinaryOp::Add, left, right, &Outcome::Value(histogram(2.0, 3.0, 4.0).into()), &[]);
        let doubled = Outcome::Value(histogram(2.0, 4.0, 6.0).into());
        check(BinaryOp::Multiply, left, PointRef::Float(2.0), &doubled, &[]);
        check(BinaryOp::Multiply, PointRef::Float(2.0), left, &doubled, &[]);
        check(BinaryOp::Equal, left, left, &Outcome::Compared(true), &[]);
        check(BinaryOp::NotEqual, left, right, &Outcome::Compared(true), &[]);
        let trimmed = Outcome::Value(trimmed_to_one());
        check(BinaryOp::TrimUpper, left, PointRef::Float(1.0), &trimmed, &[]);
    }

    fn trimmed_to_one() -> PointValue {
        let mut trimmed = histogram(1.0, 0.0, 0.5f64.sqrt());
        trimmed.compact(0);
        trimmed.into()
    }

    #[test]
    fn what_does_not_go_together_is_said() {
        let (one, custom) = (histogram(1.0, 2.0, 3.0), FloatHistogram::empty(-53, [1.0].into()));
        let info = "PromQL info: incompatible sample types encountered for binary operator \"^\": histogram ^ float";
        check(BinaryOp::Power, PointRef::Histogram(&one), PointRef::Float(2.0), &Outcome::Undefined, &[info]);
        let warning = "PromQL warning: incompatible bucket layout encountered for binary operator -";
        let (left, right) = (PointRef::Histogram(&one), PointRef::Histogram(&custom));
        check(BinaryOp::Subtract, left, right, &Outcome::Undefined, &[warning]);
        let info = "PromQL info: incompatible sample types encountered for binary operator \"</\": float </ float";
        check(BinaryOp::TrimUpper, PointRef::Float(1.0), PointRef::Float(2.0), &Outcome::Undefined, &[info]);
    }
}
