use super::*;

fn at(start: usize) -> Position {
    Position { start, end: start + 1 }
}

#[test]
fn equal_annotations_are_one_and_show_the_last_place() {
    let mut annotations = Annotations::default();
    annotations.add(Annotation::PossibleNonCounter { metric: "up" }, at(5));
    annotations.add(Annotation::PossibleNonCounter { metric: "up" }, at(9));
    annotations.add(Annotation::InvalidQuantile { quantile: f64::NAN.into() }, at(2));
    annotations.add_store_warning("replica missing".to_owned());
    let (warnings, infos) = annotations.texts("rate(\nup[5m])", 10, 10);
    assert_eq!(
        infos,
        ["PromQL info: metric might not be a counter, name does not end in _total/_sum/_count/_bucket: \"up\" (2:4)"]
    );
    let quantile = "PromQL warning: quantile value should be between 0 and 1, got NaN (1:3)";
    assert_eq!(warnings, [quantile, "replica missing"]);
}

#[test]
fn what_exceeds_a_limit_is_counted() {
    let mut annotations = Annotations::default();
    for metric in ["a", "b", "c"] {
        annotations.add(Annotation::MixedFloatsHistograms { metric }, at(0));
    }
    let (warnings, infos) = annotations.texts("x", 1, 1);
    assert_eq!(
        warnings,
        [
            "PromQL warning: encountered a mix of histograms and floats for metric name \"a\" (1:1)",
            "2 more warning annotations omitted"
        ]
    );
    assert!(infos.is_empty());
}

#[test]
fn forced_monotonicity_merges_its_numbers() {
    let mut first = Annotations::default();
    let numbers = |first_ms, bucket_min, difference_max| Monotonicity {
        first_ms,
        last_ms: first_ms,
        bucket_min,
        bucket_max: 4.0,
        difference_max,
    };
    first.add_forced_monotonicity("", at(0), numbers(0, 2.0, 0.25));
    let mut second = Annotations::default();
    second.add_forced_monotonicity("", at(0), numbers(60_000, 1.0, 1.26));
    first.merge(second);
    let (_, infos) = first.texts("q", 0, 0);
    assert!(
        infos[0].ends_with(
            ", from buckets 1 to 4, with a max diff of 1.3, over 2 samples from 1970-01-01T00:00:00Z to \
             1970-01-01T00:01:00Z (1:1)"
        ),
        "{infos:?}"
    );
}
