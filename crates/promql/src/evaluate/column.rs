//! The points of one series over the steps.

use std::sync::Arc;

use norn_model::FloatHistogram;

use crate::kernels::PointRef;

/// The times at which an expression is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Steps {
    /// Milliseconds since the Unix epoch.
    pub(crate) start_ms: i64,
    /// The distance of two steps, at least 1.
    pub(crate) step_ms: i64,
    /// How many there are; 0 for a subquery whose grid has no point in its range.
    pub(crate) count: usize,
}

impl Steps {
    /// One step.
    pub(crate) fn single(time_ms: i64) -> Self {
        Self { start_ms: time_ms, step_ms: 1, count: 1 }
    }

    /// From `start_ms` every `step_ms` up to and including `end_ms`.
    pub(crate) fn range(start_ms: i64, end_ms: i64, step_ms: i64) -> Self {
        let span = end_ms.saturating_sub(start_ms);
        let count = if span < 0 { 0 } else { usize::try_from(span / step_ms).unwrap_or(usize::MAX - 1) + 1 };
        Self { start_ms, step_ms, count }
    }

    /// The time of a step.
    #[inline]
    pub(crate) fn time_ms(self, step: usize) -> i64 {
        self.start_ms.saturating_add(self.step_ms.saturating_mul(step as i64))
    }

    /// How many words a bitmap over the steps has.
    pub(crate) fn words(self) -> usize {
        self.count.div_ceil(64)
    }
}

/// A histogram at a step.
#[derive(Debug, Clone)]
pub(crate) struct StepHistogram {
    pub(crate) step: usize,
    pub(crate) histogram: Arc<FloatHistogram>,
}

/// At most one point at each step: floats as a dense column with a bitmap that says where there are any, histograms as a
/// sparse one. No step has both.
#[derive(Debug, Clone, Default)]
pub(crate) struct Column {
    /// One for each step; has no meaning where `present` has no bit.
    pub(crate) values: Vec<f64>,
    /// Bit `step % 64` of word `step / 64`.
    pub(crate) present: Vec<u64>,
    /// Ascending by step.
    pub(crate) histograms: Vec<StepHistogram>,
}

impl Column {
    /// Makes it a column of `steps` without points, and keeps the memory.
    pub(crate) fn reset(&mut self, steps: Steps) {
        self.values.resize(steps.count, 0.0);
        self.present.clear();
        self.present.resize(steps.words(), 0);
        self.histograms.clear();
    }

    /// Sets the float of a step that has no histogram.
    #[inline]
    pub(crate) fn set(&mut self, step: usize, value: f64) {
        self.values[step] = value;
        self.present[step / 64] |= 1 << (step % 64);
    }

    /// Sets floats one after the other; see [`ColumnWriter::finish`].
    pub(crate) fn writer(&mut self) -> ColumnWriter<'_> {
        ColumnWriter { values: &mut self.values, present: &mut self.present, word: 0, bits: 0 }
    }

    /// Takes the float of a step away.
    #[inline]
    pub(crate) fn unset(&mut self, step: usize) {
        self.present[step / 64] &= !(1 << (step % 64));
    }

    /// Sets every step to one float.
    pub(crate) fn fill(&mut self, steps: Steps, value: f64) {
        self.reset(steps);
        self.values.fill(value);
        for step in 0..steps.count {
            self.present[step / 64] |= 1 << (step % 64);
        }
    }

    /// Adds a histogram at a step after that of all others.
    pub(crate) fn push_histogram(&mut self, step: usize, histogram: Arc<FloatHistogram>) {
        self.histograms.push(StepHistogram { step, histogram });
    }

    /// Whether there is no point at any step.
    pub(crate) fn is_empty(&self) -> bool {
        self.histograms.is_empty() && self.present.iter().all(|word| *word == 0)
    }

    /// Whether there is a float at any step.
    pub(crate) fn has_floats(&self) -> bool {
        self.present.iter().any(|word| *word != 0)
    }

    /// The float of a step.
    #[inline]
    pub(crate) fn float(&self, step: usize) -> Option<f64> {
        has_bit(&self.present, step).then(|| self.values[step])
    }

    /// The point of a step.
    pub(crate) fn point(&self, step: usize) -> Option<PointRef<'_>> {
        if has_bit(&self.present, step) {
            return Some(PointRef::Float(self.values[step]));
        }
        if self.histograms.is_empty() {
            return None;
        }
        let index = self.histograms.binary_search_by_key(&step, |point| point.step).ok()?;
        Some(PointRef::Histogram(&self.histograms[index].histogram))
    }

    /// How many points there are.
    pub(crate) fn len(&self) -> usize {
        self.present.iter().map(|word| word.count_ones() as usize).sum::<usize>() + self.histograms.len()
    }

    /// Calls back for each float in the order of steps.
    #[inline]
    pub(crate) fn for_each_float(&self, mut each: impl FnMut(usize, f64)) {
        for_each_bit(&self.present, |step| each(step, self.values[step]));
    }

    /// Replaces each float.
    #[inline]
    pub(crate) fn map_floats(&mut self, mut map: impl FnMut(f64) -> f64) {
        // Values without a bit have no meaning, so that all of them may be mapped.
        for value in &mut self.values {
            *value = map(*value);
        }
    }

    /// Keeps only the points at steps whose bit is set, or not set, in a bitmap; an empty bitmap has no bits.
    pub(crate) fn mask(&mut self, bitmap: &[u64], keep_set: bool) {
        for (index, word) in self.present.iter_mut().enumerate() {
            let bits = bitmap.get(index).copied().unwrap_or(0);
            *word &= if keep_set { bits } else { !bits };
        }
        self.histograms.retain(|point| has_bit(bitmap, point.step) == keep_set);
    }

    /// Sets the bits of all steps that have a point.
    pub(crate) fn mark(&self, bitmap: &mut [u64]) {
        mark(bitmap, &self.present, &self.histograms);
    }
}

/// Sets the bits of all steps that have a point.
pub(crate) fn mark(bitmap: &mut [u64], present: &[u64], histograms: &[StepHistogram]) {
    for (word, bits) in bitmap.iter_mut().zip(present) {
        *word |= bits;
    }
    for point in histograms {
        bitmap[point.step / 64] |= 1 << (point.step % 64);
    }
}

/// Whether a bit is set; bits beyond the end are not.
#[inline]
pub(crate) fn has_bit(bitmap: &[u64], step: usize) -> bool {
    bitmap.get(step / 64).is_some_and(|word| word >> (step % 64) & 1 == 1)
}

/// Sets floats at ascending steps. The bits of a word are gathered before they are written: a word in memory that
/// changes with each float would make every float wait for the one before it.
pub(crate) struct ColumnWriter<'a> {
    values: &'a mut [f64],
    present: &'a mut [u64],
    /// The word in work, and its bits so far.
    word: usize,
    bits: u64,
}

impl ColumnWriter<'_> {
    /// Sets the float of a step that is not before the last one.
    #[inline]
    pub(crate) fn set(&mut self, step: usize, value: f64) {
        if step / 64 != self.word {
            self.write_word();
            (self.word, self.bits) = (step / 64, 0);
        }
        self.values[step] = value;
        self.bits |= 1 << (step % 64);
    }

    /// Writes the bits of the last word.
    pub(crate) fn finish(mut self) {
        self.write_word();
    }

    #[inline]
    fn write_word(&mut self) {
        if let Some(word) = self.present.get_mut(self.word) {
            *word |= self.bits;
        }
    }
}

/// Calls back for each set bit, ascending. Bits from the start of a word on, which are the rule, cost no search for the
/// next one.
#[inline]
pub(crate) fn for_each_bit(bitmap: &[u64], mut each: impl FnMut(usize)) {
    for (index, word) in bitmap.iter().enumerate() {
        let base = index * 64;
        if *word == u64::MAX {
            for bit in 0..64 {
                each(base + bit);
            }
            continue;
        }
        let leading = word.trailing_ones();
        for bit in 0..leading as usize {
            each(base + bit);
        }
        let mut rest = word >> leading << leading;
        while rest != 0 {
            each(base + rest.trailing_zeros() as usize);
            rest &= rest - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_end_on_the_last_that_fits() {
        let check = |start_ms, end_ms, step_ms, count: usize, last_ms| {
            let steps = Steps::range(start_ms, end_ms, step_ms);
            assert_eq!((steps.count, steps.time_ms(count - 1)), (count, last_ms));
        };
        check(0, 0, 1, 1, 0);
        check(0, 100, 30, 4, 90);
        check(-10, 20, 10, 4, 20);
        assert_eq!(Steps::range(1, 0, 1).count, 0);
    }

    #[test]
    fn written_steps_are_set_beside_those_that_were() {
        let steps = Steps::range(0, 199, 1);
        let check = |before: &[usize], written: &[usize]| {
            let (mut column, mut expected) = (Column::default(), Column::default());
            column.reset(steps);
            expected.reset(steps);
            before.iter().for_each(|step| column.set(*step, 1.0));
            let mut writer = column.writer();
            written.iter().for_each(|step| writer.set(*step, *step as f64));
            writer.finish();
            before.iter().for_each(|step| expected.set(*step, 1.0));
            written.iter().for_each(|step| expected.set(*step, *step as f64));
            assert_eq!((&column.present, &column.values), (&expected.present, &expected.values), "{written:?}");
        };
        check(&[], &[]);
        check(&[0, 100], &[1, 63, 64, 199]);
        check(&[5], &[150]);
    }

    #[test]
    fn bits_are_visited_in_order() {
        let mut column = Column::default();
        let steps = Steps::range(0, 199, 1);
        column.reset(steps);
        for step in (0..64).chain([70, 199]) {
            column.set(step, step as f64);
        }
        let mut seen = Vec::new();
        column.for_each_float(|step, value| seen.push((step, value as usize)));
        let expected: Vec<_> = (0..64).chain([70, 199]).map(|step| (step, step)).collect();
        assert_eq!(seen, expected);
        column.mask(&[1 << 3, 1 << 6], true);
        assert_eq!(column.len(), 2);
        column.mask(&[1 << 3], false);
        assert_eq!((column.len(), column.float(70), column.float(3)), (1, Some(70.0), None));
    }
}
