//! Certificate authorities; their private keys are among the server's secrets.
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// A CA without its key.
#[derive(Clone, Debug)]
pub struct CertificateAuthorityRow {
    /// Its certificate, DER.
    pub certificate: Vec<u8>,
    /// Name of its private key among the server's secrets.
    pub secret_name: String,
}

/// The CA that issues now.
///
/// # Errors
/// What the database says.
pub async fn newest(db: &mut PgConnection) -> Result<Option<CertificateAuthorityRow>, sqlx::Error> {
    sqlx::query_as!(
        CertificateAuthorityRow,
        "select certificate, secret_name from certificate_authorities order by certificate_authority_id desc limit 1"
    )
    .fetch_optional(db)
    .await
}

/// Keeps a CA whose key is already kept.
///
/// # Errors
/// What the database says.
pub async fn insert(
    db: &mut PgConnection,
    certificate: &[u8],
    secret_name: &str,
    not_after: OffsetDateTime,
    now: OffsetDateTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into certificate_authorities
            (certificate_authority_id, certificate, secret_name, not_after, created_at)
         values ($1, $2, $3, $4, $5)",
        Uuid::now_v7(),
        certificate,
        secret_name,
        not_after,
        now
    )
    .execute(db)
    .await?;
    Ok(())
}
