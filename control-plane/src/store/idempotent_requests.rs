//! Answers to calls that carried a request id.
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::error::Error;

/// What a request id belongs to.
#[derive(Clone, Copy, Debug)]
pub struct RequestKey<'a> {
    /// Who called.
    pub caller: &'a str,
    /// Full method.
    pub method: &'a str,
    /// The caller's id of the request.
    pub request_id: Uuid,
}

/// What became of a claim.
#[derive(Debug)]
pub enum Claim {
    /// The id is this transaction's.
    Taken,
    /// An earlier call had it.
    Answered {
        /// Hash of that call's request.
        request_hash: Vec<u8>,
        /// What it was answered.
        response: Vec<u8>,
    },
}

/// Takes a request id; waits for another transaction that is taking it.
///
/// # Errors
/// What the database says.
pub async fn claim(
    db: &mut PgConnection,
    key: RequestKey<'_>,
    request_hash: &[u8; 32],
    now: OffsetDateTime,
) -> Result<Claim, Error> {
    let taken = sqlx::query!(
        "insert into idempotent_requests (caller, method, request_id, request_hash, response, created_at)
         values ($1, $2, $3, $4, '', $5)
         on conflict do nothing",
        key.caller,
        key.method,
        key.request_id,
        request_hash.as_slice(),
        now
    )
    .execute(&mut *db)
    .await?;
    if taken.rows_affected() == 1 {
        return Ok(Claim::Taken);
    }
    let row = sqlx::query!(
        "select request_hash, response from idempotent_requests
         where caller = $1 and method = $2 and request_id = $3",
        key.caller,
        key.method,
        key.request_id
    )
    .fetch_one(db)
    .await?;
    Ok(Claim::Answered { request_hash: row.request_hash, response: row.response })
}

/// Keeps the answer to a claimed request.
///
/// # Errors
/// What the database says.
pub async fn answer(
    db: &mut PgConnection,
    key: RequestKey<'_>,
    response: &[u8],
) -> Result<(), Error> {
    sqlx::query!(
        "update idempotent_requests set response = $4
         where caller = $1 and method = $2 and request_id = $3",
        key.caller,
        key.method,
        key.request_id,
        response
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Drops up to 100 answers older than `time`: more than a call adds, so that they never pile up.
///
/// # Errors
/// What the database says.
pub async fn forget_before(db: &mut PgConnection, time: OffsetDateTime) -> Result<(), Error> {
    sqlx::query!(
        "delete from idempotent_requests where (caller, method, request_id) in (
            select caller, method, request_id from idempotent_requests
            where created_at < $1 order by created_at limit 100 for update skip locked
         )",
        time
    )
    .execute(db)
    .await?;
    Ok(())
}
