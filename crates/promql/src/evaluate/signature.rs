//! The labels by which series meet.

use norn_model::Labels;
use norn_model::labels::{METRIC_NAME, push_pair};

use crate::tree::VectorMatching;

/// Which labels make two series meet.
#[derive(Debug, Clone)]
pub(crate) struct Signature {
    on: bool,
    /// Sorted.
    names: Vec<String>,
    scratch: Vec<u8>,
}

impl Signature {
    pub(crate) fn new(matching: &VectorMatching) -> Self {
        let mut names = matching.labels.clone();
        if !matching.on {
            names.push(METRIC_NAME.to_owned());
        }
        names.sort_unstable();
        names.dedup();
        Self { on: matching.on, names, scratch: Vec::new() }
    }

    /// The labels of a series that count, in the canonical encoding.
    pub(crate) fn of(&mut self, labels: &Labels) -> &[u8] {
        self.scratch.clear();
        for (name, value) in labels.iter() {
            let is_named = self.names.binary_search_by(|candidate| candidate.as_str().cmp(name)).is_ok();
            if is_named == self.on {
                push_pair(&mut self.scratch, name, value);
            }
        }
        &self.scratch
    }

    /// [`Signature::of`] as a label set.
    pub(crate) fn labels_of(&mut self, labels: &Labels) -> Labels {
        labels_from(self.of(labels))
    }
}

/// What an operator has put together from pairs of a label set, in its order, as a label set.
pub(crate) fn labels_from(encoded: &[u8]) -> Labels {
    Labels::from_encoded(encoded).expect("pairs of a label set, in its order, are a label set")
}
