//! What AWS says of a role that asked for a token of itself.
use std::collections::BTreeMap;

use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::{Claims, OidcError};

/// The member with the claims of AWS.
const AWS: &str = "https://sts.amazonaws.com/";

/// Who a web identity token of `sts:GetWebIdentityToken` is about.
///
/// Source: IAM User Guide, "Understanding token claims" (`id_roles_providers_outbound_token_claims`): `sub` is the ARN
/// of the principal; `aws_account`, `org_id`, `ou_path` and `request_tags` are below `https://sts.amazonaws.com/`, each
/// present only where it applies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebIdentity {
    /// The role, with its path, never a session of it.
    pub role_arn: String,
    /// Its account, 12 digits.
    pub account: String,
    /// The account's organization, `o-…`; none for an account of its own.
    pub org_id: Option<String>,
    /// Where the account is in it: `o-…`, `r-…`, then one `ou-…` a level; empty for an account of its own.
    pub ou_path: Vec<String>,
    /// What the caller of `sts:GetWebIdentityToken` chose to have signed.
    pub request_tags: BTreeMap<String, String>,
    /// The token's id.
    pub jti: String,
    /// When the token ends.
    pub expires_at: OffsetDateTime,
}

impl WebIdentity {
    /// Reads the claims of a verified token.
    ///
    /// # Errors
    /// [`OidcError`]: no claims of AWS, wrong types, no role, or a role of another account.
    pub fn from_claims(claims: &Claims) -> Result<Self, OidcError> {
        let aws = claims.payload.get(AWS).and_then(Value::as_object);
        let aws = aws.ok_or(OidcError::AwsClaimsMissing)?;
        let account = aws.get("aws_account").ok_or(missing("aws_account"))?;
        let account = account.as_str().filter(|account| is_account(account));
        let account = account.ok_or(wrong("aws_account", "a text of 12 digits"))?;
        if account_of_role(&claims.sub).ok_or(OidcError::NotARole)? != account {
            return Err(OidcError::AccountMismatch);
        }
        Ok(Self {
            role_arn: claims.sub.clone(),
            account: account.to_owned(),
            org_id: org_id(aws)?,
            ou_path: ou_path(aws)?,
            request_tags: request_tags(aws)?,
            jti: claims.jti.clone().ok_or(missing("jti"))?,
            expires_at: claims.exp,
        })
    }
}

fn missing(claim: &'static str) -> OidcError {
    OidcError::ClaimMissing { claim }
}

fn wrong(claim: &'static str, wanted: &'static str) -> OidcError {
    OidcError::ClaimWrong { claim, wanted }
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The account in the ARN of a role, `arn:aws:iam::111122223333:role/path/name`; paths and names as in IAM's `CreateRole`.
/// None: it is no role's.
pub fn account_of_role(arn: &str) -> Option<&str> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", "aws" | "aws-cn" | "aws-us-gov", "iam", "", account, resource] = parts[..] else {
        return None;
    };
    let role = resource.strip_prefix("role/")?;
    let (path, name) =
        role.rsplit_once('/').map_or((None, role), |(path, name)| (Some(path), name));
    let right = is_account(account)
        && (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte))
        && path.is_none_or(|path| {
            // Two slashes go around it.
            path.len() <= 510
                && path.split('/').all(|folder| !folder.is_empty())
                && path.bytes().all(|byte| byte.is_ascii_graphic())
        });
    right.then_some(account)
}

/// Whether an ARN is that of a role in any account, `arn:aws:iam::*:role/path/name`.
pub fn is_role_of_any_account(arn: &str) -> bool {
    arn.matches('*').count() == 1
        && arn.starts_with("arn:aws:iam::*:")
        && account_of_role(&arn.replacen('*', "000000000000", 1)).is_some()
}

/// Whether a text is an organization's id, `o-…`.
pub fn is_organization(id: &str) -> bool {
    is_part(id, "o-")
}

/// The parts of a path in an organization, `o-…/r-…/ou-…`, with or without a slash at its end; none: it is none.
pub fn organization_path(path: &str) -> Option<Vec<&str>> {
    let parts: Vec<&str> = path.strip_suffix('/').unwrap_or(path).split('/').collect();
    let [organization, root, units @ ..] = parts.as_slice() else { return None };
    let right = is_part(organization, "o-")
        && is_part(root, "r-")
        && units.iter().all(|unit| is_part(unit, "ou-"));
    right.then_some(parts)
}

fn org_id(aws: &Map<String, Value>) -> Result<Option<String>, OidcError> {
    let Some(value) = aws.get("org_id") else { return Ok(None) };
    let id = value.as_str().filter(|id| is_part(id, "o-"));
    Ok(Some(id.ok_or(wrong("org_id", "an organization's id"))?.to_owned()))
}

fn ou_path(aws: &Map<String, Value>) -> Result<Vec<String>, OidcError> {
    let Some(value) = aws.get("ou_path") else { return Ok(Vec::new()) };
    let wrong = || wrong("ou_path", "a path of an organization, its root and units");
    let path = value.as_str().ok_or_else(wrong)?;
    let parts = organization_path(path).ok_or_else(wrong)?;
    Ok(parts.into_iter().map(str::to_owned).collect())
}

fn is_part(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|id| {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (4..=68).contains(&id.len()) && id.bytes().all(known)
    })
}

fn request_tags(aws: &Map<String, Value>) -> Result<BTreeMap<String, String>, OidcError> {
    let Some(value) = aws.get("request_tags") else { return Ok(BTreeMap::new()) };
    let wrong = || wrong("request_tags", "an object of texts");
    let tags = value.as_object().ok_or_else(wrong)?.iter();
    tags.map(|(name, value)| Ok((name.clone(), value.as_str().ok_or_else(wrong)?.to_owned())))
        .collect()
}

#[cfg(test)]
mod tests;
