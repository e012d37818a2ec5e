//! What a scalar means, once the type of its setting is known: the rules of Go's YAML library and `flag` package.

use crate::value::Span;
use crate::yaml::Scalar;

/// Nanoseconds of each unit of time.
const UNITS: [(&str, i128); 10] = [
    ("y", 365 * 86_400 * SECOND),
    ("w", 7 * 86_400 * SECOND),
    ("d", 86_400 * SECOND),
    ("h", 3_600 * SECOND),
    ("m", 60 * SECOND),
    ("s", SECOND),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("ns", 1),
];

/// Nanoseconds of a second.
const SECOND: i128 = 1_000_000_000;

/// Yes or no: `true`, and the words of YAML 1.1, which Go accepts where a boolean is expected.
pub fn bool(scalar: &Scalar) -> Result<bool, String> {
    let text = scalar.text.as_str();
    match text {
        "true" | "True" | "TRUE" if scalar.plain => Ok(true),
        "false" | "False" | "FALSE" if scalar.plain => Ok(false),
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Ok(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Ok(false),
        _ => Err(mismatch("a boolean (true or false)", scalar)),
    }
}

/// Yes or no in a flag or on the way through an environment variable: what Go's `strconv.ParseBool` takes.
pub fn flag_bool(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("invalid boolean value {text:?}")),
    }
}

/// A whole number: decimal, `0x`, `0o`, `0b`, octal with a leading zero, with underscores; a number with a point
/// or an exponent loses its fraction.
pub fn integer(scalar: &Scalar) -> Result<i64, String> {
    if scalar.plain
        && let Some(number) = parse_integer(&scalar.text).or_else(|| whole(parse_float(&scalar.text)?))
    {
        return Ok(number);
    }
    Err(mismatch("an integer", scalar))
}

/// A number of bytes: an integer, or a number with a unit such as `100MiB`. `KB` and `KiB` are both 1024 bytes.
pub fn bytes(scalar: &Scalar) -> Result<i64, String> {
    let size = integer(scalar).ok().or_else(|| parse_size(&scalar.text));
    size.ok_or_else(|| mismatch("a number of bytes", scalar))
}

/// A number: decimal, with an exponent, `.inf` or `.nan`, or an integer in any of its forms.
pub fn float(scalar: &Scalar) -> Result<f64, String> {
    if scalar.plain {
        if let Some(number) = parse_float(&scalar.text) {
            return Ok(number);
        }
        if let Some(number) = parse_integer(&scalar.text) {
            return Ok(number as f64);
        }
    }
    Err(mismatch("a number", scalar))
}

/// A time span in the syntax of Go (`1h30m`, `1.5s`, `-5m`) or of Prometheus (`1y`, `2w3d`); `0` needs no unit.
pub fn duration(text: &str) -> Result<Span, String> {
    parse_duration(text).ok_or_else(|| {
        format!("{text:?} is not a duration: expected a number and a unit (ns, us, ms, s, m, h, d, w, y), such as 5m")
    })
}

/// Whether YAML takes the plain text for something else than a text.
pub(crate) fn looks_typed(text: &str) -> bool {
    let scalar = Scalar { text: text.to_owned(), plain: true };
    scalar.is_null() || bool(&scalar).is_ok() || integer(&scalar).is_ok() || float(&scalar).is_ok()
}

fn mismatch(expected: &str, scalar: &Scalar) -> String {
    let text = &scalar.text;
    if scalar.plain {
        format!("expected {expected}, found {text:?}")
    } else {
        format!("expected {expected}, found the quoted text {text:?}")
    }
}

fn parse_integer(text: &str) -> Option<i64> {
    let digits = text.replace('_', "");
    let (negative, digits) = match digits.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, digits.strip_prefix('+').unwrap_or(&digits)),
    };
    let (digits, radix) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&digits[2..], 16),
        [b'0', b'o' | b'O', ..] => (&digits[2..], 8),
        [b'0', b'b' | b'B', ..] => (&digits[2..], 2),
        [b'0', _, ..] => (&digits[1..], 8),
        _ => (digits, 10),
    };
    if !digits.starts_with(|first: char| first.is_digit(radix)) {
        return None;
    }
    let magnitude = i128::from_str_radix(digits, radix).ok()?;
    i64::try_from(if negative { -magnitude } else { magnitude }).ok()
}

fn parse_float(text: &str) -> Option<f64> {
    match text {
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Some(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Some(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => return Some(f64::NAN),
        _ => {}
    }
    // Words such as "inf" and "nan", which Rust would take, are texts in YAML.
    let numeric = |character: char| character.is_ascii_digit() || "+-.eE_".contains(character);
    let octal = text.len() > 1 && text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
    if !text.chars().all(numeric) || octal {
        return None;
    }
    text.replace('_', "").parse().ok()
}

/// The number without its fraction, if it fits.
fn whole(number: f64) -> Option<i64> {
    let whole = number.trunc();
    let fits = whole >= -(2f64.powi(63)) && whole < 2f64.powi(63);
    // The comparison is false for NaN, and leaves only what an i64 holds.
    #[expect(clippy::cast_possible_truncation, reason = "checked to fit just above")]
    fits.then_some(whole as i64)
}

fn parse_size(text: &str) -> Option<i64> {
    let split = text.find(|character: char| !character.is_ascii_digit() && character != '.')?;
    let (number, unit) = text.split_at(split);
    let power = match unit.trim_start().to_ascii_lowercase().as_str() {
        "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => return None,
    };
    whole(number.parse::<f64>().ok()? * 1024f64.powi(power))
}

fn parse_duration(text: &str) -> Option<Span> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(Span::from_nanoseconds(0));
    }
    if rest == "infinity" {
        return Some(Span::MAX);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit() && character != '.')?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|character: char| character.is_ascii_digit() || character == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let (_, unit_nanoseconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
        total = total.checked_add(multiply(number, *unit_nanoseconds)?)?;
        rest = tail;
    }
    let nanoseconds = i64::try_from(if negative { -total } else { total }).ok()?;
    Some(Span::from_nanoseconds(nanoseconds))
}

/// The nanoseconds of `number` units: whole numbers exactly, a fraction to a few nanoseconds.
fn multiply(number: &str, unit: i128) -> Option<i128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut total = whole.checked_mul(unit)?;
    let mut scale = unit;
    for digit in fraction.chars() {
        scale /= 10;
        total = total.checked_add(scale * i128::from(digit.to_digit(10)?))?;
    }
    Some(total)
}

/// A number as Go's YAML library prints it: `1e+09`, `0.75`, `10000`, `.inf`.
pub(crate) fn print_float(number: f64) -> String {
    if number.is_nan() {
        return ".nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let shortest = format!("{number:e}");
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..6).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:02}", exponent.abs())
        }
        _ => format!("{number}"),
    }
}

#[cfg(test)]
mod tests;
