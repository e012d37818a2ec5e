//! All routes of a process as one router, wrapped in what they have in common.
//!
//! From the outside in: measuring and logging, then the path prefix, then what depends on the group of the route. gRPC
//! services and HTTP routes share the router, so every listener can serve both; a path that nobody has is
//! answered in the language of the request.

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode};
use tonic::service::Routes;
use tower_http::CompressionLevel;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tower_http::compression::{CompressionLayer, DefaultPredicate};

use crate::errors::plain_text;
use crate::telemetry::RequestObserver;
use crate::tenant::is_grpc;

/// Answers below this many bytes are not worth compressing: with headers they fill one packet either way.
const COMPRESS_BYTES_MIN: u16 = 1024;

/// Collects the routes of a process.
#[derive(Debug)]
pub struct App {
    observer: RequestObserver,
    path_prefix: String,
    http: Router,
    grpc: Option<Router>,
}

impl App {
    /// No routes yet. `path_prefix` goes in front of all HTTP paths; slashes around it do not matter.
    pub fn new(observer: RequestObserver, path_prefix: &str) -> Self {
        let path_prefix = path_prefix.trim_matches('/').to_owned();
        Self { observer, path_prefix, http: Router::new(), grpc: None }
    }

    /// Adds routes that read: answers are compressed for clients that accept it. `HEAD` is refused, as the originals
    /// do.
    #[must_use]
    pub fn api(self, router: Router) -> Self {
        self.admin(without_head(router))
    }

    /// Adds routes that write: answers are short and stay as they are. `HEAD` is refused.
    #[must_use]
    pub fn push(mut self, router: Router) -> Self {
        self.http = self.http.merge(without_head(router));
        self
    }

    /// Adds pages for operators: answers are compressed for clients that accept it.
    #[must_use]
    pub fn admin(mut self, router: Router) -> Self {
        let worthwhile = DefaultPredicate::new()
            .and(SizeAbove::new(COMPRESS_BYTES_MIN))
            .and(NotForContentType::const_new("application/grpc"));
        let compression = CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(worthwhile);
        if router.has_routes() {
            self.http = self.http.merge(router.route_layer(compression));
        }
        self
    }

    /// Adds gRPC services; they know no path prefix.
    #[must_use]
    pub fn grpc(self, services: Routes) -> Self {
        // The fallback of the services would answer unknown HTTP paths too.
        self.grpc_router(services.into_axum_router().reset_fallback())
    }

    /// Adds gRPC services that are wrapped already, as by [`crate::tenant::Tenancy::protect`].
    #[must_use]
    pub fn grpc_router(mut self, router: Router) -> Self {
        self.grpc = Some(match self.grpc {
            Some(before) => before.merge(router),
            None => router,
        });
        self
    }

    /// The router of the process.
    pub fn finish(self) -> Router {
        let mut router = match self.path_prefix.as_str() {
            "" => self.http,
            prefix => Router::new().nest(&format!("/{prefix}"), self.http),
        };
        if let Some(grpc) = self.grpc {
            router = router.merge(grpc);
        }
        self.observer.wrap(router.fallback(not_found))
    }
}

fn without_head(router: Router) -> Router {
    if router.has_routes() { router.route_layer(middleware::from_fn(refuse_head)) } else { router }
}

async fn refuse_head(request: Request, next: Next) -> Response {
    if request.method() == Method::HEAD {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    next.run(request).await
}

async fn not_found(request: Request) -> Response {
    if is_grpc(request.headers()) {
        let message = format!("unknown method {}", request.uri().path());
        return tonic::Status::unimplemented(message).into_http();
    }
    plain_text(StatusCode::NOT_FOUND, "404 page not found")
}
