//! Names of metrics and labels.

use norn_gotext::quote::quote;
use norn_rpc::otlp::Metric;

use super::rules::TranslationRules;

/// What a unit of UCUM is called in the name of a metric.
const UNITS: [(&str, &str); 25] = [
    ("d", "days"),
    ("h", "hours"),
    ("min", "minutes"),
    ("s", "seconds"),
    ("ms", "milliseconds"),
    ("us", "microseconds"),
    ("ns", "nanoseconds"),
    ("By", "bytes"),
    ("KiBy", "kibibytes"),
    ("MiBy", "mebibytes"),
    ("GiBy", "gibibytes"),
    ("TiBy", "tibibytes"),
    ("KBy", "kilobytes"),
    ("MBy", "megabytes"),
    ("GBy", "gigabytes"),
    ("TBy", "terabytes"),
    ("m", "meters"),
    ("V", "volts"),
    ("A", "amperes"),
    ("J", "joules"),
    ("W", "watts"),
    ("g", "grams"),
    ("Cel", "celsius"),
    ("Hz", "hertz"),
    ("%", "percent"),
];

/// What a unit is called behind "per".
const PER_UNITS: [(&str, &str); 7] =
    [("s", "second"), ("m", "minute"), ("h", "hour"), ("d", "day"), ("w", "week"), ("mo", "month"), ("y", "year")];

/// The name of a metric's family; an error where nothing is left of it.
pub(super) fn metric_name(metric: &Metric<'_>, rules: &TranslationRules) -> Result<String, String> {
    let name = match (rules.escape, rules.suffixes) {
        (true, true) => escaped_with_suffixes(metric),
        (true, false) => escaped(&metric.name),
        (false, true) => with_suffixes(metric),
        (false, false) => metric.name.clone().into_owned(),
    };
    check_name("metric", &metric.name, name, rules)
}

/// The name of a label; an error where nothing is left of it.
pub(super) fn label_name(name: &str, rules: &TranslationRules) -> Result<String, String> {
    if !rules.escape {
        return check_name("label name", name, name.to_owned(), rules);
    }
    let mut label: String = name.chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '_' }).collect();
    if !rules.keep_underscores {
        label = collapse_underscores(&label);
    }
    if label.starts_with(|first: char| first.is_ascii_digit()) {
        label.insert_str(0, "key_");
    } else if rules.prefix_underscore && label.starts_with('_') && !label.starts_with("__") {
        label.insert_str(0, "key");
    }
    check_name("label name", name, label, rules)
}

fn check_name(kind: &str, original: &str, name: String, rules: &TranslationRules) -> Result<String, String> {
    if name.is_empty() {
        return Err(format!("normalization for {kind} {} resulted in empty name", quote(original)));
    }
    if rules.escape && name != original && name.chars().all(|char| char == '_') {
        let (original, name) = (quote(original), quote(&name));
        return Err(format!("normalization for {kind} {original} resulted in invalid name {name}"));
    }
    Ok(name)
}

/// Each run of other characters becomes one underscore; those at the ends go.
fn escaped(name: &str) -> String {
    let is_other = |char: char| !(char.is_ascii_alphanumeric() || char == '_' || char == ':');
    let parts: Vec<_> = name.split(is_other).filter(|part| !part.is_empty()).collect();
    before_digit(parts.join("_"))
}

fn before_digit(name: String) -> String {
    if name.starts_with(|first: char| first.is_ascii_digit()) { format!("_{name}") } else { name }
}

fn is_word(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == ':'
}

fn escaped_with_suffixes(metric: &Metric<'_>) -> String {
    let words = metric.name.split(|char| !is_word(char)).filter(|word| !word.is_empty());
    let mut words: Vec<String> = words.map(str::to_owned).collect();
    let (unit, per_unit) = unit_suffixes(&metric.unit);
    let (mut unit, per_unit) = (clean_unit(&unit), clean_unit(&per_unit));
    let mut per_unit = per_unit.strip_suffix('_').unwrap_or(&per_unit).to_owned();
    if per_unit == "per" || words.contains(&per_unit) {
        per_unit.clear();
    }
    if words.contains(&unit) {
        unit.clear();
    }
    if !per_unit.is_empty() {
        unit = unit.strip_suffix('_').unwrap_or(&unit).to_owned();
    }
    words.extend([unit, per_unit].into_iter().filter(|suffix| !suffix.is_empty()));
    if let Some(suffix) = type_suffix(metric) {
        words.retain(|word| word != suffix);
        words.push(suffix.to_owned());
    }
    before_digit(words.join("_"))
}

fn with_suffixes(metric: &Metric<'_>) -> String {
    let mut name = metric.name.clone().into_owned();
    let type_suffix = type_suffix(metric);
    if let Some(suffix) = type_suffix {
        trim_suffix(&mut name, suffix);
    }
    let (unit, per_unit) = unit_suffixes(&metric.unit);
    if !per_unit.is_empty() {
        trim_suffix(&mut name, &per_unit);
    }
    if !unit.is_empty() && !name.ends_with(&unit) {
        name = format!("{name}_{unit}");
    }
    if !per_unit.is_empty() {
        name = format!("{name}_{per_unit}");
    }
    match type_suffix {
        Some(suffix) => format!("{name}_{suffix}"),
        None => name,
    }
}

/// Removes a suffix and the character before it, unless nothing would be left.
fn trim_suffix(name: &mut String, suffix: &str) {
    let Some(rest) = name.strip_suffix(suffix) else { return };
    if let Some((end, _)) = rest.char_indices().next_back()
        && end > 0
    {
        name.truncate(end);
    }
}

/// `total` for what only grows. Some clients count objects in the unit `1`, so it means a ratio only in gauges.
fn type_suffix(metric: &Metric<'_>) -> Option<&'static str> {
    if metric.sum.as_ref().is_some_and(|sum| sum.is_monotonic) {
        Some("total")
    } else if metric.gauge.is_some() && metric.unit == "1" {
        Some("ratio")
    } else {
        None
    }
}

/// A unit as metadata names it: `bytes_per_second` for `By/s`, nothing for `1`.
pub(super) fn unit_words(unit: &str) -> String {
    let (main, per) = unit_suffixes(unit);
    [main, per].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("_")
}

/// The unit, and what it is per, as words. Annotations in braces say nothing.
fn unit_suffixes(unit: &str) -> (String, String) {
    let (main, per) = unit.split_once('/').unwrap_or((unit, ""));
    let said = |part: &str| Some(part.trim().to_owned()).filter(|part| !part.is_empty() && !part.contains(['{', '}']));
    let known = |names: &[(&str, &str)], part: &str| {
        names.iter().find(|(unit, _)| *unit == part).map_or(part.to_owned(), |(_, name)| (*name).to_owned())
    };
    let main = said(main).filter(|main| main != "1").map_or_else(String::new, |main| known(&UNITS, &main));
    let per = said(per).map_or_else(String::new, |per| format!("per_{}", known(&PER_UNITS, &per)));
    (main, per)
}

/// Other characters become underscores, several of them one, and none stays at the start.
fn clean_unit(unit: &str) -> String {
    let escaped: String = unit.chars().map(|char| if is_word(char) { char } else { '_' }).collect();
    let collapsed = collapse_underscores(&escaped);
    collapsed.strip_prefix('_').unwrap_or(&collapsed).to_owned()
}

fn collapse_underscores(text: &str) -> String {
    let mut collapsed = String::with_capacity(text.len());
    for char in text.chars() {
        if !(char == '_' && collapsed.ends_with('_')) {
            collapsed.push(char);
        }
    }
    collapsed
}

#[cfg(test)]
mod tests {
    use norn_rpc::otlp::{Gauge, Sum};

    use super::*;

    fn rules(escape: bool, suffixes: bool) -> TranslationRules {
        TranslationRules { escape, suffixes, ..TranslationRules::default() }
    }

    fn metric<'a>(kind: &str, name: &'a str, unit: &'a str) -> Metric<'a> {
        let mut metric = Metric { name: name.into(), unit: unit.into(), ..Metric::default() };
        match kind {
            "gauge" => metric.gauge = Some(Gauge::default()),
            "counter" => metric.sum = Some(Sum { is_monotonic: true, ..Sum::default() }),
            _ => metric.sum = Some(Sum::default()),
        }
        metric
    }

    #[test]
    fn metrics_are_named_by_strategy() {
        // Escaped, escaped with suffixes, as it is with suffixes.
        let check = |kind, name, unit, expected: [&str; 3]| {
            let metric = metric(kind, name, unit);
            let names = [(true, false), (true, true), (false, true)]
                .map(|(escape, suffixes)| metric_name(&metric, &rules(escape, suffixes)).unwrap());
            assert_eq!(names, expected);
        };
        check(
            "gauge",
            "weird..name__with///symbols",
            "m/s",
            [
                "weird_name__with_symbols",
                "weird_name_with_symbols_meters_per_second",
                "weird..name__with///symbols_meters_per_second",
            ],
        );
        check("gauge", "1starts.with-digit", "", ["_1starts_with_digit", "_1starts_with_digit", "1starts.with-digit"]);
        check(
            "gauge",
            "disk.io.rate",
            "By/s",
            ["disk_io_rate", "disk_io_rate_bytes_per_second", "disk.io.rate_bytes_per_second"],
        );
        check(
            "gauge",
            "cpu.utilization",
            "%",
            ["cpu_utilization", "cpu_utilization_percent", "cpu.utilization_percent"],
        );
        check("gauge", "load", "1", ["load", "load_ratio", "load_ratio"]);
        check("gauge", "ratio.of", "1", ["ratio_of", "of_ratio", "ratio.of_ratio"]);
        check(
            "counter",
            "http.server.requests",
            "1",
            ["http_server_requests", "http_server_requests_total", "http.server.requests_total"],
        );
        check("counter", "already_total", "", ["already_total", "already_total", "already_total"]);
        check(
            "counter",
            "network.io.bytes.total",
            "By",
            ["network_io_bytes_total", "network_io_bytes_total", "network.io.bytes_total"],
        );
        check("sum", "queue.length", "{items}", ["queue_length", "queue_length", "queue.length"]);
        check("sum", "speed", "By/{request}", ["speed", "speed_bytes", "speed_bytes"]);
        check("sum", "x", "weird unit/fortnight", ["x", "x_weird_unit_per_fortnight", "x_weird unit_per_fortnight"]);
    }

    #[test]
    fn names_of_nothing_are_refused() {
        let check = |name, unit, expected: &str| {
            for suffixes in [false, true] {
                let error = metric_name(&metric("gauge", name, unit), &rules(true, suffixes)).unwrap_err();
                assert_eq!(error, expected);
            }
        };
        check("温度", "", "normalization for metric \"温度\" resulted in empty name");
        check("", "", "normalization for metric \"\" resulted in empty name");
        let underscores = metric_name(&metric("gauge", "_._", ""), &rules(true, false));
        assert_eq!(underscores.unwrap_err(), "normalization for metric \"_._\" resulted in invalid name \"___\"");
    }

    #[test]
    fn labels_are_named() {
        let check = |name, expected: Result<&str, &str>| {
            let named = label_name(name, &TranslationRules::default());
            assert_eq!(named.as_deref().map_err(String::as_str), expected);
        };
        check("http.method", Ok("http_method"));
        check("1digit", Ok("key_1digit"));
        check("_lead", Ok("key_lead"));
        check(".dunder", Ok("key_dunder"));
        check("__reserved__", Ok("__reserved__"));
        check("a..b", Ok("a__b"));
        check("", Err("normalization for label name \"\" resulted in empty name"));
        check("..", Err("normalization for label name \"..\" resulted in invalid name \"__\""));
        let plain = TranslationRules { prefix_underscore: false, keep_underscores: false, ..Default::default() };
        assert_eq!(label_name("_a..b", &plain).as_deref(), Ok("_a_b"));
        assert_eq!(label_name("_a..b", &rules(false, false)).as_deref(), Ok("_a..b"));
    }
}
