//! What operators ask about rings, answered by a process that is alone: each of its roles has a ring of one instance.
//!
//! Tools that roll and scale the originals read these pages and call these endpoints before they stop a process, so
//! they are here before there are several processes. Nothing has to be forgotten, handed over or drained where there is
//! nobody else; what a tool has set is remembered and shown, until the process ends.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use norn_base::clock::SharedClock;
use norn_gotext::time::format_rfc3339;
use norn_server::admin::{page, table, wants_json};
use norn_server::errors::plain_text;
use norn_server::services::{ServicesView, State as ServiceState};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// A moment that has not come, as Go writes it.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// The roles that have a ring, and where its page is.
const RINGS: [(&str, &str); 5] = [
    ("distributor", "/distributor/ring"),
    ("ingester", "/ingester/ring"),
    ("querier", "/querier/ring"),
    ("store-gateway", "/store-gateway/ring"),
    ("compactor", "/compactor/ring"),
];

/// This process as the only instance of its rings.
pub struct Membership {
    id: String,
    address: String,
    services: ServicesView,
    clock: SharedClock,
    /// When the process came up, in milliseconds since the Unix epoch.
    registered_ms: i64,
    wishes: Mutex<Wishes>,
}

/// What tools have asked for. Each holder of the lock reads or writes one field.
#[derive(Debug, Default)]
struct Wishes {
    /// Since when the ingester takes no new series, in milliseconds since the Unix epoch.
    read_only_since_ms: Option<i64>,
    /// Whether the ingester leaves its ring when it stops; `None` as configured.
    unregister: Option<bool>,
    /// Whether the store-gateway leaves its ring when it stops.
    store_gateway_leaves: bool,
}

type Shared = State<Arc<Membership>>;

impl Membership {
    /// This process under the name `id`, reached by others at `address`.
    pub fn new(id: String, address: String, services: ServicesView, clock: SharedClock) -> Arc<Self> {
        let registered_ms = clock.now_ms();
        Arc::new(Self { id, address, services, clock, registered_ms, wishes: Mutex::default() })
    }

    /// The pages of the rings of this process's roles, and what tools call before they stop it.
    pub fn routes(self: &Arc<Self>) -> Router {
        let mut router = Router::new().route("/memberlist", get(no_cluster));
        for (role, path) in RINGS.into_iter().filter(|(role, _)| self.state(role).is_some()) {
            let shown =
                move |State(membership): Shared, headers: HeaderMap| async move { membership.ring(role, &headers) };
            let forgotten = move || async move { (StatusCode::FOUND, [(header::LOCATION, path)]) };
            router = router.route(path, get(shown).post(forgotten));
        }
        if self.state("ingester").is_some() {
            router = router
                .route(
                    "/ingester/prepare-instance-ring-downscale",
                    get(read_only).post(set_read_only).delete(clear_read_only),
                )
                .route(
                    "/ingester/prepare-partition-downscale",
                    get(no_partitions).post(no_partitions).delete(no_partitions),
                )
                .route(
                    "/ingester/unregister-on-shutdown",
                    get(unregister).put(set_unregister).delete(reset_unregister),
                );
        }
        if self.state("store-gateway").is_some() {
            let leaves = get(store_gateway_leaves).post(store_gateway_to_leave).delete(store_gateway_to_stay);
            router = router.route("/store-gateway/prepare-shutdown", leaves);
        }
        router.with_state(self.clone())
    }

    /// Paths of the pages of rings, for the index.
    pub fn ring_paths(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        RINGS.into_iter().filter(|(role, _)| self.state(role).is_some())
    }

    fn state(&self, role: &str) -> Option<ServiceState> {
        self.services.states().into_iter().find(|(name, _)| *name == role).map(|(_, state)| state)
    }

    fn ring(&self, role: &str, headers: &HeaderMap) -> Response {
        let now = format_rfc3339(self.clock.now_ms());
        let read_only_since_ms = self.wishes.lock().read_only_since_ms.filter(|_| role == "ingester");
        let state = match self.state(role) {
            Some(ServiceState::Running) => "ACTIVE",
            Some(ServiceState::New | ServiceState::Starting) => "JOINING",
            Some(ServiceState::Stopping) => "LEAVING",
            Some(ServiceState::Terminated | ServiceState::Failed) | None => "UNHEALTHY",
        };
        let registered = format_rfc3339(self.registered_ms);
        if wants_json(headers) {
            let instance = json!({
                "id": self.id,
                "state": state,
                "address": self.address,
                // Nobody has to be told that it is alive: it is, as it answers.
                "timestamp": now,
                "registered_timestamp": registered,
                "read_only": read_only_since_ms.is_some(),
                "read_only_updated_timestamp": read_only_since_ms.map_or_else(|| NEVER.to_owned(), format_rfc3339),
                "zone": "",
                "tokens": Value::Array(Vec::new()),
            });
            return Json(json!({"shards": [instance], "now": now})).into_response();
        }
        let read_only =
            read_only_since_ms.map_or_else(|| "no".to_owned(), |since| format!("since {}", format_rfc3339(since)));
        let row = vec![self.id.clone(), state.to_owned(), self.address.clone(), registered, read_only];
        let columns = ["Instance", "State", "Address", "Registered", "Read-only"];
        let about = "<p>This process runs alone: the ring has one instance, which owns everything.</p>";
        let body = format!("{about}{}", table(&columns, [row]));
        Html(page(&format!("Ring of the {role}"), &body)).into_response()
    }

    fn read_only(&self) -> Response {
        let since_s = self.wishes.lock().read_only_since_ms.map_or(0, |since_ms| since_ms.div_euclid(1000));
        Json(json!({ "timestamp": since_s })).into_response()
    }

    fn unregister(&self) -> Response {
        Json(json!({ "unregister": self.wishes.lock().unregister.unwrap_or(true) })).into_response()
    }
}

async fn no_cluster() -> Response {
    plain_text(StatusCode::OK, "this process runs alone: it has no members to gossip with")
}

async fn read_only(State(membership): Shared) -> Response {
    membership.read_only()
}

async fn set_read_only(State(membership): Shared) -> Response {
    let now_ms = membership.clock.now_ms();
    membership.wishes.lock().read_only_since_ms.get_or_insert(now_ms);
    membership.read_only()
}

async fn clear_read_only(State(membership): Shared) -> Response {
    membership.wishes.lock().read_only_since_ms = None;
    membership.read_only()
}

/// Partitions belong to an ingest log.
async fn no_partitions() -> Response {
    plain_text(StatusCode::METHOD_NOT_ALLOWED, "there are no partitions: no ingest log is configured")
}

async fn unregister(State(membership): Shared) -> Response {
    membership.unregister()
}

async fn set_unregister(State(membership): Shared, body: axum::body::Bytes) -> Response {
    let wish = serde_json::from_slice::<Value>(&body).ok().and_then(|body| body.get("unregister")?.as_bool());
    let Some(wish) = wish else {
        return plain_text(
            StatusCode::BAD_REQUEST,
            "the body has to be {\"unregister\": true} or {\"unregister\": false}",
        );
    };
    membership.wishes.lock().unregister = Some(wish);
    membership.unregister()
}

async fn reset_unregister(State(membership): Shared) -> Response {
    membership.wishes.lock().unregister = None;
    membership.unregister()
}

async fn store_gateway_leaves(State(membership): Shared) -> &'static str {
    if membership.wishes.lock().store_gateway_leaves { "set" } else { "unset" }
}

async fn store_gateway_to_leave(State(membership): Shared) -> StatusCode {
    membership.wishes.lock().store_gateway_leaves = true;
    StatusCode::NO_CONTENT
}

async fn store_gateway_to_stay(State(membership): Shared) -> StatusCode {
    membership.wishes.lock().store_gateway_leaves = false;
    StatusCode::NO_CONTENT
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use http_body_util::BodyExt;
    use norn_base::clock::ManualClock;
    use norn_server::services::{Part, Running, Services};
    use tower::ServiceExt;

    use super::*;

    fn routes() -> Router {
        let part = |name| Part::new(name, &[], |_| async { Ok(Running::passive()) });
        let services = Services::new(vec![part("ingester"), part("compactor")]).unwrap();
        let clock = ManualClock::at(1_795_000_000_000);
        Membership::new("norn-1".to_owned(), "127.0.0.1:9095".to_owned(), services.view(), clock).routes()
    }

    async fn ask(router: &Router, method: &str, path: &str, body: &'static str) -> (u16, String) {
        let request = Request::builder().method(method).uri(path).header("accept", "application/json");
        let response = router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn only_roles_of_the_process_have_rings() {
        let router = routes();
        for (path, status) in [("/ingester/ring", 200), ("/compactor/ring", 200), ("/distributor/ring", 404)] {
            assert_eq!(ask(&router, "GET", path, "").await.0, status, "{path}");
        }
        assert_eq!(ask(&router, "POST", "/ingester/ring", "forget=other").await.0, 302);
        let ring: Value = serde_json::from_str(&ask(&router, "GET", "/ingester/ring", "").await.1).unwrap();
        let instance = &ring["shards"][0];
        assert_eq!((&instance["id"], &instance["state"]), (&json!("norn-1"), &json!("JOINING")));
        assert_eq!((&instance["read_only"], &instance["tokens"]), (&json!(false), &json!([])));
    }

    #[tokio::test]
    async fn what_a_tool_sets_is_remembered() {
        let router = routes();
        let check = async |method: &str, path: &str, body: &'static str, status: u16, expected: &str| {
            assert_eq!(ask(&router, method, path, body).await, (status, expected.to_owned()), "{method} {path}");
        };
        let downscale = "/ingester/prepare-instance-ring-downscale";
        check("GET", downscale, "", 200, r#"{"timestamp":0}"#).await;
        check("POST", downscale, "", 200, r#"{"timestamp":1795000000}"#).await;
        check("DELETE", downscale, "", 200, r#"{"timestamp":0}"#).await;
        let unregister = "/ingester/unregister-on-shutdown";
        check("GET", unregister, "", 200, r#"{"unregister":true}"#).await;
        check("PUT", unregister, r#"{"unregister":false}"#, 200, r#"{"unregister":false}"#).await;
        check("DELETE", unregister, "", 200, r#"{"unregister":true}"#).await;
        assert_eq!(ask(&router, "PUT", unregister, "no").await.0, 400);
        assert_eq!(ask(&router, "POST", "/ingester/prepare-partition-downscale", "").await.0, 405);
    }
}
