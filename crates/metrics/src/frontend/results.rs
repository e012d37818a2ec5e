//! Results of range queries as pieces of time, for the cache and for queries that were split.

use norn_model::Labels;
use norn_promql::value::{MatrixSeries, QueryResult, QueryStats, Value};
use norn_query::cache::Piece;

/// The result of a range query: always a matrix.
#[derive(Debug, Clone)]
pub struct RangeResult(QueryResult);

impl RangeResult {
    /// Takes a result; `None` where it is no matrix, or not one that will be the same the next time.
    pub fn new(result: QueryResult) -> Option<Self> {
        matches!(result.value, Value::Matrix(_)).then_some(Self(result))
    }

    /// The result.
    pub fn into_inner(self) -> QueryResult {
        self.0
    }

    fn series(&self) -> &[MatrixSeries] {
        match &self.0.value {
            Value::Matrix(series) => series,
            _ => unreachable!("the constructor takes only matrices"),
        }
    }
}

impl Piece for RangeResult {
    fn cut(&self, start_ms: i64, end_ms: i64) -> Self {
        let inside = |time: i64| start_ms <= time && time <= end_ms;
        let series = self.series().iter().filter_map(|series| {
            let floats: Vec<_> = series.floats.iter().filter(|sample| inside(sample.timestamp_ms)).copied().collect();
            let histograms: Vec<_> =
                series.histograms.iter().filter(|point| inside(point.timestamp_ms)).cloned().collect();
            let any = !floats.is_empty() || !histograms.is_empty();
            any.then(|| MatrixSeries { labels: series.labels.clone(), floats, histograms })
        });
        Self(QueryResult { value: Value::Matrix(series.collect()), ..self.0.clone() })
    }

    fn join(parts: Vec<Self>) -> Self {
        Self(join(parts.into_iter().map(|part| part.0).collect()))
    }

    fn bytes(&self) -> u64 {
        let series = self.series().iter().map(|series| {
            series.labels.encoded().len() + 64 + 16 * series.floats.len() + 256 * series.histograms.len()
        });
        series.sum::<usize>() as u64
    }
}

/// The answer of a query that looks at nothing: a matrix without series, as the original has it for instant queries too.
pub fn empty() -> QueryResult {
    QueryResult {
        value: Value::Matrix(Vec::new()),
        warnings: Vec::new(),
        infos: Vec::new(),
        stats: QueryStats::default(),
    }
}

/// Puts the results of adjoining ranges together; they ascend in time. Series ascend by labels, as in each part.
pub fn join(mut results: Vec<QueryResult>) -> QueryResult {
    if results.len() == 1 {
        return results.remove(0);
    }
    let mut joined: std::collections::BTreeMap<Labels, MatrixSeries> = std::collections::BTreeMap::new();
    let (mut warnings, mut infos, mut stats) = (Vec::new(), Vec::new(), QueryStats::default());
    for result in results {
        add_new(&mut warnings, result.warnings);
        add_new(&mut infos, result.infos);
        stats.merge(result.stats);
        let Value::Matrix(matrix) = result.value else { continue };
        for series in matrix {
            match joined.entry(series.labels.clone()) {
                std::collections::btree_map::Entry::Vacant(entry) => drop(entry.insert(series)),
                std::collections::btree_map::Entry::Occupied(mut entry) => {
                    entry.get_mut().floats.extend(series.floats);
                    entry.get_mut().histograms.extend(series.histograms);
                }
            }
        }
    }
    QueryResult { value: Value::Matrix(joined.into_values().collect()), warnings, infos, stats }
}

fn add_new(texts: &mut Vec<String>, more: Vec<String>) {
    for text in more {
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use norn_model::Sample;

    use super::*;

    fn matrix(series: &[(&str, &[i64])]) -> QueryResult {
        let series = series.iter().map(|(name, times)| MatrixSeries {
            labels: Labels::from_pairs([("name", *name)]),
            floats: times.iter().map(|time| Sample { timestamp_ms: *time, value: 1.0 }).collect(),
            histograms: Vec::new(),
        });
        QueryResult { value: Value::Matrix(series.collect()), ..empty() }
    }

    #[test]
    fn what_is_cut_can_be_joined_again() {
        let whole = matrix(&[("a", &[1, 2, 3, 4]), ("b", &[4])]);
        let piece = RangeResult::new(whole.clone()).unwrap();
        let joined = RangeResult::join(vec![piece.cut(0, 2), piece.cut(3, 9)]);
        assert_eq!(joined.into_inner().value, whole.value);
        assert_eq!(piece.cut(5, 9).series(), []);
    }
}
