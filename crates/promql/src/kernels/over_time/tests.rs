use super::super::test_windows::{call, float, histogram, points, window};
use super::*;

fn columns(values: &[f64]) -> (Vec<i64>, Vec<f64>) {
    ((1..).map(|second| second * 1000).take(values.len()).collect(), values.to_vec())
}

fn check(name: &str, values: &[f64], parameters: &[f64], expected: f64) {
    let found = float(name, &columns(values), parameters).unwrap();
    let is_same = found == expected || (found.is_nan() && expected.is_nan());
    assert!(is_same, "{name} of {values:?} is {found}, not {expected}");
}

#[test]
fn floats_are_summed_up() {
    let values = [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0];
    check("sum_over_time", &values, &[], 40.0);
    check("avg_over_time", &values, &[], 5.0);
    check("min_over_time", &values, &[], 2.0);
    check("max_over_time", &values, &[], 9.0);
    check("count_over_time", &values, &[], 8.0);
    check("stdvar_over_time", &values, &[], 4.0);
    check("stddev_over_time", &values, &[], 2.0);
    check("quantile_over_time", &values, &[0.5], 4.5);
    check("mad_over_time", &values, &[], 0.5);
    check("first_over_time", &values, &[], 2.0);
    check("last_over_time", &values, &[], 9.0);
    check("present_over_time", &values, &[], 1.0);
    check("ts_of_first_over_time", &values, &[], 1.0);
    check("ts_of_last_over_time", &values, &[], 8.0);
    check("ts_of_min_over_time", &values, &[], 1.0);
    check("ts_of_max_over_time", &[1.0, 3.0, 3.0], &[], 3.0);
}

#[test]
fn odd_floats_are_survived() {
    check("min_over_time", &[f64::NAN, 2.0, f64::NAN], &[], 2.0);
    check("max_over_time", &[f64::NAN, f64::NAN], &[], f64::NAN);
    check("sum_over_time", &[f64::MAX, f64::MAX], &[], f64::INFINITY);
    check("avg_over_time", &[f64::MAX, f64::MAX], &[], f64::MAX);
    check("mad_over_time", &[1.0, f64::NAN], &[], f64::NAN);
    check("quantile_over_time", &[1.0], &[7.0], f64::INFINITY);
    let text = "PromQL warning: quantile value should be between 0 and 1, got 7";
    assert_eq!(call("quantile_over_time", &window(&columns(&[1.0]), 0, 1000), &[7.0]).1, [text]);
}

#[test]
fn histograms_are_summed_up() {
    let histograms = points([histogram(1.0, 2.0, 3.0), histogram(3.0, 4.0, 5.0)]);
    let none = columns(&[]);
    let window = Window { histograms: &histograms, ..window(&none, 0, 2000) };
    assert_eq!(call("sum_over_time", &window, &[]), (Some(histogram(4.0, 6.0, 8.0).into()), vec![]));
    assert_eq!(call("avg_over_time", &window, &[]), (Some(histogram(2.0, 3.0, 4.0).into()), vec![]));
    assert_eq!(call("last_over_time", &window, &[]).0, Some(histogram(3.0, 4.0, 5.0).into()));
    assert_eq!(call("max_over_time", &window, &[]), (None, vec![]));
}

#[test]
fn kinds_mix_only_where_histograms_can_be_left_out() {
    let histograms = points([histogram(1.0, 2.0, 3.0)]);
    let floats = columns(&[5.0, 6.0]);
    let floats = (vec![1500, 2500], floats.1);
    let window = Window { histograms: &histograms, ..window(&floats, 0, 3000) };
    let warning = "PromQL warning: encountered a mix of histograms and floats for metric name \"m\"".to_owned();
    assert_eq!(call("sum_over_time", &window, &[]), (None, vec![warning]));
    let info = "PromQL info: ignored histograms in a range containing both floats and histograms for metric name \"m\"";
    assert_eq!(call("max_over_time", &window, &[]), (Some(PointValue::Float(6.0)), vec![info.to_owned()]));
    assert_eq!(call("count_over_time", &window, &[]).0, Some(PointValue::Float(3.0)));
    assert_eq!(call("first_over_time", &window, &[]).0, Some(histogram(1.0, 2.0, 3.0).into()));
}
