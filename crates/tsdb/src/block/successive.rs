//! Streams the answer of several blocks whose times do not overlap, as one.
//!
//! Blocks that a head was cut to follow each other in time, and hold mostly the same series in the same order, that of
//! their labels. So they are read side by side: the least label set of all comes next, and its samples are decoded from
//! one block after the other straight into one column. Nothing is sorted, and no sample is copied.
//!
//! Rejected: a stream per block in the order of hashes, merged by the caller. It reads the labels of every series twice,
//! the second time in random order, and copies every sample once more; two blocks cost twice what one does for the
//! same samples.

use std::cmp::Ordering;
use std::sync::Arc;
use std::task::{Context, Poll};

use norn_base::Result;
use norn_model::Labels;
use norn_model::labels::LabelsRef;
use norn_model::select::{Projection, SeriesBatch, SeriesOrder, SeriesRequest, SeriesSource};

use super::file::FileError;
use super::reader::{BlockParts, BlockReader};
use super::source::{POLL_UNITS, SERIES_UNITS, Scratch};
use crate::index::matching::MatchingSeries;

/// Whether no two of the blocks have a millisecond in common.
pub fn follow_each_other(blocks: &[BlockReader]) -> bool {
    let mut ranges: Vec<_> = blocks.iter().map(BlockReader::range).collect();
    ranges.sort_by_key(|range| range.start_ms);
    ranges.windows(2).all(|pair| pair[0].end_ms < pair[1].start_ms)
}

/// Asks blocks that [`follow_each_other`]. The request asks for [`SeriesOrder::Any`].
pub fn select(blocks: &[BlockReader], request: SeriesRequest) -> Box<dyn SeriesSource> {
    debug_assert!(follow_each_other(blocks) && request.order == SeriesOrder::Any);
    let mut inputs: Vec<Input> = blocks
        .iter()
        .filter(|block| block.range().overlaps(request.range))
        .map(|block| Input::new(block.parts(), &request))
        .collect();
    inputs.sort_by_key(|input| input.block.meta.min_time);
    Box::new(SuccessiveSource { inputs, request, same: Vec::new() })
}

struct SuccessiveSource {
    /// Ascending in time.
    inputs: Vec<Input>,
    request: SeriesRequest,
    /// Scratch: the inputs that have the next series.
    same: Vec<usize>,
}

/// One block and where it is read.
struct Input {
    block: Arc<BlockParts>,
    search: Option<MatchingSeries>,
    /// Series that were found and not read yet.
    ids: std::vec::IntoIter<u32>,
    /// The series that `scratch` holds, with its hash.
    loaded: Option<(u32, u64)>,
    scratch: Scratch,
    /// What the answer misses.
    damage: Option<String>,
}

impl Input {
    fn new(block: Arc<BlockParts>, request: &SeriesRequest) -> Self {
        let damage = block.damage();
        let search = damage.is_none().then(|| MatchingSeries::new(&block.index, &request.matchers));
        Self { block, search, ids: Vec::new().into_iter(), loaded: None, scratch: Scratch::default(), damage }
    }

    /// Ends a block that turned out to be damaged; the others go on.
    fn set_aside(&mut self, error: FileError) -> Result<(), FileError> {
        self.damage = Some(self.block.set_aside(error)?);
        self.search = None;
        self.ids = Vec::new().into_iter();
        self.loaded = None;
        Ok(())
    }

    /// Does a part of the search; `true` when it is done.
    fn search(&mut self) -> Result<bool, FileError> {
        let Some(search) = &mut self.search else { return Ok(true) };
        if !search.step(&self.block.index)? {
            return Ok(false);
        }
        if let Some(search) = self.search.take() {
            let (found, put_off) = search.into_found();
            self.ids = found.into_iter();
            self.scratch.put_off = put_off;
        }
        Ok(true)
    }

    /// Reads the labels of the next series, unless they are at hand. Returns how many series were read.
    fn load(&mut self, request: &SeriesRequest) -> Result<usize, FileError> {
        let mut read = 0;
        while self.loaded.is_none() {
            let Some(id) = self.ids.next() else { break };
            read += 1;
            if let Some((_, hash)) = self.scratch.load(&self.block, request, id)? {
                self.loaded = Some((id, hash));
            }
        }
        Ok(read)
    }

    fn labels(&self) -> LabelsRef<'_> {
        LabelsRef::from_encoded(self.scratch.encoded()).expect("labels were checked when they were loaded")
    }
}

impl SuccessiveSource {
    /// Does one piece of work; `true` when `batch` is as full as it becomes.
    fn advance(&mut self, batch: &mut SeriesBatch) -> Result<bool, FileError> {
        for input in &mut self.inputs {
            if input.search.is_some() {
                if let Err(error) = input.search() {
                    input.set_aside(error)?;
                }
                return Ok(false);
            }
        }
        let mut spent = 0;
        while spent < POLL_UNITS {
            for input in &mut self.inputs {
                match input.load(&self.request) {
                    Ok(read) => spent += SERIES_UNITS * read,
                    Err(error) => input.set_aside(error)?,
                }
            }
            if !self.find_next() {
                return Ok(true);
            }
            spent += self.read(batch)?;
        }
        Ok(!batch.is_empty())
    }

    /// Notes in `same` who has the next series; `false` at the end.
    fn find_next(&mut self) -> bool {
        self.same.clear();
        for index in 0..self.inputs.len() {
            if self.inputs[index].loaded.is_none() {
                continue;
            }
            let order = match self.same.first() {
                Some(least) => compare(&self.inputs[index], &self.inputs[*least]),
                None => Ordering::Equal,
            };
            if order == Ordering::Less {
                self.same.clear();
            }
            if order != Ordering::Greater {
                self.same.push(index);
            }
        }
        !self.same.is_empty()
    }

    /// Reads the series that was found into the batch. Returns what that cost.
    fn read(&mut self, batch: &mut SeriesBatch) -> Result<usize, FileError> {
        let Self { inputs, request, same } = self;
        let mut spent = 0;
        let before = batch.sample_count();
        for (position, index) in same.iter().enumerate() {
            let input = &mut inputs[*index];
            let Some((id, hash)) = input.loaded.take() else { continue };
            if position == 0 {
                let labels: Labels = match &request.projection {
                    Projection::All => input.labels().to_owned(),
                    projection => input.scratch.projected(&input.block, projection)?,
                };
                batch.push_series(labels, hash);
            }
            if !request.labels_only {
                // What was decoded before the damage stays.
                match input.scratch.append_samples(&input.block, request, id, batch) {
                    Ok(cost) => spent += cost,
                    Err(error) => input.set_aside(error)?,
                }
            }
        }
        if !request.labels_only && batch.sample_count() == before {
            batch.pop_series();
        }
        Ok(spent)
    }
}

/// The order of label sets, which is that of series in a block. Equal sets are the usual case, and told by their bytes.
fn compare(left: &Input, right: &Input) -> Ordering {
    if left.scratch.encoded() == right.scratch.encoded() {
        return Ordering::Equal;
    }
    left.labels().iter().cmp(right.labels().iter())
}

impl SeriesSource for SuccessiveSource {
    fn poll_batch(&mut self, context: &mut Context<'_>, batch: &mut SeriesBatch) -> Poll<Result<bool>> {
        batch.clear();
        match self.advance(batch) {
            Ok(true) => Poll::Ready(Ok(!batch.is_empty())),
            Ok(false) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Err(error) => {
                batch.clear();
                self.inputs.clear();
                Poll::Ready(Err(error.into()))
            }
        }
    }

    fn warnings(&self) -> Vec<String> {
        self.inputs.iter().filter_map(|input| input.damage.clone()).collect()
    }
}

#[cfg(test)]
mod tests;
