//! Logins of operators by OIDC: tokens of one configured issuer, whose claims give a role.
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use rustls_pki_types::CertificateDer;
use time::OffsetDateTime;

use super::{authenticator::Principal, role_rules::RoleRules};
use crate::{
    clock::Clock,
    error::Error,
    https::{Https, roots},
    oidc::{Algorithm, Claims, Expected, Issuer, KeySets, LEEWAY, verify},
};

mod refusal;

/// How long a login may last from its issue to its end.
const LONGEST_LIFE: Duration = Duration::from_secs(24 * 3600);
/// How long a verified login is believed without verifying it again.
const BELIEVED_FOR: time::Duration = time::Duration::seconds(60);
/// Logins remembered at once; past it those not believed any more go, then all.
const REMEMBERED: usize = 4096;
/// Longest subject, bytes: OpenID Connect Core 1.0, section 2.
const LONGEST_SUBJECT: usize = 255;
const ALGORITHMS: &[Algorithm] = &[Algorithm::Rs256, Algorithm::Es256, Algorithm::Es384];

/// Whose logins count, and what for.
#[derive(Clone, Debug)]
pub struct LoginSettings {
    /// Who issues them.
    pub issuer: Issuer,
    /// Whom they must be meant for.
    pub audience: String,
    /// Which role they have.
    pub roles: RoleRules,
    /// Roots that the issuer's certificate may lead to, beside those of the machine.
    pub roots: Vec<CertificateDer<'static>>,
}

/// Verifies logins, through a memory of a minute.
pub struct Logins {
    settings: LoginSettings,
    sets: KeySets,
    clock: Clock,
    remembered: Mutex<HashMap<[u8; 32], Remembered>>,
}

#[derive(Clone)]
struct Remembered {
    principal: Principal,
    since: OffsetDateTime,
    until: OffsetDateTime,
}

impl Logins {
    /// Asks the issuer for nothing before somebody logs in.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn new(settings: LoginSettings, clock: Clock) -> anyhow::Result<Self> {
        let sets = KeySets::new(Https::new(roots(&settings.roots), &[])?, clock.clone());
        tracing::info!(issuer.url = settings.issuer.url(), "Operators may log in by OIDC");
        Ok(Self { settings, sets, clock, remembered: Mutex::default() })
    }

    /// Tells whether this very token was good before.
    pub(super) fn knows(&self, token: &str) -> bool {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&key(token))
    }

    /// Who is logged in with a token.
    pub(super) async fn principal(&self, token: &str) -> Result<Principal, Error> {
        let (key, now) = (key(token), self.clock.now());
        if let Some(principal) = self.recall(&key, now) {
            return Ok(principal);
        }
        let expected = Expected {
            issuer: &self.settings.issuer,
            audience: &self.settings.audience,
            algorithms: ALGORITHMS,
            now,
            leeway: LEEWAY,
            longest_life: LONGEST_LIFE,
            needs_jti: false,
        };
        let claims = verify(&self.sets, token, &expected).await.map_err(refusal::to_error)?;
        let actor = self.actor(&claims)?;
        let grant = self.settings.roles.grant(&actor, &claims.payload)?;
        let principal = Principal { actor, role: grant.role, tenant: grant.tenant };
        let until = claims.exp.min(now + BELIEVED_FOR);
        self.remember(key, Remembered { principal: principal.clone(), since: now, until });
        Ok(principal)
    }

    /// The subject as audit events carry it; it goes into logs, rows and answers as it is.
    fn actor(&self, claims: &Claims) -> Result<String, Error> {
        let printable = claims.sub.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if claims.sub.len() > LONGEST_SUBJECT || !printable {
            return Err(Error::Unauthenticated {
                reason: "LOGIN_SUBJECT_REFUSED",
                description: "the login's sub is not a text of 1 to 255 printable ASCII characters, as OpenID Connect has it: have the issuer name its users otherwise",
            });
        }
        Ok(format!("oidc/{}/{}", self.settings.issuer.host(), claims.sub))
    }

    fn recall(&self, key: &[u8; 32], now: OffsetDateTime) -> Option<Principal> {
        let all = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(key).filter(|r| r.is_believed(now)).map(|r| r.principal.clone())
    }

    fn remember(&self, key: [u8; 32], one: Remembered) {
        let mut all = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED {
            all.retain(|_, other| other.is_believed(one.since));
        }
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(key, one);
    }
}

impl Remembered {
    /// A clock that was set back does not make it count for longer.
    fn is_believed(&self, now: OffsetDateTime) -> bool {
        self.since <= now && now < self.until
    }
}

/// Tells whether a bearer can be a login: three parts, joined by dots.
pub(super) fn is_login(text: &str) -> bool {
    text.bytes().filter(|byte| *byte == b'.').count() == 2
}

fn key(token: &str) -> [u8; 32] {
    let mut key = [0; 32];
    key.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    key
}

#[cfg(test)]
mod tests;
