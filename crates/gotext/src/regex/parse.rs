//! From Go's syntax to the intermediate form that `regex-automata` compiles.
//!
//! The languages differ in small ways that users notice: `{` alone is a literal in Go, `\d` is ASCII, `\<` is a
//! literal, `[a&&b]` has no set operations, `a**` is refused. Patterns come from dashboards that were written for Go, so
//! the text is parsed here by Go's rules, and mistakes are described in Go's words.
//!
//! Groups are kept on a stack of our own, so that no pattern overflows that of the thread.
//!
//! Source: Go `regexp/syntax/parse.go`, with the flags of `syntax.Perl`.

use regex_syntax::hir::{Capture, Class, ClassUnicode, ClassUnicodeRange, Hir, Look, Repetition};

use super::class;
use super::mistake::Mistake;

/// Go allows 1000; the compiler behind this one walks recursively.
const NESTING_MAX: usize = 250;

/// No repetition, nested ones multiplied, may ask for more copies.
const COPIES_MAX: u32 = 1000;

/// A mistake and the part of the pattern that it is in.
pub(super) struct Failure<'a> {
    pub(super) mistake: Mistake,
    pub(super) part: &'a str,
}

pub(super) type Parsed<'a, T> = Result<T, Failure<'a>>;

pub(super) fn fail<T>(mistake: Mistake, part: &str) -> Parsed<'_, T> {
    Err(Failure { mistake, part })
}

/// Parses a pattern; `dot_matches_newline` is the flag `s`, set from the start.
pub(super) fn parse(pattern: &str, dot_matches_newline: bool) -> Parsed<'_, Hir> {
    let flags = Flags { dot_matches_newline, ..Flags::default() };
    let groups = vec![Group::new(Flags::default(), None)];
    let mut parser = Parser { pattern, at: 0, flags, captures: 0, names: Vec::new(), groups };
    while parser.at < pattern.len() {
        parser.item()?;
    }
    match (parser.groups.pop(), parser.groups.is_empty()) {
        (Some(group), true) => Ok(group.finish().hir),
        _ => fail(Mistake::MissingParen, pattern),
    }
}

/// What `(?i)` and its kin switch.
#[derive(Clone, Copy, Default)]
pub(super) struct Flags {
    pub(super) fold_case: bool,
    multi_line: bool,
    dot_matches_newline: bool,
    swap_greed: bool,
}

/// A part of the pattern that a repetition may follow.
struct Node {
    hir: Hir,
    /// How many copies its repetitions ask for, nested ones multiplied.
    copies: u32,
}

/// A group that is still open.
struct Group {
    /// The flags before it, to come back when it closes.
    outer_flags: Flags,
    capture: Option<Capturing>,
    alternatives: Vec<Node>,
    sequence: Vec<Node>,
    /// Where a repetition starts that was the last thing read.
    last_repeat: Option<usize>,
}

struct Capturing {
    index: u32,
    name: Option<Box<str>>,
}

impl Group {
    fn new(outer_flags: Flags, capture: Option<Capturing>) -> Self {
        Self { outer_flags, capture, alternatives: Vec::new(), sequence: Vec::new(), last_repeat: None }
    }

    fn end_alternative(&mut self) {
        let sequence = std::mem::take(&mut self.sequence);
        self.alternatives.push(join(sequence, Hir::concat));
    }

    fn finish(mut self) -> Node {
        self.end_alternative();
        let node = join(self.alternatives, Hir::alternation);
        match self.capture {
            None => node,
            Some(Capturing { index, name }) => {
                let hir = Hir::capture(Capture { index, name, sub: Box::new(node.hir) });
                Node { hir, copies: node.copies }
            }
        }
    }
}

fn join(nodes: Vec<Node>, combine: fn(Vec<Hir>) -> Hir) -> Node {
    let copies = nodes.iter().map(|node| node.copies).max().unwrap_or(1);
    Node { hir: combine(nodes.into_iter().map(|node| node.hir).collect()), copies }
}

struct Parser<'a> {
    pattern: &'a str,
    at: usize,
    flags: Flags,
    captures: u32,
    /// Names of groups so far.
    names: Vec<&'a str>,
    /// Never empty while items are read: closing the outermost is a mistake.
    groups: Vec<Group>,
}

impl<'a> Parser<'a> {
    fn item(&mut self) -> Parsed<'a, ()> {
        let rest = self.rest();
        let first = rest.chars().next().expect("the caller looks whether something is left");
        let last_repeat = self.group().last_repeat.take();
        match first {
            '(' if rest.starts_with("(?") => return self.perl_group(),
            '(' => {
                self.at += 1;
                return self.open_capture(None);
            }
            ')' => return self.close(),
            '|' => {
                self.at += 1;
                self.group().end_alternative();
            }
            '*' => return self.repeat(last_repeat, (0, None), 1),
            '+' => return self.repeat(last_repeat, (1, None), 1),
            '?' => return self.repeat(last_repeat, (0, Some(1)), 1),
            '{' => return self.counted_repeat(last_repeat),
            '[' => {
                let (class, rest) = class::bracketed(rest, self.flags)?;
                self.advance_to(rest, class_hir(class));
            }
            '\\' => return self.escape(),
            '^' => self.advance(1, Hir::look(if self.flags.multi_line { Look::StartLF } else { Look::Start })),
            '$' => self.advance(1, Hir::look(if self.flags.multi_line { Look::EndLF } else { Look::End })),
            '.' => self.advance(1, any_character(self.flags.dot_matches_newline)),
            _ => self.advance(first.len_utf8(), literal(u32::from(first), self.flags)),
        }
        Ok(())
    }

    fn escape(&mut self) -> Parsed<'a, ()> {
        let rest = self.rest();
        match rest.as_bytes().get(1) {
            Some(b'A') => self.advance(2, Hir::look(Look::Start)),
            Some(b'z') => self.advance(2, Hir::look(Look::End)),
            Some(b'b') => self.advance(2, Hir::look(Look::WordAscii)),
            Some(b'B') => self.advance(2, Hir::look(Look::WordAsciiNegate)),
            Some(b'C') => return fail(Mistake::InvalidEscape, &rest[..2]),
            Some(b'Q') => self.quoted(&rest[2..]),
            _ => {
                if let Some((class, rest)) = class::named(rest, self.flags)? {
                    self.advance_to(rest, class_hir(class));
                } else {
                    let (code, rest) = class::escaped_character(rest)?;
                    self.advance_to(rest, literal(code, self.flags));
                }
            }
        }
        Ok(())
    }

    /// `\Q…\E`, or to the end.
    fn quoted(&mut self, text: &'a str) {
        let (quoted, rest) = text.split_once(r"\E").unwrap_or((text, ""));
        for character in quoted.chars() {
            let hir = literal(u32::from(character), self.flags);
            self.push(hir);
        }
        self.at = self.pattern.len() - rest.len();
    }

    /// `(?:…)`, `(?i)`, `(?i-s:…)`, `(?P<name>…)`, `(?<name>…)`.
    fn perl_group(&mut self) -> Parsed<'a, ()> {
        let rest = self.rest();
        let name_start = if rest.starts_with("(?P<") { 4 } else { 3 };
        if rest.starts_with("(?P<") && rest.len() > 4 || rest.starts_with("(?<") && rest.len() > 3 {
            let Some(end) = rest.find('>') else { return fail(Mistake::InvalidNamedCapture, rest) };
            // `end` lies behind the `<`, for no `>` is before it.
            let name = &rest[name_start..end];
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                return fail(Mistake::InvalidNamedCapture, &rest[..=end]);
            }
            self.at += end + 1;
            // Several groups may have one name, which then stands for the first; the engine takes each name once.
            let is_first = !self.names.contains(&name);
            self.names.push(name);
            return self.open_capture(is_first.then(|| name.into()));
        }
        let mut flags = self.flags;
        let mut value = true;
        let mut flag_seen = false;
        for (offset, character) in rest.char_indices().skip(2) {
            match character {
                'i' => flags.fold_case = value,
                'm' => flags.multi_line = value,
                's' => flags.dot_matches_newline = value,
                'U' => flags.swap_greed = value,
                '-' if value => {
                    value = false;
                    flag_seen = false;
                    continue;
                }
                ':' | ')' if value || flag_seen => {
                    self.at += offset + 1;
                    if character == ':' {
                        self.open(None)?;
                    }
                    self.flags = flags;
                    return Ok(());
                }
                _ => return fail(Mistake::InvalidPerlSyntax, &rest[..offset + character.len_utf8()]),
            }
            flag_seen = true;
        }
        fail(Mistake::InvalidPerlSyntax, rest)
    }

    fn open_capture(&mut self, name: Option<Box<str>>) -> Parsed<'a, ()> {
        self.captures += 1;
        self.open(Some(Capturing { index: self.captures, name }))
    }

    fn open(&mut self, capture: Option<Capturing>) -> Parsed<'a, ()> {
        if self.groups.len() > NESTING_MAX {
            return fail(Mistake::NestsTooDeeply, self.pattern);
        }
        self.groups.push(Group::new(self.flags, capture));
        Ok(())
    }

    fn close(&mut self) -> Parsed<'a, ()> {
        if self.groups.len() == 1 {
            return fail(Mistake::UnexpectedParen, self.pattern);
        }
        let group = self.groups.pop().expect("there is more than one group");
        self.at += 1;
        self.flags = group.outer_flags;
        let node = group.finish();
        self.group().sequence.push(node);
        Ok(())
    }

    /// `{2}`, `{2,}`, `{2,3}`; what is not of that form is a literal brace.
    fn counted_repeat(&mut self, last_repeat: Option<usize>) -> Parsed<'a, ()> {
        let rest = self.rest();
        let Some((min, max, len)) = repeat_counts(rest) else {
            self.advance(1, literal(u32::from('{'), self.flags));
            return Ok(());
        };
        let count = |text: &str| text.parse().ok().filter(|count| *count <= COPIES_MAX);
        match (count(min), max, max.and_then(count)) {
            (Some(min), None, _) => self.repeat(last_repeat, (min, None), len),
            (Some(min), _, Some(max)) if min <= max => self.repeat(last_repeat, (min, Some(max)), len),
            _ => fail(Mistake::InvalidRepeatCount, &rest[..len]),
        }
    }

    /// Repeats what was read before; `len` is that of the operator without a `?` behind it.
    fn repeat(&mut self, last_repeat: Option<usize>, (min, max): (u32, Option<u32>), mut len: usize) -> Parsed<'a, ()> {
        let start = self.at;
        let pattern = self.pattern;
        let is_counted = self.rest().starts_with('{');
        let mut greedy = !self.flags.swap_greed;
        if self.rest()[len..].starts_with('?') {
            len += 1;
            greedy = !greedy;
        }
        let end = start + len;
        if let Some(last_start) = last_repeat {
            return fail(Mistake::InvalidNestedRepetition, &pattern[last_start..end]);
        }
        let group = self.group();
        let Some(node) = group.sequence.pop() else {
            return fail(Mistake::MissingRepeatArgument, &pattern[start..end]);
        };
        let copies = match (is_counted, max.unwrap_or(min)) {
            (false, _) => node.copies,
            // Nothing is left of what is inside.
            (true, 0) if max == Some(0) => 1,
            (true, count) => node.copies.saturating_mul(count.max(1)),
        };
        if is_counted && (min >= 2 || max.is_some_and(|max| max >= 2)) && copies > COPIES_MAX {
            return fail(Mistake::InvalidRepeatCount, &pattern[start..end]);
        }
        let hir = Hir::repetition(Repetition { min, max, greedy, sub: Box::new(node.hir) });
        group.sequence.push(Node { hir, copies });
        group.last_repeat = Some(start);
        self.at = end;
        Ok(())
    }

    fn rest(&self) -> &'a str {
        &self.pattern[self.at..]
    }

    fn group(&mut self) -> &mut Group {
        self.groups.last_mut().expect("the outermost group stays open")
    }

    fn push(&mut self, hir: Hir) {
        self.group().sequence.push(Node { hir, copies: 1 });
    }

    fn advance(&mut self, len: usize, hir: Hir) {
        self.at += len;
        self.push(hir);
    }

    fn advance_to(&mut self, rest: &str, hir: Hir) {
        self.at = self.pattern.len() - rest.len();
        self.push(hir);
    }
}

/// The texts of least and most, `None` for no bound, and the length. Go allows no leading zeros here.
fn repeat_counts(text: &str) -> Option<(&str, Option<&str>, usize)> {
    let close = text.find('}')?;
    let inside = &text[1..close];
    let (min, max) = match inside.split_once(',') {
        None => (inside, Some(inside)),
        Some((min, "")) => (min, None),
        Some((min, max)) => (min, Some(max)),
    };
    let is_number = |text: &str| {
        let has_leading_zero = text.len() > 1 && text.starts_with('0');
        !text.is_empty() && !has_leading_zero && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    (is_number(min) && max.is_none_or(is_number)).then_some((min, max, close + 1))
}

fn any_character(matches_newline: bool) -> Hir {
    let full = ClassUnicodeRange::new('\0', char::MAX);
    let mut class = ClassUnicode::new([full]);
    if !matches_newline {
        class.difference(&ClassUnicode::new([ClassUnicodeRange::new('\n', '\n')]));
    }
    Hir::class(Class::Unicode(class))
}

fn literal(code: u32, flags: Flags) -> Hir {
    // Half of a surrogate pair is in no text.
    let Some(character) = char::from_u32(code) else { return Hir::fail() };
    if flags.fold_case {
        let mut class = ClassUnicode::new([ClassUnicodeRange::new(character, character)]);
        class.case_fold_simple();
        return Hir::class(Class::Unicode(class));
    }
    Hir::literal(character.encode_utf8(&mut [0; 4]).as_bytes())
}

fn class_hir(class: ClassUnicode) -> Hir {
    Hir::class(Class::Unicode(class))
}
