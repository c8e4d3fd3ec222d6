//! Which rules let in which roles, and tokens of accounts that only their organization vouches for.
//!
//! An issuer of web identity tokens is an account's, but AWS runs it: account, organization and path in a token are AWS's
//! word, never the account's. So a rule for an organization is also the registration of AWS's own issuers, and of no others.
//! One is asked for its keys only when what the token says, still unproven, would be let in.
use super::aws_proof::{self, Tokens};
use crate::{
    app::App,
    error::Error,
    oidc::{self, Issuer, WebIdentity},
    store::{
        enrollment_rules::{self, EnrollmentRuleRow},
        scope::Scope,
    },
};

/// Whether a rule lets in who holds this identity.
pub(super) fn admits(rule: &EnrollmentRuleRow, identity: &WebIdentity) -> bool {
    if rule.aws_organization_id.is_empty() {
        return rule.aws_role_arn == identity.role_arn;
    }
    let of_any_account = identity.role_arn.replacen(&identity.account, "*", 1);
    rule.aws_role_arn == of_any_account
        && identity.org_id.as_deref() == Some(rule.aws_organization_id.as_str())
        && is_below(&rule.aws_organization_path, &identity.ou_path)
}

/// Whether an account at `place` is in the part of its organization that `path` names.
fn is_below(path: &str, place: &[String]) -> bool {
    let path = path.split('/').filter(|part| !part.is_empty());
    let mut place = place.iter();
    path.into_iter().all(|part| place.next().is_some_and(|at| at == part))
}

/// The identity in a token of one of AWS's own issuers that nobody registered by itself, and that issuer.
pub(super) async fn verified(
    app: &App,
    rules: &[EnrollmentRuleRow],
    tokens: &Tokens<'_>,
) -> Result<(WebIdentity, String), Error> {
    let url = oidc::aws_issuer(tokens.token)?;
    let issuer = Issuer::new(&url, None)?;
    let expected = tokens.expected(&issuer);
    let claimed = WebIdentity::from_claims(&oidc::unproven(tokens.token, &expected)?)?;
    tokens.check_challenge(&claimed)?;
    if !rules.iter().any(|rule| admits(rule, &claimed)) {
        return Err(aws_proof::not_admitted(&claimed.role_arn));
    }
    app.key_sets.may_meet(&issuer)?;
    let claims = oidc::verify(&app.key_sets, tokens.token, &expected).await?;
    Ok((WebIdentity::from_claims(&claims)?, url))
}

/// Refuses an account of the organization that another tenant has a rule of its own for.
pub(super) async fn check_owner(app: &App, account: &str, tenant: &str) -> Result<(), Error> {
    let mut db = app.pool.begin(&Scope::Provider).await?;
    if !enrollment_rules::account_is_anothers(&mut db, account, tenant).await? {
        return Ok(());
    }
    Err(Error::Refused {
        reason: "AWS_ACCOUNT_OF_ANOTHER_TENANT",
        description: format!(
            "the AWS account {account} is in the organization, but another tenant has a rule for it: give this tenant one of its own for the account, with both `shared_account`"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::is_below;

    #[test]
    fn a_part_of_an_organization_holds_the_units_below_it_and_no_others() {
        let place = |path: &str| path.split('/').map(str::to_owned).collect::<Vec<_>>();
        let here = place("o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/ou-ab12-22222222");
        for (path, holds) in [
            ("", true),
            ("o-a1b2c3d4e5", true),
            ("o-a1b2c3d4e5/r-ab12/ou-ab12-11111111", true),
            ("o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/", true),
            ("o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/ou-ab12-22222222", true),
            ("o-a1b2c3d4e5/r-ab12/ou-ab12-1111111", false),
            ("o-a1b2c3d4e5/r-ab12/ou-ab12-22222222", false),
            ("o-a1b2c3d4e5/r-ab12/ou-ab12-11111111/ou-ab12-22222222/ou-ab12-33333333", false),
            ("o-b1b2c3d4e5", false),
        ] {
            assert_eq!(is_below(path, &here), holds, "{path}");
        }
        assert!(!is_below("o-a1b2c3d4e5", &[]));
    }
}
