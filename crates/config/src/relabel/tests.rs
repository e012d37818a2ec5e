use super::*;
use crate::yaml::parse;

fn rule(text: &str) -> Result<RelabelConfig, String> {
    RelabelConfig::from_node(&parse(text, "f", "rule").unwrap()).map_err(|error| error.problem)
}

#[test]
fn defaults_are_those_of_prometheus() {
    let rule = rule("target_label: a").unwrap();
    assert_eq!((rule.separator.as_str(), rule.regex.pattern(), rule.replacement.as_str()), (";", "(.*)", "$1"));
    assert_eq!((rule.action, rule.modulus, rule.source_labels.len()), (RelabelAction::Replace, 0, 0));
}

#[test]
fn rules_are_checked_as_prometheus_checks_them() {
    let check = |text: &str, expected: Result<(), &str>| {
        assert_eq!(
            rule(text).map(drop).as_ref().map_err(String::as_str),
            expected.as_ref().map_err(|text| *text),
            "{text}"
        );
    };
    check("{source_labels: [a], regex: x.*, action: Drop}", Ok(()));
    check("{regex: x, action: labeldrop}", Ok(()));
    check("{source_labels: [a], target_label: b, action: keepequal}", Ok(()));
    check("{source_labels: [a], target_label: b, action: hashmod, modulus: 3}", Ok(()));
    check("{}", Err("relabel configuration for replace action requires 'target_label' value"));
    check("{action: hashmod, target_label: a}", Err("relabel configuration for hashmod requires non-zero modulus"));
    check(
        "{action: uppercase, target_label: a, replacement: b}",
        Err("'replacement' can not be set for uppercase action"),
    );
    check(
        "{action: dropequal, target_label: a, regex: b}",
        Err("dropequal action requires only 'source_labels' and 'target_label', and no other fields"),
    );
    check(
        "{action: labelkeep, regex: a, separator: b}",
        Err("labelkeep action requires only 'regex', and no other fields"),
    );
    check("{action: fly}", Err("unknown relabel action \"fly\""));
    check("{target_label: a, modulus: -1}", Err("modulus: -1 is negative"));
    check("{target_lable: a}", Err("unknown field target_lable, did you mean target_label?"));
    assert!(rule("{target_label: a, regex: '('}").is_err());
}

#[test]
fn names_of_written_labels_depend_on_what_is_valid() {
    let check = |text: &str, legacy: bool| {
        let rule = rule(text).unwrap();
        assert_eq!(rule.check_names(NameValidation::Legacy).is_ok(), legacy, "{text}");
        assert!(rule.check_names(NameValidation::Utf8).is_ok(), "{text}");
    };
    check("{target_label: a_1}", true);
    check("{target_label: 'pre_$1_${name}'}", true);
    check("{target_label: 1a}", false);
    check("{target_label: a-b}", false);
    check("{target_label: a$}", false);
    check("{target_label: '$1', action: lowercase}", false);
    check("{action: labelmap, replacement: 'x-$1'}", false);
    check("{action: labelmap, regex: 'a_(.*)'}", true);
    check("{action: drop, target_label: a-b}", true);
    let empty = rule("{action: labelmap, replacement: ''}").unwrap().check_names(NameValidation::Utf8);
    assert_eq!(empty.unwrap_err(), "\"\" is invalid 'replacement' for labelmap action");
}
