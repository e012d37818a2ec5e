//! Splitting a range query into parts that end at multiples of an interval, so that equal parts of different queries meet
//! in the cache.
//!
//! Steps stay where they are: the parts together have exactly the steps of the whole.

/// Steps from `start_ms` to at most `end_ms`, `step_ms` apart; all in milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StepRange {
    /// The first step.
    pub start_ms: i64,
    /// No step is later.
    pub end_ms: i64,
    /// The distance of steps, at least 1.
    pub step_ms: i64,
}

impl StepRange {
    /// How many steps there are; 0 where the range ends before it starts.
    pub fn steps(self) -> u64 {
        if self.end_ms < self.start_ms {
            0
        } else {
            self.end_ms.abs_diff(self.start_ms) / self.step_ms.unsigned_abs() + 1
        }
    }

    /// The last step that is taken.
    pub fn last_step_ms(self) -> i64 {
        self.end_ms - (self.end_ms - self.start_ms).rem_euclid(self.step_ms)
    }
}

/// A last step this close to its predecessor is not worth a part of its own.
const FOLDED_STEP_MS_MAX: i64 = 5 * 60 * 1000;

/// Splits a range at multiples of `interval_ms`. An interval of 0, or a range within one interval, is not split.
///
/// Result: at least one part, ascending, disjoint, with the steps of `range` among them.
pub fn split_by_interval(range: StepRange, interval_ms: i64) -> Vec<StepRange> {
    if interval_ms <= 0 || range.steps() <= 1 {
        return vec![range];
    }
    let mut parts = Vec::new();
    let mut start_ms = range.start_ms;
    while start_ms <= range.end_ms {
        let mut end_ms = last_step_before(start_ms, range.step_ms, interval_ms).min(range.end_ms);
        if end_ms + range.step_ms == range.end_ms && range.step_ms <= FOLDED_STEP_MS_MAX {
            end_ms = range.end_ms;
        }
        parts.push(StepRange { start_ms, end_ms, step_ms: range.step_ms });
        let Some(next_ms) = end_ms.checked_add(range.step_ms) else { break };
        start_ms = next_ms;
    }
    parts
}

/// The last step from `start_ms` on that lies before the next multiple of the interval.
fn last_step_before(start_ms: i64, step_ms: i64, interval_ms: i64) -> i64 {
    let boundary_ms = (start_ms.div_euclid(interval_ms) + 1).saturating_mul(interval_ms);
    let target_ms = boundary_ms - (boundary_ms - start_ms).rem_euclid(step_ms);
    // A step on the boundary belongs to the part behind it.
    if target_ms == boundary_ms && target_ms > start_ms { target_ms - step_ms } else { target_ms }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: i64 = 3_600_000;

    fn parts(start_ms: i64, end_ms: i64, step_ms: i64, interval_ms: i64) -> Vec<(i64, i64)> {
        let range = StepRange { start_ms, end_ms, step_ms };
        split_by_interval(range, interval_ms).iter().map(|part| (part.start_ms, part.end_ms)).collect()
    }

    #[test]
    fn parts_end_before_multiples_of_the_interval() {
        assert_eq!(parts(0, 3 * HOUR, HOUR, 0), [(0, 3 * HOUR)]);
        let step = 20 * 60_000;
        assert_eq!(parts(0, 2 * HOUR, step, 24 * HOUR), [(0, 2 * HOUR)]);
        let expected = [(0, HOUR - step), (HOUR, 2 * HOUR - step), (2 * HOUR, 2 * HOUR + step)];
        assert_eq!(parts(0, 2 * HOUR + step, step, HOUR), expected);
    }

    #[test]
    fn a_last_short_step_is_folded_in() {
        assert_eq!(parts(0, HOUR, 60_000, HOUR), [(0, HOUR)]);
    }

    proptest! {
        #[test]
        fn the_steps_are_those_of_the_whole(
            start in -10_000i64..10_000, length in 0i64..50_000, step in 1i64..900, interval in 1i64..9_000,
        ) {
            let range = StepRange { start_ms: start, end_ms: start + length, step_ms: step };
            let steps = |range: StepRange| (range.start_ms..=range.end_ms).step_by(usize::try_from(range.step_ms).unwrap());
            let split: Vec<i64> = split_by_interval(range, interval).into_iter().flat_map(steps).collect();
            prop_assert_eq!(split, steps(range).collect::<Vec<_>>());
        }
    }
}
