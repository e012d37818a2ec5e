use super::super::test_windows::histogram;
use super::*;

/// Aggregates points, once in a row and once split in two states at every place. All give the same.
fn check<A: Accumulator>(points: &[PointValue], expected: Option<PointValue>, texts: &[&str]) {
    for split in 0..=points.len() {
        let mut annotations = Annotations::default();
        let mut context = AggregateContext {
            position: Position::default(),
            metric_name: "m",
            parameter: 0.5,
            annotations: &mut annotations,
        };
        let mut states = [A::default(), A::default()];
        for (index, point) in points.iter().enumerate() {
            states[usize::from(index >= split)].add(point.into(), &mut context);
        }
        let [mut state, other] = states;
        state.merge(other, &mut context);
        let found = state.finish(&mut context);
        assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{} of {points:?}, split at {split}", A::NAME);
        let (mut found, infos) = annotations.texts("", 0, 0);
        found.extend(infos);
        assert_eq!(found, texts, "{} of {points:?}, split at {split}", A::NAME);
    }
}

fn floats(values: &[f64]) -> Vec<PointValue> {
    values.iter().copied().map(PointValue::Float).collect()
}

fn float(value: f64) -> Option<PointValue> {
    Some(PointValue::Float(value))
}

#[test]
fn floats_are_aggregated() {
    let values = floats(&[2.0, 4.0, f64::NAN, 9.0, 5.0]);
    check::<Count>(&values, float(5.0), &[]);
    check::<Group>(&values, float(1.0), &[]);
    check::<Min>(&values, float(2.0), &[]);
    check::<Max>(&values, float(9.0), &[]);
    check::<Sum>(&values, float(f64::NAN), &[]);
    check::<Sum>(&floats(&[1.0, 1e100, 1.0, -1e100]), float(2.0), &[]);
    check::<Avg>(&floats(&[1.0, 2.0, 6.0]), float(3.0), &[]);
    check::<Stdvar>(&floats(&[1.0, 1.0, 5.0, 5.0]), float(4.0), &[]);
    check::<Stddev>(&floats(&[1.0, 3.0]), float(1.0), &[]);
    check::<Stddev>(&floats(&[f64::INFINITY]), float(f64::NAN), &[]);
    check::<Quantile>(&floats(&[1.0, 3.0, 2.0, 4.0]), float(2.5), &[]);
    check::<Min>(&floats(&[f64::NAN]), float(f64::NAN), &[]);
}

#[test]
fn nothing_gives_nothing() {
    check::<Count>(&[], None, &[]);
    check::<Sum>(&[], None, &[]);
    check::<Avg>(&[], None, &[]);
    check::<Stdvar>(&[], None, &[]);
    check::<Quantile>(&[], None, &[]);
    check::<Group>(&[], None, &[]);
}

#[test]
fn histograms_are_added_and_averaged() {
    let points = [histogram(1.0, 2.0, 3.0).into(), histogram(3.0, 4.0, 5.0).into()];
    check::<Sum>(&points, Some(histogram(4.0, 6.0, 8.0).into()), &[]);
    check::<Avg>(&points, Some(histogram(2.0, 3.0, 4.0).into()), &[]);
    check::<Count>(&points, float(2.0), &[]);
    check::<Max>(&points, None, &["PromQL info: ignored histogram in max aggregation"]);
}

#[test]
fn what_does_not_go_together_gives_nothing() {
    let mixed = [PointValue::Float(1.0), histogram(1.0, 2.0, 3.0).into()];
    check::<Sum>(&mixed, None, &["PromQL warning: encountered a mix of histograms and floats for aggregation"]);
    let custom = FloatHistogram::empty(-53, [1.0].into());
    let schemas = [histogram(1.0, 2.0, 3.0).into(), custom.into()];
    let text = "PromQL warning: vector contains a mix of histograms with exponential and custom buckets schemas for \
                metric name \"m\"";
    check::<Avg>(&schemas, None, &[text]);
}
