//! Memory that request bodies are received and decompressed into.
//!
//! Clients send bodies of about the same size again and again, so buffers are kept: filling a fresh one costs page
//! faults and zeroing, which is as much work as decompressing it. What is in use is drawn from the memory budget of
//! received bodies; what is kept is bounded by two constants.

use std::sync::Arc;

use bytes::Bytes;
use norn_base::memory::{BudgetExceeded, MemoryBudget, Reservation};
use parking_lot::Mutex;

/// Buffers kept for the next request: about as many as requests are decoded at the same time.
const KEPT_BUFFERS_MAX: usize = 16;
/// Larger buffers go back to the allocator: a rare large body must not stay for ever.
const KEPT_BUFFER_BYTES_MAX: usize = 1 << 20;
/// The first size of a buffer whose final size is unknown.
const FIRST_BYTES: usize = 16 << 10;

/// Hands out buffers and takes them back.
#[derive(Debug)]
pub(crate) struct Buffers {
    budget: Arc<MemoryBudget>,
    kept: Mutex<Vec<Vec<u8>>>,
}

impl Buffers {
    /// Buffers that draw from `budget`.
    pub(crate) fn new(budget: Arc<MemoryBudget>) -> Arc<Self> {
        Arc::new(Self { budget, kept: Mutex::new(Vec::new()) })
    }

    /// An empty buffer.
    pub(crate) fn take(self: &Arc<Self>) -> Buffer {
        let memory = self.kept.lock().pop().unwrap_or_default();
        Buffer { memory, len: 0, charged: self.budget.reservation(), home: self.clone() }
    }
}

/// Bytes that go back to where they came from when they are dropped.
#[derive(Debug)]
pub(crate) struct Buffer {
    // As long as it ever was and initialised throughout; only the first `len` bytes mean something.
    memory: Vec<u8>,
    len: usize,
    charged: Reservation,
    home: Arc<Buffers>,
}

impl Buffer {
    /// Room for `additional` bytes behind those that are there.
    pub(crate) fn room(&mut self, additional: usize) -> Result<&mut [u8], BudgetExceeded> {
        let needed = self.len + additional;
        self.charge(needed)?;
        if self.memory.len() < needed {
            self.memory.resize(needed, 0);
        }
        Ok(&mut self.memory[self.len..needed])
    }

    /// Some room, growing with what is there, so that many small steps cost one copy in all; at most `len_max` bytes
    /// are in the buffer afterwards. Empty only when that many are there.
    pub(crate) fn some_room(&mut self, len_max: usize) -> Result<&mut [u8], BudgetExceeded> {
        let target = (2 * self.len).max(FIRST_BYTES).min(len_max);
        self.room(target.saturating_sub(self.len))
    }

    /// The first `count` bytes of the room last given are filled.
    pub(crate) fn advance(&mut self, count: usize) {
        assert!(self.len + count <= self.memory.len(), "no more is filled than there was room for");
        self.len += count;
    }

    /// Copies `bytes` behind those that are there.
    pub(crate) fn extend(&mut self, bytes: &[u8]) -> Result<(), BudgetExceeded> {
        if self.memory.len() < self.len + bytes.len() {
            let grown = (2 * self.len).max(FIRST_BYTES).max(self.len + bytes.len());
            self.room(grown - self.len)?;
        }
        self.room(bytes.len())?.copy_from_slice(bytes);
        self.advance(bytes.len());
        Ok(())
    }

    /// The bytes, which keep the buffer until their last clone is dropped.
    pub(crate) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }

    fn charge(&mut self, bytes: usize) -> Result<(), BudgetExceeded> {
        match (bytes as u64).checked_sub(self.charged.bytes()) {
            None | Some(0) => Ok(()),
            Some(more) => self.charged.grow(more),
        }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.memory[..self.len]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.memory.is_empty() || self.memory.len() > KEPT_BUFFER_BYTES_MAX {
            return;
        }
        let mut kept = self.home.kept.lock();
        if kept.len() < KEPT_BUFFERS_MAX {
            kept.push(std::mem::take(&mut self.memory));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_charged_while_it_lives_and_kept_after() {
        let budget = MemoryBudget::new("bodies", 100_000);
        let buffers = Buffers::new(budget.clone());
        let mut buffer = buffers.take();
        buffer.extend(&[7; 20_000]).unwrap();
        let bytes = buffer.into_bytes();
        let slice = bytes.slice(10..20);
        drop(bytes);
        assert_eq!((&*slice, budget.used_bytes()), (&[7; 10][..], 20_000));
        drop(slice);
        assert_eq!(budget.used_bytes(), 0);
        let again = buffers.take();
        assert_eq!((again.memory.len(), again.as_ref().len()), (20_000, 0));
    }

    #[test]
    fn an_exhausted_budget_refuses() {
        let buffers = Buffers::new(MemoryBudget::new("bodies", 100));
        assert!(buffers.take().room(101).is_err());
        assert_eq!(buffers.take().room(100).unwrap().len(), 100);
        let mut small = buffers.take();
        assert_eq!(small.some_room(10).unwrap().len(), 10);
        small.advance(10);
        assert!(small.some_room(10).unwrap().is_empty());
    }
}
