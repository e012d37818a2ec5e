//! What form of answer a client accepts. norn writes JSON; who accepts none is told so before anything is computed.

use axum::extract::Request;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;

use super::envelope::json_response;

/// Refuses requests that do not accept JSON.
pub async fn negotiate(request: Request, next: Next) -> Response {
    if accepts_json(request.headers()) {
        return next.run(request).await;
    }
    let body = r#"{"status":"error","errorType":"not_acceptable","error":"none of the content types in the Accept header are supported"}"#;
    json_response(406, body)
}

/// Whether a media range of `Accept` covers JSON; all do where there is none. Preferences between ranges do not
/// matter, as there is one form.
fn accepts_json(headers: &HeaderMap) -> bool {
    let mut ranges = headers
        .get_all(header::ACCEPT)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(|range| range.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii())
        .filter(|range| !range.is_empty())
        .peekable();
    let covers = |range: &[u8]| {
        [&b"*/*"[..], b"*", b"application/*", b"application/json"].iter().any(|json| range.eq_ignore_ascii_case(json))
    };
    ranges.peek().is_none() || ranges.any(covers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_covered_by_its_name_and_by_wildcards() {
        let check = |accept: &[&str], expected: bool| {
            let mut headers = HeaderMap::new();
            for value in accept {
                headers.append(header::ACCEPT, value.parse().unwrap());
            }
            assert_eq!(accepts_json(&headers), expected, "{accept:?}");
        };
        check(&[], true);
        check(&[""], true);
        check(&["application/json, text/plain, */*"], true);
        check(&["Application/JSON;q=0.5"], true);
        check(&["application/vnd.mimir.queryresponse+protobuf,application/json"], true);
        check(&["text/html", "application/*"], true);
        check(&["application/vnd.mimir.queryresponse+protobuf"], false);
        check(&["text/html,application/jsonx"], false);
    }
}
