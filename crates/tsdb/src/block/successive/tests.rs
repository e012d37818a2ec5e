use norn_model::Matcher;
use norn_model::select::TimeRange;
use proptest::prelude::*;

use super::super::testing::{answer, open, read_lines, write_block_over};
use super::*;

fn ask(blocks: &[BlockReader], request: SeriesRequest) -> Vec<String> {
    read_lines(select(blocks, request)).unwrap()
}

#[test]
fn a_series_goes_on_from_block_to_block() {
    let directory = tempfile::tempdir().unwrap();
    write_block_over(directory.path(), 2, 100..200, &[("job=a", "100:3 150:4"), ("job=c", "120:9")]);
    write_block_over(directory.path(), 1, 0..100, &[("job=a", "10:1 20:2"), ("job=b", "30:7")]);
    let blocks = [open(directory.path(), 2), open(directory.path(), 1)];
    assert!(follow_each_other(&blocks));
    let all = SeriesRequest::new(Vec::new(), TimeRange::ALL);
    assert_eq!(ask(&blocks, all.clone()), ["job=a: 10:1 20:2 100:3 150:4", "job=b: 30:7", "job=c: 120:9"]);
    let some = SeriesRequest::new(vec![Matcher::equal("job", "a")], TimeRange { start_ms: 20, end_ms: 100 });
    assert_eq!(ask(&blocks, some), ["job=a: 20:2 100:3"]);
    // Chunks of both blocks reach over the range, and have no sample in it.
    let none = SeriesRequest::new(Vec::new(), TimeRange { start_ms: 31, end_ms: 99 });
    assert_eq!(ask(&blocks, none), Vec::<String>::new());
    let names = SeriesRequest { labels_only: true, ..all };
    assert_eq!(ask(&blocks, names), ["job=a: ", "job=b: ", "job=c: "]);
}

#[test]
fn blocks_that_share_a_time_do_not_follow_each_other() {
    let directory = tempfile::tempdir().unwrap();
    write_block_over(directory.path(), 1, 0..101, &[("job=a", "10:1")]);
    write_block_over(directory.path(), 2, 100..200, &[("job=a", "100:1")]);
    assert!(!follow_each_other(&[open(directory.path(), 2), open(directory.path(), 1)]));
}

proptest! {
    /// Whatever series blocks hold, the answer of both is that of a block with all of it.
    #[test]
    fn the_answer_is_that_of_one_block(
        first in prop::collection::btree_set((0..6u32, 0..3u32), 1..12),
        second in prop::collection::btree_set((0..6u32, 0..3u32), 1..12),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let series = |present: &std::collections::BTreeSet<(u32, u32)>, sample: &'static str| {
            present.iter().map(move |(a, b)| (format!("a={a} long={}", "x".repeat(*b as usize + 1)), sample)).collect::<Vec<_>>()
        };
        let (first, second) = (series(&first, "10:1"), series(&second, "110:2"));
        let mut both: std::collections::BTreeMap<String, String> = Default::default();
        for (labels, sample) in first.iter().chain(&second) {
            let samples = both.entry(labels.clone()).or_default();
            samples.push_str(if samples.is_empty() { "" } else { " | " });
            samples.push_str(sample);
        }
        let borrowed = |series: &'_ [(String, &'static str)]| -> Vec<(String, String)> {
            series.iter().map(|(labels, sample)| (labels.clone(), (*sample).to_owned())).collect()
        };
        let write = |number: u32, times: std::ops::Range<i64>, series: Vec<(String, String)>| {
            let series: Vec<_> = series.iter().map(|(labels, samples)| (labels.as_str(), samples.as_str())).collect();
            write_block_over(directory.path(), number, times, &series);
            open(directory.path(), number)
        };
        let parts = [write(1, 0..100, borrowed(&first)), write(2, 100..200, borrowed(&second))];
        let whole = write(3, 0..200, both.into_iter().collect());
        let all = SeriesRequest::new(Vec::new(), TimeRange::ALL);
        prop_assert_eq!(ask(&parts, all.clone()), answer(&whole, all).unwrap());
    }
}
