//! Durations: Prometheus' (`1h30m`) and Go's own (`1h30m0s`).

use crate::quote::quote;

const MS_PER_SECOND: i64 = 1000;
const MS_PER_MINUTE: i64 = 60 * MS_PER_SECOND;
const MS_PER_HOUR: i64 = 60 * MS_PER_MINUTE;
const MS_PER_DAY: i64 = 24 * MS_PER_HOUR;
const MS_PER_WEEK: i64 = 7 * MS_PER_DAY;
const MS_PER_YEAR: i64 = 365 * MS_PER_DAY;

/// The longest duration: Go counts nanoseconds in 64 bits.
const MS_MAX: i64 = i64::MAX / 1_000_000;

/// Prometheus' units, in the only order in which they may follow each other. Each may stand once.
const PROMETHEUS_UNITS: [(&str, i64); 7] = [
    ("y", MS_PER_YEAR),
    ("w", MS_PER_WEEK),
    ("d", MS_PER_DAY),
    ("h", MS_PER_HOUR),
    ("m", MS_PER_MINUTE),
    ("s", MS_PER_SECOND),
    ("ms", 1),
];

/// A text that is no duration, with Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing.
    #[error("empty duration string")]
    Empty,
    /// Not of Prometheus' form.
    #[error("not a valid duration string: {}", quote(.0))]
    Invalid(String),
    /// A unit that Prometheus does not know.
    #[error("unknown unit {} in duration {}", quote(.unit), quote(.text))]
    UnknownPrometheusUnit {
        /// The unit.
        unit: String,
        /// The whole text.
        text: String,
    },
    /// More than 292 years.
    #[error("duration out of range")]
    OutOfRange,
    /// Not of Go's form.
    #[error("time: invalid duration {}", quote(.0))]
    InvalidGo(String),
    /// A number of Go's form without a unit behind it.
    #[error("time: missing unit in duration {}", quote(.0))]
    MissingUnit(String),
    /// A unit that Go does not know.
    #[error("time: unknown unit {} in duration {}", quote(.unit), quote(.text))]
    UnknownUnit {
        /// The unit.
        unit: String,
        /// The whole text.
        text: String,
    },
}

/// Reads a duration such as `1y2w3d4h5m6s7ms`, or `0`. Result: milliseconds, at least 0.
///
/// Source: `ParseDuration` of Prometheus' `common/model`.
pub fn parse_prometheus(text: &str) -> Result<i64, DurationError> {
    match text {
        "" => return Err(DurationError::Empty),
        "0" => return Ok(0),
        _ => {}
    }
    let invalid = || DurationError::Invalid(text.to_owned());
    let mut total_ms = 0_i64;
    let mut units = PROMETHEUS_UNITS.iter();
    let mut rest = text;
    while !rest.is_empty() {
        let (digits, tail) = split_while(rest, |byte| byte.is_ascii_digit());
        let (unit, tail) = split_while(tail, |byte| !byte.is_ascii_digit());
        let count: u64 = digits.parse().map_err(|_| invalid())?;
        if unit.is_empty() {
            return Err(invalid());
        }
        if PROMETHEUS_UNITS.iter().all(|(name, _)| *name != unit) {
            return Err(DurationError::UnknownPrometheusUnit { unit: unit.to_owned(), text: text.to_owned() });
        }
        let (_, unit_ms) = units.find(|(name, _)| *name == unit).ok_or_else(invalid)?;
        total_ms = i64::try_from(count)
            .ok()
            .and_then(|count| count.checked_mul(*unit_ms))
            .and_then(|part_ms| total_ms.checked_add(part_ms))
            .filter(|total_ms| *total_ms <= MS_MAX)
            .ok_or(DurationError::OutOfRange)?;
        rest = tail;
    }
    Ok(total_ms)
}

/// Prints milliseconds as Prometheus does: `1h30m`, `90d`, `1w` (weeks and years only where nothing remains), `0s`.
///
/// Source: `Duration.String` of Prometheus' `common/model`.
pub fn format_prometheus(duration_ms: i64) -> String {
    if duration_ms == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    if duration_ms < 0 {
        text.push('-');
    }
    let mut rest_ms = duration_ms.unsigned_abs();
    for (name, unit_ms) in PROMETHEUS_UNITS {
        let unit_ms = unit_ms.unsigned_abs();
        if unit_ms >= MS_PER_WEEK.unsigned_abs() && !rest_ms.is_multiple_of(unit_ms) {
            continue;
        }
        let count = rest_ms / unit_ms;
        if count > 0 {
            text.push_str(itoa::Buffer::new().format(count));
            text.push_str(name);
        }
        rest_ms %= unit_ms;
    }
    text
}

/// Go's units and their nanoseconds.
const GO_UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a duration such as `-1.5h`, `1h0m0.25s`, `300ms` or `0`. Result: nanoseconds.
///
/// Source: Go's `time.ParseDuration`.
pub fn parse_go(text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError::InvalidGo(text.to_owned());
    let negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text);
    match rest {
        "0" => return Ok(0),
        "" => return Err(invalid()),
        _ => {}
    }
    let mut total_ns = 0_u64;
    while !rest.is_empty() {
        let (number, tail) = split_while(rest, |byte| byte == b'.' || byte.is_ascii_digit());
        let (unit, tail) = split_while(tail, |byte| byte != b'.' && !byte.is_ascii_digit());
        let part_ns = go_part(text, number, unit)?;
        total_ns = total_ns.checked_add(part_ns).filter(|total| *total <= 1 << 63).ok_or_else(invalid)?;
        rest = tail;
    }
    if negative {
        return Ok((total_ns as i64).wrapping_neg());
    }
    i64::try_from(total_ns).map_err(|_| invalid())
}

fn go_part(text: &str, number: &str, unit: &str) -> Result<u64, DurationError> {
    let invalid = || DurationError::InvalidGo(text.to_owned());
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return Err(invalid());
    }
    if unit.is_empty() {
        return Err(DurationError::MissingUnit(text.to_owned()));
    }
    let (_, unit_ns) = GO_UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(|| DurationError::UnknownUnit { unit: unit.to_owned(), text: text.to_owned() })?;
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
    let whole_ns = whole.checked_mul(*unit_ns).filter(|ns| *ns <= 1 << 63).ok_or_else(invalid)?;
    // Go drops digits that no longer fit 63 bits; 18 always fit.
    let fraction = &fraction[..fraction.len().min(18)];
    let scale = 10_u128.pow(fraction.len() as u32);
    let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().map_err(|_| invalid())? };
    let fraction_ns = fraction * u128::from(*unit_ns) / scale;
    whole_ns.checked_add(u64::try_from(fraction_ns).map_err(|_| invalid())?).ok_or_else(invalid)
}

/// Prints nanoseconds as Go's `time.Duration` does: `1h0m0s`, `1.5s`, `2ms`, `0s`.
pub fn format_go(duration_ns: i64) -> String {
    let sign = if duration_ns < 0 { "-" } else { "" };
    let ns = duration_ns.unsigned_abs();
    match ns {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{ns}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", with_fraction(ns, 1_000)),
        1_000_000..1_000_000_000 => format!("{sign}{}ms", with_fraction(ns, 1_000_000)),
        _ => {
            let minutes = ns / 60_000_000_000;
            let seconds = with_fraction(ns % 60_000_000_000, 1_000_000_000);
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

/// `value / unit` in decimals without zeros at the end; `unit` is a power of ten.
fn with_fraction(value: u64, unit: u64) -> String {
    let digits = unit.ilog10() as usize;
    let text = format!("{}.{:0digits$}", value / unit, value % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Splits off the bytes in front for which `belongs` holds. The parts of a character outside ASCII are all or none.
fn split_while(text: &str, belongs: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = text.bytes().position(|byte| !belongs(byte)).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_round_trips() {
        let check = |text: &str, ms: i64, printed: &str| {
            assert_eq!(parse_prometheus(text), Ok(ms), "{text}");
            assert_eq!(format_prometheus(ms), printed);
        };
        check("0", 0, "0s");
        check("0s", 0, "0s");
        check("324ms", 324, "324ms");
        check("1h30m", 5_400_000, "1h30m");
        check("90m", 5_400_000, "1h30m");
        check("7d", MS_PER_WEEK, "1w");
        check("10d", 10 * MS_PER_DAY, "10d");
        check("365d", MS_PER_YEAR, "1y");
        check("3w2d1h", 23 * MS_PER_DAY + MS_PER_HOUR, "23d1h");
        check("292y", 292 * MS_PER_YEAR, "292y");
        assert_eq!(format_prometheus(-90_000), "-1m30s");
    }

    #[test]
    fn prometheus_rejects() {
        let check = |text: &str, expected: &str| {
            assert_eq!(parse_prometheus(text).unwrap_err().to_string(), expected);
        };
        check("", "empty duration string");
        check("1", r#"not a valid duration string: "1""#);
        check("1m2h", r#"not a valid duration string: "1m2h""#);
        check("1m1m", r#"not a valid duration string: "1m1m""#);
        check("1.5h", r#"unknown unit "." in duration "1.5h""#);
        check("-1h", r#"not a valid duration string: "-1h""#);
        check("h", r#"not a valid duration string: "h""#);
        check("1 h", r#"unknown unit " h" in duration "1 h""#);
        check("5y1hs", r#"unknown unit "hs" in duration "5y1hs""#);
        check("1é", r#"unknown unit "é" in duration "1é""#);
        check("300y", "duration out of range");
        check("9999999999999999999s", "duration out of range");
        check("99999999999999999999s", r#"not a valid duration string: "99999999999999999999s""#);
    }

    #[test]
    fn go_round_trips() {
        let check = |text: &str, ns: i64, printed: &str| {
            assert_eq!(parse_go(text), Ok(ns), "{text}");
            assert_eq!(format_go(ns), printed);
        };
        check("0", 0, "0s");
        check("1h", 3_600_000_000_000, "1h0m0s");
        check("1.5h", 5_400_000_000_000, "1h30m0s");
        check("-1m0.25s", -60_250_000_000, "-1m0.25s");
        check("300ms", 300_000_000, "300ms");
        check("1.5us", 1_500, "1.5µs");
        check(".5s", 500_000_000, "500ms");
        check("+5.s", 5_000_000_000, "5s");
        check("2562047h47m16.854775807s", i64::MAX, "2562047h47m16.854775807s");
        assert_eq!(parse_go("-2562047h47m16.854775808s"), Ok(i64::MIN));
    }

    #[test]
    fn go_rejects() {
        let check = |text: &str, expected: &str| assert_eq!(parse_go(text).unwrap_err().to_string(), expected);
        check("", r#"time: invalid duration """#);
        check("3", r#"time: missing unit in duration "3""#);
        check("1d", r#"time: unknown unit "d" in duration "1d""#);
        check("-.s", r#"time: invalid duration "-.s""#);
        check("1..5s", r#"time: invalid duration "1..5s""#);
        check("h", r#"time: invalid duration "h""#);
        check("2562048h", r#"time: invalid duration "2562048h""#);
        check("é", r#"time: invalid duration "é""#);
    }
}
