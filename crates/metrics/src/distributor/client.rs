//! Where a distributor sends what it accepted: the role in the same process, or its client.

use std::sync::Arc;

use async_trait::async_trait;
use norn_base::Result;
use norn_model::TenantId;
use norn_model::write::WriteBatch;

/// Takes batches and keeps them.
#[async_trait]
pub trait WriteClient: Send + Sync {
    /// Stores a batch; `Ok` means that it will survive a crash of a minority of those who keep it.
    ///
    /// An error with [`norn_base::Error::rest_accepted`] says that some samples were refused and all others stored;
    /// any other error says that nothing may be relied on, and that the same batch may be sent again.
    async fn push(&self, tenant: &TenantId, batch: Arc<WriteBatch>) -> Result<()>;
}
