//! Enrollment rules: AWS roles that may join fleets; and the proofs that have served.
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::{
    error::Error,
    names::{EnrollmentRuleName, FleetName},
};

/// A rule.
#[derive(Clone, Debug)]
pub struct EnrollmentRuleRow {
    /// Tenant of its fleet.
    pub tenant_id: String,
    /// Fleet that it admits to.
    pub fleet_id: String,
    /// Its id within the fleet.
    pub enrollment_rule_id: String,
    /// What it is for.
    pub display_name: String,
    /// Account of the role; empty in a rule for an organization.
    pub aws_account_id: String,
    /// The role.
    pub aws_role_arn: String,
    /// The account's issuer of web identity tokens; empty: none is registered.
    pub aws_token_issuer: String,
    /// The organization whose accounts are admitted; empty: the role's own account is.
    pub aws_organization_id: String,
    /// Part of the organization; empty: all of it.
    pub aws_organization_path: String,
    /// Whether other tenants may have rules for the account or organization.
    pub shared_account: bool,
    /// When it was made.
    pub created_at: OffsetDateTime,
}

impl EnrollmentRuleRow {
    /// Its resource name.
    pub fn name(&self) -> EnrollmentRuleName {
        EnrollmentRuleName {
            tenant: self.tenant_id.clone(),
            fleet: self.fleet_id.clone(),
            enrollment_rule: self.enrollment_rule_id.clone(),
        }
    }
}

/// Keeps a new rule; false: its id, or its role, has one in the fleet.
///
/// # Errors
/// What the database says.
pub async fn insert(db: &mut PgConnection, rule: &EnrollmentRuleRow) -> Result<bool, Error> {
    let done = sqlx::query!(
        "insert into enrollment_rules
            (tenant_id, fleet_id, enrollment_rule_id, display_name, aws_account_id, aws_role_arn, aws_token_issuer,
             aws_organization_id, aws_organization_path, shared_account, created_at)
         values ($1::text, $2::text, $3::text, $4, $5, $6, $7, $8, $9, $10, $11) on conflict do nothing",
        rule.tenant_id,
        rule.fleet_id,
        rule.enrollment_rule_id,
        rule.display_name,
        rule.aws_account_id,
        rule.aws_role_arn,
        rule.aws_token_issuer,
        rule.aws_organization_id,
        rule.aws_organization_path,
        rule.shared_account,
        rule.created_at
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Whether a rule's account or organization is another tenant's, as the provider sees all; two that both share it do not
/// exclude each other.
///
/// # Errors
/// What the database says.
pub async fn is_anothers(db: &mut PgConnection, rule: &EnrollmentRuleRow) -> Result<bool, Error> {
    Ok(sqlx::query_scalar!(
        r#"select exists (
               select from enrollment_rules
               where aws_account_id = $1 and aws_organization_id = $4
                 and tenant_id <> $2::text and not (shared_account and $3)
           ) as "found!""#,
        rule.aws_account_id,
        rule.tenant_id,
        rule.shared_account,
        rule.aws_organization_id
    )
    .fetch_one(db)
    .await?)
}

/// Whether another tenant has a rule of its own for an account, as the provider sees all.
///
/// # Errors
/// What the database says.
pub async fn account_is_anothers(
    db: &mut PgConnection,
    account: &str,
    tenant: &str,
) -> Result<bool, Error> {
    Ok(sqlx::query_scalar!(
        r#"select exists (
               select from enrollment_rules where aws_account_id = $1 and tenant_id <> $2::text
           ) as "found!""#,
        account,
        tenant
    )
    .fetch_one(db)
    .await?)
}

/// The rules of a fleet of a tenant that is not deleted, after `after`, by id.
///
/// # Errors
/// What the database says.
pub async fn list(
    db: &mut PgConnection,
    fleet: &FleetName,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<EnrollmentRuleRow>, Error> {
    Ok(sqlx::query_as!(
        EnrollmentRuleRow,
        "select r.tenant_id, r.fleet_id, r.enrollment_rule_id, r.display_name, r.aws_account_id, r.aws_role_arn,
            r.aws_token_issuer, r.aws_organization_id, r.aws_organization_path, r.shared_account, r.created_at
         from enrollment_rules r join tenants t using (tenant_id)
         where r.tenant_id = $1 and r.fleet_id = $2 and t.deleted_at is null
           and ($3::text is null or r.enrollment_rule_id > $3)
         order by r.enrollment_rule_id
         limit $4",
        fleet.tenant,
        fleet.fleet,
        after,
        limit
    )
    .fetch_all(db)
    .await?)
}

/// One rule of a tenant that is not deleted.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(
    db: &mut PgConnection,
    name: &EnrollmentRuleName,
) -> Result<EnrollmentRuleRow, Error> {
    sqlx::query_as!(
        EnrollmentRuleRow,
        "select r.tenant_id, r.fleet_id, r.enrollment_rule_id, r.display_name, r.aws_account_id, r.aws_role_arn,
            r.aws_token_issuer, r.aws_organization_id, r.aws_organization_path, r.shared_account, r.created_at
         from enrollment_rules r join tenants t using (tenant_id)
         where r.tenant_id = $1 and r.fleet_id = $2 and r.enrollment_rule_id = $3 and t.deleted_at is null",
        name.tenant,
        name.fleet,
        name.enrollment_rule
    )
    .fetch_optional(db)
    .await?
    .ok_or_else(|| Error::not_found(name))
}

/// Removes a rule.
///
/// # Errors
/// What the database says.
pub async fn delete(db: &mut PgConnection, name: &EnrollmentRuleName) -> Result<(), Error> {
    sqlx::query!(
        "delete from enrollment_rules where tenant_id = $1 and fleet_id = $2 and enrollment_rule_id = $3",
        name.tenant,
        name.fleet,
        name.enrollment_rule
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Uses a proof up; false: it was used before. What ended by `now` is forgotten.
///
/// # Errors
/// What the database says.
pub async fn use_proof(
    db: &mut PgConnection,
    digest: &[u8; 32],
    expires_at: OffsetDateTime,
    now: OffsetDateTime,
) -> Result<bool, Error> {
    let done = sqlx::query!(
        "with ended as (
            delete from used_proofs where digest in (
                select digest from used_proofs where expires_at < $3 order by expires_at limit 20 for update skip locked)
         )
         insert into used_proofs (digest, expires_at) values ($1, $2) on conflict do nothing",
        digest.as_slice(),
        expires_at,
        now
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}
