//! TLS with certificates that may change while the server runs.
//!
//! The files are looked at when a handshake comes in, at most once a second: whoever renews certificates replaces
//! the files, and the next connection has the new ones. Files that are not usable are reported and leave the old
//! certificates in place, as renewing may be half way through.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use norn_base::clock::SharedClock;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::version::{TLS12, TLS13};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// How often files are looked at, at most.
const CHECK_INTERVAL_MS: u64 = 1000;

/// Where certificates and keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PemSource {
    /// In a file, which may change.
    File(PathBuf),
    /// In the configuration itself.
    Text(String),
}

/// Whether clients show certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientAuth {
    /// They are not asked.
    #[default]
    None,
    /// They may; one that is shown must be valid.
    VerifyIfGiven,
    /// They must.
    Require,
}

impl ClientAuth {
    /// Reads the originals' setting. `has_authority` says whether an authority for clients is configured.
    pub fn parse(name: &str, has_authority: bool) -> Result<Self, TlsError> {
        match name {
            "" if has_authority => Ok(Self::Require),
            "" | "NoClientCert" => Ok(Self::None),
            "VerifyClientCertIfGiven" => Ok(Self::VerifyIfGiven),
            "RequireAndVerifyClientCert" => Ok(Self::Require),
            _ => Err(TlsError::ClientAuth { name: name.to_owned() }),
        }
    }
}

/// The oldest version of TLS that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsVersion {
    /// 1.2.
    #[default]
    Tls12,
    /// 1.3.
    Tls13,
}

/// What a listener needs for TLS.
#[derive(Debug, Clone)]
pub struct TlsOptions {
    /// The certificate of the server and those that lead to its authority.
    pub certificates: PemSource,
    /// Its key.
    pub key: PemSource,
    /// The authorities that sign clients' certificates.
    pub client_authorities: Option<PemSource>,
    /// Whether clients show certificates.
    pub client_auth: ClientAuth,
    /// The oldest version.
    pub version_min: TlsVersion,
    /// Names of allowed cipher suites, as Go writes them; empty allows all that are safe.
    pub cipher_suites: Vec<String>,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// There is no usable PEM where one should be.
    #[error("{what} is not usable PEM: {reason}")]
    Pem {
        /// Certificates or key.
        what: &'static str,
        /// The reason.
        reason: String,
    },
    /// Certificates and key do not make a server.
    #[error("certificate and key are not usable")]
    Config(#[source] rustls::Error),
    /// Clients' certificates cannot be checked.
    #[error("authorities of clients are not usable: {reason}")]
    Authorities {
        /// The reason.
        reason: String,
    },
    /// A way to ask for certificates that is not offered.
    #[error(
        "client auth type {name:?} is not supported: certificates are verified or not asked for, use NoClientCert, \
         VerifyClientCertIfGiven or RequireAndVerifyClientCert"
    )]
    ClientAuth {
        /// What was asked for.
        name: String,
    },
    /// A cipher suite that is not offered.
    #[error("cipher suite {name:?} is not supported, expected some of {known}")]
    CipherSuite {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
}

/// A TLS configuration that follows its files.
#[derive(Debug)]
pub(super) struct ReloadingTls {
    options: TlsOptions,
    clock: SharedClock,
    loaded: ArcSwap<Loaded>,
    // Milliseconds of the clock's monotonic time; whoever moves it on looks at the files.
    next_check_ms: AtomicU64,
}

#[derive(Debug)]
struct Loaded {
    config: Arc<ServerConfig>,
    stamps: Vec<Option<Stamp>>,
}

/// What tells one content of a file from another without reading it.
type Stamp = (SystemTime, u64);

impl ReloadingTls {
    pub(super) fn load(options: TlsOptions, clock: SharedClock) -> Result<Self, TlsError> {
        // Stamps come first: a file that changes while it is read is read again.
        let stamps = stamps(&options);
        let config = server_config(&options)?;
        let loaded = ArcSwap::from_pointee(Loaded { config, stamps });
        Ok(Self { options, clock, loaded, next_check_ms: AtomicU64::new(0) })
    }

    /// What takes the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        let now_ms = u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX);
        let next_ms = self.next_check_ms.load(Ordering::Relaxed);
        let later_ms = now_ms.saturating_add(CHECK_INTERVAL_MS);
        let claim =
            || self.next_check_ms.compare_exchange(next_ms, later_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if now_ms >= next_ms && claim() {
            self.reload_if_changed();
        }
        TlsAcceptor::from(self.loaded.load().config.clone())
    }

    fn reload_if_changed(&self) {
        let stamps = stamps(&self.options);
        let before = self.loaded.load_full();
        if stamps == before.stamps {
            return;
        }
        let config = match server_config(&self.options) {
            Ok(config) => {
                tracing::info!("TLS certificates reloaded");
                config
            }
            Err(error) => {
                let error = &error as &(dyn std::error::Error + 'static);
                tracing::error!(error, "changed TLS certificates are not usable, the old ones stay");
                before.config.clone()
            }
        };
        self.loaded.store(Arc::new(Loaded { config, stamps }));
    }
}

fn stamps(options: &TlsOptions) -> Vec<Option<Stamp>> {
    let sources = [Some(&options.certificates), Some(&options.key), options.client_authorities.as_ref()];
    let stamp = |source: &PemSource| match source {
        PemSource::Text(_) => None,
        PemSource::File(path) => {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        }
    };
    sources.into_iter().flatten().map(stamp).collect()
}

fn server_config(options: &TlsOptions) -> Result<Arc<ServerConfig>, TlsError> {
    let versions: &[&SupportedProtocolVersion] = match options.version_min {
        TlsVersion::Tls12 => &[&TLS12, &TLS13],
        TlsVersion::Tls13 => &[&TLS13],
    };
    let provider = provider(&options.cipher_suites)?;
    let certificates = read_certificates(&options.certificates, "the certificate")?;
    let key = PrivateKeyDer::from_pem_slice(&read(&options.key)?)
        .map_err(|error| TlsError::Pem { what: "the key", reason: error.to_string() })?;
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .map_err(TlsError::Config)?;
    let builder = match client_verifier(options, provider)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_single_cert(certificates, key).map_err(TlsError::Config)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn client_verifier(
    options: &TlsOptions,
    provider: Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    if options.client_auth == ClientAuth::None {
        return Ok(None);
    }
    let unusable = |reason: String| TlsError::Authorities { reason };
    let source = options.client_authorities.as_ref().ok_or_else(|| unusable("none are configured".to_owned()))?;
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(source, "the authorities of clients")? {
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match options.client_auth {
        ClientAuth::VerifyIfGiven => builder.allow_unauthenticated(),
        ClientAuth::None | ClientAuth::Require => builder,
    };
    builder.build().map(Some).map_err(|error| unusable(error.to_string()))
}

/// Ring's cipher suites, or those of them that are asked for. Go and rustls differ in the names of TLS 1.3's only.
fn provider(names: &[String]) -> Result<Arc<CryptoProvider>, TlsError> {
    let mut provider = rustls::crypto::ring::default_provider();
    if names.is_empty() {
        return Ok(Arc::new(provider));
    }
    let go_name = |suite: &rustls::SupportedCipherSuite| format!("{:?}", suite.suite()).replacen("TLS13_", "TLS_", 1);
    let known: Vec<String> = provider.cipher_suites.iter().map(go_name).collect();
    if let Some(name) = names.iter().find(|name| !known.contains(name)) {
        return Err(TlsError::CipherSuite { name: name.clone(), known: known.join(", ") });
    }
    provider.cipher_suites.retain(|suite| names.contains(&go_name(suite)));
    Ok(Arc::new(provider))
}

fn read_certificates(source: &PemSource, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(source)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(TlsError::Pem { what, reason: "no certificate found".to_owned() }),
        Err(error) => Err(TlsError::Pem { what, reason: error.to_string() }),
    }
}

fn read(source: &PemSource) -> Result<Vec<u8>, TlsError> {
    match source {
        PemSource::Text(text) => Ok(text.as_bytes().to_vec()),
        PemSource::File(path) => std::fs::read(path).map_err(|source| TlsError::Read { path: path.clone(), source }),
    }
}
