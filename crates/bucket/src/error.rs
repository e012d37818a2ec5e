//! Why a call to the object store failed, by what the caller can do.

use norn_base::{Error, ErrorKind};

/// A failed call to an object store.
#[derive(Debug, thiserror::Error)]
pub enum BucketError {
    /// There is no such object.
    #[error("object {key} does not exist")]
    NotFound {
        /// The full key.
        key: String,
    },
    /// The key is none that the store can have.
    #[error("object key {key:?} is not valid")]
    InvalidKey {
        /// The key given.
        key: String,
    },
    /// The store did not do it; a retry may help.
    #[error("object store could not {operation} {key}")]
    Store {
        /// What was tried: `put`, `get`, `list` …
        operation: &'static str,
        /// The full key or prefix.
        key: String,
        /// What the store said.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A local file that was to be stored could not be read, or the store's folder not be written.
    #[error("file {path}")]
    File {
        /// The file.
        path: String,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
}

impl BucketError {
    /// Whether the object is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }
}

impl From<BucketError> for Error {
    fn from(error: BucketError) -> Self {
        let kind = match &error {
            BucketError::NotFound { .. } => ErrorKind::NotFound,
            BucketError::InvalidKey { .. } => ErrorKind::Internal,
            BucketError::Store { .. } | BucketError::File { .. } => ErrorKind::Unavailable,
        };
        Self::new(kind, error.to_string()).with_source(error)
    }
}
