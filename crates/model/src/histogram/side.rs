//! One side of a histogram as a sequence of `(index, count)`, and back.
//!
//! Spans and counts of clients need not fit: what one of them has too many of is not seen, and indexes wrap, so that no
//! bytes from outside can make a walk panic. Validation tells a client; this module only survives.

use super::Span;
use super::bounds::exponential_bound;

/// A count in a bucket: a float, a float with its rounding error, or an integer.
pub(super) trait Count: Copy {
    /// Adds another bucket's count.
    fn join(&mut self, other: Self);
}

impl Count for f64 {
    #[inline]
    fn join(&mut self, other: Self) {
        *self += other;
    }
}

impl Count for i64 {
    #[inline]
    fn join(&mut self, other: Self) {
        *self = self.wrapping_add(other);
    }
}

/// The buckets of one side, borrowed.
#[derive(Debug, Clone, Copy)]
pub(super) struct SideRef<'a, C> {
    pub(super) spans: &'a [Span],
    pub(super) counts: &'a [C],
}

impl<'a, C: Count> SideRef<'a, C> {
    /// Buckets from zero outwards.
    pub(super) fn iter(self) -> SideIter<'a, C> {
        SideIter { spans: self.spans.iter(), counts: self.counts.iter(), index: 0, left_in_span: 0 }
    }

    /// Buckets from the outermost inwards.
    pub(super) fn iter_reversed(self) -> SideReversed<'a, C> {
        // Counts that lie behind the last span, and spans behind the last count, are left out first.
        let mut index = 0i32;
        let mut buckets = 0usize;
        let mut walked = 0;
        let mut in_span = 0;
        for span in self.spans {
            let left = self.counts.len() - buckets;
            if left == 0 {
                break;
            }
            in_span = u32::try_from(left).map_or(span.length, |left| left.min(span.length));
            index = index.wrapping_add(span.offset).wrapping_add_unsigned(in_span);
            buckets += in_span as usize;
            walked += 1;
        }
        SideReversed { spans: &self.spans[..walked], counts: &self.counts[..buckets], index, left_in_span: in_span }
    }

    /// Buckets from zero outwards, but for those that end at or below a zero threshold.
    pub(super) fn iter_beyond(self, schema: i32, threshold: f64) -> impl Iterator<Item = (i32, C)> {
        self.iter().skip_while(move |(index, _)| threshold > 0.0 && exponential_bound(*index, schema) <= threshold)
    }
}

/// See [`SideRef::iter`].
#[derive(Debug, Clone)]
pub(super) struct SideIter<'a, C> {
    spans: std::slice::Iter<'a, Span>,
    counts: std::slice::Iter<'a, C>,
    /// Of the next bucket, once a span has been entered.
    index: i32,
    left_in_span: u32,
}

impl<C: Copy> Iterator for SideIter<'_, C> {
    type Item = (i32, C);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let count = *self.counts.next()?;
        while self.left_in_span == 0 {
            let span = self.spans.next()?;
            self.index = self.index.wrapping_add(span.offset);
            self.left_in_span = span.length;
        }
        let index = self.index;
        self.index = index.wrapping_add(1);
        self.left_in_span -= 1;
        Some((index, count))
    }
}

/// See [`SideRef::iter_reversed`].
#[derive(Debug, Clone)]
pub(super) struct SideReversed<'a, C> {
    spans: &'a [Span],
    counts: &'a [C],
    /// One above the next bucket's.
    index: i32,
    left_in_span: u32,
}

impl<C: Copy> Iterator for SideReversed<'_, C> {
    type Item = (i32, C);

    fn next(&mut self) -> Option<Self::Item> {
        let (count, counts) = self.counts.split_last()?;
        while self.left_in_span == 0 {
            let (left, rest) = self.spans.split_last()?;
            self.index = self.index.wrapping_sub(left.offset);
            self.left_in_span = rest.last()?.length;
            self.spans = rest;
        }
        self.counts = counts;
        self.left_in_span -= 1;
        self.index = self.index.wrapping_sub(1);
        Some((self.index, *count))
    }
}

/// The same buckets at a lower resolution: those that fall into one bucket are joined.
///
/// What lies in a zero bucket has to be left out before: a joined bucket may reach beyond it.
pub(super) fn reduced<C: Count>(
    buckets: impl Iterator<Item = (i32, C)>,
    from_schema: i32,
    to_schema: i32,
) -> impl Iterator<Item = (i32, C)> {
    Reduced { inner: buckets, shift: from_schema.saturating_sub(to_schema).clamp(0, 31), pending: None }
}

/// See [`reduced`].
#[derive(Debug, Clone)]
struct Reduced<I, C> {
    inner: I,
    shift: i32,
    pending: Option<(i32, C)>,
}

impl<I: Iterator<Item = (i32, C)>, C: Count> Iterator for Reduced<I, C> {
    type Item = (i32, C);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((index, count)) = self.inner.next() else { return self.pending.take() };
            let index = (index.wrapping_sub(1) >> self.shift).wrapping_add(1);
            match &mut self.pending {
                Some((pending, joined)) if *pending == index => joined.join(count),
                _ => {
                    if let Some(done) = self.pending.replace((index, count)) {
                        return Some(done);
                    }
                }
            }
        }
    }
}

/// The buckets of one side.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Side<C> {
    pub(super) spans: Vec<Span>,
    pub(super) counts: Vec<C>,
    /// Index of the last bucket.
    last: i32,
}

impl<C> Default for Side<C> {
    fn default() -> Self {
        Self { spans: Vec::new(), counts: Vec::new(), last: 0 }
    }
}

impl<C: Count> Side<C> {
    /// Takes what a histogram holds. Nothing may be pushed behind it.
    pub(super) fn from_parts(spans: Vec<Span>, counts: Vec<C>) -> Self {
        Self { spans, counts, last: 0 }
    }

    /// An empty side with room.
    pub(super) fn with_capacity(spans: usize, counts: usize) -> Self {
        Self { spans: Vec::with_capacity(spans), counts: Vec::with_capacity(counts), last: 0 }
    }

    /// The buckets of an ascending sequence. Spans are as few as possible.
    pub(super) fn collect(buckets: impl Iterator<Item = (i32, C)>) -> Self {
        let mut side = Self::with_capacity(0, buckets.size_hint().0);
        for (index, count) in buckets {
            side.push(index, count);
        }
        side
    }

    /// Adds a bucket behind all others.
    pub(super) fn push(&mut self, index: i32, count: C) {
        let gap = if self.spans.is_empty() { index } else { index.wrapping_sub(self.last).wrapping_sub(1) };
        match self.spans.last_mut() {
            Some(span) if gap == 0 => span.length += 1,
            _ => self.spans.push(Span { offset: gap, length: 1 }),
        }
        self.counts.push(count);
        self.last = index;
    }

    /// Borrows the buckets.
    pub(super) fn as_ref(&self) -> SideRef<'_, C> {
        SideRef { spans: &self.spans, counts: &self.counts }
    }

    /// Lowers the resolution.
    pub(super) fn reduce(&mut self, from_schema: i32, to_schema: i32) {
        if !self.counts.is_empty() {
            *self = Self::collect(reduced(self.as_ref().iter(), from_schema, to_schema));
        }
    }

    /// Removes empty buckets: all at the ends, and in between those runs that are longer than `empty_max`; shorter runs
    /// are filled, as a span costs more than some zeros.
    pub(super) fn compact(&mut self, empty_max: u32, is_empty: impl Fn(C) -> bool, empty: C) {
        let has_gaps =
            self.spans.iter().skip(1).any(|span| span.offset == 0 || span.offset.unsigned_abs() <= empty_max);
        let has_hollow_spans = self.spans.iter().any(|span| span.length == 0);
        if !has_gaps && !has_hollow_spans && !self.counts.iter().any(|count| is_empty(*count)) {
            return;
        }
        let mut compacted = Self::with_capacity(self.spans.len(), self.counts.len());
        for (index, count) in self.as_ref().iter().filter(|(_, count)| !is_empty(*count)) {
            let gap = index.wrapping_sub(compacted.last).wrapping_sub(1);
            if !compacted.counts.is_empty() && gap > 0 && gap.unsigned_abs() <= empty_max {
                for _ in 0..gap {
                    compacted.push(compacted.last.wrapping_add(1), empty);
                }
            }
            compacted.push(index, count);
        }
        *self = compacted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(buckets: &[(i32, f64)]) -> Side<f64> {
        Side::collect(buckets.iter().copied())
    }

    #[test]
    fn walks_forth_and_back_agree() {
        let buckets = [(-3, 1.0), (-2, 2.0), (0, 3.0), (7, 4.0), (8, 5.0)];
        let side = side(&buckets);
        assert_eq!(side.spans.len(), 3);
        assert_eq!(side.as_ref().iter().collect::<Vec<_>>(), buckets);
        let mut back: Vec<_> = side.as_ref().iter_reversed().collect();
        back.reverse();
        assert_eq!(back, buckets);
    }

    #[test]
    fn spans_and_counts_that_do_not_fit_are_survived() {
        let hollow = Span { offset: 2, length: 0 };
        let spans = [hollow, Span { offset: i32::MAX, length: 2 }, hollow, Span { offset: i32::MAX, length: u32::MAX }];
        for counts in 0..4 {
            let counts = vec![1.0; counts];
            let side = SideRef { spans: &spans, counts: &counts };
            let forth: Vec<_> = side.iter().collect();
            let mut back: Vec<_> = side.iter_reversed().collect();
            back.reverse();
            assert_eq!(forth.len(), counts.len());
            assert_eq!(forth, back);
            assert!(reduced(side.iter(), 8, -4).count() <= counts.len());
        }
        let short = SideRef { spans: &spans[..2], counts: &[1.0; 9] };
        assert_eq!((short.iter().count(), short.iter_reversed().count()), (2, 2));
    }

    #[test]
    fn reduction_joins_pairs() {
        let side = side(&[(1, 1.0), (2, 2.0), (3, 4.0), (6, 8.0)]);
        assert_eq!(reduced(side.as_ref().iter(), 1, 0).collect::<Vec<_>>(), [(1, 3.0), (2, 4.0), (3, 8.0)]);
        assert_eq!(reduced(side.as_ref().iter(), 2, 2).collect::<Vec<_>>(), side.as_ref().iter().collect::<Vec<_>>());
    }

    #[test]
    fn compaction_cuts_long_runs_and_fills_short_ones() {
        let check = |empty_max: u32, expected: &[(i32, f64)], spans: usize| {
            let mut side = side(&[(0, 0.0), (1, 1.0), (2, 0.0), (3, 2.0), (6, 3.0), (7, 0.0)]);
            side.compact(empty_max, |count| count == 0.0, 0.0);
            assert_eq!(side.as_ref().iter().collect::<Vec<_>>(), expected);
            assert_eq!(side.spans.len(), spans);
        };
        check(0, &[(1, 1.0), (3, 2.0), (6, 3.0)], 3);
        check(1, &[(1, 1.0), (2, 0.0), (3, 2.0), (6, 3.0)], 2);
        check(2, &[(1, 1.0), (2, 0.0), (3, 2.0), (4, 0.0), (5, 0.0), (6, 3.0)], 1);
    }
}
