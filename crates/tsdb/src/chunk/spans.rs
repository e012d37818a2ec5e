//! Which buckets a histogram uses, and how counts move when buckets are added.
//!
//! Spans are turned into the ascending list of their bucket indices; two histograms are then compared and joined as
//! sorted lists. Prometheus keeps lists of insertions into the spans instead, which comes to the same spans and bytes,
//! but takes two walks and much care.

use norn_model::histogram::Span;

/// The indices of all buckets, ascending.
pub(super) fn bucket_indices(spans: &[Span]) -> Vec<i64> {
    let mut indices = Vec::with_capacity(bucket_count(spans));
    let mut next = 0i64;
    for span in spans {
        next += i64::from(span.offset);
        let end = next + i64::from(span.length);
        indices.extend(next..end);
        next = end;
    }
    indices
}

/// How many buckets there are.
pub(super) fn bucket_count(spans: &[Span]) -> usize {
    spans.iter().fold(0usize, |total, span| total.saturating_add(span.length as usize))
}

/// The least spans that hold these buckets. `indices` strictly ascend, and their steps fit an `i32`.
pub(super) fn spans_of(indices: &[i64]) -> Vec<Span> {
    let mut spans: Vec<Span> = Vec::new();
    let mut next = 0i64;
    for index in indices {
        match spans.last_mut() {
            Some(last) if *index == next => last.length += 1,
            _ => spans.push(Span { offset: (index - next) as i32, length: 1 }),
        }
        next = index + 1;
    }
    spans
}

/// All indices of both lists, ascending.
pub(super) fn union(left: &[i64], right: &[i64]) -> Vec<i64> {
    let mut joined = Vec::with_capacity(left.len().max(right.len()));
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    loop {
        let next = match (left.peek(), right.peek()) {
            (Some(from_left), Some(from_right)) => **from_left.min(from_right),
            (Some(only), None) | (None, Some(only)) => **only,
            (None, None) => return joined,
        };
        left.next_if(|index| **index == next);
        right.next_if(|index| **index == next);
        joined.push(next);
    }
}

/// Puts counts where their buckets lie in a longer list of buckets, zero in between. `from` is a part of `into`.
pub(super) fn scatter<T: Copy + Default>(counts: &[T], from: &[i64], into: &[i64]) -> Vec<T> {
    let mut scattered = Vec::with_capacity(into.len());
    let mut next = 0;
    for index in into {
        if from.get(next) == Some(index) {
            scattered.push(counts[next]);
            next += 1;
        } else {
            scattered.push(T::default());
        }
    }
    scattered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(pairs: &[(i32, u32)]) -> Vec<Span> {
        pairs.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect()
    }

    #[test]
    fn spans_and_indices_say_the_same() {
        let check = |pairs: &[(i32, u32)], indices: &[i64], least: &[(i32, u32)]| {
            assert_eq!(bucket_indices(&spans(pairs)), indices);
            assert_eq!(spans_of(indices), spans(least));
        };
        check(&[], &[], &[]);
        check(&[(-2, 2), (1, 1)], &[-2, -1, 1], &[(-2, 2), (1, 1)]);
        check(&[(3, 1), (0, 2)], &[3, 4, 5], &[(3, 3)]);
        check(&[(1, 0), (2, 1), (1, 0), (1, 1)], &[3, 6], &[(3, 1), (2, 1)]);
    }

    #[test]
    fn counts_keep_their_buckets() {
        let joined = union(&[0, 2, 5], &[1, 2, 6]);
        assert_eq!(joined, [0, 1, 2, 5, 6]);
        assert_eq!(scatter(&[7, 8, 9], &[0, 2, 5], &joined), [7, 0, 8, 9, 0]);
    }
}
