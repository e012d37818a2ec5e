//! OpenTelemetry metrics: one set of messages, decoded from protocol buffers in place and from JSON leniently.
//!
//! Rejected: the generated types of the OpenTelemetry SDK, whose JSON decoder refuses enum names and `null`, and
//! loses data without a word where keys are written in snake case.
//!
//! Source: opentelemetry-proto, `opentelemetry/proto/metrics/v1/metrics.proto`, and the rules for JSON in
//! `docs/specification.md`, "JSON Protobuf Encoding".

/// Decodes `ExportMetricsServiceRequest` from its wire format.
pub mod protobuf;

/// Decodes `ExportMetricsServiceRequest` from JSON.
pub mod json;

use std::borrow::Cow;

use serde::Deserialize;

/// `ExportMetricsServiceRequest`: all that one client sends at once.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MetricsRequest<'a> {
    /// Each resource with its metrics.
    #[serde(alias = "resource_metrics", deserialize_with = "json::list")]
    pub resource_metrics: Vec<ResourceMetrics<'a>>,
}

/// What one resource measured.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResourceMetrics<'a> {
    /// The resource.
    #[serde(deserialize_with = "json::or_default")]
    pub resource: Resource<'a>,
    /// Each scope with its metrics.
    #[serde(alias = "scope_metrics", deserialize_with = "json::list")]
    pub scope_metrics: Vec<ScopeMetrics<'a>>,
}

/// What measures: a process, a host.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Resource<'a> {
    /// What is known of it.
    #[serde(deserialize_with = "json::list")]
    pub attributes: Vec<KeyValue<'a>>,
}

/// What one library measured.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ScopeMetrics<'a> {
    /// The library.
    #[serde(deserialize_with = "json::or_default")]
    pub scope: Scope<'a>,
    /// Its metrics.
    #[serde(deserialize_with = "json::list")]
    pub metrics: Vec<Metric<'a>>,
    /// The schema that the names follow.
    #[serde(alias = "schema_url", deserialize_with = "json::text")]
    pub schema_url: Cow<'a, str>,
}

/// The library that measured.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct Scope<'a> {
    /// Its name.
    #[serde(deserialize_with = "json::text")]
    pub name: Cow<'a, str>,
    /// Its version.
    #[serde(deserialize_with = "json::text")]
    pub version: Cow<'a, str>,
    /// What else is known of it.
    #[serde(deserialize_with = "json::list")]
    pub attributes: Vec<KeyValue<'a>>,
}

/// One metric; at most one of its kinds of data is there.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metric<'a> {
    /// Its name.
    #[serde(deserialize_with = "json::text")]
    pub name: Cow<'a, str>,
    /// Its help text.
    #[serde(deserialize_with = "json::text")]
    pub description: Cow<'a, str>,
    /// Its unit, in UCUM.
    #[serde(deserialize_with = "json::text")]
    pub unit: Cow<'a, str>,
    /// The last value of something.
    pub gauge: Option<Gauge<'a>>,
    /// A sum of increments.
    pub sum: Option<Sum<'a>>,
    /// A histogram with explicit bounds.
    pub histogram: Option<ExplicitHistogram<'a>>,
    /// A histogram with exponential bounds.
    #[serde(alias = "exponential_histogram")]
    pub exponential_histogram: Option<ExponentialHistogram<'a>>,
    /// Quantiles.
    pub summary: Option<Summary<'a>>,
}

/// The last value of something.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Gauge<'a> {
    /// Values.
    #[serde(alias = "data_points", deserialize_with = "json::list")]
    pub data_points: Vec<NumberPoint<'a>>,
}

/// A sum of increments.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Sum<'a> {
    /// Values.
    #[serde(alias = "data_points", deserialize_with = "json::list")]
    pub data_points: Vec<NumberPoint<'a>>,
    /// Since when each value counts.
    #[serde(
        rename = "aggregationTemporality",
        alias = "aggregation_temporality",
        deserialize_with = "json::temporality"
    )]
    pub temporality: Temporality,
    /// Whether it never falls.
    #[serde(alias = "is_monotonic", deserialize_with = "json::or_default")]
    pub is_monotonic: bool,
}

/// A histogram with explicit bounds.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExplicitHistogram<'a> {
    /// Values.
    #[serde(alias = "data_points", deserialize_with = "json::list")]
    pub data_points: Vec<ExplicitPoint<'a>>,
    /// Since when each value counts.
    #[serde(
        rename = "aggregationTemporality",
        alias = "aggregation_temporality",
        deserialize_with = "json::temporality"
    )]
    pub temporality: Temporality,
}

/// A histogram with exponential bounds.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExponentialHistogram<'a> {
    /// Values.
    #[serde(alias = "data_points", deserialize_with = "json::list")]
    pub data_points: Vec<ExponentialPoint<'a>>,
    /// Since when each value counts.
    #[serde(
        rename = "aggregationTemporality",
        alias = "aggregation_temporality",
        deserialize_with = "json::temporality"
    )]
    pub temporality: Temporality,
}

/// Quantiles.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Summary<'a> {
    /// Values.
    #[serde(alias = "data_points", deserialize_with = "json::list")]
    pub data_points: Vec<SummaryPoint<'a>>,
}

/// Since when a value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Temporality {
    /// Nothing was said.
    #[default]
    Unspecified,
    /// Since the value before.
    Delta,
    /// Since the start.
    Cumulative,
}

impl Temporality {
    /// The temporality that a number of the schema stands for.
    pub fn from_number(number: u64) -> Self {
        match number {
            1 => Self::Delta,
            2 => Self::Cumulative,
            _ => Self::Unspecified,
        }
    }
}

/// The flag of a point that says: there is no value at this time.
pub const FLAG_NO_RECORDED_VALUE: u32 = 1;

/// A number at a time. Times of all points are in nanoseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NumberPoint<'a> {
    /// What sets this value apart from others of the metric.
    #[serde(deserialize_with = "json::list")]
    pub attributes: Vec<KeyValue<'a>>,
    /// When counting started; 0 is unknown.
    #[serde(alias = "start_time_unix_nano", deserialize_with = "json::uint64")]
    pub start_time_unix_nano: u64,
    /// When it was measured.
    #[serde(alias = "time_unix_nano", deserialize_with = "json::uint64")]
    pub time_unix_nano: u64,
    /// The value, if it is a float.
    #[serde(alias = "as_double", deserialize_with = "json::optional_double")]
    pub as_double: Option<f64>,
    /// The value, if it is an integer.
    #[serde(alias = "as_int", deserialize_with = "json::optional_int64")]
    pub as_int: Option<i64>,
    /// Observations with their traces.
    #[serde(deserialize_with = "json::list")]
    pub exemplars: Vec<Exemplar<'a>>,
    /// See [`FLAG_NO_RECORDED_VALUE`].
    #[serde(deserialize_with = "json::uint32")]
    pub flags: u32,
}

/// A histogram with explicit bounds at a time.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExplicitPoint<'a> {
    /// See [`NumberPoint::attributes`].
    #[serde(deserialize_with = "json::list")]
    pub attributes: Vec<KeyValue<'a>>,
    /// See [`NumberPoint::start_time_unix_nano`].
    #[serde(alias = "start_time_unix_nano", deserialize_with = "json::uint64")]
    pub start_time_unix_nano: u64,
    /// See [`NumberPoint::time_unix_nano`].
    #[serde(alias = "time_unix_nano", deserialize_with = "json::uint64")]
    pub time_unix_nano: u64,
    /// All observations.
    #[serde(deserialize_with = "json::uint64")]
    pub count: u64,
    /// Their sum.
    #[serde(deserialize_with = "json::optional_double")]
    pub sum: Option<f64>,
    /// Observations in each bucket, one more than there are bounds; or none.
    #[serde(alias = "bucket_counts", deserialize_with = "json::uint64_list")]
    pub bucket_counts: Vec<u64>,
    /// Ascending upper bounds, inclusive.
    #[serde(alias = "explicit_bounds", deserialize_with = "json::double_list")]
    pub explicit_bounds: Vec<f64>,
    /// See [`NumberPoint::exemplars`].
    #[serde(deserialize_with = "json::list")]
    pub exemplars: Vec<Exemplar<'a>>,
    /// See [`FLAG_NO_RECORDED_VALUE`].
    #[serde(deserialize_with = "json::uint32")]
    pub flags: u32,
}

/// A histogram with exponential bounds at a time.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExponentialPoint<'a> {
    /// See [`NumberPoint::attributes`].
    #[serde(deserialize_with = "json::list")]
    pub attributes: Vec<KeyValue<'a>>,
    /// See [`NumberPoint::start_time_unix_nano`].
    #[serde(alias = "start_time_unix_nano", deserialize_with = "json::uint64")]
    pub start_time_unix_nano: u64,
    /// See [`NumberPoint::time_unix_nano`].
    #[serde(alias = "time_unix_nano", deserialize_with = "json::uint64")]
    pub time_unix_nano: u64,
    /// All observations.
    #[serde(deserialize_with = "json::uint64")]
    pub count: u64,
    /// Their sum.
    #[serde(deserialize_with = "json::optional_double")]
    pub sum: Option<f64>,
    /// Bounds grow by `2^(2^-scale)`.
    #[serde(deserialize_with = "json::int32")]
    pub scale: i32,
    /// Observations that are zero, or close to it.
    #[serde(alias = "zero_count", deserialize_with = "json::uint64")]
    pub zero_count: u64,
    /// Positive observations.
    #[serde(deserialize_with = "json::or_default")]
    pub positive: Buckets,
    /// Negative observations.
    #[serde(deserialize_with = "json::or_default")]
    pub negative: Buckets,
    /// See [`NumberPoint::exemplars`].
    #[serde(deserialize_with = "json::list")]
    pub exemplars: Vec<Exemplar<'a>>,
    /// See [`FLAG_NO_RECORDED_VALUE`].
    #[serde(deserialize_with = "json::uint32")]
    pub flags: u32,
}

/// A dense run of exponential buckets.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Buckets {
    /// The index of the first one.
    #[serde(deserialize_with = "json::int32")]
    pub offset: i32,
    /// Observations in each.
    #[serde(alias = "bucket_counts", deserialize_with = "json::uint64_list")]
    pub bucket_counts: Vec<u64>,
}

/// Quantiles at a time.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SummaryPoint<'a> {
    /// See [`NumberPoint::attributes`].
    #[serde(deserialize_with = "json::list")]
    pub attributes: Vec<KeyValue<'a>>,
    /// See [`NumberPoint::start_time_unix_nano`].
    #[serde(alias = "start_time_unix_nano", deserialize_with = "json::uint64")]
    pub start_time_unix_nano: u64,
    /// See [`NumberPoint::time_unix_nano`].
    #[serde(alias = "time_unix_nano", deserialize_with = "json::uint64")]
    pub time_unix_nano: u64,
    /// All observations.
    #[serde(deserialize_with = "json::uint64")]
    pub count: u64,
    /// Their sum.
    #[serde(deserialize_with = "json::double")]
    pub sum: f64,
    /// Quantiles and their values.
    #[serde(alias = "quantile_values", deserialize_with = "json::list")]
    pub quantile_values: Vec<QuantileValue>,
    /// See [`FLAG_NO_RECORDED_VALUE`].
    #[serde(deserialize_with = "json::uint32")]
    pub flags: u32,
}

/// One quantile.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct QuantileValue {
    /// Which: 0 to 1.
    #[serde(deserialize_with = "json::double")]
    pub quantile: f64,
    /// Its value.
    #[serde(deserialize_with = "json::double")]
    pub value: f64,
}

/// An observation with its trace.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Exemplar<'a> {
    /// Attributes that the metric itself does not keep.
    #[serde(alias = "filtered_attributes", deserialize_with = "json::list")]
    pub filtered_attributes: Vec<KeyValue<'a>>,
    /// When it was observed.
    #[serde(alias = "time_unix_nano", deserialize_with = "json::uint64")]
    pub time_unix_nano: u64,
    /// The value, if it is a float.
    #[serde(alias = "as_double", deserialize_with = "json::optional_double")]
    pub as_double: Option<f64>,
    /// The value, if it is an integer.
    #[serde(alias = "as_int", deserialize_with = "json::optional_int64")]
    pub as_int: Option<i64>,
    /// 16 bytes, or none.
    #[serde(alias = "trace_id", deserialize_with = "json::hex")]
    pub trace_id: Cow<'a, [u8]>,
    /// 8 bytes, or none.
    #[serde(alias = "span_id", deserialize_with = "json::hex")]
    pub span_id: Cow<'a, [u8]>,
}

/// An attribute.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(default)]
pub struct KeyValue<'a> {
    /// Its name.
    #[serde(deserialize_with = "json::text")]
    pub key: Cow<'a, str>,
    /// Its value.
    #[serde(deserialize_with = "json::any_value")]
    pub value: AnyValue<'a>,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum AnyValue<'a> {
    /// Nothing.
    #[default]
    Empty,
    /// Text.
    Text(Cow<'a, str>),
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A float.
    Double(f64),
    /// A list.
    List(Vec<AnyValue<'a>>),
    /// Names and values.
    Map(Vec<KeyValue<'a>>),
    /// Bytes.
    Bytes(Cow<'a, [u8]>),
}

#[cfg(test)]
mod tests;
