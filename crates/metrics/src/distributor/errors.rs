//! The distributor's errors, in the words and with the ids that clients and runbooks know.

use norn_base::{Error, ErrorKind};

/// `<message> (<id>)`
pub(crate) fn plain(kind: ErrorKind, id: &'static str, message: impl std::fmt::Display) -> Error {
    Error::new(kind, format!("{message} ({id})")).with_id(id)
}

/// An error that goes away when a limit of the tenant is raised, by one of `flags`.
pub(crate) fn tenant_limit(
    kind: ErrorKind,
    id: &'static str,
    message: impl std::fmt::Display,
    flags: &[&str],
) -> Error {
    Error::new(kind, format!("{message} ({id}). {}", remedy("per-tenant limit", flags))).with_id(id)
}

/// An error that goes away when a limit of the process is raised.
pub(crate) fn process_limit(kind: ErrorKind, id: &'static str, message: impl std::fmt::Display, flag: &str) -> Error {
    Error::new(kind, format!("{message} ({id}). {}", remedy("limit", &[flag]))).with_id(id)
}

fn remedy(what: &str, flags: &[&str]) -> String {
    let plural = if flags.len() > 1 { "s" } else { "" };
    let flags = match flags {
        [] => String::new(),
        [only] => format!("-{only}"),
        [first @ .., last] => format!("-{} and -{last}", first.join(", -")),
    };
    format!("To adjust the related {what}{plural}, configure {flags}, or contact your service administrator.")
}

/// The tenant sends more than its rate, or more at once than its burst.
pub(crate) fn ingestion_rate(per_second: f64, burst: u64, items: u64) -> Error {
    let per_second = norn_gotext::number::format_float(per_second, norn_gotext::number::FloatFormat::General);
    let applies =
        "This limit is applied on the total number of samples, exemplars and metadata received across all distributors";
    let message = if items > burst {
        format!(
            "the request has been rejected because the tenant exceeded the ingestion burst size limit, set to {burst}, \
             with {items} items. {applies}"
        )
    } else {
        format!(
            "the request has been rejected because the tenant exceeded the ingestion rate limit, set to {per_second} \
             items/s with a maximum allowed burst of {burst}. {applies}"
        )
    };
    let flags = ["distributor.ingestion-rate-limit", "distributor.ingestion-burst-size"];
    tenant_limit(ErrorKind::LimitReached, "err-mimir-tenant-max-ingestion-rate", message, &flags)
}

/// The tenant sends more requests than its rate.
pub(crate) fn request_rate(per_second: f64, burst: u64) -> Error {
    let per_second = norn_gotext::number::format_float(per_second, norn_gotext::number::FloatFormat::General);
    let message = format!(
        "the request has been rejected because the tenant exceeded the request rate limit, set to {per_second} \
         requests/s across all distributors with a maximum allowed burst of {burst}"
    );
    let flags = ["distributor.request-rate-limit", "distributor.request-burst-size"];
    tenant_limit(ErrorKind::LimitReached, "err-mimir-tenant-max-request-rate", message, &flags)
}

/// The samples come from a replica that is not the elected one.
pub(crate) fn replicas_did_not_match(replica: &str, elected: &str) -> Error {
    let message = format!("replicas did not match, rejecting sample: replica={replica}, elected={elected}");
    Error::new(ErrorKind::Conflict, message).with_http_status(202)
}

/// The tenant has as many pairs of replicas as it may have.
pub(crate) fn too_many_ha_clusters(limit: u64) -> Error {
    let message = format!(
        "the write request has been rejected because the maximum number of high-availability (HA) clusters has been \
         reached for this tenant (limit: {limit})"
    );
    let id = "err-mimir-tenant-too-many-ha-clusters";
    tenant_limit(ErrorKind::Unprocessable, id, message, &["distributor.ha-tracker.max-clusters"]).with_http_status(400)
}

/// What one distributor takes over all tenants is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum InstanceLimit {
    IngestionRate,
    InflightRequests,
    InflightBytes,
}

impl InstanceLimit {
    /// Its id, which is also the reason in metrics.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::IngestionRate => "err-mimir-distributor-max-ingestion-rate",
            Self::InflightRequests => "err-mimir-distributor-max-inflight-push-requests",
            Self::InflightBytes => "err-mimir-distributor-max-inflight-push-requests-bytes",
        }
    }

    /// The label of metrics about rejected requests.
    pub(crate) fn reason(self) -> &'static str {
        self.id().trim_start_matches("err-mimir-")
    }

    pub(crate) fn error(self) -> Error {
        let (what, flag) = match self {
            Self::IngestionRate => ("the ingestion rate limit", "distributor.instance-limits.max-ingestion-rate"),
            Self::InflightRequests => (
                "the allowed number of inflight push requests",
                "distributor.instance-limits.max-inflight-push-requests",
            ),
            Self::InflightBytes => (
                "the allowed total size in bytes of inflight push requests",
                "distributor.instance-limits.max-inflight-push-requests-bytes",
            ),
        };
        let message = format!("the write request has been rejected because the distributor exceeded {what}");
        process_limit(ErrorKind::Unavailable, self.id(), message, flag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_say_which_flags_change_them() {
        let check = |error: Error, status, expected: &str| {
            assert_eq!((error.http_status(), error.message()), (status, expected));
        };
        check(
            ingestion_rate(1e6, 10, 11),
            429,
            "the request has been rejected because the tenant exceeded the ingestion burst size limit, set to 10, with \
             11 items. This limit is applied on the total number of samples, exemplars and metadata received across \
             all distributors (err-mimir-tenant-max-ingestion-rate). To adjust the related per-tenant limits, \
             configure -distributor.ingestion-rate-limit and -distributor.ingestion-burst-size, or contact your \
             service administrator.",
        );
        check(
            ingestion_rate(1e6, 10, 10),
            429,
            "the request has been rejected because the tenant exceeded the ingestion rate limit, set to 1e+06 items/s \
             with a maximum allowed burst of 10. This limit is applied on the total number of samples, exemplars and \
             metadata received across all distributors (err-mimir-tenant-max-ingestion-rate). To adjust the related \
             per-tenant limits, configure -distributor.ingestion-rate-limit and -distributor.ingestion-burst-size, or \
             contact your service administrator.",
        );
        check(
            request_rate(2.5, 3),
            429,
            "the request has been rejected because the tenant exceeded the request rate limit, set to 2.5 requests/s \
             across all distributors with a maximum allowed burst of 3 (err-mimir-tenant-max-request-rate). To adjust \
             the related per-tenant limits, configure -distributor.request-rate-limit and \
             -distributor.request-burst-size, or contact your service administrator.",
        );
        check(
            too_many_ha_clusters(2),
            400,
            "the write request has been rejected because the maximum number of high-availability (HA) clusters has \
             been reached for this tenant (limit: 2) (err-mimir-tenant-too-many-ha-clusters). To adjust the related \
             per-tenant limit, configure -distributor.ha-tracker.max-clusters, or contact your service administrator.",
        );
        check(
            InstanceLimit::InflightRequests.error(),
            503,
            "the write request has been rejected because the distributor exceeded the allowed number of inflight push \
             requests (err-mimir-distributor-max-inflight-push-requests). To adjust the related limit, configure \
             -distributor.instance-limits.max-inflight-push-requests, or contact your service administrator.",
        );
        check(replicas_did_not_match("b", "a"), 202, "replicas did not match, rejecting sample: replica=b, elected=a");
    }
}
