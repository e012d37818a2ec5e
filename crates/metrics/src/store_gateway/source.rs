//! A stream over blocks that have to be opened first.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use norn_base::Result;
use norn_model::select::{BatchSource, SeriesBatch, SeriesOrder, SeriesRequest, SeriesSource, SeriesStore};
use norn_tsdb::block::BlockReader;

use crate::merge::merge_sources;

type Opening = Pin<Box<dyn Future<Output = (Vec<BlockReader>, Vec<String>)> + Send>>;

/// Opens blocks at the first poll and then merges their series.
pub(super) struct BlocksSource {
    state: State,
    request: SeriesRequest,
    warnings: Vec<String>,
}

enum State {
    Opening(Opening),
    Reading(Box<dyn SeriesSource>),
}

impl BlocksSource {
    pub(super) fn new(opening: Opening, request: SeriesRequest) -> Self {
        Self { state: State::Opening(opening), request, warnings: Vec::new() }
    }

    fn read(&self, readers: &[BlockReader]) -> Box<dyn SeriesSource> {
        match readers {
            [] => Box::new(BatchSource::default()),
            [reader] => reader.select(self.request.clone()),
            readers => {
                let request = SeriesRequest { order: SeriesOrder::ByHash, ..self.request.clone() };
                merge_sources(readers.iter().map(|reader| reader.select(request.clone())).collect())
            }
        }
    }
}

impl SeriesSource for BlocksSource {
    fn poll_batch(&mut self, context: &mut Context<'_>, batch: &mut SeriesBatch) -> Poll<Result<bool>> {
        if let State::Opening(opening) = &mut self.state {
            let Poll::Ready((readers, warnings)) = opening.as_mut().poll(context) else {
                batch.clear();
                return Poll::Pending;
            };
            self.warnings = warnings;
            self.state = State::Reading(self.read(&readers));
        }
        match &mut self.state {
            State::Reading(source) => source.poll_batch(context, batch),
            State::Opening(_) => unreachable!("the state was changed above"),
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.clone();
        if let State::Reading(source) = &self.state {
            warnings.extend(source.warnings());
        }
        warnings
    }
}
