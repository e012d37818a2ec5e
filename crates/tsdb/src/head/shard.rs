//! A part of a tenant's series behind one lock.
//!
//! Series lie in blocks that never move or shrink, so that growing costs no copy and no spare half; a table finds their
//! places by fingerprint. A place in a shard and the shard's number make up a [`SeriesRef`].

use hashbrown::HashTable;
use parking_lot::Mutex;

use super::series::{Series, SeriesRef, State};

/// How many parts a tenant's series have. More than cores that append at once, few enough for thousands of tenants.
pub(crate) const SHARDS: usize = 16;
const SHARD_BITS: u32 = SHARDS.trailing_zeros();
const BLOCK_SERIES: usize = 128;

const _: () = assert!(SHARDS.is_power_of_two());

/// Shards in order, each behind its lock. Locks are taken one at a time, and after the index's.
pub(crate) type Shards = Box<[Mutex<Shard>]>;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Shard {
    /// Places by fingerprint.
    table: HashTable<u32>,
    blocks: Vec<Vec<Series>>,
    free: Vec<u32>,
    places: u32,
}

/// Which shard a series belongs to.
#[inline]
pub(crate) fn shard_of_hash(hash: u64) -> usize {
    (hash >> 40) as usize & (SHARDS - 1)
}

/// Which shard a reference points into.
#[inline]
pub(crate) fn shard_of(reference: SeriesRef) -> usize {
    reference as usize & (SHARDS - 1)
}

impl Shard {
    /// The place of a series.
    #[inline]
    pub(crate) fn find(&self, hash: u64, fingerprint: u64) -> Option<u32> {
        let matches = |place: &u32| {
            let series = self.at(*place);
            series.fingerprint == fingerprint && series.hash == hash
        };
        self.table.find(fingerprint, matches).copied()
    }

    #[inline]
    fn at(&self, place: u32) -> &Series {
        &self.blocks[place as usize / BLOCK_SERIES][place as usize % BLOCK_SERIES]
    }

    #[inline]
    fn at_mut(&mut self, place: u32) -> &mut Series {
        &mut self.blocks[place as usize / BLOCK_SERIES][place as usize % BLOCK_SERIES]
    }

    /// The series that a reference into this shard points to, if there ever was one; look at its state.
    #[inline]
    pub(crate) fn get(&self, reference: SeriesRef) -> Option<&Series> {
        let place = reference >> SHARD_BITS;
        (place < self.places).then(|| self.at(place))
    }

    /// The series that a reference points to, which the caller knows to be there.
    #[inline]
    pub(crate) fn series_mut(&mut self, reference: SeriesRef) -> &mut Series {
        self.at_mut(reference >> SHARD_BITS)
    }

    /// Adds a series, which is not there yet, to shard number `shard`.
    pub(crate) fn insert(&mut self, shard: usize, series: Series) -> SeriesRef {
        let fingerprint = series.fingerprint;
        let place = match self.free.pop() {
            Some(place) => {
                *self.at_mut(place) = series;
                place
            }
            None => {
                if (self.places as usize).is_multiple_of(BLOCK_SERIES) {
                    self.blocks.push(Vec::with_capacity(BLOCK_SERIES));
                }
                self.blocks.last_mut().expect("a block was pushed for the first of its places").push(series);
                self.places += 1;
                self.places - 1
            }
        };
        let blocks = &self.blocks;
        self.table.insert_unique(fingerprint, place, |place| {
            blocks[*place as usize / BLOCK_SERIES][*place as usize % BLOCK_SERIES].fingerprint
        });
        reference_at(place, shard)
    }

    /// Removes a series; its place will be given to another one.
    pub(crate) fn remove(&mut self, reference: SeriesRef) {
        let place = reference >> SHARD_BITS;
        let fingerprint = self.at(place).fingerprint;
        if let Ok(entry) = self.table.find_entry(fingerprint, |candidate| *candidate == place) {
            entry.remove();
        }
        let series = self.at_mut(place);
        *series = Series::new(series.hash, fingerprint, series.id);
        series.state = State::Gone;
        self.free.push(place);
    }

    /// All series with their references, in the order of their places.
    pub(crate) fn iter(&self, shard: usize) -> impl Iterator<Item = (SeriesRef, &Series)> {
        let all = self.blocks.iter().flatten().enumerate();
        all.filter(|(_, series)| series.state != State::Gone)
            .map(move |(place, series)| (reference_at(place as u32, shard), series))
    }

    /// Hands out all series with their references.
    pub(crate) fn for_each(&mut self, shard: usize, mut visit: impl FnMut(SeriesRef, &mut Series)) {
        for (place, series) in self.blocks.iter_mut().flatten().enumerate() {
            if series.state != State::Gone {
                visit(reference_at(place as u32, shard), series);
            }
        }
    }

    /// Bytes of memory behind the shard, roughly.
    pub(crate) fn memory_bytes(&self) -> usize {
        let series: usize = self.blocks.iter().flatten().map(Series::memory_bytes).sum();
        series + self.blocks.len() * BLOCK_SERIES * size_of::<Series>() + self.table.capacity() * 5
    }
}

/// The reference of a place in a shard.
#[inline]
pub(crate) fn reference_at(place: u32, shard: usize) -> SeriesRef {
    place << SHARD_BITS | shard as u32
}

/// Shards without series.
pub(crate) fn empty_shards() -> Shards {
    (0..SHARDS).map(|_| Mutex::default()).collect()
}
