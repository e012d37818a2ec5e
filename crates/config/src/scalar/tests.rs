use super::*;

fn plain(text: &str) -> Scalar {
    Scalar { text: text.to_owned(), plain: true }
}

fn quoted(text: &str) -> Scalar {
    Scalar { text: text.to_owned(), plain: false }
}

#[test]
fn integers_are_read_as_go_reads_them() {
    let check = |text: &str, expected: Option<i64>| assert_eq!(integer(&plain(text)).ok(), expected, "{text}");
    check("8080", Some(8080));
    check("-1", Some(-1));
    check("+7", Some(7));
    check("0644", Some(0o644));
    check("0o644", Some(0o644));
    check("0x1F", Some(31));
    check("0b101", Some(5));
    check("1_000_000", Some(1_000_000));
    check("1e6", Some(1_000_000));
    check("1.9", Some(1));
    check("9223372036854775807", Some(i64::MAX));
    check("-9223372036854775808", Some(i64::MIN));
    check("9223372036854775808", None);
    check("1e30", None);
    check("089", None);
    check("0x", None);
    check("", None);
    check("many", None);
    check(".inf", None);
    assert!(integer(&quoted("8080")).is_err());
}

#[test]
fn numbers_booleans_and_sizes() {
    let check = |text: &str, expected: Option<f64>| assert_eq!(float(&plain(text)).ok(), expected, "{text}");
    check("1e9", Some(1e9));
    check("1.5", Some(1.5));
    check("10000", Some(10_000.0));
    check(".inf", Some(f64::INFINITY));
    check("inf", None);
    check("nan", None);
    check("0644", Some(420.0));
    check("1e9x", None);
    let check = |scalar: Scalar, expected: Option<bool>| assert_eq!(bool(&scalar).ok(), expected, "{}", scalar.text);
    check(plain("true"), Some(true));
    check(plain("FALSE"), Some(false));
    check(plain("yes"), Some(true));
    check(quoted("off"), Some(false));
    check(quoted("true"), None);
    check(plain("1"), None);
    let check = |text: &str, expected: Option<i64>| assert_eq!(bytes(&plain(text)).ok(), expected, "{text}");
    check("104857600", Some(104_857_600));
    check("100MiB", Some(104_857_600));
    check("1.5kb", Some(1536));
    check("2 GB", Some(2 << 30));
    check("100XB", None);
}

#[test]
fn durations_have_the_syntax_of_go_and_of_prometheus() {
    let check = |text: &str, expected: Option<i64>| {
        assert_eq!(duration(text).ok().map(Span::nanoseconds), expected, "{text}");
    };
    check("0", Some(0));
    check("0s", Some(0));
    check("5m", Some(300_000_000_000));
    check("1h30m", Some(5_400_000_000_000));
    check("1.5s", Some(1_500_000_000));
    check("-1s", Some(-1_000_000_000));
    check("250ms", Some(250_000_000));
    check("10us", Some(10_000));
    check("10µs", Some(10_000));
    check("1y", Some(365 * 86_400_000_000_000));
    check("2w3d", Some(17 * 86_400_000_000_000));
    check("infinity", Some(i64::MAX));
    check("2562047h47m16.854775807s", Some(i64::MAX));
    check("5", None);
    check("m", None);
    check("5 m", None);
    check("5x", None);
    check(".s", None);
    check("", None);
    check("300y", None);
}

#[test]
fn durations_print_as_go_and_prometheus_print_them() {
    let check = |text: &str, go: &str, prometheus: &str| {
        let span = duration(text).unwrap();
        assert_eq!((span.to_string().as_str(), span.to_prometheus().as_str()), (go, prometheus), "{text}");
        assert_eq!(duration(go).unwrap(), span, "{go}");
    };
    check("0", "0s", "0s");
    check("90s", "1m30s", "1m30s");
    check("2m", "2m0s", "2m");
    check("13h", "13h0m0s", "13h");
    check("168h", "168h0m0s", "1w");
    check("90d", "2160h0m0s", "90d");
    check("1y", "8760h0m0s", "1y");
    check("1500ms", "1.5s", "1s500ms");
    check("250ms", "250ms", "250ms");
    check("-5m", "-5m0s", "-5m");
    check("infinity", "2562047h47m16.854775807s", "106751d23h47m16s854ms");
}

#[test]
fn floats_print_as_go_prints_them() {
    let check = |number: f64, expected: &str| assert_eq!(print_float(number), expected);
    check(0.0, "0");
    check(10_000.0, "10000");
    check(0.75, "0.75");
    check(1e9, "1e+09");
    check(123_456.0, "123456");
    check(1_234_567.0, "1.234567e+06");
    check(0.000_01, "1e-05");
    check(f64::INFINITY, ".inf");
}
