//! Reading a tenant: head and blocks as one.

use std::collections::BTreeSet;
use std::sync::Arc;

use norn_base::{Error, ErrorKind, Result};
use norn_model::Matcher;
use norn_model::estimate::{SeriesCount, SeriesEstimate};
use norn_model::merge::{Precedence, merge_sources};
use norn_model::select::{SeriesOrder, SeriesRequest, SeriesSource, SeriesStore, TimeRange};

use super::tenant::{LocalBlock, Tenant};
use crate::block::FileError;

impl SeriesStore for Tenant {
    fn select(&self, mut request: SeriesRequest) -> Box<dyn SeriesSource> {
        // The lease comes before the look at the blocks: what is cut to a block after that look stays in the head.
        let lease = self.head().lease(request.range.start_ms);
        let snapshot = self.snapshot.load_full();
        let blocks: Vec<_> =
            snapshot.blocks.iter().filter(|block| block.reader.range().overlaps(request.range)).collect();
        if !blocks.is_empty() {
            request.order = SeriesOrder::ByHash;
        }
        let from_ms = snapshot.floor_ms.unwrap_or(i64::MIN);
        // Of two samples of one time the late one came second, and does not replace the first.
        let (late, in_order): (Vec<_>, Vec<_>) =
            blocks.into_iter().partition(|block| block.reader.meta().compaction.is_out_of_order());
        let ask = |block: &Arc<LocalBlock>| block.reader.select(request.clone());
        let mut sources: Vec<_> = in_order.into_iter().map(ask).collect();
        sources.push(self.head().select(request.clone(), from_ms, lease));
        sources.extend(late.into_iter().map(ask));
        merge_sources(sources, Precedence::First)
    }
}

impl SeriesEstimate for Tenant {
    fn estimate(&self, request: &SeriesRequest) -> Result<SeriesCount> {
        let snapshot = self.snapshot.load_full();
        let mut count = SeriesCount::default();
        for block in &snapshot.blocks {
            count = count.beside(block.reader.estimate(request)?);
        }
        let start_ms = request.range.start_ms.max(snapshot.floor_ms.unwrap_or(i64::MIN));
        let head = self.head().estimate(&request.matchers, TimeRange { start_ms, ..request.range });
        Ok(count.beside(head))
    }
}

impl Tenant {
    /// The label names of the matching series, ascending. Series of the head and of blocks count whose time overlaps
    /// `range` as a whole.
    pub fn label_names(&self, matchers: &[Matcher], range: TimeRange) -> Result<Vec<String>> {
        let head = if self.head().overlaps(range) { self.head().label_names(matchers) } else { Vec::new() };
        self.union(head, |block| block.reader.label_names(matchers, range))
    }

    /// The values of a label among the matching series, ascending.
    pub fn label_values(&self, name: &str, matchers: &[Matcher], range: TimeRange) -> Result<Vec<String>> {
        let head = if self.head().overlaps(range) { self.head().label_values(name, matchers) } else { Vec::new() };
        self.union(head, |block| block.reader.label_values(name, matchers, range))
    }

    fn union(
        &self,
        head: Vec<String>,
        ask: impl Fn(&LocalBlock) -> std::result::Result<Vec<String>, FileError>,
    ) -> Result<Vec<String>> {
        let mut all: BTreeSet<String> = head.into_iter().collect();
        for block in self.blocks() {
            let answer = ask(&block).map_err(|error| {
                Error::new(ErrorKind::Corrupt, "a local block of the ingester cannot be read").with_source(error)
            })?;
            all.extend(answer);
        }
        Ok(all.into_iter().collect())
    }
}
