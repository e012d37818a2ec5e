//! The side of a match of which a series may meet several others.

use norn_base::Result;
use norn_model::Labels;

use crate::evaluate::column::{Column, StepHistogram, Steps, has_bit, mark};
use crate::evaluate::run::{Held, Run};
use crate::evaluate::signature::{Signature, labels_from};
use crate::evaluate::table::{LabelsIndex, RowView, Table};
use crate::evaluate::{Series, Sink};
use crate::kernels::PointRef;
use crate::tree::VectorMatching;

/// All series of the *one* side by their signatures.
pub(super) struct OneSide {
    pub(super) table: Table,
    pub(super) signature: Signature,
    pub(super) signatures: LabelsIndex,
    /// For each signature its rows, of which at most one has a point at each step.
    pub(super) rows: Vec<Vec<usize>>,
    /// For each signature the steps at which any of its rows has a point.
    pub(super) present: Vec<Vec<u64>>,
    /// Pairs of rows of one signature that share steps, and those steps; no step is in two of them.
    pub(super) conflicts: Vec<(usize, usize, Vec<u64>)>,
    held: Held,
}

impl OneSide {
    pub(super) fn new(run: &Run<'_>, matching: &VectorMatching, steps: Steps) -> Self {
        Self {
            table: Table::new(run, steps),
            signature: Signature::new(matching),
            signatures: LabelsIndex::default(),
            rows: Vec::new(),
            present: Vec::new(),
            conflicts: Vec::new(),
            held: run.held(),
        }
    }

    /// Remembers with which rows of its signature a new one shares steps. Rows are only compared one by one where there
    /// is something to find: at most once for each step of the query.
    fn note_conflicts(&mut self, slot: usize, row: usize, column: &Column) {
        let mut shared = vec![0; column.present.len()];
        column.mark(&mut shared);
        shared.iter_mut().zip(&self.present[slot]).for_each(|(shared, present)| *shared &= present);
        for (.., known) in &self.conflicts {
            shared.iter_mut().zip(known).for_each(|(shared, known)| *shared &= !known);
        }
        for other in &self.rows[slot] {
            if shared.iter().all(|word| *word == 0) {
                return;
            }
            let mut with_other = shared_steps(self.table.row(*other), column);
            with_other.iter_mut().zip(&shared).for_each(|(steps, shared)| *steps &= shared);
            if with_other.iter().any(|word| *word != 0) {
                shared.iter_mut().zip(&with_other).for_each(|(shared, found)| *shared &= !found);
                self.conflicts.push((*other, row, with_other));
            }
        }
    }
}

impl Sink for OneSide {
    fn series(&mut self, run: &mut Run<'_>, series: Series<'_>) -> Result<()> {
        let encoded = self.signature.of(series.labels);
        let (slot, is_new) = self.signatures.insert(encoded, || labels_from(encoded));
        if is_new {
            let bytes = encoded.len() + 8 * series.column.present.len() + 96;
            run.hold(&mut self.held, 0, bytes as u64)?;
            self.rows.push(Vec::new());
            self.present.push(vec![0; series.column.present.len()]);
        }
        let row = self.table.push(run, series.labels.clone(), series.drop_name, series.column)?;
        if !is_new {
            self.note_conflicts(slot, row, series.column);
        }
        series.column.mark(&mut self.present[slot]);
        self.rows[slot].push(row);
        run.work(series.column.values.len())
    }
}

fn shared_steps(row: RowView<'_>, column: &Column) -> Vec<u64> {
    let mut left = vec![0; row.present.len()];
    mark(&mut left, row.present, row.histograms);
    let mut right = vec![0; row.present.len()];
    column.mark(&mut right);
    left.iter().zip(&right).map(|(left, right)| left & right).collect()
}

/// A series of the *one* side, or what stands for it.
pub(super) enum Operand<'a> {
    Row(RowView<'a>),
    Fill { labels: &'a Labels, value: f64 },
}

impl Operand<'_> {
    pub(super) fn labels(&self) -> &Labels {
        match self {
            Self::Row(row) => row.labels,
            Self::Fill { labels, .. } => labels,
        }
    }

    pub(super) fn histograms(&self) -> &[StepHistogram] {
        match self {
            Self::Row(row) => row.histograms,
            Self::Fill { .. } => &[],
        }
    }

    pub(super) fn present_word(&self, index: usize) -> u64 {
        match self {
            Self::Row(row) => row.present[index],
            Self::Fill { .. } => u64::MAX,
        }
    }

    pub(super) fn value(&self, step: usize) -> f64 {
        match self {
            Self::Row(row) => row.values[step],
            Self::Fill { value, .. } => *value,
        }
    }

    pub(super) fn point(&self, step: usize) -> Option<PointRef<'_>> {
        match self {
            Self::Fill { value, .. } => Some(PointRef::Float(*value)),
            Self::Row(row) if has_bit(row.present, step) => Some(PointRef::Float(row.values[step])),
            Self::Row(row) => {
                let index = row.histograms.binary_search_by_key(&step, |point| point.step).ok()?;
                Some(PointRef::Histogram(&row.histograms[index].histogram))
            }
        }
    }
}
