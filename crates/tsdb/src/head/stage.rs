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

use norn_model::write::{WriteBatch, WriteHistogram};
use parking_lot::RwLockReadGuard;

use super::Head;
use super::publish::Part;
use super::record::{RowBase, Writer};
use super::rejection::AppendOutcome;
use super::series::SeriesRef;
use super::shard::{SHARDS, shard_of_hash};

/// What a batch will bring, once the log has it.
pub struct Staged<'a> {
    pub(super) head: &'a Head,
    pub(super) batch: &'a WriteBatch,
    /// Keeps series from being removed between the two steps; `None` when it is over.
    pub(super) gate: Option<RwLockReadGuard<'a, ()>>,
    pub(super) rows: Rows,
    pub(super) outcome: AppendOutcome,
    pub(super) exemplars_max: usize,
    pub(super) now_s: u32,
}

/// The rows of a batch, sorted into what becomes of them. Kept between batches for its memory.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Places in the batch, grouped by shard.
    pub(super) by_shard: Vec<u32>,
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
    pub(super) missing: Vec<u32>,
    /// Those of them that have been made, or found after all.
    pub(super) resolved: Vec<(SeriesRef, u32)>,
    pub(super) created: Vec<SeriesRef>,
    /// Where the parts of the series that existed end in `series`, `floats` and `histograms`.
    pub(super) first_part: Part,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct StagedSeries {
    pub(super) reference: SeriesRef,
    /// Its first place in the batch.
    pub(super) entry: u32,
    pub(super) id: u64,
    /// The lowest bits of the segment that last defined it.
    pub(super) segment: u32,
    /// The newest sample that it will have.
    pub(super) pending_ms: i64,
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

impl Rows {
    pub(super) fn clear(&mut self) {
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

    /// Whether the memory behind the rows is worth keeping.
    pub(super) fn is_small(&self) -> bool {
        const SAMPLES_MAX: usize = 64 << 10;
        self.by_shard.capacity().max(self.floats.capacity()) <= SAMPLES_MAX && self.zeros.capacity() == 0
    }

    /// Groups the batch by shard; returns where each group ends.
    pub(super) fn group(&mut self, batch: &WriteBatch) -> [usize; SHARDS] {
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
        let rows = &self.rows;
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
