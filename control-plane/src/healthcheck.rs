//! Asks a running control plane whether it serves, as a container's health check does.
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::{
    Request,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tower::service_fn;

use crate::data_dir;

/// How long the answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Succeeds when the control plane of this data directory serves; `server_name` must be in its certificate.
///
/// # Errors
/// Says what is missing.
pub async fn run(data_dir: &Path, server_name: &str) -> anyhow::Result<()> {
    let endpoints = data_dir::read_endpoints(data_dir)?;
    let channel = if endpoints.operators_tls {
        let pem = std::fs::read(&endpoints.ca_certificate)
            .with_context(|| format!("{} cannot be read", endpoints.ca_certificate.display()))?;
        over_tls(endpoints.operators, &pem, server_name).await
    } else {
        endpoint()?.connect_with_connector(connector(endpoints.operators)).await.map_err(Into::into)
    };
    let channel = channel
        .with_context(|| format!("the operator port {} does not answer", endpoints.operators))?;
    let mut request = Request::new(HealthCheckRequest::default());
    request.set_timeout(ANSWER_WITHIN);
    let answer = HealthClient::new(channel).check(request).await;
    let answer = answer.context("the health check was not answered")?.into_inner();
    match answer.status() {
        ServingStatus::Serving => Ok(()),
        other => bail!("the control plane says {}", other.as_str_name()),
    }
}

async fn over_tls(at: SocketAddr, roots: &[u8], server_name: &str) -> anyhow::Result<Channel> {
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(roots) {
        store.add(certificate?)?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tls = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from(server_name.to_owned())?;
    let connect = service_fn(move |_| {
        let (tls, name) = (tls.clone(), name.clone());
        async move {
            let stream = TcpStream::connect(reachable(at)).await?;
            tls.connect(name, stream).await.map(TokioIo::new)
        }
    });
    Ok(endpoint()?.connect_with_connector(connect).await?)
}

/// Connects to the address itself; the endpoint's name is only a form.
fn connector(
    at: SocketAddr,
) -> impl tower::Service<
    http::Uri,
    Response = TokioIo<TcpStream>,
    Error = std::io::Error,
    Future = impl Future<Output = std::io::Result<TokioIo<TcpStream>>> + Send,
> + Send
+ 'static {
    service_fn(move |_| async move { TcpStream::connect(reachable(at)).await.map(TokioIo::new) })
}

fn endpoint() -> anyhow::Result<Endpoint> {
    Ok(Endpoint::try_from("http://control-plane")?.connect_timeout(ANSWER_WITHIN))
}

/// A server that listens on every address answers on loopback.
fn reachable(at: SocketAddr) -> SocketAddr {
    match at {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => ([127, 0, 0, 1], v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            (std::net::Ipv6Addr::LOCALHOST, v6.port()).into()
        }
        other => other,
    }
}
