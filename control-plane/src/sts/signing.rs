//! A relay of the tests: signs, honestly or not, and writes its canonical request itself.
use super::{
    ProofFields, challenge,
    sigv4::{Scope, sha256, signature},
    stand_in::{Credential, GOOD, Received},
};

pub(super) const AUDIENCE: &str = "https://ekiden.example:8443";
pub(super) const TENANT: &str = "tenants/acme";
pub(super) const NONCE: &[u8] = b"nonce-of-one-minute";
pub(super) const DATE: &str = "20261123T120000Z";

/// A key as a relay's certificate request would carry it.
pub(super) fn spki() -> Vec<u8> {
    (0..91).collect()
}

/// The challenge that the control plane expects.
pub(super) fn expected() -> String {
    challenge(NONCE, &spki(), AUDIENCE, TENANT)
}

/// What a relay signs.
#[derive(Clone)]
pub(super) struct Signing {
    pub(super) by: Credential,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) query: &'static str,
    /// In the order of their names; all of them are signed.
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: &'static str,
    pub(super) day: &'static str,
    pub(super) region: &'static str,
    pub(super) service: &'static str,
}

impl Signing {
    /// What this relay should sign.
    pub(super) fn good(by: Credential, region: &'static str, host: &str) -> Self {
        let headers = vec![
            ("content-type", "application/x-www-form-urlencoded; charset=utf-8".to_owned()),
            ("host", host.to_owned()),
            ("x-amz-date", DATE.to_owned()),
            ("x-amz-security-token", by.token.to_owned()),
            ("x-ekiden-audience", AUDIENCE.to_owned()),
            ("x-ekiden-challenge", expected()),
        ];
        Self {
            by,
            method: "POST",
            path: "/",
            query: "",
            headers,
            body: "Action=GetCallerIdentity&Version=2011-06-15",
            day: "20261123",
            region,
            service: "sts",
        }
    }

    /// Signs this header with another value, or beside the others.
    pub(super) fn set(&mut self, name: &'static str, value: impl Into<String>) {
        self.unset(name);
        self.headers.push((name, value.into()));
        self.headers.sort();
    }

    /// Leaves this header out of the signature.
    pub(super) fn unset(&mut self, name: &str) {
        self.headers.retain(|(its, _)| *its != name);
    }

    /// Names of the signed headers.
    pub(super) fn signed_headers(&self) -> String {
        self.headers.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(";")
    }

    pub(super) fn scope(&self) -> Scope<'_> {
        Scope { day: self.day, region: self.region, service: self.service }
    }

    /// The signature, over a canonical request of its own making.
    pub(super) fn sign(&self) -> String {
        let lines: String =
            self.headers.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
        let canonical = format!(
            "{}\n{}\n{}\n{lines}\n{}\n{}",
            self.method,
            self.path,
            self.query,
            self.signed_headers(),
            sha256(self.body.as_bytes())
        );
        signature(self.by.secret, self.scope(), DATE, &canonical)
    }

    /// The request as the relay could send it itself.
    pub(super) fn request(&self) -> Received {
        let headers: Vec<_> =
            self.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Received::new(self.method, self.path, self.query, &headers, self.body)
    }

    /// What an honest relay sends of it.
    pub(super) fn sent(&self) -> Sent {
        Sent {
            region: self.region.to_owned(),
            amz_date: DATE.to_owned(),
            access_key_id: self.by.access_key_id.to_owned(),
            session_token: self.by.token.to_owned(),
            signature: self.sign(),
        }
    }
}

impl Default for Signing {
    fn default() -> Self {
        Self::good(GOOD, "ap-northeast-1", "sts.ap-northeast-1.amazonaws.com")
    }
}

/// What a relay sends.
#[derive(Clone)]
pub(super) struct Sent {
    pub(super) region: String,
    pub(super) amz_date: String,
    pub(super) access_key_id: String,
    pub(super) session_token: String,
    pub(super) signature: String,
}

impl Sent {
    pub(super) fn fields(&self) -> ProofFields<'_> {
        ProofFields {
            region: &self.region,
            amz_date: &self.amz_date,
            access_key_id: &self.access_key_id,
            session_token: &self.session_token,
            signature: &self.signature,
        }
    }
}

/// Computed by botocore 1.44.5's `SigV4Auth` for this request, key and token.
#[test]
fn the_relay_of_the_tests_signs_as_botocore_does() {
    assert_eq!(
        Signing::default().sign(),
        "75a0075e1b9af7089a6bd030cde91abc498a995669866f0f43e100e85223f2f4"
    );
}
