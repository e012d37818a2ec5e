//! Results of range queries, kept in pieces of time.
//!
//! An entry holds, for one query of one tenant at one step, the pieces of time ([`Extent`]) whose results are known.
//! A request takes what overlaps and computes the gaps. Pieces that touch what may still change, because samples
//! are young or may come late, are cut off or live shorter; the caller says how.

use std::sync::Arc;

use parking_lot::Mutex;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::split::StepRange;

/// A result that can be cut and joined along time.
pub trait Piece: Clone + Send + Sync + 'static {
    /// Only what lies in `start_ms..=end_ms`.
    fn cut(&self, start_ms: i64, end_ms: i64) -> Self;
    /// Puts results of adjoining times together; `parts` ascend in time.
    fn join(parts: Vec<Self>) -> Self;
    /// Bytes that it takes, roughly.
    fn bytes(&self) -> u64;
}

/// The result of some steps.
#[derive(Debug, Clone)]
pub struct Extent<R> {
    /// The first step.
    pub start_ms: i64,
    /// The last step.
    pub end_ms: i64,
    /// When the result was computed, in milliseconds since the Unix epoch.
    pub computed_ms: i64,
    /// The result.
    pub result: R,
}

/// How long results are worth keeping. All in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    /// Steps younger than this are not kept: their samples may still be on the way.
    pub unstable_ms: i64,
    /// How long an extent is kept.
    pub lifetime_ms: i64,
    /// How old samples may be when they come late; 0 where none may.
    pub late_window_ms: i64,
    /// How long an extent is kept that touches the window of late samples.
    pub late_lifetime_ms: i64,
}

/// Extents shorter than this are not worth the look-up for a longer request.
const SHORT_EXTENT_MS: i64 = 5 * 60 * 1000;

type Entry<R> = Arc<Mutex<Vec<Extent<R>>>>;

/// What is known and what is not: extents that answer parts of a request, and the gaps between them.
#[derive(Debug)]
pub struct Lookup<R> {
    /// Ascending, inside the request.
    pub known: Vec<Extent<R>>,
    /// Ascending; together with `known` they have exactly the steps of the request.
    pub gaps: Vec<StepRange>,
}

/// A cache of results in memory, with a limit on its bytes.
pub struct ResultsCache<R: Piece> {
    entries: Cache<String, Entry<R>, EntryWeighter>,
}

#[derive(Debug, Clone)]
struct EntryWeighter;

impl<R: Piece> Weighter<String, Entry<R>> for EntryWeighter {
    fn weight(&self, key: &String, entry: &Entry<R>) -> u64 {
        key.len() as u64 + entry.lock().iter().map(|extent| extent.result.bytes() + 32).sum::<u64>()
    }
}

impl<R: Piece> ResultsCache<R> {
    /// A cache that holds about `bytes_max` bytes of results.
    pub fn new(bytes_max: u64) -> Self {
        // An entry of a dashboard's query takes some ten kilobytes.
        let entries_expected = usize::try_from(bytes_max / 16_384).unwrap_or(usize::MAX).max(16);
        Self { entries: Cache::with_weighter(entries_expected, bytes_max, EntryWeighter) }
    }

    /// What is known of `range`. Steps of extents must be those of the request, so `key` has to hold the step and the
    /// start modulo the step.
    pub fn look_up(&self, key: &str, range: StepRange, now_ms: i64, freshness: Freshness) -> Lookup<R> {
        let mut known = Vec::new();
        let mut gaps = Vec::new();
        let mut next_ms = range.start_ms;
        let last_ms = range.last_step_ms();
        if let Some(entry) = self.entries.get(key) {
            for extent in entry.lock().iter() {
                let short =
                    extent.end_ms - extent.start_ms < SHORT_EXTENT_MS && last_ms - range.start_ms > SHORT_EXTENT_MS;
                let misses = extent.end_ms < next_ms || extent.start_ms > last_ms;
                if short || misses || expired(extent, now_ms, freshness) {
                    continue;
                }
                let start_ms = extent.start_ms.max(next_ms);
                let end_ms = extent.end_ms.min(last_ms);
                if next_ms < start_ms {
                    gaps.push(StepRange { start_ms: next_ms, end_ms: start_ms - range.step_ms, ..range });
                }
                let result = extent.result.cut(start_ms, end_ms);
                known.push(Extent { start_ms, end_ms, computed_ms: extent.computed_ms, result });
                next_ms = end_ms + range.step_ms;
            }
        }
        if next_ms <= last_ms {
            gaps.push(StepRange { start_ms: next_ms, ..range });
        }
        Lookup { known, gaps }
    }

    /// Keeps what is old enough of new results. Extents that adjoin become one.
    pub fn insert(&self, key: &str, computed: Vec<Extent<R>>, step_ms: i64, now_ms: i64, freshness: Freshness) {
        let stable_until_ms = now_ms - freshness.unstable_ms;
        let stable = computed.into_iter().filter_map(|extent| until(extent, stable_until_ms, step_ms));
        let entry = self.entries.get(key).unwrap_or_default();
        let mut extents: Vec<_> = entry.lock().drain(..).filter(|extent| !expired(extent, now_ms, freshness)).collect();
        extents.extend(stable);
        extents.sort_by_key(|extent| extent.start_ms);
        let merged = merge(extents, step_ms);
        // The entry is put in again so that the cache learns its weight.
        self.entries.insert(key.to_owned(), Arc::new(Mutex::new(merged)));
    }
}

fn expired<R>(extent: &Extent<R>, now_ms: i64, freshness: Freshness) -> bool {
    let age_ms = now_ms - extent.computed_ms;
    let may_change = freshness.late_window_ms > 0 && extent.end_ms >= now_ms - freshness.late_window_ms;
    age_ms > freshness.lifetime_ms || (may_change && age_ms > freshness.late_lifetime_ms)
}

/// The steps of an extent that are not later than a time.
fn until<R: Piece>(extent: Extent<R>, last_ms: i64, step_ms: i64) -> Option<Extent<R>> {
    if extent.end_ms <= last_ms {
        return Some(extent);
    }
    if extent.start_ms > last_ms {
        return None;
    }
    let end_ms = last_ms - (last_ms - extent.start_ms).rem_euclid(step_ms);
    Some(Extent { end_ms, result: extent.result.cut(extent.start_ms, end_ms), ..extent })
}

fn merge<R: Piece>(extents: Vec<Extent<R>>, step_ms: i64) -> Vec<Extent<R>> {
    let mut merged: Vec<Extent<R>> = Vec::with_capacity(extents.len());
    for extent in extents {
        match merged.last_mut() {
            Some(last) if extent.end_ms <= last.end_ms => {}
            Some(last) if extent.start_ms <= last.end_ms + step_ms => {
                let rest = extent.result.cut(last.end_ms + step_ms, extent.end_ms);
                last.result = R::join(vec![last.result.clone(), rest]);
                last.end_ms = extent.end_ms;
                last.computed_ms = last.computed_ms.min(extent.computed_ms);
            }
            _ => merged.push(extent),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The steps themselves are the result.
    impl Piece for Vec<i64> {
        fn cut(&self, start_ms: i64, end_ms: i64) -> Self {
            self.iter().copied().filter(|step| (start_ms..=end_ms).contains(step)).collect()
        }

        fn join(parts: Vec<Self>) -> Self {
            parts.concat()
        }

        fn bytes(&self) -> u64 {
            8 * self.len() as u64
        }
    }

    const STEP: i64 = 60_000;
    const FRESH: Freshness =
        Freshness { unstable_ms: 10 * STEP, lifetime_ms: 1000 * STEP, late_window_ms: 0, late_lifetime_ms: 0 };

    fn range(start: i64, end: i64) -> StepRange {
        StepRange { start_ms: start * STEP, end_ms: end * STEP, step_ms: STEP }
    }

    fn extent(start: i64, end: i64, computed: i64) -> Extent<Vec<i64>> {
        let result = (start..=end).map(|step| step * STEP).collect();
        Extent { start_ms: start * STEP, end_ms: end * STEP, computed_ms: computed * STEP, result }
    }

    /// The steps that are known and those that are not, in minutes.
    fn look_up(
        cache: &ResultsCache<Vec<i64>>,
        asked: StepRange,
        now: i64,
        fresh: Freshness,
    ) -> (Vec<i64>, Vec<(i64, i64)>) {
        let found = cache.look_up("q", asked, now * STEP, fresh);
        let known = found.known.iter().flat_map(|extent| &extent.result).map(|step| step / STEP).collect();
        let gaps = found.gaps.iter().map(|gap| (gap.start_ms / STEP, gap.end_ms / STEP)).collect();
        (known, gaps)
    }

    #[test]
    fn known_steps_and_gaps_make_up_the_request() {
        let cache = ResultsCache::new(1 << 20);
        assert_eq!(look_up(&cache, range(0, 30), 100, FRESH), (vec![], vec![(0, 30)]));
        cache.insert("q", vec![extent(10, 20, 100)], STEP, 100 * STEP, FRESH);
        assert_eq!(look_up(&cache, range(0, 30), 100, FRESH), ((10..=20).collect(), vec![(0, 9), (21, 30)]));
        assert_eq!(look_up(&cache, range(12, 18), 100, FRESH), ((12..=18).collect(), vec![]));
        cache.insert("q", vec![extent(0, 9, 100), extent(21, 30, 100)], STEP, 100 * STEP, FRESH);
        assert_eq!(look_up(&cache, range(0, 30), 100, FRESH), ((0..=30).collect(), vec![]));
    }

    #[test]
    fn young_steps_are_not_kept() {
        let cache = ResultsCache::new(1 << 20);
        cache.insert("q", vec![extent(80, 100, 100)], STEP, 100 * STEP, FRESH);
        assert_eq!(look_up(&cache, range(80, 100), 100, FRESH), ((80..=90).collect(), vec![(91, 100)]));
    }

    #[test]
    fn extents_within_reach_of_late_samples_live_shorter() {
        let cache = ResultsCache::new(1 << 20);
        let fresh = Freshness { late_window_ms: 60 * STEP, late_lifetime_ms: 5 * STEP, ..FRESH };
        cache.insert("q", vec![extent(20, 35, 100), extent(70, 90, 100)], STEP, 100 * STEP, fresh);
        assert_eq!(look_up(&cache, range(20, 90), 104, fresh).1, [(36, 69)]);
        assert_eq!(look_up(&cache, range(20, 90), 110, fresh).1, [(36, 90)]);
    }
}
