//! The head's inverted index: which labels a series has, and which series have a label.
//!
//! A *pair* is a label name with one of its values. Names and values are stored once; a series is a short list of pair
//! numbers; a pair has the sorted list of its series. So 100,000 series with ten labels cost four bytes a label here and
//! four in the posting lists, beside the strings that differ.
//!
//! The index is behind one lock for reading and writing. Appends to series that exist never touch it.

use hashbrown::{HashMap, HashTable};
use norn_model::Labels;
use norn_model::labels::{LabelsRef, METRIC_NAME};
use norn_model::select::Projection;
use smallvec::SmallVec;

use super::series::SeriesRef;

/// The number of a label name with one of its values.
pub(crate) type PairId = u32;

/// One label name.
#[derive(Debug)]
struct Name {
    text: Box<str>,
    /// The pairs with this name, by value.
    pairs: HashTable<PairId>,
}

/// A name with one value.
#[derive(Debug)]
struct Pair {
    name: u32,
    value: Box<str>,
    /// Sorted. Most values that are unique to a series never leave the inline space.
    series: SmallVec<[SeriesRef; 4]>,
    /// How many series hold this pair, those included that are not in `series` yet.
    holders: u32,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Index {
    hasher: foldhash::quality::FixedState,
    names: Vec<Name>,
    names_by_text: HashMap<Box<str>, u32, foldhash::quality::FixedState>,
    pairs: Vec<Pair>,
    free_pairs: Vec<PairId>,
    /// The pairs of each series in the order of their names, by [`SeriesRef`]; empty where there is no series.
    series: Vec<Box<[PairId]>>,
    published: usize,
}

impl Index {
    /// An empty index whose hash tables are seeded with `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        let hasher = foldhash::quality::FixedState::with_seed(seed);
        Self {
            hasher,
            names: Vec::new(),
            names_by_text: HashMap::with_hasher(foldhash::quality::FixedState::with_seed(seed)),
            pairs: Vec::new(),
            free_pairs: Vec::new(),
            series: Vec::new(),
            published: 0,
        }
    }

    /// How many series can be found.
    pub(crate) fn published(&self) -> usize {
        self.published
    }

    /// Stores the labels of a new series, which is not found by them yet.
    pub(crate) fn define(&mut self, reference: SeriesRef, labels: LabelsRef<'_>) {
        let pairs: Vec<PairId> = labels.iter().map(|(name, value)| self.intern(name, value)).collect();
        let place = reference as usize;
        if place >= self.series.len() {
            self.series.resize_with(place + 1, Box::default);
        }
        self.series[place] = pairs.into();
    }

    fn intern(&mut self, name: &str, value: &str) -> PairId {
        let name = self.intern_name(name);
        let hash = value_hash(&self.hasher, value);
        if let Some(id) = self.names[name as usize].pairs.find(hash, |id| *self.pairs[*id as usize].value == *value) {
            self.pairs[*id as usize].holders += 1;
            return *id;
        }
        let pair = Pair { name, value: value.into(), series: SmallVec::new(), holders: 1 };
        let id = match self.free_pairs.pop() {
            Some(id) => {
                self.pairs[id as usize] = pair;
                id
            }
            None => {
                self.pairs.push(pair);
                u32::try_from(self.pairs.len() - 1).expect("a head has fewer than 2^32 labels")
            }
        };
        let (pairs, hasher) = (&self.pairs, &self.hasher);
        self.names[name as usize].pairs.insert_unique(hash, id, |id| value_hash(hasher, &pairs[*id as usize].value));
        id
    }

    fn intern_name(&mut self, name: &str) -> u32 {
        if let Some(id) = self.names_by_text.get(name) {
            return *id;
        }
        let id = u32::try_from(self.names.len()).expect("a head has fewer than 2^32 label names");
        self.names.push(Name { text: name.into(), pairs: HashTable::new() });
        self.names_by_text.insert(name.into(), id);
        id
    }

    /// Makes defined series findable. `references` ascend.
    pub(crate) fn publish(&mut self, references: &[SeriesRef]) {
        let mut rows: Vec<(PairId, SeriesRef)> = Vec::new();
        for reference in references {
            rows.extend(self.series[*reference as usize].iter().map(|pair| (*pair, *reference)));
        }
        rows.sort_unstable();
        for run in rows.chunk_by(|left, right| left.0 == right.0) {
            merge_into(&mut self.pairs[run[0].0 as usize].series, run);
        }
        self.published += references.len();
    }

    /// Forgets series. `references` ascend; `published` says whether they were findable.
    pub(crate) fn remove(&mut self, references: &[SeriesRef], published: bool) {
        let mut touched: Vec<PairId> = Vec::new();
        for reference in references {
            for pair in std::mem::take(&mut self.series[*reference as usize]) {
                self.pairs[pair as usize].holders -= 1;
                touched.push(pair);
            }
        }
        touched.sort_unstable();
        touched.dedup();
        for id in touched {
            let pair = &mut self.pairs[id as usize];
            if pair.holders == 0 {
                self.forget_pair(id);
            } else if published {
                pair.series.retain(|reference| references.binary_search(reference).is_err());
                pair.series.shrink_to_fit();
            }
        }
        if published {
            self.published -= references.len();
        }
    }

    fn forget_pair(&mut self, id: PairId) {
        let pair = &mut self.pairs[id as usize];
        let value = std::mem::take(&mut pair.value);
        pair.series = SmallVec::new();
        let hash = value_hash(&self.hasher, &value);
        if let Ok(entry) = self.names[pair.name as usize].pairs.find_entry(hash, |candidate| *candidate == id) {
            entry.remove();
        }
        self.free_pairs.push(id);
    }

    /// How many series, findable or not, have this metric name.
    pub(crate) fn series_of_metric(&self, metric: &str) -> u64 {
        self.find_pair(METRIC_NAME, metric).map_or(0, |pair| u64::from(self.pairs[pair as usize].holders))
    }

    fn find_pair(&self, name: &str, value: &str) -> Option<PairId> {
        let name = *self.names_by_text.get(name)?;
        let hash = value_hash(&self.hasher, value);
        self.names[name as usize].pairs.find(hash, |id| *self.pairs[*id as usize].value == *value).copied()
    }

    /// The series with this label, ascending.
    pub(crate) fn series_with(&self, name: &str, value: &str) -> &[SeriesRef] {
        self.find_pair(name, value).map_or(&[], |pair| &self.pairs[pair as usize].series)
    }

    /// All findable series, ascending.
    pub(crate) fn all_series(&self) -> Vec<SeriesRef> {
        let mut all: Vec<SeriesRef> = Vec::with_capacity(self.published);
        let defined = self.series.iter().enumerate().filter(|(_, pairs)| !pairs.is_empty());
        for (reference, pairs) in defined {
            let reference = reference as SeriesRef;
            let first = &self.pairs[pairs[0] as usize];
            if first.holders as usize == first.series.len() || first.series.binary_search(&reference).is_ok() {
                all.push(reference);
            }
        }
        all
    }

    /// The values of a label and the series that have each, in no order.
    pub(crate) fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = (&'a str, &'a [SeriesRef])> {
        let name = self.names_by_text.get(name).map(|name| &self.names[*name as usize]);
        let pairs = name.into_iter().flat_map(|name| name.pairs.iter());
        pairs
            .map(|id| &self.pairs[*id as usize])
            .map(|pair| (&*pair.value, &*pair.series))
            .filter(|row| !row.1.is_empty())
    }

    /// The label names that findable series have, in no order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let used = |name: &&Name| name.pairs.iter().any(|pair| !self.pairs[*pair as usize].series.is_empty());
        self.names.iter().filter(used).map(|name| &*name.text)
    }

    /// The pairs of a series in the order of their names; none where there is no such series.
    pub(crate) fn pairs_of(&self, reference: SeriesRef) -> &[PairId] {
        self.series.get(reference as usize).map_or(&[], |pairs| pairs)
    }

    /// The pairs with a name, in no order.
    pub(crate) fn pairs_named(&self, name: &str) -> Vec<PairId> {
        let name = self.names_by_text.get(name).map(|name| &self.names[*name as usize]);
        name.map_or_else(Vec::new, |name| name.pairs.iter().copied().collect())
    }

    /// The series with a pair, ascending.
    pub(crate) fn pair_series(&self, pair: PairId) -> &[SeriesRef] {
        &self.pairs[pair as usize].series
    }

    /// Name and value of a pair, whose number is the index of [`Index::pair_ranks`].
    pub(crate) fn pair(&self, pair: usize) -> (&str, &str) {
        let pair = &self.pairs[pair];
        (&self.names[pair.name as usize].text, &pair.value)
    }

    /// The place of each pair among all pairs, sorted by name and value.
    pub(crate) fn pair_ranks(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.pairs.len() as u32).collect();
        order.sort_unstable_by(|left, right| self.pair(*left as usize).cmp(&self.pair(*right as usize)));
        let mut ranks = vec![0; order.len()];
        for (rank, pair) in order.into_iter().enumerate() {
            ranks[pair as usize] = rank as u32;
        }
        ranks
    }

    /// The labels of a series, ascending by name; nothing where there is no such series.
    pub(crate) fn labels_of(&self, reference: SeriesRef) -> impl Iterator<Item = (&str, &str)> {
        self.pairs_of(reference).iter().map(|pair| self.pair(*pair as usize))
    }

    /// The labels of a series that a projection wants, as a label set. `buffer` is scratch space.
    pub(crate) fn label_set(&self, reference: SeriesRef, projection: &Projection, buffer: &mut Vec<u8>) -> Labels {
        Labels::from_sorted_pairs(self.labels_of(reference).filter(|pair| projection.wants(pair.0)), buffer)
    }

    /// Bytes of memory, roughly.
    pub(crate) fn memory_bytes(&self) -> usize {
        let pairs: usize = self
            .pairs
            .iter()
            .map(|pair| pair.value.len() + if pair.series.spilled() { pair.series.capacity() * 4 } else { 0 })
            .sum();
        let series: usize = self.series.iter().map(|pairs| pairs.len() * size_of::<PairId>()).sum();
        pairs
            + series
            + self.pairs.capacity() * (size_of::<Pair>() + size_of::<PairId>())
            + self.series.capacity() * size_of::<Box<[PairId]>>()
    }
}

fn value_hash(hasher: &foldhash::quality::FixedState, value: &str) -> u64 {
    std::hash::BuildHasher::hash_one(hasher, value)
}

/// Merges new references, ascending, into a sorted list. Mostly they belong near its end.
fn merge_into(list: &mut SmallVec<[SeriesRef; 4]>, new: &[(PairId, SeriesRef)]) {
    const FEW: usize = 16;
    if list.last().is_none_or(|last| *last < new[0].1) {
        list.extend(new.iter().map(|row| row.1));
    } else if new.len() <= FEW {
        for (_, reference) in new {
            let place = list.partition_point(|other| other < reference);
            list.insert(place, *reference);
        }
    } else {
        list.extend(new.iter().map(|row| row.1));
        // The standard library's stable sort finds the two ascending runs and merges them in one pass.
        list.sort();
    }
}
