//! Warnings and infos: what a query tells its author beside the answer.
//!
//! An operator may find the same thing wrong at every step of every series, so adding an annotation a second time has
//! to cost no more than a hash: annotations are kept as data, borrowed while they are added and owned once they are
//! new, and become text when the answer is written. They are equal without their place in the query, as in
//! Prometheus; of equal ones the place that was added last is shown.
//!
//! Source of texts and rules: Prometheus `util/annotations/annotations.go`.

mod text;

use std::fmt;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use norn_gotext::number::{FloatFormat, format_float};
use norn_gotext::time::format_rfc3339;

use crate::tree::Position;

/// How much an annotation says about the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The answer may be wrong.
    Warning,
    /// The answer is right, the query may not be what was meant.
    Info,
}

/// What was done with histograms, in annotations about two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are their own words")]
pub enum HistogramOperation {
    Addition,
    Subtraction,
    Aggregation,
}

impl HistogramOperation {
    fn name(self) -> &'static str {
        match self {
            Self::Addition => "addition",
            Self::Subtraction => "subtraction",
            Self::Aggregation => "aggregation",
        }
    }
}

/// A float in an annotation; equal by its bits, so that NaN equals itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ShownFloat(u64);

impl From<f64> for ShownFloat {
    fn from(value: f64) -> Self {
        // One NaN is shown like the other.
        Self(if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() })
    }
}

impl fmt::Display for ShownFloat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&format_float(f64::from_bits(self.0), FloatFormat::General))
    }
}

impl fmt::Debug for ShownFloat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// One thing to tell. `Text` is `&str` while it is added and a string of its own once it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant's text, in `Display`, says what it is")]
pub enum Annotation<Text> {
    InvalidQuantile { quantile: ShownFloat },
    InvalidRatio { ratio: ShownFloat, capped_to: ShownFloat },
    BadBucketLabel { metric: Text, label: Text },
    MixedFloatsHistograms { metric: Text },
    MixedFloatsHistogramsInAggregation,
    MixedClassicNativeHistograms { metric: Text },
    NativeHistogramNotCounter { metric: Text },
    NativeHistogramNotGauge { metric: Text },
    MixedExponentialCustomHistograms { metric: Text },
    IncompatibleBucketLayout { operator: &'static str },
    SortInRangeQuery,
    CounterResetCollision { operation: HistogramOperation },
    StartTimeOverlap { metric: Text },
    PossibleNonCounter { metric: Text },
    PossibleNonCounterLabel { metric: Text, label: Text },
    ForcedMonotonicity { metric: Text },
    IncompatibleTypes { left: &'static str, operator: &'static str, right: &'static str },
    HistogramIgnoredInAggregation { aggregation: &'static str },
    HistogramIgnoredInMixedRange { metric: Text },
    QuantileNanResult { metric: Text },
    QuantileNanSkew { metric: Text },
    FractionNans { metric: Text },
    MismatchedCustomBuckets { operation: HistogramOperation },
}

impl<Text: AsRef<str>> Annotation<Text> {
    /// Whether it is a warning or an info.
    pub fn severity(&self) -> Severity {
        match self {
            Self::InvalidQuantile { .. }
            | Self::InvalidRatio { .. }
            | Self::BadBucketLabel { .. }
            | Self::MixedFloatsHistograms { .. }
            | Self::MixedFloatsHistogramsInAggregation
            | Self::MixedClassicNativeHistograms { .. }
            | Self::NativeHistogramNotCounter { .. }
            | Self::NativeHistogramNotGauge { .. }
            | Self::MixedExponentialCustomHistograms { .. }
            | Self::IncompatibleBucketLayout { .. }
            | Self::SortInRangeQuery
            | Self::CounterResetCollision { .. }
            | Self::StartTimeOverlap { .. } => Severity::Warning,
            Self::PossibleNonCounter { .. }
            | Self::PossibleNonCounterLabel { .. }
            | Self::ForcedMonotonicity { .. }
            | Self::IncompatibleTypes { .. }
            | Self::HistogramIgnoredInAggregation { .. }
            | Self::HistogramIgnoredInMixedRange { .. }
            | Self::QuantileNanResult { .. }
            | Self::QuantileNanSkew { .. }
            | Self::FractionNans { .. }
            | Self::MismatchedCustomBuckets { .. } => Severity::Info,
        }
    }

    fn borrowed(&self) -> Annotation<&str> {
        self.map(|text| text.as_ref())
    }

    fn map<'a, Other>(&'a self, own: impl Fn(&'a Text) -> Other) -> Annotation<Other> {
        use Annotation as A;
        match self {
            Self::InvalidQuantile { quantile } => A::InvalidQuantile { quantile: *quantile },
            Self::InvalidRatio { ratio, capped_to } => A::InvalidRatio { ratio: *ratio, capped_to: *capped_to },
            Self::BadBucketLabel { metric, label } => A::BadBucketLabel { metric: own(metric), label: own(label) },
            Self::MixedFloatsHistograms { metric } => A::MixedFloatsHistograms { metric: own(metric) },
            Self::MixedFloatsHistogramsInAggregation => A::MixedFloatsHistogramsInAggregation,
            Self::MixedClassicNativeHistograms { metric } => A::MixedClassicNativeHistograms { metric: own(metric) },
            Self::NativeHistogramNotCounter { metric } => A::NativeHistogramNotCounter { metric: own(metric) },
            Self::NativeHistogramNotGauge { metric } => A::NativeHistogramNotGauge { metric: own(metric) },
            Self::MixedExponentialCustomHistograms { metric } => {
                A::MixedExponentialCustomHistograms { metric: own(metric) }
            }
            Self::IncompatibleBucketLayout { operator } => A::IncompatibleBucketLayout { operator },
            Self::SortInRangeQuery => A::SortInRangeQuery,
            Self::CounterResetCollision { operation } => A::CounterResetCollision { operation: *operation },
            Self::StartTimeOverlap { metric } => A::StartTimeOverlap { metric: own(metric) },
            Self::PossibleNonCounter { metric } => A::PossibleNonCounter { metric: own(metric) },
            Self::PossibleNonCounterLabel { metric, label } => {
                A::PossibleNonCounterLabel { metric: own(metric), label: own(label) }
            }
            Self::ForcedMonotonicity { metric } => A::ForcedMonotonicity { metric: own(metric) },
            Self::IncompatibleTypes { left, operator, right } => A::IncompatibleTypes { left, operator, right },
            Self::HistogramIgnoredInAggregation { aggregation } => A::HistogramIgnoredInAggregation { aggregation },
            Self::HistogramIgnoredInMixedRange { metric } => A::HistogramIgnoredInMixedRange { metric: own(metric) },
            Self::QuantileNanResult { metric } => A::QuantileNanResult { metric: own(metric) },
            Self::QuantileNanSkew { metric } => A::QuantileNanSkew { metric: own(metric) },
            Self::FractionNans { metric } => A::FractionNans { metric: own(metric) },
            Self::MismatchedCustomBuckets { operation } => A::MismatchedCustomBuckets { operation: *operation },
        }
    }
}

/// How far the buckets of a classic histogram had to be changed to be monotonic, over all samples where it was done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Monotonicity {
    /// The evaluation time of the first sample, in milliseconds since the Unix epoch.
    pub first_ms: i64,
    /// The evaluation time of the last.
    pub last_ms: i64,
    /// The lowest upper bound of a bucket that was changed.
    pub bucket_min: f64,
    /// The highest.
    pub bucket_max: f64,
    /// The largest change.
    pub difference_max: f64,
}

impl Monotonicity {
    fn merge(&mut self, other: Self) {
        self.first_ms = self.first_ms.min(other.first_ms);
        self.last_ms = self.last_ms.max(other.last_ms);
        self.bucket_min = self.bucket_min.min(other.bucket_min);
        self.bucket_max = self.bucket_max.max(other.bucket_max);
        self.difference_max = self.difference_max.max(other.difference_max);
    }
}

#[derive(Debug, Clone)]
struct Entry {
    hash: u64,
    annotation: Annotation<Box<str>>,
    position: Position,
    occurrences: u64,
    monotonicity: Option<Monotonicity>,
}

/// The annotations of one query, each once. Warnings of the store are kept with them, as text.
#[derive(Debug, Clone, Default)]
pub struct Annotations {
    // In the order in which they came up, so that equal queries show equal texts.
    entries: Vec<Entry>,
    index: HashTable<usize>,
    store_warnings: Vec<String>,
}

/// At most so many distinct annotations are kept: one per metric name is common, one per series is not meant.
const ENTRIES_MAX: usize = 10_000;

const HASHER: FixedState = FixedState::with_seed(0);

impl Annotations {
    /// Adds an annotation about the part of the query at `position`. Cheap where it is known already.
    pub fn add(&mut self, annotation: Annotation<&str>, position: Position) {
        self.insert(annotation, position, 1, None);
    }

    /// Adds [`Annotation::ForcedMonotonicity`] with its numbers, which are merged over all additions.
    pub fn add_forced_monotonicity(&mut self, metric: &str, position: Position, monotonicity: Monotonicity) {
        self.insert(Annotation::ForcedMonotonicity { metric }, position, 1, Some(monotonicity));
    }

    /// Adds a warning of the store.
    pub fn add_store_warning(&mut self, text: String) {
        if self.store_warnings.len() < ENTRIES_MAX && !self.store_warnings.contains(&text) {
            self.store_warnings.push(text);
        }
    }

    /// Adds all of another's.
    pub fn merge(&mut self, other: Self) {
        for entry in other.entries {
            self.insert(entry.annotation.borrowed(), entry.position, entry.occurrences, entry.monotonicity);
        }
        for text in other.store_warnings {
            self.add_store_warning(text);
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.store_warnings.is_empty()
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn insert(
        &mut self,
        annotation: Annotation<&str>,
        position: Position,
        occurrences: u64,
        monotonicity: Option<Monotonicity>,
    ) {
        let hash = HASHER.hash_one(annotation);
        let known = self.index.find(hash, |index| self.entries[*index].annotation.borrowed() == annotation);
        if let Some(index) = known {
            let entry = &mut self.entries[*index];
            entry.position = position;
            entry.occurrences += occurrences;
            match (&mut entry.monotonicity, monotonicity) {
                (Some(merged), Some(added)) => merged.merge(added),
                (merged, added) => *merged = merged.or(added),
            }
        } else if self.entries.len() < ENTRIES_MAX {
            let annotation = annotation.map(|text| Box::from(*text));
            self.entries.push(Entry { hash, annotation, position, occurrences, monotonicity });
            let entries = &self.entries;
            self.index.insert_unique(hash, entries.len() - 1, |index| entries[*index].hash);
        }
    }

    /// The texts, warnings first, each kind cut to a limit (0 is none) with a last line that counts what was left out.
    ///
    /// - `query`: the text whose places the annotations name; empty leaves places and numbers out, as they are when
    ///   annotations are compared.
    pub fn texts(&self, query: &str, warnings_max: usize, infos_max: usize) -> (Vec<String>, Vec<String>) {
        let of = |severity: Severity| {
            self.entries
                .iter()
                .filter(move |entry| entry.annotation.severity() == severity)
                .map(|entry| entry.text(query))
        };
        let warnings = of(Severity::Warning).chain(self.store_warnings.iter().cloned());
        (limited(warnings, warnings_max, "warning"), limited(of(Severity::Info), infos_max, "info"))
    }
}

fn limited(texts: impl Iterator<Item = String>, limit: usize, name: &str) -> Vec<String> {
    let mut texts: Vec<String> = texts.collect();
    if limit != 0 && texts.len() > limit {
        let omitted = texts.len() - limit;
        texts.truncate(limit);
        texts.push(format!("{omitted} more {name} annotations omitted"));
    }
    texts
}

impl Entry {
    fn text(&self, query: &str) -> String {
        let mut text = self.annotation.to_string();
        if query.is_empty() {
            return text;
        }
        if let Some(monotonicity) = self.monotonicity {
            text.push_str(&format!(
                ", from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
                format_float(monotonicity.bucket_min, FloatFormat::General),
                format_float(monotonicity.bucket_max, FloatFormat::General),
                two_digits(monotonicity.difference_max),
                self.occurrences,
                rfc3339_seconds(monotonicity.first_ms),
                rfc3339_seconds(monotonicity.last_ms),
            ));
        } else if matches!(self.annotation, Annotation::StartTimeOverlap { .. }) && self.occurrences > 1 {
            text.push_str(&format!(" ({} occurrences)", self.occurrences));
        }
        text.push_str(&format!(" ({})", line_and_column(query, self.position.start)));
        text
    }
}

/// Where a byte stands: `line:column`, both from 1, the column in bytes.
pub fn line_and_column(query: &str, byte: usize) -> String {
    let Some(before) = query.as_bytes().get(..byte) else { return "invalid position".to_owned() };
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    format!("{line}:{}", byte - line_start + 1)
}

/// A time as `2026-11-01T00:10:00Z`, its fraction cut.
fn rfc3339_seconds(timestamp_ms: i64) -> String {
    format_rfc3339(timestamp_ms.div_euclid(1000) * 1000)
}

/// `%.2g`: at most two significant digits, with an exponent below 1e-4 and from 100 on.
fn two_digits(value: f64) -> String {
    let rounded: f64 = format!("{value:.1e}").parse().unwrap_or(value);
    let format = if rounded.abs() < 100.0 { FloatFormat::General } else { FloatFormat::Exponent };
    format_float(rounded, format)
}

#[cfg(test)]
mod tests;
