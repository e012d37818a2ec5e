//! What is refused before a request is looked at: bodies that are too large, and what an administrator has blocked.

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use norn_base::{Error, ErrorKind, Result};
use norn_config::limits::{BlockedRequest, QueryParameter};
use norn_gotext::regex::GoRegex;
use norn_server::tenant::Tenants;

use super::ApiState;
use super::envelope::ApiError;
use super::parameters::Parameters;

/// How large the body of a request may be, in bytes. Stands in the request's extensions.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyLimit(pub(super) usize);

/// Refuses requests that match a rule of one of their tenants.
pub(super) async fn refuse_blocked(
    State(frontend): State<ApiState>,
    tenants: Tenants,
    request: Request,
    next: Next,
) -> Response {
    let rules: Vec<_> = tenants.ids().iter().map(|tenant| frontend.limits_of(tenant)).collect();
    let concerned: Vec<&BlockedRequest> = rules
        .iter()
        .flat_map(|limits| &limits.blocked_requests)
        .filter(|rule| is_meant(&rule.path, request.uri().path()) && is_meant(&rule.method, request.method().as_str()))
        .collect();
    if concerned.is_empty() {
        return next.run(request).await;
    }
    match with_parameters(request).await {
        Ok((_, parameters)) if concerned.iter().any(|rule| matches_parameters(rule, &parameters)) => {
            let id = "err-mimir-request-blocked";
            let text = format!("the request has been blocked by the cluster administrator ({id})");
            ApiError(Error::bad_request(text).with_id(id)).into_response()
        }
        Ok((request, _)) => next.run(request).await,
        Err(error) => ApiError(error).into_response(),
    }
}

fn is_meant(rule: &str, actual: &str) -> bool {
    rule.is_empty() || rule == actual
}

/// Without parameters in the rule any request matches; with some, one that has one of them.
fn matches_parameters(rule: &BlockedRequest, parameters: &Parameters) -> bool {
    let matches =
        |(name, expected): (&String, &QueryParameter)| parameters.all(name).any(|value| matches_value(expected, value));
    rule.query_params.is_empty() || rule.query_params.iter().any(matches)
}

fn matches_value(expected: &QueryParameter, value: &str) -> bool {
    if !expected.is_regexp {
        return expected.value == value;
    }
    match GoRegex::anchored(&expected.value) {
        Ok(regex) => regex.is_match(value),
        Err(error) => {
            let pattern = &expected.value;
            tracing::warn!(pattern, %error, "blocked parameter is no regular expression and blocks nothing");
            false
        }
    }
}

/// Reads the parameters of a request, and gives it back with its body.
async fn with_parameters(request: Request) -> Result<(Request, Parameters)> {
    let url_query = request.uri().query().unwrap_or("").to_owned();
    if !has_form(request.method(), request.headers()) {
        return Ok((request, Parameters::parse(&url_query, b"")?));
    }
    let (parts, body) = request.into_parts();
    let limit = parts.extensions.get().copied();
    let form = read_form(body, limit).await?;
    let parameters = Parameters::parse(&url_query, &form)?;
    Ok((Request::from_parts(parts, Body::from(form)), parameters))
}

/// Whether the parameters of a request stand in its body too.
pub(super) fn has_form(method: &Method, headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    let is_form = content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/x-www-form-urlencoded"));
    method == Method::POST && is_form
}

/// Reads a whole form, which is no larger than allowed.
pub(super) async fn read_form(body: Body, limit: Option<BodyLimit>) -> Result<Bytes> {
    let most = limit.map_or(usize::MAX, |limit| limit.0);
    axum::body::to_bytes(body, most).await.map_err(|error| {
        let text = format!("http: request body too large: the limit is {most} bytes");
        Error::new(ErrorKind::TooLarge, text).with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_rule_matches_any_of_its_parameters() {
        let parameter = |value: &str, is_regexp| QueryParameter { value: value.to_owned(), is_regexp };
        let rule = BlockedRequest {
            path: String::new(),
            method: String::new(),
            query_params: BTreeMap::from([
                ("match[]".to_owned(), parameter("up", false)),
                ("query".to_owned(), parameter("sum.*", true)),
                ("bad".to_owned(), parameter("(", true)),
            ]),
        };
        let check = |query: &str, expected: bool| {
            assert_eq!(matches_parameters(&rule, &Parameters::parse(query, b"").unwrap()), expected, "{query}");
        };
        check("match[]=up", true);
        check("match[]=a&match[]=up", true);
        check("match[]=up2", false);
        check("query=sum(up)", true);
        check("query=a+sum(up)", false);
        check("bad=(", false);
        check("", false);
        let any = BlockedRequest { query_params: BTreeMap::new(), ..rule.clone() };
        assert!(matches_parameters(&any, &Parameters::default()));
        assert!(is_meant("", "/x") && is_meant("/x", "/x") && !is_meant("/x", "/x/y"));
    }

    #[tokio::test]
    async fn forms_have_a_limit_and_stay_in_their_request() {
        let request = |limit| {
            Request::post("/q?a=1")
                .header("content-type", "application/x-www-form-urlencoded")
                .extension(BodyLimit(limit))
                .body(Body::from("b=2"))
                .unwrap()
        };
        let (request_again, parameters) = with_parameters(request(3)).await.unwrap();
        assert_eq!((parameters.get("a"), parameters.get("b")), (Some("1"), Some("2")));
        assert_eq!(read_form(request_again.into_body(), None).await.unwrap(), "b=2");
        let error = with_parameters(request(2)).await.unwrap_err();
        assert_eq!(error.message(), "http: request body too large: the limit is 2 bytes");
    }
}
