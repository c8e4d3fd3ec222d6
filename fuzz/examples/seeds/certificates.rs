//! Requests for certificates, and certificates.
use std::time::Duration;

use ekiden_control_plane::{
    names::RelayName,
    pki::{CertificateRequest, fuzzing::authority},
};
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData, SanType};
use time::OffsetDateTime;

use crate::seed;

const RELAY: &str = "tenants/acme/fleets/tokyo/relays/019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071";

pub fn write() {
    let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
    let authority = authority(now).unwrap();
    let relay = RelayName::parse("name", RELAY).unwrap();
    let id = format!("spiffe://ekiden.example/{relay}");
    let key = KeyPair::generate().unwrap();
    for (name, sans) in [
        ("nameless", vec![]),
        ("named", vec![id.as_str()]),
        ("two", vec![id.as_str(), "dns.example"]),
    ] {
        let params = params(name, &sans);
        let csr = params.serialize_request(&key).unwrap().der().to_vec();
        seed("csr", name, &csr);
        seed("csr", &format!("{name}-parts"), parts(&csr, &key));
        seed("identity", name, params.self_signed(&key).unwrap().der());
    }
    let csr = params("nameless", &[]).serialize_request(&key).unwrap();
    let request = CertificateRequest::read(csr.der()).unwrap();
    let issued =
        authority.issue_relay(&request, &relay, id, Duration::from_secs(3600), now).unwrap();
    seed("identity", "issued", issued.certificate);
    let (server, _) = authority.issue_server(&["localhost".to_owned()], now).unwrap();
    seed("identity", "server", &server[0]);
}

fn params(common_name: &str, sans: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    if !sans.is_empty() {
        params.distinguished_name.push(DnType::CommonName, common_name);
    }
    params.subject_alt_names = sans
        .iter()
        .map(|name| match name.contains(':') {
            true => SanType::URI((*name).try_into().unwrap()),
            false => SanType::DnsName((*name).try_into().unwrap()),
        })
        .collect();
    params
}

/// Subject, under its length, and attributes: what stands before and after the key.
fn parts(csr: &[u8], key: &KeyPair) -> Vec<u8> {
    use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer};
    let (_, request) = X509CertificationRequest::from_der(csr).unwrap();
    let info = &request.certification_request_info;
    let subject = info.subject.as_raw();
    let key = key.subject_public_key_info();
    let at = info.raw.windows(key.len()).position(|window| window == key).unwrap();
    [&[u8::try_from(subject.len()).unwrap()], subject, &info.raw[at + key.len()..]].concat()
}
