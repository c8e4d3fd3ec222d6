//! Relays, the write side: enrollment, renewal, sessions. Every write of a session carries its epoch; an older one changes nothing.
use ekiden_proto::relay::v1::RelayDescription;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::names::{EnrollmentRuleName, FleetName};

/// What an enrollment token allows.
#[derive(Clone, Debug)]
pub struct TokenToUse {
    /// Tenant of its fleet.
    pub tenant_id: String,
    /// Its fleet.
    pub fleet_id: String,
    /// SHA-256 of its secret.
    pub secret_hash: Vec<u8>,
    /// How many enrollments it allows.
    pub max_uses: i32,
    /// How many it has allowed.
    pub uses: i32,
    /// When it ends.
    pub expires_at: OffsetDateTime,
    /// When it was revoked.
    pub revoked_at: Option<OffsetDateTime>,
}

/// A token of a tenant that is not deleted, as it stands; others may use it at the same time.
///
/// # Errors
/// What the database says.
pub async fn token(db: &mut PgConnection, id: Uuid) -> Result<Option<TokenToUse>, sqlx::Error> {
    sqlx::query_as!(
        TokenToUse,
        "select e.tenant_id, e.fleet_id, e.secret_hash, e.max_uses, e.uses, e.expires_at, e.revoked_at
         from enrollment_tokens e join tenants t using (tenant_id)
         where e.enrollment_token_id = $1 and t.deleted_at is null",
        id
    )
    .fetch_optional(db)
    .await
}

/// Counts one use of a token; tells whether it still allowed one. Until the transaction ends, others that use it wait.
///
/// # Errors
/// What the database says.
pub async fn use_token(
    db: &mut PgConnection,
    id: Uuid,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update enrollment_tokens set uses = uses + 1
         where enrollment_token_id = $1 and uses < max_uses and revoked_at is null and expires_at > $2",
        id,
        now
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A certificate as it is remembered.
#[derive(Clone, Copy, Debug)]
pub struct Certified<'a> {
    /// CA that issued it.
    pub authority: Uuid,
    /// Serial number.
    pub serial: &'a [u8],
    /// When it ends.
    pub expires_at: OffsetDateTime,
}

/// What let a relay in.
#[derive(Clone, Debug)]
pub enum Admission {
    /// An enrollment token.
    Token(Uuid),
    /// A rule, and the AWS role that was proven.
    Rule {
        /// The rule.
        rule: EnrollmentRuleName,
        /// The role.
        aws_role_arn: String,
    },
}

/// Keeps a relay that has just enrolled; tells whether its fleet, and the rule that let it in, are still there.
///
/// # Errors
/// What the database says.
pub async fn insert(
    db: &mut PgConnection,
    fleet: &FleetName,
    id: Uuid,
    admission: &Admission,
    certified: Certified<'_>,
    description: &RelayDescription,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let (token, rule, role) = match admission {
        Admission::Token(token) => (Some(*token), None, ""),
        Admission::Rule { rule, aws_role_arn } => {
            (None, Some(rule.enrollment_rule.as_str()), aws_role_arn.as_str())
        }
    };
    let done = sqlx::query!(
        "insert into relays
            (tenant_id, fleet_id, relay_id, enrollment_token_id, enrollment_rule_id, aws_role_arn, certificate_serial,
             certificate_expires_at, certificate_authority_id, address, availability_zone, task_arn, hostname, software_version,
             enrolled_at)
         select f.tenant_id, f.fleet_id, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15
         from fleets f join tenants t using (tenant_id)
         where f.tenant_id = $1 and f.fleet_id = $2 and t.deleted_at is null
           and ($5::text is null or exists (select from enrollment_rules e
                where e.tenant_id = $1 and e.fleet_id = $2 and e.enrollment_rule_id = $5))
         for key share of f",
        fleet.tenant,
        fleet.fleet,
        id,
        token,
        rule,
        role,
        certified.serial,
        certified.expires_at,
        certified.authority,
        description.address,
        description.availability_zone,
        description.task_arn,
        description.hostname,
        description.software_version,
        now
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Remembers a renewed certificate beside the one it was asked with, which stays good until the new one is shown.
/// Tells whether the relay and its certificate are known.
///
/// # Errors
/// What the database says.
pub async fn renew(
    db: &mut PgConnection,
    fleet: &FleetName,
    id: Uuid,
    shown: &[u8],
    certified: Certified<'_>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update relays r
         set previous_certificate_serial = $4, certificate_serial = $5, certificate_expires_at = $6,
             previous_certificate_authority_id = case when r.certificate_serial = $4 then r.certificate_authority_id
                                                      else r.previous_certificate_authority_id end,
             certificate_authority_id = $7
         from tenants t
         where r.tenant_id = $1 and r.fleet_id = $2 and r.relay_id = $3
           and t.tenant_id = r.tenant_id and t.deleted_at is null
           and (r.certificate_serial = $4 or r.previous_certificate_serial = $4) and r.revoked_at is null",
        fleet.tenant,
        fleet.fleet,
        id,
        shown,
        certified.serial,
        certified.expires_at,
        certified.authority
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Tells whether the relay and its certificate are known, and neither revoked nor of a deleted tenant.
///
/// # Errors
/// What the database says.
pub async fn is_known(
    db: &mut PgConnection,
    fleet: &FleetName,
    id: Uuid,
    shown: &[u8],
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (
            select from relays r join tenants t using (tenant_id)
            where r.tenant_id = $1 and r.fleet_id = $2 and r.relay_id = $3 and t.deleted_at is null
              and (r.certificate_serial = $4 or r.previous_certificate_serial = $4) and r.revoked_at is null
        ) as "known!""#,
        fleet.tenant,
        fleet.fleet,
        id,
        shown
    )
    .fetch_one(db)
    .await
}

/// A session that opens.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// Name of the session.
    pub session: Uuid,
    /// Process that holds it.
    pub replica: Uuid,
    /// Serial number of the certificate shown.
    pub serial: &'a [u8],
    /// Revision that the relay runs; 0: none.
    pub running_revision: i64,
    /// Version of the keys it holds; 0: none.
    pub secret_version: i64,
}

/// A session that was opened.
#[derive(Clone, Copy, Debug)]
pub struct Opened {
    /// Its epoch.
    pub epoch: i64,
    /// How often in a row one was opened while another of the same relay was younger than a minute.
    pub contests: i32,
}

/// Opens a session: takes the next epoch, which fences off every session before. None: the relay, its tenant or its
/// certificate is not known, or it was revoked.
///
/// # Errors
/// What the database says.
pub async fn open_session(
    db: &mut PgConnection,
    fleet: &FleetName,
    id: Uuid,
    opening: Opening<'_>,
    description: &RelayDescription,
    now: OffsetDateTime,
) -> Result<Option<Opened>, sqlx::Error> {
    sqlx::query_as!(
        Opened,
        "update relays r
         set contests = case when r.session_id is not null and r.connected_at > $6::timestamptz - interval '1 minute'
                             then least(r.contests + 1, 1000) else 0 end,
             session_epoch = r.session_epoch + 1, session_id = $4, replica_id = $5, connected_at = $6, last_seen_at = $6,
             disconnected_at = null, left_at = null, leaving_at = null, reap_after = null, running_revision = $8, secret_version = $9,
             address = $10, availability_zone = $11, task_arn = $12, hostname = $13, software_version = $14,
             previous_certificate_serial = case when r.certificate_serial = $7 then null else r.previous_certificate_serial end,
             previous_certificate_authority_id = case when r.certificate_serial = $7 then null
                                                      else r.previous_certificate_authority_id end
         from tenants t
         where r.tenant_id = $1 and r.fleet_id = $2 and r.relay_id = $3
           and t.tenant_id = r.tenant_id and t.deleted_at is null
           and (r.certificate_serial = $7 or r.previous_certificate_serial = $7) and r.revoked_at is null
         returning r.session_epoch as epoch, r.contests",
        fleet.tenant,
        fleet.fleet,
        id,
        opening.session,
        opening.replica,
        now,
        opening.serial,
        opening.running_revision,
        opening.secret_version,
        description.address,
        description.availability_zone,
        description.task_arn,
        description.hostname,
        description.software_version
    )
    .fetch_optional(db)
    .await
}

/// Ends a session; `left`: the relay said goodbye. Tells whether the session was the current one.
///
/// # Errors
/// What the database says.
pub async fn close_session(
    db: &mut PgConnection,
    id: Uuid,
    epoch: i64,
    left: bool,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update relays
         set session_id = null, replica_id = null, disconnected_at = $3::timestamptz, left_at = case when $4 then $3::timestamptz end,
             drain_requested_at = case when $4 then null else drain_requested_at end
         where relay_id = $1 and session_epoch = $2",
        id,
        epoch,
        now,
        left
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// What a relay said of settings.
#[derive(Clone, Debug)]
pub struct StatusRow {
    /// Attempted revision.
    pub attempted: i64,
    /// Running revision; 0: none.
    pub running: i64,
    /// `SettingsPhase`.
    pub phase: i16,
    /// Encoded `SettingsStatus`.
    pub status: Vec<u8>,
}

/// Remembers what a relay said of settings; tells whether the session is the current one.
///
/// # Errors
/// What the database says.
pub async fn set_status(
    db: &mut PgConnection,
    id: Uuid,
    epoch: i64,
    status: &StatusRow,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update relays
         set attempted_revision = $3, running_revision = $4, settings_phase = $5, settings_status = $6, last_seen_at = $7
         where relay_id = $1 and session_epoch = $2",
        id,
        epoch,
        status.attempted,
        status.running,
        status.phase,
        status.status,
        now
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Remembers that a relay refused a revision.
///
/// # Errors
/// What the database says.
pub async fn reject(
    db: &mut PgConnection,
    fleet: &FleetName,
    id: Uuid,
    revision: i64,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into relay_rejections (tenant_id, fleet_id, relay_id, revision, rejected_at)
         values ($1::text, $2::text, $3, $4, $5) on conflict do nothing",
        fleet.tenant,
        fleet.fleet,
        id,
        revision,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Revisions that a relay refused.
///
/// # Errors
/// What the database says.
pub async fn rejections(db: &mut PgConnection, id: Uuid) -> Result<Vec<i64>, sqlx::Error> {
    sqlx::query_scalar!("select revision from relay_rejections where relay_id = $1", id)
        .fetch_all(db)
        .await
}

/// Remembers which keys a relay holds; tells whether the session is the current one.
///
/// # Errors
/// What the database says.
pub async fn set_secret_version(
    db: &mut PgConnection,
    id: Uuid,
    epoch: i64,
    secret_version: i64,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update relays set secret_version = $3, last_seen_at = $4 where relay_id = $1 and session_epoch = $2",
        id,
        epoch,
        secret_version,
        now
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether a relay is revoked.
///
/// # Errors
/// What the database says.
pub async fn is_revoked(db: &mut PgConnection, id: Uuid) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!(
        r#"select revoked_at is not null as "revoked!" from relays where relay_id = $1"#,
        id
    );
    Ok(found.fetch_optional(db).await?.unwrap_or_default())
}

/// Relays revoked since a time.
///
/// # Errors
/// What the database says.
pub async fn revoked_since(
    db: &mut PgConnection,
    since: OffsetDateTime,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!("select relay_id from relays where revoked_at >= $1", since)
        .fetch_all(db)
        .await
}

/// Revokes a relay; tells whether it was not revoked before.
///
/// # Errors
/// What the database says.
pub async fn revoke(
    db: &mut PgConnection,
    fleet: &FleetName,
    id: Uuid,
    now: OffsetDateTime,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update relays set revoked_at = $4
         where tenant_id = $1 and fleet_id = $2 and relay_id = $3 and revoked_at is null",
        fleet.tenant,
        fleet.fleet,
        id,
        now
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Revokes the relays that enrolled with a token; tells how many.
///
/// # Errors
/// What the database says.
pub async fn revoke_by_token(
    db: &mut PgConnection,
    tenant: &str,
    token: Uuid,
    now: OffsetDateTime,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "update relays set revoked_at = $3
         where tenant_id = $1 and enrollment_token_id = $2 and revoked_at is null",
        tenant,
        token,
        now
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// Revokes the relays that enrolled by a rule; tells how many.
///
/// # Errors
/// What the database says.
pub async fn revoke_by_rule(
    db: &mut PgConnection,
    rule: &EnrollmentRuleName,
    now: OffsetDateTime,
) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "update relays set revoked_at = $4
         where tenant_id = $1 and fleet_id = $2 and enrollment_rule_id = $3 and revoked_at is null",
        rule.tenant,
        rule.fleet,
        rule.enrollment_rule,
        now
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
