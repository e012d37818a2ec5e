//! `/debug/pprof`: what the process spends its time and its memory on.
//!
//! Paths, parameters and the format are those of Go's programs, so that `go tool pprof`, Grafana's agents and Parca
//! scrape norn as they scrape those. How a profile is taken is not known here: the process hands in a [`Profiler`].

mod threads;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use http::header;
use norn_base::{Error, ErrorKind, Result};

use super::{Admin, escape, page, parameters};
use crate::errors::HttpError;

/// How long a CPU profile takes if nobody says.
const SECONDS_DEFAULT: u64 = 30;

/// The longest CPU profile. The listener's limit for answers may be shorter.
const SECONDS_MAX: u64 = 300;

/// A profile on its way: its bytes, in pprof's format with gzip.
pub type ProfileFuture = Pin<Box<dyn Future<Output = Result<Vec<u8>>> + Send>>;

/// Takes profiles of this process. Whoever drops a future wants the profile no more.
pub trait Profiler: Send + Sync {
    /// Where the process is on its cores during this time. Fails with [`ErrorKind::Conflict`] while another is taken.
    fn cpu(&self, duration: Duration) -> ProfileFuture;

    /// What is allocated, and where it was.
    fn heap(&self) -> ProfileFuture;
}

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new()
        .route("/debug/pprof", get(index))
        .route("/debug/pprof/", get(index))
        .route("/debug/pprof/profile", get(cpu))
        .route("/debug/pprof/heap", get(heap))
        .route("/debug/pprof/threads", get(threads::threads))
}

async fn index(State(admin): State<Arc<Admin>>) -> Html<String> {
    let prefix = admin.path_prefix.trim_matches('/');
    let base = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
    let mut body = String::from("<section><h2>Profiles</h2><ul>");
    let profiles = [
        ("profile", "CPU: where threads are on their cores, for 30 seconds or ?seconds=1 to 300"),
        ("heap", "Heap: what is allocated, and where it was"),
        ("threads", "Threads and their CPU time, as text"),
    ];
    for (path, text) in profiles {
        let target = escape(&format!("{base}/debug/pprof/{path}"));
        body.push_str(&format!("<li><a href=\"{target}\">{path}</a><br>{}</li>", escape(text)));
    }
    body.push_str("</ul></section><p>Profiles are read by <code>go tool pprof</code>, Grafana and Parca.</p>");
    Html(page("Profiles", &body))
}

async fn cpu(State(admin): State<Arc<Admin>>, RawQuery(query): RawQuery) -> Result<Response, HttpError> {
    let seconds = seconds(parameters(query.as_deref(), "seconds").next().as_deref())?;
    Ok(attachment("profile", profiler(&admin)?.cpu(Duration::from_secs(seconds)).await?))
}

async fn heap(State(admin): State<Arc<Admin>>) -> Result<Response, HttpError> {
    Ok(attachment("heap", profiler(&admin)?.heap().await?))
}

fn profiler(admin: &Admin) -> Result<&dyn Profiler> {
    admin.profiler.as_deref().ok_or_else(|| {
        let process = std::process::id();
        let message = format!(
            "this program was built without the feature `profiles`; from outside, `perf record -g -p {process}` takes \
             CPU profiles and `heaptrack -p {process}` heap profiles"
        );
        Error::new(ErrorKind::Unimplemented, message)
    })
}

fn seconds(parameter: Option<&str>) -> Result<u64> {
    let Some(text) = parameter else { return Ok(SECONDS_DEFAULT) };
    let seconds = text.parse().ok().filter(|seconds| (1..=SECONDS_MAX).contains(seconds));
    seconds.ok_or_else(|| Error::bad_request(format!("seconds is {text:?}; it has to be from 1 to {SECONDS_MAX}")))
}

fn attachment(name: &str, profile: Vec<u8>) -> Response {
    let disposition = format!("attachment; filename=\"{name}.pb.gz\"");
    let headers =
        [(header::CONTENT_TYPE, "application/octet-stream".to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    (headers, profile).into_response()
}
