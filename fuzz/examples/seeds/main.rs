//! Writes `seeds/` anew: small valid inputs of every target. The keys that sign them are forgotten.
use std::{fs, path::Path};

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        EcdsaSigningAlgorithm, KeyPair as _, RSA_PKCS1_SHA256,
    },
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
// Brings the counters' runtime.
use libfuzzer_sys as _;
use serde_json::{Value, json};

mod certificates;
mod messages;

/// Writes one seed.
fn seed(target: &str, name: &str, content: impl AsRef<[u8]>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(name), content).unwrap();
}

fn main() {
    tokens();
    proofs();
    names();
    certificates::write();
    messages::write();
}

/// Signs the bytes of a token.
type Signer<'a> = &'a dyn Fn(&[u8]) -> Vec<u8>;

fn tokens() {
    let random = SystemRandom::new();
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let ec = |way: &'static EcdsaSigningAlgorithm| EcdsaKeyPair::generate(way).unwrap();
    let p256 = ec(&ECDSA_P256_SHA256_FIXED_SIGNING);
    let p384 = ec(&ECDSA_P384_SHA384_FIXED_SIGNING);
    let of_rsa = |bytes: &[u8]| {
        let mut signature = vec![0; rsa.public_modulus_len()];
        rsa.sign(&RSA_PKCS1_SHA256, &random, bytes, &mut signature).unwrap();
        signature
    };
    let of_p256 = |bytes: &[u8]| p256.sign(&random, bytes).unwrap().as_ref().to_vec();
    let of_p384 = |bytes: &[u8]| p384.sign(&random, bytes).unwrap().as_ref().to_vec();
    let role = json!({
        "iss": "https://login.example.com", "aud": "ekiden", "iat": 1_800_000_000, "exp": 1_800_000_300,
        "sub": "arn:aws:iam::123456789012:role/relays/edge", "jti": "0b6bd2a0-6d7b-4b5e-8a53-0f4c2f0a7c11",
        "https://sts.amazonaws.com/": {
            "aws_account": "123456789012", "org_id": "o-a1b2c3d4e5", "ou_path": "o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/",
            "request_tags": { "ekiden-challenge": "ResgbIXDR1YWcfWTXbSJUixL4L6T5yhYLjxtbCfGNSk" },
        },
    });
    let person = json!({
        "iss": "https://login.example.com", "aud": ["ekiden"], "iat": 1_800_000_000, "nbf": 1_800_000_000,
        "exp": 1_800_000_300, "sub": "ann", "groups": ["operators"], "email_verified": true, "n": 1.5,
    });
    let ways: [(&str, &Value, Signer<'_>); 3] =
        [("rs256", &role, &of_rsa), ("es256", &person, &of_p256), ("es384", &person, &of_p384)];
    for (kid, claims, sign) in ways {
        let header = json!({ "alg": kid.to_uppercase(), "typ": "JWT", "kid": kid }).to_string();
        let claims = claims.to_string();
        let signed = format!("{}.{}", BASE64.encode(&header), BASE64.encode(&claims));
        let signature = BASE64.encode(sign(signed.as_bytes()));
        seed("oidc", kid, format!("{header}\n{claims}\n{signature}"));
        seed("oidc", &format!("{kid}-compact"), format!("{signed}.{signature}"));
    }
    let point = |key: &EcdsaKeyPair, kid: &str, curve: &str| {
        let (x, y) = key.public_key().as_ref()[1..].split_at(key.public_key().as_ref().len() / 2);
        json!({ "kty": "EC", "kid": kid, "use": "sig", "crv": curve, "x": BASE64.encode(x), "y": BASE64.encode(y) })
    };
    let (n, e) = (rsa.public_key().modulus(), rsa.public_key().exponent());
    let (n, e) = (n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero());
    let (n, e) = (BASE64.encode(n), BASE64.encode(e));
    let rsa = json!({ "kty": "RSA", "kid": "rs256", "alg": "RS256", "key_ops": ["verify"], "n": n, "e": e });
    let keys =
        json!({ "keys": [rsa, point(&p256, "es256", "P-256"), point(&p384, "es384", "P-384")] });
    seed("issuers", "keys", keys.to_string());
    seed("issuers", "role", role.to_string());
    seed(
        "issuers",
        "issuer",
        json!({ "sub": "https://login.example.com:8443/realms/one" }).to_string(),
    );
}

fn proofs() {
    let token = "IQoJb3JpZ2luX2VjEKIDEN+/-_token==";
    let signature = "75a0075e1b9af7089a6bd030cde91abc498a995669866f0f43e100e85223f2f4";
    for region in ["ap-northeast-1", "cn-north-1", "us-gov-west-1"] {
        let lines = [region, "20261123T120000Z", "ASIAEKIDENGOODRELAY1", token, signature];
        seed("sts", region, lines.join("\n"));
    }
    let result = json!({
        "Account": "123456789012", "UserId": "AROAEKIDENRELAYROLE01:0f3c1b5e",
        "Arn": "arn:aws:sts::123456789012:assumed-role/ekiden-relay/0f3c1b5e",
    });
    let answer = json!({ "GetCallerIdentityResponse": {
        "GetCallerIdentityResult": result, "ResponseMetadata": { "RequestId": "9f2a" },
    }});
    seed("sts", "answer", format!("200\n{answer}"));
    let refusal =
        json!({ "Error": { "Code": "ExpiredToken", "Type": "Sender" }, "RequestId": "9f2a" });
    seed("sts", "refusal", format!("403\n{refusal}"));
    seed("sts", "xml", "200\n<GetCallerIdentityResponse/>");
}

fn names() {
    let fleet = "tenants/acme/fleets/tokyo-1";
    let id = "019ab3c4-5d6e-7f80-9a1b-2c3d4e5f6071";
    seed("names", "tenant", "tenants/acme");
    seed("names", "access-key", "tenants/acme/accessKeys/vendor");
    seed("names", "collector", "tenants/acme/collectors/us4");
    seed("names", "revision", format!("{fleet}/revisions/7"));
    seed("names", "relay", format!("{fleet}/relays/{id}"));
    seed("names", "enrollment-token", format!("{fleet}/enrollmentTokens/{id}"));
    seed("names", "enrollment-rule", format!("{fleet}/enrollmentRules/edge"));
    seed("names", "api-token", format!("apiTokens/{id}"));
    seed("names", "any", "tenants/-/fleets/-");
    let secret = "A".repeat(43);
    seed("names", "api", format!("eka_{}_{secret}", id.replace('-', "")));
    seed("names", "enrollment", format!("ekr_{}_{secret}", id.replace('-', "")));
    seed("names", "page", messages::page());
}
