use norn_model::Labels;

use super::super::series::SeriesEntry;
use super::super::writer::IndexWriter;
use super::*;
use crate::block::file::NamedSource;

fn series() -> Vec<Labels> {
    let mut all = Vec::new();
    for pod in 0..50 {
        for code in ["200", "404", "500"] {
            let pod = format!("pod-{pod:02}");
            let mut pairs = vec![("__name__", "requests"), ("pod", pod.as_str()), ("code", code)];
            if pod.ends_with('7') {
                pairs.push(("canary", "true"));
            }
            all.push(Labels::from_pairs(pairs));
        }
    }
    all.push(Labels::from_pairs([("__name__", "up"), ("pod", "pod-01")]));
    all.push(Labels::from_pairs([("__name__", "up"), ("zone", "a|b")]));
    all.sort();
    all
}

fn write_index(directory: &std::path::Path, series: &[Labels]) -> IndexReader {
    let mut symbols: Vec<&str> = series.iter().flat_map(Labels::iter).flat_map(|(name, value)| [name, value]).collect();
    symbols.sort_unstable();
    symbols.dedup();
    let path = directory.join("index");
    let mut writer = IndexWriter::create(&path, symbols).unwrap();
    for labels in series {
        writer.add_series(labels.as_ref(), &[]).unwrap();
    }
    writer.finish().unwrap();
    IndexReader::open(NamedSource::map(&path).unwrap()).unwrap()
}

#[test]
fn searches_find_what_the_matchers_say() {
    let directory = tempfile::tempdir().unwrap();
    let series = series();
    let index = write_index(directory.path(), &series);
    let check = |matchers: &[(MatchOp, &str, &str)]| {
        let matchers: Vec<Matcher> =
            matchers.iter().map(|(op, name, value)| Matcher::new(*op, name, value).unwrap()).collect();
        let (found, put_off) = MatchingSeries::run(&index, &matchers).unwrap().into_found();
        let mut entry = SeriesEntry::default();
        let mut labels = Vec::new();
        for id in found {
            index.series(id, &mut entry).unwrap();
            labels.push(index.labels(&entry).unwrap());
        }
        labels.retain(|labels| fulfils(&put_off, labels.as_ref()));
        let mut expected = series.clone();
        expected.retain(|labels| matchers.iter().all(|matcher| matcher.matches_labels(labels.as_ref())));
        assert_eq!(labels, expected, "{matchers:?}");
        (labels.len(), put_off.len())
    };
    use MatchOp::{Equal, NotEqual, NotRegex, Regex};
    assert_eq!(check(&[]), (152, 0));
    assert_eq!(check(&[(Equal, "code", "404")]), (50, 0));
    assert_eq!(check(&[(Equal, "code", "")]), (2, 0));
    assert_eq!(check(&[(NotEqual, "code", "")]), (150, 0));
    assert_eq!(check(&[(NotEqual, "code", "200"), (Equal, "__name__", "requests")]), (100, 0));
    assert_eq!(check(&[(Regex, "code", "200|500|300")]), (100, 0));
    assert_eq!(check(&[(NotRegex, "code", "200|500")]), (52, 0));
    assert_eq!(check(&[(Regex, "code", "200|")]), (52, 0));
    assert_eq!(check(&[(NotRegex, "code", "200|")]), (100, 0));
    assert_eq!(check(&[(Regex, "pod", "pod-1.")]), (30, 0));
    assert_eq!(check(&[(Regex, "pod", "pod-4.+")]), (30, 0));
    assert_eq!(check(&[(Regex, "pod", "zzz.+")]), (0, 0));
    assert_eq!(check(&[(NotRegex, "pod", "pod-4.+")]), (122, 0));
    assert_eq!(check(&[(Regex, "pod", ".*")]), (152, 0));
    assert_eq!(check(&[(Regex, "pod", ".+")]), (151, 0));
    assert_eq!(check(&[(NotRegex, "pod", "pod-[0-3].")]), (31, 0));
    assert_eq!(check(&[(NotRegex, "pod", ".*")]), (0, 0));
    assert_eq!(check(&[(Regex, "pod", "(pod-1.)?")]), (31, 0));
    assert_eq!(check(&[(Equal, "nothing", "here"), (Regex, "pod", ".+")]), (0, 0));
    assert_eq!(check(&[(NotEqual, "nothing", "here"), (Equal, "canary", "true")]), (15, 0));
    // To try fifty values is cheaper than to read fifteen series, and dearer than to read one.
    assert_eq!(check(&[(Equal, "canary", "true"), (Regex, "pod", "pod-[12].")]), (6, 0));
    assert_eq!(check(&[(Equal, "zone", "a|b")]), (1, 0));
    assert_eq!(check(&[(Equal, "zone", "a|b"), (Regex, "pod", "pod-[12].")]), (0, 1));
}

#[test]
fn names_and_values_are_listed() {
    let directory = tempfile::tempdir().unwrap();
    let index = write_index(directory.path(), &series());
    let names: Vec<_> = index.label_names().collect();
    assert_eq!(names, [("__name__", 2), ("canary", 1), ("code", 3), ("pod", 50), ("zone", 1)]);
    for start in [0, 1, 15, 16, 17, 49, 50, 60] {
        let values: Vec<_> = index.label_values("pod", start).map(str::to_owned).collect();
        let expected: Vec<_> = (start..50).map(|pod| format!("pod-{pod:02}")).collect();
        assert_eq!(values, expected, "{start}");
    }
    assert_eq!(index.label_values("none", 0).count(), 0);
    assert_eq!(index.postings("code", "404").unwrap().len(), 50);
    assert_eq!(index.list_len(index.list_of("code", "404").unwrap()).unwrap(), 50);
    assert_eq!(index.postings("pod", "pod-5").unwrap().len(), 0);
    assert_eq!(index.postings("pod", "").unwrap().len(), 0);
}
