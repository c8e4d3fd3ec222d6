//! Someone who talks to the relays' port without being a relay of ours: a key, a request for a certificate, a channel.
use std::sync::Arc;

use ekiden_proto::relay::v1::{
    EnrollRequest, EnrollResponse, RelayDescription, enroll_request::Proof,
    enrollment_service_client::EnrollmentServiceClient,
    session_service_client::SessionServiceClient,
};
use ekiden_tests::{
    certificates::client_config,
    harness::{ControlPlane, operator::tls_channel, world::CONTROL_PLANE_NAME},
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, SanType};
use rustls::ClientConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tonic::{Status, transport::Channel};

/// A certificate with its key.
pub(super) type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Returns TLS settings that trust the control plane and show `identity`, where given.
pub(super) fn tls(
    control_plane: &ControlPlane,
    identity: Option<Identity>,
) -> anyhow::Result<Arc<ClientConfig>> {
    client_config(&control_plane.ca_pem()?, identity)
}

fn channel(control_plane: &ControlPlane, identity: Option<Identity>) -> anyhow::Result<Channel> {
    let config = tls(control_plane, identity)?;
    tls_channel(control_plane.relays(), CONTROL_PLANE_NAME, config)
}

/// Returns a client of EnrollmentService without a certificate.
pub(super) fn enrollment(
    control_plane: &ControlPlane,
) -> anyhow::Result<EnrollmentServiceClient<Channel>> {
    Ok(EnrollmentServiceClient::new(channel(control_plane, None)?))
}

/// Returns a client of SessionService that shows `identity`, where given.
pub(super) fn sessions(
    control_plane: &ControlPlane,
    identity: Option<Identity>,
) -> anyhow::Result<SessionServiceClient<Channel>> {
    Ok(SessionServiceClient::new(channel(control_plane, identity)?))
}

/// Enrolls with this token and a request that carries `uri` as a name, where given.
pub(super) async fn enroll(
    control_plane: &ControlPlane,
    token: &str,
    uri: Option<&str>,
) -> anyhow::Result<Result<(EnrollResponse, Identity), Status>> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if let Some(uri) = uri {
        params.subject_alt_names.push(SanType::URI(uri.try_into()?));
    }
    let key = KeyPair::generate()?;
    let request = EnrollRequest {
        proof: Some(Proof::EnrollmentToken(token.to_owned())),
        csr: params.serialize_request(&key)?.der().to_vec(),
        description: Some(RelayDescription::default()),
    };
    let answer = enrollment(control_plane)?.enroll(request).await;
    Ok(answer.map(|response| {
        let response = response.into_inner();
        let chain = response.certificate.iter().flat_map(|bundle| &bundle.chain);
        let chain = chain.map(|der| CertificateDer::from(der.clone())).collect();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        (response, (chain, key))
    }))
}
