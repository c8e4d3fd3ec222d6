//! TLS of the two ports: our certificate, renewed while serving, and the relays' certificates.
use std::{sync::Arc, time::Duration};

use anyhow::Context;
use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::late::LateCertificates;
use crate::pki::Roots;

/// How often a new certificate is issued; each lasts a day.
const RENEW_EVERY: Duration = Duration::from_secs(8 * 3600);
/// How soon a failed renewal is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(3600);

/// A certificate chain, ours first, and its key.
pub type ServerIdentity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Issues a server certificate, at each call a new one.
pub type Issue = Box<dyn Fn() -> anyhow::Result<ServerIdentity> + Send + Sync>;

/// What a port accepts connections with.
pub(super) enum Tls {
    /// Always the same.
    Fixed(Arc<ServerConfig>),
    /// What it is for relays now.
    Relays(RelayTls),
}

impl Tls {
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        match self {
            Self::Fixed(config) => Arc::clone(config),
            Self::Relays(relays) => relays.config(),
        }
    }
}

/// What relays' connections are accepted with: always the roots of now.
pub(super) struct RelayTls {
    certificate: Arc<ServerCertificate>,
    roots: watch::Receiver<Roots>,
    grace: Duration,
    built: ArcSwap<(Roots, Arc<ServerConfig>)>,
}

impl RelayTls {
    pub(super) fn new(
        certificate: &Arc<ServerCertificate>,
        roots: watch::Receiver<Roots>,
        grace: Duration,
    ) -> anyhow::Result<Self> {
        let now = Arc::clone(&roots.borrow());
        let config = certificate.for_relays(&now, grace)?;
        let built = ArcSwap::from_pointee((now, config));
        Ok(Self { certificate: Arc::clone(certificate), roots, grace, built })
    }

    /// Looked at with each connection, so that none is refused for a root that has just been taken up.
    fn config(&self) -> Arc<ServerConfig> {
        let (roots, built) = (Arc::clone(&self.roots.borrow()), self.built.load());
        if Arc::ptr_eq(&built.0, &roots) {
            return Arc::clone(&built.1);
        }
        match self.certificate.for_relays(&roots, self.grace) {
            Ok(config) => {
                self.built.store(Arc::new((roots, Arc::clone(&config))));
                config
            }
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(
                    error,
                    "New roots cannot be used: relays are checked by the old ones"
                );
                Arc::clone(&built.1)
            }
        }
    }
}

/// The certificate that both ports show.
pub(super) struct ServerCertificate {
    issue: Issue,
    provider: Arc<CryptoProvider>,
    current: ArcSwap<CertifiedKey>,
}

impl std::fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServerCertificate")
    }
}

impl ResolvesServerCert for ServerCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

impl ServerCertificate {
    /// Issues the first one.
    pub(super) fn new(issue: Issue) -> anyhow::Result<Arc<Self>> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let current = ArcSwap::from_pointee(certified(&issue, &provider)?);
        Ok(Arc::new(Self { issue, provider, current }))
    }

    /// Issues new ones in time and whenever roots change, until told to stop.
    pub(super) async fn renew(
        &self,
        roots: &mut watch::Receiver<Roots>,
        cancel: &CancellationToken,
    ) {
        let mut wait = RENEW_EVERY;
        loop {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                Ok(()) = roots.changed() => {}
                () = cancel.cancelled() => return,
            }
            wait = match certified(&self.issue, &self.provider) {
                Ok(certificate) => {
                    self.current.store(Arc::new(certificate));
                    tracing::info!("The server certificate was renewed");
                    RENEW_EVERY
                }
                Err(error) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "The server certificate could not be renewed"
                    );
                    RETRY_AFTER
                }
            };
        }
    }

    /// Relays: TLS 1.3; a client certificate of these roots that ended at most `grace` ago, or none, which only enrollment
    /// accepts.
    ///
    /// Nothing is resumed: each connection shows a certificate that is valid now, and holds no session state.
    fn for_relays(
        self: &Arc<Self>,
        roots: &[CertificateDer<'static>],
        grace: Duration,
    ) -> anyhow::Result<Arc<ServerConfig>> {
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root.clone()).context("a root of ours is no certificate authority")?;
        }
        let checked =
            WebPkiClientVerifier::builder_with_provider(store.into(), Arc::clone(&self.provider))
                .allow_unauthenticated()
                .build()?;
        let config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(Arc::new(LateCertificates { checked, grace }));
        Ok(self.finish(config))
    }

    /// Operators: TLS 1.2 or 1.3, no client certificate.
    pub(super) fn for_operators(self: &Arc<Self>) -> anyhow::Result<Arc<ServerConfig>> {
        let config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth();
        Ok(self.finish(config))
    }

    fn finish(
        self: &Arc<Self>,
        builder: rustls::ConfigBuilder<ServerConfig, rustls::server::WantsServerCert>,
    ) -> Arc<ServerConfig> {
        let resolver: Arc<dyn ResolvesServerCert> = Arc::<Self>::clone(self);
        let mut config = builder.with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Arc::new(config)
    }
}

fn certified(issue: &Issue, provider: &CryptoProvider) -> anyhow::Result<CertifiedKey> {
    let (chain, key) = issue().context("no server certificate was issued")?;
    CertifiedKey::from_der(chain, key, provider).context("the server certificate cannot be used")
}
