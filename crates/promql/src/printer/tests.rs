use super::*;
use crate::parser::{ParseOptions, parse};

fn canonical(text: &str) -> String {
    parse(text, &ParseOptions::all()).unwrap_or_else(|error| panic!("{text}: {error}")).to_string()
}

#[test]
fn canonical_form() {
    let check = |text: &str, expected: &str| {
        assert_eq!(canonical(text), expected);
        assert_eq!(canonical(expected), expected);
    };
    check("sum(up)by(job)", "sum by (job) (up)");
    check("sum by()(up)", "sum(up)");
    check("sum without()(up)", "sum without () (up)");
    check("topk(3,up)", "topk(3, up)");
    check("sum by ('a.b', c)(up)", r#"sum by ("a.b", c) (up)"#);
    check("1+2*3", "1 + 2 * 3");
    check("up{c=~\"d\",a='b'}", r#"up{a="b",c=~"d"}"#);
    check("{__name__='up'}", r#"{__name__="up"}"#);
    check("{'up', 'l.x'!='y'}", r#"{"l.x"!="y",__name__="up"}"#);
    check("a*on(b)group_left(c)d", "a * on (b) group_left (c) d");
    check("a*ignoring(b)d", "a * ignoring (b) d");
    check("foo==bool on() bar", "foo == bool on () bar");
    check("a + on(b) fill(1e6) c", "a + on (b) fill (1e+06) c");
    check("a + fill_right(-1) fill_left(2) c", "a + fill_left (2) fill_right (-1) c");
    check("-up", "-up");
    check("- 1", "-1");
    check("+Inf", "+Inf");
    check("1e21 + 0x10", "1000000000000000000000 + 16");
    check("60m + -90s", "1h + -1m30s");
    check("(((up)))", "(((up)))");
    check("up[300s] offset -1m @ 1.5", "up[5m] @ 1.500 offset -1m");
    check("up offset 1w smoothed @ end()", "up @ end() smoothed offset 1w");
    check("rate(up[5m] anchored @ start())", "rate(up[5m] anchored @ start())");
    check("up[1h:]", "up[1h:]");
    check("(up + up)[1h:5m] offset 1m", "(up + up)[1h:5m] offset 1m");
    check("up[5m+step()*2]", "up[5m + step() * 2]");
    check("up[(5m)]", "up[(5m)]");
    check("up[max(step(),-range())]", "up[max_of(step(), -range())]");
    check("up offset (5m - 1m)", "up offset (5m - 1m)");
    check("up offset -(5m)", "up offset -(5m)");
    check("info(up, {})", "info(up, {})");
    check("up{a='1' or b='2',c='3'}", r#"up{a="1" or b="2",c="3"}"#);
    check("\"a\\n\"", r#""a\n""#);
    check("time()", "time()");
}

#[test]
fn several_lines() {
    let check = |text: &str, expected: &str| {
        let expr = parse(text, &ParseOptions::all()).unwrap();
        assert_eq!(pretty(&expr), expected);
        assert_eq!(canonical(expected), expr.to_string());
    };
    let long = "a".repeat(60);
    check("1+2*3", "1 + 2 * 3");
    check(&format!("-sum by (x) ({long} + {long})"), &format!("-sum by (x) (\n    {long}\n  +\n    {long}\n)"));
    check(
        &format!("topk(3, rate({long}[5m]) / on (a) ({long}))"),
        &format!("topk(\n  3,\n    rate({long}[5m])\n  / on (a)\n    ({long})\n)"),
    );
    check(
        &format!("label_replace({long}, '{long}', '', '', '')"),
        &format!("label_replace(\n  {long},\n  \"{long}\",\n  \"\",\n  \"\",\n  \"\"\n)"),
    );
    check(&format!("({long} or {long})[1h:5m]"), &format!("(\n    {long}\n  or\n    {long}\n)[1h:5m]"));
}

#[test]
fn short_lines() {
    let check = |text: &str, expected: &str| {
        assert_eq!(pretty_within(&parse(text, &ParseOptions::all()).unwrap(), 10), expected);
    };
    check("a == bool 1", "  a\n== bool\n  1");
    check("foo + baar + foo_3", "  foo + baar\n+\n  foo_3");
    check("((_foo_long_))", "(\n  (\n    _foo_long_\n  )\n)");
    check("-sum(rate(foo[1m]))", "-sum(\n  rate(\n    foo[1m]\n  )\n)");
    check("max_over_time(rate(foo[1m])[1m:])", "max_over_time(\n  rate(\n    foo[1m]\n  )[1m:]\n)");
}
