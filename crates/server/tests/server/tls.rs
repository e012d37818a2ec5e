//! TLS: protocols by ALPN, clients' certificates, certificates that change.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use norn_base::clock::ManualClock;
use norn_server::app::App;
use norn_server::listener::{
    ClientAuth, ConnectionMetrics, Listener, ListenerOptions, PemSource, TlsError, TlsOptions, TlsVersion,
};
use norn_server::telemetry::MetricsRegistry;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::common::{Client, Server, options};

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Certificate and key in PEM.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        (certificate.pem(), key.serialize_pem())
    }
}

fn write(folder: &Path, (certificate, key): &(String, String)) {
    std::fs::write(folder.join("tls.crt"), certificate).unwrap();
    std::fs::write(folder.join("tls.key"), key).unwrap();
}

fn tls_options(folder: &Path) -> TlsOptions {
    TlsOptions {
        certificates: PemSource::File(folder.join("tls.crt")),
        key: PemSource::File(folder.join("tls.key")),
        client_authorities: None,
        client_auth: ClientAuth::None,
        version_min: TlsVersion::Tls12,
        cipher_suites: Vec::new(),
    }
}

async fn start(tls: TlsOptions) -> Server {
    start_at(tls, ManualClock::at(0)).await
}

async fn start_at(tls: TlsOptions, clock: Arc<ManualClock>) -> Server {
    let build = |app: App| app.admin(Router::new().route("/", get(|| async { "hello" })));
    Server::start_with(ListenerOptions { tls: Some(tls), ..options() }, "", clock, build).await
}

/// A client that trusts `authority`, shows `certificate` and speaks `protocol`.
fn client(authority: &Authority, certificate: Option<&(String, String)>, protocol: &str) -> TlsConnector {
    use rustls::pki_types::pem::PemObject;
    let mut roots = RootCertStore::empty();
    roots.add(authority.0.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    let mut config = match certificate {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(vec![certificate], key).unwrap()
        }
    };
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    TlsConnector::from(Arc::new(config))
}

async fn connect(server: &Server, connector: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(server.address).await?;
    connector.connect(ServerName::try_from("localhost").unwrap(), stream).await
}

/// The body of `/`, or an empty one where the server refuses the client.
async fn fetch(server: &Server, connector: &TlsConnector) -> String {
    let Ok(stream) = connect(server, connector).await else { return String::new() };
    let mut client = Client::new(stream);
    client.send(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    let answer = String::from_utf8(client.closed().await).unwrap();
    answer.split("\r\n\r\n").nth(1).unwrap_or("").to_owned()
}

#[tokio::test]
async fn protocols_are_agreed_on() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    write(folder.path(), &authority.issue("localhost"));
    let server = start(tls_options(folder.path())).await;
    assert_eq!(fetch(&server, &client(&authority, None, "http/1.1")).await, "hello");
    let stream = connect(&server, &client(&authority, None, "h2")).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut sender, connection) = hyper::client::conn::http2::handshake(executor, io).await.unwrap();
    server.tasks.spawn_until_stopped("client", async move {
        // The server may close first.
        let _ = connection.await;
    });
    let request = http::Request::get("https://localhost/").body(axum::body::Body::empty()).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 200);
}

#[tokio::test]
async fn clients_show_certificates_where_they_must() {
    let (authority, other, folder) = (Authority::new(), Authority::new(), tempfile::tempdir().unwrap());
    write(folder.path(), &authority.issue("localhost"));
    let check = async |auth: ClientAuth, shown: Option<&(String, String)>, expected: &str| {
        let mut tls = tls_options(folder.path());
        tls.client_authorities = Some(PemSource::Text(authority.0.pem()));
        tls.client_auth = auth;
        let server = start(tls).await;
        assert_eq!(fetch(&server, &client(&authority, shown, "http/1.1")).await, expected, "{auth:?}");
    };
    let (known, foreign) = (authority.issue("client"), other.issue("client"));
    check(ClientAuth::Require, Some(&known), "hello").await;
    check(ClientAuth::Require, Some(&foreign), "").await;
    check(ClientAuth::Require, None, "").await;
    check(ClientAuth::VerifyIfGiven, None, "hello").await;
    check(ClientAuth::VerifyIfGiven, Some(&foreign), "").await;
}

#[tokio::test]
async fn changed_certificates_are_taken_and_broken_ones_left() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    write(folder.path(), &authority.issue("localhost"));
    let clock = ManualClock::at(0);
    let server = start_at(tls_options(folder.path()), clock.clone()).await;
    let connector = client(&authority, None, "http/1.1");
    let served = async || {
        let stream = connect(&server, &connector).await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    };
    let first = served().await;
    write(folder.path(), &("broken".to_owned(), "broken".to_owned()));
    clock.advance(Duration::from_secs(2));
    assert_eq!(served().await, first);
    write(folder.path(), &authority.issue("localhost"));
    // Within a second of the last look nobody looks again.
    assert_eq!(served().await, first);
    clock.advance(Duration::from_secs(2));
    assert_ne!(served().await, first);
}

#[tokio::test]
async fn versions_and_cipher_suites_are_limited() {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().unwrap());
    write(folder.path(), &authority.issue("localhost"));
    let mut tls = tls_options(folder.path());
    tls.version_min = TlsVersion::Tls13;
    tls.cipher_suites = vec!["TLS_AES_256_GCM_SHA384".to_owned()];
    let server = start(tls.clone()).await;
    let stream = connect(&server, &client(&authority, None, "http/1.1")).await.unwrap();
    let session = stream.get_ref().1;
    assert_eq!(session.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    let suite = session.negotiated_cipher_suite().map(|suite| suite.suite());
    assert_eq!(suite, Some(rustls::CipherSuite::TLS13_AES_256_GCM_SHA384));
    tls.cipher_suites = vec!["TLS_RSA_WITH_RC4_128_SHA".to_owned()];
    let metrics = ConnectionMetrics::register(&MetricsRegistry::default());
    let options = ListenerOptions { tls: Some(tls), ..options() };
    let error = Listener::bind(options, ManualClock::at(0), &metrics).await.unwrap_err();
    let chain = norn_base::Error::from(error).chain();
    assert!(chain.contains("cipher suite \"TLS_RSA_WITH_RC4_128_SHA\" is not supported"), "{chain}");
}

#[test]
fn settings_are_those_of_go() {
    assert_eq!(ClientAuth::parse("", true).unwrap(), ClientAuth::Require);
    assert_eq!(ClientAuth::parse("", false).unwrap(), ClientAuth::None);
    assert_eq!(ClientAuth::parse("VerifyClientCertIfGiven", true).unwrap(), ClientAuth::VerifyIfGiven);
    assert!(matches!(ClientAuth::parse("RequireAnyClientCert", true), Err(TlsError::ClientAuth { .. })));
}
