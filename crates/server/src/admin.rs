//! Pages for operators: the index, readiness, services, metrics, configuration.
//!
//! A page is HTML for people and JSON for programs that ask for it. Parts add links to the index and routes of their
//! own; [`page`] gives all of them one look. Everything is in the page itself: no script, font or style is fetched.

mod index;
mod page;
mod profile;

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use norn_base::Result;
use norn_base::clock::SharedClock;
use serde_json::json;

pub use self::page::{escape, page, table};
pub use self::profile::{ProfileFuture, Profiler};
use crate::errors::{Expected, HttpError, plain_text};
use crate::services::ServicesView;
use crate::telemetry::MetricsRegistry;

/// Writes a configuration as YAML. The argument is the `mode` that was asked for: `diff`, `defaults` or another.
pub type ConfigHook = Arc<dyn Fn(Option<&str>) -> Result<String> + Send + Sync>;

/// What the pages show.
#[derive(Clone)]
pub struct Admin {
    /// The name of the program and its version, for titles.
    pub title: String,
    /// The path in front of all links; slashes around it do not matter.
    pub path_prefix: String,
    /// The parts of the process.
    pub services: ServicesView,
    /// Its metrics.
    pub registry: MetricsRegistry,
    /// Its time.
    pub clock: SharedClock,
    /// Whether its metrics and what its threads do are shown.
    pub instrumentation: bool,
    /// Its configuration.
    pub config: ConfigHook,
    /// Its runtime configuration, where there is a file of it.
    pub runtime_config: Option<ConfigHook>,
    /// What takes profiles of the process, where something does.
    pub profiler: Option<Arc<dyn Profiler>>,
    /// Links of the index, in the order in which they are shown.
    pub links: Vec<Link>,
    /// What the index tells newcomers to do, in the order in which it is shown.
    pub guides: Vec<Guide>,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Admin").field("title", &self.title).finish_non_exhaustive()
    }
}

/// A link of the index page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The heading under which it stands.
    pub section: &'static str,
    /// What is behind it.
    pub text: &'static str,
    /// Where it leads, below the path prefix.
    pub path: &'static str,
}

/// Something to copy from the index page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guide {
    /// The heading under which it stands.
    pub section: &'static str,
    /// What it does, or where it goes.
    pub text: &'static str,
    /// What to copy. `{base}` becomes the address under which the page was asked for.
    pub snippet: String,
}

/// The links to the pages that every process has.
pub const COMMON_LINKS: [Link; 7] = {
    const fn link(section: &'static str, text: &'static str, path: &'static str) -> Link {
        Link { section, text, path }
    }
    [
        link("Status", "Ready", "/ready"),
        link("Status", "Services", "/services"),
        link("Status", "Metrics", "/metrics"),
        link("Configuration", "Current configuration", "/config"),
        link("Configuration", "What differs from the defaults", "/config?mode=diff"),
        link("Configuration", "Defaults", "/config?mode=defaults"),
        link("Status", "Profiles and threads", "/debug/pprof/"),
    ]
};

impl Admin {
    /// The routes of all pages.
    pub fn router(self) -> Router {
        let mut router = Router::new()
            .route("/", get(index::index))
            .route("/ready", get(ready))
            .route("/services", get(services))
            .route("/config", get(config))
            .route("/api/v1/status/config", get(empty_success))
            .route("/api/v1/status/flags", get(empty_success));
        if self.instrumentation {
            router = router.route("/metrics", get(metrics)).merge(profile::routes());
        }
        if self.runtime_config.is_some() {
            router = router.route("/runtime_config", get(runtime_config));
        }
        router.with_state(Arc::new(self))
    }
}

/// Whether a client asks for JSON instead of HTML.
pub fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).map_or(&b""[..], |value| value.as_bytes());
    String::from_utf8_lossy(accept).contains("application/json")
}

/// The values of a parameter in a query string, decoded.
pub(crate) fn parameters<'a>(query: Option<&'a str>, name: &'a str) -> impl Iterator<Item = String> + 'a {
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    query.unwrap_or("").split('&').filter_map(move |pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(key) == name).then(|| decode(value))
    })
}

async fn ready(State(admin): State<Arc<Admin>>) -> Response {
    match admin.services.readiness() {
        Ok(()) => ([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], "ready").into_response(),
        Err(reason) => {
            let mut response = plain_text(StatusCode::SERVICE_UNAVAILABLE, &reason);
            // It was asked, and this is the answer.
            response.extensions_mut().insert(Expected);
            response
        }
    }
}

async fn services(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Response {
    let states = admin.services.states();
    let now = now(&admin.clock);
    if wants_json(&headers) {
        let services: Vec<_> =
            states.iter().map(|(name, state)| json!({ "name": name, "status": state.name() })).collect();
        return Json(json!({ "now": now, "services": services })).into_response();
    }
    let rows = states.iter().map(|(name, state)| vec![(*name).to_owned(), state.name().to_owned()]);
    let body = format!("<p>Current time: {}</p>{}", escape(&now), table(&["Service", "Status"], rows));
    Html(page("Services", &body)).into_response()
}

/// The time as pages and their JSON show it.
fn now(clock: &SharedClock) -> String {
    Timestamp::from_millisecond(clock.now_ms()).map_or_else(|_| String::new(), |now| format!("{now:.3}"))
}

async fn metrics(State(admin): State<Arc<Admin>>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let names: Vec<String> = parameters(query.as_deref(), "name[]").collect();
    admin.registry.respond(&headers, &names)
}

async fn config(State(admin): State<Arc<Admin>>, RawQuery(query): RawQuery) -> Result<Response, HttpError> {
    yaml(&admin.config, query.as_deref())
}

async fn runtime_config(State(admin): State<Arc<Admin>>, RawQuery(query): RawQuery) -> Result<Response, HttpError> {
    match &admin.runtime_config {
        Some(hook) => yaml(hook, query.as_deref()),
        None => Ok(plain_text(StatusCode::NOT_FOUND, "404 page not found")),
    }
}

fn yaml(hook: &ConfigHook, query: Option<&str>) -> Result<Response, HttpError> {
    let mode = parameters(query, "mode").next();
    let text = hook(mode.as_deref())?;
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("text/yaml; charset=utf-8"))], text).into_response())
}

/// Answers of Prometheus that mean nothing here, for tools that ask.
async fn empty_success() -> Response {
    Json(json!({ "status": "success", "data": {} })).into_response()
}

#[cfg(test)]
mod tests;
