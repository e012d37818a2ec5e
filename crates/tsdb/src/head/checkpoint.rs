//! A head as the records of a checkpoint.

use std::io;
use std::sync::atomic::Ordering;

use norn_model::select::Projection;

use super::Head;
use super::open_chunk::HeadChunk;
use super::record::{RECORD_BATCH, RECORD_CHECKPOINT_HEAD, RECORD_CHECKPOINT_SERIES, Writer};
use super::series::{SeriesRef, State};
use super::shard::shard_of;

/// Exemplars and metadata are put into records of about this size.
const RECORD_BYTES: usize = 256 << 10;

impl Head {
    /// Hands out records, each a type and a payload, from which a replay makes this head again.
    ///
    /// What is published before the call is in them, what is published meanwhile may be. Cost: a walk over all series;
    /// locks are held for one series at a time.
    pub fn checkpoint(&self, mut write: impl FnMut(u8, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut payload = Vec::new();
        let mut writer = Writer { bytes: &mut payload };
        writer.varint(self.floor_ms());
        writer.uvarint(self.next_id.load(Ordering::Acquire));
        write(RECORD_CHECKPOINT_HEAD, &payload)?;
        let mut chunks = Vec::new();
        for reference in self.published() {
            payload.clear();
            if self.checkpoint_series(reference, &mut chunks, &mut payload) {
                write(RECORD_CHECKPOINT_SERIES, &payload)?;
            }
        }
        self.checkpoint_rest(write)
    }

    fn published(&self) -> Vec<SeriesRef> {
        let mut all = Vec::new();
        for (number, shard) in self.shards.iter().enumerate() {
            let shard = shard.lock();
            let published = shard.iter(number).filter(|(_, series)| series.state == State::Published);
            all.extend(published.map(|(reference, _)| reference));
        }
        all
    }

    fn checkpoint_series(&self, reference: SeriesRef, chunks: &mut Vec<HeadChunk>, payload: &mut Vec<u8>) -> bool {
        let index = self.index.read();
        let shard = self.shards[shard_of(reference)].lock();
        let Some(series) = shard.get(reference).filter(|series| series.state == State::Published) else {
            return false;
        };
        let mut writer = Writer { bytes: payload };
        writer.uvarint(series.id);
        let labels = index.label_set(reference, &Projection::All, &mut Vec::new());
        writer.string(labels.encoded());
        writer.uvarint(u64::from(series.active_s));
        chunks.clear();
        series.collect_chunks(i64::MIN, i64::MAX, chunks);
        write_chunks(&mut writer, chunks);
        chunks.clear();
        if let Some(late) = series.late() {
            late.collect_chunks(i64::MIN, i64::MAX, chunks);
        }
        write_chunks(&mut writer, chunks);
        true
    }

    /// Hands out records with the exemplars and the metadata, which no block has. They stand on their own: each defines
    /// the series that it refers to, also those that have left the head.
    pub(crate) fn checkpoint_rest(&self, mut write: impl FnMut(u8, &[u8]) -> io::Result<()>) -> io::Result<()> {
        let exemplars = self.exemplars.lock().all();
        let metadata = self.metadata(None);
        let (mut exemplars, mut metadata) = (exemplars.into_iter().peekable(), metadata.into_iter().peekable());
        while exemplars.peek().is_some() || metadata.peek().is_some() {
            let (mut definitions, mut exemplar_rows, mut metadata_rows) =
                (Rows::default(), Rows::default(), Rows::default());
            while exemplar_rows.bytes.len() < RECORD_BYTES
                && let Some((id, series)) = exemplars.next()
            {
                definitions.add(|writer| {
                    writer.uvarint(id);
                    writer.string(series.labels.encoded());
                });
                series.exemplars.iter().for_each(|exemplar| exemplar_rows.add(|writer| writer.exemplar(id, exemplar)));
            }
            while metadata_rows.bytes.len() < RECORD_BYTES
                && let Some(metadata) = metadata.next()
            {
                metadata_rows.add(|writer| writer.metadata(&metadata));
            }
            // Floats, late floats and histograms are empty sections.
            let none = Rows::default;
            let mut payload = Vec::new();
            for rows in [definitions, none(), none(), none(), exemplar_rows, metadata_rows] {
                Writer { bytes: &mut payload }.count(rows.count);
                payload.extend_from_slice(&rows.bytes);
            }
            write(RECORD_BATCH, &payload)?;
        }
        Ok(())
    }
}

/// A section of a record.
#[derive(Default)]
struct Rows {
    count: usize,
    bytes: Vec<u8>,
}

impl Rows {
    fn add(&mut self, write: impl FnOnce(&mut Writer<'_>)) {
        write(&mut Writer { bytes: &mut self.bytes });
        self.count += 1;
    }
}

fn write_chunks(writer: &mut Writer<'_>, chunks: &[HeadChunk]) {
    writer.count(chunks.len());
    for chunk in chunks {
        writer.bytes.push(chunk.encoding.code());
        writer.varint(chunk.min_ms);
        writer.varint(chunk.max_ms);
        writer.string(&chunk.data);
    }
}
