#![no_main]
//! Requests, whole or composed of subject and attributes: each that is read can be certified, for its key and our name.
use std::{sync::LazyLock, time::Duration};

use ekiden_control_plane::{names::RelayName, pki::*, serve::PeerCertificate};
use libfuzzer_sys::fuzz_target;
use rcgen::{KeyPair, PublicKeyData, SigningKey};
use tonic::Request;

const NOW: time::OffsetDateTime = time::OffsetDateTime::UNIX_EPOCH;
const RELAY: &str = "tenants/acme/fleets/tokyo/relays/019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071";
const ECDSA_SHA256: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
static CA: LazyLock<Authority> = LazyLock::new(|| fuzzing::authority(NOW).unwrap());
static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate().unwrap());

fuzz_target!(|data: &[u8]| {
    certify(data);
    let Some((length, rest)) = data.split_first() else { return };
    let Some((subject, attributes)) = rest.split_at_checked(usize::from(*length)) else { return };
    let key = KEY.subject_public_key_info();
    let info = der(0x30, &[&[2, 1, 0], subject, &key, attributes].concat());
    let signature = der(3, &[vec![0], KEY.sign(&info).unwrap()].concat());
    certify(&der(0x30, &[&info, ECDSA_SHA256, &signature].concat()));
});

fn certify(der: &[u8]) {
    let Ok(request) = CertificateRequest::read(der) else { return };
    let relay = RelayName::parse("name", RELAY).unwrap();
    let id = format!("spiffe://ekiden.example/{relay}");
    let issued = CA.issue_relay(&request, &relay, id, Duration::from_secs(3600), NOW).unwrap();
    let key = request.public_key_info();
    assert!(issued.certificate.windows(key.len()).any(|window| window == key));
    let mut call = Request::new(());
    call.extensions_mut().insert(PeerCertificate(Some(issued.certificate)));
    assert_eq!(RelayIdentity::of(&call, "ekiden.example", NOW).unwrap().name, relay);
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    [&[tag, 0x82], &u16::try_from(content.len()).unwrap().to_be_bytes()[..], content].concat()
}
