#![no_main]
//! A certificate names a relay only by a SPIFFE id of this trust domain that stands in it, and only until it ends.
use ekiden_control_plane::{names::RelayName, pki::RelayIdentity, serve::PeerCertificate};
use libfuzzer_sys::fuzz_target;
use rustls_pki_types::CertificateDer;
use time::Duration;
use tonic::Request;
use uuid::Uuid;

fuzz_target!(|data: &[u8]| {
    let mut call = Request::new(());
    call.extensions_mut().insert(PeerCertificate(Some(CertificateDer::from(data.to_vec()))));
    let Ok(identity) = RelayIdentity::even_ended(&call, "ekiden.example") else { return };
    let name = identity.name.to_string();
    let id = format!("spiffe://ekiden.example/{name}");
    assert!(data.windows(id.len()).any(|window| window == id.as_bytes()));
    assert_eq!(RelayName::parse("name", &name).ok().as_ref(), Some(&identity.name));
    assert_eq!(Uuid::try_parse(&identity.name.relay), Ok(identity.id));
    assert!(RelayIdentity::even_ended(&call, "ekiden").is_err());
    assert!(RelayIdentity::of(&call, "ekiden.example", identity.ends_at).is_ok());
    if let Some(late) = identity.ends_at.checked_add(Duration::SECOND) {
        assert!(RelayIdentity::of(&call, "ekiden.example", late).is_err());
    }
});
