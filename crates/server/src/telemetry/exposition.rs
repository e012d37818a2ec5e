//! From the text that the metrics library writes (OpenMetrics 1.0) to what others read.
//!
//! The library gives no other access to the values of all metrics, so its text is taken apart. It is text of this
//! very process: a line that is not understood is left out.

/// One series and its current value.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnSample {
    /// Pairs of name and value, `__name__` first.
    pub labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
}

enum Line<'a> {
    Help { family: &'a str, text: &'a str },
    Type { kind: &'a str },
    Sample { name: &'a str, labels: &'a str, value: &'a str },
    Other,
}

fn parse(line: &str) -> Line<'_> {
    if let Some(comment) = line.strip_prefix("# ") {
        let (keyword, rest) = comment.split_once(' ').unwrap_or((comment, ""));
        let (family, text) = rest.split_once(' ').unwrap_or((rest, ""));
        return match keyword {
            "HELP" => Line::Help { family, text },
            "TYPE" => Line::Type { kind: text },
            _ => Line::Other,
        };
    }
    let Some(name_end) = line.find(['{', ' ']) else { return Line::Other };
    let (name, rest) = line.split_at(name_end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => match inside.split_at_checked(labels_end(inside)) {
            Some((labels, rest)) => (labels, rest.trim_start_matches('}')),
            None => return Line::Other,
        },
        None => ("", rest),
    };
    // What follows the value is an exemplar.
    match rest.trim_start().split(' ').next() {
        Some(value) if !value.is_empty() => Line::Sample { name, labels, value },
        _ => Line::Other,
    }
}

/// Where the label set ends: at the first brace outside of quotes.
fn labels_end(text: &str) -> usize {
    let mut quoted = false;
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'}' if !quoted => return index,
            _ => {}
        }
    }
    text.len()
}

fn exported_name(family: &str, kind: &str) -> String {
    match kind {
        "counter" => format!("{family}_total"),
        "info" => format!("{family}_info"),
        _ => family.to_owned(),
    }
}

/// The text as it is, less the families that nobody asked for.
pub(super) fn openmetrics(text: &str, names: &[String]) -> String {
    if names.is_empty() {
        return text.to_owned();
    }
    let mut output = String::new();
    for family in families(text) {
        if names.contains(&exported_name(family.name, family.kind)) {
            output.push_str(family.text);
        }
    }
    output.push_str("# EOF\n");
    output
}

/// The text format 0.0.4: counters have their whole name in the comments, no unit, no exemplar, no end mark.
pub(super) fn prometheus_text(text: &str, names: &[String]) -> String {
    let mut output = String::with_capacity(text.len());
    for family in families(text) {
        let exported = exported_name(family.name, family.kind);
        if !names.is_empty() && !names.contains(&exported) {
            continue;
        }
        let kind = match family.kind {
            "info" | "stateset" => "gauge",
            "unknown" => "untyped",
            kind => kind,
        };
        for line in family.text.lines() {
            match parse(line) {
                Line::Help { text, .. } => push_line(&mut output, &["# HELP ", &exported, " ", text]),
                Line::Type { .. } => push_line(&mut output, &["# TYPE ", &exported, " ", kind]),
                Line::Sample { name, labels: "", value } => push_line(&mut output, &[name, " ", value]),
                Line::Sample { name, labels, value } => {
                    let labels = shorten_bound(labels);
                    push_line(&mut output, &[name, "{", &labels, "} ", value]);
                }
                Line::Other => {}
            }
        }
    }
    output
}

fn push_line(output: &mut String, parts: &[&str]) {
    for part in parts {
        output.push_str(part);
    }
    output.push('\n');
}

/// `le="1.0"` becomes `le="1"`: Go's clients write bounds so, and rules match them as text.
fn shorten_bound(labels: &str) -> std::borrow::Cow<'_, str> {
    let Some(start) = labels.find("le=\"") else { return labels.into() };
    let starts_label = start == 0 || labels.as_bytes()[start - 1] == b',';
    let bound_start = start + "le=\"".len();
    let bound = labels[bound_start..].split('"').next().unwrap_or("");
    match bound.strip_suffix(".0") {
        Some(short) if starts_label => {
            let rest = &labels[bound_start + bound.len()..];
            format!("{}{short}{rest}", &labels[..bound_start]).into()
        }
        _ => labels.into(),
    }
}

pub(super) fn samples(text: &str) -> Vec<OwnSample> {
    let mut samples = Vec::new();
    for line in text.lines() {
        if let Line::Sample { name, labels, value } = parse(line)
            && let Ok(value) = value.parse()
        {
            let mut pairs = vec![("__name__".to_owned(), name.to_owned())];
            read_labels(labels, &mut pairs);
            samples.push(OwnSample { labels: pairs, value });
        }
    }
    samples
}

/// `a="b",c="d"`, with `\\`, `\"` and `\n` in values.
fn read_labels(mut text: &str, pairs: &mut Vec<(String, String)>) {
    while let Some((name, rest)) = text.split_once("=\"") {
        let mut value = String::new();
        let mut characters = rest.char_indices();
        let end = loop {
            match characters.next() {
                Some((index, '"')) => break index + 1,
                Some((_, '\\')) => match characters.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, escaped)) => value.push(escaped),
                    None => break rest.len(),
                },
                Some((_, character)) => value.push(character),
                None => break rest.len(),
            }
        };
        pairs.push((name.to_owned(), value));
        text = rest[end..].trim_start_matches(',');
    }
}

struct FamilyText<'a> {
    name: &'a str,
    kind: &'a str,
    start: usize,
    text: &'a str,
}

/// Cuts the text where families start: each begins with its help, then its type.
fn families(text: &str) -> Vec<FamilyText<'_>> {
    let mut families: Vec<FamilyText<'_>> = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let end = start + line.len();
        match parse(line.trim_end_matches('\n')) {
            Line::Help { family, .. } => {
                families.push(FamilyText { name: family, kind: "", start, text: &text[start..end] });
            }
            Line::Other if line.starts_with("# EOF") => break,
            parsed => {
                if let Some(family) = families.last_mut() {
                    family.text = &text[family.start..end];
                    if let Line::Type { kind, .. } = parsed {
                        family.kind = kind;
                    }
                }
            }
        }
        start = end;
    }
    families
}
