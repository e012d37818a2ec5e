use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use norn_base::random::SeededRandom;
use norn_model::histogram::{ResetHint, Span};
use norn_model::matcher::{MatchOp, Matcher};
use norn_model::sample::stale_nan;
use norn_model::select::{Projection, SeriesBatch, SeriesOrder, SeriesRequest, Shard, TimeRange};
use norn_model::write::{BatchId, Exemplar, HistogramSample, MetricMetadata, MetricType, WriteBatch, WriteHistogram};
use norn_model::{Histogram, Labels, Sample};
use proptest::prelude::*;

use super::*;

pub(crate) const HOUR_MS: i64 = 3_600_000;
const RANGE_MS: i64 = 2 * HOUR_MS;

fn head() -> Arc<Head> {
    Arc::new(Head::new(RANGE_MS, &*SeededRandom::shared(1)))
}

pub(crate) fn series(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name), ("job", "test")])
}

/// A batch of float samples, a series for each.
pub(crate) fn floats(samples: &[(&str, i64, f64)]) -> WriteBatch {
    let mut batch = WriteBatch::default();
    batch.id = BatchId { distributor: 1, incarnation: 1, sequence: 1 };
    for (name, timestamp_ms, value) in samples {
        let sample = Sample { timestamp_ms: *timestamp_ms, value: *value };
        batch.push_series(series(name).as_ref(), 0).sample(sample);
    }
    batch
}

pub(crate) fn histogram(count: u64) -> WriteHistogram {
    WriteHistogram::Integer(Histogram {
        reset_hint: ResetHint::Unknown,
        schema: 1,
        zero_threshold: 0.001,
        zero_count: 0,
        count,
        sum: count as f64,
        positive_spans: vec![Span { offset: 0, length: 1 }],
        negative_spans: vec![],
        positive_deltas: vec![count as i64],
        negative_deltas: vec![],
        custom_values: Arc::default(),
    })
}

fn append(head: &Head, batch: &WriteBatch, limits: &HeadLimits) -> AppendOutcome {
    head.stage(batch, limits, 0).publish(1)
}

/// What a series answers: floats, and histograms by their counts.
pub(crate) type Answer = (Vec<(i64, f64)>, Vec<(i64, f64)>);

pub(crate) fn read_source(mut source: Box<dyn norn_model::select::SeriesSource>) -> Vec<(Labels, Answer)> {
    let mut context = Context::from_waker(Waker::noop());
    let mut batch = SeriesBatch::default();
    let mut answer = Vec::new();
    loop {
        match source.poll_batch(&mut context, &mut batch) {
            Poll::Pending => {}
            Poll::Ready(more) => {
                if !more.unwrap() {
                    return answer;
                }
                for view in batch.iter() {
                    let floats = view.timestamps_ms.iter().copied().zip(view.values.iter().copied()).collect();
                    let counts = view.histograms.iter().map(|point| (point.timestamp_ms, point.histogram.count));
                    answer.push((view.labels.clone(), (floats, counts.collect())));
                }
            }
        }
    }
}

fn select(head: &Arc<Head>, request: SeriesRequest) -> Vec<(Labels, Answer)> {
    let lease = head.lease(request.range.start_ms);
    let mut answer = read_source(head.select(request, i64::MIN, lease));
    answer.sort_by(|left, right| left.0.cmp(&right.0));
    answer
}

fn all(head: &Arc<Head>) -> Vec<(Labels, Answer)> {
    select(head, SeriesRequest::new(vec![], TimeRange::ALL))
}

fn floats_of(head: &Arc<Head>, name: &str) -> Vec<(i64, f64)> {
    let matcher = Matcher::equal("__name__", name);
    let answer = select(head, SeriesRequest::new(vec![matcher], TimeRange::ALL));
    answer.into_iter().next().map(|row| row.1.0).unwrap_or_default()
}

/// Appends batch after batch; returns the refusals of each with their times.
fn refusals(limits: &HeadLimits, batches: &[WriteBatch]) -> Vec<Vec<(Reason, i64)>> {
    let head = head();
    let refused = |batch: &WriteBatch| {
        let outcome = append(&head, batch, limits);
        outcome.rejections.first().iter().map(|rejection| (rejection.reason, rejection.timestamp_ms)).collect()
    };
    batches.iter().map(refused).collect()
}

#[test]
fn samples_are_refused_as_prometheus_refuses_them() {
    let late = HeadLimits { late_window_ms: 2 * HOUR_MS, ..HeadLimits::NONE };
    let base = 100 * HOUR_MS;
    let duplicate = Reason::DuplicateTimestamp { existing: Some(1.0), new: Some(2.0) };
    let window = Reason::TooOldForWindow { window_ms: 2 * HOUR_MS };
    let check = |limits: &HeadLimits, second: &[(&str, i64, f64)], expected: &[(Reason, i64)]| {
        let first = floats(&[("a", base, 1.0), ("b", base - 1000, 1.0)]);
        let answers = refusals(limits, &[first, floats(second)]);
        assert_eq!(answers, [vec![], expected.to_vec()], "{second:?}");
    };
    check(&HeadLimits::NONE, &[("a", base, 1.0)], &[]);
    check(&HeadLimits::NONE, &[("a", base, 2.0)], &[(duplicate, base)]);
    check(&HeadLimits::NONE, &[("a", base - 1, 2.0)], &[(Reason::OutOfOrder, base - 1)]);
    check(&HeadLimits::NONE, &[("new", base - HOUR_MS, 2.0)], &[]);
    check(&HeadLimits::NONE, &[("new", base - HOUR_MS - 1, 2.0)], &[(Reason::TooOld, base - HOUR_MS - 1)]);
    check(&HeadLimits::NONE, &[("a", base - HOUR_MS - 1, 2.0)], &[(Reason::TooOld, base - HOUR_MS - 1)]);
    check(&late, &[("a", base, 2.0)], &[(duplicate, base)]);
    check(&late, &[("a", base - 1, 2.0), ("new", base - 2 * HOUR_MS, 1.0)], &[]);
    check(&late, &[("a", base - 2 * HOUR_MS - 1, 2.0)], &[(window, base - 2 * HOUR_MS - 1)]);
    check(&late, &[("new", base - 2 * HOUR_MS - 1, 2.0)], &[(window, base - 2 * HOUR_MS - 1)]);
}

#[test]
fn a_bad_sample_sinks_nothing_else() {
    let head = head();
    append(&head, &floats(&[("a", 1000, 1.0)]), &HeadLimits::NONE);
    let outcome = append(&head, &floats(&[("b", 1500, 1.0), ("a", 500, 1.0), ("a", 2000, 3.0)]), &HeadLimits::NONE);
    assert_eq!((outcome.floats, outcome.rejections.total()), (2, 1));
    assert_eq!(outcome.rejections.first()[0].labels, series("a"));
    assert_eq!(outcome.rejections.first()[0].index, 1);
    assert_eq!(floats_of(&head, "a"), [(1000, 1.0), (2000, 3.0)]);
    assert_eq!(floats_of(&head, "b"), [(1500, 1.0)]);
}

#[test]
fn within_a_batch_floats_go_first_and_what_they_overtake_is_dropped() {
    let head = head();
    let mut batch = WriteBatch::default();
    let mut writer = batch.push_series(series("a").as_ref(), 0);
    for (timestamp_ms, value) in [(10, 1.0), (30, 3.0), (20, 2.0), (30, 4.0)] {
        writer.sample(Sample { timestamp_ms, value });
    }
    writer.histogram(HistogramSample { timestamp_ms: 25, histogram: histogram(1) });
    writer.histogram(HistogramSample { timestamp_ms: 40, histogram: histogram(2) });
    let mut again = batch.push_series(series("a").as_ref(), 0);
    again.sample(Sample { timestamp_ms: 35, value: 5.0 });
    let outcome = append(&head, &batch, &HeadLimits::NONE);
    assert_eq!((outcome.floats, outcome.histograms, outcome.overtaken, outcome.rejections.total()), (3, 1, 3, 0));
    assert_eq!(all(&head), [(series("a"), (vec![(10, 1.0), (30, 3.0), (35, 5.0)], vec![(40, 2.0)]))]);
}

#[test]
fn late_samples_are_merged_when_read_and_the_first_of_a_time_counts() {
    let limits = HeadLimits { late_window_ms: HOUR_MS, ..HeadLimits::NONE };
    let head = head();
    let base = 10 * HOUR_MS;
    let mut expected = BTreeMap::new();
    for index in 0..100 {
        append(&head, &floats(&[("a", base + index * 10_000, index as f64)]), &limits);
        expected.insert(base + index * 10_000, index as f64);
    }
    let mut accepted = 0;
    for index in (0..100).rev() {
        // Every other of these times is there already.
        let timestamp_ms = base + index * 5_000;
        accepted += append(&head, &floats(&[("a", timestamp_ms, -1.0)]), &limits).late;
        expected.entry(timestamp_ms).or_insert(-1.0);
    }
    append(&head, &floats(&[("a", base + 5_000, -2.0)]), &limits);
    assert_eq!(accepted, 100, "a late sample is not compared with what is there");
    assert_eq!(floats_of(&head, "a"), expected.into_iter().collect::<Vec<_>>());
}

#[test]
fn limits_count_only_new_series_in_the_order_of_the_batch() {
    let check = |limits: HeadLimits, expected: Reason| {
        let head = head();
        append(&head, &floats(&[("a", 1000, 1.0)]), &limits);
        let outcome = append(&head, &floats(&[("a", 2000, 1.0), ("b", 2000, 1.0), ("c", 2000, 1.0)]), &limits);
        assert_eq!((outcome.floats, outcome.new_series), (2, 1));
        assert_eq!(outcome.rejections.first()[0].reason, expected);
        assert_eq!(outcome.rejections.first()[0].labels, series("c"));
        let names: Vec<_> = all(&head).into_iter().map(|row| row.0).collect();
        assert_eq!(names, [series("a"), series("b")]);
    };
    check(HeadLimits { series: 2, ..HeadLimits::NONE }, Reason::SeriesLimit { limit: 2 });
    let head = head();
    let limits = HeadLimits { series_per_metric: 1, ..HeadLimits::NONE };
    let mut batch = WriteBatch::default();
    for job in ["x", "y"] {
        let labels = Labels::from_pairs([("__name__", "a"), ("job", job)]);
        batch.push_series(labels.as_ref(), 0).sample(Sample { timestamp_ms: 1, value: 1.0 });
    }
    let outcome = append(&head, &batch, &limits);
    assert_eq!((outcome.new_series, outcome.rejections.count(&Reason::MetricSeriesLimit { limit: 0 })), (1, 1));
    let exempt = std::iter::once("a".to_owned()).collect();
    let head = Head::new(RANGE_MS, &*SeededRandom::shared(1)).with_unlimited_metrics(Arc::new(exempt));
    assert_eq!(append(&head, &batch, &limits).new_series, 2, "the metric is exempt");
}

#[test]
fn a_batch_that_is_not_published_leaves_nothing() {
    let head = head();
    append(&head, &floats(&[("a", 1000, 1.0)]), &HeadLimits::NONE);
    let batch = floats(&[("a", 2000, 2.0), ("b", 2000, 2.0)]);
    let staged = head.stage(&batch, &HeadLimits::NONE, 0);
    assert_eq!(all(&head).len(), 1, "staged series are not seen");
    drop(staged);
    assert_eq!(head.series_count(), 1);
    assert_eq!(all(&head), [(series("a"), (vec![(1000, 1.0)], vec![]))]);
    assert_eq!(append(&head, &batch, &HeadLimits::NONE).floats, 2);
}

#[test]
fn batches_may_be_published_in_another_order_than_staged() {
    let head = head();
    append(&head, &floats(&[("a", 1000, 1.0)]), &HeadLimits::NONE);
    let (first, second) = (floats(&[("a", 2000, 2.0), ("new", 1, 1.0)]), floats(&[("a", 3000, 3.0), ("new", 2, 2.0)]));
    let staged_first = head.stage(&first, &HeadLimits::NONE, 0);
    let staged_second = head.stage(&second, &HeadLimits::NONE, 0);
    staged_second.publish(1);
    assert_eq!(floats_of(&head, "new"), [(2, 2.0)]);
    staged_first.publish(1);
    assert_eq!(floats_of(&head, "a"), [(1000, 1.0), (2000, 2.0), (3000, 3.0)], "what was accepted is there");
    assert_eq!(floats_of(&head, "new"), [(1, 1.0), (2, 2.0)]);
}

#[test]
fn a_failed_batch_does_not_take_a_series_from_another_one() {
    let head = head();
    let (first, second) = (floats(&[("new", 1, 1.0)]), floats(&[("new", 2, 2.0)]));
    let staged_first = head.stage(&first, &HeadLimits::NONE, 0);
    let staged_second = head.stage(&second, &HeadLimits::NONE, 0);
    drop(staged_first);
    staged_second.publish(1);
    assert_eq!(floats_of(&head, "new"), [(2, 2.0)]);
    drop(head.stage(&floats(&[("newer", 3, 1.0)]), &HeadLimits::NONE, 0));
    assert_eq!(head.series_count(), 1);
}

#[test]
fn a_known_start_becomes_a_sample_of_zero() {
    let limits = HeadLimits { created_as_zero: true, ..HeadLimits::NONE };
    let head = head();
    for timestamp_ms in [1000, 2000] {
        let mut batch = WriteBatch::default();
        batch.push_series(series("a").as_ref(), 500).sample(Sample { timestamp_ms, value: 7.0 });
        let mut writer = batch.push_series(series("h").as_ref(), 400);
        writer.histogram(HistogramSample { timestamp_ms, histogram: histogram(3) });
        let outcome = append(&head, &batch, &limits);
        assert_eq!(outcome.created_zeros, if timestamp_ms == 1000 { 2 } else { 0 });
    }
    let expected = [
        (series("a"), (vec![(500, 0.0), (1000, 7.0), (2000, 7.0)], vec![])),
        (series("h"), (vec![], vec![(400, 0.0), (1000, 3.0), (2000, 3.0)])),
    ];
    assert_eq!(all(&head), expected);
}

#[test]
fn floats_and_histograms_may_alternate_and_invalid_histograms_are_refused() {
    let head = head();
    for index in 0..40i64 {
        let mut batch = WriteBatch::default();
        let mut writer = batch.push_series(series("a").as_ref(), 0);
        if index % 3 == 0 {
            writer.sample(Sample { timestamp_ms: index, value: 1.0 });
        } else {
            writer.histogram(HistogramSample { timestamp_ms: index, histogram: histogram(index as u64) });
        }
        assert_eq!(append(&head, &batch, &HeadLimits::NONE).rejections.total(), 0);
    }
    let (floats, histograms) = all(&head).remove(0).1;
    assert_eq!((floats.len(), histograms.len()), (14, 26));
    let mut batch = WriteBatch::default();
    let WriteHistogram::Integer(mut broken) = histogram(5) else { panic!() };
    broken.count = 6;
    let mut writer = batch.push_series(series("a").as_ref(), 0);
    writer.histogram(HistogramSample { timestamp_ms: 100, histogram: WriteHistogram::Integer(broken) });
    let outcome = append(&head, &batch, &HeadLimits::NONE);
    assert!(matches!(outcome.rejections.first()[0].reason, Reason::InvalidHistogram(_)));
}

#[test]
fn exemplars_are_kept_up_to_the_limit_and_found_by_matchers() {
    let limits = HeadLimits { exemplars: 3, ..HeadLimits::NONE };
    let head = head();
    let exemplar = |timestamp_ms| Exemplar {
        timestamp_ms,
        value: 1.0,
        labels: Labels::from_pairs([("trace_id", timestamp_ms.to_string())]),
    };
    let append_exemplars = |name: &str, times: &[i64]| {
        let mut batch = floats(&[(name, times[0], 1.0)]);
        let mut writer = batch.push_series(series(name).as_ref(), 0);
        times.iter().for_each(|timestamp_ms| writer.exemplar(exemplar(*timestamp_ms)));
        append(&head, &batch, &limits)
    };
    assert_eq!(append_exemplars("a", &[1, 2]).exemplars, 2);
    assert_eq!(append_exemplars("b", &[3, 4]).exemplars, 2);
    let outcome = append_exemplars("b", &[4, 1]);
    assert_eq!(outcome.exemplars, 0, "one is there already");
    assert_eq!(outcome.rejections.count(&Reason::ExemplarOutOfOrder), 1);
    let times = |matcher: Matcher, range| {
        let selected = head.exemplars(&[vec![matcher]], range);
        selected.iter().flat_map(|series| series.exemplars.iter().map(|one| one.timestamp_ms)).collect::<Vec<_>>()
    };
    assert_eq!(times(Matcher::equal("job", "test"), TimeRange::ALL), [2, 3, 4], "the oldest was dropped");
    assert_eq!(times(Matcher::equal("__name__", "b"), TimeRange { start_ms: 4, end_ms: 9 }), [4]);
    let mut batch = WriteBatch::default();
    batch.push_series(series("unknown").as_ref(), 0).exemplar(exemplar(9));
    assert_eq!(append(&head, &batch, &limits).rejections.count(&Reason::ExemplarSeriesMissing), 1);
}

#[test]
fn metadata_has_limits_and_is_forgotten() {
    let head = head();
    let metadata = |family: &str, help: &str| MetricMetadata {
        family: family.into(),
        metric_type: MetricType::Counter,
        help: help.into(),
        unit: String::new(),
    };
    let limits = HeadLimits { metadata: 2, metadata_per_metric: 1, ..HeadLimits::NONE };
    let mut batch = WriteBatch::default();
    batch.metadata = vec![metadata("a", "1"), metadata("b", "1")];
    head.stage(&batch, &limits, 100).publish(1);
    batch.metadata = vec![metadata("a", "1"), metadata("a", "2"), metadata("c", "1")];
    let outcome = head.stage(&batch, &limits, 200).finish();
    assert_eq!(outcome.metadata, 1);
    assert_eq!(outcome.rejections.count(&Reason::MetricMetadataLimit { limit: 1 }), 1);
    assert_eq!(outcome.rejections.count(&Reason::MetadataLimit { limit: 2 }), 1);
    assert_eq!(head.metadata(None), [metadata("a", "1"), metadata("b", "1")]);
    head.forget_metadata(150);
    assert_eq!(head.metadata(None), [metadata("a", "1")]);
}

#[test]
fn matchers_projection_shards_and_order_are_honoured() {
    let head = head();
    let names: Vec<String> = (0..50).map(|index| format!("m{index}")).collect();
    let samples: Vec<_> = names.iter().map(|name| (name.as_str(), 1000, 1.0)).collect();
    append(&head, &floats(&samples), &HeadLimits::NONE);
    let count = |matchers: Vec<Matcher>| select(&head, SeriesRequest::new(matchers, TimeRange::ALL)).len();
    let matcher = |op, name: &str, value: &str| Matcher::new(op, name, value).unwrap();
    assert_eq!(count(vec![Matcher::equal("__name__", "m7")]), 1);
    assert_eq!(count(vec![matcher(MatchOp::NotEqual, "__name__", "m7")]), 49);
    assert_eq!(count(vec![matcher(MatchOp::Regex, "__name__", "m1.")]), 10);
    assert_eq!(count(vec![matcher(MatchOp::NotRegex, "__name__", "m1.?"), Matcher::equal("job", "test")]), 39);
    assert_eq!(count(vec![matcher(MatchOp::Regex, "__name__", "m1|m2|m2|x")]), 2);
    assert_eq!(count(vec![matcher(MatchOp::NotRegex, "__name__", "m1|m2|m2|x")]), 48);
    assert_eq!(count(vec![matcher(MatchOp::Regex, "__name__", "m1|"), Matcher::equal("job", "test")]), 1);
    assert_eq!(count(vec![matcher(MatchOp::Regex, "absent", "x|"), matcher(MatchOp::Regex, "job", ".+")]), 50);
    assert_eq!(count(vec![matcher(MatchOp::Regex, "__name__", "m1|m2"), matcher(MatchOp::Regex, "job", "t.*")]), 2);
    assert_eq!(count(vec![matcher(MatchOp::Regex, "__name__", "m1|m2"), matcher(MatchOp::NotRegex, "job", "t.*")]), 0);
    assert_eq!(count(vec![matcher(MatchOp::NotRegex, "__name__", "m1|")]), 49);
    assert_eq!(count(vec![Matcher::equal("absent", "")]), 50);
    assert_eq!(count(vec![matcher(MatchOp::NotEqual, "absent", "")]), 0);
    let mut shards = 0;
    for index in 0..4 {
        let mut request = SeriesRequest::new(vec![], TimeRange::ALL);
        request.shard = Some(Shard { index, count: 4 });
        request.order = SeriesOrder::ByHash;
        request.projection = Projection::Only(["job".into()].into());
        let lease = head.lease(0);
        let answer = read_source(head.select(request, i64::MIN, lease));
        assert!(answer.iter().all(|row| row.0 == Labels::from_pairs([("job", "test")])));
        shards += answer.len();
    }
    assert_eq!(shards, 50);
    let mut request = SeriesRequest::new(vec![], TimeRange { start_ms: 0, end_ms: 999 });
    assert_eq!(select(&head, request.clone()).len(), 0, "no samples in the range");
    request.labels_only = true;
    assert_eq!(select(&head, request.clone()).len(), 0);
    request.range.end_ms = 1000;
    assert_eq!(select(&head, request).len(), 50);
    assert_eq!(head.label_names(&[]), ["__name__", "job"]);
    assert_eq!(head.label_values("job", &[]), ["test"]);
    assert_eq!(head.label_values("__name__", &[matcher(MatchOp::Regex, "__name__", "m[12]")]), ["m1", "m2"]);
    assert_eq!(head.label_cardinality(&[], None)["__name__"], 50);
    assert_eq!(head.value_cardinality("job", &[], None)[0].series, 50);
    assert_eq!(head.count_series(&[matcher(MatchOp::Regex, "__name__", "m1.")], None), 10);
}

#[test]
fn active_series_are_those_with_recent_samples() {
    let head = head();
    head.stage(&floats(&[("a", 1, 1.0)]), &HeadLimits::NONE, 100).publish(1);
    head.stage(&floats(&[("b", 1, 1.0)]), &HeadLimits::NONE, 200).publish(1);
    assert_eq!(head.active_series(&[], 150), [series("b")]);
    assert_eq!(head.count_series(&[], Some(100)), 2);
}

#[test]
fn truncation_drops_what_blocks_have_and_empty_series_with_it() {
    let head = head();
    let batch = floats(&[("old", HOUR_MS, 1.0), ("both", HOUR_MS, 1.0)]);
    append(&head, &batch, &HeadLimits::NONE);
    append(&head, &floats(&[("both", 3 * HOUR_MS, 2.0)]), &HeadLimits::NONE);
    let request = SeriesRequest::new(vec![], TimeRange::ALL);
    let mut open = head.select(request, i64::MIN, head.lease(i64::MIN));
    let mut context = Context::from_waker(Waker::noop());
    assert!(head.is_read(head.next_ticket(), RANGE_MS));
    let removed = head.truncate(RANGE_MS);
    assert_eq!((removed.chunks, removed.series), (2, 1));
    // The place of the removed series is given to a new one, which an older reader must not see.
    append(&head, &floats(&[("new", 3 * HOUR_MS, 3.0)]), &HeadLimits::NONE);
    let mut batch = SeriesBatch::default();
    while open.poll_batch(&mut context, &mut batch).is_pending() {}
    assert!(batch.iter().all(|view| view.labels != &series("new")));
    drop(open);
    assert!(!head.is_read(head.next_ticket(), RANGE_MS));
    let names: Vec<_> = all(&head).into_iter().map(|row| row.0).collect();
    assert_eq!(names, [series("both"), series("new")]);
    let refused = append(&head, &floats(&[("both", RANGE_MS - 1, 2.0)]), &HeadLimits::NONE);
    assert_eq!(refused.rejections.count(&Reason::TooOld), 1);
}

#[test]
fn chunks_hold_about_120_samples_and_end_with_blocks() {
    let head = head();
    for index in 0..960 {
        append(&head, &floats(&[("a", index * 15_000, index as f64)]), &HeadLimits::NONE);
    }
    let shard = head.shards.iter().find(|shard| shard.lock().iter(0).count() > 0).unwrap();
    let shard = shard.lock();
    let (_, series) = shard.iter(0).next().unwrap();
    let mut chunks = Vec::new();
    series.collect_chunks(i64::MIN, i64::MAX, &mut chunks);
    let counts: Vec<_> = chunks.iter().map(|chunk| crate::chunk::sample_count(&chunk.data).unwrap()).collect();
    assert_eq!(counts, [120; 8]);
    assert!(chunks.iter().all(|chunk| chunk.min_ms / RANGE_MS == chunk.max_ms / RANGE_MS));
}

#[test]
fn stale_markers_are_samples() {
    let head = head();
    append(&head, &floats(&[("a", 1, 1.0), ("a", 2, stale_nan())]), &HeadLimits::NONE);
    let answer = floats_of(&head, "a");
    assert!(norn_model::sample::is_stale(answer[1].1));
}

/// Writes batches to a head and what it staged to another one by way of records.
fn replay(payloads: &[Vec<u8>]) -> Arc<Head> {
    let head = head();
    let mut replay = HeadReplay::new(head.clone(), 10, 0);
    for payload in payloads {
        replay.apply(record::RECORD_BATCH, payload, false).unwrap();
    }
    replay.finish();
    head
}

fn batch_strategy() -> impl Strategy<Value = Vec<(u8, i64, Option<f64>)>> {
    // Few series and few times, so that they often meet.
    prop::collection::vec((0u8..5, 0i64..60, prop::option::weighted(0.8, -3.0..3.0f64)), 1..12)
}

fn to_batch(rows: &[(u8, i64, Option<f64>)]) -> WriteBatch {
    let mut batch = WriteBatch::default();
    for (name, minute, value) in rows {
        let timestamp_ms = minute * 60_000;
        let mut writer = batch.push_series(series(&format!("s{name}")).as_ref(), 0);
        match value {
            Some(value) => writer.sample(Sample { timestamp_ms, value: value.round() }),
            None => writer.histogram(HistogramSample { timestamp_ms, histogram: histogram(*minute as u64) }),
        }
    }
    batch
}

/// What Prometheus' rules say about batches, told as simply as possible.
#[derive(Default)]
struct Naive {
    series: BTreeMap<u8, BTreeMap<i64, Option<f64>>>,
    last_ms: BTreeMap<u8, i64>,
    max_ms: Option<i64>,
}

impl Naive {
    fn append(&mut self, rows: &[(u8, i64, Option<f64>)], late_window_ms: i64) {
        let first = rows.iter().find(|row| row.2.is_some()).or(rows.first());
        let newest_ms = self.max_ms.or(first.map(|row| row.1 * 60_000)).unwrap();
        let committed = self.last_ms.clone();
        for histograms in [false, true] {
            for (name, minute, value) in rows.iter().filter(|row| row.2.is_none() == histograms) {
                let timestamp_ms = minute * 60_000;
                let valid = timestamp_ms >= newest_ms - HOUR_MS;
                let in_window = late_window_ms > 0 && timestamp_ms >= newest_ms - late_window_ms;
                let before = committed.get(name).copied().unwrap_or(i64::MIN);
                let now = self.last_ms.get(name).copied().unwrap_or(i64::MIN);
                let in_order = valid && timestamp_ms > before;
                let stored = self.series.entry(*name).or_default();
                if in_order && timestamp_ms > now {
                    stored.insert(timestamp_ms, value.map(f64::round));
                    self.last_ms.insert(*name, timestamp_ms);
                    self.max_ms = self.max_ms.max(Some(timestamp_ms));
                } else if in_window && !(valid && timestamp_ms == before) && timestamp_ms != now {
                    stored.entry(timestamp_ms).or_insert(value.map(f64::round));
                }
            }
        }
        self.series.retain(|_, samples| !samples.is_empty());
    }

    fn answer(&self) -> Vec<(Labels, Answer)> {
        let mut answer = Vec::new();
        for (name, samples) in &self.series {
            let floats = samples.iter().filter_map(|(time, value)| value.map(|value| (*time, value))).collect();
            let counts = samples.iter().filter(|(_, value)| value.is_none());
            let histograms = counts.map(|(time, _)| (*time, (*time / 60_000) as f64)).collect();
            answer.push((series(&format!("s{name}")), (floats, histograms)));
        }
        answer
    }
}

proptest! {
    #[test]
    fn a_head_answers_as_a_naive_one_and_so_does_its_replay(
        batches in prop::collection::vec(batch_strategy(), 1..20),
        late_hours in 0i64..2,
    ) {
        let limits = HeadLimits { late_window_ms: late_hours * HOUR_MS / 2, ..HeadLimits::NONE };
        let head = head();
        let mut naive = Naive::default();
        let mut payloads = Vec::new();
        for rows in &batches {
            let batch = to_batch(rows);
            let staged = head.stage(&batch, &limits, 0);
            if staged.is_empty() {
                staged.finish();
            } else {
                let mut payload = Vec::new();
                staged.encode(1, &mut payload);
                payloads.push(payload);
                staged.publish(1);
            }
            naive.append(rows, limits.late_window_ms);
        }
        let expected = naive.answer();
        prop_assert_eq!(all(&head), expected.clone());
        prop_assert_eq!(all(&replay(&payloads)), expected);
    }

    #[test]
    fn no_bytes_make_the_record_decoder_panic(
        rows in batch_strategy(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let source = head();
        let batch = to_batch(&rows);
        let mut payload = Vec::new();
        source.stage(&batch, &HeadLimits::NONE, 0).encode(1, &mut payload);
        for (index, value) in edits {
            let index = index.index(payload.len());
            payload[index] = value;
        }
        payload.truncate(cut.index(payload.len() + 1));
        for kind in 0..5 {
            let head = head();
            let mut replay = HeadReplay::new(head.clone(), 10, 0);
            let _: Result<_, _> = replay.apply(kind, &payload, false);
            replay.finish();
            all(&head);
        }
    }
}

#[test]
fn readers_see_whole_batches_of_a_series_while_writers_append() {
    let head = head();
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2)
            .map(|writer| {
                let head = &head;
                scope.spawn(move || {
                    for round in 0..200i64 {
                        let mut batch = WriteBatch::default();
                        for name in 0..20 {
                            let labels = series(&format!("w{writer}s{name}"));
                            let mut series = batch.push_series(labels.as_ref(), 0);
                            for step in 0..3 {
                                series.sample(Sample { timestamp_ms: (round * 3 + step) * 1000, value: step as f64 });
                            }
                        }
                        let outcome = append(head, &batch, &HeadLimits::NONE);
                        assert_eq!(outcome.rejections.total(), 0);
                    }
                })
            })
            .collect();
        while !writers.iter().all(|writer| writer.is_finished()) {
            for (labels, (floats, _)) in all(&head) {
                assert_eq!(floats.len() % 3, 0, "{labels:?}");
            }
        }
    });
    assert_eq!(all(&head).iter().map(|row| row.1.0.len()).sum::<usize>(), 2 * 20 * 600);
}
