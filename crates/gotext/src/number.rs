//! Numbers as Go writes and reads them.
//!
//! The digits are the shortest that read back as the same number, as with every modern printer; what differs from
//! Rust is the layout: `1e+06`, `+Inf`, when an exponent is used, and what a parser accepts (`0x1F`, `1_000`).
//!
//! Source: Go's `strconv`; `util/jsonutil` of Prometheus for sample values.

use crate::quote::quote;

/// Whole numbers below this are exact, so that their digits are those of an integer.
const EXACT_INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

/// Go's verbs for floats, with the shortest digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FloatFormat {
    /// `'f'`: never an exponent.
    Fixed,
    /// `'e'`: always an exponent of at least two digits.
    Exponent,
    /// `'g'`, and `%v`: an exponent below 1e-4, and from 1e6 on.
    General,
}

/// Appends a sample value as Prometheus' API prints it, without quotes: `1.5`, `1e+21`, `1e-07`, `NaN`, `+Inf`.
///
/// Cost: nothing is allocated beyond the growth of `out`.
pub fn write_float(out: &mut Vec<u8>, value: f64) {
    let magnitude = value.abs();
    let format =
        if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) { FloatFormat::Exponent } else { FloatFormat::Fixed };
    push_float(out, value, format);
}

/// [`write_float`] as a string.
pub fn format_sample(value: f64) -> String {
    let mut out = Vec::with_capacity(24);
    write_float(&mut out, value);
    into_string(out)
}

/// [`push_float`] as a string.
pub fn format_float(value: f64, format: FloatFormat) -> String {
    let mut out = Vec::with_capacity(24);
    push_float(&mut out, value, format);
    into_string(out)
}

fn into_string(out: Vec<u8>) -> String {
    String::from_utf8(out).expect("numbers are printed in ASCII")
}

/// Appends a number as `strconv.AppendFloat(out, value, format, -1, 64)` does.
pub fn push_float(out: &mut Vec<u8>, value: f64, format: FloatFormat) {
    if value.is_nan() {
        return out.extend_from_slice(b"NaN");
    }
    if value.is_infinite() {
        return out.extend_from_slice(if value > 0.0 { b"+Inf" } else { b"-Inf" });
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let magnitude = value.abs();
    if format == FloatFormat::Fixed && magnitude < EXACT_INTEGER_MAX && magnitude.trunc() == magnitude {
        // Most sample values are counts.
        out.extend_from_slice(itoa::Buffer::new().format(magnitude as u64).as_bytes());
        return;
    }
    let decimal = Decimal::shortest(magnitude);
    match format {
        FloatFormat::Fixed => decimal.push_fixed(out),
        FloatFormat::Exponent => decimal.push_exponent(out),
        FloatFormat::General => {
            let exponent = decimal.point - 1;
            if (-4..6).contains(&exponent) { decimal.push_fixed(out) } else { decimal.push_exponent(out) }
        }
    }
}

/// `0.d1d2d3… × 10^point`, with the shortest digits.
struct Decimal {
    digits: [u8; Decimal::DIGITS_MAX],
    len: usize,
    point: i32,
}

impl Decimal {
    /// So many tell every float apart.
    const DIGITS_MAX: usize = 17;

    fn shortest(magnitude: f64) -> Self {
        let mut decimal = Self { digits: [0; Self::DIGITS_MAX], len: 0, point: 0 };
        let mut buffer = zmij::Buffer::new();
        let printed = buffer.format_finite(magnitude);
        let (mantissa, exponent) = printed.split_once('e').unwrap_or((printed, "0"));
        let exponent: i32 = exponent.parse().expect("the printer writes an integer as exponent");
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut point = whole.len() as i32 + exponent;
        for digit in whole.bytes().chain(fraction.bytes()) {
            if decimal.len == 0 && digit == b'0' {
                point -= 1;
                continue;
            }
            if decimal.len < Self::DIGITS_MAX {
                decimal.digits[decimal.len] = digit;
                decimal.len += 1;
            }
        }
        while decimal.len > 0 && decimal.digits[decimal.len - 1] == b'0' {
            decimal.len -= 1;
        }
        decimal.point = if decimal.len == 0 { 1 } else { point };
        decimal
    }

    fn digits(&self) -> &[u8] {
        &self.digits[..self.len]
    }

    fn push_fixed(&self, out: &mut Vec<u8>) {
        let digits = self.digits();
        let Ok(before) = usize::try_from(self.point) else {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + self.point.unsigned_abs() as usize, b'0');
            return out.extend_from_slice(digits);
        };
        match digits.split_at_checked(before) {
            Some((whole, fraction)) => {
                out.extend_from_slice(if whole.is_empty() { b"0" } else { whole });
                if !fraction.is_empty() {
                    out.push(b'.');
                    out.extend_from_slice(fraction);
                }
            }
            None => {
                out.extend_from_slice(digits);
                out.resize(out.len() + before - digits.len(), b'0');
            }
        }
    }

    fn push_exponent(&self, out: &mut Vec<u8>) {
        let (first, rest) = self.digits().split_first().unwrap_or((&b'0', &[]));
        out.push(*first);
        if !rest.is_empty() {
            out.push(b'.');
            out.extend_from_slice(rest);
        }
        let exponent = self.point - 1;
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        if exponent.unsigned_abs() < 10 {
            out.push(b'0');
        }
        out.extend_from_slice(itoa::Buffer::new().format(exponent.unsigned_abs()).as_bytes());
    }
}

/// A text that is no number, with Go's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("strconv.{function}: parsing {}: {cause}", quote(.text))]
pub struct NumberError {
    function: &'static str,
    text: String,
    cause: NumberErrorCause,
}

impl NumberError {
    /// Why it is none.
    pub fn cause(&self) -> NumberErrorCause {
        self.cause
    }
}

/// Why a text is no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NumberErrorCause {
    /// It does not have the form of a number.
    #[error("invalid syntax")]
    Syntax,
    /// It is larger than the type can hold.
    #[error("value out of range")]
    Range,
}

/// Reads a float as `strconv.ParseFloat(text, 64)` does: decimal or hexadecimal with a binary exponent, underscores
/// between digits, `Inf`, `Infinity` and `NaN` in any case.
pub fn parse_float(text: &str) -> Result<f64, NumberError> {
    let error = |cause| NumberError { function: "ParseFloat", text: text.to_owned(), cause };
    let value = float_value(text).ok_or_else(|| error(NumberErrorCause::Syntax))?;
    let is_named = text.bytes().any(|byte| matches!(byte, b'i' | b'I'));
    if value.is_infinite() && !is_named { Err(error(NumberErrorCause::Range)) } else { Ok(value) }
}

fn float_value(text: &str) -> Option<f64> {
    // Everything that Rust reads, Go reads too, and most numbers are plain.
    if let Ok(value) = text.parse::<f64>() {
        return Some(value);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !underscores_stand_well(unsigned) {
        return None;
    }
    let plain = unsigned.replace('_', "");
    let magnitude = match plain.strip_prefix("0x").or_else(|| plain.strip_prefix("0X")) {
        Some(hexadecimal) => hexadecimal_float(hexadecimal)?,
        None if plain.starts_with(['+', '-']) || !unsigned.contains('_') => return None,
        None => plain.parse().ok()?,
    };
    Some(if text.starts_with('-') { -magnitude } else { magnitude })
}

/// Reads `1F.8p-3`. Digits beyond what 64 bits hold only round.
fn hexadecimal_float(text: &str) -> Option<f64> {
    let at = text.find(['p', 'P'])?;
    let (mantissa, exponent) = (&text[..at], &text[at + 1..]);
    let digits_of_exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if digits_of_exponent.is_empty() || !digits_of_exponent.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Go, too, stops counting here; the result is zero or infinite long before.
    let mut power: i32 = digits_of_exponent.parse().unwrap_or(10_000).min(10_000);
    if exponent.starts_with('-') {
        power = -power;
    }
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut bits = 0_u64;
    for (index, digit) in whole.chars().chain(fraction.chars()).enumerate() {
        let digit = u64::from(digit.to_digit(16)?);
        let is_fraction = index >= whole.len();
        if bits >> 60 == 0 {
            bits = bits << 4 | digit;
            power -= if is_fraction { 4 } else { 0 };
        } else {
            // A bit that is lost still decides between the two neighbours of a tie.
            bits |= u64::from(digit != 0);
            power = power.saturating_add(if is_fraction { 0 } else { 4 });
        }
    }
    Some(scale(bits, power))
}

/// `bits × 2^power`, rounded once, to even.
fn scale(bits: u64, power: i32) -> f64 {
    if bits == 0 {
        return 0.0;
    }
    let leading = 63 - bits.leading_zeros() as i32;
    let exponent = leading + power;
    // How many bits remain of a subnormal number.
    let kept = if exponent < -1022 { 53 + exponent + 1022 } else { 53 };
    let dropped = leading + 1 - kept;
    let (rounded, power) = if dropped <= 0 {
        (bits, power)
    } else if dropped > 64 {
        (0, power)
    } else {
        let wide = u128::from(bits);
        let half = 1_u128 << (dropped - 1);
        let (quotient, rest) = (wide >> dropped, wide & ((1 << dropped) - 1));
        let up = rest > half || rest == half && quotient & 1 == 1;
        ((quotient + u128::from(up)) as u64, power + dropped)
    };
    // Exact: the mantissa has at most 53 bits, and two steps keep each factor in range.
    let first = power.clamp(-1000, 1000);
    let rest = (power - first).clamp(-1000, 1000);
    rounded as f64 * 2_f64.powi(first) * 2_f64.powi(rest)
}

/// Whether underscores stand only between digits, or between a digit and the base's prefix.
fn underscores_stand_well(unsigned: &str) -> bool {
    let bytes = unsigned.as_bytes();
    let has_prefix = matches!(bytes, [b'0', b'b' | b'B' | b'o' | b'O' | b'x' | b'X', ..]);
    let is_hexadecimal = matches!(bytes, [b'0', b'x' | b'X', ..]);
    let mut previous = if has_prefix { b'0' } else { b'^' };
    for byte in &bytes[if has_prefix { 2 } else { 0 }..] {
        let is_digit = byte.is_ascii_digit() || is_hexadecimal && byte.is_ascii_hexdigit();
        previous = match (byte, previous) {
            _ if is_digit => b'0',
            (b'_', b'0') => b'_',
            (b'_', _) | (_, b'_') => return false,
            _ => b'!',
        };
    }
    previous != b'_'
}

/// Reads an integer as `strconv.ParseInt(text, 0, 64)` does: `0x1F`, `0b1`, `0o17`, `017` (octal), `1_000`.
pub fn parse_int(text: &str) -> Result<i64, NumberError> {
    let error = |cause| NumberError { function: "ParseInt", text: text.to_owned(), cause };
    let syntax = || error(NumberErrorCause::Syntax);
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (digits, radix) = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&unsigned[2..], 16),
        [b'0', b'o' | b'O', ..] => (&unsigned[2..], 8),
        [b'0', b'b' | b'B', ..] => (&unsigned[2..], 2),
        [b'0', _, ..] => (&unsigned[1..], 8),
        _ => (unsigned, 10),
    };
    if digits.is_empty() || !underscores_stand_well(unsigned) {
        return Err(syntax());
    }
    let mut magnitude = 0_u128;
    for digit in digits.chars().filter(|digit| *digit != '_') {
        let digit = digit.to_digit(radix).ok_or_else(syntax)?;
        // Once out of range it stays there; the rest is only checked for its form.
        magnitude = (magnitude * u128::from(radix) + u128::from(digit)).min(1 << 64);
    }
    let magnitude = i128::try_from(magnitude).expect("the loop keeps it below 2^65");
    let value = if text.starts_with('-') { -magnitude } else { magnitude };
    i64::try_from(value).map_err(|_| error(NumberErrorCause::Range))
}

#[cfg(test)]
mod tests;
