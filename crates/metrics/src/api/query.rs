//! Queries: instant and range, exemplars, formatting.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use norn_base::Error;
use norn_gotext::time::write_seconds;
use norn_promql::plan::QueryTime;
use norn_promql::value::QueryResult;
use norn_server::tenant::Tenants;

use super::ApiState;
use super::encode::{write_labels, write_list, write_number, write_value};
use super::envelope::{ApiResult, finish, success};
use super::parameters::{Parameters, end_before_start, invalid};

/// `GET|POST /api/v1/query`
pub async fn instant(State(frontend): State<ApiState>, tenants: Tenants, parameters: Parameters) -> ApiResult {
    let time_ms = parameters.time_ms("time").map_err(|error| invalid("time", error.message()))?;
    let time_ms = time_ms.unwrap_or_else(|| frontend.now_ms());
    let text = parameters.get("query").unwrap_or("");
    let result = frontend.query(&tenants, text, QueryTime::Instant { time_ms }).await?;
    Ok(answer(&result))
}

/// `GET|POST /api/v1/query_range`
pub async fn range(State(frontend): State<ApiState>, tenants: Tenants, parameters: Parameters) -> ApiResult {
    let start_ms = parameters.required_time_ms("start")?;
    let end_ms = parameters.required_time_ms("end")?;
    if end_ms < start_ms {
        return Err(end_before_start().into());
    }
    let time = QueryTime::Range { start_ms, end_ms, step_ms: parameters.step_ms()? };
    let result = frontend.query(&tenants, parameters.get("query").unwrap_or(""), time).await?;
    Ok(answer(&result))
}

fn answer(result: &QueryResult) -> Response {
    let mut body = br#"{"status":"success","data":"#.to_vec();
    write_value(&mut body, result);
    finish(body, &result.warnings, &result.infos)
}

/// `GET|POST /api/v1/format_query`
pub async fn format(State(frontend): State<ApiState>, parameters: Parameters) -> ApiResult {
    let expr = frontend.parse_any_query(parameters.get("query").unwrap_or(""))?;
    Ok(success(&norn_promql::printer::pretty(&expr), &[]))
}

/// `GET|POST /api/v1/query_exemplars`
pub async fn exemplars(State(frontend): State<ApiState>, tenants: Tenants, parameters: Parameters) -> ApiResult {
    let time = |name: &str| {
        let parsed = parameters.time_ms(name);
        parsed.map_err(|error| {
            let reason = error.message();
            let reason = reason.split_once(": ").map_or(reason, |(_, reason)| reason);
            invalid(name, &format!("invalid time value for '{name}': {reason}"))
        })
    };
    let range = norn_model::select::TimeRange {
        start_ms: time("start")?.unwrap_or(i64::MIN),
        end_ms: time("end")?.unwrap_or(i64::MAX),
    };
    if range.end_ms < range.start_ms {
        return Err(Error::bad_request("end timestamp must not be before start timestamp").into());
    }
    let expr = frontend.parse_query(&tenants, parameters.get("query").unwrap_or(""))?;
    let selectors = norn_promql::walk::selectors(&expr);
    if selectors.is_empty() {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let found = frontend.querier().exemplars(&frontend.scope(&tenants)?, &selectors, range).await?;
    let mut body = br#"{"status":"success","data":["#.to_vec();
    write_list(&mut body, &found, |out, series| {
        out.extend_from_slice(br#"{"seriesLabels":"#);
        write_labels(out, &series.labels);
        out.extend_from_slice(br#","exemplars":["#);
        write_list(out, &series.exemplars, |out, exemplar| {
            out.extend_from_slice(br#"{"labels":"#);
            write_labels(out, &exemplar.labels);
            out.extend_from_slice(br#","value":""#);
            write_number(out, exemplar.value);
            out.extend_from_slice(br#"","timestamp":"#);
            write_seconds(out, exemplar.timestamp_ms);
            out.push(b'}');
        });
        out.extend_from_slice(b"]}");
    });
    body.push(b']');
    Ok(finish(body, &[], &[]))
}
