//! Queries: instant and range, exemplars, formatting.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::IntoResponse;
use norn_base::Error;
use norn_gotext::time::write_seconds;
use norn_promql::plan::QueryTime;
use norn_server::tenant::Tenants;

use super::ApiState;
use super::encode::{answer_size, write_labels, write_list, write_number, write_value};
use super::envelope::{ApiError, ApiResult, finish, success};
use super::parameters::{Parameters, end_before_start, invalid};
use super::query_log::QueryFacts;
use crate::frontend::Frontend;
use crate::frontend::effort::Answered;
use crate::frontend::options::ReadOptions;

/// `GET|POST /api/v1/query`
pub async fn instant(
    State(frontend): State<ApiState>,
    tenants: Tenants,
    headers: HeaderMap,
    parameters: Parameters,
) -> ApiResult {
    let time_ms = parameters.time_ms("time").map_err(|error| invalid("time", error.message()))?;
    let time_ms = time_ms.unwrap_or_else(|| frontend.now_ms());
    let text = parameters.get("query").unwrap_or("");
    answer(&frontend, &tenants, &headers, text, QueryTime::Instant { time_ms }).await
}

/// `GET|POST /api/v1/query_range`
pub async fn range(
    State(frontend): State<ApiState>,
    tenants: Tenants,
    headers: HeaderMap,
    parameters: Parameters,
) -> ApiResult {
    let start_ms = parameters.required_time_ms("start")?;
    let end_ms = parameters.required_time_ms("end")?;
    if end_ms < start_ms {
        return Err(end_before_start().into());
    }
    let time = QueryTime::Range { start_ms, end_ms, step_ms: parameters.step_ms()? };
    answer(&frontend, &tenants, &headers, parameters.get("query").unwrap_or(""), time).await
}

/// With this header set to `true`, a request wants to know what its answer took.
const WANTS_STATS: HeaderName = HeaderName::from_static("x-mimir-response-query-stats");

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

async fn answer(frontend: &Frontend, tenants: &Tenants, headers: &HeaderMap, text: &str, time: QueryTime) -> ApiResult {
    let answered = frontend.query(tenants, text, time, ReadOptions::of(headers)).await;
    let facts = QueryFacts::of(text, time, &answered);
    let Answered { result, effort } = match answered {
        Ok(answered) => answered,
        Err(error) => {
            let mut response = ApiError(error).into_response();
            response.extensions_mut().insert(facts);
            return Ok(response);
        }
    };
    let encoding_started = frontend.monotonic();
    let size = answer_size(&result.value);
    let _held = frontend.hold_answer((size.value_bytes + size.body_bytes) as u64)?;
    let mut body = Vec::with_capacity(size.body_bytes);
    body.extend_from_slice(br#"{"status":"success","data":"#);
    write_value(&mut body, &result);
    let bytes = body.len();
    let mut response = finish(body, &result.warnings, &result.infos);
    if headers.get(WANTS_STATS).is_some_and(|value| value == "true") {
        let encoding = frontend.monotonic().saturating_sub(encoding_started);
        let timing = effort.server_timing(result.stats, encoding, bytes);
        let value = HeaderValue::try_from(timing).expect("names and numbers are visible ASCII");
        response.headers_mut().insert(SERVER_TIMING, value);
    }
    response.extensions_mut().insert(facts);
    Ok(response)
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
