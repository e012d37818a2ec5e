//! What a script expects of texts: of errors, warnings and infos.

use norn_gotext::regex::GoRegex;

use crate::annotations::Severity;
use crate::value::QueryResult;

/// A condition on one text.
#[derive(Debug)]
pub(super) enum TextRule {
    /// Any text will do.
    Any,
    /// This text.
    Equal(String),
    /// The pattern is found somewhere in it.
    Matches(GoRegex),
}

impl TextRule {
    /// Whether a text fulfils the condition.
    pub(super) fn accepts(&self, text: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Equal(expected) => expected == text,
            Self::Matches(pattern) => pattern.is_match(text),
        }
    }

    /// The condition in words.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Any => "any text".to_owned(),
            Self::Equal(expected) => format!("{expected:?}"),
            Self::Matches(pattern) => format!("a text that matches {:?}", pattern.pattern()),
        }
    }
}

/// A condition on a query's warnings or infos.
#[derive(Debug)]
pub(super) enum AnnotationRule {
    /// There is one, and it fulfils this.
    Some(Severity, TextRule),
    /// There is none.
    None(Severity),
}

/// Checks warnings and infos. Every rule has to find a text, and where a kind has rules, every text a rule.
pub(super) fn check(rules: &[AnnotationRule], result: &QueryResult) -> Result<(), String> {
    for (severity, name, texts) in
        [(Severity::Warning, "warning", &result.warnings), (Severity::Info, "info", &result.infos)]
    {
        let wanted: Vec<&TextRule> = rules
            .iter()
            .filter_map(|rule| match rule {
                AnnotationRule::Some(of, rule) if *of == severity => Some(rule),
                _ => None,
            })
            .collect();
        let refused = rules.iter().any(|rule| matches!(rule, AnnotationRule::None(of) if *of == severity));
        if refused && !texts.is_empty() {
            return Err(format!("expected no {name}, got {texts:?}"));
        }
        if let Some(rule) = wanted.iter().find(|rule| !texts.iter().any(|text| rule.accepts(text))) {
            return Err(format!("expected a {name}: {}\ngot {texts:?}", rule.describe()));
        }
        let unexpected = texts.iter().find(|text| !wanted.iter().any(|rule| rule.accepts(text)));
        if let Some(text) = unexpected.filter(|_| !wanted.is_empty()) {
            return Err(format!("unexpected {name}: {text:?}"));
        }
    }
    Ok(())
}
