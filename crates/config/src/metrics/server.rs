//! Listeners and logs.

use std::time::Duration;

use crate::section::{choices, section};
use crate::value::Secret;

section! {
    /// Listeners and logs.
    pub struct ServerConfig {
        /// `tcp`, `tcp4` or `tcp6`.
        pub http_listen_network: String,
        /// The address of the HTTP listener; empty listens on all.
        pub http_listen_address: String,
        /// The port of the HTTP listener; 0 lets the system choose.
        pub http_listen_port: u16,
        /// Further ports of the HTTP API that people already use; one that is taken is a warning.
        pub http_listen_extra_ports: Option<Vec<u16>>,
        /// Most connections of the HTTP listener at once.
        pub http_listen_conn_limit: usize,
        /// `tcp`, `tcp4` or `tcp6`.
        pub grpc_listen_network: String,
        /// The address of the gRPC listener; empty listens on all.
        pub grpc_listen_address: String,
        /// The port of the gRPC listener; 0 lets the system choose.
        pub grpc_listen_port: u16,
        /// Further ports of gRPC that people already use; one that is taken is a warning.
        pub grpc_listen_extra_ports: Option<Vec<u16>>,
        /// Most connections of the gRPC listener at once.
        pub grpc_listen_conn_limit: usize,
        /// Cipher suites by their Go names; empty is the library's choice.
        pub tls_cipher_suites: Vec<String>,
        /// The least version, as `VersionTLS12`; empty is the library's choice.
        pub tls_min_version: String,
        /// TLS of the HTTP listener.
        pub http_tls_config: HttpTls,
        /// TLS of the gRPC listener.
        pub grpc_tls_config: GrpcTls,
        /// Whether `/metrics` and the debug pages are served.
        pub register_instrumentation: bool,
        /// How long a stopping server waits for requests in flight.
        pub graceful_shutdown_timeout: Duration,
        /// Time to read a whole request.
        pub http_server_read_timeout: Duration,
        /// Time to read the headers of a request; zero takes [`Self::http_server_read_timeout`].
        pub http_server_read_header_timeout: Duration,
        /// Time from the end of a request's headers to the end of its answer.
        pub http_server_write_timeout: Duration,
        /// How long an idle connection is kept.
        pub http_server_idle_timeout: Duration,
        /// Most streams of one gRPC connection at once.
        pub grpc_server_max_concurrent_streams: u32,
        /// How long an idle gRPC connection is kept.
        pub grpc_server_max_connection_idle: Duration,
        /// How long a gRPC connection may live.
        pub grpc_server_max_connection_age: Duration,
        /// How long an old gRPC connection may finish its calls.
        pub grpc_server_max_connection_age_grace: Duration,
        /// After which silence a gRPC connection is pinged.
        pub grpc_server_keepalive_time: Duration,
        /// How long an answer to such a ping may take.
        pub grpc_server_keepalive_timeout: Duration,
        /// The form of log lines.
        pub log_format: LogFormat,
        /// The least severity that is logged.
        pub log_level: LogLevel,
        /// Whether log lines of requests name the client's address.
        pub log_source_ips_enabled: bool,
        /// Whether they name all addresses of the forwarding headers instead of the first.
        pub log_source_ips_full: bool,
        /// The header that holds the client's address; empty looks into the usual ones.
        pub log_source_ips_header: String,
        /// What of that header is the address: the first group of this pattern.
        pub log_source_ips_regex: String,
        /// Whether the headers of requests are logged.
        pub log_request_headers: bool,
        /// Whether requests are logged at level info instead of debug.
        pub log_request_at_info_level_enabled: bool,
        /// Headers that are not logged.
        pub log_request_exclude_headers_list: Vec<String>,
        /// A path before all others; empty, or begins with a slash.
        pub http_path_prefix: String,
    }
}

section! {
    /// TLS of the HTTP listener. Plain HTTP without a certificate.
    pub struct HttpTls {
        /// The certificate itself, PEM.
        pub cert: String,
        /// The key itself, PEM.
        pub key: Secret,
        /// The authority of clients' certificates itself, PEM.
        pub client_ca: String,
        /// The file of the certificate.
        pub cert_file: String,
        /// The file of the key.
        pub key_file: String,
        /// Whether clients have to show a certificate, by Go's names such as `RequireAndVerifyClientCert`.
        pub client_auth_type: String,
        /// The file of the authority of clients' certificates.
        pub client_ca_file: String,
    }
}

/// TLS of the gRPC listener has the same keys.
pub type GrpcTls = HttpTls;

choices! {
    /// The form of log lines.
    pub enum LogFormat {
        /// `key=value` pairs.
        Logfmt = "logfmt",
        /// One JSON object a line.
        Json = "json",
    }
}

choices! {
    /// The least severity that is logged.
    pub enum LogLevel {
        /// Everything.
        Debug = "debug",
        /// What an operator may want to know.
        Info = "info",
        /// Work went on regardless.
        Warn = "warn",
        /// A person must look.
        Error = "error",
    }
}
