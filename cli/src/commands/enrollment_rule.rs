//! `ekidenctl enrollment-rule`.
use clap::Subcommand;
use ekiden_proto::admin::v1::{
    CreateEnrollmentRuleRequest, DeleteEnrollmentRuleRequest, EnrollmentRule,
    GetEnrollmentRuleRequest, ListEnrollmentRulesRequest, ListEnrollmentRulesResponse,
    enrollment_rule_service_client::EnrollmentRuleServiceClient,
};
use time::OffsetDateTime;

use super::incomplete;
use crate::{
    failure::Failure,
    names::{self, Kind},
    output::{
        moments::{age, date_and_age},
        table::{Details, Table},
    },
    session::{Session, Wire},
};

/// What to do with enrollment rules.
#[derive(Debug, Subcommand)]
pub enum EnrollmentRuleVerb {
    /// Lets tasks of an AWS role enroll into a fleet; relays then need EKIDEN_FLEET and no secret.
    #[command(after_help = "\
Without --issuer relays prove the role by a signed GetCallerIdentity, which needs no set-up in the account. With it they
prove it by a token that no call to STS is needed for; the account's issuer is what this prints, once it is switched on by
`aws iam enable-outbound-web-identity-federation`:
  aws iam get-outbound-web-identity-federation-info

Examples:
  ekidenctl enrollment-rule create ecs --fleet tokyo --role arn:aws:iam::111122223333:role/ekiden-relay
  ekidenctl enrollment-rule create ecs --fleet tokyo --role arn:aws:iam::111122223333:role/ekiden-relay \\
    --issuer https://0123abcd-….tokens.sts.global.api.aws
  ekidenctl enrollment-rule create all --fleet tokyo --role 'arn:aws:iam::*:role/ekiden-relay' \\
    --organization o-a1b2c3d4e5 --organization-path o-a1b2c3d4e5/r-ab12/ou-ab12-11111111")]
    Create {
        /// Its id: a-z, 0-9 and -, a letter first.
        id: String,
        /// The fleet to enroll into.
        #[arg(long, value_name = "NAME")]
        fleet: String,
        /// The role, whole: account, path and name, no wildcards; with --organization arn:aws:iam::*:role/path/name.
        #[arg(long, value_name = "ARN")]
        role: String,
        /// Admit the role in every account of this AWS organization, by web identity tokens.
        #[arg(long, value_name = "o-…", default_value = "", hide_default_value = true)]
        organization: String,
        /// Only in accounts below this part of the organization.
        #[arg(
            long,
            value_name = "o-…/r-…/ou-…",
            default_value = "",
            hide_default_value = true,
            requires = "organization"
        )]
        organization_path: String,
        /// The account's issuer of web identity tokens.
        #[arg(long, value_name = "URL", default_value = "", hide_default_value = true)]
        issuer: String,
        /// The account runs relays of other tenants, too; all of its rules must say so.
        #[arg(long)]
        shared_account: bool,
        /// What it is for.
        #[arg(long, default_value = "", hide_default_value = true)]
        display_name: String,
    },
    /// Shows one.
    #[command(after_help = "Examples:\n  ekidenctl enrollment-rule get ecs --fleet tokyo")]
    Get {
        /// Its id, or its name.
        name: String,
        /// The fleet, where the name does not say it.
        #[arg(long, value_name = "NAME")]
        fleet: Option<String>,
    },
    /// Lists a fleet's.
    #[command(after_help = "Examples:\n  ekidenctl enrollment-rule list --fleet tokyo")]
    List {
        /// The fleet.
        #[arg(long, value_name = "NAME")]
        fleet: String,
        /// At most this many; 0: all.
        #[arg(long, default_value_t)]
        limit: usize,
    },
    /// Deletes one: no further relay enrolls by it; those enrolled stay, unless told otherwise.
    #[command(
        after_help = "Examples:\n  ekidenctl enrollment-rule delete ecs --fleet tokyo\n  ekidenctl enrollment-rule delete ecs --fleet tokyo --relays"
    )]
    Delete {
        /// Its id, or its name.
        name: String,
        /// The fleet, where the name does not say it.
        #[arg(long, value_name = "NAME")]
        fleet: Option<String>,
        /// Revoke every relay that enrolled by it, too.
        #[arg(long)]
        relays: bool,
    },
}

fn client(session: &Session) -> EnrollmentRuleServiceClient<Wire> {
    EnrollmentRuleServiceClient::new(session.wire())
}

pub(super) async fn run(verb: EnrollmentRuleVerb, session: &Session) -> Result<(), Failure> {
    let resolve =
        |name: &str, fleet: Option<&str>| session.names.resolve(Kind::EnrollmentRule, name, fleet);
    match verb {
        EnrollmentRuleVerb::Create {
            id,
            fleet,
            role,
            organization,
            organization_path,
            issuer,
            shared_account,
            display_name,
        } => {
            let request = CreateEnrollmentRuleRequest {
                parent: session.names.resolve(Kind::Fleet, &fleet, None)?,
                enrollment_rule_id: id,
                enrollment_rule: Some(EnrollmentRule {
                    display_name,
                    aws_role_arn: role,
                    aws_token_issuer: issuer,
                    aws_organization_id: organization,
                    aws_organization_path: organization_path,
                    shared_account,
                    ..EnrollmentRule::default()
                }),
                request_id: session.request_id(),
                validate_only: session.validate_only,
            };
            let answer = session
                .change(request, async |r| client(session).create_enrollment_rule(r).await)
                .await?;
            show(session, answer.enrollment_rule)?;
            session.printer.note("Give its tasks EKIDEN_FLEET, the name of the fleet.");
            Ok(())
        }
        EnrollmentRuleVerb::Get { name, fleet } => {
            let request = GetEnrollmentRuleRequest { name: resolve(&name, fleet.as_deref())? };
            let answer = session
                .call(request, async |r| client(session).get_enrollment_rule(r).await)
                .await?;
            show(session, answer.enrollment_rule)
        }
        EnrollmentRuleVerb::List { fleet, limit } => list(session, &fleet, limit).await,
        EnrollmentRuleVerb::Delete { name, fleet, relays } => {
            let request = DeleteEnrollmentRuleRequest {
                name: resolve(&name, fleet.as_deref())?,
                request_id: session.request_id(),
                validate_only: session.validate_only,
                revoke_relays: relays,
            };
            let deleted = request.name.clone();
            let answer = session
                .change(request, async |r| client(session).delete_enrollment_rule(r).await)
                .await?;
            if relays {
                session.printer.note(&format!("Relays revoked: {}.", answer.revoked_relays));
            }
            session.printer.message(&answer, || format!("Deleted {deleted}."))
        }
    }
}

async fn list(session: &Session, fleet: &str, limit: usize) -> Result<(), Failure> {
    let parent = session.names.resolve(Kind::Fleet, fleet, None)?;
    let listing = session
        .pages(limit, async |page_token, page_size| {
            let request =
                ListEnrollmentRulesRequest { parent: parent.clone(), page_size, page_token };
            let answer = session
                .call(request, async |r| client(session).list_enrollment_rules(r).await)
                .await?;
            Ok((answer.enrollment_rules, answer.next_page_token))
        })
        .await?;
    let message = ListEnrollmentRulesResponse {
        enrollment_rules: listing.items,
        next_page_token: listing.next_page_token,
    };
    session.printer.list(
        &message,
        &message.enrollment_rules,
        |rules| table(rules, session.printer.now),
        "No AWS role may enroll into the fleet. Admit one: `ekidenctl enrollment-rule create ecs --fleet FLEET --role ARN`",
    )
}

fn show(session: &Session, rule: Option<EnrollmentRule>) -> Result<(), Failure> {
    let rule = rule.ok_or_else(|| incomplete("enrollment rule"))?;
    session.printer.message(&rule, || details(&rule, session.printer.now))
}

fn proofs(rule: &EnrollmentRule) -> &'static str {
    match (rule.aws_organization_id.as_str(), rule.aws_token_issuer.as_str()) {
        ("", "") => "caller identity",
        ("", _) => "web identity, caller identity",
        _ => "web identity",
    }
}

fn organization(rule: &EnrollmentRule) -> &str {
    match rule.aws_organization_path.as_str() {
        "" => &rule.aws_organization_id,
        path => path,
    }
}

fn table(rules: &[EnrollmentRule], now: OffsetDateTime) -> String {
    let mut table = Table::new(&["ID", "FOR", "ROLE", "PROOFS", "AGE"]);
    for rule in rules {
        table.row([
            names::id(&rule.name).to_owned(),
            rule.display_name.clone(),
            rule.aws_role_arn.clone(),
            proofs(rule).to_owned(),
            age(rule.create_time.as_ref(), now),
        ]);
    }
    table.render()
}

fn details(rule: &EnrollmentRule, now: OffsetDateTime) -> String {
    Details::default()
        .with("Name", &rule.name)
        .with("For", &rule.display_name)
        .with("Role", &rule.aws_role_arn)
        .with("Proofs", proofs(rule))
        .with("Issuer", &rule.aws_token_issuer)
        .with("Organization", organization(rule))
        .with("Account", if rule.shared_account { "shared by tenants" } else { "this tenant's" })
        .with("Created", date_and_age(rule.create_time.as_ref(), now))
        .render()
}

#[cfg(test)]
#[path = "enrollment_rule_tests.rs"]
mod tests;
