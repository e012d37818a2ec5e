//! What holds for all windows, and what no samples may do.

use proptest::collection::vec;
use proptest::prelude::*;

use super::counter::{Resets, Windows, growths};
use super::quantile::quantile;
use super::rates::Growth;
use super::test_windows::{call, histogram, points, window};
use super::{PointValue, Window};
use crate::functions;
use crate::tree::{RangeExtension, ValueType};
use norn_model::FloatHistogram;
use norn_model::histogram::ResetHint;

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![4 => (0u8..20).prop_map(f64::from), 1 => any::<f64>()]
}

/// Floats at ascending times around 0.
fn columns() -> impl Strategy<Value = (Vec<i64>, Vec<f64>)> {
    vec((1i64..3000, any_value()), 0..20).prop_map(|samples| {
        let mut time = -5000;
        let mut next = |(gap, value): (i64, f64)| {
            time += gap;
            (time, value)
        };
        samples.into_iter().map(&mut next).unzip()
    })
}

fn any_histogram() -> impl Strategy<Value = FloatHistogram> {
    let hint = prop_oneof![
        Just(ResetHint::Unknown),
        Just(ResetHint::CounterReset),
        Just(ResetHint::NotCounterReset),
        Just(ResetHint::Gauge),
    ];
    (any_value(), any_value(), any_value(), prop_oneof![Just(0), Just(3), Just(-53)], hint).prop_map(
        |(low, high, sum, schema, reset_hint)| FloatHistogram {
            schema,
            reset_hint,
            custom_values: if schema == -53 { [low].into() } else { [].into() },
            ..histogram(low, high, sum)
        },
    )
}

fn extension() -> impl Strategy<Value = RangeExtension> {
    prop_oneof![Just(RangeExtension::None), Just(RangeExtension::Anchored), Just(RangeExtension::Smoothed)]
}

/// By sorting all values.
fn naive_quantile(q: f64, values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = q * (sorted.len() - 1) as f64;
    let (lower, upper) = (rank.floor() as usize, rank.ceil() as usize);
    sorted[lower] * (1.0 - rank.fract()) + sorted[upper] * rank.fract()
}

proptest! {
    #[test]
    fn quantiles_are_those_of_sorted_values(values in vec(-100.0..100.0f64, 1..40), q in 0.0..=1.0f64) {
        let (found, expected) = (quantile(q, &mut values.clone()), naive_quantile(q, &values));
        prop_assert!((found - expected).abs() < 1e-9, "{} is not {}", found, expected);
    }

    #[test]
    fn the_fast_path_of_counters_has_the_bits_of_the_kernel(
        columns in columns(),
        first_end_ms in -8000i64..8000,
        step_ms in 1i64..5000,
        range_ms in 1i64..20_000,
    ) {
        let windows = Windows { first_end_ms, step_ms, count: 12, range_ms };
        for (growth, name) in [(Growth::Rate, "rate"), (Growth::Increase, "increase"), (Growth::Delta, "delta")] {
            let mut found = vec![None; windows.count];
            let mut resets = Resets::default();
            growths(growth, &columns.0, &columns.1, windows, &mut resets, |index, value| found[index] = Some(value));
            for (end_ms, found) in (0..).map(|index| first_end_ms + step_ms * index).zip(found) {
                let first = columns.0.partition_point(|time| *time <= end_ms - range_ms);
                let end = columns.0.partition_point(|time| *time <= end_ms);
                let inside = (columns.0[first..end].to_vec(), columns.1[first..end].to_vec());
                let expected = if first == end { None } else { call(name, &window(&inside, end_ms - range_ms, end_ms), &[]).0 };
                let found = found.map(PointValue::Float);
                prop_assert_eq!(format!("{:?}", found), format!("{:?}", expected));
            }
        }
    }

    #[test]
    fn no_window_panics(
        columns in columns(),
        histograms in vec(any_histogram(), 0..6),
        starts_ms in vec(any::<i64>(), 20),
        extension in extension(),
        edges in (-6000i64..6000, 1i64..6000),
        parameters in vec(any_value(), 2),
    ) {
        // Histograms lie at whole seconds; floats that meet them are moved aside by leaving them out.
        let points = points(histograms);
        let (times, values): (Vec<i64>, Vec<f64>) =
            columns.0.iter().copied().zip(columns.1.iter().copied()).filter(|(time, _)| time % 1000 != 0).unzip();
        if times.is_empty() && points.is_empty() {
            return Ok(());
        }
        let floats = (times, values);
        let window = Window {
            starts_ms: &starts_ms[..floats.0.len()],
            histograms: &points,
            histogram_starts_ms: &starts_ms[..points.len()],
            extension,
            ..window(&floats, edges.0, edges.0 + edges.1)
        };
        for function in functions::all().iter().filter(|function| function.arguments.contains(&ValueType::Matrix)) {
            call(function.name, &window, &parameters);
        }
    }
}

/// Every function of the language that takes a range vector, or maps an instant vector, has a kernel, but for those that
/// need more than samples.
#[test]
fn every_function_has_a_kernel() {
    const WITHOUT: [&str; 14] = [
        "absent",
        "histogram_quantiles",
        "info",
        "label_join",
        "label_replace",
        "scalar",
        "sort",
        "sort_by_label",
        "sort_by_label_desc",
        "sort_desc",
        "start_timestamp",
        "timestamp",
        "vector",
        "time",
    ];
    for function in functions::all() {
        let takes_series = function.arguments.iter().any(|kind| matches!(kind, ValueType::Matrix | ValueType::Vector));
        let has_kernel = super::range_kernel(function.name).is_some() || super::instant_kernel(function.name).is_some();
        assert_eq!(has_kernel, takes_series && !WITHOUT.contains(&function.name), "{}", function.name);
    }
}
