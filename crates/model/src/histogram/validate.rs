//! What makes a histogram from a client invalid.
//!
//! Source of rules and texts: Prometheus `model/histogram`.

use std::fmt;

use super::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, SCHEMA_MAX, SCHEMA_MIN, Span};

/// Which buckets a fault was found in; the start of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Positive exponential buckets; also counts of custom buckets.
    Positive,
    /// Negative exponential buckets.
    Negative,
    /// Bounds and spans of custom buckets.
    Custom,
}

impl fmt::Display for Side {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Positive => "positive side",
            Self::Negative => "negative side",
            Self::Custom => "custom buckets",
        })
    }
}

/// Why a histogram is invalid.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the variants and their fields are")]
pub enum HistogramError {
    #[error(
        "{found} observations found in buckets, but the Count field is {count}: histogram's observation count should \
         equal the number of observations found in the buckets (in absence of NaN)"
    )]
    CountMismatch { found: u64, count: u64 },
    #[error(
        "{found} observations found in buckets, but the Count field is {count}: histogram's observation count should \
         be at least the number of observations found in the buckets"
    )]
    CountNotBigEnough { found: u64, count: u64 },
    #[error("observation count is  {count}: histogram's observation count is negative")]
    NegativeCount { count: f64 },
    #[error(
        "{side}: bucket number {number} has observation count of {count}: histogram has a bucket whose observation count is negative"
    )]
    NegativeBucketCount { side: Side, number: usize, count: f64 },
    #[error("zero bucket has observation count of {count}: histogram has a bucket whose observation count is negative")]
    NegativeZeroCount { count: f64 },
    #[error("{side}: span number {number} with offset {offset}: histogram has a span whose offset is negative")]
    SpanNegativeOffset { side: Side, number: usize, offset: i32 },
    #[error(
        "{side}: spans need {needed} buckets, have {found} buckets: histogram spans specify different number of buckets than provided"
    )]
    SpansBucketsMismatch { side: Side, needed: u64, found: usize },
    #[error(
        "custom buckets: only {bounds} custom bounds defined which is insufficient to cover total span length of {needed}: histogram custom bounds are too few"
    )]
    CustomBoundsTooFew { bounds: usize, needed: u64 },
    #[error(
        "custom buckets: previous bound is {previous:.6} and current is {current:.6}: histogram custom bounds must be in strictly increasing order"
    )]
    CustomBoundsUnsorted { previous: f64, current: f64 },
    #[error("custom buckets: last +Inf bound must not be explicitly defined: histogram custom bounds must be finite")]
    CustomBoundsInfinite,
    #[error("custom buckets: histogram custom bounds must not be NaN")]
    CustomBoundsNan,
    #[error("custom buckets: must have zero count of 0")]
    CustomZeroCount,
    #[error("custom buckets: must have zero threshold of 0")]
    CustomZeroThreshold,
    #[error("custom buckets: must not have negative spans")]
    CustomNegativeSpans,
    #[error("custom buckets: must not have negative buckets")]
    CustomNegativeBuckets,
    #[error("histogram with exponential schema must not have custom bounds")]
    ExponentialCustomBounds,
    #[error(
        "histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for custom \
         buckets, got schema {schema}"
    )]
    InvalidSchema { schema: i32 },
}

impl Histogram {
    /// Checks what a client sent. The first fault is returned.
    pub fn validate(&self) -> Result<(), HistogramError> {
        let mut found = self.zero_count;
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            check_custom_bounds(&self.custom_values, &self.positive_spans, self.positive_deltas.len())?;
            check_custom_rest(
                self.zero_count == 0,
                self.zero_threshold,
                &self.negative_spans,
                self.negative_deltas.is_empty(),
            )?;
        } else {
            check_exponential(self.schema, &self.custom_values)?;
            check_spans(Side::Positive, &self.positive_spans, self.positive_deltas.len())?;
            check_spans(Side::Negative, &self.negative_spans, self.negative_deltas.len())?;
            found = found.wrapping_add(check_deltas(Side::Negative, &self.negative_deltas)?);
        }
        found = found.wrapping_add(check_deltas(Side::Positive, &self.positive_deltas)?);
        let count = self.count;
        match self.sum.is_nan() {
            true if found > count => Err(HistogramError::CountNotBigEnough { found, count }),
            false if found != count => Err(HistogramError::CountMismatch { found, count }),
            _ => Ok(()),
        }
    }
}

impl FloatHistogram {
    /// Checks what a client sent. The first fault is returned. That the buckets add up to the count is not asked: floats
    /// come from computations.
    pub fn validate(&self) -> Result<(), HistogramError> {
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            check_custom_bounds(&self.custom_values, &self.positive_spans, self.positive_buckets.len())?;
            check_custom_rest(
                self.zero_count == 0.0,
                self.zero_threshold,
                &self.negative_spans,
                self.negative_buckets.is_empty(),
            )?;
        } else {
            check_exponential(self.schema, &self.custom_values)?;
            check_spans(Side::Positive, &self.positive_spans, self.positive_buckets.len())?;
            check_spans(Side::Negative, &self.negative_spans, self.negative_buckets.len())?;
            check_counts(Side::Negative, &self.negative_buckets)?;
            if self.zero_count < 0.0 {
                return Err(HistogramError::NegativeZeroCount { count: self.zero_count });
            }
        }
        if self.count < 0.0 {
            return Err(HistogramError::NegativeCount { count: self.count });
        }
        check_counts(Side::Positive, &self.positive_buckets)
    }
}

fn check_exponential(schema: i32, custom_values: &[f64]) -> Result<(), HistogramError> {
    if !(SCHEMA_MIN..=SCHEMA_MAX).contains(&schema) {
        return Err(HistogramError::InvalidSchema { schema });
    }
    if custom_values.is_empty() { Ok(()) } else { Err(HistogramError::ExponentialCustomBounds) }
}

fn check_spans(side: Side, spans: &[Span], found: usize) -> Result<(), HistogramError> {
    let mut needed = 0;
    for (index, span) in spans.iter().enumerate() {
        // The first span's offset is where the side starts, and may be negative but for custom buckets.
        if span.offset < 0 && (index > 0 || side == Side::Custom) {
            return Err(HistogramError::SpanNegativeOffset { side, number: index + 1, offset: span.offset });
        }
        needed += u64::from(span.length);
    }
    if needed == found as u64 { Ok(()) } else { Err(HistogramError::SpansBucketsMismatch { side, needed, found }) }
}

fn check_custom_bounds(bounds: &[f64], spans: &[Span], found: usize) -> Result<(), HistogramError> {
    if bounds.iter().any(|bound| bound.is_nan()) {
        return Err(HistogramError::CustomBoundsNan);
    }
    if let Some(pair) = bounds.windows(2).find(|pair| pair[1] <= pair[0]) {
        return Err(HistogramError::CustomBoundsUnsorted { previous: pair[0], current: pair[1] });
    }
    if bounds.last() == Some(&f64::INFINITY) {
        return Err(HistogramError::CustomBoundsInfinite);
    }
    check_spans(Side::Custom, spans, found)?;
    let needed = spans.iter().map(|span| u64::from(span.length) + u64::from(span.offset.unsigned_abs())).sum();
    if needed > bounds.len() as u64 + 1 {
        return Err(HistogramError::CustomBoundsTooFew { bounds: bounds.len(), needed });
    }
    Ok(())
}

fn check_custom_rest(
    is_zero_count_zero: bool,
    zero_threshold: f64,
    negative_spans: &[Span],
    are_negative_buckets_empty: bool,
) -> Result<(), HistogramError> {
    if !is_zero_count_zero {
        Err(HistogramError::CustomZeroCount)
    } else if zero_threshold != 0.0 {
        Err(HistogramError::CustomZeroThreshold)
    } else if !negative_spans.is_empty() {
        Err(HistogramError::CustomNegativeSpans)
    } else if !are_negative_buckets_empty {
        Err(HistogramError::CustomNegativeBuckets)
    } else {
        Ok(())
    }
}

/// The sum of the counts that deltas describe.
fn check_deltas(side: Side, deltas: &[i64]) -> Result<u64, HistogramError> {
    let mut sum = 0u64;
    let mut count = 0i64;
    for (index, delta) in deltas.iter().enumerate() {
        count = count.wrapping_add(*delta);
        let Ok(counted) = u64::try_from(count) else {
            return Err(HistogramError::NegativeBucketCount { side, number: index + 1, count: count as f64 });
        };
        sum = sum.wrapping_add(counted);
    }
    Ok(sum)
}

fn check_counts(side: Side, counts: &[f64]) -> Result<(), HistogramError> {
    match counts.iter().position(|count| *count < 0.0) {
        Some(index) => Err(HistogramError::NegativeBucketCount { side, number: index + 1, count: counts[index] }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_histograms::{custom, exponential, integer};
    use super::*;

    #[test]
    fn valid_histograms_pass() {
        assert_eq!(exponential(0, 0.5, 2.0, &[(-3, 1.0), (4, 2.0)], &[(0, 1.0)]).validate(), Ok(()));
        assert_eq!(custom(&[1.0, 2.0], &[(0, 1.0), (2, 1.0)]).validate(), Ok(()));
        assert_eq!(integer(3, &[1, 2, 3]).validate(), Ok(()));
    }

    #[test]
    fn integer_counts_must_add_up() {
        let mut histogram = integer(0, &[1, 2]);
        histogram.count = 4;
        let text = "3 observations found in buckets, but the Count field is 4: histogram's observation count should \
                    equal the number of observations found in the buckets (in absence of NaN)";
        assert_eq!(histogram.validate().unwrap_err().to_string(), text);
        histogram.sum = f64::NAN;
        assert_eq!(histogram.validate(), Ok(()));
        histogram.count = 2;
        assert_eq!(histogram.validate(), Err(HistogramError::CountNotBigEnough { found: 3, count: 2 }));
        histogram.positive_deltas = vec![1, -2];
        let negative = HistogramError::NegativeBucketCount { side: Side::Positive, number: 2, count: -1.0 };
        assert_eq!(histogram.validate(), Err(negative));
    }

    #[test]
    fn faults_are_named() {
        let check = |change: fn(&mut FloatHistogram), expected: &str| {
            let mut histogram = exponential(0, 0.5, 2.0, &[(0, 1.0), (4, 2.0)], &[]);
            change(&mut histogram);
            assert_eq!(histogram.validate().unwrap_err().to_string(), expected);
        };
        check(
            |histogram| histogram.schema = 9,
            "histogram has an invalid schema, which must be between -4 and 8 for exponential buckets, or -53 for \
             custom buckets, got schema 9",
        );
        check(
            |histogram| histogram.positive_spans[1].offset = -1,
            "positive side: span number 2 with offset -1: histogram has a span whose offset is negative",
        );
        check(
            |histogram| histogram.positive_spans[1].length = 2,
            "positive side: spans need 3 buckets, have 2 buckets: histogram spans specify different number of buckets \
             than provided",
        );
        check(
            |histogram| histogram.zero_count = -1.0,
            "zero bucket has observation count of -1: histogram has a bucket whose observation count is negative",
        );
        check(
            |histogram| histogram.count = -1.5,
            "observation count is  -1.5: histogram's observation count is negative",
        );
        check(
            |histogram| histogram.custom_values = [1.0].into(),
            "histogram with exponential schema must not have custom bounds",
        );
    }

    #[test]
    fn custom_bounds_are_checked() {
        let check = |bounds: &[f64], expected: HistogramError| {
            assert_eq!(custom(bounds, &[(0, 1.0), (2, 1.0)]).validate(), Err(expected));
        };
        check(&[1.0], HistogramError::CustomBoundsTooFew { bounds: 1, needed: 3 });
        check(&[2.0, 1.0], HistogramError::CustomBoundsUnsorted { previous: 2.0, current: 1.0 });
        check(&[2.0, f64::INFINITY], HistogramError::CustomBoundsInfinite);
        check(&[f64::NAN, 1.0], HistogramError::CustomBoundsNan);
        let mut histogram = custom(&[1.0], &[(0, 1.0)]);
        histogram.zero_count = 1.0;
        assert_eq!(histogram.validate(), Err(HistogramError::CustomZeroCount));
    }
}
