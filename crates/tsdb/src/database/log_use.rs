//! What of the log a tenant still needs.

use std::collections::VecDeque;

use norn_wal::{Checkpoint, Position};

/// For each segment, the newest sample in it, and whether it has late ones.
#[derive(Debug, Default)]
pub(super) struct LogUse {
    segments: VecDeque<SegmentUse>,
    /// From this segment on the log has the tenant's exemplars, which no block has.
    exemplars_from: Option<u64>,
    /// What stands in for the tenant's records before a position, and the newest sample in it.
    checkpoint: Option<(Checkpoint, Option<i64>)>,
}

#[derive(Debug, Clone, Copy)]
struct SegmentUse {
    segment: u64,
    max_ms: Option<i64>,
    late: bool,
}

impl LogUse {
    /// A record was written to a segment. Records of other threads may be noted in between, so segments may go back.
    /// Exemplars and metadata alone keep no segment: they may be lost with it when the process ends.
    pub(super) fn note(&mut self, segment: u64, max_ms: Option<i64>, late: bool) {
        if max_ms.is_none() && !late {
            return;
        }
        let known = self.segments.iter_mut().rev().find(|known| known.segment == segment);
        match known {
            Some(known) => {
                known.max_ms = known.max_ms.max(max_ms);
                known.late |= late;
            }
            None => {
                let place = self.segments.partition_point(|known| known.segment < segment);
                self.segments.insert(place, SegmentUse { segment, max_ms, late });
            }
        }
    }

    /// A record with exemplars was written to a segment.
    pub(super) fn note_exemplars(&mut self, segment: u64) {
        self.exemplars_from = Some(self.exemplars_from.map_or(segment, |first| first.min(segment)));
    }

    /// All exemplars were written again, from a segment on.
    pub(super) fn exemplars_moved(&mut self, segment: u64) {
        self.exemplars_from = Some(segment);
    }

    /// Whether exemplars keep what is to go: a checkpoint, or, where blocks were made, a segment before this one.
    pub(super) fn exemplars_stay_behind(&self, segment: u64, blocks_made: bool) -> bool {
        self.checkpoint.is_some() || blocks_made && self.exemplars_from.is_some_and(|first| first < segment)
    }

    /// Blocks have all that is older than `floor_ms`, and all late samples whose records lie before `late`; exemplars of the
    /// checkpoint are in the log. Returns the checkpoint if that is not needed any more.
    pub(super) fn forget(&mut self, floor_ms: i64, late: Position) -> Option<Checkpoint> {
        self.segments.retain(|known| {
            known.max_ms.is_some_and(|max_ms| max_ms >= floor_ms) || (known.late && known.segment >= late.segment)
        });
        let (checkpoint, max_ms) = self.checkpoint.as_ref()?;
        let is_in_blocks = max_ms.is_none_or(|max_ms| max_ms < floor_ms) && checkpoint.position <= late;
        if is_in_blocks { self.take_checkpoint().map(|taken| taken.0) } else { None }
    }

    /// A checkpoint has all that lies before its position, up to a sample at `max_ms`. Returns the one before it, unless it
    /// has the same position, and thereby the same file.
    pub(super) fn replace_checkpoint(&mut self, checkpoint: Checkpoint, max_ms: Option<i64>) -> Option<Checkpoint> {
        self.segments.retain(|known| known.segment >= checkpoint.position.segment);
        self.exemplars_from = self.exemplars_from.map(|first| first.max(checkpoint.position.segment));
        let position = checkpoint.position;
        let older = self.checkpoint.replace((checkpoint, max_ms)).map(|older| older.0);
        older.filter(|older| older.position != position)
    }

    /// Takes the checkpoint, and the newest sample in it, out of the tenant's hands.
    pub(super) fn take_checkpoint(&mut self) -> Option<(Checkpoint, Option<i64>)> {
        self.checkpoint.take()
    }

    /// The first segment that the tenant needs.
    pub(super) fn first_segment(&self) -> Option<u64> {
        let samples_from = self.segments.front().map(|known| known.segment);
        samples_from.into_iter().chain(self.exemplars_from).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_needed_as_long_as_it_has_something_that_blocks_have_not() {
        let mut log_use = LogUse::default();
        log_use.note(1, Some(100), false);
        log_use.note(2, Some(200), true);
        log_use.note(1, Some(150), false);
        log_use.note(3, None, false);
        log_use.note(4, Some(400), false);
        log_use.note(0, None, false);
        let at = |segment| Position { segment, offset: 80 };
        assert_eq!(log_use.first_segment(), Some(1));
        log_use.forget(151, at(2));
        assert_eq!(log_use.first_segment(), Some(2));
        log_use.forget(300, at(2));
        assert_eq!(log_use.first_segment(), Some(2), "its late samples may lie behind the position");
        log_use.forget(300, at(3));
        assert_eq!(log_use.first_segment(), Some(4));
        log_use.forget(401, at(5));
        assert_eq!(log_use.first_segment(), None);
    }
}
