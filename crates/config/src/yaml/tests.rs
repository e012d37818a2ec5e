use super::*;

fn tree(text: &str) -> Node {
    parse(text, "f.yaml", "configuration").unwrap()
}

fn failure(text: &str) -> String {
    parse(text, "f.yaml", "configuration").unwrap_err().to_string()
}

#[test]
fn trees_have_places_anchors_and_merge_keys() {
    let check = |text: &str, expected: &str| assert_eq!(format!("{:?}", tree(text)), expected, "{text}");
    check("a: 1\nb: [x, 'y']", r#"{"a": 1, "b": [x, "y"]}"#);
    check("a: &x {k: 1}\nb: *x", r#"{"a": {"k": 1}, "b": {"k": 1}}"#);
    check("d: &x {k: 1, l: 2}\ne: {<<: *x, l: 3}", r#"{"d": {"k": 1, "l": 2}, "e": {"l": 3, "k": 1}}"#);
    check("e: {<<: [{k: 1}, {k: 2, m: 3}]}", r#"{"e": {"k": 1, "m": 3}}"#);
    check("a: !!str 1", r#"{"a": "1"}"#);
    check("# nothing", "");
    check("---\na: 1\n", r#"{"a": 1}"#);
    check("\u{feff}a: 1", r#"{"a": 1}"#);
    let node = tree("a:\n  b: x\n");
    let inner = &node.entries().unwrap()[0].node.entries().unwrap()[0];
    assert_eq!((inner.place.to_string().as_str(), inner.node.place.to_string().as_str()), ("f.yaml:2:3", "f.yaml:2:6"));
}

#[test]
fn faults_have_places() {
    let check = |text: &str, expected: &str| assert_eq!(failure(text), expected, "{text}");
    check("a: 1\nb: 2\na: 3", "f.yaml:3:1: key a is already set on line 1");
    check("a: 1\n---\nb: 2", "f.yaml:2:1: the provided configuration contains multiple documents");
    check("a: &x [*x]", "f.yaml:1:8: an alias cannot stand inside of what it names");
    check("a: {<<: 1}", "f.yaml:1:9: the value of << has to be a map, or a list of maps");
    check("[a]: 1", "f.yaml:1:1: expected a single value, found a list");
    assert!(failure("a: [1").starts_with("f.yaml:"), "{}", failure("a: [1"));
    assert!(failure("a: *y").contains("not valid YAML"), "{}", failure("a: *y"));
    assert!(failure("a:\n\tb: 1").starts_with("f.yaml:2:"), "{}", failure("a:\n\tb: 1"));
}

#[test]
fn aliases_cannot_grow_without_bound() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    assert!(failure(&text).ends_with("the file has more than 4000000 values"), "{}", failure(&text));
}

#[test]
fn later_trees_are_laid_over_earlier_ones() {
    let mut left = tree("a: {x: 1, y: [1, 2]}\nb: 1");
    left.merge(tree("a: {y: [3], z: 4}\nc: 5"));
    assert_eq!(format!("{left:?}"), r#"{"a": {"x": 1, "y": [3], "z": 4}, "b": 1, "c": 5}"#);
    left.merge(tree(""));
    assert!(left.is_null());
}

#[test]
fn what_is_printed_reads_back() {
    let check = |text: &str, expected: &str| {
        let node = tree(text);
        let mut printed = String::new();
        print(&node, 0, &mut printed);
        assert_eq!(printed, expected, "{text}");
        assert_eq!(format!("{:?}", tree(&printed)), format!("{node:?}"), "{text}");
    };
    check("{a: 1, b: {c: [x, {d: 2}], e: []}}", "a: 1\nb:\n  c:\n    - x\n    - d: 2\n  e: []\n");
    check("[[1, 2], {}]", "- - 1\n  - 2\n- {}\n");
    check("a: '1'\n", "a: \"1\"\n");
    check("a: \"x\\ty: #\\\"\"\n", "a: \"x\\ty: #\\\"\"\n");
    check("a: ''\nb: 'yes'\nc: '~'\n", "a: \"\"\nb: \"yes\"\nc: \"~\"\n");
    check("'a b': 'c:'", "a b: \"c:\"\n");
    check("a: \"\\u0007\"", "a: \"\\U00000007\"\n");
    check("'... 0': ./x", "\"... 0\": ./x\n");
    check("<<x: 1", "\"<<x\": 1\n");
}
