//! A stream over blocks that have to be opened first.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use norn_base::Result;
use norn_model::merge::{Precedence, merge_sources};
use norn_model::select::{BatchSource, SeriesBatch, SeriesOrder, SeriesRequest, SeriesSource, SeriesStore};
use norn_tsdb::block::BlockReader;
use norn_tsdb::block::successive::{self, follow_each_other};

use super::{Opened, Turn};

type Opening = Pin<Box<dyn Future<Output = Result<Opened>> + Send>>;

/// Opens blocks at the first poll and then merges their series.
pub(super) struct BlocksSource {
    state: State,
    request: SeriesRequest,
    warnings: Vec<String>,
    /// Held until the source is read to its end or dropped.
    turn: Turn,
}

enum State {
    Opening(Opening),
    Reading(Box<dyn SeriesSource>),
}

impl BlocksSource {
    pub(super) fn new(opening: Opening, request: SeriesRequest) -> Self {
        Self { state: State::Opening(opening), request, warnings: Vec::new(), turn: None }
    }

    fn read(&self, readers: &[BlockReader]) -> Box<dyn SeriesSource> {
        match readers {
            [] => Box::new(BatchSource::default()),
            [reader] => reader.select(self.request.clone()),
            readers if self.request.order == SeriesOrder::Any && follow_each_other(readers) => {
                successive::select(readers, self.request.clone())
            }
            readers => {
                let request = SeriesRequest { order: SeriesOrder::ByHash, ..self.request.clone() };
                merge_sources(
                    readers.iter().map(|reader| reader.select(request.clone())).collect(),
                    Precedence::Greatest,
                )
            }
        }
    }
}

impl SeriesSource for BlocksSource {
    fn poll_batch(&mut self, context: &mut Context<'_>, batch: &mut SeriesBatch) -> Poll<Result<bool>> {
        if let State::Opening(opening) = &mut self.state {
            let Poll::Ready(opened) = opening.as_mut().poll(context) else {
                batch.clear();
                return Poll::Pending;
            };
            let Opened { readers, warnings, turn } = opened?;
            (self.warnings, self.turn) = (warnings, turn);
            self.state = State::Reading(self.read(&readers));
        }
        let State::Reading(source) = &mut self.state else { unreachable!("the state was changed above") };
        let polled = source.poll_batch(context, batch);
        if let Poll::Ready(Ok(false) | Err(_)) = polled {
            self.turn = None;
        }
        polled
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.clone();
        if let State::Reading(source) = &self.state {
            warnings.extend(source.warnings());
        }
        warnings
    }
}
