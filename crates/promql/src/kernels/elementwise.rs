//! Functions of one float: rounding, limits, logarithms, trigonometry. Histograms give nothing.
//!
//! Source: Prometheus `promql/functions.go`.

use std::f64::consts::{LN_2, PI};

use super::{CallContext, InstantKernel, PointRef, PointValue};

/// The kernel of a function of this module.
pub(super) fn kernel(name: &str) -> Option<InstantKernel> {
    Some(match name {
        "abs" => |point, _| map(point, f64::abs),
        "ceil" => |point, _| map(point, f64::ceil),
        "floor" => |point, _| map(point, f64::floor),
        "exp" => |point, _| map(point, f64::exp),
        "sqrt" => |point, _| map(point, f64::sqrt),
        "ln" => |point, _| map(point, ln),
        "log2" => |point, _| map(point, f64::log2),
        "log10" => |point, _| map(point, f64::log10),
        "sin" => |point, _| map(point, f64::sin),
        "cos" => |point, _| map(point, f64::cos),
        "tan" => |point, _| map(point, f64::tan),
        "asin" => |point, _| map(point, f64::asin),
        "acos" => |point, _| map(point, f64::acos),
        "atan" => |point, _| map(point, f64::atan),
        "sinh" => |point, _| map(point, f64::sinh),
        "cosh" => |point, _| map(point, f64::cosh),
        "tanh" => |point, _| map(point, f64::tanh),
        "asinh" => |point, _| map(point, asinh),
        "acosh" => |point, _| map(point, acosh),
        "atanh" => |point, _| map(point, f64::atanh),
        "rad" => |point, _| map(point, |value| value * PI / 180.0),
        "deg" => |point, _| map(point, |value| value * 180.0 / PI),
        "sgn" => |point, _| map(point, sign),
        "round" => round,
        "clamp" => |point, context| clamp(point, context.parameter_or(0, f64::NAN), context.parameter_or(1, f64::NAN)),
        "clamp_min" => |point, context| clamp(point, context.parameter_or(0, f64::NAN), f64::INFINITY),
        "clamp_max" => |point, context| clamp(point, f64::NEG_INFINITY, context.parameter_or(0, f64::NAN)),
        _ => return None,
    })
}

fn map(point: PointRef<'_>, function: impl Fn(f64) -> f64) -> Option<PointValue> {
    match point {
        PointRef::Float(value) => Some(PointValue::Float(function(value))),
        PointRef::Histogram(_) => None,
    }
}

/// The natural logarithm. Of subnormal floats it is that which the originals give on x86: Go's code for that machine reads
/// their mantissa as if it had a leading one.
fn ln(value: f64) -> f64 {
    const MANTISSA_BITS: u64 = (1 << 52) - 1;
    if value.is_subnormal() && value > 0.0 {
        let mantissa = f64::from_bits(value.to_bits() & MANTISSA_BITS | 1.0f64.to_bits());
        return mantissa.ln() - 1023.0 * LN_2;
    }
    value.ln()
}

/// Beyond this a square does not notice that 1 is added to it.
const LARGE: f64 = (1u64 << 28) as f64;

/// The inverse hyperbolic sine, finite also where twice the value is not.
fn asinh(value: f64) -> f64 {
    if value.abs() > LARGE { (value.abs().ln() + LN_2).copysign(value) } else { value.asinh() }
}

/// The inverse hyperbolic cosine, finite also where twice the value is not.
fn acosh(value: f64) -> f64 {
    if value > LARGE { value.ln() + LN_2 } else { value.acosh() }
}

/// -1, 0 or 1; zeros and NaN stay as they are.
fn sign(value: f64) -> f64 {
    if value < 0.0 {
        -1.0
    } else if value > 0.0 {
        1.0
    } else {
        value
    }
}

/// The nearest multiple, ties upwards.
fn round(point: PointRef<'_>, context: &mut CallContext<'_>) -> Option<PointValue> {
    // Multiplying with the inverse is more exact for the fractions that people round to.
    let inverse = 1.0 / context.parameter_or(0, 1.0);
    map(point, |value| (value * inverse + 0.5).floor() / inverse)
}

/// Nothing where the limits exclude everything.
fn clamp(point: PointRef<'_>, min: f64, max: f64) -> Option<PointValue> {
    if max < min {
        return None;
    }
    map(point, |value| larger(min, smaller(max, value)))
}

/// The smaller of two; NaN if one of them is, unless the other is minus infinity.
pub(super) fn smaller(left: f64, right: f64) -> f64 {
    if left == f64::NEG_INFINITY || right == f64::NEG_INFINITY {
        f64::NEG_INFINITY
    } else if left.is_nan() || right.is_nan() {
        f64::NAN
    } else {
        left.min(right)
    }
}

/// The larger of two; NaN if one of them is, unless the other is infinity.
pub(super) fn larger(left: f64, right: f64) -> f64 {
    -smaller(-left, -right)
}

#[cfg(test)]
mod tests {
    use super::super::test_windows::{histogram, with_context};
    use super::*;

    fn check(name: &str, value: f64, parameters: &[f64], expected: Option<f64>) {
        let kernel = kernel(name).unwrap();
        let (found, _) = with_context(parameters, |context| kernel(PointRef::Float(value), context));
        let bits = |value: f64| if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
        let found = found.map(|point| match point {
            PointValue::Float(value) => bits(value),
            PointValue::Histogram(_) => panic!("floats give floats"),
        });
        assert_eq!(found, expected.map(bits), "{name}({value}, {parameters:?})");
    }

    #[test]
    fn floats_are_mapped() {
        check("abs", -2.5, &[], Some(2.5));
        check("ceil", 1.2, &[], Some(2.0));
        check("round", 2.5, &[], Some(3.0));
        check("round", -2.5, &[], Some(-2.0));
        check("round", 1.26, &[0.1], Some(1.3));
        check("sgn", -7.0, &[], Some(-1.0));
        check("sgn", -0.0, &[], Some(-0.0));
        check("deg", PI, &[], Some(180.0));
        check("clamp", 5.0, &[1.0, 3.0], Some(3.0));
        check("clamp", 5.0, &[3.0, 1.0], None);
        check("clamp", 5.0, &[f64::NAN, 1.0], Some(f64::NAN));
        check("clamp_min", -5.0, &[1.0], Some(1.0));
        check("clamp_max", 5.0, &[1.0], Some(1.0));
        check("ln", -1.0, &[], Some(f64::NAN));
        check("ln", 5e-324, &[], Some(-709.0895657128241));
        check("asinh", -1e308, &[], Some(-709.889355822726));
        check("acosh", 1e308, &[], Some(709.889355822726));
        check("acosh", 0.5, &[], Some(f64::NAN));
    }

    #[test]
    fn histograms_give_nothing() {
        let histogram = histogram(1.0, 1.0, 1.0);
        let (found, _) = with_context(&[], |context| kernel("abs").unwrap()(PointRef::Histogram(&histogram), context));
        assert_eq!(found, None);
        assert!(kernel("rate").is_none());
    }

    #[test]
    fn infinities_win_over_nan() {
        assert_eq!(larger(f64::INFINITY, f64::NAN), f64::INFINITY);
        assert!(larger(f64::NEG_INFINITY, f64::NAN).is_nan());
        assert_eq!(smaller(f64::NAN, f64::NEG_INFINITY), f64::NEG_INFINITY);
    }
}
