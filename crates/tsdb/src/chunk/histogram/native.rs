//! The two kinds of native histograms behind one trait, so that chunks are written and read by one code.

use std::sync::Arc;

use norn_model::histogram::{FloatHistogram, Histogram, ResetHint, Span};

use super::super::Encoding;
use super::super::layout::Layout;
use super::fields::{Field, FloatField, IntField};

/// What a bucket or count of a histogram of this kind is.
pub(super) type CountOf<H> = <<H as NativeHistogram>::Field as Field>::Value;

/// The numbers of one histogram that change from sample to sample.
#[derive(Debug, Clone)]
pub struct Numbers<V> {
    /// All observations.
    pub(crate) count: V,
    /// Those in the zero bucket.
    pub(crate) zero_count: V,
    /// Sum of all.
    pub(crate) sum: f64,
    /// As they are stored: differences for integers.
    pub(crate) positive: Vec<V>,
    /// As they are stored.
    pub(crate) negative: Vec<V>,
}

/// A kind of native histogram: with integer or with float counts.
pub trait NativeHistogram: Sized {
    /// How its counts run through a chunk.
    type Field: Field;

    /// Its chunks' encoding.
    const ENCODING: Encoding;

    #[doc(hidden)]
    fn reset_hint(&self) -> ResetHint;
    #[doc(hidden)]
    fn sum(&self) -> f64;
    #[doc(hidden)]
    fn count(&self) -> CountOf<Self>;
    #[doc(hidden)]
    fn zero_count(&self) -> CountOf<Self>;
    #[doc(hidden)]
    fn schema(&self) -> i32;
    #[doc(hidden)]
    fn zero_threshold(&self) -> f64;
    #[doc(hidden)]
    fn spans(&self) -> [&[Span]; 2];
    #[doc(hidden)]
    fn stored_buckets(&self) -> [&[CountOf<Self>]; 2];
    #[doc(hidden)]
    fn custom_values(&self) -> &Arc<[f64]>;
    #[doc(hidden)]
    #[expect(private_interfaces, reason = "layouts are a chunk's own")]
    fn assemble(layout: &Layout, numbers: Numbers<CountOf<Self>>, reset_hint: ResetHint) -> Self;
}

/// The layout of a chunk that begins with this histogram.
pub(super) fn layout_of<H: NativeHistogram>(histogram: &H) -> Layout {
    let [positive_spans, negative_spans] = histogram.spans().map(<[Span]>::to_vec);
    Layout {
        schema: histogram.schema(),
        zero_threshold: histogram.zero_threshold(),
        positive_spans,
        negative_spans,
        custom_values: histogram.custom_values().clone(),
    }
}

impl NativeHistogram for Histogram {
    type Field = IntField;

    const ENCODING: Encoding = Encoding::Histogram;

    fn reset_hint(&self) -> ResetHint {
        self.reset_hint
    }

    fn sum(&self) -> f64 {
        self.sum
    }

    fn count(&self) -> i64 {
        self.count as i64
    }

    fn zero_count(&self) -> i64 {
        self.zero_count as i64
    }

    fn schema(&self) -> i32 {
        self.schema
    }

    fn zero_threshold(&self) -> f64 {
        self.zero_threshold
    }

    fn spans(&self) -> [&[Span]; 2] {
        [&self.positive_spans, &self.negative_spans]
    }

    fn stored_buckets(&self) -> [&[i64]; 2] {
        [&self.positive_deltas, &self.negative_deltas]
    }

    fn custom_values(&self) -> &Arc<[f64]> {
        &self.custom_values
    }

    #[expect(private_interfaces, reason = "layouts are a chunk's own")]
    fn assemble(layout: &Layout, numbers: Numbers<i64>, reset_hint: ResetHint) -> Self {
        Self {
            reset_hint,
            schema: layout.schema,
            zero_threshold: layout.zero_threshold,
            zero_count: numbers.zero_count as u64,
            count: numbers.count as u64,
            sum: numbers.sum,
            positive_spans: layout.positive_spans.clone(),
            negative_spans: layout.negative_spans.clone(),
            positive_deltas: numbers.positive,
            negative_deltas: numbers.negative,
            custom_values: layout.custom_values.clone(),
        }
    }
}

impl NativeHistogram for FloatHistogram {
    type Field = FloatField;

    const ENCODING: Encoding = Encoding::FloatHistogram;

    fn reset_hint(&self) -> ResetHint {
        self.reset_hint
    }

    fn sum(&self) -> f64 {
        self.sum
    }

    fn count(&self) -> f64 {
        self.count
    }

    fn zero_count(&self) -> f64 {
        self.zero_count
    }

    fn schema(&self) -> i32 {
        self.schema
    }

    fn zero_threshold(&self) -> f64 {
        self.zero_threshold
    }

    fn spans(&self) -> [&[Span]; 2] {
        [&self.positive_spans, &self.negative_spans]
    }

    fn stored_buckets(&self) -> [&[f64]; 2] {
        [&self.positive_buckets, &self.negative_buckets]
    }

    fn custom_values(&self) -> &Arc<[f64]> {
        &self.custom_values
    }

    #[expect(private_interfaces, reason = "layouts are a chunk's own")]
    fn assemble(layout: &Layout, numbers: Numbers<f64>, reset_hint: ResetHint) -> Self {
        Self {
            reset_hint,
            schema: layout.schema,
            zero_threshold: layout.zero_threshold,
            zero_count: numbers.zero_count,
            count: numbers.count,
            sum: numbers.sum,
            positive_spans: layout.positive_spans.clone(),
            negative_spans: layout.negative_spans.clone(),
            positive_buckets: numbers.positive,
            negative_buckets: numbers.negative,
            custom_values: layout.custom_values.clone(),
        }
    }
}
