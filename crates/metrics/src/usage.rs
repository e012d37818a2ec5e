//! What tenants send and hold: `/api/v1/user_stats` for one of them, `/distributor/all_user_stats` for an operator.
//!
//! Distributors know what is sent, ingesters what is held.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use norn_base::Result;
use norn_base::clock::SharedClock;
use norn_gotext::time::format_rfc3339;
use norn_model::TenantId;
use norn_server::admin::{page, table, wants_json};
use norn_server::errors::HttpError;
use norn_server::tenant::Tenant;
use serde_json::{Value, json};

use crate::distributor::Distributor;
use crate::reader::{IngesterReader, TenantStats};

/// Knows what tenants send and hold.
#[derive(Clone)]
pub struct Usage {
    distributor: Arc<Distributor>,
    ingesters: Arc<dyn IngesterReader>,
    clock: SharedClock,
}

impl Usage {
    /// Asks these.
    pub fn new(distributor: Arc<Distributor>, ingesters: Arc<dyn IngesterReader>, clock: SharedClock) -> Self {
        Self { distributor, ingesters, clock }
    }

    /// `/api/v1/user_stats`, to be wrapped by the tenant middleware.
    pub fn tenant_routes(&self) -> Router {
        Router::new().route("/api/v1/user_stats", get(of_tenant)).with_state(self.clone())
    }

    /// `/distributor/all_user_stats`.
    pub fn admin_routes(&self) -> Router {
        Router::new().route("/distributor/all_user_stats", get(of_all)).with_state(self.clone())
    }

    /// All tenants that sent something to this process, ascending.
    async fn all(&self) -> Result<Vec<(TenantId, TenantStats)>> {
        let mut all = Vec::new();
        for (tenant, sent) in self.distributor.tenant_stats() {
            let held = self.ingesters.tenant_stats(&tenant).await?;
            let api_ingestion_rate = sent.api_samples_per_second;
            let rule_ingestion_rate = sent.rule_samples_per_second;
            all.push((tenant, TenantStats { api_ingestion_rate, rule_ingestion_rate, series: held.series }));
        }
        all.sort_by(|left, right| left.0.cmp(&right.0));
        Ok(all)
    }
}

fn as_json(stats: &TenantStats) -> Value {
    let TenantStats { api_ingestion_rate, rule_ingestion_rate, series } = stats;
    json!({
        "ingestionRate": api_ingestion_rate + rule_ingestion_rate,
        "numSeries": series,
        "APIIngestionRate": api_ingestion_rate,
        "RuleIngestionRate": rule_ingestion_rate,
    })
}

async fn of_tenant(State(usage): State<Usage>, Tenant(tenant): Tenant) -> Result<Response, HttpError> {
    let sent = usage.all().await?.into_iter().find(|(id, _)| *id == tenant).map(|(_, stats)| stats);
    let stats = match sent {
        Some(stats) => stats,
        None => usage.ingesters.tenant_stats(&tenant).await?,
    };
    Ok(Json(as_json(&stats)).into_response())
}

async fn of_all(State(usage): State<Usage>, headers: HeaderMap) -> Result<Response, HttpError> {
    let all = usage.all().await?;
    if wants_json(&headers) {
        let stats = all.iter().map(|(tenant, stats)| {
            let mut stats = as_json(stats);
            stats["userID"] = tenant.as_str().into();
            stats
        });
        let stats: Vec<_> = stats.collect();
        let answer = json!({"now": format_rfc3339(usage.clock.now_ms()), "stats": stats, "replicationFactor": 1});
        return Ok(Json(answer).into_response());
    }
    let rows = all.iter().map(|(tenant, stats)| {
        vec![
            tenant.to_string(),
            stats.series.to_string(),
            format!("{:.1}", stats.api_ingestion_rate),
            format!("{:.1}", stats.rule_ingestion_rate),
        ]
    });
    let columns = ["Tenant", "Series in memory", "Samples per second from clients", "Samples per second from rules"];
    Ok(Html(page("Usage of all tenants", &table(&columns, rows))).into_response())
}
