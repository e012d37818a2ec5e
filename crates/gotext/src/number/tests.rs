use super::*;

#[test]
fn layouts() {
    let check = |value: f64, fixed: &str, exponent: &str, general: &str, sample: &str| {
        assert_eq!(format_float(value, FloatFormat::Fixed), fixed);
        assert_eq!(format_float(value, FloatFormat::Exponent), exponent);
        assert_eq!(format_float(value, FloatFormat::General), general);
        assert_eq!(format_sample(value), sample);
    };
    check(0.0, "0", "0e+00", "0", "0");
    check(-0.0, "-0", "-0e+00", "-0", "-0");
    check(1.0, "1", "1e+00", "1", "1");
    check(-1.5, "-1.5", "-1.5e+00", "-1.5", "-1.5");
    check(100_000.0, "100000", "1e+05", "100000", "100000");
    check(1e6, "1000000", "1e+06", "1e+06", "1000000");
    check(1_234_567.0, "1234567", "1.234567e+06", "1.234567e+06", "1234567");
    check(1e-4, "0.0001", "1e-04", "0.0001", "0.0001");
    check(1.5e-5, "0.000015", "1.5e-05", "1.5e-05", "0.000015");
    check(9e-7, "0.0000009", "9e-07", "9e-07", "9e-07");
    check(1e21, "1000000000000000000000", "1e+21", "1e+21", "1e+21");
    check(1.1e20, "110000000000000000000", "1.1e+20", "1.1e+20", "110000000000000000000");
    check(0.1 + 0.2, "0.30000000000000004", "3.0000000000000004e-01", "0.30000000000000004", "0.30000000000000004");
    check(
        9_007_199_254_740_993.0,
        "9007199254740992",
        "9.007199254740992e+15",
        "9.007199254740992e+15",
        "9007199254740992",
    );
    check(f64::INFINITY, "+Inf", "+Inf", "+Inf", "+Inf");
    check(f64::NEG_INFINITY, "-Inf", "-Inf", "-Inf", "-Inf");
    check(f64::NAN, "NaN", "NaN", "NaN", "NaN");
    assert_eq!(format_sample(f64::MIN_POSITIVE), "2.2250738585072014e-308");
    assert_eq!(format_sample(5e-324), "5e-324");
    assert_eq!(format_float(f64::MAX, FloatFormat::Fixed).len(), 309);
}

#[test]
fn floats_are_read() {
    let check = |text: &str, expected: f64| {
        let value = parse_float(text).unwrap();
        assert_eq!(value.to_bits(), expected.to_bits(), "{text}: {value}");
    };
    check("1.5", 1.5);
    check("+.5", 0.5);
    check("5.", 5.0);
    check("-1e-3", -0.001);
    check("1_000.5_0e1_0", 1_000.50e10);
    check("0x1p4", 16.0);
    check("-0X_1.8p1", -3.0);
    check("0x.8p0", 0.5);
    check("0x1p-1074", 5e-324);
    check("0x1.8p-1075", 5e-324);
    check("0x1p-1075", 0.0);
    check("0x1.fffffffffffff7p1023", f64::MAX);
    check("0x1.00000000000008p0", 1.0);
    check("0x1.000000000000080000000001p0", 1.0 + f64::EPSILON);
    check("0x1000000000000000000000p0", 2_f64.powi(84));
    check("inf", f64::INFINITY);
    check("-Infinity", f64::NEG_INFINITY);
    assert!(parse_float("nan").unwrap().is_nan());
}

#[test]
fn floats_are_refused() {
    let check = |text: &str, expected: &str| assert_eq!(parse_float(text).unwrap_err().to_string(), expected);
    check("", r#"strconv.ParseFloat: parsing "": invalid syntax"#);
    check("1e999", r#"strconv.ParseFloat: parsing "1e999": value out of range"#);
    check("0x1p1024", r#"strconv.ParseFloat: parsing "0x1p1024": value out of range"#);
    for wrong in ["_1", "1_", "1__0", "0x", "0x1", "0xp1", "0x1p", "1e", "+-1", "1_+1", "infx", " 1", "0b1", "--1"] {
        check(wrong, &format!("strconv.ParseFloat: parsing {wrong:?}: invalid syntax"));
    }
}

#[test]
fn integers() {
    let check = |text: &str, expected: Option<i64>| assert_eq!(parse_int(text).ok(), expected, "{text}");
    check("0", Some(0));
    check("-12", Some(-12));
    check("0755", Some(0o755));
    check("0x_1F", Some(31));
    check("1_000", Some(1000));
    check("0b11", Some(3));
    check("0o17", Some(15));
    check("9223372036854775807", Some(i64::MAX));
    check("-9223372036854775808", Some(i64::MIN));
    for wrong in ["", "-", "08", "0x", "1_", "_1", "1.5", "1e3", "99999999999999999999999999999999999999999999"] {
        check(wrong, None);
    }
    assert_eq!(parse_int("9223372036854775808").unwrap_err().cause(), NumberErrorCause::Range);
}
