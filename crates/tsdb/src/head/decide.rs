//! Deciding what of a batch is taken: series by series, in the order that makes it cheap.

use norn_model::write::{WriteBatch, WriteSeries};

use super::Head;
use super::exemplars::ExemplarVerdict;
use super::publish::Part;
use super::rejection::{AppendOutcome, HeadLimits, Reason, check_histogram};
use super::series::{Series, SeriesRef, State, Value};
use super::shard::{Shard, reference_at, shard_of};
use super::stage::{ExemplarRow, FloatRow, HistogramRow, HistogramSource, Rows, Staged, StagedSeries};
use super::verdict::{Verdict, Window, zero_like};

impl Head {
    /// Decides what of a batch is taken. Until it is published nobody sees it.
    ///
    /// - `now_s`: seconds since the Unix epoch, from which series count as active.
    pub fn stage<'a>(&'a self, batch: &'a WriteBatch, limits: &HeadLimits, now_s: u32) -> Staged<'a> {
        let gate = self.gate.read();
        let mut rows = self.spare_rows.lock().pop().unwrap_or_default();
        rows.clear();
        let mut stager = Stager {
            head: self,
            batch,
            limits,
            window: self.window(batch, limits),
            rows,
            outcome: AppendOutcome::default(),
        };
        stager.stage_known();
        stager.rows.first_part = Part::end_of(&stager.rows);
        stager.stage_missing();
        stager.stage_metadata(now_s);
        let Stager { rows, mut outcome, .. } = stager;
        outcome.new_series = rows.created.len() as u64;
        outcome.rejections.sort();
        Staged { head: self, batch, gate: Some(gate), rows, outcome, exemplars_max: limits.exemplars, now_s }
    }

    fn window(&self, batch: &WriteBatch, limits: &HeadLimits) -> Window {
        let newest_ms = self.max_ms().or_else(|| {
            let float = batch.samples().first().map(|sample| sample.timestamp_ms);
            float.or_else(|| batch.histograms().first().map(|sample| sample.timestamp_ms))
        });
        let newest_ms = newest_ms.unwrap_or(i64::MIN);
        Window {
            valid_from_ms: self.floor_ms().max(newest_ms.saturating_sub(self.rules.range_ms / 2)),
            late_from_ms: (limits.late_window_ms > 0).then(|| newest_ms.saturating_sub(limits.late_window_ms)),
            late_window_ms: limits.late_window_ms,
        }
    }
}

/// The state of [`Head::stage`].
struct Stager<'a> {
    head: &'a Head,
    batch: &'a WriteBatch,
    limits: &'a HeadLimits,
    window: Window,
    rows: Rows,
    outcome: AppendOutcome,
}

impl Stager<'_> {
    /// Looks all series up, and stages those that exist.
    fn stage_known(&mut self) {
        let ends = self.rows.group(self.batch);
        let mut start = 0;
        let mut found: Vec<(SeriesRef, u32)> = std::mem::take(&mut self.rows.resolved);
        for (shard_number, end) in ends.into_iter().enumerate() {
            if start == end {
                continue;
            }
            let mut shard = self.head.shards[shard_number].lock();
            found.clear();
            for place in start..end {
                let entry = self.rows.by_shard[place];
                let series = self.batch.series(entry as usize);
                let fingerprint = self.head.fingerprint(series.labels);
                match shard.find(series.hash, fingerprint) {
                    Some(place) => found.push((reference_at(place, shard_number), entry)),
                    None => self.rows.missing.push(entry),
                }
            }
            self.stage_group(&mut shard, &found);
            start = end;
        }
        found.clear();
        self.rows.resolved = found;
    }

    /// Makes the series that do not exist, in the order of the batch, as far as limits allow; then stages them.
    fn stage_missing(&mut self) {
        if self.rows.missing.is_empty() {
            return;
        }
        let mut missing = std::mem::take(&mut self.rows.missing);
        missing.sort_unstable();
        let mut resolved = std::mem::take(&mut self.rows.resolved);
        for entry in &missing {
            match self.create(*entry) {
                Ok(reference) => resolved.push((reference, *entry)),
                Err(reason) => self.refuse_series(*entry, reason),
            }
        }
        resolved.sort_by_key(|(reference, entry)| (shard_of(*reference), *entry));
        for group in resolved.chunk_by(|left, right| shard_of(left.0) == shard_of(right.0)) {
            let mut shard = self.head.shards[shard_of(group[0].0)].lock();
            self.stage_group(&mut shard, group);
        }
        missing.clear();
        self.rows.missing = missing;
        self.rows.resolved = resolved;
    }

    /// Makes a series, or finds the one that someone else has made meanwhile. `None` is for series with nothing that
    /// could be taken: they are refused sample by sample.
    fn create(&mut self, entry: u32) -> Result<SeriesRef, Option<Reason>> {
        let series = self.batch.series(entry as usize);
        if series.labels.encoded().is_empty() {
            return Err(Some(Reason::NoLabels));
        }
        let acceptable = |timestamp_ms: i64| {
            timestamp_ms >= self.window.valid_from_ms
                || self.window.late_from_ms.is_some_and(|from_ms| timestamp_ms >= from_ms)
        };
        let any = series.samples.iter().any(|sample| acceptable(sample.timestamp_ms))
            || series
                .histograms
                .iter()
                .any(|sample| acceptable(sample.timestamp_ms) && check_histogram(&sample.histogram).is_ok());
        let (reference, created) = self.head.find_or_create(series.labels, series.hash, any.then_some(self.limits))?;
        if created {
            self.rows.created.push(reference);
        }
        Ok(reference)
    }

    /// Refuses all that a series brings, each sample for its own reason where `reason` is `None`.
    fn refuse_series(&mut self, entry: u32, reason: Option<Reason>) {
        let series = self.batch.series(entry as usize);
        let index = entry as usize;
        let labels = || series.labels.to_owned();
        let window = self.window;
        let rejections = &mut self.outcome.rejections;
        for sample in series.samples {
            let reason = reason.unwrap_or_else(|| window.refusal(sample.timestamp_ms));
            rejections.add(index, sample.timestamp_ms, reason, labels);
        }
        for sample in series.histograms {
            let invalid = check_histogram(&sample.histogram).err();
            let reason = reason.or(invalid).unwrap_or_else(|| window.refusal(sample.timestamp_ms));
            rejections.add(index, sample.timestamp_ms, reason, labels);
        }
        if self.limits.exemplars > 0 {
            for exemplar in series.exemplars {
                rejections.add(index, exemplar.timestamp_ms, Reason::ExemplarSeriesMissing, labels);
            }
        }
    }

    /// Stages series of one shard: all floats before all histograms, then exemplars.
    fn stage_group(&mut self, shard: &mut Shard, group: &[(SeriesRef, u32)]) {
        let mut histograms = false;
        for (reference, entry) in group {
            let series = shard.series_mut(*reference);
            let written = self.batch.series(*entry as usize);
            let slot = self.slot_of(series, *reference, *entry);
            if self.limits.created_as_zero && written.created_ms != 0 {
                self.stage_created_zero(series, slot, &written);
            }
            for sample in written.samples {
                let value = Value::Float(sample.value);
                let verdict = self.judge(series, slot, sample.timestamp_ms, value);
                if let Some(late) = self.count(verdict, *entry, sample.timestamp_ms, value) {
                    let (timestamp_ms, value) = (sample.timestamp_ms, sample.value);
                    self.rows.floats.push(FloatRow { slot, late, timestamp_ms, value });
                }
            }
            histograms |= !written.histograms.is_empty() || !written.exemplars.is_empty();
        }
        if histograms {
            for (reference, entry) in group {
                let series = shard.series_mut(*reference);
                let slot = series.slot;
                self.stage_histograms(series, slot, *entry);
                self.stage_exemplars(series.id, *entry);
            }
        }
    }

    /// Where the batch keeps a series: the place that the series remembers, if that is from this batch. No other batch
    /// can have changed it, because all that a batch has of a shard is staged under one lock.
    fn slot_of(&mut self, series: &mut Series, reference: SeriesRef, entry: u32) -> u32 {
        let known = self.rows.series.get(series.slot as usize);
        if known.is_none_or(|known| known.reference != reference) {
            series.slot = self.rows.series.len() as u32;
            let pending_ms = series.last_ms();
            let (id, segment) = (series.id, series.segment);
            let unpublished = series.state == State::Staged;
            self.rows.series.push(StagedSeries { reference, entry, id, segment, pending_ms, unpublished });
        }
        series.slot
    }

    fn judge(&mut self, series: &Series, slot: u32, timestamp_ms: i64, value: Value<'_>) -> Verdict {
        let staged = &mut self.rows.series[slot as usize];
        let verdict = self.window.judge(series, timestamp_ms, value);
        if !matches!(verdict, Verdict::InOrder) {
            return verdict;
        }
        if timestamp_ms > staged.pending_ms {
            staged.pending_ms = timestamp_ms;
            return Verdict::InOrder;
        }
        let is_late = self.window.late_from_ms.is_some_and(|from_ms| timestamp_ms >= from_ms);
        if is_late && timestamp_ms < staged.pending_ms { Verdict::Late } else { Verdict::Overtaken }
    }

    /// Counts a verdict; returns whether the sample is late if it has to be stored.
    fn count(&mut self, verdict: Verdict, entry: u32, timestamp_ms: i64, value: Value<'_>) -> Option<bool> {
        let accepted = match value {
            Value::Float(_) => &mut self.outcome.floats,
            Value::Histogram(_) => &mut self.outcome.histograms,
        };
        match verdict {
            Verdict::InOrder => {
                *accepted += 1;
                Some(false)
            }
            Verdict::Late => {
                *accepted += 1;
                self.outcome.late += 1;
                Some(true)
            }
            Verdict::Repeated => {
                *accepted += 1;
                None
            }
            Verdict::Overtaken => {
                self.outcome.overtaken += 1;
                None
            }
            Verdict::Refused(reason) => {
                let labels = || self.batch.series(entry as usize).labels.to_owned();
                self.outcome.rejections.add(entry as usize, timestamp_ms, reason, labels);
                None
            }
        }
    }

    fn stage_histograms(&mut self, series: &Series, slot: u32, entry: u32) {
        let written = self.batch.series(entry as usize);
        for (index, sample) in written.histograms.iter().enumerate() {
            let value = Value::Histogram(&sample.histogram);
            let verdict = match check_histogram(&sample.histogram) {
                Ok(()) => self.judge(series, slot, sample.timestamp_ms, value),
                Err(reason) => Verdict::Refused(reason),
            };
            if let Some(late) = self.count(verdict, entry, sample.timestamp_ms, value) {
                let source = HistogramSource::Batch { entry, index: index as u32 };
                let timestamp_ms = sample.timestamp_ms;
                self.rows.histograms.push(HistogramRow { slot, late, timestamp_ms, source });
            }
        }
    }

    /// A known start of a counter is a sample of zero at that time, unless that conflicts with what is there.
    fn stage_created_zero(&mut self, series: &Series, slot: u32, written: &WriteSeries<'_>) {
        let created_ms = written.created_ms;
        let float_ms = written.samples.first().map(|sample| sample.timestamp_ms);
        let histogram = written.histograms.first();
        let first_ms = match (float_ms, histogram.map(|sample| sample.timestamp_ms)) {
            (Some(left_ms), Some(right_ms)) => left_ms.min(right_ms),
            (left_ms, right_ms) => match left_ms.or(right_ms) {
                Some(first_ms) => first_ms,
                None => return,
            },
        };
        let pending_ms = self.rows.series[slot as usize].pending_ms;
        let fits = created_ms < first_ms
            && created_ms > series.last_ms().max(pending_ms)
            && created_ms >= self.window.valid_from_ms;
        if !fits {
            return;
        }
        self.rows.series[slot as usize].pending_ms = created_ms;
        self.outcome.created_zeros += 1;
        let row = (slot, created_ms);
        match histogram.filter(|_| float_ms.is_none()) {
            None => {
                self.rows.floats.push(FloatRow { slot: row.0, late: false, timestamp_ms: row.1, value: 0.0 });
            }
            Some(first) => {
                let source = HistogramSource::Zero(self.rows.zeros.len() as u32);
                self.rows.zeros.push(zero_like(&first.histogram));
                self.rows.histograms.push(HistogramRow { slot: row.0, late: false, timestamp_ms: row.1, source });
            }
        }
    }

    fn stage_exemplars(&mut self, id: u64, entry: u32) {
        let written = self.batch.series(entry as usize);
        if self.limits.exemplars == 0 || written.exemplars.is_empty() {
            return;
        }
        let store = self.head.exemplars.lock();
        for (index, exemplar) in written.exemplars.iter().enumerate() {
            match store.judge(id, exemplar) {
                ExemplarVerdict::Take => {
                    self.outcome.exemplars += 1;
                    self.rows.exemplars.push(ExemplarRow { id, entry, index: index as u32 });
                }
                ExemplarVerdict::Repeated => {}
                ExemplarVerdict::OutOfOrder => {
                    let labels = || written.labels.to_owned();
                    let (index, timestamp_ms) = (entry as usize, exemplar.timestamp_ms);
                    self.outcome.rejections.add(index, timestamp_ms, Reason::ExemplarOutOfOrder, labels);
                }
            }
        }
    }

    fn stage_metadata(&mut self, now_s: u32) {
        if self.batch.metadata.is_empty() {
            return;
        }
        let mut store = self.head.metadata.lock();
        for (index, metadata) in self.batch.metadata.iter().enumerate() {
            if store.refresh(metadata, now_s) {
                self.outcome.metadata += 1;
                continue;
            }
            match store.check(metadata, self.limits) {
                Ok(()) => {
                    self.outcome.metadata += 1;
                    self.rows.metadata.push(index as u32);
                }
                Err(reason) => {
                    let labels = || norn_model::Labels::from_pairs([("__name__", &metadata.family)]);
                    self.outcome.rejections.add(self.batch.len() + index, 0, reason, labels);
                }
            }
        }
    }
}
