//! The second step of a batch: what is in the log becomes visible, or what is not is forgotten.

use super::rejection::AppendOutcome;
use super::series::{State, Value};
use super::shard::shard_of;
use super::stage::{Rows, Staged};

/// Where a part of a batch's rows ends.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Part {
    series: usize,
    floats: usize,
    histograms: usize,
}

impl Part {
    pub(super) fn end_of(rows: &Rows) -> Self {
        Self { series: rows.series.len(), floats: rows.floats.len(), histograms: rows.histograms.len() }
    }
}

impl Staged<'_> {
    /// Puts the batch in, now that `segment` of the log has it. Of each series readers see all of it or nothing.
    pub fn publish(mut self, segment: u64) -> AppendOutcome {
        let rows = std::mem::take(&mut self.rows);
        let (first, all) = (rows.first_part, Part::end_of(&rows));
        self.publish_part(&rows, Part::default(), first, segment);
        self.publish_part(&rows, first, all, segment);
        self.publish_new(&rows);
        self.publish_exemplars(&rows);
        if !rows.metadata.is_empty() {
            let mut store = self.head.metadata.lock();
            for index in &rows.metadata {
                store.add(&self.batch.metadata[*index as usize], self.now_s);
            }
        }
        if let Some((min_ms, max_ms)) = rows.bounds() {
            self.head.widen(min_ms, max_ms);
        }
        self.gate = None;
        self.head.keep_rows(rows);
        std::mem::take(&mut self.outcome)
    }

    /// Publishes rows that are sorted by shard, each shard's under one lock.
    fn publish_part(&self, rows: &Rows, mut from: Part, to: Part, segment: u64) {
        let shard_at = |slot: u32| shard_of(rows.series[slot as usize].reference);
        while from.series < to.series {
            let number = shard_of(rows.series[from.series].reference);
            let mut shard = self.head.shards[number].lock();
            while from.series < to.series && shard_of(rows.series[from.series].reference) == number {
                let series = shard.series_mut(rows.series[from.series].reference);
                series.segment = segment as u32;
                from.series += 1;
            }
            while from.floats < to.floats && shard_at(rows.floats[from.floats].slot) == number {
                let row = &rows.floats[from.floats];
                let series = shard.series_mut(rows.series[row.slot as usize].reference);
                series.active_s = self.now_s;
                if row.late {
                    series.insert_late(row.timestamp_ms, Value::Float(row.value));
                } else {
                    series.append_float(&self.head.rules, row.timestamp_ms, row.value);
                }
                from.floats += 1;
            }
            while from.histograms < to.histograms && shard_at(rows.histograms[from.histograms].slot) == number {
                let row = &rows.histograms[from.histograms];
                let series = shard.series_mut(rows.series[row.slot as usize].reference);
                let histogram = rows.histogram(self.batch, row);
                series.active_s = self.now_s;
                if row.late {
                    series.insert_late(row.timestamp_ms, Value::Histogram(histogram));
                } else {
                    series.append_histogram(&self.head.rules, row.timestamp_ms, histogram);
                }
                from.histograms += 1;
            }
        }
    }

    /// Makes new series findable, also those that another batch has made and not published yet.
    fn publish_new(&self, rows: &Rows) {
        let first_new = rows.first_part.series;
        let mut candidates: Vec<_> = rows.series[first_new..].iter().map(|series| series.reference).collect();
        let staged_by_others = rows.series[..first_new].iter().filter(|series| series.unpublished);
        candidates.extend(staged_by_others.map(|series| series.reference));
        if candidates.is_empty() {
            return;
        }
        candidates.sort_unstable();
        candidates.dedup();
        let mut index = self.head.index.write();
        candidates.retain(|reference| {
            let mut shard = self.head.shards[shard_of(*reference)].lock();
            let series = shard.series_mut(*reference);
            let is_new = series.state == State::Staged;
            series.state = State::Published;
            is_new
        });
        index.publish(&candidates);
    }

    fn publish_exemplars(&self, rows: &Rows) {
        if rows.exemplars.is_empty() {
            return;
        }
        let mut store = self.head.exemplars.lock();
        for row in &rows.exemplars {
            let series = self.batch.series(row.entry as usize);
            let exemplar = series.exemplars[row.index as usize].clone();
            store.add(row.id, || series.labels.to_owned(), exemplar, self.exemplars_max);
        }
    }
}

impl Drop for Staged<'_> {
    /// What was staged and not published is forgotten. New series that it alone has go as soon as nobody else stages.
    fn drop(&mut self) {
        if self.gate.take().is_some() && !self.rows.created.is_empty() {
            self.head.forget_staged(&self.rows.created);
        }
    }
}
