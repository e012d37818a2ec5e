//! Whether a counter histogram was reset between two samples.
//!
//! Source: Prometheus `FloatHistogram.DetectReset`.

use super::parts::PartsRef;
use super::side::{SideRef, reduced};
use super::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, ResetHint, same_bounds};

impl FloatHistogram {
    /// Whether a counter that was `previous` can only be this histogram now if it was reset in between: some count went
    /// down, or the layout changed in a way that only a restart explains. A hint decides alone, unless it is unknown.
    pub fn is_reset_after(&self, previous: &Self) -> bool {
        match self.reset_hint {
            ResetHint::CounterReset => return true,
            ResetHint::NotCounterReset => return false,
            ResetHint::Unknown | ResetHint::Gauge => {}
        }
        if self.count < previous.count {
            return true;
        }
        if self.schema == CUSTOM_BUCKETS_SCHEMA {
            return previous.schema != CUSTOM_BUCKETS_SCHEMA || self.is_reset_between_bounds(previous);
        }
        // Resolution and zero threshold of a living counter only get coarser.
        if self.schema > previous.schema || self.zero_threshold < previous.zero_threshold {
            return true;
        }
        if self.zero_threshold > previous.zero_threshold {
            let (zero_count, threshold) = PartsRef::from(previous).zero_count_within(self.zero_threshold);
            if threshold != self.zero_threshold || self.zero_count < zero_count {
                return true;
            }
        } else if self.zero_count < previous.zero_count {
            return true;
        }
        self.has_less(self.positive(), previous.positive(), previous.schema)
            || self.has_less(self.negative(), previous.negative(), previous.schema)
    }

    fn has_less(&self, now: SideRef<'_, f64>, before: SideRef<'_, f64>, before_schema: i32) -> bool {
        let (schema, threshold) = (self.schema, self.zero_threshold);
        let before = reduced(before.iter_beyond(before_schema, threshold), before_schema, schema);
        any_less(now.iter_beyond(schema, threshold), before)
    }

    fn is_reset_between_bounds(&self, previous: &Self) -> bool {
        if same_bounds(&self.custom_values, &previous.custom_values) {
            return any_less(self.positive().iter(), previous.positive().iter());
        }
        // Counts between bounds that both have, and above the last of them, can be compared.
        let mut now = self.positive_side().peekable();
        let mut before = previous.positive_side().peekable();
        let mut counts_until = |bound: f64| {
            let mut now_count = 0.0;
            while let Some(bucket) = now.next_if(|bucket| bucket.upper <= bound) {
                now_count += bucket.count;
            }
            let mut before_count = 0.0;
            while let Some(bucket) = before.next_if(|bucket| bucket.upper <= bound) {
                before_count += bucket.count;
            }
            (now_count, before_count)
        };
        let shared = self.custom_values.iter().filter(|bound| {
            let index = previous.custom_values.partition_point(|candidate| candidate < bound);
            previous.custom_values.get(index) == Some(bound)
        });
        shared.chain([&f64::INFINITY]).any(|bound| {
            let (now_count, before_count) = counts_until(*bound);
            now_count < before_count
        })
    }
}

/// Whether some bucket has less than before. Both ascend; a bucket that is missing is empty.
fn any_less(now: impl Iterator<Item = (i32, f64)>, before: impl Iterator<Item = (i32, f64)>) -> bool {
    let mut now = now.peekable();
    for (index, count) in before {
        while now.next_if(|(candidate, _)| *candidate < index).is_some() {}
        let is_less = match now.peek() {
            Some((candidate, now_count)) if *candidate == index => *now_count < count,
            _ => count != 0.0,
        };
        if is_less {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::test_histograms::{custom, exponential};
    use super::*;

    fn check(previous: &FloatHistogram, now: &FloatHistogram, expected: bool) {
        assert_eq!(now.is_reset_after(previous), expected, "from {previous:?} to {now:?}");
    }

    #[test]
    fn counts_must_not_go_down() {
        let before = exponential(1, 0.0, 1.0, &[(0, 1.0), (1, 2.0), (2, 0.0)], &[(1, 3.0)]);
        check(&before, &before, false);
        check(&before, &exponential(1, 0.0, 1.0, &[(0, 1.0), (1, 2.0), (5, 9.0)], &[(1, 3.0)]), false);
        check(&before, &exponential(1, 0.0, 1.0, &[(0, 1.0), (1, 1.0), (5, 9.0)], &[(1, 3.0)]), true);
        check(&before, &exponential(1, 0.0, 1.0, &[(1, 2.0), (5, 9.0)], &[(1, 3.0)]), true);
        check(&before, &exponential(1, 0.0, 0.0, &[(0, 1.0), (1, 2.0), (5, 9.0)], &[(1, 3.0)]), true);
        check(&before, &exponential(1, 0.0, 1.0, &[(0, 9.0), (1, 2.0)], &[(1, 2.0)]), true);
    }

    #[test]
    fn layouts_may_only_get_coarser() {
        let before = exponential(1, 0.0, 1.0, &[(1, 2.0), (2, 3.0)], &[]);
        check(&before, &exponential(0, 0.0, 1.0, &[(1, 5.0)], &[]), false);
        check(&before, &exponential(0, 0.0, 1.0, &[(1, 4.0), (2, 9.0)], &[]), true);
        check(&before, &exponential(2, 0.0, 1.0, &[(1, 9.0), (2, 9.0)], &[]), true);
        check(&exponential(0, 1.0, 1.0, &[], &[]), &exponential(0, 0.5, 9.0, &[], &[]), true);
        check(&exponential(0, 0.5, 1.0, &[(0, 2.0)], &[]), &exponential(0, 1.0, 3.0, &[], &[]), false);
        check(&exponential(0, 0.5, 1.0, &[(0, 2.0)], &[]), &exponential(0, 0.75, 9.0, &[], &[]), true);
    }

    #[test]
    fn custom_bounds_are_compared_where_they_agree() {
        let before = custom(&[1.0, 2.0, 4.0], &[(0, 1.0), (1, 2.0), (2, 3.0), (3, 1.0)]);
        check(&before, &custom(&[2.0, 4.0], &[(0, 3.0), (1, 3.0), (2, 1.0)]), false);
        check(&before, &custom(&[2.0, 4.0], &[(0, 2.0), (1, 3.0), (2, 9.0)]), true);
        check(&before, &custom(&[3.0], &[(0, 3.0), (1, 4.0)]), false);
        check(&before, &exponential(0, 0.0, 9.0, &[], &[]), true);
    }

    #[test]
    fn hints_decide() {
        let high = exponential(0, 0.0, 9.0, &[], &[]);
        let mut low = exponential(0, 0.0, 1.0, &[], &[]);
        low.reset_hint = ResetHint::NotCounterReset;
        check(&high, &low, false);
        let mut higher = high.clone();
        higher.reset_hint = ResetHint::CounterReset;
        check(&high, &higher, true);
    }
}
