//! Proofs of AWS identity: which rule of the fleet lets in who holds the role.
use std::time::Duration;

use ekiden_proto::relay::v1::{AwsCallerIdentity, AwsWebIdentity};
use sqlx::PgConnection;
use time::OffsetDateTime;

use super::{
    aws_organization::{self, admits},
    recent_rules::Rules,
};
use crate::{
    app::App,
    challenges::Shown,
    error::Error,
    names::FleetName,
    oidc::{self, Algorithm, Expected, Issuer, OidcError, WebIdentity},
    pki::CertificateRequest,
    store::{
        enrollment_rules::{self, EnrollmentRuleRow},
        relays::Admission,
    },
    sts::{self, Proof, ProofFields},
};

/// Name of the request tag that carries the challenge in a web identity token.
const CHALLENGE_TAG: &str = "ekiden-challenge";
/// Longest life of a web identity token that is taken; STS gives 1 to 60 minutes.
const TOKEN_LIFE: Duration = Duration::from_secs(3600);

/// A proof that holds, still to be used up.
pub(super) struct Proven {
    pub(super) admission: Admission,
    /// What must not have served before: digests and when they stop to matter.
    pub(super) once: Vec<([u8; 32], OffsetDateTime)>,
}

impl Proven {
    /// Uses the proof up.
    ///
    /// # Errors
    /// `PROOF_USED` when it has served.
    pub(super) async fn use_up(
        &self,
        db: &mut PgConnection,
        now: OffsetDateTime,
    ) -> Result<(), Error> {
        for (digest, expires_at) in &self.once {
            if !enrollment_rules::use_proof(db, digest, *expires_at, now).await? {
                return Err(Error::Refused {
                    reason: "PROOF_USED",
                    description: "this proof has served: each enrollment takes a new challenge"
                        .to_owned(),
                });
            }
        }
        Ok(())
    }
}

/// Checks a web identity token, offline but for the issuer's keys.
pub(super) async fn by_web_identity(
    app: &App,
    csr: &CertificateRequest,
    proof: &AwsWebIdentity,
    now: OffsetDateTime,
) -> Result<(FleetName, Proven), Error> {
    let fleet = FleetName::parse("aws_web_identity.fleet", &proof.fleet)?;
    let shown = app.challenges.check(&proof.nonce, &fleet, csr.public_key_info(), now)?;
    let tokens = Tokens {
        token: &proof.token,
        challenge: challenge(app, &proof.nonce, csr, &fleet),
        audience: audience(app),
        now,
    };
    let remembered = match app.recent_rules.remembered(&fleet) {
        Some(rules) => admitted(app, &rules, &tokens).await.ok(),
        None => None,
    };
    let (rule, identity, issuer) = match remembered {
        Some(found) => found,
        None => admitted(app, &app.recent_rules.read(&app.pool, &fleet).await?, &tokens).await?,
    };
    if rule.aws_account_id.is_empty() {
        aws_organization::check_owner(app, &identity.account, &fleet.tenant).await?;
    }
    let mut token = [0; 32];
    let id = format!("{issuer}\n{}", identity.jti);
    token.copy_from_slice(
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, id.as_bytes()).as_ref(),
    );
    let ends = identity.expires_at + oidc::LEEWAY;
    Ok((fleet, proven(&rule, &shown, identity.role_arn, vec![(token, ends)])))
}

/// The rule that lets in who holds the token, whom it names, and who issued it.
async fn admitted(
    app: &App,
    rules: &Rules,
    tokens: &Tokens<'_>,
) -> Result<(EnrollmentRuleRow, WebIdentity, String), Error> {
    let (identity, issuer) = verified(app, rules, tokens).await?;
    tokens.check_challenge(&identity)?;
    // A rule for the account itself comes before one for its organization.
    let mut admitting: Vec<_> = rules.iter().filter(|rule| admits(rule, &identity)).collect();
    admitting.sort_by_key(|rule| rule.aws_account_id.is_empty());
    let rule = (*admitting.first().ok_or_else(|| not_admitted(&identity.role_arn))?).clone();
    Ok((rule, identity, issuer))
}

/// A web identity token and what it must be.
pub(super) struct Tokens<'a> {
    pub(super) token: &'a str,
    challenge: String,
    audience: String,
    now: OffsetDateTime,
}

impl Tokens<'_> {
    pub(super) fn expected<'a>(&'a self, issuer: &'a Issuer) -> Expected<'a> {
        Expected {
            issuer,
            audience: &self.audience,
            algorithms: &[Algorithm::Rs256, Algorithm::Es384],
            now: self.now,
            leeway: oidc::LEEWAY,
            longest_life: TOKEN_LIFE,
            needs_jti: true,
        }
    }

    pub(super) fn check_challenge(&self, identity: &WebIdentity) -> Result<(), Error> {
        if identity.request_tags.get(CHALLENGE_TAG) == Some(&self.challenge) {
            return Ok(());
        }
        Err(Error::Refused {
            reason: "PROOF_OF_ANOTHER_CHALLENGE",
            description: format!(
                "the token's request tag {CHALLENGE_TAG} is not the one of this nonce, key, control plane and tenant"
            ),
        })
    }
}

/// Checks a signed `sts:GetCallerIdentity` by asking STS.
pub(super) async fn by_caller_identity(
    app: &App,
    csr: &CertificateRequest,
    proof: &AwsCallerIdentity,
    now: OffsetDateTime,
) -> Result<(FleetName, Proven), Error> {
    let fleet = FleetName::parse("aws_caller_identity.fleet", &proof.fleet)?;
    let shown = app.challenges.check(&proof.nonce, &fleet, csr.public_key_info(), now)?;
    let fields = ProofFields {
        region: &proof.region,
        amz_date: &proof.amz_date,
        access_key_id: &proof.access_key_id,
        session_token: &proof.session_token,
        signature: &proof.signature,
    };
    let signed = Proof::read(fields)?;
    // Before STS is asked: a fleet that lets nobody in costs nobody a call.
    let rules = match app.recent_rules.remembered(&fleet) {
        Some(rules) => rules,
        None => app.recent_rules.read(&app.pool, &fleet).await?,
    };
    let challenge = challenge(app, &proof.nonce, csr, &fleet);
    let caller = app.sts.caller(&signed, &challenge, &audience(app)).await?;
    let admitting = |rule: &&EnrollmentRuleRow| {
        rule.aws_organization_id.is_empty() && caller.matches_role(&rule.aws_role_arn)
    };
    let rule = match rules.iter().find(admitting) {
        Some(rule) => rule.clone(),
        None => {
            let rules = app.recent_rules.read(&app.pool, &fleet).await?;
            let who = format!("{} of account {}", caller.role_name, caller.account);
            rules.iter().find(admitting).cloned().ok_or_else(|| not_admitted(&who))?
        }
    };
    Ok((fleet, proven(&rule, &shown, rule.aws_role_arn.clone(), Vec::new())))
}

/// Whom a web identity token must be meant for, and what `x-ekiden-audience` says.
pub(super) fn audience(app: &App) -> String {
    format!("spiffe://{}", app.authorities.trust_domain())
}

fn challenge(app: &App, nonce: &[u8], csr: &CertificateRequest, fleet: &FleetName) -> String {
    let tenant = format!("tenants/{}", fleet.tenant);
    sts::challenge(nonce, csr.public_key_info(), &audience(app), &tenant)
}

fn proven(
    rule: &EnrollmentRuleRow,
    shown: &Shown,
    aws_role_arn: String,
    mut once: Vec<([u8; 32], OffsetDateTime)>,
) -> Proven {
    once.push((shown.digest, shown.expires_at));
    Proven { admission: Admission::Rule { rule: rule.name(), aws_role_arn }, once }
}

/// The identity in a token and its issuer: one that a rule names, or AWS's own where a rule is for an organization. No other
/// is ever asked for keys.
async fn verified(
    app: &App,
    rules: &[EnrollmentRuleRow],
    tokens: &Tokens<'_>,
) -> Result<(WebIdentity, String), Error> {
    let mut issuers: Vec<&str> = rules.iter().map(|r| r.aws_token_issuer.as_str()).collect();
    issuers.sort_unstable();
    issuers.dedup();
    for issuer in issuers.into_iter().filter(|issuer| !issuer.is_empty()) {
        let registered = Issuer::new(issuer, None)?;
        match oidc::verify(&app.key_sets, tokens.token, &tokens.expected(&registered)).await {
            Ok(claims) => return Ok((WebIdentity::from_claims(&claims)?, issuer.to_owned())),
            Err(OidcError::IssuerUnexpected) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let of_organizations = rules.iter().any(|rule| !rule.aws_organization_id.is_empty());
    match of_organizations {
        true => aws_organization::verified(app, rules, tokens).await,
        false => Err(OidcError::IssuerUnexpected.into()),
    }
}

pub(super) fn not_admitted(role: &str) -> Error {
    Error::Refused {
        reason: "AWS_ROLE_NOT_ADMITTED",
        description: format!(
            "no enrollment rule of the fleet admits the AWS role {role}: make one with `ekidenctl enrollment-rule create`"
        ),
    }
}
