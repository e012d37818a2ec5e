use std::ops::ControlFlow;

use norn_model::histogram::{FloatHistogram, Histogram, ResetHint, Span};
use norn_model::write::{Exemplar, MetricMetadata, WriteBatch, WriteHistogram};
use norn_model::{Labels, Sample};
use proptest::prelude::*;
use prost::Message;

use super::*;

/// The schema as a generated decoder has it: the oracle.
mod oracle {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct WriteRequest {
        #[prost(message, repeated, tag = "1")]
        pub(super) timeseries: Vec<TimeSeries>,
        #[prost(message, repeated, tag = "3")]
        pub(super) metadata: Vec<MetricMetadata>,
        #[prost(bool, tag = "1000")]
        pub(super) skip_label_validation: bool,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct TimeSeries {
        #[prost(message, repeated, tag = "1")]
        pub(super) labels: Vec<Label>,
        #[prost(message, repeated, tag = "2")]
        pub(super) samples: Vec<Sample>,
        #[prost(message, repeated, tag = "3")]
        pub(super) exemplars: Vec<Exemplar>,
        #[prost(int64, tag = "6")]
        pub(super) created_timestamp: i64,
        #[prost(string, tag = "99")]
        pub(super) unknown: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Label {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(string, tag = "2")]
        pub(super) value: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Sample {
        #[prost(double, tag = "1")]
        pub(super) value: f64,
        #[prost(int64, tag = "2")]
        pub(super) timestamp: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Exemplar {
        #[prost(message, repeated, tag = "1")]
        pub(super) labels: Vec<Label>,
        #[prost(double, tag = "2")]
        pub(super) value: f64,
        #[prost(int64, tag = "3")]
        pub(super) timestamp: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct MetricMetadata {
        #[prost(int32, tag = "1")]
        pub(super) kind: i32,
        #[prost(string, tag = "2")]
        pub(super) family: String,
        #[prost(string, tag = "4")]
        pub(super) help: String,
        #[prost(string, tag = "5")]
        pub(super) unit: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Request2 {
        #[prost(string, repeated, tag = "4")]
        pub(super) symbols: Vec<String>,
        #[prost(message, repeated, tag = "5")]
        pub(super) timeseries: Vec<TimeSeries2>,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct TimeSeries2 {
        #[prost(uint32, repeated, tag = "1")]
        pub(super) labels_refs: Vec<u32>,
        #[prost(message, repeated, tag = "2")]
        pub(super) samples: Vec<Sample2>,
        #[prost(message, optional, tag = "5")]
        pub(super) metadata: Option<Metadata2>,
        #[prost(int64, tag = "6")]
        pub(super) created_timestamp: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Sample2 {
        #[prost(double, tag = "1")]
        pub(super) value: f64,
        #[prost(int64, tag = "2")]
        pub(super) timestamp: i64,
        #[prost(int64, tag = "3")]
        pub(super) start_timestamp: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(super) struct Metadata2 {
        #[prost(int32, tag = "1")]
        pub(super) kind: i32,
        #[prost(uint32, tag = "3")]
        pub(super) help_ref: u32,
        #[prost(uint32, tag = "4")]
        pub(super) unit_ref: u32,
    }
}

/// Keeps all that it is shown.
#[derive(Default)]
struct Recorder {
    batch: WriteBatch,
    unsorted: Vec<Vec<(String, String)>>,
    broken: usize,
}

impl<'a> WriteVisitor<'a> for Recorder {
    fn series(&mut self, series: &mut DecodedSeries<'a>) -> ControlFlow<()> {
        self.broken += usize::from(!series.broken_labels.is_empty());
        self.unsorted.push(series.labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect());
        let labels = Labels::from_pairs(series.labels.iter().copied());
        let mut writer = self.batch.push_series(labels.as_ref(), series.created_ms);
        series.samples.iter().for_each(|sample| writer.sample(*sample));
        series.histograms.drain(..).for_each(|histogram| writer.histogram(histogram));
        for exemplar in &series.exemplars {
            let pairs = series.exemplar_labels[exemplar.labels.clone()].iter();
            let text = |bytes| String::from_utf8_lossy(bytes);
            let labels = Labels::from_pairs(pairs.map(|(name, value)| (text(name), text(value))));
            writer.exemplar(Exemplar { timestamp_ms: exemplar.timestamp_ms, value: exemplar.value, labels });
        }
        ControlFlow::Continue(())
    }

    fn metadata(&mut self, metadata: DecodedMetadata<'a>) {
        self.batch.metadata.push(MetricMetadata {
            family: metadata.family.to_owned(),
            metric_type: metadata.metric_type,
            help: metadata.help.to_owned(),
            unit: metadata.unit.to_owned(),
        });
    }
}

fn record_v1(body: &[u8]) -> Result<Recorder, DecodeError> {
    let mut recorder = Recorder::default();
    v1::decode(body, &mut recorder).map(|()| recorder)
}

fn record_v2(body: &[u8]) -> Result<Recorder, DecodeError> {
    let mut recorder = Recorder::default();
    v2::decode(body, &mut recorder).map(|()| recorder)
}

fn assert_same(left: &WriteBatch, right: &WriteBatch) {
    assert_eq!(left.len(), right.len());
    for (left, right) in left.iter().zip(right.iter()) {
        assert_eq!((left.labels, left.hash, left.created_ms), (right.labels, right.hash, right.created_ms));
        assert_eq!(left.samples, right.samples);
        assert_eq!(left.histograms, right.histograms);
        assert_eq!(left.exemplars, right.exemplars);
    }
    assert_eq!(left.metadata, right.metadata);
}

fn spans() -> impl Strategy<Value = Vec<Span>> {
    let span = (any::<i32>(), any::<u32>()).prop_map(|(offset, length)| Span { offset, length });
    prop::collection::vec(span, 0..3)
}

fn reset_hints() -> impl Strategy<Value = ResetHint> {
    use ResetHint::{CounterReset, Gauge, NotCounterReset, Unknown};
    prop::sample::select(vec![Unknown, CounterReset, NotCounterReset, Gauge])
}

fn histograms() -> impl Strategy<Value = WriteHistogram> {
    let common = (reset_hints(), any::<i32>(), -1e9..1e9f64, spans(), spans());
    let integer = (any::<u64>(), any::<u64>(), prop::collection::vec(any::<i64>(), 0..4));
    let float = prop::collection::vec(-1e9..1e9f64, 0..4);
    (any::<bool>(), common, integer, float).prop_map(|(is_float, common, integer, values)| {
        let (reset_hint, schema, sum, positive_spans, negative_spans) = common;
        let (count, zero_count, deltas) = integer;
        if is_float {
            WriteHistogram::Float(FloatHistogram {
                reset_hint,
                schema,
                zero_threshold: 0.5,
                zero_count: -0.0,
                count: 3.5,
                sum,
                positive_spans,
                negative_spans,
                positive_buckets: values.clone(),
                negative_buckets: vec![],
                custom_values: values.into(),
            })
        } else {
            WriteHistogram::Integer(Histogram {
                reset_hint,
                schema,
                zero_threshold: 0.0,
                zero_count,
                count,
                sum,
                positive_spans,
                negative_spans,
                positive_deltas: deltas.clone(),
                negative_deltas: deltas,
                custom_values: values.into(),
            })
        }
    })
}

fn batches() -> impl Strategy<Value = WriteBatch> {
    let labels = prop::collection::btree_map("[a-zé\u{10348}]{0,130}", ".{0,5}", 0..5);
    let sample = (any::<i64>(), -1e9..1e9f64).prop_map(|(timestamp_ms, value)| Sample { timestamp_ms, value });
    let histogram =
        (any::<i64>(), histograms()).prop_map(|(timestamp_ms, histogram)| HistogramSample { timestamp_ms, histogram });
    let series = (
        labels,
        prop::collection::vec(sample, 0..3),
        prop::collection::vec(histogram, 0..2),
        prop::collection::btree_map("[a-z]{1,5}", "é?[a-z]{1,5}", 0..3),
        any::<i64>(),
    );
    prop::collection::vec(series, 0..5).prop_map(|all| {
        let mut batch = WriteBatch::default();
        for (labels, samples, histograms, exemplar, created_ms) in all {
            let labels = Labels::from_pairs(labels);
            let mut writer = batch.push_series(labels.as_ref(), created_ms);
            samples.into_iter().for_each(|sample| writer.sample(sample));
            histograms.into_iter().for_each(|histogram| writer.histogram(histogram));
            let labels = Labels::from_pairs(exemplar);
            writer.exemplar(Exemplar { timestamp_ms: 7, value: 1.5, labels });
        }
        let help = "what it is".to_owned();
        let metric_type = MetricType::GaugeHistogram;
        batch.metadata.push(MetricMetadata { family: "f".to_owned(), metric_type, help, unit: String::new() });
        batch
    })
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_to_the_same(batch in batches()) {
        let decoded = record_v1(&encode::encode(&batch)).unwrap();
        assert_same(&decoded.batch, &batch);
    }

    #[test]
    fn the_oracle_reads_what_is_encoded(batch in batches()) {
        let body = encode::encode(&batch);
        let request = oracle::WriteRequest::decode(body.as_slice()).unwrap();
        assert_eq!(request.timeseries.len(), batch.len());
        for (series, expected) in request.timeseries.iter().zip(batch.iter()) {
            let labels = Labels::from_pairs(series.labels.iter().map(|label| (&label.name, &label.value)));
            assert_eq!(labels.as_ref(), expected.labels);
            let samples = series.samples.iter();
            let samples: Vec<_> = samples.map(|s| Sample { timestamp_ms: s.timestamp, value: s.value }).collect();
            assert_eq!(samples, expected.samples);
            assert_eq!(series.created_timestamp, expected.created_ms);
        }
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = record_v1(&body);
        let _ = record_v2(&body);
        let _ = v1::decode_flags(&body);
    }

    #[test]
    fn no_damage_makes_a_decoder_panic(batch in batches(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = encode::encode(&batch);
        let at = at.index(body.len());
        body[at] = byte;
        // Every element of the result takes at least one byte of the body.
        if let Ok(decoded) = record_v1(&body) {
            prop_assert!(decoded.batch.len() + decoded.batch.samples().len() <= body.len());
        }
        let _ = record_v1(&body[..at]);
    }
}

#[test]
fn labels_keep_their_order_and_unknown_fields_are_skipped() {
    let label = |name: &str, value: &str| oracle::Label { name: name.to_owned(), value: value.to_owned() };
    let series = oracle::TimeSeries {
        labels: vec![label("z", "1"), label("a", ""), label("z", "größe")],
        unknown: "?".repeat(300),
        ..Default::default()
    };
    let request = oracle::WriteRequest { timeseries: vec![series], skip_label_validation: true, ..Default::default() };
    let body = request.encode_to_vec();
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(record_v1(&body).unwrap().unsorted, [vec![pair("z", "1"), pair("a", ""), pair("z", "größe")]]);
    assert!(v1::decode_flags(&body).unwrap().skip_label_validation);
}

#[test]
fn labels_that_are_not_text_are_handed_on_as_bytes() {
    // A name that ends within a character, completed by what follows it: the region is UTF-8, its parts are not.
    let split: &[u8] = b"\x0a\x07\x0a\x02a\xc3\x8a\x01\x00";
    let check = |series: &[u8], broken| {
        let mut body = Vec::new();
        crate::wire::put_bytes(&mut body, 1, series);
        assert_eq!(record_v1(&body).unwrap().broken, broken, "{series:?}");
    };
    check(split, 1);
    check(b"\x0a\x06\x0a\x01a\x12\x01\xff", 1);
    check("\x0a\x07\x0a\x01a\x12\x02é".as_bytes(), 0);
}

#[test]
fn versions_are_not_mixed_up() {
    let request2 = oracle::Request2 { symbols: vec![String::new()], timeseries: vec![] };
    let check_v1 = |body: &[u8], expected| assert_eq!(record_v1(body).err(), Some(expected));
    check_v1(&request2.encode_to_vec(), DecodeError::FieldOfVersion2("Symbols"));
    check_v1(b"\x2c\xff\xff\xff\xff garbage", DecodeError::Wire(WireError::IllegalWireType(4)));

    let series = oracle::TimeSeries::default();
    let request1 = oracle::WriteRequest { timeseries: vec![series], ..Default::default() };
    let error = record_v2(&request1.encode_to_vec()).err();
    assert_eq!(error, Some(DecodeError::FieldOfVersion1("Timeseries")));
}

fn request2(symbols: &[&str], labels_refs: &[u32]) -> oracle::Request2 {
    let series = oracle::TimeSeries2 { labels_refs: labels_refs.to_vec(), ..Default::default() };
    let symbols = symbols.iter().map(|symbol| symbol.to_string()).collect();
    oracle::Request2 { symbols, timeseries: vec![series] }
}

#[test]
fn references_are_checked() {
    let check = |symbols: &[&str], labels_refs: &[u32], expected| {
        let body = request2(symbols, labels_refs).encode_to_vec();
        assert_eq!(record_v2(&body).map(|recorder| recorder.unsorted[0].len()), expected);
    };
    check(&["", "a", "b"], &[1, 2], Ok(1));
    check(&["", "a", "b"], &[1, 2, 1], Err(DecodeError::OddReferences));
    check(&["", "a", "b"], &[1, 3], Err(DecodeError::LabelReference));
    check(&["a", "b"], &[0, 1], Err(DecodeError::FirstSymbol));
    check(&[], &[0, 1], Err(DecodeError::FirstSymbol));
}

impl Recorder {
    fn created(&self) -> Vec<i64> {
        self.batch.iter().map(|series| series.created_ms).collect()
    }
}

#[test]
fn start_times_are_read_from_their_old_and_new_places() {
    let check = |created_timestamp, start_timestamp, expected| {
        let mut request = request2(&["", "__name__", "m"], &[1, 2]);
        request.timeseries[0].created_timestamp = created_timestamp;
        request.timeseries[0].samples.push(oracle::Sample2 { value: 1.0, timestamp: 9, start_timestamp });
        assert_eq!(record_v2(&request.encode_to_vec()).unwrap().created(), [expected]);
    };
    check(5, 0, 5);
    check(0, 6, 6);
    check(5, 6, 5);
}

#[test]
fn each_family_has_its_metadata_once() {
    let mut request = request2(&["", "__name__", "m_bucket", "m_sum", "help", "s"], &[1, 2]);
    let metadata = |kind, help_ref| Some(oracle::Metadata2 { kind, help_ref, unit_ref: 5 });
    request.timeseries[0].metadata = metadata(3, 4);
    request.timeseries.push(oracle::TimeSeries2 { labels_refs: vec![1, 3], ..Default::default() });
    request.timeseries[1].metadata = metadata(3, 0);
    let recorded = record_v2(&request.encode_to_vec()).unwrap();
    let (help, unit) = ("help".to_owned(), "s".to_owned());
    let expected = MetricMetadata { family: "m".to_owned(), metric_type: MetricType::Histogram, help, unit };
    assert_eq!(recorded.batch.metadata, [expected]);

    request.timeseries[1].metadata = metadata(3, 99);
    assert_eq!(record_v2(&request.encode_to_vec()).err(), Some(DecodeError::HelpReference));
}

#[test]
fn families_lose_the_suffix_of_their_kind() {
    let check = |name, metric_type, expected| assert_eq!(v2::family_name(name, metric_type), expected);
    check("m_sum", MetricType::Summary, "m");
    check("m_bucket", MetricType::Summary, "m_bucket");
    check("m_gcount", MetricType::GaugeHistogram, "m");
    check("m_total", MetricType::Counter, "m_total");
}
