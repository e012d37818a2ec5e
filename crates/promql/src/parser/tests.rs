use super::*;

fn error(text: &str) -> String {
    parse(text, &ParseOptions::all()).unwrap_err().to_string().replace(" parse error:", "")
}

#[test]
fn depth_is_bounded() {
    let nested = |depth: usize| format!("{}1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(parse(&nested(NESTING_MAX - 1), &ParseOptions::all()).is_ok());
    assert_eq!(error(&nested(NESTING_MAX)), "1:201: expression is nested deeper than 200 levels");
    assert!(parse(&"-".repeat(100_000), &ParseOptions::all()).is_err());
    let chain = |length: usize| format!("a{}", " + a".repeat(length));
    assert!(parse(&chain(HEIGHT_MAX - 1), &ParseOptions::all()).is_ok());
    for text in [nested(NESTING_MAX - 1), chain(HEIGHT_MAX - 1)] {
        let expr = parse(&text, &ParseOptions::all()).unwrap();
        assert_eq!(expr.to_string(), text);
        assert!(!crate::printer::pretty(&expr).is_empty());
        assert!(crate::tree_json::tree_json(&expr).is_object());
    }
    assert_eq!(error(&chain(HEIGHT_MAX)), "1:1: expression has more than 500 levels");
    let duration = |inner: &str, times: usize| format!("a[{}]", inner.repeat(times));
    assert!(parse(&duration("(", 100_000), &ParseOptions::all()).is_err());
    assert!(parse(&duration("-", 100_000), &ParseOptions::all()).is_err());
    assert!(parse(&duration("1+", 100_000), &ParseOptions::all()).is_err());
    assert!(parse(&duration("1^", 100_000), &ParseOptions::all()).is_err());
    assert!(parse(&format!("a{}", "[1m:]".repeat(100_000)), &ParseOptions::all()).is_err());
}

#[test]
fn what_needs_a_switch() {
    let check = |text: &str, expected: &str| {
        let error = parse(text, &ParseOptions::default()).unwrap_err().to_string();
        assert_eq!(error.replace(" parse error:", ""), expected);
        assert!(parse(text, &ParseOptions::all()).is_ok(), "{text}");
    };
    check("mad_over_time(a[5m])", "1:1: function \"mad_over_time\" is not enabled");
    let flag = "--enable-feature=promql-experimental-functions";
    check("limitk(1, a)", &format!("1:1: limitk() is experimental and must be enabled with {flag}"));
    check("a[5m + 1m]", "1:3: experimental duration expression is not enabled");
    check("a offset (5m)", "1:11: experimental duration expression is not enabled");
    check("a[step()]", "1:3: experimental duration expression is not enabled");
    check("rate(a[5m] anchored)", "1:6: anchored modifier is experimental and not enabled");
    check("a smoothed", "1:1: smoothed modifier is experimental and not enabled");
    check("a + fill (1) b", "1:1: binop fill modifiers are experimental and not enabled");
    check("a{'l.x'='y'}", "1:3: invalid label name: \"l.x\"");
    check("sum by ('l.x') (a)", "1:9: invalid label name for grouping: \"l.x\"");
    check("a{b='c' or d='e'}", "1:9: unexpected identifier \"or\" in label matching, expected \",\" or \"}\"");
}

#[test]
fn durations_end_where_they_should() {
    let check = |text: &str, expected: &str| {
        let expr = parse(text, &ParseOptions::all()).unwrap();
        let ExprKind::Binary(binary) = expr.kind else { panic!("{text} is an operation") };
        assert_eq!(binary.left.to_string(), expected);
    };
    check("a offset 5m + b", "a offset 5m");
    check("a offset -2^2", "a offset -2s");
    check("a offset step() * 2", "a offset step()");
    check("a offset -(5m) - 3", "a offset -(5m)");
    check("a offset max_of(1m, 2m) / 2", "a offset max_of(1m, 2m)");
    check("a offset (1m) * 2 > b", "a offset (1m) * 2");
}

#[test]
fn mistakes_in_the_middle() {
    let check = |text: &str, expected: &str| assert_eq!(error(text), expected);
    check("a offset -1e30", "1:10: duration out of range");
    check("a offset (1e30)", "1:11: duration out of range");
    check("a[5m / 0]", "1:6: division by zero");
    check("abs(a,)", "1:6: trailing commas not allowed in function call args");
    check("a + on (b) group_left == c", "1:23: unexpected <op:==> in grouping opts, expected \"(\"");
    check("sum(a) b", "1:8: unexpected identifier \"b\"");
    check("sum(a b)", "1:7: unexpected identifier \"b\" in aggregation");
    check("sum by (a) (b, abs(c d))", "1:22: unexpected identifier \"d\" in aggregation");
    check("a[5m:1m 2]", "1:9: unexpected number \"2\" in subquery selector, expected \"]\"");
    check("a\n+\n\u{e9}", "3:1: unexpected character: 'é'");
    check("a{b=\"0123456789abc\" c}", "1:21: unexpected identifier \"c\" in label matching, expected \",\" or \"}\"");
    check("a 0123456789012", "1:3: unexpected number \"0123456789\"...");
}
