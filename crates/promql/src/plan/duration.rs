//! Durations that depend on the query's own range and step, as numbers.
//!
//! Source: Prometheus `promql/durations.go`.

use norn_base::{Error, ErrorKind, Result};

use super::QueryTime;
use crate::tree::{BinaryOp, DurationExpr, DurationExprKind, DurationValue};

/// More seconds than this do not fit the nanoseconds of the original's durations.
const SECONDS_MAX: f64 = 9_223_372_036.854_775;

/// A length of time in milliseconds.
///
/// - `negative_allowed`: offsets may be negative or zero, ranges and steps may not.
/// - Fails where the expression has no finite value, or not an allowed one.
pub(crate) fn resolve(value: &DurationValue, time: QueryTime, negative_allowed: bool) -> Result<i64> {
    let expr = match value {
        DurationValue::Literal(milliseconds) => return Ok(*milliseconds),
        DurationValue::Expr(expr) => expr,
    };
    let seconds = evaluate(expr, time)?;
    let reject = |reason: &str| Err(failure(expr, reason));
    if !seconds.is_finite() {
        return reject("duration is NaN or infinite");
    }
    if seconds <= 0.0 && !negative_allowed {
        return reject("duration must be greater than 0");
    }
    if seconds.abs() > SECONDS_MAX {
        return reject("duration is out of range");
    }
    // Fits: `SECONDS_MAX` in milliseconds is far below 2^63. The fraction of a millisecond is cut.
    Ok((seconds * 1000.0) as i64)
}

fn failure(expr: &DurationExpr, reason: &str) -> Error {
    let message = format!("{}:{}: {reason}", expr.position.start, expr.position.end);
    Error::new(ErrorKind::BadRequest, message)
}

/// The value of a duration expression in seconds, which may be any float.
pub(crate) fn evaluate(expr: &DurationExpr, time: QueryTime) -> Result<f64> {
    Ok(match &expr.kind {
        DurationExprKind::Number(number) => number.value,
        DurationExprKind::Step => time.step_ms() as f64 / 1000.0,
        DurationExprKind::Range => (time.end_ms() - time.start_ms()) as f64 / 1000.0,
        DurationExprKind::Start => time.start_ms() as f64 / 1000.0,
        DurationExprKind::End => time.end_ms() as f64 / 1000.0,
        DurationExprKind::Negate(inner) => -evaluate(inner, time)?,
        DurationExprKind::Plus(inner) => evaluate(inner, time)?,
        DurationExprKind::MinOf(left, right) => go_min(evaluate(left, time)?, evaluate(right, time)?),
        DurationExprKind::MaxOf(left, right) => go_max(evaluate(left, time)?, evaluate(right, time)?),
        DurationExprKind::Binary { op, left, right } => {
            let (left, right) = (evaluate(left, time)?, evaluate(right, time)?);
            match op {
                BinaryOp::Divide if right == 0.0 => return Err(failure(expr, "division by zero")),
                BinaryOp::Modulo if right == 0.0 => return Err(failure(expr, "modulo by zero")),
                BinaryOp::Add => left + right,
                BinaryOp::Subtract => left - right,
                BinaryOp::Multiply => left * right,
                BinaryOp::Divide => left / right,
                BinaryOp::Modulo => left % right,
                BinaryOp::Power => left.powf(right),
                _ => return Err(failure(expr, "operator is not allowed between durations")),
            }
        }
    })
}

/// Go's `math.Min`: NaN wins, unlike in Rust.
pub(crate) fn go_min(left: f64, right: f64) -> f64 {
    if left.is_nan() || right.is_nan() { f64::NAN } else { left.min(right) }
}

/// Go's `math.Max`: NaN wins, unlike in Rust.
pub(crate) fn go_max(left: f64, right: f64) -> f64 {
    if left.is_nan() || right.is_nan() { f64::NAN } else { left.max(right) }
}
