//! Limits of single processes that the runtime configuration replaces.

use crate::metrics::{DistributorInstanceLimits, IngesterInstanceLimits};
use crate::yaml::{Fields, Node, NodeError};

/// What replaces the limits of an ingester; a field without a value leaves the configured one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IngesterInstanceOverrides {
    /// Samples per second.
    pub max_ingestion_rate: Option<f64>,
    /// Tenants in memory.
    pub max_tenants: Option<u64>,
    /// Series in memory.
    pub max_series: Option<u64>,
    /// Write requests in flight.
    pub max_inflight_push_requests: Option<u64>,
    /// Bytes of the write requests in flight.
    pub max_inflight_push_requests_bytes: Option<u64>,
}

/// What replaces the limits of a distributor; a field without a value leaves the configured one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DistributorInstanceOverrides {
    /// Samples per second.
    pub max_ingestion_rate: Option<f64>,
    /// Write requests in flight.
    pub max_inflight_push_requests: Option<u64>,
    /// Bytes of the write requests in flight.
    pub max_inflight_push_requests_bytes: Option<u64>,
}

impl IngesterInstanceOverrides {
    pub(super) fn from_node(node: &Node) -> Result<Self, NodeError> {
        let mut fields = Fields::of(node)?;
        let overrides = Self {
            max_ingestion_rate: fields.float("max_ingestion_rate")?,
            max_tenants: fields.unsigned("max_tenants")?,
            max_series: fields.unsigned("max_series")?,
            max_inflight_push_requests: fields.unsigned("max_inflight_push_requests")?,
            max_inflight_push_requests_bytes: fields.unsigned("max_inflight_push_requests_bytes")?,
        };
        fields.finish()?;
        Ok(overrides)
    }

    /// The limits that hold: these over `configured`.
    pub fn over(&self, configured: &IngesterInstanceLimits) -> IngesterInstanceLimits {
        IngesterInstanceLimits {
            max_ingestion_rate: self.max_ingestion_rate.unwrap_or(configured.max_ingestion_rate),
            max_tenants: self.max_tenants.unwrap_or(configured.max_tenants),
            max_series: self.max_series.unwrap_or(configured.max_series),
            max_inflight_push_requests: self
                .max_inflight_push_requests
                .unwrap_or(configured.max_inflight_push_requests),
            max_inflight_push_requests_bytes: self
                .max_inflight_push_requests_bytes
                .unwrap_or(configured.max_inflight_push_requests_bytes),
        }
    }
}

impl DistributorInstanceOverrides {
    pub(super) fn from_node(node: &Node) -> Result<Self, NodeError> {
        let mut fields = Fields::of(node)?;
        let overrides = Self {
            max_ingestion_rate: fields.float("max_ingestion_rate")?,
            max_inflight_push_requests: fields.unsigned("max_inflight_push_requests")?,
            max_inflight_push_requests_bytes: fields.unsigned("max_inflight_push_requests_bytes")?,
        };
        fields.finish()?;
        Ok(overrides)
    }

    /// The limits that hold: these over `configured`.
    pub fn over(&self, configured: &DistributorInstanceLimits) -> DistributorInstanceLimits {
        DistributorInstanceLimits {
            max_ingestion_rate: self.max_ingestion_rate.unwrap_or(configured.max_ingestion_rate),
            max_inflight_push_requests: self
                .max_inflight_push_requests
                .unwrap_or(configured.max_inflight_push_requests),
            max_inflight_push_requests_bytes: self
                .max_inflight_push_requests_bytes
                .unwrap_or(configured.max_inflight_push_requests_bytes),
        }
    }
}
