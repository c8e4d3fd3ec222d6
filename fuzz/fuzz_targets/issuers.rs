#![no_main]
//! What an issuer publishes and says: a key set either has usable keys or is refused, and a role is of its own account.
use ekiden_control_plane::oidc::*;
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use time::OffsetDateTime;

const ANY: OffsetDateTime = OffsetDateTime::UNIX_EPOCH;

fuzz_target!(|data: &[u8]| {
    let issuer = Issuer::new("https://login.example.com", None).unwrap();
    drop(fuzzing::key_sets(&issuer, data, ANY));
    let Ok(payload) = serde_json::from_slice::<Map<String, Value>>(data) else { return };
    let text = |name: &str| payload.get(name).and_then(Value::as_str).map(str::to_owned);
    let (sub, jti) = (text("sub").unwrap_or_default(), text("jti"));
    let claims = Claims { sub, jti, iat: ANY, exp: ANY, payload };
    if let Ok(identity) = WebIdentity::from_claims(&claims) {
        assert_eq!(identity.role_arn, claims.sub);
        assert_eq!(account_of_role(&identity.role_arn), Some(identity.account.as_str()));
    }
    if let Ok(issuer) = Issuer::new(&claims.sub, None) {
        assert_eq!(issuer.url(), claims.sub);
        assert!(claims.sub.contains(issuer.host()));
    }
});
