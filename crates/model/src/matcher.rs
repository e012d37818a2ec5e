//! Label matchers.

use std::fmt;
use std::sync::Arc;

use norn_gotext::regex::{GoRegex, RegexError};

use crate::labels::LabelsRef;

/// How a matcher compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, anchored at both ends.
    Regex,
    /// `!~`, anchored at both ends.
    NotRegex,
}

impl MatchOp {
    /// The operator as it stands in a query.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Regex => "=~",
            Self::NotRegex => "!~",
        }
    }
}

/// One condition on a label. A label that is not there has the empty value.
#[derive(Clone)]
pub struct Matcher {
    op: MatchOp,
    name: Arc<str>,
    value: Arc<str>,
    regex: Option<Arc<GoRegex>>,
}

impl Matcher {
    /// A matcher; fails where `op` takes a regular expression and `value` is none.
    pub fn new(op: MatchOp, name: &str, value: &str) -> Result<Self, RegexError> {
        let regex = match op {
            MatchOp::Equal | MatchOp::NotEqual => None,
            MatchOp::Regex | MatchOp::NotRegex => Some(Arc::new(GoRegex::anchored(value)?)),
        };
        Ok(Self { op, name: name.into(), value: value.into(), regex })
    }

    /// `name="value"`.
    pub fn equal(name: &str, value: &str) -> Self {
        Self { op: MatchOp::Equal, name: name.into(), value: value.into(), regex: None }
    }

    /// The same condition on another label.
    #[must_use]
    pub fn renamed(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// How it compares.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The label's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the label is compared with: a value or a pattern.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The compiled pattern of `=~` and `!~`.
    pub fn regex(&self) -> Option<&GoRegex> {
        self.regex.as_deref()
    }

    /// Whether a label with this value fulfils the condition.
    pub fn matches(&self, value: &str) -> bool {
        match (self.op, &self.regex) {
            (MatchOp::Equal, _) => *self.value == *value,
            (MatchOp::NotEqual, _) => *self.value != *value,
            (MatchOp::Regex, Some(regex)) => regex.is_match(value),
            (MatchOp::NotRegex, Some(regex)) => !regex.is_match(value),
            (MatchOp::Regex | MatchOp::NotRegex, None) => unreachable!("the constructor compiles every pattern"),
        }
    }

    /// Whether a series without the label fulfils the condition.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// Whether a series fulfils the condition.
    pub fn matches_labels(&self, labels: LabelsRef<'_>) -> bool {
        self.matches(labels.get(&self.name).unwrap_or(""))
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (self.op, &self.name, &self.value) == (other.op, &other.name, &other.value)
    }
}

impl Eq for Matcher {}

impl fmt::Debug for Matcher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}{:?}", self.name, self.op.symbol(), self.value)
    }
}
