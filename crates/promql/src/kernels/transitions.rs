//! `changes` and `resets`: how often neighbouring samples of a window differ, floats and histograms in one sequence.
//!
//! Source: Prometheus `promql/functions.go`, `funcResets`, `funcChanges` and `pickFirstSampleIndices`.

use norn_model::FloatHistogram;

use super::rates::{is_start_reset, is_start_reset_at};
use super::{CallContext, PointValue, Window};
use crate::tree::RangeExtension;

pub(super) fn changes(window: &Window<'_>, _context: &mut CallContext<'_>) -> Option<PointValue> {
    count_transitions(window, |transition| match transition {
        Transition::Floats { before, now, .. } => now != before && !(now.is_nan() && before.is_nan()),
        Transition::Histograms { before, now, .. } => !now.is_identical(before),
        Transition::Kind => true,
    })
}

pub(super) fn resets(window: &Window<'_>, _context: &mut CallContext<'_>) -> Option<PointValue> {
    count_transitions(window, |transition| match transition {
        Transition::Floats { before, now, index } => {
            now < before || is_start_reset(window.timestamps_ms, window.starts_ms, index)
        }
        Transition::Histograms { before, now, index } => {
            let (before_ms, now_ms) =
                (window.histograms[index].timestamp_ms, window.histograms[index + 1].timestamp_ms);
            is_start_reset_at(before_ms, now_ms, window.histogram_starts_ms, index) || now.is_reset_after(before)
        }
        Transition::Kind => true,
    })
}

/// Two samples in a row. `index` is that of the first one in its column, the second one follows it.
enum Transition<'a> {
    Floats {
        before: f64,
        now: f64,
        index: usize,
    },
    Histograms {
        before: &'a FloatHistogram,
        now: &'a FloatHistogram,
        index: usize,
    },
    /// One is a float, the other a histogram.
    Kind,
}

/// Where the first sample that counts lies in each column: the start, or the last sample at or before an anchored
/// window. `None` where an anchored window has no sample after its start.
fn first_indexes(window: &Window<'_>) -> Option<(usize, usize)> {
    if window.extension != RangeExtension::Anchored {
        return Some((0, 0));
    }
    let start_ms = window.range_start_ms;
    let floats = window.timestamps_ms.partition_point(|time| *time <= start_ms);
    let histograms = window.histograms.partition_point(|point| point.timestamp_ms <= start_ms);
    if floats == window.timestamps_ms.len() && histograms == window.histograms.len() {
        return None;
    }
    let float_ms = floats.checked_sub(1).map(|index| window.timestamps_ms[index]);
    let histogram_ms = histograms.checked_sub(1).map(|index| window.histograms[index].timestamp_ms);
    Some(match (float_ms, histogram_ms) {
        (None, None) => (0, 0),
        (Some(float_ms), Some(histogram_ms)) if float_ms < histogram_ms => (floats, histograms - 1),
        (None, Some(_)) => (floats, histograms - 1),
        (Some(_), _) => (floats - 1, histograms),
    })
}

fn count_transitions(window: &Window<'_>, counts: impl Fn(Transition<'_>) -> bool) -> Option<PointValue> {
    let (mut float, mut histogram) = first_indexes(window)?;
    let mut count = 0u64;
    let mut was_float = None;
    loop {
        let is_float = match (window.timestamps_ms.get(float), window.histograms.get(histogram)) {
            (Some(float_ms), Some(point)) => *float_ms < point.timestamp_ms,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => return Some(PointValue::Float(count as f64)),
        };
        let transition = match (was_float, is_float) {
            (None, _) => None,
            (Some(true), true) => Some(Transition::Floats {
                before: window.values[float - 1],
                now: window.values[float],
                index: float - 1,
            }),
            (Some(false), false) => Some(Transition::Histograms {
                before: &window.histograms[histogram - 1].histogram,
                now: &window.histograms[histogram].histogram,
                index: histogram - 1,
            }),
            (Some(_), _) => Some(Transition::Kind),
        };
        count += u64::from(transition.is_some_and(&counts));
        was_float = Some(is_float);
        float += usize::from(is_float);
        histogram += usize::from(!is_float);
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_windows::{call, float, histogram, points, window};
    use super::*;

    fn check(values: &[f64], changes: f64, resets: f64) {
        let columns = ((0..).map(|index| index * 10).take(values.len()).collect(), values.to_vec());
        assert_eq!(float("changes", &columns, &[]), Some(changes), "{values:?}");
        assert_eq!(float("resets", &columns, &[]), Some(resets), "{values:?}");
    }

    #[test]
    fn neighbours_are_compared() {
        check(&[1.0], 0.0, 0.0);
        check(&[1.0, 1.0, 2.0, 1.0, 0.0], 3.0, 2.0);
        check(&[f64::NAN, f64::NAN, 1.0, f64::NAN], 2.0, 0.0);
    }

    #[test]
    fn a_change_of_kind_counts() {
        let columns = (vec![1500, 1600, 3500], vec![1.0, 1.0, 1.0]);
        let histograms = points([histogram(1.0, 1.0, 1.0), histogram(1.0, 1.0, 1.0), histogram(0.0, 1.0, 1.0)]);
        let window = Window { histograms: &histograms, ..window(&columns, 0, 4000) };
        // histogram, float, float, histogram, histogram, float
        assert_eq!(call("changes", &window, &[]).0, Some(PointValue::Float(4.0)));
        assert_eq!(call("resets", &window, &[]).0, Some(PointValue::Float(4.0)));
    }

    #[test]
    fn starts_tell_resets() {
        let columns = (vec![1000, 2000, 3000], vec![1.0, 2.0, 3.0]);
        let window = Window { starts_ms: &[500, 500, 2500], ..window(&columns, 0, 3000) };
        assert_eq!(call("resets", &window, &[]).0, Some(PointValue::Float(1.0)));
    }

    #[test]
    fn anchored_windows_start_at_the_sample_before() {
        let columns = (vec![100, 500, 1500], vec![1.0, 2.0, 1.0]);
        let anchored = Window { extension: RangeExtension::Anchored, ..window(&columns, 1000, 2000) };
        assert_eq!(call("changes", &anchored, &[]).0, Some(PointValue::Float(1.0)));
        let early = Window { range_start_ms: 1500, ..anchored };
        assert_eq!(call("changes", &early, &[]).0, None);
    }
}
