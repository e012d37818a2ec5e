//! Character classes and escapes of Go's syntax.
//!
//! Source: Go `regexp/syntax/parse.go` and `perl_groups.go`.

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

use super::mistake::Mistake;
use super::parse::{Flags, Parsed, fail};

/// `[…]`, and what follows it.
pub(super) fn bracketed(text: &str, flags: Flags) -> Parsed<'_, (ClassUnicode, &str)> {
    let mut rest = &text[1..];
    let negated = rest.starts_with('^');
    if negated {
        rest = &rest[1..];
    }
    let mut class = ClassUnicode::empty();
    let mut is_first = true;
    while is_first || !rest.starts_with(']') {
        is_first = false;
        if let Some((posix, behind)) = posix_class(rest, flags)? {
            class.union(&posix);
            rest = behind;
        } else if let Some((named, behind)) = named(rest, flags)? {
            class.union(&named);
            rest = behind;
        } else {
            rest = range(text, rest, flags, &mut class)?;
        }
    }
    if negated {
        class.negate();
    }
    Ok((class, &rest[1..]))
}

/// One character or `a-z`. `whole` is the class from its bracket on.
fn range<'a>(whole: &'a str, text: &'a str, flags: Flags, class: &mut ClassUnicode) -> Parsed<'a, &'a str> {
    let (low, mut rest) = class_character(whole, text)?;
    let mut high = low;
    // `[a-]` is `a` or `-`.
    if rest.len() >= 2 && rest.starts_with('-') && !rest.starts_with("-]") {
        (high, rest) = class_character(whole, &rest[1..])?;
        if high < low {
            return fail(Mistake::InvalidCharacterClassRange, &text[..text.len() - rest.len()]);
        }
    }
    // Halves of surrogate pairs are in no text.
    let low = if (0xd800..0xe000).contains(&low) { 0xe000 } else { low };
    let high = if (0xd800..0xe000).contains(&high) { 0xd7ff } else { high };
    if low <= high {
        let (low, high) = (char::from_u32(low), char::from_u32(high));
        let (low, high) = low.zip(high).expect("escapes end at the last code point, and halves were moved away");
        class.union(&folded(ClassUnicode::new([ClassUnicodeRange::new(low, high)]), flags));
    }
    Ok(rest)
}

fn class_character<'a>(whole: &'a str, text: &'a str) -> Parsed<'a, (u32, &'a str)> {
    match text.chars().next() {
        None => fail(Mistake::MissingBracket, whole),
        Some('\\') => escaped_character(text),
        Some(character) => Ok((u32::from(character), &text[character.len_utf8()..])),
    }
}

/// `[:alpha:]` and its kin.
fn posix_class(text: &str, flags: Flags) -> Parsed<'_, Option<(ClassUnicode, &str)>> {
    if !text.starts_with("[:") {
        return Ok(None);
    }
    let Some(end) = text[2..].find(":]").map(|at| at + 4) else { return Ok(None) };
    let name = &text[2..end - 2];
    let (negated, name) = name.strip_prefix('^').map_or((false, name), |name| (true, name));
    let ranges: &[(char, char)] = match name {
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "ascii" => &[('\0', '\x7f')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "cntrl" => &[('\0', '\x1f'), ('\x7f', '\x7f')],
        "digit" => &DIGITS,
        "graph" => &[('!', '~')],
        "lower" => &[('a', 'z')],
        "print" => &[(' ', '~')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "upper" => &[('A', 'Z')],
        "word" => &WORD,
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return fail(Mistake::InvalidCharacterClassRange, &text[..end]),
    };
    Ok(Some((from_ranges(ranges, negated, flags), &text[end..])))
}

const DIGITS: [(char, char); 1] = [('0', '9')];
const WORD: [(char, char); 4] = [('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];
const SPACE: [(char, char); 3] = [('\t', '\n'), ('\x0c', '\r'), (' ', ' ')];

/// `\d`, `\pL`, `\p{Greek}` and their kin; `None` where something else comes.
pub(super) fn named(text: &str, flags: Flags) -> Parsed<'_, Option<(ClassUnicode, &str)>> {
    let (ranges, negated): (&[(char, char)], bool) = match text.as_bytes() {
        [b'\\', b'p' | b'P', ..] => return unicode_class(text, flags).map(Some),
        [b'\\', b'd', ..] => (&DIGITS, false),
        [b'\\', b'D', ..] => (&DIGITS, true),
        [b'\\', b's', ..] => (&SPACE, false),
        [b'\\', b'S', ..] => (&SPACE, true),
        [b'\\', b'w', ..] => (&WORD, false),
        [b'\\', b'W', ..] => (&WORD, true),
        _ => return Ok(None),
    };
    Ok(Some((from_ranges(ranges, negated, flags), &text[2..])))
}

fn from_ranges(ranges: &[(char, char)], negated: bool, flags: Flags) -> ClassUnicode {
    let mut class = ClassUnicode::empty();
    for (low, high) in ranges {
        class.push(ClassUnicodeRange::new(*low, *high));
    }
    let mut class = folded(class, flags);
    if negated {
        class.negate();
    }
    class
}

fn folded(mut class: ClassUnicode, flags: Flags) -> ClassUnicode {
    if flags.fold_case {
        class.case_fold_simple();
    }
    class
}

/// `\pN`, `\p{Greek}`, `\P{^Lu}`.
fn unicode_class(text: &str, flags: Flags) -> Parsed<'_, (ClassUnicode, &str)> {
    let mut negated = text.starts_with(r"\P");
    let end = match text[2..].chars().next() {
        Some('{') => match text.find('}') {
            Some(close) => close + 1,
            None => return fail(Mistake::InvalidCharacterClassRange, text),
        },
        Some(letter) => 2 + letter.len_utf8(),
        None => 2,
    };
    let (part, rest) = text.split_at(end);
    let inside = part[2..].strip_prefix('{').and_then(|inside| inside.strip_suffix('}'));
    let mut name = inside.unwrap_or(&part[2..]);
    if let Some(inner) = name.strip_prefix('^') {
        negated = !negated;
        name = inner;
    }
    let Some(class) = unicode_table(name) else { return fail(Mistake::InvalidCharacterClassRange, part) };
    let mut class = folded(class, flags);
    if negated {
        class.negate();
    }
    Ok((class, rest))
}

/// Go knows general categories by all their names, scripts by their long ones, and three more. Case, blanks, hyphens
/// and underscores do not matter.
fn unicode_table(name: &str) -> Option<ClassUnicode> {
    let is_ignored = |character: char| matches!(character, ' ' | '-' | '_');
    let name: String = name.chars().filter(|character| !is_ignored(*character)).collect();
    let name = name.to_ascii_lowercase();
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return None;
    }
    match name.as_str() {
        "any" | "assigned" | "ascii" => return property(&name),
        _ => {}
    }
    let script = || {
        // Other names of this length abbreviate a longer one.
        let is_long = name.len() != 4 || SCRIPTS_OF_FOUR_LETTERS.contains(&name.as_str());
        if is_long { property(&format!("sc={name}")) } else { None }
    };
    property(&format!("gc={name}")).or_else(script)
}

const SCRIPTS_OF_FOUR_LETTERS: [&str; 8] = ["ahom", "cham", "lisu", "miao", "modi", "newa", "thai", "toto"];

fn property(query: &str) -> Option<ClassUnicode> {
    match regex_syntax::parse(&format!(r"\p{{{query}}}")).ok()?.into_kind() {
        HirKind::Class(Class::Unicode(class)) => Some(class),
        _ => None,
    }
}

/// An escape that stands for one character, as its code point.
pub(super) fn escaped_character(text: &str) -> Parsed<'_, (u32, &str)> {
    let behind = &text[1..];
    let Some(kind) = behind.chars().next() else { return fail(Mistake::TrailingBackslash, "") };
    let rest = &behind[kind.len_utf8()..];
    let invalid = |rest: &str| fail(Mistake::InvalidEscape, &text[..text.len() - rest.len()]);
    let code = match kind {
        '1'..='7' if !rest.starts_with(|next: char| next.is_digit(8)) => return invalid(rest),
        '0'..='7' => return Ok(octal(behind)),
        'x' => return hexadecimal(text, rest),
        'a' => 0x07,
        'f' => 0x0c,
        'n' => 0x0a,
        'r' => 0x0d,
        't' => 0x09,
        'v' => 0x0b,
        _ if kind.is_ascii() && !kind.is_ascii_alphanumeric() => u32::from(kind),
        _ => return invalid(rest),
    };
    Ok((code, rest))
}

/// Up to three octal digits.
fn octal(digits: &str) -> (u32, &str) {
    let len = digits.bytes().take(3).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
    let code = digits[..len].bytes().fold(0, |code, byte| code * 8 + u32::from(byte - b'0'));
    (code, &digits[len..])
}

/// `\x41` or `\x{1F600}`, the part behind the `x`. A mistake shows what was read up to it.
fn hexadecimal<'a>(text: &'a str, digits: &'a str) -> Parsed<'a, (u32, &'a str)> {
    let read = |rest: &str| &text[..text.len() - rest.len()];
    let mut characters = digits.chars();
    let Some(first) = characters.next() else { return fail(Mistake::InvalidEscape, text) };
    if first != '{' {
        let second = characters.next().and_then(|second| second.to_digit(16));
        let rest = characters.as_str();
        return match (first.to_digit(16), second) {
            (Some(high), Some(low)) => Ok((high * 16 + low, rest)),
            _ => fail(Mistake::InvalidEscape, read(rest)),
        };
    }
    let mut code = None;
    while let Some(character) = characters.next() {
        if character == '}' {
            let rest = characters.as_str();
            return code.map_or_else(|| fail(Mistake::InvalidEscape, read(rest)), |code| Ok((code, rest)));
        }
        code = character.to_digit(16).map(|digit| code.unwrap_or(0) * 16 + digit);
        if code.is_none_or(|code| code > u32::from(char::MAX)) {
            return fail(Mistake::InvalidEscape, read(characters.as_str()));
        }
    }
    fail(Mistake::InvalidEscape, text)
}
