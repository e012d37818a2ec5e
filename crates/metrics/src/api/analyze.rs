//! What a query would do, without doing it.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use norn_base::{Error, ErrorKind, Result};
use norn_promql::plan::QueryTime;
use norn_server::tenant::Tenants;

use super::ApiState;
use super::envelope::json_response;
use super::parameters::{Parameters, end_before_start, missing};

/// `POST /api/v1/analyze`: `query`, with `time` or with `start`, `end` and `step`. Errors are plain text.
pub async fn analyze(State(frontend): State<ApiState>, tenants: Tenants, parameters: Parameters) -> Response {
    let analyzed = match asked(&parameters, frontend.now_ms()) {
        Ok((text, time)) => frontend.analyze(&tenants, text, time).await,
        Err(error) => Err(error),
    };
    match analyzed {
        Ok(analysis) => {
            json_response(200, serde_json::to_vec(&analysis).expect("text and numbers can be written as JSON"))
        }
        Err(error) => refuse(&error),
    }
}

/// The query and when it would be evaluated: now, where nothing is said.
fn asked(parameters: &Parameters, now_ms: i64) -> Result<(&str, QueryTime)> {
    let text = parameters.get("query").ok_or_else(|| missing("query"))?;
    if ["start", "end", "step"].iter().all(|name| parameters.get(name).is_none()) {
        let time_ms = parameters.time_ms("time")?.unwrap_or(now_ms);
        return Ok((text, QueryTime::Instant { time_ms }));
    }
    let (start_ms, end_ms) = (parameters.required_time_ms("start")?, parameters.required_time_ms("end")?);
    if end_ms < start_ms {
        return Err(end_before_start());
    }
    Ok((text, QueryTime::Range { start_ms, end_ms, step_ms: parameters.step_ms()? }))
}

fn refuse(error: &Error) -> Response {
    let status = match error.kind() {
        ErrorKind::BadRequest => StatusCode::BAD_REQUEST,
        ErrorKind::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::LimitReached => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Timeout | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    if status.is_server_error() {
        tracing::warn!(error = %error.chain(), "analysis of a query failed");
    }
    (status, error.message().to_owned()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_make_an_instant_or_a_range() {
        let check = |form: &str, expected: Result<QueryTime, &str>| {
            let parameters = Parameters::parse("", form.as_bytes()).unwrap();
            let time = asked(&parameters, 7000).map(|(text, time)| {
                assert_eq!(text, "up");
                time
            });
            assert_eq!(time.as_ref().map_err(Error::message).copied(), expected, "{form}");
        };
        check("query=up", Ok(QueryTime::Instant { time_ms: 7000 }));
        check("query=up&time=5", Ok(QueryTime::Instant { time_ms: 5000 }));
        let (start_ms, end_ms, step_ms) = (1000, 9000, 2000);
        check("query=up&start=1&end=9&step=2", Ok(QueryTime::Range { start_ms, end_ms, step_ms }));
        check("time=5", Err("missing required parameter \"query\""));
        check("query=up&start=1&end=9", Err("missing required parameter \"step\""));
        check("query=up&step=1", Err("missing required parameter \"start\""));
        check("query=up&time=x", Err("invalid parameter \"time\": cannot parse \"x\" to a valid timestamp"));
        check(
            "query=up&start=9&end=1&step=2",
            Err("invalid parameter \"end\": end timestamp must not be before start time"),
        );
    }
}
