//! `and`, `or`, `unless`: which series stay is decided by labels and presence; of one side no value is kept.
//!
//! Source: Prometheus `promql/engine.go`, `VectorAnd`, `VectorOr`, `VectorUnless`.

use norn_base::Result;

use super::column::Steps;
use super::run::{Held, Run};
use super::signature::{Signature, labels_from};
use super::table::LabelsIndex;
use super::{Series, Sink, stream as stream_vector};
use crate::plan::node::Set;
use crate::tree::BinaryOp;

/// For each signature the steps at which one side has a point.
struct Presence {
    signature: Signature,
    signatures: LabelsIndex,
    /// `words` for each signature.
    steps: Vec<u64>,
    words: usize,
    held: Held,
}

impl Presence {
    fn mark(&mut self, run: &Run<'_>, series: &Series<'_>) -> Result<()> {
        let encoded = self.signature.of(series.labels);
        let (slot, is_new) = self.signatures.insert(encoded, || labels_from(encoded));
        if is_new {
            run.hold(&mut self.held, 0, (encoded.len() + 8 * self.words + 24) as u64)?;
            self.steps.resize(self.steps.len() + self.words, 0);
        }
        series.column.mark(&mut self.steps[slot * self.words..(slot + 1) * self.words]);
        Ok(())
    }

    /// The steps at which the side has a point with the signature of a series; empty where there is none.
    fn of(&mut self, series: &Series<'_>) -> &[u64] {
        match self.signatures.find(self.signature.of(series.labels)) {
            Some(slot) => &self.steps[slot * self.words..(slot + 1) * self.words],
            None => &[],
        }
    }
}

/// Marks the presence of each series.
impl Sink for Presence {
    fn series(&mut self, run: &mut Run<'_>, series: Series<'_>) -> Result<()> {
        run.work(self.words)?;
        self.mark(run, &series)
    }
}

/// Marks the presence of each series, and hands it on.
struct MarkSink<'a> {
    presence: &'a mut Presence,
    sink: &'a mut dyn Sink,
}

impl Sink for MarkSink<'_> {
    fn series(&mut self, run: &mut Run<'_>, series: Series<'_>) -> Result<()> {
        self.presence.mark(run, &series)?;
        self.sink.series(run, series)
    }
}

/// Hands on the points at whose steps the other side has a point, or has none.
struct FilterSink<'a> {
    presence: Presence,
    keep_present: bool,
    sink: &'a mut dyn Sink,
}

impl Sink for FilterSink<'_> {
    fn series(&mut self, run: &mut Run<'_>, series: Series<'_>) -> Result<()> {
        let bitmap = self.presence.of(&series);
        series.column.mask(bitmap, self.keep_present);
        run.work(series.column.present.len())?;
        if series.column.is_empty() { Ok(()) } else { self.sink.series(run, series) }
    }
}

pub(super) async fn stream(run: &mut Run<'_>, set: &Set, steps: Steps, sink: &mut dyn Sink) -> Result<()> {
    let mut presence = Presence {
        signature: Signature::new(&set.matching),
        signatures: LabelsIndex::default(),
        steps: Vec::new(),
        words: steps.words(),
        held: run.held(),
    };
    if set.op == BinaryOp::Or {
        stream_vector(run, &set.left, steps, &mut MarkSink { presence: &mut presence, sink: &mut *sink }).await?;
        return stream_vector(run, &set.right, steps, &mut FilterSink { presence, keep_present: false, sink }).await;
    }
    // What is only looked at comes first.
    stream_vector(run, &set.right, steps, &mut presence).await?;
    let keep_present = set.op == BinaryOp::And;
    stream_vector(run, &set.left, steps, &mut FilterSink { presence, keep_present, sink }).await
}
