//! Memory budgets: an owner, a limit, and what is in use.
//!
//! Heads, caches, queries and receive buffers draw from budgets. A budget may have a parent: what is drawn
//! from a child is drawn from its parents too, so that one query dies at its own limit and all of them
//! together stay below the process's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A refusal: which budget, how much was asked, what is in use, what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("memory budget {owner}: {requested_bytes} bytes asked, {used_bytes} of {limit_bytes} in use")]
pub struct BudgetExceeded {
    /// The budget that refused.
    pub owner: String,
    /// Bytes asked for.
    pub requested_bytes: u64,
    /// Bytes in use before.
    pub used_bytes: u64,
    /// Bytes allowed in all.
    pub limit_bytes: u64,
}

/// A limit on bytes, shared by all who hold a clone of the `Arc`.
#[derive(Debug)]
pub struct MemoryBudget {
    owner: String,
    limit_bytes: AtomicU64,
    used_bytes: AtomicU64,
    peak_bytes: AtomicU64,
    refused: AtomicU64,
    parent: Option<Arc<MemoryBudget>>,
}

impl MemoryBudget {
    /// A budget of its own. `u64::MAX` is no limit.
    pub fn new(owner: impl Into<String>, limit_bytes: u64) -> Arc<Self> {
        Self::build(owner.into(), limit_bytes, None)
    }

    /// A budget that also draws from `self`.
    pub fn child(self: &Arc<Self>, owner: impl Into<String>, limit_bytes: u64) -> Arc<Self> {
        Self::build(owner.into(), limit_bytes, Some(self.clone()))
    }

    fn build(owner: String, limit_bytes: u64, parent: Option<Arc<Self>>) -> Arc<Self> {
        Arc::new(Self {
            owner,
            limit_bytes: AtomicU64::new(limit_bytes),
            used_bytes: AtomicU64::new(0),
            peak_bytes: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            parent,
        })
    }

    /// Who the budget belongs to, as shown to users.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Bytes in use.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// The most bytes that were ever in use.
    pub fn peak_bytes(&self) -> u64 {
        self.peak_bytes.load(Ordering::Relaxed)
    }

    /// Bytes allowed.
    pub fn limit_bytes(&self) -> u64 {
        self.limit_bytes.load(Ordering::Relaxed)
    }

    /// How often a request was refused, by this budget or a parent.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Changes the limit; what is in use stays in use.
    pub fn set_limit_bytes(&self, limit_bytes: u64) {
        self.limit_bytes.store(limit_bytes, Ordering::Relaxed);
    }

    /// Draws `bytes` from this budget and its parents, or from none of them.
    ///
    /// The caller gives them back with [`MemoryBudget::release`], or holds a [`Reservation`].
    pub fn acquire(&self, bytes: u64) -> Result<(), BudgetExceeded> {
        let before = self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        let limit_bytes = self.limit_bytes();
        if before.saturating_add(bytes) > limit_bytes {
            self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.refused.fetch_add(1, Ordering::Relaxed);
            let owner = self.owner.clone();
            return Err(BudgetExceeded { owner, requested_bytes: bytes, used_bytes: before, limit_bytes });
        }
        if let Some(parent) = &self.parent
            && let Err(refusal) = parent.acquire(bytes)
        {
            self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.refused.fetch_add(1, Ordering::Relaxed);
            return Err(refusal);
        }
        self.peak_bytes.fetch_max(before + bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Gives back `bytes` that were acquired before.
    pub fn release(&self, bytes: u64) {
        self.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
        if let Some(parent) = &self.parent {
            parent.release(bytes);
        }
    }

    /// A reservation of nothing yet, that grows and gives everything back when it is dropped.
    pub fn reservation(self: &Arc<Self>) -> Reservation {
        Reservation { budget: self.clone(), bytes: 0 }
    }
}

/// Bytes drawn from a budget, given back on drop.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<MemoryBudget>,
    bytes: u64,
}

impl Reservation {
    /// Draws more, or fails and keeps what it had.
    pub fn grow(&mut self, bytes: u64) -> Result<(), BudgetExceeded> {
        self.budget.acquire(bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Gives back up to `bytes`.
    pub fn shrink(&mut self, bytes: u64) {
        let returned = bytes.min(self.bytes);
        self.budget.release(returned);
        self.bytes -= returned;
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.release(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_draws_from_its_parent_and_gives_back_on_drop() {
        let process = MemoryBudget::new("process", 100);
        let query = process.child("query", 80);
        let other = process.child("other", 80);
        let mut held = query.reservation();
        held.grow(70).unwrap();
        assert_eq!(other.acquire(40).unwrap_err().owner, "process");
        assert_eq!(query.acquire(20).unwrap_err().owner, "query");
        assert_eq!((process.used_bytes(), other.used_bytes()), (70, 0));
        drop(held);
        assert_eq!((process.used_bytes(), query.used_bytes(), query.peak_bytes()), (0, 0, 70));
    }
}
