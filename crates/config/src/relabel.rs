//! Prometheus' relabelling rules: what they are; whoever takes samples applies them.

use std::fmt;
use std::sync::{Arc, LazyLock};

use norn_gotext::regex::GoRegex;

use crate::limits::NameValidation;
use crate::section::{FromValue, choices};
use crate::value::Value;
use crate::yaml::{Fields, Node, NodeError};

/// One rule, with Prometheus' defaults filled in and checked as Prometheus checks it.
#[derive(Debug, Clone, PartialEq)]
pub struct RelabelConfig {
    /// The labels whose values are joined by [`Self::separator`] to the text that [`Self::regex`] looks at.
    pub source_labels: Vec<String>,
    /// What stands between the joined values.
    pub separator: String,
    /// The pattern, which has to match the whole text.
    pub regex: RelabelRegex,
    /// The divisor of [`RelabelAction::HashMod`]; zero elsewhere.
    pub modulus: u64,
    /// The label to write; [`RelabelAction::Replace`] fills in `$1` and `${name}`.
    pub target_label: String,
    /// What to write; `$1` and `${name}` are the pattern's groups.
    pub replacement: String,
    /// What to do.
    pub action: RelabelAction,
}

choices! {
    /// What a relabelling rule does.
    pub enum RelabelAction {
        /// Writes the replacement to the target label, if the pattern matches; an empty value removes the label.
        Replace = "replace",
        /// Drops series that the pattern does not match.
        Keep = "keep",
        /// Drops series that the pattern matches.
        Drop = "drop",
        /// Drops series whose source labels, joined, differ from the target label.
        KeepEqual = "keepequal",
        /// Drops series whose source labels, joined, equal the target label.
        DropEqual = "dropequal",
        /// Writes the hash of the joined values modulo the modulus to the target label.
        HashMod = "hashmod",
        /// Copies labels whose names match to the name that the replacement gives.
        LabelMap = "labelmap",
        /// Removes labels whose names match.
        LabelDrop = "labeldrop",
        /// Removes labels whose names do not match.
        LabelKeep = "labelkeep",
        /// Writes the joined values in lower case to the target label.
        Lowercase = "lowercase",
        /// Writes the joined values in upper case to the target label.
        Uppercase = "uppercase",
    }
}

/// A compiled pattern that matches whole texts. Two are equal if their patterns are the same text.
#[derive(Clone)]
pub struct RelabelRegex {
    regex: Arc<GoRegex>,
}

impl RelabelRegex {
    fn compile(pattern: &str) -> Result<Self, String> {
        let regex = GoRegex::anchored(pattern).map_err(|error| error.to_string())?;
        Ok(Self { regex: Arc::new(regex) })
    }
}

impl std::ops::Deref for RelabelRegex {
    type Target = GoRegex;

    fn deref(&self) -> &GoRegex {
        &self.regex
    }
}

impl PartialEq for RelabelRegex {
    fn eq(&self, other: &Self) -> bool {
        self.regex.pattern() == other.regex.pattern()
    }
}

impl fmt::Debug for RelabelRegex {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.regex.pattern())
    }
}

const DEFAULT_SEPARATOR: &str = ";";
const DEFAULT_REGEX: &str = "(.*)";
const DEFAULT_REPLACEMENT: &str = "$1";

impl FromValue for Vec<RelabelConfig> {
    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Absent => Ok(Self::new()),
            Value::Tree(node) => {
                node.items()?.iter().map(RelabelConfig::from_node).collect::<Result<_, _>>().map_err(String::from)
            }
            other => Err(format!("expected a list of relabelling rules, found {other:?}")),
        }
    }
}

impl RelabelConfig {
    /// Reads one rule as it stands in a configuration file.
    pub fn from_node(node: &Node) -> Result<Self, NodeError> {
        let mut fields = Fields::of(node)?;
        let source_labels = fields.texts("source_labels")?;
        let separator = fields.text("separator")?;
        let regex = fields.text("regex")?;
        let modulus = fields.unsigned("modulus")?;
        let target_label = fields.text("target_label")?;
        let replacement = fields.text("replacement")?;
        let action = fields.text("action")?;
        fields.finish()?;
        let action = action.unwrap_or_else(|| "replace".to_owned());
        let rule = Self {
            source_labels: source_labels.unwrap_or_default(),
            separator: separator.unwrap_or_else(|| DEFAULT_SEPARATOR.to_owned()),
            regex: RelabelRegex::compile(regex.as_deref().unwrap_or(DEFAULT_REGEX))
                .map_err(|problem| node.error(problem))?,
            modulus: modulus.unwrap_or(0),
            target_label: target_label.unwrap_or_default(),
            replacement: replacement.unwrap_or_else(|| DEFAULT_REPLACEMENT.to_owned()),
            action: RelabelAction::from_value(&Value::Text(action.to_lowercase()))
                .map_err(|_| node.error(format!("unknown relabel action {action:?}")))?,
        };
        rule.check().map_err(|problem| node.error(problem))?;
        Ok(rule)
    }

    /// Prometheus' own checks of a rule, but for those of [`RelabelConfig::check_names`].
    ///
    /// Source: Prometheus `model/relabel/relabel.go`, `Config.Validate`.
    fn check(&self) -> Result<(), String> {
        use RelabelAction as Action;
        let action = self.action.as_str();
        if self.action == Action::HashMod && self.modulus == 0 {
            return Err("relabel configuration for hashmod requires non-zero modulus".to_owned());
        }
        let writes = matches!(self.action, Action::Replace | Action::HashMod);
        let reads_target =
            matches!(self.action, Action::Lowercase | Action::Uppercase | Action::KeepEqual | Action::DropEqual);
        if (writes || reads_target) && self.target_label.is_empty() {
            return Err(format!("relabel configuration for {action} action requires 'target_label' value"));
        }
        if reads_target && self.replacement != DEFAULT_REPLACEMENT {
            return Err(format!("'replacement' can not be set for {action} action"));
        }
        let plain = self.separator == DEFAULT_SEPARATOR && self.modulus == 0 && self.replacement == DEFAULT_REPLACEMENT;
        let equality = matches!(self.action, Action::KeepEqual | Action::DropEqual);
        if equality && !(plain && self.regex.pattern() == DEFAULT_REGEX) {
            return Err(format!(
                "{action} action requires only 'source_labels' and 'target_label', and no other fields"
            ));
        }
        let by_name = matches!(self.action, Action::LabelDrop | Action::LabelKeep);
        if by_name && !(plain && self.source_labels.is_empty() && self.target_label.is_empty()) {
            return Err(format!("{action} action requires only 'regex', and no other fields"));
        }
        Ok(())
    }

    /// Checks the names of labels that the rule writes, which depends on what names a tenant may use.
    ///
    /// Source: Prometheus `model/relabel/relabel.go`, `Config.Validate`.
    pub fn check_names(&self, names: NameValidation) -> Result<(), String> {
        use RelabelAction as Action;
        let (field, name, may_refer) = match self.action {
            Action::Replace => ("target_label", &self.target_label, true),
            Action::LabelMap => ("replacement", &self.replacement, true),
            Action::HashMod | Action::Lowercase | Action::Uppercase | Action::KeepEqual | Action::DropEqual => {
                ("target_label", &self.target_label, false)
            }
            Action::Keep | Action::Drop | Action::LabelDrop | Action::LabelKeep => return Ok(()),
        };
        let valid = match names {
            NameValidation::Utf8 => !name.is_empty(),
            NameValidation::Legacy => LEGACY_NAME.is_match(name) && (may_refer || !name.contains('$')),
        };
        if valid { Ok(()) } else { Err(format!("{name:?} is invalid '{field}' for {} action", self.action.as_str())) }
    }
}

/// A label's name, in which `$1`, `$name` and `${name}` may stand for parts.
static LEGACY_NAME: LazyLock<GoRegex> = LazyLock::new(|| {
    GoRegex::new(r"^(?:(?:[a-zA-Z_]|\$(?:\{\w+\}|\w+))+\w*)+$").expect("the pattern is fixed, and tests use it")
});

#[cfg(test)]
mod tests;
