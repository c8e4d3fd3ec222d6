//! Token texts: `eka_<id>_<secret>` (API) and `ekr_<id>_<secret>` (enrollment); shown once, hashed at rest.
use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::SecureRandom,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use secrecy::SecretString;
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::error::Error;

/// Length of a secret, bytes.
const SECRET_LEN: usize = 32;

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Operators call the admin API with it.
    Api,
    /// Relays enroll with it.
    Enrollment,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Api => "eka_",
            Self::Enrollment => "ekr_",
        }
    }
}

/// A token just made.
pub struct Minted {
    /// Its text, to be shown once.
    pub text: SecretString,
    /// SHA-256 of its secret: all that is stored.
    pub secret_hash: [u8; 32],
}

/// Makes a token of 256 random bits.
///
/// # Errors
/// [`Error::Internal`] when there is no randomness.
pub fn mint(kind: Kind, id: Uuid, random: &dyn SecureRandom) -> Result<Minted, Error> {
    let mut secret = Zeroizing::new([0; SECRET_LEN]);
    random
        .fill(secret.as_mut_slice())
        .map_err(|_| Error::Internal(anyhow::anyhow!("the operating system gave no randomness")))?;
    let encoded = Zeroizing::new(URL_SAFE_NO_PAD.encode(secret.as_slice()));
    let text = format!("{}{}_{}", kind.prefix(), id.simple(), encoded.as_str());
    Ok(Minted { text: text.into(), secret_hash: hash(secret.as_slice()) })
}

/// A token as someone showed it: well formed, not yet believed.
#[derive(Clone, Copy, Debug)]
pub struct Presented {
    /// Id of the row to compare with.
    pub id: Uuid,
    secret_hash: [u8; 32],
}

impl Presented {
    /// Reads a token's text; none when it is no text of this kind.
    pub fn parse(kind: Kind, text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(kind.prefix())?.split_once('_')?;
        let id = Uuid::try_parse(id).ok()?;
        let secret = Zeroizing::new(URL_SAFE_NO_PAD.decode(secret).ok()?);
        (secret.len() == SECRET_LEN).then(|| Self { id, secret_hash: hash(&secret) })
    }

    /// Whether the secret is the one that was hashed, in a time that does not depend on where they differ.
    pub fn matches(&self, stored_hash: &[u8]) -> bool {
        self.secret_hash.ct_eq(stored_hash).into()
    }
}

fn hash(secret: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, secret).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn a_minted_token_reads_back_and_matches_its_own_hash_only() {
        let id = Uuid::now_v7();
        let (a, b) = (
            mint(Kind::Enrollment, id, &SystemRandom::new()).unwrap(),
            mint(Kind::Enrollment, id, &SystemRandom::new()).unwrap(),
        );
        let shown = Presented::parse(Kind::Enrollment, a.text.expose_secret()).unwrap();
        assert_eq!(shown.id, id);
        assert!(
            shown.matches(&a.secret_hash) && !shown.matches(&b.secret_hash) && !shown.matches(&[])
        );
        assert!(Presented::parse(Kind::Api, a.text.expose_secret()).is_none());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "(eka_|ekr_)?.{0,120}") {
            prop_assert!(Presented::parse(Kind::Api, &text).is_none_or(|p| !p.matches(&[])));
        }

        #[test]
        fn a_changed_character_never_matches(at in 0..80_usize, to in "[a-zA-Z0-9_-]") {
            let minted = mint(Kind::Api, Uuid::nil(), &SystemRandom::new()).unwrap();
            let mut text = minted.text.expose_secret().to_owned();
            prop_assume!(at >= 37 && text.is_char_boundary(at) && at < text.len() && text[at..=at] != to);
            text.replace_range(at..=at, &to);
            prop_assert!(Presented::parse(Kind::Api, &text).is_none_or(|p| !p.matches(&minted.secret_hash)));
        }
    }
}
