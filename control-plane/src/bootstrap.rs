//! What the first start makes and every later one finds: keys of the server's own, and one operator token.
use anyhow::Context;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use secrecy::SecretString;
use time::Duration;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    audit_log::{self, AuditLog},
    clock::Clock,
    store::{
        api_tokens::{self, ApiTokenRow},
        databases,
        scope::{Scope, ScopedPool},
        server_secrets,
    },
    tokens::{self, Kind},
    vault::Vault,
};

/// How long the first token lasts; time enough to make others.
const TOKEN_LIFE: Duration = Duration::days(90);

/// The server's key of this name, 32 random bytes, made by whichever replica asks first.
///
/// # Errors
/// The database does not answer, or the secret there opens under another master key only.
pub async fn server_key(
    pool: &ScopedPool,
    vault: &Vault,
    clock: &Clock,
    name: &str,
) -> anyhow::Result<Zeroizing<[u8; 32]>> {
    let random = || {
        let mut random = Zeroizing::new(vec![0; 32]);
        let filled = SystemRandom::new().fill(random.as_mut_slice());
        filled.map_err(|_| anyhow::anyhow!("no randomness"))?;
        Ok(random)
    };
    let opened = server_secret(pool, vault, clock, name, random).await?;
    let mut key = Zeroizing::new([0; 32]);
    anyhow::ensure!(opened.len() == key.len(), "the server's key {name} has a wrong length");
    key.copy_from_slice(&opened);
    Ok(key)
}

/// The audit log under its signing key.
///
/// # Errors
/// As [`server_key`].
pub async fn audit_log(
    pool: &ScopedPool,
    vault: &Vault,
    clock: &Clock,
) -> anyhow::Result<AuditLog> {
    AuditLog::new(&server_secret(pool, vault, clock, "audit_signing", audit_log::new_key).await?)
}

async fn server_secret(
    pool: &ScopedPool,
    vault: &Vault,
    clock: &Clock,
    name: &str,
    make: impl FnOnce() -> anyhow::Result<Zeroizing<Vec<u8>>>,
) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let place = format!("server_secrets/{name}");
    let mut found = server_secrets::find(&mut *pool.begin(&Scope::Provider).await?, name).await?;
    if found.is_none() {
        let sealed = vault.seal(&place, &make()?).await?;
        let mut db = pool.begin(&Scope::Provider).await?;
        server_secrets::insert(&mut db, name, &sealed, clock.now()).await?;
        found = server_secrets::find(&mut db, name).await?;
        db.commit().await?;
    }
    let sealed = found.context("a secret that was just written is not there")?;
    vault
        .open(&place, &sealed)
        .await
        .with_context(|| format!("the server's key {name} cannot be opened"))
}

/// The text of the first operator token, on the first start only.
///
/// # Errors
/// The database does not answer.
pub async fn first_operator_token(
    pool: &ScopedPool,
    audit: &AuditLog,
    clock: &Clock,
) -> anyhow::Result<Option<SecretString>> {
    let now = clock.now();
    let mut transaction = pool.begin(&Scope::Provider).await?;
    // Of several replicas that start at once, one makes it.
    databases::one_at_a_time(&mut transaction, "first operator token").await?;
    if !api_tokens::list(&mut transaction, None, 1).await?.is_empty() {
        return Ok(None);
    }
    let id = Uuid::now_v7();
    let minted = tokens::mint(Kind::Api, id, &SystemRandom::new())?;
    let token = ApiTokenRow {
        api_token_id: id,
        tenant_id: None,
        role: "operator".to_owned(),
        display_name: "made by the first start".to_owned(),
        created_at: now,
        expires_at: now + TOKEN_LIFE,
        revoked_at: None,
        last_used_at: None,
    };
    api_tokens::insert(&mut transaction, &token, &minted.secret_hash).await?;
    let event = audit_log::Event {
        tenant: None,
        actor: "controlPlane",
        peer: "",
        method: "first start",
        resource: &format!("apiTokens/{id}"),
        changed_fields: &[],
        trace_id: "",
        at: now,
    };
    audit.record(&mut transaction, event).await?;
    transaction.commit().await?;
    Ok(Some(minted.text))
}
