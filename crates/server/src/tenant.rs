//! Whose request it is.
//!
//! The header `X-Scope-OrgID` (gRPC: the metadata of that name) names the tenant, or several of them joined by `|`
//! for reads across tenants. norn believes it: a proxy in front has checked who may send it. Every route that
//! touches a tenant's data is wrapped by [`Tenancy::protect`]; its handlers take [`Tenant`] or [`Tenants`], so a route
//! without the wrapper fails in its first test instead of serving the wrong data.
//!
//! An id may carry metadata, `id:key=value:…`; it is checked and cut off.

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderName, header};
use norn_base::{Error, ErrorKind, Result};
use norn_model::TenantId;
use norn_model::tenant::TenantIdError;

use crate::errors::{HttpError, grpc};

/// The header and metadata key that names tenants.
pub const ORG_ID: HeaderName = HeaderName::from_static("x-scope-orgid");

/// More ids than this in one header are refused before they are looked at: eight kilobytes of header hold thousands.
const TENANTS_MAX: usize = 1024;

/// The tenants that a request is about: at least one, ascending, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenants {
    ids: Arc<[TenantId]>,
    federated: bool,
}

impl Tenants {
    /// A request for one tenant.
    pub fn one(id: TenantId) -> Self {
        Self { ids: [id].into(), federated: false }
    }

    /// Reads the value of the header.
    ///
    /// Fails with [`ErrorKind::Unauthenticated`] where an id is not valid or none is given.
    pub fn parse(value: &str) -> Result<Self> {
        let unauthenticated = |message: String| Error::new(ErrorKind::Unauthenticated, message);
        let mut ids = Vec::new();
        let mut empty = 0;
        for part in value.split('|') {
            if ids.len() == TENANTS_MAX {
                return Err(unauthenticated(format!("too many tenant IDs: max {TENANTS_MAX}")));
            }
            match TenantId::parse(cut_metadata(part).map_err(unauthenticated)?) {
                Ok(id) => ids.push(id),
                // The original takes an empty id beside others: a tenant without data. It still makes the request
                // one across tenants.
                Err(TenantIdError::Missing) => empty = 1,
                Err(error) => return Err(unauthenticated(error.to_string())),
            }
        }
        if ids.is_empty() {
            return Err(unauthenticated(TenantIdError::Missing.to_string()));
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(Self { federated: ids.len() + empty > 1, ids: ids.into() })
    }

    /// The tenants, ascending.
    pub fn ids(&self) -> &[TenantId] {
        &self.ids
    }

    /// Whether the request goes across tenants, so that answers carry `__tenant_id__`.
    pub fn is_federated(&self) -> bool {
        self.federated
    }

    /// The only tenant; an error where there are several.
    pub fn single(&self) -> Result<&TenantId> {
        match &*self.ids {
            [id] if !self.federated => Ok(id),
            _ => Err(Error::bad_request("multiple org IDs present")),
        }
    }

    /// The ids joined by `|`: the name under which queues and caches know this set.
    pub fn joined(&self) -> String {
        let ids: Vec<&str> = self.ids.iter().map(TenantId::as_str).collect();
        ids.join("|")
    }
}

/// Checks what stands behind the first colon and returns what stands before it.
fn cut_metadata(part: &str) -> Result<&str, String> {
    let Some((id, metadata)) = part.split_once(':') else { return Ok(part) };
    for pair in metadata.split(':') {
        let Some((key, value)) = pair.split_once('=').filter(|(key, value)| !key.is_empty() && !value.is_empty())
        else {
            return Err(format!("malformed tenant metadata: \"{metadata}\" (expected key=value, found \"{pair}\")"));
        };
        let unsupported = |character: char| !(character.is_ascii_alphanumeric() || "-_".contains(character));
        if let Some(character) = key.chars().chain(value.chars()).find(|character| unsupported(*character)) {
            return Err(format!("metadata '{metadata}' contains unsupported character '{character}'"));
        }
    }
    Ok(id)
}

/// Whether requests name their tenant, and who it is where they do not.
#[derive(Debug, Clone)]
pub struct Tenancy {
    // None: requests name their tenants.
    fixed: Option<Tenants>,
}

impl Tenancy {
    /// Requests name their tenants.
    pub fn by_header() -> Self {
        Self { fixed: None }
    }

    /// The header is ignored: all data belongs to `id`.
    pub fn fixed(id: TenantId) -> Self {
        Self { fixed: Some(Tenants::one(id)) }
    }

    /// Whether requests name their tenants.
    pub fn is_by_header(&self) -> bool {
        self.fixed.is_none()
    }

    /// The tenants of a request.
    pub fn tenants(&self, headers: &HeaderMap) -> Result<Tenants> {
        if let Some(fixed) = &self.fixed {
            return Ok(fixed.clone());
        }
        let value = headers.get(ORG_ID).map_or(&b""[..], |value| value.as_bytes());
        Tenants::parse(String::from_utf8_lossy(value).trim_matches([' ', '\t']))
    }

    /// Wraps all routes of `router`, HTTP or gRPC: a request without a valid tenant is refused, others bring
    /// [`Tenants`] to their handlers.
    pub fn protect<S: Clone + Send + Sync + 'static>(&self, router: Router<S>) -> Router<S> {
        if !router.has_routes() {
            return router;
        }
        router.route_layer(axum::middleware::from_fn_with_state(self.clone(), identify))
    }
}

async fn identify(State(tenancy): State<Tenancy>, mut request: Request, next: Next) -> Response {
    match tenancy.tenants(request.headers()) {
        Ok(tenants) => {
            request.extensions_mut().insert(tenants);
            next.run(request).await
        }
        Err(error) if is_grpc(request.headers()) => grpc::to_status(&error).into_http(),
        Err(error) => HttpError(error).into_response(),
    }
}

/// Whether a request is a gRPC call.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

impl<S: Sync> FromRequestParts<S> for Tenants {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, HttpError> {
        let unprotected = || Error::internal(format!("route {} has no tenant middleware", parts.uri.path()));
        Ok(parts.extensions.get::<Self>().cloned().ok_or_else(unprotected)?)
    }
}

/// The one tenant of a request, taken by handlers that do not go across tenants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant(pub TenantId);

impl<S: Sync> FromRequestParts<S> for Tenant {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpError> {
        let tenants = Tenants::from_request_parts(parts, state).await?;
        Ok(Self(tenants.single()?.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_name_tenants() {
        fn check(value: &str, expected: Result<(&str, bool), &str>) {
            let parsed = Tenants::parse(value);
            let seen = parsed.as_ref().map(|tenants| (tenants.joined(), tenants.is_federated()));
            let expected = expected.map(|(joined, federated)| (joined.to_owned(), federated));
            assert_eq!(seen.map_err(|error| error.message()), expected, "{value:?}");
        }
        check("golden", Ok(("golden", false)));
        check("golden-b|golden", Ok(("golden|golden-b", true)));
        check("a|a", Ok(("a", false)));
        check("a|", Ok(("a", true)));
        check("a!b-c_d.e*f'(g)", Ok(("a!b-c_d.e*f'(g)", false)));
        check("a:k=v:team=x_1|b", Ok(("a|b", true)));
        check("", Err("no org id"));
        check("|", Err("no org id"));
        check(":k=v", Err("no org id"));
        check("a|b/c", Err("tenant ID 'b/c' contains unsupported character '/'"));
        check("a b", Err("tenant ID 'a b' contains unsupported character ' '"));
        check(&"x".repeat(151), Err("tenant ID is too long: max 150 characters"));
        check("a:k", Err("malformed tenant metadata: \"k\" (expected key=value, found \"k\")"));
        check("a:k=v w", Err("metadata 'k=v w' contains unsupported character ' '"));
        assert!(Tenants::parse("..").unwrap_err().message().starts_with("tenant ID is '.' or '..'"));
        assert!(Tenants::parse(&"a|".repeat(2000)).unwrap_err().message().starts_with("too many tenant IDs"));
    }

    #[test]
    fn writes_take_one_tenant() {
        assert_eq!(Tenants::parse("a").unwrap().single().unwrap().as_str(), "a");
        for several in ["a|b", "a|"] {
            let error = Tenants::parse(several).unwrap().single().unwrap_err();
            assert_eq!(error.message(), "multiple org IDs present");
        }
    }

    #[test]
    fn a_fixed_tenant_ignores_the_header() {
        let mut headers = HeaderMap::new();
        headers.insert(ORG_ID, "..".parse().unwrap());
        let fixed = Tenancy::fixed(TenantId::anonymous());
        assert_eq!(fixed.tenants(&headers).unwrap().joined(), "anonymous");
        assert!(Tenancy::by_header().tenants(&headers).is_err());
        headers.insert(ORG_ID, " golden ".parse().unwrap());
        assert_eq!(Tenancy::by_header().tenants(&headers).unwrap().joined(), "golden");
        headers.insert(ORG_ID, http::HeaderValue::from_bytes(b"\xff").unwrap());
        assert!(Tenancy::by_header().tenants(&headers).is_err());
    }
}
