//! Tenant ids.

use std::fmt;
use std::sync::Arc;

/// The longest id, in bytes.
pub const TENANT_ID_BYTES_MAX: usize = 150;

/// A folder of the bucket that belongs to no tenant: an id that can be asked for, and never written.
pub const CLUSTER_FOLDER: &str = "__mimir_cluster";

/// The tenant of a server that runs without multi-tenancy.
pub const ANONYMOUS: &str = "anonymous";

/// A valid tenant id: 1 to 150 bytes of `[A-Za-z0-9!_.*'()-]`, neither `.` nor `..`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(Arc<str>);

/// An id that no tenant can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TenantIdError {
    /// Nothing was given.
    #[error("no org id")]
    Missing,
    /// More than [`TENANT_ID_BYTES_MAX`] bytes.
    #[error("tenant ID is too long: max {TENANT_ID_BYTES_MAX} characters")]
    TooLong,
    /// A character outside the allowed set.
    #[error("tenant ID '{id}' contains unsupported character '{character}'")]
    UnsupportedCharacter {
        /// The id given.
        id: String,
        /// The first character at fault.
        character: char,
    },
    /// `.` or `..`, which are no names of folders.
    #[error("tenant ID is '.' or '..'")]
    Reserved,
}

impl TenantId {
    /// Checks an id from outside.
    pub fn parse(id: &str) -> Result<Self, TenantIdError> {
        if id.is_empty() {
            return Err(TenantIdError::Missing);
        }
        let allowed = |character: char| character.is_ascii_alphanumeric() || "!-_.*'()".contains(character);
        if let Some(character) = id.chars().find(|character| !allowed(*character)) {
            return Err(TenantIdError::UnsupportedCharacter { id: id.to_owned(), character });
        }
        if id.len() > TENANT_ID_BYTES_MAX {
            return Err(TenantIdError::TooLong);
        }
        if matches!(id, "." | "..") {
            return Err(TenantIdError::Reserved);
        }
        Ok(Self(id.into()))
    }

    /// The tenant of a server without multi-tenancy.
    pub fn anonymous() -> Self {
        Self(ANONYMOUS.into())
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
