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
