//! From the settings of the listeners to the listeners' options, and what is logged of their requests.

use std::time::Duration;

use norn_base::{Error, Result};
use norn_config::metrics::{HttpTls, ServerConfig};
use norn_server::listener::{ClientAuth, ListenerOptions, Network, PemSource, Timeouts, TlsOptions, TlsVersion};
use norn_server::telemetry::{RequestLog, SourceAddresses};

/// The listener of the HTTP API.
pub(super) fn http_options(config: &ServerConfig) -> Result<ListenerOptions> {
    let header = if config.http_server_read_header_timeout.is_zero() {
        config.http_server_read_timeout
    } else {
        config.http_server_read_header_timeout
    };
    Ok(ListenerOptions {
        address: config.http_listen_address.clone(),
        network: network("server.http_listen_network", &config.http_listen_network)?,
        connections_max: config.http_listen_conn_limit,
        tls: tls_options(&config.http_tls_config, config)?,
        timeouts: Timeouts {
            header,
            read: positive(config.http_server_read_timeout),
            write: positive(config.http_server_write_timeout),
            idle: positive(config.http_server_idle_timeout),
        },
        ..ListenerOptions::http(config.http_listen_port)
    })
}

/// The listener of gRPC.
pub(super) fn grpc_options(config: &ServerConfig) -> Result<ListenerOptions> {
    Ok(ListenerOptions {
        address: config.grpc_listen_address.clone(),
        network: network("server.grpc_listen_network", &config.grpc_listen_network)?,
        connections_max: config.grpc_listen_conn_limit,
        tls: tls_options(&config.grpc_tls_config, config)?,
        timeouts: Timeouts {
            idle: bounded(config.grpc_server_max_connection_idle),
            ..ListenerOptions::grpc(config.grpc_listen_port).timeouts
        },
        age_max: bounded(config.grpc_server_max_connection_age),
        age_grace: bounded(config.grpc_server_max_connection_age_grace),
        http2_streams_max: config.grpc_server_max_concurrent_streams,
        http2_ping_interval: positive(config.grpc_server_keepalive_time),
        http2_ping_timeout: config.grpc_server_keepalive_timeout,
        ..ListenerOptions::grpc(config.grpc_listen_port)
    })
}

fn network(setting: &str, name: &str) -> Result<Network> {
    Network::parse(name)
        .ok_or_else(|| Error::bad_request(format!("{setting}: unknown network {name:?}; use tcp, tcp4 or tcp6")))
}

/// How requests are logged.
pub(super) fn request_log(config: &ServerConfig) -> Result<RequestLog> {
    let sources = match config.log_source_ips_enabled {
        true => {
            let (header, pattern) = (&config.log_source_ips_header, &config.log_source_ips_regex);
            Some(SourceAddresses::new(config.log_source_ips_full, header, pattern)?)
        }
        false => None,
    };
    Ok(RequestLog {
        at_info: config.log_request_at_info_level_enabled,
        headers: config.log_request_headers,
        headers_excluded: config.log_request_exclude_headers_list.clone(),
        sources,
    })
}

/// A duration that is not the originals' "infinity", some centuries, nor zero.
fn bounded(duration: Duration) -> Option<Duration> {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    positive(duration).filter(|duration| *duration < CENTURY)
}

fn positive(duration: Duration) -> Option<Duration> {
    (!duration.is_zero()).then_some(duration)
}

/// TLS of a listener; none without a certificate.
fn tls_options(tls: &HttpTls, config: &ServerConfig) -> Result<Option<TlsOptions>> {
    let source = |text: &str, file: &str| match (text, file) {
        ("", "") => None,
        ("", file) => Some(PemSource::File(file.into())),
        (text, _) => Some(PemSource::Text(text.to_owned())),
    };
    let (certificates, key) = match (source(&tls.cert, &tls.cert_file), source(tls.key.expose(), &tls.key_file)) {
        (None, None) => return Ok(None),
        (Some(certificates), Some(key)) => (certificates, key),
        _ => return Err(Error::bad_request("TLS needs a certificate and its key: set cert_file and key_file")),
    };
    let client_authorities = source(&tls.client_ca, &tls.client_ca_file);
    let invalid = |error: norn_server::listener::TlsError| Error::bad_request(error.to_string());
    let version_min = match config.tls_min_version.as_str() {
        "VersionTLS13" => TlsVersion::Tls13,
        _ => TlsVersion::Tls12,
    };
    Ok(Some(TlsOptions {
        certificates,
        key,
        client_auth: ClientAuth::parse(&tls.client_auth_type, client_authorities.is_some()).map_err(invalid)?,
        client_authorities,
        version_min,
        cipher_suites: config.tls_cipher_suites.clone(),
    }))
}

#[cfg(test)]
mod tests {
    use norn_config::metrics::MetricsConfig;

    use super::*;

    #[test]
    fn settings_become_options() {
        let mut config = MetricsConfig::default().server;
        let options = grpc_options(&config).unwrap();
        assert_eq!((options.age_max, options.age_grace, options.timeouts.idle), (None, None, None), "infinity");
        assert_eq!(options.network, Network::Any);
        let minute = Duration::from_secs(60);
        config.grpc_server_max_connection_age = minute;
        config.grpc_server_max_connection_age_grace = 2 * minute;
        config.grpc_server_max_connection_idle = 3 * minute;
        config.grpc_listen_network = "tcp4".to_owned();
        let options = grpc_options(&config).unwrap();
        let ages = (options.age_max, options.age_grace, options.timeouts.idle);
        assert_eq!(ages, (Some(minute), Some(2 * minute), Some(3 * minute)));
        assert_eq!(options.network, Network::V4);
        config.http_listen_network = "udp".to_owned();
        let error = http_options(&config).unwrap_err();
        assert!(error.message().contains("server.http_listen_network"), "{}", error.message());
    }

    #[test]
    fn requests_are_logged_as_the_operator_wishes() {
        let mut config = MetricsConfig::default().server;
        let log = request_log(&config).unwrap();
        assert!(!log.at_info && !log.headers && log.sources.is_none());
        config.log_source_ips_enabled = true;
        config.log_request_at_info_level_enabled = true;
        config.log_request_headers = true;
        config.log_request_exclude_headers_list = vec!["X-Secret".to_owned()];
        let log = request_log(&config).unwrap();
        assert!(log.at_info && log.headers && log.sources.is_some());
        assert_eq!(log.headers_excluded, ["X-Secret"]);
        config.log_source_ips_header = "X-Edge".to_owned();
        assert!(request_log(&config).is_err(), "a header needs its pattern");
    }
}
