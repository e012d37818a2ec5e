//! What becomes of one sample, by the rules of Prometheus.

use norn_model::sample::is_stale;
use norn_model::write::WriteHistogram;
use norn_model::{FloatHistogram, Histogram};

use super::rejection::Reason;
use super::series::{Series, Value};

/// What samples are judged by, besides their series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    /// Older samples are late, whatever their series has.
    pub(super) valid_from_ms: i64,
    /// Older samples are not taken at all; `None` takes no late samples.
    pub(super) late_from_ms: Option<i64>,
    pub(super) late_window_ms: i64,
}

/// What becomes of a sample.
pub(super) enum Verdict {
    InOrder,
    Late,
    /// It is there already, with this value.
    Repeated,
    /// A newer sample of the same batch went first.
    Overtaken,
    Refused(Reason),
}

impl Window {
    /// Judges a sample by what its series has.
    ///
    /// Source: Prometheus `tsdb/head_append.go`, `appendable`.
    #[inline]
    pub(super) fn judge(&self, series: &Series, timestamp_ms: i64, value: Value<'_>) -> Verdict {
        let last_ms = series.last_ms();
        if timestamp_ms >= self.valid_from_ms {
            if timestamp_ms > last_ms {
                return Verdict::InOrder;
            }
            if timestamp_ms == last_ms {
                return judge_same_time(series.last_value(), value);
            }
        }
        match self.late_from_ms {
            Some(from_ms) if timestamp_ms >= from_ms => Verdict::Late,
            Some(_) => Verdict::Refused(Reason::TooOldForWindow { window_ms: self.late_window_ms }),
            None if timestamp_ms < self.valid_from_ms => Verdict::Refused(Reason::TooOld),
            None => Verdict::Refused(Reason::OutOfOrder),
        }
    }

    /// Why a sample of a series that does not exist is not taken.
    pub(super) fn refusal(&self, timestamp_ms: i64) -> Reason {
        match self.late_from_ms {
            Some(from_ms) if timestamp_ms < from_ms => Reason::TooOldForWindow { window_ms: self.late_window_ms },
            _ => Reason::TooOld,
        }
    }
}

fn judge_same_time(existing: Option<Value<'_>>, new: Value<'_>) -> Verdict {
    let same = match (existing, new) {
        // What a checkpoint brought back may not say what its last value was; it stays.
        (None, _) => true,
        (Some(Value::Float(existing)), Value::Float(new)) => existing.to_bits() == new.to_bits(),
        (Some(Value::Histogram(existing)), Value::Histogram(new)) => is_same_histogram(existing, new),
        _ => false,
    };
    if same {
        return Verdict::Repeated;
    }
    let float = |value: Value<'_>| match value {
        Value::Float(value) => Some(value),
        Value::Histogram(_) => None,
    };
    Verdict::Refused(Reason::DuplicateTimestamp { existing: existing.and_then(float), new: float(new) })
}

fn is_same_histogram(left: &WriteHistogram, right: &WriteHistogram) -> bool {
    match (left, right) {
        (WriteHistogram::Integer(left), WriteHistogram::Integer(right)) => {
            // Stale markers differ in nothing that counts.
            (is_stale(left.sum) && is_stale(right.sum)) || left.to_float().is_identical(&right.to_float())
        }
        (WriteHistogram::Float(left), WriteHistogram::Float(right)) => left.is_identical(right),
        _ => false,
    }
}

/// A histogram without observations that can be in one chunk with `histogram`.
pub(super) fn zero_like(histogram: &WriteHistogram) -> WriteHistogram {
    match histogram {
        WriteHistogram::Integer(histogram) => WriteHistogram::Integer(Histogram {
            reset_hint: histogram.reset_hint,
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            zero_count: 0,
            count: 0,
            sum: 0.0,
            positive_spans: Vec::new(),
            negative_spans: Vec::new(),
            positive_deltas: Vec::new(),
            negative_deltas: Vec::new(),
            custom_values: histogram.custom_values.clone(),
        }),
        WriteHistogram::Float(histogram) => WriteHistogram::Float(FloatHistogram {
            reset_hint: histogram.reset_hint,
            zero_threshold: histogram.zero_threshold,
            ..FloatHistogram::empty(histogram.schema, histogram.custom_values.clone())
        }),
    }
}
