//! Patterns that need no engine.

use memchr::memmem::Finder;
use regex_syntax::hir::literal::{ExtractKind, Extractor};
use regex_syntax::hir::{Class, Hir, HirKind, Look};

/// More alternatives than this are left to the engine.
const LITERALS_MAX: usize = 1000;

/// All bytes of all alternatives.
const LITERALS_BYTES_MAX: usize = 64 << 10;

/// What an anchored pattern amounts to.
#[derive(Debug, Clone)]
pub(super) enum Shape {
    /// Exactly these texts, ascending.
    Literals(Vec<String>),
    /// Literals with anything, or at least something, between and around them.
    Gaps(Gaps),
    /// An engine is needed.
    Program,
}

/// `prefix.*middle.*suffix`, with any number of middles.
#[derive(Debug, Clone)]
pub(super) struct Gaps {
    prefix: String,
    middles: Vec<Middle>,
    /// How many bytes have to be between: one where the pattern has `.+`, which is then a character.
    suffix_gap: usize,
    suffix: String,
}

#[derive(Debug, Clone)]
struct Middle {
    gap: usize,
    literal: Finder<'static>,
}

impl Shape {
    /// The shape of a pattern without its anchors.
    pub(super) fn of(hir: &Hir) -> Self {
        let parts = unanchored_parts(hir);
        if let Some(literals) = literals(&parts) {
            return Self::Literals(literals);
        }
        gaps(&parts).map_or(Self::Program, Self::Gaps)
    }

    /// What every match starts with, where the shape says it.
    pub(super) fn prefix(&self) -> Option<String> {
        match self {
            Self::Literals(literals) => Some(common_prefix(literals).to_owned()),
            Self::Gaps(gaps) => Some(gaps.prefix.clone()),
            Self::Program => None,
        }
    }

    /// Whether the whole text is matched. Never called for [`Shape::Program`], which matches nothing here.
    pub(super) fn is_match(&self, text: &str) -> bool {
        match self {
            Self::Literals(literals) => literals.binary_search_by(|literal| literal.as_str().cmp(text)).is_ok(),
            Self::Gaps(gaps) => gaps.is_match(text.as_bytes()),
            Self::Program => false,
        }
    }
}

impl Gaps {
    fn is_match(&self, text: &[u8]) -> bool {
        let Some(rest) = text.strip_prefix(self.prefix.as_bytes()) else { return false };
        let Some(mut rest) = rest.strip_suffix(self.suffix.as_bytes()) else { return false };
        // The first place for each is the best for all that follow.
        for Middle { gap, literal } in &self.middles {
            let Some(behind) = rest.get(*gap..) else { return false };
            let Some(at) = literal.find(behind) else { return false };
            rest = &behind[at + literal.needle().len()..];
        }
        rest.len() >= self.suffix_gap
    }
}

/// The parts of a sequence, without `^` in front and `$` behind: the whole text has to match anyway.
fn unanchored_parts(hir: &Hir) -> Vec<&Hir> {
    let mut parts = match hir.kind() {
        HirKind::Concat(parts) => parts.iter().collect(),
        _ => vec![hir],
    };
    while parts.first().is_some_and(|part| *part.kind() == HirKind::Look(Look::Start)) {
        parts.remove(0);
    }
    while parts.last().is_some_and(|part| *part.kind() == HirKind::Look(Look::End)) {
        parts.pop();
    }
    parts
}

/// All texts that the parts match, if they are few and without conditions on what is around them.
fn literals(parts: &[&Hir]) -> Option<Vec<String>> {
    if parts.iter().any(|part| !part.properties().look_set().is_empty()) {
        return None;
    }
    let whole = Hir::concat(parts.iter().map(|part| (*part).clone()).collect());
    let longest = whole.properties().maximum_len()?;
    let mut extractor = Extractor::new();
    extractor
        .kind(ExtractKind::Prefix)
        .limit_class(32)
        .limit_repeat(longest.saturating_add(1))
        .limit_literal_len(longest.saturating_add(1))
        .limit_total(LITERALS_MAX);
    let sequence = extractor.extract(&whole);
    if !sequence.is_exact() {
        return None;
    }
    let mut literals = Vec::new();
    let mut bytes = 0;
    for literal in sequence.literals()? {
        bytes += literal.len();
        if bytes > LITERALS_BYTES_MAX {
            return None;
        }
        literals.push(std::str::from_utf8(literal.as_bytes()).ok()?.to_owned());
    }
    literals.sort_unstable();
    literals.dedup();
    Some(literals)
}

fn gaps(parts: &[&Hir]) -> Option<Gaps> {
    // The gap before each literal, and the literal; the first has no gap, and the last may be empty.
    let mut pieces = vec![(0, String::new())];
    let mut is_behind_gap = false;
    for part in parts {
        let part = uncaptured(part);
        match part.kind() {
            HirKind::Literal(literal) => {
                let (_, last) = pieces.last_mut()?;
                last.push_str(std::str::from_utf8(&literal.0).ok()?);
                is_behind_gap = false;
            }
            HirKind::Repetition(repetition) if repetition.max.is_none() && is_anything(&repetition.sub) => {
                let gap = usize::try_from(repetition.min).ok()?;
                match pieces.last_mut().filter(|_| is_behind_gap) {
                    Some((before, _)) => *before += gap,
                    None => pieces.push((gap, String::new())),
                }
                is_behind_gap = true;
            }
            HirKind::Empty => {}
            _ => return None,
        }
    }
    // Two characters may be two bytes or eight: only one is certain to fit every gap.
    if pieces.len() < 2 || pieces.iter().any(|(gap, _)| *gap > 1) {
        return None;
    }
    let (suffix_gap, suffix) = pieces.pop()?;
    let (_, prefix) = pieces.remove(0);
    let middle = |(gap, literal): (usize, String)| Middle { gap, literal: Finder::new(&literal).into_owned() };
    Some(Gaps { prefix, middles: pieces.into_iter().map(middle).collect(), suffix_gap, suffix })
}

fn uncaptured(mut hir: &Hir) -> &Hir {
    while let HirKind::Capture(capture) = hir.kind() {
        hir = &capture.sub;
    }
    hir
}

/// Whether a part matches each character there is.
fn is_anything(hir: &Hir) -> bool {
    let HirKind::Class(Class::Unicode(class)) = uncaptured(hir).kind() else { return false };
    matches!(class.ranges(), [only] if only.start() == '\0' && only.end() == char::MAX)
}

/// What every match starts with.
pub(super) fn prefix(hir: &Hir) -> String {
    let whole = Hir::concat(unanchored_parts(hir).into_iter().cloned().collect());
    let sequence = Extractor::new().kind(ExtractKind::Prefix).extract(&whole);
    let common = sequence.longest_common_prefix().unwrap_or_default();
    match std::str::from_utf8(common) {
        Ok(text) => text.to_owned(),
        Err(error) => String::from_utf8_lossy(&common[..error.valid_up_to()]).into_owned(),
    }
}

fn common_prefix(sorted: &[String]) -> &str {
    let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else { return "" };
    let mut len = first.bytes().zip(last.bytes()).take_while(|(left, right)| left == right).count();
    while !first.is_char_boundary(len) {
        len -= 1;
    }
    &first[..len]
}
