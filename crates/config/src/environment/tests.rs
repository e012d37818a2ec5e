use super::*;

#[test]
fn variables_are_filled_in_as_go_does() {
    let mut environment = Environment::default();
    for (name, value) in [("A", "1"), ("EMPTY", ""), ("LINES", "x\ny\r\n"), ("A_B", "2")] {
        environment.variables.insert(name.to_owned(), value.to_owned());
    }
    let check = |text: &str, expected: &str| assert_eq!(environment.expand(text), expected, "{text}");
    check("a: $A", "a: 1");
    check("a: ${A}x$A_B.", "a: 1x2.");
    check("${MISSING}|${MISSING:d}|${A:d}|${EMPTY:d}", "|d|1|d");
    check("${MISSING:a:b}", "a:b");
    check("${LINES}", "xy");
    check("$", "$");
    check("a $ b", "a $ b");
    check("$é", "$é");
    check("$$A", "A");
    check("new-$1", "new-");
    check("${A", "A");
    check("${}x", "x");
    check("no variables", "no variables");
}
