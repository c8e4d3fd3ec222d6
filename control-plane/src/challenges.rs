//! Challenges: what a proof of AWS identity must be about, so that it counts for one key, one fleet, once, for a minute.
use aws_lc_rs::{
    digest::{SHA256, digest},
    hmac,
    rand::{SecureRandom, SystemRandom},
};
use time::{Duration, OffsetDateTime};

use crate::{error::Error, names::FleetName};

/// How long a nonce counts.
const LIFE: Duration = Duration::seconds(60);
const RANDOM: usize = 16;
const TIME: usize = 8;
const TAG: usize = 32;

/// Makes and checks nonces; every replica holds the same key, so none has to remember what it gave.
pub struct Challenges {
    key: hmac::Key,
}

/// A nonce just made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nonce {
    /// 16 random bytes, the end in seconds since 1970 (8 bytes, big-endian), and an HMAC-SHA-256 over them, the fleet
    /// and the key; opaque to relays.
    pub bytes: Vec<u8>,
    /// When it ends.
    pub expires_at: OffsetDateTime,
}

/// A nonce that was shown and is good; whether it has served is for the database to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// SHA-256 of it.
    pub digest: [u8; 32],
    /// When it ends.
    pub expires_at: OffsetDateTime,
}

impl Challenges {
    /// Challenges under this key.
    pub fn new(key: &[u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    /// A nonce for a relay that wants to join `fleet` with the key whose SubjectPublicKeyInfo (DER) this is.
    ///
    /// # Errors
    /// [`Error::Internal`] when there is no randomness.
    pub fn issue(
        &self,
        fleet: &FleetName,
        public_key: &[u8],
        now: OffsetDateTime,
    ) -> Result<Nonce, Error> {
        let expires_at = now + LIFE;
        let mut bytes = vec![0; RANDOM];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| Error::Internal(anyhow::anyhow!("there is no randomness")))?;
        bytes.extend_from_slice(&expires_at.unix_timestamp().to_be_bytes());
        let tag = hmac::sign(&self.key, &message(&bytes, fleet, public_key));
        bytes.extend_from_slice(tag.as_ref());
        Ok(Nonce { bytes, expires_at })
    }

    /// Checks a nonce that was given for this fleet and key.
    ///
    /// # Errors
    /// [`Error::Refused`]: `CHALLENGE_UNKNOWN`, also for another fleet or key, or `CHALLENGE_EXPIRED`.
    pub fn check(
        &self,
        nonce: &[u8],
        fleet: &FleetName,
        public_key: &[u8],
        now: OffsetDateTime,
    ) -> Result<Shown, Error> {
        let unknown = || {
            Error::Refused {
            reason: "CHALLENGE_UNKNOWN",
            description:
                "the nonce is none that this control plane gave for this fleet and this key: call CreateChallenge again"
                    .to_owned(),
        }
        };
        if nonce.len() != RANDOM + TIME + TAG {
            return Err(unknown());
        }
        let (begin, tag) = nonce.split_at(RANDOM + TIME);
        hmac::verify(&self.key, &message(begin, fleet, public_key), tag).map_err(|_| unknown())?;
        let seconds = begin.last_chunk::<TIME>().copied().map(i64::from_be_bytes);
        let expires_at = seconds
            .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
            .ok_or_else(unknown)?;
        if expires_at < now {
            return Err(Error::Refused {
                reason: "CHALLENGE_EXPIRED",
                description: "the nonce is more than a minute old: call CreateChallenge again"
                    .to_owned(),
            });
        }
        let mut shown = Shown { digest: [0; 32], expires_at };
        shown.digest.copy_from_slice(digest(&SHA256, nonce).as_ref());
        Ok(shown)
    }
}

fn message(begin: &[u8], fleet: &FleetName, public_key: &[u8]) -> Vec<u8> {
    let fleet = fleet.to_string();
    let mut message = b"ekiden/challenge/1".to_vec();
    message.extend_from_slice(begin);
    for part in [fleet.as_bytes(), public_key] {
        message.extend_from_slice(&(part.len() as u64).to_be_bytes());
        message.extend_from_slice(part);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(tenant: &str) -> FleetName {
        FleetName { tenant: tenant.to_owned(), fleet: "tokyo".to_owned() }
    }

    /// Reason of the refusal of a nonce for acme's key, after `bend`.
    fn refusal(bend: impl FnOnce(&mut Vec<u8>), after: Duration) -> String {
        let challenges = Challenges::new(&[7; 32]);
        let now = OffsetDateTime::UNIX_EPOCH + Duration::days(20_000);
        let mut nonce = challenges.issue(&fleet("acme"), b"key", now).unwrap();
        bend(&mut nonce.bytes);
        let checked = challenges.check(&nonce.bytes, &fleet("acme"), b"key", now + after);
        checked.err().map(|error| error.reason().to_owned()).unwrap_or_default()
    }

    #[test]
    fn a_nonce_counts_for_a_minute() {
        assert_eq!(refusal(|_| {}, Duration::ZERO), "");
        assert_eq!(refusal(|_| {}, Duration::seconds(60)), "");
        assert_eq!(refusal(|_| {}, Duration::seconds(61)), "CHALLENGE_EXPIRED");
    }

    #[test]
    fn a_nonce_that_was_bent_anywhere_is_unknown() {
        for at in 0..RANDOM + TIME + TAG {
            assert_eq!(refusal(|n| n[at] ^= 1, Duration::ZERO), "CHALLENGE_UNKNOWN", "{at}");
        }
        assert_eq!(refusal(|n| n.truncate(55), Duration::ZERO), "CHALLENGE_UNKNOWN");
        assert_eq!(refusal(|n| n.push(0), Duration::ZERO), "CHALLENGE_UNKNOWN");
        assert_eq!(refusal(Vec::clear, Duration::ZERO), "CHALLENGE_UNKNOWN");
    }

    #[test]
    fn a_nonce_of_another_fleet_key_or_control_plane_is_unknown() {
        let challenges = Challenges::new(&[7; 32]);
        let now = OffsetDateTime::UNIX_EPOCH;
        let nonce = challenges.issue(&fleet("acme"), b"key", now).unwrap().bytes;
        challenges.check(&nonce, &fleet("acme"), b"key", now).unwrap();
        for (other, fleet, key) in [
            (&challenges, fleet("globex"), b"key".as_slice()),
            (&challenges, fleet("acme"), b"kez"),
            (&Challenges::new(&[8; 32]), fleet("acme"), b"key"),
        ] {
            assert_eq!(
                other.check(&nonce, &fleet, key, now).unwrap_err().reason(),
                "CHALLENGE_UNKNOWN"
            );
        }
        assert_ne!(challenges.issue(&fleet("acme"), b"key", now).unwrap().bytes, nonce);
    }
}
