//! Quoted strings as Go writes and reads them.
//!
//! Source: Go's `strconv` (`Quote`, `QuoteRune`), and `util/strutil` of Prometheus, which reads `'…'` as a string
//! of any length where Go knows only characters.

use std::fmt::Write as _;
use std::sync::LazyLock;

use regex_syntax::hir::{Class, ClassUnicode, HirKind};

/// Puts `text` in double quotes as Go's `%q` does: what cannot be printed becomes an escape.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        push_escaped(&mut quoted, character, '"');
    }
    quoted.push('"');
    quoted
}

/// [`quote`] for bytes: those that are not UTF-8 become `\xff`.
pub fn quote_bytes(bytes: &[u8]) -> String {
    let mut quoted = String::with_capacity(bytes.len() + 2);
    quoted.push('"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            push_escaped(&mut quoted, character, '"');
        }
        for byte in chunk.invalid() {
            write!(quoted, "\\x{byte:02x}").expect("writing to a string cannot fail");
        }
    }
    quoted.push('"');
    quoted
}

/// [`quote`] of the first `characters_max` characters, as Go's `%.10q` does.
pub fn quote_truncated(text: &str, characters_max: usize) -> String {
    match text.char_indices().nth(characters_max) {
        Some((end, _)) => quote(&text[..end]),
        None => quote(text),
    }
}

/// Puts a character in single quotes as Go's `%q` does.
pub fn quote_char(character: char) -> String {
    let mut quoted = String::from("'");
    push_escaped(&mut quoted, character, '\'');
    quoted.push('\'');
    quoted
}

fn push_escaped(quoted: &mut String, character: char, quote: char) {
    match character {
        '\\' => quoted.push_str("\\\\"),
        '\x07' => quoted.push_str("\\a"),
        '\x08' => quoted.push_str("\\b"),
        '\x0c' => quoted.push_str("\\f"),
        '\n' => quoted.push_str("\\n"),
        '\r' => quoted.push_str("\\r"),
        '\t' => quoted.push_str("\\t"),
        '\x0b' => quoted.push_str("\\v"),
        _ if character == quote => {
            quoted.push('\\');
            quoted.push(character);
        }
        _ if is_printable(character) => quoted.push(character),
        _ => push_numeric_escape(quoted, u32::from(character)),
    }
}

fn push_numeric_escape(quoted: &mut String, code: u32) {
    let written = match code {
        0..0x20 | 0x7f => write!(quoted, "\\x{code:02x}"),
        0x20..0x1_0000 => write!(quoted, "\\u{code:04x}"),
        _ => write!(quoted, "\\U{code:08x}"),
    };
    written.expect("writing to a string cannot fail");
}

/// Whether Go prints a character as it is: letters, marks, numbers, punctuation, symbols, and the ASCII space.
pub fn is_printable(character: char) -> bool {
    match character {
        ' '..='~' => true,
        '\0'..='\x7f' => false,
        _ => {
            let ranges = PRINTABLE.ranges();
            let index = ranges.partition_point(|range| range.end() < character);
            ranges.get(index).is_some_and(|range| range.start() <= character)
        }
    }
}

static PRINTABLE: LazyLock<ClassUnicode> = LazyLock::new(|| {
    let hir = regex_syntax::parse(r"[\pL\pM\pN\pP\pS]").expect("the general categories are compiled in");
    match hir.into_kind() {
        HirKind::Class(Class::Unicode(class)) => class,
        other => unreachable!("a bracketed class stays a class: {other:?}"),
    }
});

/// A text that is no quoted string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid syntax")]
pub struct UnquoteError;

/// The string inside `"…"`, `'…'` or `` `…` ``.
///
/// - Escapes are Go's; between double or single quotes the other kind needs none; between backquotes nothing is
///   an escape.
/// - Result: bytes, because `\xff` and octal escapes can say what is not UTF-8.
pub fn unquote(quoted: &str) -> Result<Vec<u8>, UnquoteError> {
    let quote = quoted.chars().next().filter(|first| matches!(first, '"' | '\'' | '`')).ok_or(UnquoteError)?;
    let inner = quoted[1..].strip_suffix(quote).ok_or(UnquoteError)?;
    if quote == '`' {
        return if inner.contains('`') { Err(UnquoteError) } else { Ok(inner.as_bytes().to_vec()) };
    }
    let mut unquoted = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(at) = rest.find(['\\', '\n', quote]) {
        unquoted.extend_from_slice(&rest.as_bytes()[..at]);
        // A quote or a line break that no backslash stands before ends a string.
        let escape = rest[at..].strip_prefix('\\').ok_or(UnquoteError)?;
        rest = push_unescaped(&mut unquoted, escape, quote)?;
    }
    unquoted.extend_from_slice(rest.as_bytes());
    Ok(unquoted)
}

/// Reads what follows a backslash, and returns what follows that.
fn push_unescaped<'a>(unquoted: &mut Vec<u8>, escape: &'a str, quote: char) -> Result<&'a str, UnquoteError> {
    let kind = escape.chars().next().ok_or(UnquoteError)?;
    let rest = &escape[kind.len_utf8()..];
    let simple = match kind {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' => b'\\',
        '"' | '\'' if kind == quote => escape.as_bytes()[0],
        'x' => return push_byte(unquoted, rest, 2, 16),
        '0'..='7' => return push_byte(unquoted, escape, 3, 8),
        'u' => return push_code_point(unquoted, rest, 4),
        'U' => return push_code_point(unquoted, rest, 8),
        _ => return Err(UnquoteError),
    };
    unquoted.push(simple);
    Ok(rest)
}

fn push_byte<'a>(unquoted: &mut Vec<u8>, text: &'a str, digits: usize, radix: u32) -> Result<&'a str, UnquoteError> {
    let (code, rest) = split_number(text, digits, radix)?;
    unquoted.push(u8::try_from(code).map_err(|_| UnquoteError)?);
    Ok(rest)
}

fn push_code_point<'a>(unquoted: &mut Vec<u8>, text: &'a str, digits: usize) -> Result<&'a str, UnquoteError> {
    let (code, rest) = split_number(text, digits, 16)?;
    let character = char::from_u32(code).ok_or(UnquoteError)?;
    unquoted.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Ok(rest)
}

fn split_number(text: &str, digits: usize, radix: u32) -> Result<(u32, &str), UnquoteError> {
    let (number, rest) = text.split_at_checked(digits).ok_or(UnquoteError)?;
    if number.starts_with('+') {
        return Err(UnquoteError);
    }
    let code = u32::from_str_radix(number, radix).map_err(|_| UnquoteError)?;
    Ok((code, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting() {
        let check = |text: &str, expected: &str| {
            assert_eq!(quote(text), expected);
            assert_eq!(unquote(expected).as_deref(), Ok(text.as_bytes()));
        };
        check("", r#""""#);
        check("a\"b'c`d\\", r#""a\"b'c`d\\""#);
        check("\x07\x08\x0c\n\r\t\x0b\0\x7f", r#""\a\b\f\n\r\t\v\x00\x7f""#);
        check("温度 é \u{a0}\u{200b}\u{10ffff}😀", "\"温度 é \\u00a0\\u200b\\U0010ffff😀\"");
        assert_eq!(quote_bytes(b"a\xff\n\xc3\xa9\xc3"), r#""a\xff\né\xc3""#);
        assert_eq!(quote_char('\''), r"'\''");
        assert_eq!(quote_char('"'), "'\"'");
        assert_eq!(quote_char('\\'), r"'\\'");
        assert_eq!(quote_truncated("0123456789ab", 10), "\"0123456789\"");
        assert_eq!(quote_truncated("0123", 10), "\"0123\"");
    }

    #[test]
    fn unquoting() {
        let check = |quoted: &str, expected: Option<&[u8]>| {
            assert_eq!(unquote(quoted).ok().as_deref(), expected, "{quoted}");
        };
        check(r#"'a"b\'c'"#, Some(b"a\"b'c"));
        check("`a\\n\n`", Some(b"a\\n\n"));
        check(r#""\xff\377\u00e9\U0001F600""#, Some(b"\xff\xff\xc3\xa9\xf0\x9f\x98\x80"));
        for wrong in
            ["", "\"", "\"a", "a", "'a\"", r#""\'""#, r#""\q""#, "\"a\nb\"", r#""\400""#, r#""\ud800""#, "`a`b`"]
        {
            check(wrong, None);
        }
    }
}
