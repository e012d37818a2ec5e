//! What is logged of requests.
//!
//! A request that failed on norn's side is a warning, with the error and its causes; others are logged at level
//! debug, or info where the operator wants to see them. Clients' mistakes are no failures: they would drown what
//! needs a person.

use std::net::IpAddr;
use std::time::Duration;

use axum::extract::Request;
use http::{HeaderMap, HeaderName, Method, header};
use norn_base::{Error, Result};
use regex_automata::meta::Regex;
use regex_automata::util::captures::Captures;
use tracing::Level;

use super::requests::StatusLabel;
use crate::errors::FailureChain;
use crate::listener::PeerAddress;
use crate::tenant::ORG_ID;

/// Headers that are never logged.
const SECRET_HEADERS: [&str; 3] = ["authorization", "cookie", "x-csrf-token"];
/// What is kept of a value that a client wrote, in bytes.
const VALUE_BYTES_MAX: usize = 200;

/// How requests are logged.
#[derive(Debug, Default)]
pub struct RequestLog {
    /// Requests that did not fail are logged at level info instead of debug.
    pub at_info: bool,
    /// Headers are logged.
    pub headers: bool,
    /// But for these, and those that hold credentials.
    pub headers_excluded: Vec<String>,
    /// Addresses of clients are logged, found so.
    pub sources: Option<SourceAddresses>,
}

/// What is kept of a request until it ends.
#[derive(Debug)]
pub(super) struct RequestLine {
    method: Method,
    path: String,
    tenant: String,
    sources: Option<String>,
    headers: Option<String>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ended<'a> {
    pub(super) route: &'a str,
    pub(super) status: StatusLabel,
    /// Whether someone who runs norn should know.
    pub(super) failed: bool,
    pub(super) duration: Duration,
    pub(super) chain: Option<&'a FailureChain>,
}

impl RequestLog {
    /// Notes what the end of the request no longer knows.
    pub(super) fn start(&self, request: &Request) -> RequestLine {
        let headers = request.headers();
        let peer = request.extensions().get::<PeerAddress>().map(|peer| peer.0.ip());
        RequestLine {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            // As it came; it is checked elsewhere.
            tenant: headers.get(ORG_ID).map_or_else(String::new, |value| shorten(value.as_bytes())),
            sources: self.sources.as_ref().and_then(|sources| sources.of(headers, peer)),
            headers: self.headers.then(|| self.headers_of(headers)),
        }
    }

    fn headers_of(&self, headers: &HeaderMap) -> String {
        let hidden = |name: &HeaderName| {
            SECRET_HEADERS.contains(&name.as_str())
                || self.headers_excluded.iter().any(|excluded| excluded.eq_ignore_ascii_case(name.as_str()))
        };
        let mut text = String::new();
        for (name, value) in headers {
            if !hidden(name) {
                let separator = if text.is_empty() { "" } else { "; " };
                text.push_str(&format!("{separator}{name}: {}", shorten(value.as_bytes())));
            }
        }
        text
    }

    /// Writes the line of a request that has ended.
    pub(super) fn write(&self, line: &RequestLine, ended: &Ended<'_>) {
        let Ended { route, status, failed, duration, chain } = *ended;
        let wanted = match (failed, self.at_info) {
            (true, _) => tracing::enabled!(Level::WARN),
            (false, true) => tracing::enabled!(Level::INFO),
            (false, false) => tracing::enabled!(Level::DEBUG),
        };
        if !wanted {
            return;
        }
        let RequestLine { method, path, tenant, sources, headers } = line;
        let (status, duration_ms) = (status.text(), duration.as_secs_f64() * 1000.0);
        let err = chain.map(|chain| &*chain.0);
        // The level of a line is fixed where it is written; these three say the same.
        macro_rules! write_line {
            ($level:expr, $message:literal) => {
                tracing::event!(
                    $level, %method, path, route, user = tenant, status, duration_ms, err, sourceIPs = sources, headers,
                    $message
                )
            };
        }
        match (failed, self.at_info) {
            (true, _) => write_line!(Level::WARN, "request failed"),
            (false, true) => write_line!(Level::INFO, "request"),
            (false, false) => write_line!(Level::DEBUG, "request"),
        }
    }
}

fn shorten(value: &[u8]) -> String {
    String::from_utf8_lossy(&value[..value.len().min(VALUE_BYTES_MAX)]).into_owned()
}

/// Where the address of a client stands when proxies are in between.
#[derive(Debug)]
pub struct SourceAddresses {
    full: bool,
    custom: Option<(HeaderName, Regex)>,
}

impl SourceAddresses {
    /// The usual headers, or `header`, of which the first group of `pattern` is the address; both or none are given.
    /// `full` logs all addresses of the way instead of the first.
    pub fn new(full: bool, header: &str, pattern: &str) -> Result<Self> {
        let custom = match (header, pattern) {
            ("", "") => None,
            ("", _) | (_, "") => {
                return Err(Error::bad_request(
                    "log_source_ips_header and log_source_ips_regex belong together: set both or none",
                ));
            }
            (header, pattern) => {
                let name = HeaderName::try_from(header).map_err(|error| {
                    Error::bad_request(format!("{header:?} is not the name of a header")).with_source(error)
                })?;
                let regex = Regex::new(pattern).map_err(|error| {
                    Error::bad_request(format!("{pattern:?} is not a regular expression")).with_source(error)
                })?;
                Some((name, regex))
            }
        };
        Ok(Self { full, custom })
    }

    /// The client's address and, where it is another, that of the last proxy.
    fn of(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Option<String> {
        let peer = peer.map(|peer| peer.to_string());
        let Some(claimed) = self.claimed(headers) else { return peer };
        match peer {
            Some(peer) if peer != claimed => Some(format!("{claimed}, {peer}")),
            _ => Some(claimed),
        }
    }

    fn claimed(&self, headers: &HeaderMap) -> Option<String> {
        let text = |name: &HeaderName| Some(shorten(headers.get(name)?.as_bytes()));
        if let Some((name, regex)) = &self.custom {
            let value = text(name)?;
            let mut captures: Captures = regex.create_captures();
            regex.captures(&value, &mut captures);
            return Some(value[captures.get_group(1)?.range()].to_owned());
        }
        let forwarded = text(&HeaderName::from_static("x-forwarded-for"));
        let first = |value: String| match self.full {
            true => value,
            false => value.split(',').next().unwrap_or("").trim().to_owned(),
        };
        let claimed = text(&header::FORWARDED)
            .and_then(|value| forwarded_for(&value))
            .or_else(|| text(&HeaderName::from_static("x-real-ip")))
            .or_else(|| forwarded.map(first));
        claimed.filter(|claimed| !claimed.is_empty())
    }
}

/// The first `for` of a `Forwarded` header, RFC 7239: `for="[2001:db8::1]:4711";proto=https`.
fn forwarded_for(value: &str) -> Option<String> {
    let pair = value
        .split([';', ','])
        .map(str::trim)
        .find(|pair| pair.get(..4).is_some_and(|key| key.eq_ignore_ascii_case("for=")))?;
    let address = pair[4..].trim_matches('"');
    let bare = match address.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or(""),
        None => address.split(':').next().unwrap_or(""),
    };
    Some(bare.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_from_where_proxies_write_them() {
        fn check(sources: &SourceAddresses, headers: &[(&'static str, &str)], expected: &str) {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(*name, value.parse().unwrap());
            }
            let peer = Some("192.168.1.1".parse().unwrap());
            assert_eq!(sources.of(&map, peer).as_deref(), Some(expected), "{headers:?}");
        }
        let usual = SourceAddresses::new(false, "", "").unwrap();
        check(&usual, &[], "192.168.1.1");
        check(&usual, &[("x-forwarded-for", "10.0.0.1, 10.0.0.2")], "10.0.0.1, 192.168.1.1");
        check(&usual, &[("x-real-ip", "192.168.1.1")], "192.168.1.1");
        check(&usual, &[("forwarded", "proto=https; For=\"[2001:db8::1]:4711\"")], "2001:db8::1, 192.168.1.1");
        check(&usual, &[("forwarded", "f\u{e9}")], "192.168.1.1");
        let full = SourceAddresses::new(true, "", "").unwrap();
        check(&full, &[("x-forwarded-for", "10.0.0.1, 10.0.0.2")], "10.0.0.1, 10.0.0.2, 192.168.1.1");
        let custom = SourceAddresses::new(false, "X-Edge", r"client=([0-9.]+)").unwrap();
        check(&custom, &[("x-edge", "via=b client=10.9.9.9")], "10.9.9.9, 192.168.1.1");
        check(&custom, &[("x-edge", "nothing")], "192.168.1.1");
        assert!(SourceAddresses::new(false, "X-Edge", "").is_err());
        assert!(SourceAddresses::new(false, "X-Edge", "(").is_err());
    }
}
