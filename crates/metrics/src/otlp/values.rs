//! Values of attributes as text: what a label can hold.
//!
//! Source: OpenTelemetry Collector `pdata/pcommon/value.go`, `AsString`; Go's `encoding/json` for lists and maps.

use std::fmt::Write as _;

use norn_gotext::number::{FloatFormat, format_float, format_sample};
use norn_rpc::otlp::AnyValue;

/// The value as text.
pub(super) fn text(value: &AnyValue<'_>) -> String {
    match value {
        AnyValue::Empty => String::new(),
        AnyValue::Text(text) => text.clone().into_owned(),
        AnyValue::Bool(value) => value.to_string(),
        AnyValue::Int(value) => value.to_string(),
        AnyValue::Double(value) => float(*value),
        AnyValue::Bytes(bytes) => base64(bytes),
        AnyValue::List(_) | AnyValue::Map(_) => {
            let mut out = String::new();
            put_json(&mut out, value);
            out
        }
    }
}

/// A float as JSON has it: the exponent has no leading zero.
fn float(value: f64) -> String {
    if !value.is_finite() {
        return format!("json: unsupported value: {}", format_float(value, FloatFormat::General));
    }
    format_sample(value).replace("e-0", "e-")
}

fn put_json(out: &mut String, value: &AnyValue<'_>) {
    match value {
        AnyValue::Empty => out.push_str("null"),
        AnyValue::Text(text) => put_quoted(out, text),
        AnyValue::Bool(_) | AnyValue::Int(_) => out.push_str(&text(value)),
        AnyValue::Double(number) if number.is_finite() => out.push_str(&float(*number)),
        // JSON has no word for it.
        AnyValue::Double(_) => out.push_str("null"),
        AnyValue::Bytes(bytes) => put_quoted(out, &base64(bytes)),
        AnyValue::List(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                put_json(out, value);
            }
            out.push(']');
        }
        AnyValue::Map(pairs) => {
            let mut sorted: Vec<_> = pairs.iter().collect();
            sorted.sort_by(|left, right| left.key.cmp(&right.key));
            out.push('{');
            for (index, pair) in sorted.into_iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                put_quoted(out, &pair.key);
                out.push(':');
                put_json(out, &pair.value);
            }
            out.push('}');
        }
    }
}

/// A string as Go's JSON encoder writes it, which also escapes what HTML gives a meaning.
fn put_quoted(out: &mut String, text: &str) {
    out.push('"');
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                // Writing to a string does not fail.
                let _ = write!(out, "\\u{:04x}", u32::from(char));
            }
            _ => out.push(char),
        }
    }
    out.push('"');
}

/// Standard base64 with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) & 63;
            out.push(if digit <= chunk.len() { char::from(DIGITS[value as usize]) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use norn_rpc::otlp::KeyValue;

    use super::*;

    #[test]
    fn values_are_text() {
        let check = |value: AnyValue<'_>, expected| assert_eq!(text(&value), expected);
        let string = |text: &'static str| AnyValue::Text(Cow::Borrowed(text));
        let pair = |key: &'static str, value| KeyValue { key: Cow::Borrowed(key), value };
        check(string("x"), "x");
        check(AnyValue::Int(-5), "-5");
        check(AnyValue::Bool(false), "false");
        check(AnyValue::Double(1.5), "1.5");
        check(AnyValue::Double(2.0), "2");
        check(AnyValue::Double(1e-7), "1e-7");
        check(AnyValue::Double(1e21), "1e+21");
        check(AnyValue::Double(f64::INFINITY), "json: unsupported value: +Inf");
        check(AnyValue::Empty, "");
        check(AnyValue::Bytes(Cow::Borrowed(&[1, 2])), "AQI=");
        check(AnyValue::Bytes(Cow::Borrowed(&[1, 2, 3, 255])), "AQID/w==");
        check(AnyValue::List(vec![AnyValue::Int(1), string("a"), AnyValue::Empty]), r#"[1,"a",null]"#);
        let map = vec![pair("k", AnyValue::Int(1)), pair("a", string("<\"é\n"))];
        check(AnyValue::Map(map), "{\"a\":\"\\u003c\\\"é\\n\",\"k\":1}");
    }
}
