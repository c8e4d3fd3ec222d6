//! Transactions: begun by name, repeated where the database asks for it.
use sqlx::Postgres;

use crate::error::Error;

/// How often a transaction is tried in all.
const TRIES: u32 = 5;

/// A transaction under way; all that its body borrows lives for `'env`.
pub type Transaction<'env> = sqlx::Transaction<'env, Postgres>;

/// Runs `transaction`, from begin to commit, and again when the database gave it up for another's sake (serialization
/// failure, deadlock): five times in all. `name` is for the log.
///
/// # Errors
/// What the last try said.
pub async fn retry<T, F>(name: &str, transaction: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut tries = 1;
    loop {
        match transaction().await {
            Err(error) if tries < TRIES && gave_way(&error) => {
                tries += 1;
                tracing::info!(
                    transaction = name,
                    tries,
                    "A transaction gave way to another and is repeated"
                );
            }
            outcome => return outcome,
        }
    }
}

fn gave_way(error: &Error) -> bool {
    let Error::Unavailable { source: Some(source), .. } = error else { return false };
    let Some(sqlx::Error::Database(error)) = source.downcast_ref::<sqlx::Error>() else {
        return false;
    };
    error.code().is_some_and(|code| code == "40001" || code == "40P01")
}
