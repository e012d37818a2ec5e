//! `rate`, `increase` and `delta` of a series of floats over all windows of a query in one pass.
//!
//! Windows of a range query overlap: with a step of 15 seconds and a range of five minutes each sample lies in twenty of
//! them. Looking for resets in each window anew is most of what such a query costs. Here resets are found once, into a
//! list that nearly always stays empty; each window then costs two cursors that only move forward, and the resets that lie
//! in it. The arithmetic is that of [`super::rates`], step for step, so that both give the same bits.
//!
//! Rejected: prefix sums of the corrections. They make a window with resets independent of their number, at the price of
//! a subtraction of large sums, whose rounding shows in the answer.

use super::rates::{Edges, Growth};

/// The windows of a query over one selector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// The right edge of the first window, in milliseconds since the Unix epoch, inclusive.
    pub first_end_ms: i64,
    /// The distance of windows, in milliseconds. At least 1 where there are several windows.
    pub step_ms: i64,
    /// How many there are.
    pub count: usize,
    /// Their width, in milliseconds.
    pub range_ms: i64,
}

/// Memory for the resets of a series, to be used again for the next one.
#[derive(Debug, Default)]
pub struct Resets {
    /// Indexes of the samples before a reset, ascending.
    before: Vec<usize>,
}

/// Calls `emit` with the index and the growth of each window that has one, ascending.
///
/// - `timestamps_ms`, `values`: all samples that any window needs, without stale markers; times strictly ascend.
/// - Cost: one pass over the samples, and constant work for each window without a reset in it.
/// - For series without histograms and without known start times; others need the kernels of the functions.
pub fn growths(
    growth: Growth,
    timestamps_ms: &[i64],
    values: &[f64],
    windows: Windows,
    resets: &mut Resets,
    mut emit: impl FnMut(usize, f64),
) {
    resets.find(growth, values);
    let divisor = if growth == Growth::Rate { super::seconds(windows.range_ms) } else { 1.0 };
    let mut shape = Shape::default();
    let (mut first, mut end, mut first_reset) = (0, 0, 0);
    for index in 0..windows.count {
        let range_end_ms = windows.first_end_ms + index as i64 * windows.step_ms;
        let range_start_ms = range_end_ms - windows.range_ms;
        while end < timestamps_ms.len() && timestamps_ms[end] <= range_end_ms {
            end += 1;
        }
        while first < end && timestamps_ms[first] <= range_start_ms {
            first += 1;
        }
        if end - first < 2 {
            continue;
        }
        while resets.before.get(first_reset).is_some_and(|before| *before < first) {
            first_reset += 1;
        }
        let mut grown = values[end - 1] - values[first];
        for before in resets.before[first_reset..].iter().take_while(|before| **before < end - 1) {
            grown += values[*before];
        }
        let edges = Edges {
            range_start_ms,
            range_end_ms,
            first_ms: timestamps_ms[first],
            last_ms: timestamps_ms[end - 1],
            samples: end - first,
        };
        shape.update(edges, divisor);
        let starts_positive = growth.is_counter() && grown > 0.0 && values[first] >= 0.0;
        let scale = if starts_positive && shape.sampled * values[first] < shape.to_start * grown {
            edges.factor(Some((values[first], grown))) / divisor
        } else {
            shape.scale
        };
        emit(index, grown * scale);
    }
}

/// How samples lie in their window. Of a series that is scraped evenly most windows look alike, and what costs divisions
/// has to be computed once.
#[derive(Debug, Default)]
struct Shape {
    samples: usize,
    before_ms: i64,
    after_ms: i64,
    /// See [`Edges::sampled_and_to_start`].
    sampled: f64,
    to_start: f64,
    /// What growth is multiplied with where the series was not at zero before the window's start.
    scale: f64,
}

impl Shape {
    #[inline]
    fn update(&mut self, edges: Edges, divisor: f64) {
        let (before_ms, after_ms) = (edges.first_ms - edges.range_start_ms, edges.range_end_ms - edges.last_ms);
        if (self.samples, self.before_ms, self.after_ms) != (edges.samples, before_ms, after_ms) {
            let (sampled, to_start) = edges.sampled_and_to_start();
            let scale = edges.factor(None) / divisor;
            *self = Self { samples: edges.samples, before_ms, after_ms, sampled, to_start, scale };
        }
    }
}

impl Resets {
    fn find(&mut self, growth: Growth, values: &[f64]) {
        self.before.clear();
        if growth.is_counter() {
            // Without early exit, so that several pairs are compared at once.
            let any = values.windows(2).fold(false, |any, pair| any | (pair[1] < pair[0]));
            if !any {
                return;
            }
            let pairs = values.windows(2).enumerate();
            self.before.extend(pairs.filter(|(_, pair)| pair[1] < pair[0]).map(|(index, _)| index));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_windows::{call, window};
    use super::super::{PointValue, Window};
    use super::*;

    /// Every window is the kernel's, bit for bit.
    fn check(times: &[i64], values: &[f64], windows: Windows) {
        for (growth, name) in [(Growth::Rate, "rate"), (Growth::Increase, "increase"), (Growth::Delta, "delta")] {
            let mut found = vec![None; windows.count];
            growths(growth, times, values, windows, &mut Resets::default(), |index, value| found[index] = Some(value));
            for (index, found) in found.into_iter().enumerate() {
                let end_ms = windows.first_end_ms + windows.step_ms * i64::try_from(index).unwrap();
                let start_ms = end_ms - windows.range_ms;
                let inside = |time: &i64| start_ms < *time && *time <= end_ms;
                let columns: (Vec<i64>, Vec<f64>) =
                    times.iter().copied().zip(values.iter().copied()).filter(|(time, _)| inside(time)).unzip();
                let window: Window<'_> = window(&columns, start_ms, end_ms);
                let expected = if columns.0.is_empty() { None } else { call(name, &window, &[]).0 };
                let bits = |value: f64| if value.is_nan() { f64::NAN.to_bits() } else { value.to_bits() };
                let expected = expected.map(|value| match value {
                    PointValue::Float(value) => bits(value),
                    PointValue::Histogram(_) => panic!("floats give floats"),
                });
                assert_eq!(found.map(bits), expected, "{name} of {values:?} in window {index} of {windows:?}");
            }
        }
    }

    #[test]
    fn all_windows_agree_with_the_kernel() {
        let times: Vec<i64> = (0..40).map(|index| 1000 * index + 13 * (index % 3)).collect();
        let counter: Vec<f64> = (0..40).map(|index| f64::from((index * 7) % 31)).collect();
        let mut odd = counter.clone();
        (odd[3], odd[9], odd[10]) = (f64::NAN, f64::INFINITY, -4.0);
        for step_ms in [500, 1000, 7000] {
            for range_ms in [1, 900, 5000, 60_000] {
                let windows = Windows { first_end_ms: -3000, step_ms, count: 100, range_ms };
                check(&times, &counter, windows);
                check(&times, &odd, windows);
            }
        }
        check(&[], &[], Windows { first_end_ms: 0, step_ms: 1, count: 3, range_ms: 10 });
    }
}
