//! Checks API tokens against the database, through a memory of one second.
use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::time::{Duration, Instant};
use uuid::Uuid;

use super::Role;
use crate::{
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

/// Turns a token's text into who holds it.
pub struct Authenticator {
    pool: ScopedPool,
    clock: Clock,
    remembered: Mutex<HashMap<Uuid, Remembered>>,
    refused: AtomicU64,
}

/// Who holds a token that proved good.
pub(super) struct Principal {
    pub(super) id: Uuid,
    pub(super) role: Role,
    pub(super) tenant: Option<String>,
}

#[derive(Clone)]
struct Remembered {
    credential: Option<Credential>,
    read_at: Instant,
}

impl Authenticator {
    /// Checks against this database.
    pub fn new(pool: ScopedPool, clock: Clock) -> Self {
        Self { pool, clock, remembered: Mutex::default(), refused: AtomicU64::new(0) }
    }

    /// How many calls were refused for their token so far.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Forgets a token, so that its next use asks the database.
    pub fn forget(&self, id: Uuid) {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// Whoever holds the token. A wrong secret and an unknown id give the same answer after the same comparison.
    pub(super) async fn authenticate(&self, text: &str) -> Result<Principal, Error> {
        let Some(presented) = Presented::parse(Kind::Api, text) else {
            return Err(self.refuse(
                "TOKEN_MALFORMED",
                "the token is no API token: those begin with eka_ and are passed whole",
            ));
        };
        let credential = self.credential(presented.id).await?;
        let hash = credential.as_ref().map_or(&[0; 32][..], |c| &c.secret_hash);
        let matches = presented.matches(hash);
        let Some(credential) = credential.filter(|_| matches) else {
            return Err(self.refuse("TOKEN_INVALID", "the API token is not valid"));
        };
        let now = self.clock.now();
        if credential.revoked_at.is_some() || credential.expires_at <= now {
            return Err(self.refuse(
                "TOKEN_ENDED",
                "the API token has expired or was revoked: ask an operator for a new one",
            ));
        }
        let Some(role) = Role::parse(&credential.role) else {
            return Err(Error::Internal(anyhow::anyhow!(
                "a token has a role this version does not know"
            )));
        };
        self.note_use(presented.id, &credential, now).await;
        Ok(Principal { id: presented.id, role, tenant: credential.tenant_id })
    }

    fn refuse(&self, reason: &'static str, description: &'static str) -> Error {
        self.refused.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(reason, "A call was refused for its API token");
        Error::Unauthenticated { reason, description }
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
