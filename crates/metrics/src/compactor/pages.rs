//! Pages of the compactor for operators, and the deletion of tenants.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use norn_base::{Error, Result};
use norn_gotext::time::format_rfc3339;
use norn_model::TenantId;
use norn_server::admin::{page, table, wants_json};
use norn_server::errors::HttpError;
use norn_server::tenant::Tenant;
use norn_tsdb::compact::plan;
use norn_tsdb::compact::plan::Job;
use serde_json::json;

use super::Compactor;
use crate::blocks::index::BucketIndex;
use crate::blocks::markers::{TenantDeletionMark, read_tenant_mark, write_tenant_mark};

type Shared = State<Arc<Compactor>>;

pub(super) fn admin_routes(compactor: Arc<Compactor>) -> Router {
    Router::new()
        .route("/compactor/tenants", get(tenants))
        .route("/compactor/tenant/{tenant}/planned_jobs", get(planned_jobs))
        .with_state(compactor)
}

pub(super) fn tenant_routes(compactor: Arc<Compactor>) -> Router {
    Router::new()
        .route("/compactor/delete_tenant", post(delete_tenant))
        .route("/compactor/delete_tenant_status", get(delete_tenant_status))
        .with_state(compactor)
}

async fn tenants(State(compactor): Shared, headers: HeaderMap) -> Result<Response, HttpError> {
    let tenants = compactor.tenants().await?;
    if wants_json(&headers) {
        let names: Vec<_> = tenants.iter().map(TenantId::as_str).collect();
        let answer = json!({"now": format_rfc3339(compactor.clock.now_ms()), "tenants": names});
        return Ok(Json(answer).into_response());
    }
    let rows = tenants.iter().map(|tenant| vec![tenant.to_string()]);
    Ok(Html(page("Tenants of the compactor", &table(&["Tenant"], rows))).into_response())
}

async fn planned_jobs(
    State(compactor): Shared,
    Path(tenant): Path<String>,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    let tenant = TenantId::parse(&tenant).map_err(|error| Error::bad_request(error.to_string()))?;
    let bucket = compactor.bucket.scoped(tenant.as_str());
    let index = BucketIndex::read(&*bucket).await.map_err(Error::from)?.unwrap_or_default();
    let candidates = compactor.candidates(&tenant, &bucket).await?;
    let planner = compactor.planner(&tenant);
    let jobs = plan(&candidates, &planner, compactor.clock.now_ms());
    if wants_json(&headers) {
        let splits = jobs.iter().filter(|job| job.stage == norn_tsdb::compact::plan::Stage::Split).count();
        return Ok(Json(json!({
            "now": format_rfc3339(compactor.clock.now_ms()),
            "bucket_index_updated": format_rfc3339(index.updated_at * 1000),
            "tenant": tenant.as_str(),
            "jobs": jobs.iter().map(|job| shown(job, &tenant)).collect::<Vec<_>>(),
            "split_jobs_count": splits,
            "merge_jobs_count": jobs.len() - splits,
            "tenant_split_groups": planner.split_groups,
            "tenant_merge_shards": planner.shards,
        }))
        .into_response());
    }
    let rows = jobs.iter().map(|job| {
        let range = [job.range_start_ms, job.range_end_ms].map(format_rfc3339);
        vec![job.key(tenant.as_str()), range[0].clone(), range[1].clone(), job.blocks.len().to_string()]
    });
    let html = table(&["Job", "From", "To", "Blocks"], rows);
    Ok(Html(page(&format!("Planned jobs of {tenant}"), &html)).into_response())
}

fn shown(job: &Job, tenant: &TenantId) -> serde_json::Value {
    let blocks: Vec<_> = job.blocks.iter().map(|meta| meta.ulid.to_string()).collect();
    json!({
        "key": job.key(tenant.as_str()),
        "min_time": format_rfc3339(job.range_start_ms),
        "max_time": format_rfc3339(job.range_end_ms),
        "blocks": blocks,
    })
}

async fn delete_tenant(State(compactor): Shared, Tenant(tenant): Tenant) -> Result<StatusCode, HttpError> {
    let bucket = compactor.bucket.scoped(tenant.as_str());
    let mark = TenantDeletionMark { deletion_time: compactor.clock.now_ms() / 1000, finished_time: 0 };
    write_tenant_mark(&*bucket, &mark).await.map_err(Error::from)?;
    tracing::info!(%tenant, "tenant is marked for deletion");
    Ok(StatusCode::OK)
}

async fn delete_tenant_status(State(compactor): Shared, Tenant(tenant): Tenant) -> Result<Response, HttpError> {
    let bucket = compactor.bucket.scoped(tenant.as_str());
    let blocks = BucketIndex::read(&*bucket).await.map_err(Error::from)?.map_or(0, |index| index.blocks.len());
    let marked = read_tenant_mark(&*bucket).await.map_err(Error::from)?.is_some();
    Ok(Json(json!({"tenant_id": tenant.as_str(), "blocks_deleted": blocks == 0, "marked": marked})).into_response())
}
