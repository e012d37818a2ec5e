//! Functions of one native histogram. Floats give nothing.
//!
//! Source: Prometheus `promql/functions.go` and `promql/quantile.go`.

use norn_model::FloatHistogram;
use norn_model::histogram::Bucket;
use norn_model::histogram::compensated::Compensated;

use super::{CallContext, InstantKernel, PointRef, PointValue};
use crate::annotations::Annotation;

/// The kernel of a function of this module. `histogram_quantile` and `histogram_fraction` look only at native histograms
/// here; classic ones are put together by [`super::classic_histogram`]. That a quantile is not between 0 and 1 is said by
/// [`super::quantile::annotate_invalid`], once for all series.
pub(super) fn kernel(name: &str) -> Option<InstantKernel> {
    Some(match name {
        "histogram_count" => |point, _| map(point, |histogram| histogram.count),
        "histogram_sum" => |point, _| map(point, |histogram| histogram.sum),
        "histogram_avg" => |point, _| map(point, |histogram| histogram.sum / histogram.count),
        "histogram_stdvar" => |point, _| map(point, variance),
        "histogram_stddev" => |point, _| map(point, |histogram| variance(histogram).sqrt()),
        "histogram_quantile" => |point, context| {
            let q = context.parameter_or(0, f64::NAN);
            map(point, |histogram| quantile(q, histogram, context))
        },
        "histogram_fraction" => |point, context| {
            let (lower, upper) = (context.parameter_or(0, f64::NAN), context.parameter_or(1, f64::NAN));
            map(point, |histogram| fraction(lower, upper, histogram, context))
        },
        _ => return None,
    })
}

fn map(point: PointRef<'_>, function: impl FnOnce(&FloatHistogram) -> f64) -> Option<PointValue> {
    match point {
        PointRef::Float(_) => None,
        PointRef::Histogram(histogram) => Some(PointValue::Float(function(histogram))),
    }
}

/// The variance of observations that all lie in the middle of their buckets.
fn variance(histogram: &FloatHistogram) -> f64 {
    let mean = histogram.sum / histogram.count;
    let mut squares = Compensated::default();
    for bucket in histogram.filled_buckets() {
        let middle = if histogram.has_custom_buckets() {
            (bucket.upper + bucket.lower) / 2.0
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            (bucket.upper * bucket.lower).sqrt().copysign(bucket.upper)
        };
        let distance = middle - mean;
        squares.add(bucket.count * distance * distance);
    }
    squares.total() / histogram.count
}

/// The `q`-quantile of a histogram's observations.
///
/// Within a bucket observations are spread evenly: on a linear scale with custom buckets and in the zero bucket, else on a
/// logarithmic one. The zero bucket ends at zero where the other side has no buckets, and the first custom bucket starts
/// at zero if it ends above. Observations of NaN are counted, but lie in no bucket: they are taken as larger than all
/// others, and annotated.
///
/// - Result: NaN without observations or for a `q` that is NaN; minus infinity below 0, infinity above 1.
/// - Cost: one pass over the buckets, from the nearer end.
pub fn quantile(q: f64, histogram: &FloatHistogram, context: &mut CallContext<'_>) -> f64 {
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    if histogram.count == 0.0 || q.is_nan() {
        return f64::NAN;
    }
    // What lies beyond all buckets can only be found from below.
    let is_ascending = histogram.sum.is_nan() || q < 0.5;
    let (mut buckets, rank) = if is_ascending {
        (histogram.buckets(), q * histogram.count)
    } else {
        (histogram.buckets_descending(), (1.0 - q) * histogram.count)
    };
    let mut bucket = Bucket { lower: 0.0, upper: 0.0, lower_inclusive: false, upper_inclusive: false, count: 0.0 };
    let mut counted = 0.0;
    for next in buckets.by_ref() {
        bucket = next;
        counted += next.count;
        if next.count != 0.0 && counted >= rank {
            break;
        }
    }
    if let Some(known) = open_end(histogram, &mut bucket) {
        return known;
    }
    // Sums of floats may come out above the count.
    let in_reach = counted.min(histogram.count);
    if in_reach < rank {
        if histogram.sum.is_nan() {
            context.annotate(Annotation::QuantileNanResult { metric: context.metric_name });
            return f64::NAN;
        }
        return bucket.upper;
    }
    let rank = if is_ascending { rank - (in_reach - bucket.count) } else { in_reach - rank };
    if histogram.sum.is_nan() && in_reach + buckets.map(|bucket| bucket.count).sum::<f64>() < histogram.count {
        context.annotate(Annotation::QuantileNanSkew { metric: context.metric_name });
    }
    interpolate(histogram, bucket, rank / bucket.count)
}

/// Closes a bucket that is open at an end as far as its observations can lie; or answers at once where nothing is known
/// of their place but a bound.
fn open_end(histogram: &FloatHistogram, bucket: &mut Bucket) -> Option<f64> {
    if histogram.has_custom_buckets() {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return Some(bucket.upper);
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return Some(bucket.lower);
        }
    } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
        close_at_zero(histogram, bucket);
    }
    None
}

/// The zero bucket ends at zero where the other side has no buckets.
fn close_at_zero(histogram: &FloatHistogram, bucket: &mut Bucket) {
    match (histogram.negative_buckets.is_empty(), histogram.positive_buckets.is_empty()) {
        (true, false) => bucket.lower = 0.0,
        (false, true) => bucket.upper = 0.0,
        _ => {}
    }
}

fn interpolate(histogram: &FloatHistogram, bucket: Bucket, fraction: f64) -> f64 {
    let Bucket { lower, upper, .. } = bucket;
    if histogram.has_custom_buckets() || (lower <= 0.0 && upper >= 0.0) {
        return lower + (upper - lower) * fraction;
    }
    let (log_lower, log_upper) = (lower.abs().log2(), upper.abs().log2());
    if lower > 0.0 {
        (log_lower + (log_upper - log_lower) * fraction).exp2()
    } else {
        -(log_upper + (log_lower - log_upper) * (1.0 - fraction)).exp2()
    }
}

/// Which part of a histogram's observations lies between two values, by the same interpolation as [`quantile`].
///
/// - Result: NaN without observations or for a limit that is NaN; 0 where `lower` is not below `upper`. Observations of
///   NaN are in no part, and annotated.
/// - Cost: one pass over the buckets.
pub fn fraction(lower: f64, upper: f64, histogram: &FloatHistogram, context: &mut CallContext<'_>) -> f64 {
    if histogram.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let mut ranks = [Rank::of(lower), Rank::of(upper)];
    let mut before = 0.0;
    let mut counted = 0.0;
    let mut buckets = histogram.buckets();
    for mut bucket in buckets.by_ref() {
        counted += bucket.count;
        let is_zero_bucket = bucket.lower <= 0.0 && bucket.upper >= 0.0;
        if is_zero_bucket {
            close_at_zero(histogram, &mut bucket);
        }
        let is_linear = is_zero_bucket || histogram.has_custom_buckets();
        ranks.iter_mut().for_each(|rank| rank.meet(bucket, before, is_linear));
        if ranks.iter().all(|rank| rank.found.is_some()) {
            break;
        }
        before += bucket.count;
    }
    let mut total = histogram.count;
    if histogram.sum.is_nan() {
        total = counted + buckets.map(|bucket| bucket.count).sum::<f64>();
        if total < histogram.count {
            context.annotate(Annotation::FractionNans { metric: context.metric_name });
        }
    }
    let [lower, upper] = ranks.map(|rank| rank.found.filter(|found| *found <= total).unwrap_or(total));
    (upper - lower) / histogram.count
}

/// How many observations lie below a value.
#[derive(Debug, Clone, Copy)]
struct Rank {
    value: f64,
    found: Option<f64>,
}

impl Rank {
    fn of(value: f64) -> Self {
        Self { value, found: None }
    }

    /// Looks whether the value lies at the start of a bucket or in it. `before` observations lie in the buckets below.
    fn meet(&mut self, bucket: Bucket, before: f64, is_linear: bool) {
        if self.found.is_some() {
            return;
        }
        if bucket.lower >= self.value {
            self.found = Some(before);
        } else if bucket.upper > self.value {
            // Nothing is known of the inside of a bucket without end: above, it counts as empty; below, as full.
            self.found = Some(if bucket.lower == f64::NEG_INFINITY {
                bucket.count
            } else {
                before + bucket.count * bucket.fraction_below(self.value, is_linear)
            });
        }
    }
}

#[cfg(test)]
mod tests;
