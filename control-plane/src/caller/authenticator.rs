//! Checks API tokens against the database, through a memory of one second, and logins by their issuer's keys.
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::time::{Duration, Instant};
use uuid::Uuid;

use super::{
    Role, actor,
    logins::{Logins, is_login},
    pace::{Attempts, Calls},
};
use crate::{
    app::App,
    clock::Clock,
    error::Error,
    store::{
        api_tokens::{self, Credential},
        scope::{Scope, ScopedPool},
    },
    tokens::{Kind, Presented},
};

/// How long an answer of the database is believed; a revoked token ends within it on every replica.
const BELIEVED_FOR: Duration = Duration::from_secs(1);
/// Tokens remembered at once; past it the memory is emptied.
const REMEMBERED: usize = 4096;
/// How often the use of a token is noted.
const USE_NOTED_EVERY: time::Duration = time::Duration::minutes(1);

/// Turns a credential's text into who holds it, and keeps everyone to their pace.
pub struct Authenticator {
    pool: ScopedPool,
    clock: Clock,
    logins: Option<Arc<Logins>>,
    remembered: Mutex<HashMap<Uuid, Remembered>>,
    calls: Calls,
    attempts: Attempts,
    refused: AtomicU64,
}

/// Who holds a credential that proved good.
#[derive(Clone)]
pub(super) struct Principal {
    /// As audit events name it.
    pub(super) actor: String,
    pub(super) role: Role,
    pub(super) tenant: Option<String>,
}

/// What a caller showed.
enum Shown<'a> {
    ApiToken(Presented),
    Login(&'a str),
    Neither,
}

#[derive(Clone)]
struct Remembered {
    credential: Option<Credential>,
    read_at: Instant,
}

impl Authenticator {
    /// Checks against this process's database and issuer.
    pub fn new(app: &App) -> Self {
        let clock = || app.clock.clone();
        Self {
            pool: app.pool.clone(),
            clock: clock(),
            logins: app.logins.clone(),
            remembered: Mutex::default(),
            calls: Calls::new(app.settings.calls_per_second, clock()),
            attempts: Attempts::new(app.settings.attempts_per_second, clock()),
            refused: AtomicU64::new(0),
        }
    }

    /// How many calls were refused for their credential so far.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Forgets a token, so that its next use asks the database.
    pub fn forget(&self, id: Uuid) {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Whoever holds the credential, unless it calls too fast, or its address has failed too often with others.
    pub(super) async fn authenticate(&self, text: &str, from: IpAddr) -> Result<Principal, Error> {
        let shown = match Presented::parse(Kind::Api, text) {
            Some(presented) => Shown::ApiToken(presented),
            None if is_login(text) => Shown::Login(text),
            None => Shown::Neither,
        };
        // Who was good before is not held up by others at the same address.
        if !self.knows(&shown) {
            self.attempts.check(from)?;
        }
        let principal = match shown {
            Shown::ApiToken(presented) => self.holder(presented).await,
            Shown::Login(token) => self.login(token).await,
            Shown::Neither => Err(Error::Unauthenticated {
                reason: "TOKEN_MALFORMED",
                description: "the token is neither an API token, which begins with eka_, nor a JWT: pass it whole",
            }),
        };
        if let Err(error @ (Error::Unauthenticated { .. } | Error::Forbidden { .. })) = &principal {
            self.attempts.failed(from);
            self.refused.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(reason = error.reason(), "A call was refused for its credential");
        }
        let principal = principal?;
        self.calls.take(&principal.actor)?;
        Ok(principal)
    }

    fn knows(&self, shown: &Shown<'_>) -> bool {
        match shown {
            Shown::ApiToken(presented) => {
                let all = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
                let credential = all.get(&presented.id).and_then(|r| r.credential.as_ref());
                credential.is_some_and(|credential| presented.matches(&credential.secret_hash))
            }
            Shown::Login(token) => self.logins.as_ref().is_some_and(|logins| logins.knows(token)),
            Shown::Neither => false,
        }
    }

    async fn login(&self, token: &str) -> Result<Principal, Error> {
        let Some(logins) = &self.logins else {
            return Err(Error::Unauthenticated {
                reason: "LOGINS_NOT_OFFERED",
                description: "this control plane takes no logins, only API tokens: those begin with eka_",
            });
        };
        logins.principal(token).await
    }

    /// Whoever holds an API token. A wrong secret and an unknown id give the same answer after the same comparison.
    async fn holder(&self, presented: Presented) -> Result<Principal, Error> {
        let credential = self.credential(presented.id).await?;
        let hash = credential.as_ref().map_or(&[0; 32][..], |c| &c.secret_hash);
        let matches = presented.matches(hash);
        let Some(credential) = credential.filter(|_| matches) else {
            return Err(Error::Unauthenticated {
                reason: "TOKEN_INVALID",
                description: "the API token is not valid",
            });
        };
        let now = self.clock.now();
        if credential.revoked_at.is_some() || credential.expires_at <= now {
            return Err(Error::Unauthenticated {
                reason: "TOKEN_ENDED",
                description: "the API token has expired or was revoked: ask an operator for a new one",
            });
        }
        let Some(role) = Role::parse(&credential.role) else {
            return Err(Error::Internal(anyhow::anyhow!(
                "a token has a role this version does not know"
            )));
        };
        self.note_use(presented.id, &credential, now).await;
        Ok(Principal { actor: actor(presented.id), role, tenant: credential.tenant_id })
    }

    async fn credential(&self, id: Uuid) -> Result<Option<Credential>, Error> {
        let remembered = {
            let all = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
            all.get(&id).filter(|r| r.read_at.elapsed() < BELIEVED_FOR).cloned()
        };
        if let Some(remembered) = remembered {
            return Ok(remembered.credential);
        }
        // Taken before the read: a revocation that commits after it bites within the second.
        let read_at = Instant::now();
        let mut db = self.pool.begin(&Scope::Provider).await?;
        let credential = api_tokens::credential(&mut db, id).await?;
        let mut all = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(id, Remembered { credential: credential.clone(), read_at });
        Ok(credential)
    }

    /// Writes `last_used_at` at most once a minute; a database that cannot write just now does not fail the call.
    async fn note_use(&self, id: Uuid, credential: &Credential, now: time::OffsetDateTime) {
        let since = now - USE_NOTED_EVERY;
        if credential.last_used_at.is_some_and(|at| at > since) {
            return;
        }
        let noted = async {
            let mut db = self.pool.begin(&Scope::Provider).await?;
            api_tokens::touch(&mut db, id, now, since).await?;
            Ok::<_, Error>(db.commit().await?)
        };
        match noted.await {
            Ok(()) => {
                let mut all = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(Remembered { credential: Some(credential), .. }) = all.get_mut(&id) {
                    credential.last_used_at = Some(now);
                }
            }
            Err(error) => tracing::info!(
                error = error.to_string(),
                "The use of an API token could not be noted"
            ),
        }
    }
}
