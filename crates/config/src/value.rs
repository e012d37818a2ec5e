//! The value of one setting, in the type that the table of settings gives it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::yaml::Node;

/// The value of one setting.
#[derive(Clone, PartialEq)]
pub enum Value {
    /// No value: the setting has no default, and nobody gave one.
    Absent,
    /// A text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A number.
    Float(f64),
    /// Yes or no.
    Bool(bool),
    /// A time span.
    Duration(Span),
    /// A list of texts.
    Texts(Vec<String>),
    /// A list of time spans.
    Durations(Vec<Span>),
    /// Texts by name.
    Map(BTreeMap<String, String>),
    /// A structure of its own, such as a list of rules; whoever reads it checks it.
    Tree(Node),
}

impl fmt::Debug for Value {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => formatter.write_str("nothing"),
            Self::Text(text) => write!(formatter, "{text:?}"),
            Self::Integer(number) => write!(formatter, "{number}"),
            Self::Float(number) => write!(formatter, "{number}"),
            Self::Bool(flag) => write!(formatter, "{flag}"),
            Self::Duration(span) => write!(formatter, "{span}"),
            Self::Texts(items) => write!(formatter, "{items:?}"),
            Self::Durations(items) => formatter.debug_list().entries(items).finish(),
            Self::Map(entries) => write!(formatter, "{entries:?}"),
            Self::Tree(node) => write!(formatter, "{node:?}"),
        }
    }
}

/// A text that is not printed by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: String,
}

impl Secret {
    /// Keeps a text secret.
    pub fn new(text: String) -> Self {
        Self { text }
    }

    /// The text.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

/// A time span as Go has it: nanoseconds, which may be negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    nanoseconds: i64,
}

impl Span {
    /// What the originals print for "infinity".
    pub const MAX: Self = Self { nanoseconds: i64::MAX };

    /// A span of `nanoseconds`.
    pub fn from_nanoseconds(nanoseconds: i64) -> Self {
        Self { nanoseconds }
    }

    /// Its length in nanoseconds.
    pub fn nanoseconds(self) -> i64 {
        self.nanoseconds
    }

    /// The span as a duration; a negative one is zero.
    pub fn to_std(self) -> Duration {
        Duration::from_nanos(u64::try_from(self.nanoseconds).unwrap_or(0))
    }
}

const NANOSECONDS_PER_MILLISECOND: u64 = 1_000_000;
const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;

/// As Go prints it: `1h30m0s`, `1.5s`, `250ms`, `0s`.
impl fmt::Display for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.nanoseconds.unsigned_abs();
        if self.nanoseconds < 0 {
            formatter.write_str("-")?;
        }
        if magnitude == 0 {
            return formatter.write_str("0s");
        }
        if magnitude < NANOSECONDS_PER_SECOND {
            let (unit, name) = match magnitude {
                0..1_000 => (1, "ns"),
                1_000..NANOSECONDS_PER_MILLISECOND => (1_000, "µs"),
                _ => (NANOSECONDS_PER_MILLISECOND, "ms"),
            };
            return write!(formatter, "{}{name}", decimal(magnitude, unit));
        }
        let seconds = magnitude / NANOSECONDS_PER_SECOND;
        let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
        if hours > 0 {
            write!(formatter, "{hours}h")?;
        }
        if hours > 0 || minutes > 0 {
            write!(formatter, "{minutes}m")?;
        }
        write!(formatter, "{}s", decimal(magnitude % (60 * NANOSECONDS_PER_SECOND), NANOSECONDS_PER_SECOND))
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

impl Span {
    /// As Prometheus prints it: `1h30m`, `1w`, `0s`; what is below a millisecond is left out.
    pub fn to_prometheus(self) -> String {
        let mut rest = self.nanoseconds.unsigned_abs() / NANOSECONDS_PER_MILLISECOND;
        if rest == 0 {
            return "0s".to_owned();
        }
        let mut text = if self.nanoseconds < 0 { "-".to_owned() } else { String::new() };
        const DAY: u64 = 86_400_000;
        // Years and weeks only where nothing is left below, so that 90 days stay 90 days.
        for (unit, name, exact) in [
            (365 * DAY, "y", true),
            (7 * DAY, "w", true),
            (DAY, "d", false),
            (3_600_000, "h", false),
            (60_000, "m", false),
            (1_000, "s", false),
            (1, "ms", false),
        ] {
            if rest >= unit && (!exact || rest.is_multiple_of(unit)) {
                text.push_str(&format!("{}{name}", rest / unit));
                rest %= unit;
            }
        }
        text
    }
}

/// `amount / unit` without trailing zeros.
fn decimal(amount: u64, unit: u64) -> String {
    let whole = amount / unit;
    let mut rest = amount % unit;
    if rest == 0 {
        return whole.to_string();
    }
    let mut digits = String::new();
    let mut scale = unit;
    while rest > 0 {
        scale /= 10;
        digits.push(char::from(b'0' + u8::try_from(rest / scale).unwrap_or(0)));
        rest %= scale;
    }
    format!("{whole}.{digits}")
}
