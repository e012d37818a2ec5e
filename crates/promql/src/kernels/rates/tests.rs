use super::super::test_windows::{call, histogram, points, window};
use super::*;

fn check(name: &str, times: &[i64], values: &[f64], range: (i64, i64), expected: Option<f64>) {
    let columns = (times.to_vec(), values.to_vec());
    let found = call(name, &window(&columns, range.0, range.1), &[]).0;
    assert_eq!(found, expected.map(PointValue::Float), "{name} of {values:?} at {times:?}");
}

#[test]
fn growth_is_extrapolated_to_the_edges() {
    let times = [10_000, 20_000, 30_000];
    // A full spacing is missing at neither edge, so the growth reaches over the whole window.
    check("delta", &times, &[5.0, 3.0, 1.0], (5_000, 35_000), Some(-6.0));
    check("increase", &times, &[10.0, 15.0, 20.0], (5_000, 35_000), Some(15.0));
    check("rate", &times, &[10.0, 15.0, 20.0], (5_000, 35_000), Some(0.5));
    // The edges are further away than the spacing: half of it counts.
    check("increase", &times, &[100.0, 105.0, 110.0], (-60_000, 100_000), Some(15.0));
    // A counter is not extrapolated below zero.
    check("increase", &times, &[0.0, 5.0, 10.0], (5_000, 30_000), Some(10.0));
    check("increase", &[10_000], &[1.0], (0, 20_000), None);
}

#[test]
fn resets_count_from_zero() {
    check("increase", &[10_000, 20_000, 30_000], &[10.0, 4.0, 6.0], (10_000, 30_000), Some(6.0));
    check("delta", &[10_000, 20_000, 30_000], &[10.0, 4.0, 6.0], (10_000, 30_000), Some(-4.0));
}

#[test]
fn known_starts_replace_the_extrapolation() {
    let columns = (vec![20_000, 30_000], vec![4.0, 6.0]);
    let started = |starts_ms: &[i64]| call("increase", &Window { starts_ms, ..window(&columns, 0, 30_000) }, &[]);
    assert_eq!(started(&[10_000, 10_000]), (Some(PointValue::Float(6.0)), vec![]));
    assert_eq!(started(&[10_000, 25_000]).0, Some(PointValue::Float(6.0 + 4.0)));
    let single = (vec![20_000], vec![4.0]);
    let window = Window { starts_ms: &[10_000], ..window(&single, 0, 20_000) };
    assert_eq!(call("increase", &window, &[]).0, Some(PointValue::Float(4.0)));
    let overlap = "PromQL warning: sample has start time that overlaps with previous sample timestamp for metric \"m\"";
    assert_eq!(started(&[10_000, 15_000]).1, [overlap]);
}

#[test]
fn instant_growth_is_that_of_the_last_two() {
    check("irate", &[0, 10_000, 20_000], &[7.0, 1.0, 6.0], (-1, 20_000), Some(0.5));
    check("irate", &[0, 10_000], &[7.0, 5.0], (-1, 20_000), Some(0.5));
    check("idelta", &[0, 10_000], &[7.0, 5.0], (-1, 20_000), Some(-2.0));
    check("irate", &[0], &[7.0], (-1, 20_000), None);
}

#[test]
fn histograms_grow_bucket_by_bucket() {
    let points = points([histogram(1.0, 2.0, 3.0), histogram(2.0, 4.0, 6.0), histogram(1.0, 1.0, 2.0)]);
    let none = (vec![], vec![]);
    let window = Window { histograms: &points, ..window(&none, 1000, 3000) };
    let gauge = |mut histogram: FloatHistogram| {
        histogram.reset_hint = ResetHint::Gauge;
        PointValue::from(histogram)
    };
    assert_eq!(call("increase", &window, &[]), (Some(gauge(histogram(2.0, 3.0, 5.0))), vec![]));
    let warning = "PromQL warning: this native histogram metric is not a gauge: \"m\"".to_owned();
    let mut difference = histogram(0.0, -1.0, -1.0);
    difference.compact(0);
    assert_eq!(call("delta", &window, &[]), (Some(gauge(difference)), vec![warning]));
    assert_eq!(call("irate", &window, &[]).0, Some(gauge(histogram(1.0, 1.0, 2.0))));
}

#[test]
fn kinds_do_not_mix() {
    let points = points([histogram(1.0, 2.0, 3.0)]);
    let columns = (vec![1500], vec![1.0]);
    let window = Window { histograms: &points, ..window(&columns, 0, 3000) };
    let warning = "PromQL warning: encountered a mix of histograms and floats for metric name \"m\"";
    for name in ["rate", "increase", "delta", "irate", "idelta"] {
        assert_eq!(call(name, &window, &[]), (None, vec![warning.to_owned()]), "{name}");
    }
}
