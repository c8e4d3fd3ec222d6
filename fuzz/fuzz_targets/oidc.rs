#![no_main]
//! Tokens, compact or as three lines (header, claims, signature): one counts only if its issuer signed just that.
use std::{sync::LazyLock, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use ekiden_control_plane::oidc::{Algorithm::*, *};
use futures_util::FutureExt;
use libfuzzer_sys::fuzz_target;
use time::{OffsetDateTime, macros::datetime};

const NOW: OffsetDateTime = datetime!(2027-01-15 08:00 UTC);
const KEYS: &[u8] = include_bytes!("../seeds/issuers/keys");
const RS256: &str = include_str!("../seeds/oidc/rs256");
const ES256: &str = include_str!("../seeds/oidc/es256");
const ES384: &str = include_str!("../seeds/oidc/es384");
static ISSUER: LazyLock<Issuer> =
    LazyLock::new(|| Issuer::new("https://login.example.com", None).unwrap());
static SETS: LazyLock<KeySets> = LazyLock::new(|| fuzzing::key_sets(&ISSUER, KEYS, NOW).unwrap());

fuzz_target!(|text: &str| {
    let (issuer, algorithms, longest_life) =
        (&*ISSUER, &[Rs256, Es256, Es384], Duration::from_secs(3600));
    let (audience, now, leeway, needs_jti) = ("ekiden", NOW, LEEWAY, false);
    let expected = Expected { issuer, audience, algorithms, now, leeway, longest_life, needs_jti };
    let token = compact(text);
    if let Ok(claims) = verify(&SETS, &token, &expected).now_or_never().unwrap() {
        let ever_signed = [RS256, ES256, ES384].map(|seed| signed(&compact(seed)));
        assert!(ever_signed.contains(&signed(&token)), "{claims:?}");
    }
});

fn compact(text: &str) -> String {
    let parts = text.splitn(3, '\n').collect::<Vec<_>>();
    let [header, claims, signature] = parts[..] else { return text.to_owned() };
    format!("{}.{}.{signature}", BASE64.encode(header), BASE64.encode(claims))
}

fn signed(token: &str) -> Option<String> {
    token.rsplit_once('.').map(|(signed, _)| signed.to_owned())
}
