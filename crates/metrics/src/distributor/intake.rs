//! One request on its way from wire bytes to a batch: each series is cleaned, checked and encoded in one pass.
//!
//! Nothing here is visible from outside until the whole request has been decoded: discards are counted apart, and
//! the batch is thrown away if the end of the body turns out to be damaged.

use std::ops::ControlFlow;

use norn_base::Error;
use norn_config::limits::LabelValueStrategy;
use norn_model::TenantId;
use norn_model::write::{Exemplar, MetricMetadata, WriteBatch};
use norn_rpc::remote_write::{DecodedMetadata, DecodedSeries, WriteVisitor};

use super::discards::{Discards, Reason};
use super::rules::WriteRules;
use super::samples::{Duplicates, TimeWindow};
use super::validation::{LabelCheck, Violation};
use super::{exemplars, oversize, relabel, samples, validation};

/// How many of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Float samples.
    pub samples: u64,
    /// Histograms.
    pub histograms: u64,
    /// Exemplars.
    pub exemplars: u64,
    /// Metadata.
    pub metadata: u64,
}

impl Tally {
    /// Floats and histograms.
    pub fn all_samples(self) -> u64 {
        self.samples + self.histograms
    }

    /// What the ingestion rate counts.
    pub fn items(self) -> u64 {
        self.all_samples() + self.exemplars + self.metadata
    }

    fn add_series(&mut self, series: &DecodedSeries<'_>) {
        self.samples += series.samples.len() as u64;
        self.histograms += series.histograms.len() as u64;
        self.exemplars += series.exemplars.len() as u64;
    }
}

/// Counts a request without keeping any of it.
#[derive(Debug, Default)]
pub(super) struct Counter {
    pub(super) tally: Tally,
}

impl<'a> WriteVisitor<'a> for Counter {
    fn series(&mut self, series: &mut DecodedSeries<'a>) -> ControlFlow<()> {
        self.tally.add_series(series);
        ControlFlow::Continue(())
    }

    fn metadata(&mut self, _metadata: DecodedMetadata<'a>) {
        self.tally.metadata += 1;
    }
}

/// What applies to all series of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct IntakeContext<'r> {
    pub(super) tenant: &'r TenantId,
    pub(super) check: LabelCheck<'r>,
    /// A label that is removed from all series.
    pub(super) strip_label: Option<&'r str>,
    /// Milliseconds since the Unix epoch.
    pub(super) now_ms: i64,
}

/// Takes the series of one request.
pub(super) struct Intake<'r> {
    context: IntakeContext<'r>,
    rules: &'r WriteRules,
    window: TimeWindow,
    // Labels may change in more ways than losing one.
    rewrites: bool,
    pub(super) batch: WriteBatch,
    pub(super) received: Tally,
    pub(super) discards: Discards,
    pub(super) first_error: Option<Error>,
    oldest_ms: i64,
    newest_ms: i64,
}

impl<'r> Intake<'r> {
    /// Fills `batch`, which is empty.
    pub(super) fn new(context: IntakeContext<'r>, batch: WriteBatch) -> Self {
        let rules = context.check.rules;
        Self {
            context,
            rules,
            window: TimeWindow::new(rules, context.now_ms),
            rewrites: !rules.relabel.is_empty()
                || !rules.drop_labels.is_empty()
                || rules.label_value_strategy != LabelValueStrategy::Error,
            batch,
            received: Tally::default(),
            discards: Discards::default(),
            first_error: None,
            oldest_ms: i64::MAX,
            newest_ms: i64::MIN,
        }
    }

    /// Does what needs the whole request. To be called once, after the last series.
    pub(super) fn finish(&mut self) {
        let oldest_ms = self.oldest_ms;
        if oldest_ms == i64::MAX || self.batch.exemplars().is_empty() {
            return;
        }
        let is_fresh = |exemplar: &Exemplar| exemplar.timestamp_ms >= oldest_ms.saturating_sub(exemplars::AGE_MAX_MS);
        if !self.batch.exemplars().iter().all(is_fresh) {
            let before = self.batch.exemplars().len();
            self.batch.retain_exemplars(is_fresh);
            let dropped = before - self.batch.exemplars().len();
            self.discards.exemplars.add(Reason::ExemplarTooOld, dropped as u64);
        }
    }

    /// What the batch holds.
    pub(super) fn accepted(&self) -> Tally {
        Tally {
            samples: self.batch.samples().len() as u64,
            histograms: self.batch.histograms().len() as u64,
            exemplars: self.batch.exemplars().len() as u64,
            metadata: self.batch.metadata.len() as u64,
        }
    }

    /// The time of the newest sample, if any was accepted.
    pub(super) fn newest_ms(&self) -> Option<i64> {
        (self.newest_ms != i64::MIN).then_some(self.newest_ms)
    }

    /// Relabels, drops and shortens labels: work on copies, for the tenants that asked for it.
    #[cold]
    fn take_rewritten(&mut self, series: &mut DecodedSeries<'_>) {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut labels: Vec<(String, String)> = series.labels.iter().map(owned).collect();
        if !relabel::apply(&self.rules.relabel, self.context.tenant, &mut labels) {
            return;
        }
        labels.retain(|label| !self.rules.drop_labels.contains(&label.0) && !label.1.is_empty());
        for label in &mut labels {
            oversize::shorten(&mut label.1, self.rules);
        }
        let mut borrowed: Vec<_> = labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.take_sorted(&mut borrowed, series);
    }

    /// Says what is wrong with labels that are not UTF-8.
    #[cold]
    fn refuse_broken(&mut self, series: &DecodedSeries<'_>) {
        let mut sorted: Vec<_> = series.broken_labels.iter().filter(|label| !label.1.is_empty()).collect();
        sorted.sort_by_key(|label| label.0);
        let is_broken = |bytes: &[u8]| std::str::from_utf8(bytes).is_err();
        let broken: Vec<_> = sorted.iter().map(|(name, value)| (is_broken(name), is_broken(value))).collect();
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let owned: Vec<_> = sorted.iter().map(|(name, value)| (lossy(name), lossy(value))).collect();
        let labels: Vec<_> = owned.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let violation = self.context.check.check_broken(&labels, &broken);
        self.refuse(violation, &labels, series);
    }

    #[cold]
    fn refuse(&mut self, violation: Violation, labels: &[(&str, &str)], series: &DecodedSeries<'_>) {
        let lost = series.samples.len() + series.histograms.len();
        self.discards.samples.add(violation.reason, lost as u64);
        let check = self.context.check;
        self.first_error.get_or_insert_with(|| check.error(violation, labels));
    }

    #[inline]
    fn take_sorted(&mut self, labels: &mut [(&str, &str)], series: &mut DecodedSeries<'_>) {
        if labels.is_empty() {
            return;
        }
        if !labels.is_sorted_by(|left, right| left.0 <= right.0) {
            labels.sort_by(|left, right| left.0.cmp(right.0));
        }
        if let Err(violation) = self.context.check.check(labels) {
            return self.refuse(violation, labels, series);
        }
        self.filter_samples(labels, series);
        if !series.histograms.is_empty() {
            self.filter_histograms(labels, series);
        }
        let exemplars = if self.rules.exemplars && !series.exemplars.is_empty() {
            self.clean_exemplars(series)
        } else {
            Vec::new()
        };
        if series.samples.is_empty() && series.histograms.is_empty() && exemplars.is_empty() {
            return;
        }
        let mut writer = self.batch.push_pairs(labels, series.created_ms);
        for sample in &series.samples {
            writer.sample(*sample);
            self.oldest_ms = self.oldest_ms.min(sample.timestamp_ms);
            self.newest_ms = self.newest_ms.max(sample.timestamp_ms);
        }
        for histogram in series.histograms.drain(..) {
            self.oldest_ms = self.oldest_ms.min(histogram.timestamp_ms);
            self.newest_ms = self.newest_ms.max(histogram.timestamp_ms);
            writer.histogram(histogram);
        }
        exemplars.into_iter().for_each(|exemplar| writer.exemplar(exemplar));
    }

    #[inline]
    fn filter_samples(&mut self, labels: &[(&str, &str)], series: &mut DecodedSeries<'_>) {
        // One sample, within the window: nothing to do for nearly every series there is.
        if let [sample] = series.samples.as_slice()
            && self.window.check(sample.timestamp_ms).is_ok()
        {
            return;
        }
        let mut duplicates = Duplicates::new(series.samples.iter().map(|sample| sample.timestamp_ms));
        series.samples.retain(|sample| self.is_timely(sample.timestamp_ms, labels, &mut duplicates));
    }

    fn filter_histograms(&mut self, labels: &[(&str, &str)], series: &mut DecodedSeries<'_>) {
        let mut duplicates = Duplicates::new(series.histograms.iter().map(|sample| sample.timestamp_ms));
        let mut histograms = std::mem::take(&mut series.histograms);
        histograms.retain_mut(|sample| {
            if let Err(violation) = samples::fit_histogram(sample, self.rules) {
                self.discards.samples.add(violation.reason, 1);
                let error = || violation.error(sample.timestamp_ms, labels, self.rules);
                self.first_error.get_or_insert_with(error);
                return false;
            }
            self.is_timely(sample.timestamp_ms, labels, &mut duplicates) && self.rules.native_histograms
        });
        series.histograms = histograms;
    }

    fn is_timely(&mut self, timestamp_ms: i64, labels: &[(&str, &str)], duplicates: &mut Duplicates) -> bool {
        if let Err(reason) = self.window.check(timestamp_ms) {
            self.discards.samples.add(reason, 1);
            self.first_error.get_or_insert_with(|| validation::time_error(reason, timestamp_ms, labels));
            return false;
        }
        if duplicates.is_duplicate(timestamp_ms) {
            self.discards.samples.add(Reason::SampleDuplicateTimestamp, 1);
            return false;
        }
        true
    }

    fn clean_exemplars(&mut self, series: &DecodedSeries<'_>) -> Vec<Exemplar> {
        let mut cleaned = Vec::with_capacity(series.exemplars.len());
        let per_series_max = self.rules.series_exemplars_max;
        for exemplar in &series.exemplars {
            if per_series_max > 0 && cleaned.len() == per_series_max {
                self.discards.exemplars.add(Reason::TooManyExemplarsPerSeries, 1);
                continue;
            }
            let pairs = &series.exemplar_labels[exemplar.labels.clone()];
            match exemplars::clean(exemplar, pairs) {
                Ok(exemplar) if self.window.check(exemplar.timestamp_ms) == Err(Reason::TooFarInFuture) => {
                    self.discards.exemplars.add(Reason::ExemplarTooFarInFuture, 1);
                }
                Ok(exemplar) => cleaned.push(exemplar),
                Err(reason) => self.discards.exemplars.add(reason, 1),
            }
        }
        cleaned
    }
}

impl<'a> WriteVisitor<'a> for Intake<'_> {
    fn series(&mut self, series: &mut DecodedSeries<'a>) -> ControlFlow<()> {
        self.received.add_series(series);
        if !series.broken_labels.is_empty() {
            self.refuse_broken(series);
            return ControlFlow::Continue(());
        }
        if let Some(name) = self.context.strip_label {
            series.labels.retain(|label| label.0 != name);
        }
        if self.rewrites {
            self.take_rewritten(series);
            return ControlFlow::Continue(());
        }
        series.labels.retain(|label| !label.1.is_empty());
        // Taken out, so that the rest of the series can be changed beside it.
        let mut labels = std::mem::take(&mut series.labels);
        self.take_sorted(&mut labels, series);
        series.labels = labels;
        ControlFlow::Continue(())
    }

    fn metadata(&mut self, metadata: DecodedMetadata<'a>) {
        self.received.metadata += 1;
        match samples::check_metadata(metadata, self.rules) {
            Ok(()) => self.batch.metadata.push(MetricMetadata {
                family: metadata.family.to_owned(),
                metric_type: metadata.metric_type,
                help: samples::cut(metadata.help, self.rules.metadata_bytes_max).to_owned(),
                unit: metadata.unit.to_owned(),
            }),
            Err((reason, error)) => {
                self.discards.metadata.add(reason, 1);
                self.first_error.get_or_insert(error);
            }
        }
    }
}
