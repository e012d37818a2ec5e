//! How much an answer would be, found out without reading it.
//!
//! Which series match is known exactly, from the index alone. What they hold is looked up for a few of them, evenly
//! spread over all that match, and concluded for the rest: series of one selector are mostly alike, since they are
//! scraped together. So the cost hardly depends on the size of the answer.

use norn_base::Result;

use crate::select::{SeriesRequest, TimeRange};

/// For so many series it is looked up what they hold.
const LOOKED_AT_MAX: usize = 64;

/// A number of series and what they hold. Exact for up to 64 series with whole chunks in the range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SeriesCount {
    /// Distinct series.
    pub series: u64,
    /// Floats and histograms inside the range, those included that another source has too.
    pub samples: u64,
    /// Encoded bytes of the chunks that would be read for them.
    pub bytes: u64,
}

impl SeriesCount {
    /// Together with what another selector or tenant has: everything is added.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { series: self.series.saturating_add(other.series), ..self.beside(other) }
    }

    /// Together with what another source holds for the same request. Sources mostly hold other times of the same series,
    /// so the series are as many as the source with the most has; where series come and go they are more.
    #[must_use]
    pub fn beside(self, other: Self) -> Self {
        Self {
            series: self.series.max(other.series),
            samples: self.samples.saturating_add(other.samples),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }
}

/// What can tell how much it would answer.
pub trait SeriesEstimate {
    /// Estimates the answer to a request; of the request only matchers and range count. Cost: a search in the index,
    /// no chunk is read.
    fn estimate(&self, request: &SeriesRequest) -> Result<SeriesCount>;
}

/// Concludes from some of the series that a search has found to all of them.
///
/// - `look`: what a single series holds; zeros for one that would not be in the answer.
pub fn extrapolate<T: Copy, E>(
    found: &[T],
    mut look: impl FnMut(T) -> Result<SeriesCount, E>,
) -> Result<SeriesCount, E> {
    let looked_at = found.len().min(LOOKED_AT_MAX);
    let mut sum = SeriesCount::default();
    for number in 0..looked_at {
        sum = sum.and(look(found[number * found.len() / looked_at])?);
    }
    let scaled = |count: u64| {
        let scaled = u128::from(count) * found.len() as u128 / looked_at.max(1) as u128;
        u64::try_from(scaled).unwrap_or(u64::MAX)
    };
    Ok(SeriesCount { series: scaled(sum.series), samples: scaled(sum.samples), bytes: scaled(sum.bytes) })
}

/// How many of `samples`, spread evenly over `held`, lie inside `wanted`; at least one where the two overlap.
pub fn samples_within(samples: u64, held: TimeRange, wanted: TimeRange) -> u64 {
    if !held.overlaps(wanted) || samples == 0 {
        return 0;
    }
    let milliseconds = |start_ms: i64, end_ms: i64| u128::from(end_ms.abs_diff(start_ms)) + 1;
    let both = milliseconds(held.start_ms.max(wanted.start_ms), held.end_ms.min(wanted.end_ms));
    let within = u128::from(samples) * both / milliseconds(held.start_ms, held.end_ms);
    u64::try_from(within).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_series_stand_for_all() {
        let check = |found: usize, expected: (u64, u64, u64)| {
            let found: Vec<usize> = (0..found).collect();
            // One of two has samples.
            let look = |series: usize| match series % 2 {
                0 => Ok::<_, ()>(SeriesCount { series: 1, samples: 10, bytes: 100 }),
                _ => Ok(SeriesCount::default()),
            };
            let SeriesCount { series, samples, bytes } = extrapolate(&found, look).unwrap();
            assert_eq!((series, samples, bytes), expected, "{}", found.len());
        };
        check(0, (0, 0, 0));
        check(1, (1, 10, 100));
        check(64, (32, 320, 3200));
        check(6464, (3232, 32_320, 323_200));
        assert_eq!(extrapolate(&[1], |_| Err("damaged")), Err("damaged"));
    }

    #[test]
    fn samples_are_taken_to_be_spread_evenly() {
        let range = |start_ms: i64, end_ms: i64| TimeRange { start_ms, end_ms };
        let check = |held: TimeRange, wanted: TimeRange, expected: u64| {
            assert_eq!(samples_within(100, held, wanted), expected, "{held:?} {wanted:?}");
        };
        check(range(0, 999), range(0, 999), 100);
        check(range(0, 999), TimeRange::ALL, 100);
        check(TimeRange::ALL, TimeRange::ALL, 100);
        check(range(0, 999), range(500, 5000), 50);
        check(range(0, 999), range(999, 5000), 1);
        check(range(0, 999), range(1000, 5000), 0);
        check(range(7, 7), range(7, 7), 100);
        assert_eq!(samples_within(0, TimeRange::ALL, TimeRange::ALL), 0);
    }
}
