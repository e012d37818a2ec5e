//! Label sets in one piece of memory.
//!
//! The canonical encoding is the label set's identity everywhere in norn: on the way in, in the log, and as the
//! key of hashes. Pairs ascend by name (bytewise, names unique, no empty values); each string is its length in
//! bytes as a LEB128 varint, then its UTF-8 bytes: `len name len value len name len value …`. There is no count
//! in front; the end of the bytes is the end of the set.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The label that holds a metric's name.
pub const METRIC_NAME: &str = "__name__";

/// An immutable label set, cheap to clone. Ordered as Prometheus orders label sets: pair by pair, name before value.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Labels {
    // Always a canonical encoding: sorted, unique, valid UTF-8.
    encoded: Arc<[u8]>,
}

/// Bytes that are no canonical encoding of a label set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LabelsError {
    /// A length points past the end of the bytes.
    #[error("label set ends inside a string at byte {offset}")]
    Truncated {
        /// Where the string starts.
        offset: usize,
    },
    /// A name or value is not UTF-8.
    #[error("label set holds invalid UTF-8 at byte {offset}")]
    InvalidUtf8 {
        /// Where the string starts.
        offset: usize,
    },
    /// Names do not strictly ascend.
    #[error("label names are not sorted or not unique at byte {offset}")]
    Unsorted {
        /// Where the offending name starts.
        offset: usize,
    },
}

impl Labels {
    /// The empty set.
    pub fn empty() -> Self {
        Self::default()
    }

    /// A set from pairs in any order. Of pairs with one name the last wins; pairs with an empty value are left out.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Self {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.build()
    }

    /// A set from pairs whose names strictly ascend and whose values are not empty. `buffer` is scratch space.
    pub fn from_sorted_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>, buffer: &mut Vec<u8>) -> Self {
        buffer.clear();
        for (name, value) in pairs {
            push_pair(buffer, name, value);
        }
        debug_assert!(check_encoded(buffer).is_ok());
        Self { encoded: buffer.as_slice().into() }
    }

    /// Checks bytes from outside and takes them as a label set.
    pub fn from_encoded(encoded: &[u8]) -> Result<Self, LabelsError> {
        check_encoded(encoded)?;
        Ok(Self { encoded: encoded.into() })
    }

    /// The canonical encoding.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// Borrows the set.
    pub fn as_ref(&self) -> LabelsRef<'_> {
        LabelsRef { encoded: &self.encoded }
    }

    /// Pairs in ascending order of their names.
    pub fn iter(&self) -> Pairs<'_> {
        self.as_ref().iter()
    }

    /// The value of a label; `None` where the set has none of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.as_ref().get(name)
    }

    /// The metric's name, or the empty string.
    pub fn metric_name(&self) -> &str {
        self.get(METRIC_NAME).unwrap_or("")
    }

    /// Whether the set has no labels.
    pub fn is_empty(&self) -> bool {
        self.encoded.is_empty()
    }

    /// How many labels there are. Cost: one pass.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// The set's hash, equal in every process and version: see [`hash_encoded`].
    pub fn stable_hash(&self) -> u64 {
        hash_encoded(&self.encoded)
    }

    /// The set without the named labels.
    pub fn without(&self, names: &[&str]) -> Self {
        let mut builder = LabelsBuilder::from(self);
        for name in names {
            builder.remove(name);
        }
        builder.build()
    }

    /// The set with only the labels for which `keep` holds.
    pub fn filtered(&self, mut keep: impl FnMut(&str) -> bool) -> Self {
        let mut encoded = Vec::with_capacity(self.encoded.len());
        for (name, value) in self.iter() {
            if keep(name) {
                push_pair(&mut encoded, name, value);
            }
        }
        Self { encoded: encoded.into() }
    }
}

/// The hash of a canonical encoding: XXH3 with 64 bits and seed 0. It is part of formats and of the order in which
/// sources yield series, so it never changes. Not to be used where an attacker gains from collisions.
pub fn hash_encoded(encoded: &[u8]) -> u64 {
    twox_hash::XxHash3_64::oneshot(encoded)
}

/// Appends one pair to a canonical encoding. The caller keeps names ascending and unique, and values not empty.
pub fn push_pair(encoded: &mut Vec<u8>, name: &str, value: &str) {
    push_string(encoded, name);
    push_string(encoded, value);
}

fn push_string(encoded: &mut Vec<u8>, text: &str) {
    let mut rest = text.len();
    while rest >= 0x80 {
        encoded.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    encoded.push(rest as u8);
    encoded.extend_from_slice(text.as_bytes());
}

/// A label set that someone else holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LabelsRef<'a> {
    encoded: &'a [u8],
}

impl<'a> LabelsRef<'a> {
    /// Checks bytes from outside and takes them as a label set.
    pub fn from_encoded(encoded: &'a [u8]) -> Result<Self, LabelsError> {
        check_encoded(encoded)?;
        Ok(Self { encoded })
    }

    /// Takes bytes that came out of [`LabelsRef::encoded`] or [`Labels::encoded`].
    pub(crate) fn from_canonical(encoded: &'a [u8]) -> Self {
        debug_assert!(check_encoded(encoded).is_ok());
        Self { encoded }
    }

    /// The canonical encoding.
    pub fn encoded(self) -> &'a [u8] {
        self.encoded
    }

    /// Pairs in ascending order of their names.
    pub fn iter(self) -> Pairs<'a> {
        Pairs { rest: self.encoded }
    }

    /// The value of a label; `None` where the set has none of that name.
    pub fn get(self, name: &str) -> Option<&'a str> {
        for (candidate, value) in self.iter() {
            match candidate.cmp(name) {
                Ordering::Less => {}
                Ordering::Equal => return Some(value),
                Ordering::Greater => return None,
            }
        }
        None
    }

    /// See [`Labels::stable_hash`].
    pub fn stable_hash(self) -> u64 {
        hash_encoded(self.encoded)
    }

    /// A copy that owns its bytes.
    pub fn to_owned(self) -> Labels {
        Labels { encoded: self.encoded.into() }
    }
}

/// Iterator over the pairs of a label set.
#[derive(Clone)]
pub struct Pairs<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Pairs<'a> {
    type Item = (&'a str, &'a str);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let name = self.take_string();
        let value = self.take_string();
        Some((name, value))
    }
}

impl<'a> Pairs<'a> {
    #[inline]
    fn take_string(&mut self) -> &'a str {
        // Canonical encodings are checked when they are made, so the lengths fit.
        let (len, head) = read_len(self.rest).expect("a canonical encoding holds whole strings");
        let (text, rest) = self.rest[head..].split_at(len);
        self.rest = rest;
        #[expect(unsafe_code, reason = "checking UTF-8 again for every label read costs more than all else here")]
        // SAFETY: every constructor of `Labels` and `LabelsRef` takes `&str` or checks the bytes with
        // `check_encoded`, and `read_len` splits exactly where those strings were joined.
        unsafe {
            std::str::from_utf8_unchecked(text)
        }
    }
}

#[inline]
fn read_len(bytes: &[u8]) -> Option<(usize, usize)> {
    let first = *bytes.first()?;
    if first < 0x80 {
        return Some((first as usize, 1));
    }
    let mut len = usize::from(first & 0x7f);
    for (index, byte) in bytes.iter().enumerate().skip(1).take(4) {
        len |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((len, index + 1));
        }
    }
    None
}

fn check_encoded(encoded: &[u8]) -> Result<(), LabelsError> {
    let mut offset = 0;
    let mut previous: Option<&str> = None;
    while offset < encoded.len() {
        let start = offset;
        let name = check_string(encoded, &mut offset)?;
        if previous.is_some_and(|previous| previous >= name) {
            return Err(LabelsError::Unsorted { offset: start });
        }
        check_string(encoded, &mut offset)?;
        previous = Some(name);
    }
    Ok(())
}

fn check_string<'a>(encoded: &'a [u8], offset: &mut usize) -> Result<&'a str, LabelsError> {
    let start = *offset;
    let truncated = LabelsError::Truncated { offset: start };
    let (len, head) = read_len(&encoded[start..]).ok_or(truncated)?;
    let text = encoded[start + head..].get(..len).ok_or(truncated)?;
    *offset = start + head + len;
    std::str::from_utf8(text).map_err(|_| LabelsError::InvalidUtf8 { offset: start })
}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.encoded.hash(state);
    }
}

impl Borrow<[u8]> for Labels {
    fn borrow(&self) -> &[u8] {
        &self.encoded
    }
}

impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.iter().cmp(other.iter())
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.as_ref(), formatter)
    }
}

impl fmt::Debug for LabelsRef<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("{")?;
        for (index, (name, value)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(formatter, "{comma}{name}={value:?}")?;
        }
        formatter.write_str("}")
    }
}

/// Builds a label set, or changes a copy of one.
#[derive(Debug, Clone, Default)]
pub struct LabelsBuilder {
    // Sorted by name, unique.
    pairs: Vec<(String, String)>,
}

impl From<&Labels> for LabelsBuilder {
    fn from(labels: &Labels) -> Self {
        Self { pairs: labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect() }
    }
}

impl LabelsBuilder {
    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match self.pairs.binary_search_by(|pair| pair.0.as_str().cmp(name)) {
            Ok(index) if value.is_empty() => drop(self.pairs.remove(index)),
            Ok(index) => value.clone_into(&mut self.pairs[index].1),
            Err(_) if value.is_empty() => {}
            Err(index) => self.pairs.insert(index, (name.to_owned(), value.to_owned())),
        }
        self
    }

    /// Removes a label.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.set(name, "")
    }

    /// The value of a label as it stands now.
    pub fn get(&self, name: &str) -> Option<&str> {
        let index = self.pairs.binary_search_by(|pair| pair.0.as_str().cmp(name)).ok()?;
        Some(&self.pairs[index].1)
    }

    /// The label set.
    pub fn build(&self) -> Labels {
        let mut encoded = Vec::new();
        for (name, value) in &self.pairs {
            push_pair(&mut encoded, name, value);
        }
        Labels { encoded: encoded.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_sorted_and_empty_values_left_out() {
        let labels = Labels::from_pairs([("job", "api"), ("__name__", "up"), ("empty", "")]);
        assert_eq!(format!("{labels:?}"), r#"{__name__="up", job="api"}"#);
        assert_eq!(labels.get("job"), Some("api"));
        assert_eq!(labels.get("zone"), None);
        assert_eq!(labels.without(&["job"]), Labels::from_pairs([("__name__", "up")]));
    }

    #[test]
    fn encodings_are_checked() {
        let long = "x".repeat(300);
        let labels = Labels::from_pairs([("a", long.as_str()), ("b", "1")]);
        assert_eq!(Labels::from_encoded(labels.encoded()), Ok(labels.clone()));
        let torn = &labels.encoded()[..labels.encoded().len() - 1];
        assert!(matches!(Labels::from_encoded(torn), Err(LabelsError::Truncated { .. })));
        assert!(matches!(Labels::from_encoded(b"\x01b\x011\x01a\x011"), Err(LabelsError::Unsorted { .. })));
        assert!(matches!(Labels::from_encoded(b"\x01\xff\x011"), Err(LabelsError::InvalidUtf8 { .. })));
    }

    #[test]
    fn order_is_by_pairs_not_by_bytes() {
        let short = Labels::from_pairs([("a", "b")]);
        let long = Labels::from_pairs([("a", "aaa")]);
        assert!(long < short);
        assert!(short < Labels::from_pairs([("a", "b"), ("c", "d")]));
    }
}
