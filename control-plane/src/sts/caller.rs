//! Who signed, as STS says, and whether it is the role that a policy names.
use super::{answer::Identity, error::StsError, regions::Partition};

/// A session of a role.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CallerIdentity {
    /// Partition of the account.
    pub partition: Partition,
    /// Account of the role, 12 digits.
    pub account: String,
    /// Name of the role, without its path.
    pub role_name: String,
    /// What the session was called: a label, never proof, because whoever assumes a role names the session.
    pub session_name: String,
    /// The role's unique id, `AROA…`: another one when a role is deleted and made anew under its old name.
    pub unique_id: String,
}

impl CallerIdentity {
    /// Takes what the STS of `partition` answered for a session of a role.
    pub(super) fn read(identity: &Identity, partition: Partition) -> Result<Self, StsError> {
        let Identity { account, arn, user_id } = identity;
        if !is_account(account) {
            return Err(StsError::AccountMalformed);
        }
        let arn = Arn::read(arn).ok_or(StsError::ArnMalformed)?;
        if arn.partition != partition.name() {
            return Err(StsError::PartitionDiffers { partition });
        }
        if arn.account != account {
            return Err(StsError::AccountDiffers);
        }
        let (role_name, session_name) = session(arn.service, arn.resource)?;
        let unique_id = match user_id.split_once(':') {
            Some((role_id, session)) if is_role_id(role_id) && session == session_name => role_id,
            _ => return Err(StsError::UserIdMalformed),
        };
        Ok(Self {
            partition,
            account: account.clone(),
            role_name: role_name.to_owned(),
            session_name: session_name.to_owned(),
            unique_id: unique_id.to_owned(),
        })
    }

    /// Whether this is a session of the role `arn:<partition>:iam::<account>:role/<path>/<name>`.
    ///
    /// Partition, account and name must be equal, case and all. The path is not compared: a session's ARN does not
    /// carry it, and IAM lets no two roles of an account share a name whatever their paths. So a policy that names a
    /// deleted role also admits a new role of that name under another path; pin [`Self::unique_id`] where that matters.
    /// `*` and `?` stand for nothing: what holds one, even in the path, matches no role.
    pub fn matches_role(&self, role_arn: &str) -> bool {
        let Some(arn) = Arn::read(role_arn) else { return false };
        let Some(path_and_name) = arn.resource.strip_prefix("role/") else { return false };
        let (path, name) = match path_and_name.rsplit_once('/') {
            Some((path, name)) => (Some(path), name),
            None => (None, path_and_name),
        };
        arn.service == "iam"
            && Partition::named(arn.partition) == Some(self.partition)
            && arn.account == self.account
            && path.is_none_or(|path| path.split('/').all(is_path_segment))
            && name == self.role_name
    }
}

/// Parts of an ARN without a region.
struct Arn<'a> {
    partition: &'a str,
    service: &'a str,
    account: &'a str,
    resource: &'a str,
}

impl<'a> Arn<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, service, "", account, resource] = parts[..] else { return None };
        Some(Self { partition, service, account, resource })
    }
}

/// Role and session of `assumed-role/<role>/<session>`; every other kind of caller has its own refusal.
fn session<'a>(service: &str, resource: &'a str) -> Result<(&'a str, &'a str), StsError> {
    let (kind, name) = resource.split_once('/').unwrap_or((resource, ""));
    match (service, kind) {
        ("sts", "assumed-role") => match name.split_once('/') {
            Some((role, session)) if is_name(role, 1) && is_name(session, 2) => Ok((role, session)),
            _ => Err(StsError::ArnMalformed),
        },
        ("sts", "federated-user") => Err(StsError::CallerIsFederatedUser),
        ("iam", "root") => Err(StsError::CallerIsRoot),
        ("iam", "user") => Err(StsError::CallerIsUser),
        ("iam", "role") => Err(StsError::CallerIsRole),
        _ => Err(StsError::ArnMalformed),
    }
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|c| c.is_ascii_digit())
}

/// IAM's `roleNameType` (from 1) and `roleSessionNameType` (from 2): up to 64 of `[A-Za-z0-9_+=,.@-]`.
fn is_name(text: &str, shortest: usize) -> bool {
    let plain = |c: u8| {
        c.is_ascii_alphanumeric() || matches!(c, b'_' | b'+' | b'=' | b',' | b'.' | b'@' | b'-')
    };
    (shortest..=64).contains(&text.len()) && text.bytes().all(plain)
}

/// IAM's `idType`, of roles.
fn is_role_id(text: &str) -> bool {
    let plain = |c: u8| c.is_ascii_uppercase() || c.is_ascii_digit();
    text.starts_with("AROA") && (16..=128).contains(&text.len()) && text.bytes().all(plain)
}

fn is_path_segment(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_graphic() && c != b'*' && c != b'?')
}
