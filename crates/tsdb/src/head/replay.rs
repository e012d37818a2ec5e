//! Bringing a head back from the log. Replay decides nothing: what the log has was accepted, and goes in.
//!
//! A sample that is not newer than its series' newest one goes to the late samples, as it did, or could have done, when
//! it was published. Left out is only what is elsewhere: in a block, or in the checkpoint that was read before.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use norn_model::Labels;
use norn_model::labels::LabelsRef;
use norn_model::select::Projection;

use super::Head;
use super::open_chunk::HeadChunk;
use super::record::{
    RECORD_BATCH, RECORD_CHECKPOINT_HEAD, RECORD_CHECKPOINT_SERIES, Reader, RecordError, Row, read_batch,
};
use super::series::{Series, SeriesRef, State, Value};
use super::shard::{reference_at, shard_of, shard_of_hash};
use crate::chunk::Encoding;

/// New series become findable in groups of this size.
const PUBLISH_SERIES: usize = 4096;

/// What a record brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Replayed {
    /// Float samples and histograms that went in.
    pub samples: u64,
    /// Those that blocks have.
    pub in_blocks: u64,
    /// Rows whose series no record before has defined: their definition was lost with a damaged record.
    pub without_series: u64,
    /// The newest sample in the record that is not late, wherever it went.
    pub max_ms: Option<i64>,
    /// Whether late samples went in.
    pub late: bool,
    /// Whether it has exemplars.
    pub exemplars: bool,
}

/// The replay of one tenant.
pub struct HeadReplay {
    head: Arc<Head>,
    references: HashMap<u64, SeriesRef, foldhash::fast::RandomState>,
    /// The newest sample of each series that a checkpoint brought: the log repeats some of them.
    checkpoint_last_ms: HashMap<SeriesRef, i64, foldhash::fast::RandomState>,
    new: Vec<SeriesRef>,
    exemplars_max: usize,
    now_s: u32,
}

impl HeadReplay {
    /// Begins to fill an empty head. `exemplars_max` exemplars are kept; `now_s` is in seconds since the Unix epoch.
    pub fn new(head: Arc<Head>, exemplars_max: usize, now_s: u32) -> Self {
        Self {
            head,
            references: HashMap::default(),
            checkpoint_last_ms: HashMap::default(),
            new: Vec::new(),
            exemplars_max,
            now_s,
        }
    }

    /// Applies a record. `skip_late`: blocks have its late samples.
    ///
    /// On an error, what stands before the damage has been applied.
    pub fn apply(&mut self, kind: u8, payload: &[u8], skip_late: bool) -> Result<Replayed, RecordError> {
        let mut replayed = Replayed::default();
        match kind {
            RECORD_BATCH => read_batch(payload, |row| self.apply_row(row, skip_late, &mut replayed))?,
            RECORD_CHECKPOINT_SERIES => self.restore(payload, skip_late)?,
            RECORD_CHECKPOINT_HEAD => {
                let mut reader = Reader::new(payload);
                self.head.raise_floor(reader.varint()?);
                self.head.next_id.fetch_max(reader.uvarint()?, Ordering::AcqRel);
                reader.end()?;
            }
            _ => return Err(RecordError::Damaged { offset: 0, what: "unknown record type" }),
        }
        Ok(replayed)
    }

    /// Ends the replay: all series can be found, but those of which the log had only exemplars, or what blocks have.
    pub fn finish(mut self) {
        self.publish();
        self.head.truncate(self.head.floor_ms());
    }

    fn publish(&mut self) {
        self.new.sort_unstable();
        self.head.index.write().publish(&self.new);
        self.new.clear();
    }

    fn apply_row(&mut self, row: Row<'_>, skip_late: bool, replayed: &mut Replayed) {
        match row {
            Row::Definition { series, labels } => {
                self.define(series, labels);
            }
            Row::Float { series, timestamp_ms, value, late } => {
                self.apply_sample((series, timestamp_ms), Value::Float(value), (late, skip_late), replayed);
            }
            Row::Histogram { series, timestamp_ms, histogram, late } => {
                let value = Value::Histogram(&histogram);
                self.apply_sample((series, timestamp_ms), value, (late, skip_late), replayed);
            }
            Row::Exemplar { series, exemplar } => {
                replayed.exemplars = true;
                let Some(reference) = self.references.get(&series) else {
                    replayed.without_series += 1;
                    return;
                };
                let labels = self.labels(*reference);
                self.head.exemplars.lock().add(series, || labels, exemplar, self.exemplars_max);
            }
            Row::Metadata(metadata) => self.head.metadata.lock().add(&metadata, self.now_s),
        }
    }

    fn labels(&self, reference: SeriesRef) -> Labels {
        self.head.index.read().label_set(reference, &Projection::All, &mut Vec::new())
    }

    fn apply_sample(
        &mut self,
        (series, timestamp_ms): (u64, i64),
        value: Value<'_>,
        (late, skip_late): (bool, bool),
        replayed: &mut Replayed,
    ) {
        if !late {
            replayed.max_ms = replayed.max_ms.max(Some(timestamp_ms));
        }
        if if late { skip_late } else { timestamp_ms < self.head.floor_ms() } {
            replayed.in_blocks += 1;
            return;
        }
        let Some(reference) = self.references.get(&series).copied() else {
            replayed.without_series += 1;
            return;
        };
        if !late && self.checkpoint_last_ms.get(&reference).is_some_and(|last_ms| timestamp_ms <= *last_ms) {
            return;
        }
        replayed.samples += 1;
        replayed.late |= late;
        let mut shard = self.head.shards[shard_of(reference)].lock();
        let series = shard.series_mut(reference);
        series.active_s = series.active_s.max(u32::try_from(timestamp_ms / 1000).unwrap_or(0));
        match value {
            _ if late => series.insert_late(timestamp_ms, value),
            Value::Float(value) => series.append_float(&self.head.rules, timestamp_ms, value),
            Value::Histogram(histogram) => series.append_histogram(&self.head.rules, timestamp_ms, histogram),
        }
        drop(shard);
        if !late {
            self.head.widen(timestamp_ms, timestamp_ms);
        }
    }

    /// Finds or makes the series that a record calls `id`.
    fn define(&mut self, id: u64, labels: LabelsRef<'_>) -> SeriesRef {
        let (hash, fingerprint) = (labels.stable_hash(), self.head.fingerprint(labels));
        self.head.next_id.fetch_max(id.saturating_add(1), Ordering::AcqRel);
        let number = shard_of_hash(hash);
        let mut index = self.head.index.write();
        let mut shard = self.head.shards[number].lock();
        let reference = match shard.find(hash, fingerprint) {
            Some(place) => {
                let reference = reference_at(place, number);
                shard.series_mut(reference).id = id;
                reference
            }
            None => {
                let mut series = Series::new(hash, fingerprint, id);
                series.state = State::Published;
                let reference = shard.insert(number, series);
                index.define(reference, labels);
                self.head.series_count.fetch_add(1, Ordering::Relaxed);
                self.new.push(reference);
                reference
            }
        };
        drop(shard);
        drop(index);
        self.references.insert(id, reference);
        if self.new.len() >= PUBLISH_SERIES {
            self.publish();
        }
        reference
    }

    /// Restores a series from a checkpoint, as far as blocks do not have it.
    fn restore(&mut self, payload: &[u8], skip_late: bool) -> Result<(), RecordError> {
        let mut reader = Reader::new(payload);
        let (id, labels, active_s) = (reader.uvarint()?, reader.labels()?, reader.uvarint()?);
        let (mut chunks, mut late) = (read_chunks(&mut reader)?, read_chunks(&mut reader)?);
        reader.end()?;
        let reference = self.define(id, labels);
        if let Some(last) = chunks.last() {
            self.checkpoint_last_ms.insert(reference, last.max_ms);
        }
        let floor_ms = self.head.floor_ms();
        chunks.retain(|chunk| chunk.max_ms >= floor_ms);
        if skip_late {
            late.clear();
        }
        if let (Some(first), Some(last)) = (chunks.first(), chunks.last()) {
            self.head.widen(first.min_ms, last.max_ms);
        }
        let mut shard = self.head.shards[shard_of(reference)].lock();
        let series = shard.series_mut(reference);
        series.active_s = u32::try_from(active_s).unwrap_or(0);
        series.restore(&self.head.rules, chunks, late);
        Ok(())
    }
}

fn read_chunks(reader: &mut Reader<'_>) -> Result<Vec<HeadChunk>, RecordError> {
    let count = reader.rows()?;
    let mut chunks = Vec::with_capacity(count);
    for _ in 0..count {
        let code = reader.byte()?;
        let (min_ms, max_ms) = (reader.varint()?, reader.varint()?);
        let data = reader.string()?;
        let encoding = Encoding::from_code(code)
            .map_err(|_| RecordError::Damaged { offset: 0, what: "unknown encoding of a chunk" })?;
        chunks.push(HeadChunk { min_ms, max_ms, encoding, data: data.into() });
    }
    Ok(chunks)
}
