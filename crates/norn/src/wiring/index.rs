//! What the index page of a process shows: links to the pages of its roles, and how to send to it and query it.

use norn_config::metrics::MetricsConfig;
use norn_metrics::membership::Membership;
use norn_server::admin::{COMMON_LINKS, Guide, Link};

/// Pages of roles: a role, and the text and path of its page.
const PAGES: [(&str, &str, &str); 6] = [
    ("distributor", "Usage of all tenants", "/distributor/all_user_stats"),
    ("distributor", "Pairs of highly available senders", "/distributor/ha_tracker"),
    ("ingester", "Tenants in memory", "/ingester/tenants"),
    ("store-gateway", "Tenants in the bucket", "/store-gateway/tenants"),
    ("compactor", "Tenants to compact", "/compactor/tenants"),
    ("query-frontend", "Build information", "/api/v1/status/buildinfo"),
];

/// The links of a process with these roles.
pub(super) fn links(roles: &[&str], membership: &Membership, has_runtime_config: bool) -> Vec<Link> {
    let mut links = COMMON_LINKS.to_vec();
    if has_runtime_config {
        links.push(Link { section: "Configuration", text: "Limits of single tenants", path: "/runtime_config" });
    }
    for (_, text, path) in PAGES.into_iter().filter(|(role, ..)| roles.contains(role)) {
        links.push(Link { section: "Metrics", text, path });
    }
    links.extend(membership.ring_paths().map(|(role, path)| Link { section: "Rings", text: role, path }));
    links.push(Link { section: "Rings", text: "Members of the cluster", path: "/memberlist" });
    links
}

/// How to send to a process with these roles and query it. `names_tenants`: whether requests have to name their tenant.
pub(super) fn guides(roles: &[&str], config: &MetricsConfig, names_tenants: bool) -> Vec<Guide> {
    let mut guides = Vec::new();
    if roles.contains(&"distributor") {
        guides.extend(ways_in(config, names_tenants));
    }
    if roles.contains(&"query-frontend") {
        guides.extend(ways_out(config, names_tenants));
    }
    guides
}

fn ways_in(config: &MetricsConfig, names_tenants: bool) -> Vec<Guide> {
    let (yaml_tenant, otlp_tenant) = match names_tenants {
        true => (
            "\n    headers: {X-Scope-OrgID: my-tenant}",
            "\nOTEL_EXPORTER_OTLP_METRICS_HEADERS=x-scope-orgid=my-tenant",
        ),
        false => ("", ""),
    };
    let mut guides = vec![
        Guide {
            section: "Send",
            text: "Prometheus, or an agent that writes like it: in its configuration",
            snippet: format!("remote_write:\n  - url: {{base}}/api/v1/push{yaml_tenant}"),
        },
        Guide {
            section: "Send",
            text: "Programs with an OpenTelemetry SDK: in their environment",
            snippet: format!(
                "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT={{base}}/otlp/v1/metrics\n\
                 OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=http/protobuf{otlp_tenant}"
            ),
        },
    ];
    if config.distributor.influx_endpoint_enabled {
        guides.push(Guide {
            section: "Send",
            text: "One value from a shell, as Influx line protocol",
            snippet: format!(
                "curl{} --data-binary 'hello,from=shell value=1' {{base}}/api/v1/push/influx/write",
                curl_tenant(names_tenants)
            ),
        });
    }
    guides
}

fn ways_out(config: &MetricsConfig, names_tenants: bool) -> Vec<Guide> {
    let prefix = config.api.prometheus_http_prefix.trim_end_matches('/');
    let grafana_tenant = if names_tenants { "\n# HTTP header X-Scope-OrgID: my-tenant" } else { "" };
    vec![
        Guide {
            section: "Query",
            text: "Grafana: a data source of type Prometheus with this address",
            snippet: format!("{{base}}{prefix}{grafana_tenant}"),
        },
        Guide {
            section: "Query",
            text: "From a shell",
            snippet: format!(
                "curl{} {{base}}{prefix}/api/v1/query --data-urlencode 'query=count by (__name__) ({{__name__!=\"\"}})'",
                curl_tenant(names_tenants)
            ),
        },
    ]
}

fn curl_tenant(names_tenants: bool) -> &'static str {
    if names_tenants { " -H 'X-Scope-OrgID: my-tenant'" } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guides_are_those_of_the_roles() {
        let config = MetricsConfig::default();
        let count = |roles: &[&str], section: &str| {
            guides(roles, &config, false).iter().filter(|guide| guide.section == section).count()
        };
        assert_eq!((count(&["compactor"], "Send"), count(&["compactor"], "Query")), (0, 0));
        assert_eq!((count(&["distributor"], "Send"), count(&["query-frontend"], "Query")), (2, 2));
        let with_tenants = guides(&["distributor", "query-frontend"], &config, true);
        assert!(with_tenants.iter().all(|guide| guide.snippet.to_lowercase().contains("x-scope-orgid")));
    }
}
