//! Series that an operator has to keep: one piece of memory for all of their columns.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use norn_base::{Error, ErrorKind, Result};
use norn_model::Labels;

use super::Series;
use super::column::{Column, StepHistogram, has_bit, mark};
use super::run::{Held, Run};
use crate::evaluate::column::Steps;

const HASHER: FixedState = FixedState::with_seed(0);

/// The hash of a label set within one evaluation.
fn hash_labels(encoded: &[u8]) -> u64 {
    HASHER.hash_one(encoded)
}

/// Series as rows.
#[derive(Debug)]
pub(crate) struct Table {
    steps: Steps,
    rows: Vec<Row>,
    /// `steps.count` for each row.
    values: Vec<f64>,
    /// `steps.words()` for each row.
    present: Vec<u64>,
    /// As long as there are rows up to the last one with histograms.
    histograms: Vec<Vec<StepHistogram>>,
    held: Held,
}

#[derive(Debug)]
struct Row {
    labels: Labels,
    drop_name: bool,
}

/// One row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowView<'a> {
    pub(crate) labels: &'a Labels,
    /// Whether the metric's name goes at the end of the query.
    pub(crate) drop_name: bool,
    pub(crate) values: &'a [f64],
    pub(crate) present: &'a [u64],
    pub(crate) histograms: &'a [StepHistogram],
}

impl Table {
    pub(crate) fn new(run: &Run<'_>, steps: Steps) -> Self {
        let held = run.held();
        Self { steps, rows: Vec::new(), values: Vec::new(), present: Vec::new(), histograms: Vec::new(), held }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn row(&self, index: usize) -> RowView<'_> {
        let (count, words) = (self.steps.count, self.steps.words());
        RowView {
            labels: &self.rows[index].labels,
            drop_name: self.rows[index].drop_name,
            values: &self.values[index * count..(index + 1) * count],
            present: &self.present[index * words..(index + 1) * words],
            histograms: self.histograms.get(index).map_or(&[], Vec::as_slice),
        }
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = RowView<'_>> {
        (0..self.len()).map(|index| self.row(index))
    }

    /// Adds a row and returns its index.
    pub(crate) fn push(&mut self, run: &Run<'_>, labels: Labels, drop_name: bool, column: &Column) -> Result<usize> {
        self.hold(run, labels.encoded().len() + 40, column)?;
        let index = self.rows.len();
        self.rows.push(Row { labels, drop_name });
        self.values.extend_from_slice(&column.values);
        self.present.extend_from_slice(&column.present);
        self.set_histograms(index, &column.histograms);
        Ok(index)
    }

    /// Puts another series in the place of a row.
    pub(crate) fn replace(
        &mut self,
        run: &Run<'_>,
        index: usize,
        labels: Labels,
        drop_name: bool,
        column: &Column,
    ) -> Result<()> {
        run.hold(&mut self.held, 0, histogram_bytes(&column.histograms))?;
        let (count, words) = (self.steps.count, self.steps.words());
        self.rows[index] = Row { labels, drop_name };
        self.values[index * count..(index + 1) * count].copy_from_slice(&column.values);
        self.present[index * words..(index + 1) * words].copy_from_slice(&column.present);
        if let Some(histograms) = self.histograms.get_mut(index) {
            histograms.clear();
        }
        self.set_histograms(index, &column.histograms);
        Ok(())
    }

    fn hold(&mut self, run: &Run<'_>, label_bytes: usize, column: &Column) -> Result<()> {
        let bytes = label_bytes + 8 * (column.values.len() + column.present.len());
        run.hold(&mut self.held, column.len() as u64, bytes as u64 + histogram_bytes(&column.histograms))
    }

    fn set_histograms(&mut self, index: usize, histograms: &[StepHistogram]) {
        if histograms.is_empty() {
            return;
        }
        if self.histograms.len() <= index {
            self.histograms.resize_with(index + 1, Vec::new);
        }
        self.histograms[index].extend_from_slice(histograms);
    }

    /// Adds points to a row; fails where it has one at a step already.
    fn merge(&mut self, run: &Run<'_>, index: usize, drop_name: bool, column: &Column) -> Result<()> {
        self.hold(run, 0, column)?;
        let (count, words) = (self.steps.count, self.steps.words());
        let mut bitmap = vec![0; words];
        column.mark(&mut bitmap);
        let row = self.row(index);
        let overlaps = row.present.iter().zip(&bitmap).any(|(left, right)| left & right != 0)
            || row.histograms.iter().any(|point| has_bit(&bitmap, point.step));
        if overlaps {
            return Err(same_labelset());
        }
        self.rows[index].drop_name |= drop_name;
        let values = &mut self.values[index * count..(index + 1) * count];
        column.for_each_float(|step, value| values[step] = value);
        mark(&mut self.present[index * words..(index + 1) * words], &column.present, &[]);
        self.set_histograms(index, &column.histograms);
        if let Some(histograms) = self.histograms.get_mut(index) {
            histograms.sort_by_key(|point| point.step);
        }
        Ok(())
    }

    /// Copies a row to a column.
    pub(crate) fn load(&self, index: usize, column: &mut Column) {
        let row = self.row(index);
        column.values.clear();
        column.values.extend_from_slice(row.values);
        column.present.clear();
        column.present.extend_from_slice(row.present);
        column.histograms.clear();
        column.histograms.extend_from_slice(row.histograms);
    }
}

fn histogram_bytes(histograms: &[StepHistogram]) -> u64 {
    let bytes = |point: &StepHistogram| {
        let histogram = &point.histogram;
        200 + 8 * (histogram.positive_buckets.len() + histogram.negative_buckets.len())
    };
    histograms.iter().map(bytes).sum::<usize>() as u64
}

/// Two series have equal labels at one step.
pub(crate) fn same_labelset() -> Error {
    Error::new(ErrorKind::Unprocessable, "vector cannot contain metrics with the same labelset")
}

/// Label sets with a number each, in the order in which they were added.
#[derive(Debug, Default)]
pub(crate) struct LabelsIndex {
    slots: HashTable<Slot>,
    labels: Vec<Labels>,
}

/// The hash lies beside the number, so that growing the table and most misses read no label set.
#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: u64,
    index: usize,
}

impl LabelsIndex {
    pub(crate) fn len(&self) -> usize {
        self.labels.len()
    }

    pub(crate) fn labels(&self, index: usize) -> &Labels {
        &self.labels[index]
    }

    pub(crate) fn find(&self, encoded: &[u8]) -> Option<usize> {
        self.find_hashed(hash_labels(encoded), encoded)
    }

    fn find_hashed(&self, hash: u64, encoded: &[u8]) -> Option<usize> {
        let is_equal = |slot: &Slot| slot.hash == hash && self.labels[slot.index].encoded() == encoded;
        self.slots.find(hash, is_equal).map(|slot| slot.index)
    }

    /// The number of a label set, and whether it is new; `labels` is called where it is.
    pub(crate) fn insert(&mut self, encoded: &[u8], labels: impl FnOnce() -> Labels) -> (usize, bool) {
        let hash = hash_labels(encoded);
        if let Some(index) = self.find_hashed(hash, encoded) {
            return (index, false);
        }
        let index = self.labels.len();
        self.labels.push(labels());
        self.slots.insert_unique(hash, Slot { hash, index }, |slot| slot.hash);
        (index, true)
    }
}

/// A table in which parts of one series are put together.
#[derive(Debug)]
pub(crate) struct MergedTable {
    pub(crate) table: Table,
    index: LabelsIndex,
}

impl MergedTable {
    pub(crate) fn new(run: &Run<'_>, steps: Steps) -> Self {
        Self { table: Table::new(run, steps), index: LabelsIndex::default() }
    }

    /// Adds a series, or points to one that is there; fails where it has a point at a step already.
    pub(crate) fn add(&mut self, run: &Run<'_>, labels: &Labels, drop_name: bool, column: &Column) -> Result<()> {
        let (row, is_new) = self.index.insert(labels.encoded(), || labels.clone());
        if is_new {
            self.table.push(run, labels.clone(), drop_name, column).map(drop)
        } else {
            self.table.merge(run, row, drop_name, column)
        }
    }
}

impl super::Sink for MergedTable {
    fn series(&mut self, run: &mut Run<'_>, series: Series<'_>) -> Result<()> {
        self.add(run, series.labels, series.drop_name, series.column)
    }
}

impl super::Sink for Table {
    fn series(&mut self, run: &mut Run<'_>, series: Series<'_>) -> Result<()> {
        self.push(run, series.labels.clone(), series.drop_name, series.column).map(drop)
    }
}
