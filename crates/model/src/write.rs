//! What a distributor hands to an ingester: one request's series, decoded once, in a few flat arrays.

use crate::histogram::{FloatHistogram, Histogram};
use crate::labels::{LabelsRef, hash_encoded, push_pair};
use crate::sample::Sample;

/// Names one batch in all of time: a retry carries the same id, so replicas and blocks can tell it from a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct BatchId {
    /// The distributor.
    pub distributor: u64,
    /// Which life of that distributor.
    pub incarnation: u64,
    /// Counts up within one life.
    pub sequence: u64,
}

/// A native histogram as it arrived.
#[derive(Debug, Clone, PartialEq)]
pub enum WriteHistogram {
    /// Integer counts.
    Integer(Histogram),
    /// Float counts.
    Float(FloatHistogram),
}

/// A histogram at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct HistogramSample {
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The histogram.
    pub histogram: WriteHistogram,
}

/// One observation that points to a trace.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The observed value.
    pub value: f64,
    /// The exemplar's own labels, `trace_id` among them.
    pub labels: crate::Labels,
}

/// What kind of metric a family is. The numbers are those of remote write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are the field's own")]
pub enum MetricType {
    #[default]
    Unknown = 0,
    Counter = 1,
    Gauge = 2,
    Histogram = 3,
    GaugeHistogram = 4,
    Summary = 5,
    Info = 6,
    StateSet = 7,
}

/// What is known about a metric family.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MetricMetadata {
    /// The family's name.
    pub family: String,
    /// Its kind.
    pub metric_type: MetricType,
    /// Its help text.
    pub help: String,
    /// Its unit.
    pub unit: String,
}

/// The samples of one tenant that one request brings to one ingester.
///
/// Series lie one after the other; each owns a run of `samples`, `histograms` and `exemplars`. A label set may occur
/// more than once.
#[derive(Debug, Clone, Default)]
pub struct WriteBatch {
    /// The batch's name.
    pub id: BatchId,
    labels: Vec<u8>,
    series: Vec<SeriesEnds>,
    samples: Vec<Sample>,
    histograms: Vec<HistogramSample>,
    exemplars: Vec<Exemplar>,
    /// Metadata that came along.
    pub metadata: Vec<MetricMetadata>,
}

/// Where the parts of a series end; they start where those of the series before it end.
#[derive(Debug, Clone, Copy)]
struct SeriesEnds {
    labels: u32,
    samples: u32,
    histograms: u32,
    exemplars: u32,
    hash: u64,
    created_ms: i64,
}

/// One series of a batch.
#[derive(Debug, Clone, Copy)]
pub struct WriteSeries<'a> {
    /// The label set.
    pub labels: LabelsRef<'a>,
    /// [`LabelsRef::stable_hash`] of it.
    pub hash: u64,
    /// In the order in which they arrived.
    pub samples: &'a [Sample],
    /// In the order in which they arrived.
    pub histograms: &'a [HistogramSample],
    /// In the order in which they arrived.
    pub exemplars: &'a [Exemplar],
    /// When the counter started, in milliseconds since the Unix epoch; 0 is unknown.
    pub created_ms: i64,
}

impl WriteBatch {
    /// Empties the batch and keeps its memory.
    pub fn clear(&mut self) {
        self.labels.clear();
        self.series.clear();
        self.samples.clear();
        self.histograms.clear();
        self.exemplars.clear();
        self.metadata.clear();
    }

    /// Bytes that the batch takes in memory, roughly: without what histograms and exemplars point to.
    pub fn bytes(&self) -> usize {
        self.labels.len()
            + size_of_val(self.series.as_slice())
            + size_of_val(self.samples.as_slice())
            + size_of_val(self.histograms.as_slice())
            + size_of_val(self.exemplars.as_slice())
            + size_of_val(self.metadata.as_slice())
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    /// Whether there are neither series nor metadata.
    pub fn is_empty(&self) -> bool {
        self.series.is_empty() && self.metadata.is_empty()
    }

    /// Float samples of all series.
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// Histograms of all series.
    pub fn histograms(&self) -> &[HistogramSample] {
        &self.histograms
    }

    /// Exemplars of all series.
    pub fn exemplars(&self) -> &[Exemplar] {
        &self.exemplars
    }

    /// The series at `index`, which is below [`WriteBatch::len`].
    pub fn series(&self, index: usize) -> WriteSeries<'_> {
        let zero = SeriesEnds { labels: 0, samples: 0, histograms: 0, exemplars: 0, hash: 0, created_ms: 0 };
        let start = if index == 0 { zero } else { self.series[index - 1] };
        let end = self.series[index];
        let encoded = &self.labels[start.labels as usize..end.labels as usize];
        WriteSeries {
            labels: LabelsRef::from_canonical(encoded),
            hash: end.hash,
            samples: &self.samples[start.samples as usize..end.samples as usize],
            histograms: &self.histograms[start.histograms as usize..end.histograms as usize],
            exemplars: &self.exemplars[start.exemplars as usize..end.exemplars as usize],
            created_ms: end.created_ms,
        }
    }

    /// All series in order.
    pub fn iter(&self) -> impl Iterator<Item = WriteSeries<'_>> {
        (0..self.len()).map(|index| self.series(index))
    }

    /// Starts a series; samples pushed to the returned writer belong to it. `labels` is copied.
    pub fn push_series(&mut self, labels: LabelsRef<'_>, created_ms: i64) -> SeriesWriter<'_> {
        let start = self.labels.len();
        self.labels.extend_from_slice(labels.encoded());
        self.end_labels(start, created_ms)
    }

    /// Starts a series from its pairs, whose names strictly ascend and whose values are not empty: they are encoded
    /// where the batch keeps them, so that a decoder needs no label set in between.
    pub fn push_pairs(&mut self, pairs: &[(&str, &str)], created_ms: i64) -> SeriesWriter<'_> {
        debug_assert!(pairs.is_sorted_by(|left, right| left.0 < right.0));
        debug_assert!(pairs.iter().all(|pair| !pair.1.is_empty()));
        let start = self.labels.len();
        for (name, value) in pairs {
            push_pair(&mut self.labels, name, value);
        }
        self.end_labels(start, created_ms)
    }

    fn end_labels(&mut self, start: usize, created_ms: i64) -> SeriesWriter<'_> {
        self.series.push(SeriesEnds {
            labels: end_of(self.labels.len()),
            samples: end_of(self.samples.len()),
            histograms: end_of(self.histograms.len()),
            exemplars: end_of(self.exemplars.len()),
            hash: hash_encoded(&self.labels[start..]),
            created_ms,
        });
        SeriesWriter { batch: self }
    }

    /// Drops the exemplars for which `keep` does not hold. Cost: one pass over series and exemplars.
    pub fn retain_exemplars(&mut self, mut keep: impl FnMut(&Exemplar) -> bool) {
        let mut kept = Vec::with_capacity(self.exemplars.len());
        let mut rest = std::mem::take(&mut self.exemplars).into_iter();
        let mut start = 0;
        for series in &mut self.series {
            let count = (series.exemplars - start) as usize;
            start = series.exemplars;
            kept.extend(rest.by_ref().take(count).filter(|exemplar| keep(exemplar)));
            series.exemplars = end_of(kept.len());
        }
        self.exemplars = kept;
    }
}

/// A batch is decoded from one request, whose size is limited far below 4 GiB.
fn end_of(len: usize) -> u32 {
    u32::try_from(len).expect("a request is smaller than 4 GiB")
}

/// Adds to the last series of a batch.
#[derive(Debug)]
pub struct SeriesWriter<'a> {
    batch: &'a mut WriteBatch,
}

impl SeriesWriter<'_> {
    /// Adds a float sample.
    pub fn sample(&mut self, sample: Sample) {
        self.batch.samples.push(sample);
        let end = end_of(self.batch.samples.len());
        self.ends().samples = end;
    }

    /// Adds a histogram.
    pub fn histogram(&mut self, histogram: HistogramSample) {
        self.batch.histograms.push(histogram);
        let end = end_of(self.batch.histograms.len());
        self.ends().histograms = end;
    }

    /// Adds an exemplar.
    pub fn exemplar(&mut self, exemplar: Exemplar) {
        self.batch.exemplars.push(exemplar);
        let end = end_of(self.batch.exemplars.len());
        self.ends().exemplars = end;
    }

    fn ends(&mut self) -> &mut SeriesEnds {
        self.batch.series.last_mut().expect("a writer exists only after its series was pushed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Labels;

    #[test]
    fn each_series_owns_its_run() {
        let mut batch = WriteBatch::default();
        for (name, values) in [("a", vec![1.0, 2.0]), ("b", vec![]), ("c", vec![3.0])] {
            let labels = Labels::from_pairs([("__name__", name)]);
            let mut writer = batch.push_series(labels.as_ref(), 0);
            for value in values {
                writer.sample(Sample { timestamp_ms: 1, value });
            }
        }
        let seen: Vec<_> = batch.iter().map(|series| (series.labels.to_owned(), series.samples.len())).collect();
        let name = |name: &str| Labels::from_pairs([("__name__", name)]);
        assert_eq!(seen, [(name("a"), 2), (name("b"), 0), (name("c"), 1)]);
        assert_eq!(batch.series(2).samples[0].value, 3.0);
        assert_eq!(batch.series(0).hash, name("a").stable_hash());
    }

    #[test]
    fn pairs_are_encoded_as_label_sets_are() {
        let pairs = [("__name__", "up"), ("job", "api")];
        let mut batch = WriteBatch::default();
        batch.push_series(Labels::from_pairs([("first", "1")]).as_ref(), 0);
        batch.push_pairs(&pairs, 7);
        let labels = Labels::from_pairs(pairs);
        assert_eq!(batch.series(1).labels, labels.as_ref());
        assert_eq!((batch.series(1).hash, batch.series(1).created_ms), (labels.stable_hash(), 7));
    }

    #[test]
    fn dropped_exemplars_leave_the_others_where_they_were() {
        let mut batch = WriteBatch::default();
        for (name, times) in [("a", vec![1, 2]), ("b", vec![]), ("c", vec![3, 1])] {
            let mut writer = batch.push_pairs(&[("__name__", name)], 0);
            for timestamp_ms in times {
                writer.exemplar(Exemplar { timestamp_ms, value: 0.0, labels: Labels::empty() });
            }
        }
        batch.retain_exemplars(|exemplar| exemplar.timestamp_ms > 1);
        let times =
            |index| batch.series(index).exemplars.iter().map(|exemplar| exemplar.timestamp_ms).collect::<Vec<_>>();
        assert_eq!([times(0), times(1), times(2)], [vec![2], vec![], vec![3]]);
    }
}
