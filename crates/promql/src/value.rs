//! What a query answers with.

use std::sync::Arc;

use norn_model::select::HistogramPoint;
use norn_model::{FloatHistogram, Labels, Sample};

/// The answer of a query and what came up on the way.
#[derive(Debug, Clone, PartialEq)]
pub struct QueryResult {
    /// The answer.
    pub value: Value,
    /// Texts that say what may be wrong with the answer.
    pub warnings: Vec<String>,
    /// Texts that say what may be wrong with the query.
    pub infos: Vec<String>,
    /// What the answer cost.
    pub stats: QueryStats,
}

/// The value of a query.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number, at the evaluation time of an instant query.
    Scalar(Sample),
    /// A string, at the evaluation time of an instant query.
    String {
        /// Milliseconds since the Unix epoch.
        timestamp_ms: i64,
        /// The string.
        text: String,
    },
    /// One sample per series, in no promised order unless the query sorts.
    Vector(Vec<VectorSample>),
    /// Samples of series: those of every range query, ascending by labels, and of an instant query for a range vector.
    Matrix(Vec<MatrixSeries>),
}

/// One series of a [`Value::Vector`].
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSample {
    /// The label set.
    pub labels: Labels,
    /// The evaluation time, in milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// What the series has there.
    pub point: Point,
}

/// A number or a histogram.
#[derive(Debug, Clone, PartialEq)]
pub enum Point {
    /// A number.
    Float(f64),
    /// A histogram.
    Histogram(Arc<FloatHistogram>),
}

/// One series of a [`Value::Matrix`]: at least one sample, each kind strictly ascending in time, no time in both.
#[derive(Debug, Clone, PartialEq)]
pub struct MatrixSeries {
    /// The label set.
    pub labels: Labels,
    /// Its numbers.
    pub floats: Vec<Sample>,
    /// Its histograms.
    pub histograms: Vec<HistogramPoint>,
}

/// What a query cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueryStats {
    /// Series that the store delivered.
    pub series: u64,
    /// Samples that the store delivered; a histogram counts once.
    pub samples: u64,
    /// The most samples that were held at one time.
    pub samples_peak: u64,
    /// The most bytes that were held at one time.
    pub bytes_peak: u64,
}

impl QueryStats {
    /// Adds what another part of the same query cost; peaks add up, because parts run at once.
    pub fn merge(&mut self, other: Self) {
        let Self { series, samples, samples_peak, bytes_peak } = other;
        self.series += series;
        self.samples += samples;
        self.samples_peak += samples_peak;
        self.bytes_peak += bytes_peak;
    }
}
