use norn_config::yaml;

use super::*;

/// Applies rules in YAML to labels; `None` where the series is dropped. Results are sorted.
fn relabeled(rules: &str, labels: &[(&str, &str)]) -> Option<String> {
    let node = yaml::parse(rules, "rules.yaml", "test").unwrap();
    let rules: Vec<_> = node.items().unwrap().iter().map(|node| RelabelConfig::from_node(node).unwrap()).collect();
    let mut labels: Vec<_> = labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let is_kept = apply(&rules, &TenantId::parse("team").unwrap(), &mut labels);
    labels.sort();
    let printed: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    is_kept.then(|| printed.join(","))
}

#[test]
fn every_action_does_what_prometheus_does() {
    let labels = [("a", "foo"), ("b", "bar"), ("c", "Baz")];
    let check = |rule: &str, expected: Option<&str>| {
        assert_eq!(relabeled(rule, &labels).as_deref(), expected, "{rule}");
    };
    let unchanged = Some("a=foo,b=bar,c=Baz");
    check("[]", unchanged);
    check(
        "- {source_labels: [a], regex: 'f(.*)', target_label: d, replacement: 'ch${1}-$1'}",
        Some("a=foo,b=bar,c=Baz,d=choo-oo"),
    );
    check("- {source_labels: [a, b], separator: '-', target_label: d}", Some("a=foo,b=bar,c=Baz,d=foo-bar"));
    check("- {source_labels: [a], regex: oo, target_label: d}", unchanged);
    check("- {source_labels: [a], target_label: b, replacement: ''}", Some("a=foo,c=Baz"));
    check("- {source_labels: [a], regex: '(f).*', target_label: '${1}x'}", Some("a=foo,b=bar,c=Baz,fx=f"));
    check("- {source_labels: [a], regex: foo, action: drop}", None);
    check("- {source_labels: [a], regex: fo, action: drop}", unchanged);
    check("- {source_labels: [a], regex: foo, action: keep}", unchanged);
    check("- {source_labels: [missing], regex: foo, action: keep}", None);
    check("- {source_labels: [a], target_label: b, action: keepequal}", None);
    check("- {source_labels: [a], target_label: b, action: dropequal}", unchanged);
    check("- {regex: '(a|b)', action: labelmap, replacement: x_$1}", Some("a=foo,b=bar,c=Baz,x_a=foo,x_b=bar"));
    check("- {regex: '[ab]', action: labeldrop}", Some("c=Baz"));
    check("- {regex: '[ab]', action: labelkeep}", Some("a=foo,b=bar"));
    check("- {source_labels: [c], target_label: c, action: lowercase}", Some("a=foo,b=bar,c=baz"));
    check("- {source_labels: [c], target_label: d, action: uppercase}", Some("a=foo,b=bar,c=Baz,d=BAZ"));
    check("- {source_labels: [c], target_label: d, action: hashmod, modulus: 1000}", Some("a=foo,b=bar,c=Baz,d=940"));
}

#[test]
fn rules_may_look_at_the_tenant() {
    let rule = "- {source_labels: [__meta_tenant_id], target_label: tenant}";
    assert_eq!(relabeled(rule, &[("a", "1")]).as_deref(), Some("a=1,tenant=team"));
}
