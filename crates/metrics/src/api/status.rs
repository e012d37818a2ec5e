//! Answers that do not depend on data.

use axum::response::Response;
use norn_config::limits::Limits;
use serde::Serialize;

use super::envelope::{json_response, success};

/// What `/api/v1/status/buildinfo` tells.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildInfo {
    /// By this name Grafana knows what the data source can do.
    pub application: &'static str,
    /// norn's version.
    pub version: String,
    /// The commit.
    pub revision: String,
    /// The branch.
    pub branch: String,
    /// Named as in the original; norn is built with Rust.
    pub go_version: String,
    /// `"true"` or `"false"` for each of a few features.
    pub features: Features,
}

/// Features that clients look for.
#[derive(Debug, Clone, Serialize)]
#[expect(missing_docs, reason = "the names are those of the API")]
pub struct Features {
    pub ruler_config_api: &'static str,
    pub alertmanager_config_api: &'static str,
    pub query_sharding: &'static str,
    pub federated_rules: &'static str,
}

/// `GET /api/v1/status/buildinfo`
pub fn build_info(info: &BuildInfo) -> Response {
    success(info, &[])
}

/// `GET /api/v1/user_limits`: the part of a tenant's limits that it may see.
pub fn user_limits(limits: &Limits) -> Response {
    let shown = serde_json::json!({
        "compactor_blocks_retention_period_seconds": limits.compactor_blocks_retention_period.as_secs(),
        "ingestion_rate": limits.ingestion_rate,
        "ingestion_burst_size": limits.ingestion_burst_size,
        "ingestion_burst_factor": limits.ingestion_burst_factor,
        "max_global_series_per_user": limits.max_global_series_per_user,
        "max_global_series_per_metric": limits.max_global_series_per_metric,
        "max_global_exemplars_per_user": limits.max_global_exemplars_per_user,
        "max_fetched_chunks_per_query": limits.max_fetched_chunks_per_query,
        "max_fetched_series_per_query": limits.max_fetched_series_per_query,
        "max_fetched_chunk_bytes_per_query": limits.max_fetched_chunk_bytes_per_query,
        "ruler_max_rules_per_rule_group": limits.ruler_max_rules_per_rule_group,
        "ruler_max_rule_groups_per_tenant": limits.ruler_max_rule_groups_per_tenant,
    });
    json_response(200, shown.to_string())
}

/// `GET /api/v1/rules`: a process without a ruler has no rules.
pub async fn no_rules() -> Response {
    json_response(200, r#"{"status":"success","data":{"groups":[]},"errorType":"","error":""}"#)
}

/// `GET /api/v1/alerts`: a process without a ruler has no alerts.
pub async fn no_alerts() -> Response {
    json_response(200, r#"{"status":"success","data":{"alerts":[]},"errorType":"","error":""}"#)
}
