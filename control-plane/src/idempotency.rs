//! Request ids: a repeat of the same call gets the first answer again.
use aws_lc_rs::digest::{SHA256, digest};
use sqlx::PgConnection;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use crate::{
    caller::Caller,
    error::Error,
    fingerprints::FingerprintKey,
    store::idempotent_requests::{self, Claim, RequestKey},
};

/// How long an answer is kept.
const KEPT_FOR: Duration = Duration::hours(24);

/// One call that carries a request id.
pub struct Idempotent {
    id: Uuid,
    /// Of the whole request. Keyed, because a request may hold an access key.
    hash: [u8; 32],
}

impl Idempotent {
    /// Reads a request id; none when it is empty.
    ///
    /// # Errors
    /// [`Error::Invalid`] on `request_id` when it is no UUID.
    pub fn read(
        request_id: &str,
        request: &[u8],
        fingerprints: &FingerprintKey,
    ) -> Result<Option<Self>, Error> {
        if request_id.is_empty() {
            return Ok(None);
        }
        let id = Uuid::try_parse(request_id).map_err(|_| {
            Error::invalid("request_id", "it is no UUID, e.g. 01920f6e-5a3c-7a51-b9d3-0a6f1c2e4b87")
        })?;
        let hash = fingerprints.digest(digest(&SHA256, request).as_ref());
        Ok(Some(Self { id, hash }))
    }

    /// Takes the id for this transaction; the earlier answer when there is one. A call with the same id that is still
    /// under way is waited for.
    ///
    /// # Errors
    /// [`Error::Invalid`] on `request_id` when another request had it.
    pub async fn claim(
        &self,
        db: &mut PgConnection,
        caller: &Caller,
        now: OffsetDateTime,
    ) -> Result<Option<Vec<u8>>, Error> {
        idempotent_requests::forget_before(db, now - KEPT_FOR).await?;
        match idempotent_requests::claim(db, self.key(caller), &self.hash, now).await? {
            Claim::Taken => Ok(None),
            Claim::Answered { request_hash, response } if request_hash == self.hash => {
                Ok(Some(response))
            }
            Claim::Answered { .. } => Err(Error::invalid(
                "request_id",
                "another request was made under this id in the last 24 hours: take a new id",
            )),
        }
    }

    /// Keeps the answer.
    ///
    /// # Errors
    /// What the database says.
    pub async fn keep(
        &self,
        db: &mut PgConnection,
        caller: &Caller,
        response: &[u8],
    ) -> Result<(), Error> {
        idempotent_requests::answer(db, self.key(caller), response).await
    }

    fn key<'a>(&self, caller: &'a Caller) -> RequestKey<'a> {
        RequestKey { caller: &caller.actor, method: &caller.method, request_id: self.id }
    }
}
