//! Arithmetic and comparison between two vectors: series meet by the labels that the matching names.
//!
//! The side of which a series may meet several others, the *one* side, is read first and kept; the *many* side streams
//! past it. For one-to-one matching the right side is kept. Of two sides the smaller would be the better one to keep,
//! but which it is nobody knows before both have been read.
//!
//! Source: Prometheus `promql/engine.go`, `VectorBinop` and `resultMetric`.

mod one_side;

use std::sync::Arc;

use norn_base::{Error, ErrorKind, Result};
use norn_model::labels::LabelsBuilder;
use norn_model::{FloatHistogram, Labels};

use self::one_side::{OneSide, Operand};
use super::column::{Column, StepHistogram, Steps, for_each_bit};
use super::operate::{arithmetic, compares, is_float_operation};
use super::run::{Held, Run};
use super::signature::Signature;
use super::table::{LabelsIndex, same_labelset};
use super::{Series, Sink, stream as stream_vector};
use crate::kernels::binary::{self, Outcome};
use crate::kernels::{PointRef, PointValue};
use crate::plan::invariant::drops_name;
use crate::plan::needs::METADATA_LABELS;
use crate::plan::node::Match;
use crate::tree::{Cardinality, VectorMatching};

pub(super) async fn stream(run: &mut Run<'_>, matched: &Match, steps: Steps, sink: &mut dyn Sink) -> Result<()> {
    let is_one_left = matched.matching.cardinality == Cardinality::OneToMany;
    let (one, many) = if is_one_left { (&matched.left, &matched.right) } else { (&matched.right, &matched.left) };
    let mut one_side = OneSide::new(run, &matched.matching, steps);
    stream_vector(run, one, steps, &mut one_side).await?;
    let mut many_side = ManySide::new(run, matched, one_side, steps, sink);
    many_side.check_conflict_with_fill()?;
    stream_vector(run, many, steps, &mut many_side).await?;
    many_side.finish(run)
}

/// What a missing series of the *one* side counts as: by the name it has where the right side is the *one* side. As in
/// the original it is not turned around with the sides.
fn fill_of_one(matching: &VectorMatching) -> Option<f64> {
    matching.fill_right
}

/// What a missing series of the *many* side counts as.
fn fill_of_many(matching: &VectorMatching) -> Option<f64> {
    matching.fill_left
}

/// Streams the *many* side past the kept one.
struct ManySide<'a> {
    matched: &'a Match,
    one: Arc<OneSide>,
    signature: Signature,
    steps: Steps,
    /// Steps at which the *many* side has any point.
    present: Vec<u64>,
    /// For each signature of the *one* side the steps at which a series met another. Only kept where needed.
    met: Vec<Vec<u64>>,
    keeps_met: bool,
    /// Label sets of results, to notice two of them at one step. Only kept where they can be equal.
    results: LabelsIndex,
    result_steps: Vec<(Vec<u8>, Vec<u64>)>,
    output: Column,
    /// Memory for the steps at which two series met.
    met_now: Vec<u64>,
    names_drop: bool,
    held: Held,
    sink: &'a mut dyn Sink,
}

impl<'a> ManySide<'a> {
    fn new(run: &Run<'_>, matched: &'a Match, one: OneSide, steps: Steps, sink: &'a mut dyn Sink) -> Self {
        let one_to_one = matched.matching.cardinality == Cardinality::OneToOne;
        let keeps_met = one_to_one || fill_of_many(&matched.matching).is_some();
        let met = if keeps_met { vec![Vec::new(); one.rows.len()] } else { Vec::new() };
        Self {
            matched,
            signature: one.signature.clone(),
            one: Arc::new(one),
            steps,
            present: vec![0; steps.words()],
            met,
            keeps_met,
            results: LabelsIndex::default(),
            result_steps: Vec::new(),
            output: Column::default(),
            met_now: Vec::new(),
            names_drop: drops_name(matched.op) || (matched.returns_bool && !matched.delayed_name_removal),
            held: run.held(),
            sink,
        }
    }

    /// With a fill value the original looks for duplicates even where the other side is empty.
    fn check_conflict_with_fill(&self) -> Result<()> {
        let matching = &self.matched.matching;
        let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
        if fills { self.check_conflict(None) } else { Ok(()) }
    }

    /// Fails where two series of the *one* side are equal at a step at which the *many* side has anything.
    fn check_conflict(&self, present: Option<&[u64]>) -> Result<()> {
        let matters = |shared: &Vec<u64>| {
            present.is_none_or(|present| shared.iter().zip(present).any(|(left, right)| left & right != 0))
        };
        let Some((left, right, _)) = self.one.conflicts.iter().find(|(.., shared)| matters(shared)) else {
            return Ok(());
        };
        let side = if self.matched.matching.cardinality == Cardinality::OneToMany { "left" } else { "right" };
        let labels = self.one.table.row(*left).labels;
        let group = self.signature.clone().labels_of(labels);
        let mut shown = [format!("{labels:?}"), format!("{:?}", self.one.table.row(*right).labels)];
        shown.sort_unstable();
        Err(unprocessable(format!(
            "found duplicate series for the match group {group:?} on the {side} hand-side of the operation: [{}, \
             {}];many-to-many matching not allowed: matching labels must be unique on one side",
            shown[0], shown[1]
        )))
    }

    /// Combines a series with one of the other side, or with a fill value, and hands the result on.
    fn combine(
        &mut self,
        run: &mut Run<'_>,
        many: (&Labels, &Column),
        one: Operand<'_>,
        slot: Option<usize>,
    ) -> Result<()> {
        let (many_labels, column) = many;
        let mut output = std::mem::take(&mut self.output);
        let mut met = std::mem::take(&mut self.met_now);
        output.reset(self.steps);
        met.clear();
        met.resize(self.steps.words(), 0);
        self.compute(run, column, &one, &mut output, &mut met);
        let handed_on = self.hand_on(run, many_labels, one.labels(), slot, &mut output, &met);
        (self.output, self.met_now) = (output, met);
        run.work(self.steps.count)?;
        handed_on
    }

    /// Checks that a result may be, and hands it on.
    fn hand_on(
        &mut self,
        run: &mut Run<'_>,
        many: &Labels,
        one: &Labels,
        slot: Option<usize>,
        output: &mut Column,
        met: &[u64],
    ) -> Result<()> {
        if met.iter().all(|word| *word == 0) {
            return Ok(());
        }
        if let Some(slot) = slot.filter(|_| self.keeps_met) {
            self.mark_met(run, slot, met)?;
        }
        let labels = self.result_labels(many, one);
        self.check_result(run, slot, many, &labels, met)?;
        if output.is_empty() {
            return Ok(());
        }
        // As in the original, a comparison forgets that its input was to lose its name at the end.
        let drop_name = self.matched.returns_bool;
        let metric_name = labels.metric_name();
        self.sink.series(run, Series { labels: &labels, metric_name, drop_name, column: output })
    }

    fn mark_met(&mut self, run: &Run<'_>, slot: usize, met: &[u64]) -> Result<()> {
        let known = &mut self.met[slot];
        if known.is_empty() {
            run.hold(&mut self.held, 0, 8 * met.len() as u64)?;
            known.resize(met.len(), 0);
        }
        let again = known.iter().zip(met).any(|(known, met)| known & met != 0);
        if again && self.matched.matching.cardinality == Cardinality::OneToOne {
            return Err(unprocessable(
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
                    .to_owned(),
            ));
        }
        known.iter_mut().zip(met).for_each(|(known, met)| *known |= met);
        Ok(())
    }

    /// Fails where a result has the labels of another one at the same step.
    fn check_result(
        &mut self,
        run: &Run<'_>,
        slot: Option<usize>,
        many: &Labels,
        labels: &Labels,
        met: &[u64],
    ) -> Result<()> {
        // One-to-one results are as distinct as the signatures; so are others as long as they keep all labels.
        let is_distinct = self.matched.matching.cardinality == Cardinality::OneToOne
            || (self.matched.matching.include.is_empty() && self.matched.many_has_one_name);
        if is_distinct {
            return Ok(());
        }
        let signature = match slot {
            Some(slot) => self.one.signatures.labels(slot).encoded().to_vec(),
            None => self.signature.of(many).to_vec(),
        };
        let (index, is_new) = self.results.insert(labels.encoded(), || labels.clone());
        if is_new {
            let bytes = labels.encoded().len() + signature.len() + 8 * met.len() + 72;
            run.hold(&mut self.held, 0, bytes as u64)?;
            self.result_steps.push((signature, met.to_vec()));
            return Ok(());
        }
        let (known_signature, known) = &mut self.result_steps[index];
        if known.iter().zip(met).any(|(known, met)| known & met != 0) {
            return Err(if *known_signature == signature {
                unprocessable("multiple matches for labels: grouping labels must ensure unique matches".to_owned())
            } else {
                same_labelset()
            });
        }
        known.iter_mut().zip(met).for_each(|(known, met)| *known |= met);
        Ok(())
    }

    /// Source: Prometheus `resultMetric`.
    fn result_labels(&self, many: &Labels, one: &Labels) -> Labels {
        let matching = &self.matched.matching;
        let one_to_one = matching.cardinality == Cardinality::OneToOne;
        let keep = |name: &str| {
            if self.names_drop && METADATA_LABELS.contains(&name) {
                return false;
            }
            !one_to_one || matching.labels.iter().any(|label| label == name) == matching.on
        };
        let kept = many.filtered(keep);
        if matching.include.is_empty() {
            return kept;
        }
        let mut builder = LabelsBuilder::from(&kept);
        for name in &matching.include {
            builder.set(name, one.get(name).unwrap_or(""));
        }
        builder.build()
    }

    fn compute(&self, run: &mut Run<'_>, many: &Column, one: &Operand<'_>, output: &mut Column, met: &mut [u64]) {
        let swapped = self.matched.matching.cardinality == Cardinality::OneToMany;
        let mut histograms = Vec::new();
        let mut general =
            |run: &mut Run<'_>, step: usize, many: PointRef<'_>, one: PointRef<'_>, output: &mut Column| {
                let (left, right) = if swapped { (one, many) } else { (many, one) };
                let outcome = self.operate(run, left, right);
                let Some((keep, value)) = outcome else { return };
                met[step / 64] |= 1 << (step % 64);
                match (self.matched.returns_bool, keep, value) {
                    (true, keep, _) => output.set(step, f64::from(keep)),
                    (false, false, _) => {}
                    (false, true, PointValue::Float(value)) => output.set(step, value),
                    (false, true, PointValue::Histogram(histogram)) => {
                        histograms.push(StepHistogram { step, histogram: Arc::<FloatHistogram>::from(histogram) });
                    }
                }
            };
        if many.histograms.is_empty() && one.histograms().is_empty() && is_float_operation(self.matched.op) {
            return self.compute_floats(many, one, output, met);
        }
        for step in 0..self.steps.count {
            if let (Some(many), Some(one)) = (many.point(step), one.point(step)) {
                general(run, step, many, one, output);
            }
        }
        output.histograms = histograms;
    }

    /// The common case: no histogram on either side.
    fn compute_floats(&self, many: &Column, one: &Operand<'_>, output: &mut Column, met: &mut [u64]) {
        let swapped = self.matched.matching.cardinality == Cardinality::OneToMany;
        for (index, word) in met.iter_mut().enumerate() {
            *word = many.present[index] & one.present_word(index);
        }
        let arithmetic = arithmetic(self.matched.op);
        for_each_bit(met, |step| {
            let (many, one) = (many.values[step], one.value(step));
            let (left, right) = if swapped { (one, many) } else { (many, one) };
            match arithmetic {
                Some(operation) => output.set(step, operation(left, right)),
                None => {
                    let holds = compares(self.matched.op, left, right);
                    if self.matched.returns_bool {
                        output.set(step, f64::from(holds));
                    } else if holds {
                        output.set(step, left);
                    }
                }
            }
        });
    }

    /// Whether a comparison holds, and the value; `None` where the operator has no meaning between the two.
    fn operate(&self, run: &mut Run<'_>, left: PointRef<'_>, right: PointRef<'_>) -> Option<(bool, PointValue)> {
        match binary::operation(self.matched.op, left, right, self.matched.position, &mut run.annotations) {
            Outcome::Value(value) => Some((true, value)),
            Outcome::Undefined => None,
            Outcome::Compared(holds) => Some((
                holds,
                match left {
                    PointRef::Float(left) => PointValue::Float(left),
                    PointRef::Histogram(left) => left.clone().into(),
                },
            )),
        }
    }

    /// Combines what the *one* side has left over with the fill value of the *many* side.
    fn finish(mut self, run: &mut Run<'_>) -> Result<()> {
        let Some(fill) = fill_of_many(&self.matched.matching) else { return Ok(()) };
        let one = Arc::clone(&self.one);
        let mut column = Column::default();
        for (slot, rows) in one.rows.iter().enumerate() {
            for row in rows {
                column.fill(self.steps, fill);
                column.mask(&self.met[slot], false);
                let row = one.table.row(*row);
                let labels = self.signature.labels_of(row.labels);
                self.combine(run, (&labels, &column), Operand::Row(row), None)?;
            }
        }
        Ok(())
    }
}

impl Sink for ManySide<'_> {
    fn series(&mut self, run: &mut Run<'_>, series: Series<'_>) -> Result<()> {
        series.column.mark(&mut self.present);
        self.check_conflict(Some(&self.present))?;
        let one = Arc::clone(&self.one);
        let slot = one.signatures.find(self.signature.of(series.labels));
        let rows = slot.map_or(&[][..], |slot| &one.rows[slot]);
        for row in rows {
            let operand = Operand::Row(one.table.row(*row));
            self.combine(run, (series.labels, series.column), operand, slot)?;
        }
        if let Some(fill) = fill_of_one(&self.matched.matching) {
            if let Some(slot) = slot {
                series.column.mask(&one.present[slot], false);
            }
            let labels = self.signature.labels_of(series.labels);
            let operand = Operand::Fill { labels: &labels, value: fill };
            self.combine(run, (series.labels, series.column), operand, slot)?;
        }
        Ok(())
    }
}

fn unprocessable(message: String) -> Error {
    Error::new(ErrorKind::Unprocessable, message)
}
