//! What was not taken into the head, and why: one value per cause, from which the ingester words its answer.

use norn_model::Labels;
use norn_model::histogram::{Span, validate::HistogramError};
use norn_model::write::WriteHistogram;

/// Limits that apply to one append. They come with it because they may change at any time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Series of the tenant in memory; 0 is no limit.
    pub series: u64,
    /// Series of one metric in memory; 0 is no limit.
    pub series_per_metric: u64,
    /// Exemplars of the tenant in memory; 0 takes none.
    pub exemplars: usize,
    /// How much older than the head's newest sample a late sample may be, in milliseconds; 0 takes no late samples.
    pub late_window_ms: i64,
    /// Whether a known start of a counter becomes a sample of zero at that time.
    pub created_as_zero: bool,
    /// Metric families of the tenant with metadata; 0 is no limit.
    pub metadata: usize,
    /// Different metadata of one metric family; 0 is no limit.
    pub metadata_per_metric: usize,
}

impl HeadLimits {
    /// Takes everything that is not late, and no exemplars.
    pub const NONE: Self = Self {
        series: 0,
        series_per_metric: 0,
        exemplars: 0,
        late_window_ms: 0,
        created_as_zero: false,
        metadata: 0,
        metadata_per_metric: 0,
    };
}

/// Why something was refused. The rest of its batch was taken.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reason {
    /// A series without labels.
    NoLabels,
    /// The tenant has as many series as it may.
    SeriesLimit {
        /// The limit.
        limit: u64,
    },
    /// The metric has as many series as it may.
    MetricSeriesLimit {
        /// The limit.
        limit: u64,
    },
    /// Older than half a block before the head's newest sample, or than the newest block; late samples are not taken.
    TooOld,
    /// Older than the window for late samples.
    TooOldForWindow {
        /// The window in milliseconds.
        window_ms: i64,
    },
    /// A newer sample of the series is there; late samples are not taken.
    OutOfOrder,
    /// Another value of the same time is there.
    DuplicateTimestamp {
        /// The value that stays; `None` is a histogram.
        existing: Option<f64>,
        /// The value that was refused; `None` is a histogram.
        new: Option<f64>,
    },
    /// The histogram contradicts itself.
    InvalidHistogram(HistogramError),
    /// The spans of the histogram reach beyond what a bucket's index can be.
    HistogramSpansTooWide,
    /// An exemplar of a series that does not exist.
    ExemplarSeriesMissing,
    /// A newer exemplar of the series is there.
    ExemplarOutOfOrder,
    /// Metadata of one metric family more than the tenant may have.
    MetadataLimit {
        /// The limit.
        limit: usize,
    },
    /// Different metadata of one family than it may have.
    MetricMetadataLimit {
        /// The limit.
        limit: usize,
    },
}

impl Reason {
    /// How many reasons there are.
    pub const COUNT: usize = 13;

    /// The reason's place in [`Rejections`], below [`Reason::COUNT`]; its details do not matter.
    pub fn index(&self) -> usize {
        match self {
            Self::SeriesLimit { .. } => 0,
            Self::MetricSeriesLimit { .. } => 1,
            Self::TooOld => 2,
            Self::TooOldForWindow { .. } => 3,
            Self::OutOfOrder => 4,
            Self::DuplicateTimestamp { .. } => 5,
            Self::InvalidHistogram(_) => 6,
            Self::ExemplarSeriesMissing => 7,
            Self::ExemplarOutOfOrder => 8,
            Self::MetadataLimit { .. } => 9,
            Self::MetricMetadataLimit { .. } => 10,
            Self::NoLabels => 11,
            Self::HistogramSpansTooWide => 12,
        }
    }
}

/// One refusal.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejection {
    /// Why.
    pub reason: Reason,
    /// The series; of metadata only the name of the family, as metric name.
    pub labels: Labels,
    /// The sample's or exemplar's time in milliseconds since the Unix epoch; 0 for metadata.
    pub timestamp_ms: i64,
    /// The series' place in the batch; behind all series for metadata.
    pub index: usize,
}

/// What of a batch was refused: how many of each reason, and the first of each.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rejections {
    counts: [u64; Reason::COUNT],
    first: Vec<Rejection>,
}

impl Rejections {
    /// Counts samples, histograms, exemplars or metadata that were refused.
    pub(crate) fn add(&mut self, index: usize, timestamp_ms: i64, reason: Reason, labels: impl FnOnce() -> Labels) {
        let place = reason.index();
        self.counts[place] += 1;
        let known = self.first.iter_mut().find(|rejection| rejection.reason.index() == place);
        match known {
            Some(known) if known.index <= index => {}
            Some(known) => *known = Rejection { reason, labels: labels(), timestamp_ms, index },
            None => self.first.push(Rejection { reason, labels: labels(), timestamp_ms, index }),
        }
    }

    /// Puts the first refusals in the order of the batch.
    pub(crate) fn sort(&mut self) {
        self.first.sort_by_key(|rejection| rejection.index);
    }

    /// How often something was refused for this reason, whatever its details.
    pub fn count(&self, reason: &Reason) -> u64 {
        self.counts[reason.index()]
    }

    /// How often anything was refused.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The first refusal of each reason, in the order of the batch.
    pub fn first(&self) -> &[Rejection] {
        &self.first
    }
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AppendOutcome {
    /// Float samples that are in, with exact repetitions, which are not stored twice.
    pub floats: u64,
    /// Histograms that are in, with exact repetitions.
    pub histograms: u64,
    /// Of both, how many were late.
    pub late: u64,
    /// Samples that a newer one of the same batch overtook; they are dropped without an error, as the original does.
    pub overtaken: u64,
    /// Samples of zero that were made from the start of a counter.
    pub created_zeros: u64,
    /// Exemplars that are in.
    pub exemplars: u64,
    /// Metadata that is in.
    pub metadata: u64,
    /// Series that are new.
    pub new_series: u64,
    /// What is not in.
    pub rejections: Rejections,
}

/// Whether a histogram can be stored.
pub(crate) fn check_histogram(histogram: &WriteHistogram) -> Result<(), Reason> {
    let (checked, sides) = match histogram {
        WriteHistogram::Integer(histogram) => {
            (histogram.validate(), [&histogram.positive_spans, &histogram.negative_spans])
        }
        WriteHistogram::Float(histogram) => {
            (histogram.validate(), [&histogram.positive_spans, &histogram.negative_spans])
        }
    };
    checked.map_err(Reason::InvalidHistogram)?;
    if sides.into_iter().all(|spans| indices_fit(spans)) { Ok(()) } else { Err(Reason::HistogramSpansTooWide) }
}

fn indices_fit(spans: &[Span]) -> bool {
    let mut index = 0i64;
    spans.iter().all(|span| {
        index += i64::from(span.offset) + i64::from(span.length);
        i32::try_from(index).is_ok()
    })
}
