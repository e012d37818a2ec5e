//! The way of a batch into the head: decided, written to the log, then published.
//!
//! [`Head::stage`] decides what is taken and remembers it beside the head, where no reader looks. The caller writes
//! [`Staged::encode`] to the log. [`Staged::publish`] puts the samples in; dropping a [`Staged`] forgets them.
//!
//! Decisions are those of Prometheus. Each sample is judged twice: against what the head holds, which gives the errors
//! that a client sees; and against what the same batch has brought before it, floats before histograms, where what is
//! overtaken is dropped without an error. Another batch may be published between the two steps; then a sample that was
//! taken, and acknowledged, turns out not to be the newest, and goes to its series' late samples. Nothing that
//! the log has is lost, and replay, which decides nothing, ends up with the same samples.
//!
//! The batch is grouped by shard, so that a lock is taken once for about a sixteenth of it, and each step touches
//! memory in three loops without dependent misses between their turns.

use norn_model::sample::is_stale;
use norn_model::write::{WriteBatch, WriteHistogram, WriteSeries};
use norn_model::{FloatHistogram, Histogram};
use parking_lot::RwLockReadGuard;

use super::Head;
use super::exemplars::ExemplarVerdict;
use super::publish::Part;
use super::record::{RowBase, Writer};
use super::rejection::{AppendOutcome, HeadLimits, Reason, check_histogram};
use super::series::{Series, SeriesRef, State, Value};
use super::shard::{SHARDS, Shard, reference_at, shard_of, shard_of_hash};

/// What a batch will bring, once the log has it.
pub struct Staged<'a> {
    pub(super) head: &'a Head,
    pub(super) batch: &'a WriteBatch,
    /// Keeps series from being removed between the two steps; `None` when it is over.
    pub(super) gate: Option<RwLockReadGuard<'a, ()>>,
    pub(super) rows: Box<Rows>,
    pub(super) outcome: AppendOutcome,
    pub(super) exemplars_max: usize,
    pub(super) now_s: u32,
}

/// The rows of a batch, sorted into what becomes of them. Kept between batches for its memory.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Places in the batch, grouped by shard.
    by_shard: Vec<u32>,
    /// Each series of the batch once; first those that existed, then those that are new, each by shard.
    pub(super) series: Vec<StagedSeries>,
    pub(super) floats: Vec<FloatRow>,
    pub(super) histograms: Vec<HistogramRow>,
    /// Histograms that stand for the start of a counter.
    pub(super) zeros: Vec<WriteHistogram>,
    pub(super) exemplars: Vec<ExemplarRow>,
    /// Places in the batch's metadata.
    pub(super) metadata: Vec<u32>,
    /// Places in the batch of series that are not known.
    missing: Vec<u32>,
    /// Those of them that have been made, or found after all.
    resolved: Vec<(SeriesRef, u32)>,
    pub(super) created: Vec<SeriesRef>,
    /// Where the parts of the series that existed end in `series`, `floats` and `histograms`.
    pub(super) first_part: Part,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct StagedSeries {
    pub(super) reference: SeriesRef,
    /// Its first place in the batch.
    entry: u32,
    pub(super) id: u64,
    /// The lowest bits of the segment that last defined it.
    segment: u32,
    /// The newest sample that it will have.
    pending_ms: i64,
    /// Whether readers do not see it yet.
    pub(super) unpublished: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct FloatRow {
    /// Place in `Rows::series`.
    pub(super) slot: u32,
    pub(super) late: bool,
    pub(super) timestamp_ms: i64,
    pub(super) value: f64,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct HistogramRow {
    pub(super) slot: u32,
    pub(super) late: bool,
    pub(super) timestamp_ms: i64,
    pub(super) source: HistogramSource,
}

/// Where a histogram lies.
#[derive(Debug, Clone, Copy)]
pub(super) enum HistogramSource {
    /// Of a series of the batch.
    Batch { entry: u32, index: u32 },
    /// In `Rows::zeros`.
    Zero(u32),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct ExemplarRow {
    pub(super) id: u64,
    pub(super) entry: u32,
    pub(super) index: u32,
}

/// What samples are judged by, besides their series.
#[derive(Debug, Clone, Copy)]
struct Window {
    /// Older samples are late, whatever their series has.
    valid_from_ms: i64,
    /// Older samples are not taken at all; `None` takes no late samples.
    late_from_ms: Option<i64>,
    late_window_ms: i64,
}

/// What becomes of a sample.
enum Verdict {
    InOrder,
    Late,
    /// It is there already, with this value.
    Repeated,
    /// A newer sample of the same batch went first.
    Overtaken,
    Refused(Reason),
}

impl Rows {
    fn clear(&mut self) {
        self.by_shard.clear();
        self.series.clear();
        self.floats.clear();
        self.histograms.clear();
        self.zeros.clear();
        self.exemplars.clear();
        self.metadata.clear();
        self.missing.clear();
        self.resolved.clear();
        self.created.clear();
    }

    /// Groups the batch by shard; returns where each group ends.
    fn group(&mut self, batch: &WriteBatch) -> [usize; SHARDS] {
        let mut ends = [0usize; SHARDS];
        for series in batch.iter() {
            ends[shard_of_hash(series.hash)] += 1;
        }
        let mut starts = [0usize; SHARDS];
        for shard in 1..SHARDS {
            starts[shard] = starts[shard - 1] + ends[shard - 1];
        }
        self.by_shard.resize(batch.len(), 0);
        for (entry, series) in batch.iter().enumerate() {
            let next = &mut starts[shard_of_hash(series.hash)];
            self.by_shard[*next] = entry as u32;
            *next += 1;
        }
        starts
    }

    /// The oldest and the newest sample, late ones aside.
    pub(super) fn bounds(&self) -> Option<(i64, i64)> {
        let floats = self.floats.iter().filter(|row| !row.late).map(|row| row.timestamp_ms);
        let histograms = self.histograms.iter().filter(|row| !row.late).map(|row| row.timestamp_ms);
        floats.chain(histograms).fold(None, |bounds, timestamp_ms| {
            let (min_ms, max_ms) = bounds.unwrap_or((timestamp_ms, timestamp_ms));
            Some((min_ms.min(timestamp_ms), max_ms.max(timestamp_ms)))
        })
    }

    pub(super) fn histogram<'a>(&'a self, batch: &'a WriteBatch, row: &HistogramRow) -> &'a WriteHistogram {
        match row.source {
            HistogramSource::Batch { entry, index } => {
                &batch.series(entry as usize).histograms[index as usize].histogram
            }
            HistogramSource::Zero(index) => &self.zeros[index as usize],
        }
    }
}

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
    rows: Box<Rows>,
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
        if !known.is_some_and(|known| known.reference == reference) {
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

impl Window {
    /// Judges a sample by what its series has.
    ///
    /// Source: Prometheus `tsdb/head_append.go`, `appendable`.
    #[inline]
    fn judge(&self, series: &Series, timestamp_ms: i64, value: Value<'_>) -> Verdict {
        let last_ms = series.last_ms();
        if timestamp_ms >= self.valid_from_ms {
            if timestamp_ms > last_ms {
                return Verdict::InOrder;
            }
            if timestamp_ms == last_ms {
                return judge_same_time(series.last_value(), value);
            }
        }
        match self.late_from_ms {
            Some(from_ms) if timestamp_ms >= from_ms => Verdict::Late,
            Some(_) => Verdict::Refused(Reason::TooOldForWindow { window_ms: self.late_window_ms }),
            None if timestamp_ms < self.valid_from_ms => Verdict::Refused(Reason::TooOld),
            None => Verdict::Refused(Reason::OutOfOrder),
        }
    }

    /// Why a sample of a series that does not exist is not taken.
    fn refusal(&self, timestamp_ms: i64) -> Reason {
        match self.late_from_ms {
            Some(from_ms) if timestamp_ms < from_ms => Reason::TooOldForWindow { window_ms: self.late_window_ms },
            _ => Reason::TooOld,
        }
    }
}

fn judge_same_time(existing: Option<Value<'_>>, new: Value<'_>) -> Verdict {
    let same = match (existing, new) {
        // What a checkpoint brought back may not say what its last value was; it stays.
        (None, _) => true,
        (Some(Value::Float(existing)), Value::Float(new)) => existing.to_bits() == new.to_bits(),
        (Some(Value::Histogram(existing)), Value::Histogram(new)) => is_same_histogram(existing, new),
        _ => false,
    };
    if same {
        return Verdict::Repeated;
    }
    let float = |value: Value<'_>| match value {
        Value::Float(value) => Some(value),
        Value::Histogram(_) => None,
    };
    Verdict::Refused(Reason::DuplicateTimestamp { existing: existing.and_then(float), new: float(new) })
}

fn is_same_histogram(left: &WriteHistogram, right: &WriteHistogram) -> bool {
    match (left, right) {
        (WriteHistogram::Integer(left), WriteHistogram::Integer(right)) => {
            // Stale markers differ in nothing that counts.
            (is_stale(left.sum) && is_stale(right.sum)) || left.to_float().is_identical(&right.to_float())
        }
        (WriteHistogram::Float(left), WriteHistogram::Float(right)) => left.is_identical(right),
        _ => false,
    }
}

/// A histogram without observations that can be in one chunk with `histogram`.
fn zero_like(histogram: &WriteHistogram) -> WriteHistogram {
    match histogram {
        WriteHistogram::Integer(histogram) => WriteHistogram::Integer(Histogram {
            reset_hint: histogram.reset_hint,
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            zero_count: 0,
            count: 0,
            sum: 0.0,
            positive_spans: Vec::new(),
            negative_spans: Vec::new(),
            positive_deltas: Vec::new(),
            negative_deltas: Vec::new(),
            custom_values: histogram.custom_values.clone(),
        }),
        WriteHistogram::Float(histogram) => WriteHistogram::Float(FloatHistogram {
            reset_hint: histogram.reset_hint,
            zero_threshold: histogram.zero_threshold,
            ..FloatHistogram::empty(histogram.schema, histogram.custom_values.clone())
        }),
    }
}

impl Staged<'_> {
    /// What becomes of the batch, once it is published.
    pub fn outcome(&self) -> &AppendOutcome {
        &self.outcome
    }

    /// Ends a batch that has nothing for the log.
    pub fn finish(mut self) -> AppendOutcome {
        debug_assert!(self.is_empty());
        std::mem::take(&mut self.outcome)
    }

    /// Whether there is nothing for the log.
    pub fn is_empty(&self) -> bool {
        let rows = &self.rows;
        rows.floats.is_empty() && rows.histograms.is_empty() && rows.exemplars.is_empty() && rows.metadata.is_empty()
    }

    /// The oldest and the newest sample that is taken, late ones aside, in milliseconds since the Unix epoch.
    pub fn time_bounds(&self) -> Option<(i64, i64)> {
        self.rows.bounds()
    }

    /// Appends the batch's record to `payload`, to be written to `segment` of the log.
    pub fn encode(&self, segment: u64, payload: &mut Vec<u8>) {
        let rows = &*self.rows;
        let mut writer = Writer { bytes: payload };
        let undefined = |series: &&StagedSeries| series.segment != segment as u32;
        writer.count(rows.series.iter().filter(undefined).count());
        for series in rows.series.iter().filter(undefined) {
            writer.uvarint(series.id);
            writer.string(self.batch.series(series.entry as usize).labels.encoded());
        }
        for late in [false, true] {
            let matching = |row: &&FloatRow| row.late == late;
            let count = rows.floats.iter().filter(matching).count();
            writer.count(count);
            if count == 0 {
                continue;
            }
            let mut base = RowBase::default();
            for row in rows.floats.iter().filter(matching) {
                writer.row(&mut base, rows.series[row.slot as usize].id, row.timestamp_ms);
                writer.double(row.value);
            }
        }
        let mut base = RowBase::default();
        writer.count(rows.histograms.len());
        for row in &rows.histograms {
            let sample = (row.late, rows.histogram(self.batch, row));
            writer.histogram_row(&mut base, rows.series[row.slot as usize].id, row.timestamp_ms, sample);
        }
        writer.count(rows.exemplars.len());
        for row in &rows.exemplars {
            writer.exemplar(row.id, &self.batch.series(row.entry as usize).exemplars[row.index as usize]);
        }
        writer.count(rows.metadata.len());
        for index in &rows.metadata {
            writer.metadata(&self.batch.metadata[*index as usize]);
        }
    }
}
