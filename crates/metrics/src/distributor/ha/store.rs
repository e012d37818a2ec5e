//! Where elections are kept: for one process in its memory, for several in what they share.

use std::collections::BTreeMap;

use async_trait::async_trait;
use norn_base::Result;
use norn_model::TenantId;
use parking_lot::Mutex;

/// Names a pair of replicas.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HaKey {
    /// Whose pair.
    pub tenant: TenantId,
    /// The value of the label that names it.
    pub cluster: String,
}

/// An election. Times are in milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplicaDesc {
    /// Who is elected.
    pub replica: String,
    /// When its samples were last seen.
    pub received_at_ms: i64,
    /// When it was elected.
    pub elected_at_ms: i64,
    /// When the election was marked as forgotten; 0 is not at all.
    pub deleted_at_ms: i64,
    /// How often another replica was elected before.
    pub elected_changes: i64,
}

/// What to write instead of what is there; `None` leaves it. May be called several times.
pub type Change<'a> = &'a mut (dyn FnMut(Option<&ReplicaDesc>) -> Option<ReplicaDesc> + Send);

/// A store that all distributors share.
#[async_trait]
pub trait HaStore: Send + Sync {
    /// Changes an election as if nobody else did at the same time. Returns what is there afterwards.
    async fn update(&self, key: &HaKey, change: Change<'_>) -> Result<ReplicaDesc>;

    /// Removes an election.
    async fn remove(&self, key: &HaKey) -> Result<()>;

    /// All elections, also those marked as forgotten.
    async fn list(&self) -> Result<Vec<(HaKey, ReplicaDesc)>>;
}

/// The store of a single process.
#[derive(Debug, Default)]
pub struct MemoryHaStore {
    elections: Mutex<BTreeMap<HaKey, ReplicaDesc>>,
}

#[async_trait]
impl HaStore for MemoryHaStore {
    async fn update(&self, key: &HaKey, change: Change<'_>) -> Result<ReplicaDesc> {
        let mut elections = self.elections.lock();
        if let Some(desc) = change(elections.get(key)) {
            elections.insert(key.clone(), desc);
        }
        Ok(elections.get(key).cloned().unwrap_or_default())
    }

    async fn remove(&self, key: &HaKey) -> Result<()> {
        self.elections.lock().remove(key);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<(HaKey, ReplicaDesc)>> {
        Ok(self.elections.lock().iter().map(|(key, desc)| (key.clone(), desc.clone())).collect())
    }
}
