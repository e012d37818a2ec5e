//! Sorted lists of series ids, and sets of them.
//!
//! A list is a strictly ascending slice. Two lists are joined by walking both, or by leaps where one is much longer.
//! Where many lists come together, as for a regular expression over thousands of values, they are marked in a
//! [`SeriesSet`], one bit an id, which costs what the lists cost and needs no order among them.

/// Above this ratio of lengths, leaping through the longer list beats walking it.
const LEAP_RATIO: usize = 16;

/// Keeps those of `list` that are also in `other`. Both strictly ascend.
pub fn intersect<T: Copy + Ord>(list: &mut Vec<T>, other: &[T]) {
    if other.len() / LEAP_RATIO > list.len() {
        let mut rest = other;
        list.retain(|id| leap_to(&mut rest, *id));
    } else if list.len() / LEAP_RATIO > other.len() {
        let mut rest = &list[..];
        let mut kept = other.to_vec();
        kept.retain(|id| leap_to(&mut rest, *id));
        *list = kept;
    } else {
        let mut rest = other.iter();
        let mut next = rest.next();
        list.retain(|id| {
            while next.is_some_and(|candidate| candidate < id) {
                next = rest.next();
            }
            next == Some(id)
        });
    }
}

/// Takes those of `other` out of `list`. Both strictly ascend.
pub fn subtract<T: Copy + Ord>(list: &mut Vec<T>, other: &[T]) {
    let mut rest = other;
    list.retain(|id| !leap_to(&mut rest, *id));
}

/// Moves `rest` to its first id that is not below `id`, and says whether it is `id`. Cost: logarithmic in the distance.
fn leap_to<T: Copy + Ord>(rest: &mut &[T], id: T) -> bool {
    let mut step = 1;
    while rest.get(step).is_some_and(|candidate| *candidate < id) {
        step *= 2;
    }
    // The one at half the step was below, or is the first.
    let (start, end) = (step / 2, rest.len().min(step + 1));
    let within = rest[start.min(end)..end].partition_point(|candidate| *candidate < id);
    *rest = &rest[(start + within).min(rest.len())..];
    rest.first() == Some(&id)
}

/// A set of ids, one bit each; memory grows with the largest id.
#[derive(Debug, Clone, Default)]
pub struct SeriesSet {
    words: Vec<u64>,
}

impl SeriesSet {
    /// Adds an id.
    #[inline]
    pub fn insert(&mut self, id: u32) {
        let word = id as usize / 64;
        if word >= self.words.len() {
            self.words.resize((word + 1).max(self.words.len() * 2), 0);
        }
        self.words[word] |= 1 << (id % 64);
    }

    /// Whether an id is in the set.
    #[inline]
    pub fn contains(&self, id: u32) -> bool {
        self.words.get(id as usize / 64).is_some_and(|word| word >> (id % 64) & 1 == 1)
    }

    /// All ids, ascending.
    pub fn to_list(&self) -> Vec<u32> {
        let mut list = Vec::with_capacity(self.words.iter().map(|word| word.count_ones() as usize).sum());
        for (index, word) in self.words.iter().enumerate() {
            let mut rest = *word;
            while rest != 0 {
                list.push(index as u32 * 64 + rest.trailing_zeros());
                rest &= rest - 1;
            }
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn list(most: usize) -> impl Strategy<Value = BTreeSet<u32>> {
        prop::collection::btree_set(0u32..2000, 0..most)
    }

    proptest! {
        #[test]
        fn lists_are_joined_like_sets(left in list(600), right in list(600), few in list(8)) {
            let sorted = |set: &BTreeSet<u32>| set.iter().copied().collect::<Vec<_>>();
            for (left, right) in [(&left, &right), (&left, &few), (&few, &left)] {
                let mut both = sorted(left);
                intersect(&mut both, &sorted(right));
                prop_assert_eq!(both, left.intersection(right).copied().collect::<Vec<_>>());
                let mut rest = sorted(left);
                subtract(&mut rest, &sorted(right));
                prop_assert_eq!(rest, left.difference(right).copied().collect::<Vec<_>>());
            }
            let mut set = SeriesSet::default();
            for id in left.iter().rev().chain(&right) {
                set.insert(*id);
            }
            prop_assert_eq!(set.to_list(), left.union(&right).copied().collect::<Vec<_>>());
            prop_assert!((0..2100).all(|id| set.contains(id) == (left.contains(&id) || right.contains(&id))));
        }
    }
}
