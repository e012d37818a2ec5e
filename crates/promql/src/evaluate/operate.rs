//! Binary operators over floats, as plain functions for loops over columns. What involves histograms is in
//! [`crate::kernels::binary`].

use crate::tree::BinaryOp;

/// Whether an operator compares.
pub(crate) fn is_comparison(op: BinaryOp) -> bool {
    matches!(
        op,
        BinaryOp::Equal
            | BinaryOp::NotEqual
            | BinaryOp::Greater
            | BinaryOp::GreaterOrEqual
            | BinaryOp::Less
            | BinaryOp::LessOrEqual
    )
}

/// Whether an operator is defined between two floats.
pub(crate) fn is_float_operation(op: BinaryOp) -> bool {
    is_comparison(op) || arithmetic(op).is_some()
}

/// The function of an arithmetic operator. Source of the corner cases: Go's `math`, which are those of C.
pub(crate) fn arithmetic(op: BinaryOp) -> Option<fn(f64, f64) -> f64> {
    Some(match op {
        BinaryOp::Add => |left, right| left + right,
        BinaryOp::Subtract => |left, right| left - right,
        BinaryOp::Multiply => |left, right| left * right,
        BinaryOp::Divide => |left, right| left / right,
        BinaryOp::Modulo => |left, right| left % right,
        BinaryOp::Power => f64::powf,
        BinaryOp::Atan2 => f64::atan2,
        _ => return None,
    })
}

/// Whether a comparison holds; false for operators that do not compare.
#[inline]
pub(crate) fn compares(op: BinaryOp, left: f64, right: f64) -> bool {
    match op {
        BinaryOp::Equal => left == right,
        BinaryOp::NotEqual => left != right,
        BinaryOp::Greater => left > right,
        BinaryOp::GreaterOrEqual => left >= right,
        BinaryOp::Less => left < right,
        BinaryOp::LessOrEqual => left <= right,
        _ => false,
    }
}
