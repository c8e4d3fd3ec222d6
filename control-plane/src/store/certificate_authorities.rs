//! Certificate authorities; their private keys are among the server's secrets.
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// A CA without its key.
#[derive(Clone, Debug)]
pub struct CertificateAuthorityRow {
    /// Its id.
    pub certificate_authority_id: Uuid,
    /// Its certificate, by itself; DER.
    pub certificate: Vec<u8>,
    /// Its certificate by the CA before it; none: it was the first.
    pub cross_certificate: Option<Vec<u8>>,
    /// Name of its private key among the server's secrets; none: destroyed.
    pub secret_name: Option<String>,
    /// `staged`, `issuing`, `retiring` or `retired`.
    pub state: String,
    /// Since when.
    pub state_at: OffsetDateTime,
    /// When its certificate ends.
    pub not_after: OffsetDateTime,
    /// When it was made.
    pub created_at: OffsetDateTime,
}

/// All there ever were, oldest first.
///
/// # Errors
/// What the database says.
pub async fn all(db: &mut PgConnection) -> Result<Vec<CertificateAuthorityRow>, sqlx::Error> {
    sqlx::query_as!(
        CertificateAuthorityRow,
        "select certificate_authority_id, certificate, cross_certificate, secret_name, state, state_at, not_after, created_at
         from certificate_authorities order by certificate_authority_id"
    )
    .fetch_all(db)
    .await
}

/// Keeps a CA whose key is already kept.
///
/// # Errors
/// What the database says.
pub async fn insert(
    db: &mut PgConnection,
    authority: &CertificateAuthorityRow,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into certificate_authorities
            (certificate_authority_id, certificate, cross_certificate, secret_name, state, state_at, not_after, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        authority.certificate_authority_id,
        authority.certificate,
        authority.cross_certificate,
        authority.secret_name,
        authority.state,
        authority.state_at,
        authority.not_after,
        authority.created_at
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lets the staged CA issue in place of the one that does.
///
/// # Errors
/// What the database says.
pub async fn promote(db: &mut PgConnection, now: OffsetDateTime) -> Result<(), sqlx::Error> {
    for (from, to) in [("issuing", "retiring"), ("staged", "issuing")] {
        sqlx::query!(
            "update certificate_authorities set state = $2, state_at = $3 where state = $1",
            from,
            to,
            now
        )
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// Retires a CA and destroys its key.
///
/// # Errors
/// What the database says.
pub async fn retire(
    db: &mut PgConnection,
    id: Uuid,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    let secret = sqlx::query_scalar!(
        "update certificate_authorities a set state = 'retired', state_at = $2, secret_name = null
         from certificate_authorities before
         where a.certificate_authority_id = $1 and before.certificate_authority_id = $1
         returning before.secret_name",
        id,
        now
    )
    .fetch_one(&mut *db)
    .await?;
    sqlx::query!("delete from server_secrets where name = $1", secret).execute(db).await?;
    Ok(())
}

/// Which relays hold a CA's certificates.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// The CA.
    pub by: Uuid,
    /// Certificates that ended before this cannot be renewed any more.
    pub renewable_since: OffsetDateTime,
    /// For leases of replicas.
    pub now: OffsetDateTime,
}

/// How many relays hold a certificate of this CA that opens a connection, or would if it was renewed: those that said goodbye
/// or were revoked do not count.
///
/// # Errors
/// What the database says.
pub async fn count_holders(db: &mut PgConnection, held: Held) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from relays r
         left join replicas p on p.replica_id = r.replica_id and p.lease_until > $3
         where (r.certificate_authority_id = $1 or r.previous_certificate_authority_id = $1)
           and r.left_at is null and r.revoked_at is null
           and (p.replica_id is not null or r.certificate_expires_at > $2)"#,
        held.by,
        held.renewable_since,
        held.now
    )
    .fetch_one(db)
    .await
}

/// Names of some of them, those first that were not seen for longest.
///
/// # Errors
/// What the database says.
pub async fn holders(
    db: &mut PgConnection,
    held: Held,
    most: i64,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select 'tenants/' || r.tenant_id || '/fleets/' || r.fleet_id || '/relays/' || r.relay_id as "name!" from relays r
         left join replicas p on p.replica_id = r.replica_id and p.lease_until > $3
         where (r.certificate_authority_id = $1 or r.previous_certificate_authority_id = $1)
           and r.left_at is null and r.revoked_at is null
           and (p.replica_id is not null or r.certificate_expires_at > $2)
         order by coalesce(r.last_seen_at, r.enrolled_at), r.relay_id limit $4"#,
        held.by,
        held.renewable_since,
        held.now,
        most
    )
    .fetch_all(db)
    .await
}
