use super::*;
use crate::commands::tests::{at, now};

fn authority(id: &str, state: CertificateAuthorityState) -> CertificateAuthority {
    let mut authority = CertificateAuthority {
        name: format!("certificateAuthorities/{id}"),
        state_time: at(90),
        fingerprint: "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8".to_owned(),
        create_time: at(3600),
        expire_time: at(-3650 * 86_400),
        ..CertificateAuthority::default()
    };
    authority.set_state(state);
    authority
}

#[test]
fn cas_are_shown_with_what_they_wait_for() {
    use CertificateAuthorityState::{Issuing, Retired, Retiring, Staged};
    let mut staged = authority("0198c5d4", Staged);
    staged.waiting_replicas = 1;
    let mut issuing = authority("0198c5d3", Issuing);
    issuing.relays = 12;
    let mut retiring = authority("0198c5d2", Retiring);
    retiring.relays = 2;
    retiring.waiting_relays =
        ["r1", "r2"].map(|relay| format!("tenants/acme/fleets/tokyo/relays/{relay}")).to_vec();
    let retired = authority("0198c5d1", Retired);
    let all = [staged, issuing, retiring.clone(), retired.clone()];
    insta::assert_snapshot!(
        "certificate_authorities",
        [table(&all, now()), details(&retiring, now()), progress(&all), progress(&[retired])]
            .join("\n")
    );
}
