//! The same histogram with other buckets: compacted, or at a lower resolution.

use super::parts::{Cell, Parts};
use super::side::{Side, SideRef, reduced};
use super::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, SCHEMA_MIN, Span};

/// A histogram has too many buckets, and its resolution cannot be lowered further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("histogram has {buckets} buckets, more than {buckets_max}, and cannot be reduced")]
pub struct NotReducible {
    /// How many it has, at its lowest resolution.
    pub buckets: usize,
    /// How many it may have.
    pub buckets_max: usize,
    /// Whether it has custom buckets, which have no resolution.
    pub is_custom: bool,
}

impl FloatHistogram {
    /// Removes empty buckets: all at the ends of each side, and in between those runs that are longer than `empty_max`.
    pub fn compact(&mut self, empty_max: u32) {
        let mut parts = Parts::take(self);
        parts.positive.compact(empty_max, Cell::is_empty, 0.0);
        parts.negative.compact(empty_max, Cell::is_empty, 0.0);
        parts.put(self);
    }

    /// Lowers the resolution. Nothing happens with custom buckets, and where `schema` is not lower than the one now.
    pub fn reduce_resolution(&mut self, schema: i32) {
        if self.schema != CUSTOM_BUCKETS_SCHEMA && schema >= SCHEMA_MIN && schema < self.schema {
            let mut parts = Parts::take(self);
            parts.reduce(schema);
            parts.put(self);
        }
    }

    /// Lowers the resolution until there are at most `buckets_max` buckets, the zero bucket not counted. Returns whether
    /// anything had to be done. On failure the resolution is the lowest.
    pub fn reduce_to_buckets(&mut self, buckets_max: usize) -> Result<bool, NotReducible> {
        let layout =
            |histogram: &Self| (histogram.schema, histogram.positive_buckets.len() + histogram.negative_buckets.len());
        reduce_until(self, buckets_max, layout, Self::reduce_resolution)
    }
}

/// Lowers the resolution step by step; `layout` says schema and number of buckets.
fn reduce_until<H>(
    histogram: &mut H,
    buckets_max: usize,
    layout: impl Fn(&H) -> (i32, usize),
    reduce: impl Fn(&mut H, i32),
) -> Result<bool, NotReducible> {
    let mut is_reduced = false;
    loop {
        let (schema, buckets) = layout(histogram);
        if buckets <= buckets_max {
            return Ok(is_reduced);
        }
        let is_custom = schema == CUSTOM_BUCKETS_SCHEMA;
        if is_custom || schema <= SCHEMA_MIN {
            return Err(NotReducible { buckets, buckets_max, is_custom });
        }
        reduce(histogram, schema - 1);
        is_reduced = true;
    }
}

impl Histogram {
    /// See [`FloatHistogram::reduce_resolution`].
    pub fn reduce_resolution(&mut self, schema: i32) {
        if self.schema != CUSTOM_BUCKETS_SCHEMA && schema >= SCHEMA_MIN && schema < self.schema {
            reduce_deltas(&mut self.positive_spans, &mut self.positive_deltas, self.schema, schema);
            reduce_deltas(&mut self.negative_spans, &mut self.negative_deltas, self.schema, schema);
            self.schema = schema;
        }
    }

    /// See [`FloatHistogram::reduce_to_buckets`].
    pub fn reduce_to_buckets(&mut self, buckets_max: usize) -> Result<bool, NotReducible> {
        let layout =
            |histogram: &Self| (histogram.schema, histogram.positive_deltas.len() + histogram.negative_deltas.len());
        reduce_until(self, buckets_max, layout, Self::reduce_resolution)
    }

    /// The same histogram with absolute float counts.
    pub fn to_float(&self) -> FloatHistogram {
        let is_custom = self.schema == CUSTOM_BUCKETS_SCHEMA;
        FloatHistogram {
            reset_hint: self.reset_hint,
            schema: self.schema,
            zero_threshold: if is_custom { 0.0 } else { self.zero_threshold },
            zero_count: if is_custom { 0.0 } else { self.zero_count as f64 },
            count: self.count as f64,
            sum: self.sum,
            positive_spans: self.positive_spans.clone(),
            negative_spans: if is_custom { Vec::new() } else { self.negative_spans.clone() },
            positive_buckets: absolute(&self.positive_deltas).map(|count| count as f64).collect(),
            negative_buckets: if is_custom {
                Vec::new()
            } else {
                absolute(&self.negative_deltas).map(|count| count as f64).collect()
            },
            custom_values: self.custom_values.clone(),
        }
    }
}

fn absolute(deltas: &[i64]) -> impl Iterator<Item = i64> {
    deltas.iter().scan(0i64, |count, delta| {
        *count = count.wrapping_add(*delta);
        Some(*count)
    })
}

fn reduce_deltas(spans: &mut Vec<Span>, deltas: &mut Vec<i64>, from_schema: i32, to_schema: i32) {
    let counts: Vec<i64> = absolute(deltas).collect();
    let mut reduced = Side::collect(reduced(SideRef { spans, counts: &counts }.iter(), from_schema, to_schema));
    let mut before = 0i64;
    for count in &mut reduced.counts {
        let delta = count.wrapping_sub(before);
        before = std::mem::replace(count, delta);
    }
    (*spans, *deltas) = (reduced.spans, reduced.counts);
}

#[cfg(test)]
mod tests {
    use super::super::test_histograms::{custom, exponential, integer};
    use super::*;

    #[test]
    fn integers_become_floats_and_reduce_alike() {
        let histogram = integer(4, &[3, 0, 5, 1, 7, 2, 2, 9]);
        for schema in -4..=4 {
            let mut reduced = histogram.clone();
            reduced.reduce_resolution(schema);
            let mut reduced_float = histogram.to_float();
            reduced_float.reduce_resolution(schema);
            assert!(reduced.to_float().is_identical(&reduced_float), "schema {schema}");
            assert_eq!(reduced.validate(), Ok(()));
        }
    }

    #[test]
    fn reduction_stops_when_few_enough() {
        let mut histogram = exponential(3, 0.0, 0.0, &[(1, 1.0), (2, 1.0), (3, 1.0), (4, 1.0), (9, 1.0)], &[]);
        assert_eq!(histogram.clone().reduce_to_buckets(5), Ok(false));
        assert_eq!(histogram.reduce_to_buckets(3), Ok(true));
        assert_eq!((histogram.schema, histogram.positive_buckets.len(), histogram.count), (2, 3, 5.0));
        let mut far = exponential(-3, 0.0, 0.0, &[(-50, 1.0), (50, 1.0)], &[]);
        let error = NotReducible { buckets: 2, buckets_max: 1, is_custom: false };
        assert_eq!(far.reduce_to_buckets(1), Err(error));
        assert_eq!(far.schema, SCHEMA_MIN);
        let error = NotReducible { buckets: 1, buckets_max: 0, is_custom: true };
        assert_eq!(custom(&[1.0], &[(0, 1.0)]).reduce_to_buckets(0), Err(error));
    }

    #[test]
    fn compaction_keeps_what_is_filled() {
        let mut histogram = exponential(0, 0.0, 0.0, &[(0, 0.0), (1, 1.0), (2, 0.0), (3, 1.0)], &[(1, 0.0)]);
        histogram.compact(0);
        assert_eq!(histogram.positive_buckets, [1.0, 1.0]);
        assert_eq!(histogram.positive_spans, [Span { offset: 1, length: 1 }, Span { offset: 1, length: 1 }]);
        assert!(histogram.negative_spans.is_empty() && histogram.negative_buckets.is_empty());
    }
}
