//! EnrollmentRuleService: AWS roles that may join fleets.
use std::sync::Arc;

use ekiden_proto::admin::v1::{
    CreateEnrollmentRuleRequest, CreateEnrollmentRuleResponse, DeleteEnrollmentRuleRequest,
    DeleteEnrollmentRuleResponse, EnrollmentRule, GetEnrollmentRuleRequest,
    GetEnrollmentRuleResponse, ListEnrollmentRulesRequest, ListEnrollmentRulesResponse,
    enrollment_rule_service_server::EnrollmentRuleService,
};
use sqlx::PgConnection;
use tonic::{Request, Response, Status};

use super::call::{Call, display_name};
use crate::{
    app::App,
    error::Error,
    mask::{Field, fields, populated},
    names::{EnrollmentRuleName, FleetName, check_id},
    oidc::{Issuer, account_of_role, is_organization, is_role_of_any_account, organization_path},
    store::{
        databases,
        enrollment_rules::{self, EnrollmentRuleRow},
        fleets, relays, tenants,
    },
    timestamps::to_proto,
};

const FIELDS: &[Field<EnrollmentRule>] = fields!(EnrollmentRule:
    display_name, aws_role_arn, aws_token_issuer, aws_organization_id, aws_organization_path, shared_account,
);

pub(super) struct EnrollmentRules {
    app: Arc<App>,
}

impl EnrollmentRules {
    pub(super) fn new(app: &Arc<App>) -> Self {
        Self { app: Arc::clone(app) }
    }
}

#[tonic::async_trait]
impl EnrollmentRuleService for EnrollmentRules {
    async fn create_enrollment_rule(
        &self,
        request: Request<CreateEnrollmentRuleRequest>,
    ) -> Result<Response<CreateEnrollmentRuleResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let fleet = FleetName::parse("parent", &call.request.parent)?;
        call.may_read(&fleet.tenant)?;
        let scope = call.operator_only()?;
        check_id("enrollment_rule_id", &call.request.enrollment_rule_id)?;
        let given = call.request.enrollment_rule.clone().unwrap_or_default();
        let row = EnrollmentRuleRow {
            tenant_id: fleet.tenant.clone(),
            fleet_id: fleet.fleet.clone(),
            enrollment_rule_id: call.request.enrollment_rule_id.clone(),
            aws_account_id: account(&given)?,
            display_name: given.display_name.clone(),
            aws_role_arn: given.aws_role_arn.clone(),
            aws_token_issuer: given.aws_token_issuer.clone(),
            aws_organization_id: given.aws_organization_id.clone(),
            aws_organization_path: given.aws_organization_path.trim_end_matches('/').to_owned(),
            shared_account: given.shared_account,
            created_at: call.now,
        };

        let changed = call.change(&scope, |db| Box::pin(create(db, &call, &row, &given)));
        Ok(changed.await?.into_response())
    }

    async fn get_enrollment_rule(
        &self,
        request: Request<GetEnrollmentRuleRequest>,
    ) -> Result<Response<GetEnrollmentRuleResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let name = EnrollmentRuleName::parse("name", &call.request.name)?;
        let scope = call.may_read(&name.tenant)?;

        let row = enrollment_rules::get(&mut *call.read(&scope).await?, &name).await?;
        Ok(Response::new(GetEnrollmentRuleResponse { enrollment_rule: Some(to_message(&row)) }))
    }

    async fn list_enrollment_rules(
        &self,
        request: Request<ListEnrollmentRulesRequest>,
    ) -> Result<Response<ListEnrollmentRulesResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let fleet = FleetName::parse("parent", &call.request.parent)?;
        let scope = call.may_read(&fleet.tenant)?;
        let page = call.page::<String>()?;

        let mut db = call.read(&scope).await?;
        fleets::get(&mut db, &fleet).await?;
        let rows =
            enrollment_rules::list(&mut db, &fleet, page.after.as_deref(), page.limit()).await?;
        let (rows, next_page_token) =
            call.cut(&page, rows, |row| row.enrollment_rule_id.clone())?;
        let enrollment_rules = rows.iter().map(to_message).collect();
        Ok(Response::new(ListEnrollmentRulesResponse { enrollment_rules, next_page_token }))
    }

    async fn delete_enrollment_rule(
        &self,
        request: Request<DeleteEnrollmentRuleRequest>,
    ) -> Result<Response<DeleteEnrollmentRuleResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let name = EnrollmentRuleName::parse("name", &call.request.name)?;
        let scope = call.may_change(&name.tenant)?;

        let changed = call.change(&scope, |db| Box::pin(delete(db, &call, &name)));
        Ok(changed.await?.into_response())
    }
}

async fn create(
    db: &mut PgConnection,
    call: &Call<CreateEnrollmentRuleRequest>,
    row: &EnrollmentRuleRow,
    given: &EnrollmentRule,
) -> Result<CreateEnrollmentRuleResponse, Error> {
    tenants::lock(db, &row.tenant_id).await?;
    let name = row.name();
    fleets::get(db, &FleetName { tenant: name.tenant.clone(), fleet: name.fleet.clone() }).await?;
    databases::one_at_a_time(
        db,
        &format!("aws account {}{}", row.aws_account_id, row.aws_organization_id),
    )
    .await?;
    if enrollment_rules::is_anothers(db, row).await? {
        return Err(Error::Precondition {
            reason: "AWS_ACCOUNT_OF_ANOTHER_TENANT",
            subject: name.to_string(),
            description: format!(
                "the AWS account or organization {}{} has rules of another tenant: delete those, or make all of them `shared_account`",
                row.aws_account_id, row.aws_organization_id
            ),
        });
    }
    if !enrollment_rules::insert(db, row).await? {
        return Err(Error::AlreadyExists { resource: name.to_string() });
    }
    call.record(db, Some(&name.tenant), &name, &populated(FIELDS, given)).await?;
    Ok(CreateEnrollmentRuleResponse { enrollment_rule: Some(to_message(row)) })
}

async fn delete(
    db: &mut PgConnection,
    call: &Call<DeleteEnrollmentRuleRequest>,
    name: &EnrollmentRuleName,
) -> Result<DeleteEnrollmentRuleResponse, Error> {
    tenants::lock(db, &name.tenant).await?;
    enrollment_rules::get(db, name).await?;
    call.take_turn(db, &name.tenant).await?;
    let mut response = DeleteEnrollmentRuleResponse::default();
    let mut changed = Vec::new();
    if call.request.revoke_relays {
        response.revoked_relays = relays::revoke_by_rule(db, name, call.now).await?;
        changed.push("relays.revoke_time".to_owned());
    }
    enrollment_rules::delete(db, name).await?;
    call.record(db, Some(&name.tenant), name, &changed).await?;
    Ok(response)
}

/// The account of a rule that is well formed; empty where it is for an organization.
fn account(given: &EnrollmentRule) -> Result<String, Error> {
    display_name("enrollment_rule.display_name", &given.display_name)?;
    if !given.aws_organization_id.is_empty() {
        check_organization(given)?;
        return Ok(String::new());
    }
    if !given.aws_organization_path.is_empty() {
        let what = "it goes with an aws_organization_id";
        return Err(Error::invalid("enrollment_rule.aws_organization_path", what));
    }
    let role =
        account_of_role(&given.aws_role_arn).filter(|_| !given.aws_role_arn.contains(['*', '?']));
    let account = role.ok_or_else(|| {
        Error::invalid(
            "enrollment_rule.aws_role_arn",
            "it must be a role's whole ARN, `arn:aws:iam::111122223333:role/path/name`, without wildcards",
        )
    })?;
    if !given.aws_token_issuer.is_empty() {
        Issuer::new(&given.aws_token_issuer, None).map_err(|error| {
            Error::invalid("enrollment_rule.aws_token_issuer", error.to_string())
        })?;
    }
    Ok(account.to_owned())
}

fn check_organization(given: &EnrollmentRule) -> Result<(), Error> {
    let wrong = |field: &str, what| Err(Error::invalid(format!("enrollment_rule.{field}"), what));
    if !is_organization(&given.aws_organization_id) {
        return wrong("aws_organization_id", "it must be an organization's id, `o-…`");
    }
    let path = &given.aws_organization_path;
    let begins_with = |parts: &Vec<&str>| parts.first() == Some(&&*given.aws_organization_id);
    if !path.is_empty() && !organization_path(path).is_some_and(|parts| begins_with(&parts)) {
        return wrong(
            "aws_organization_path",
            "it must be a path of this organization, `o-…/r-…/ou-…`",
        );
    }
    if !is_role_of_any_account(&given.aws_role_arn) {
        return wrong(
            "aws_role_arn",
            "in a rule for an organization it must be `arn:aws:iam::*:role/path/name`, without other wildcards",
        );
    }
    if !given.aws_token_issuer.is_empty() {
        let what = "a rule for an organization takes tokens of whatever issuer AWS runs for an account: leave it out";
        return wrong("aws_token_issuer", what);
    }
    Ok(())
}

fn to_message(row: &EnrollmentRuleRow) -> EnrollmentRule {
    EnrollmentRule {
        name: row.name().to_string(),
        display_name: row.display_name.clone(),
        aws_role_arn: row.aws_role_arn.clone(),
        aws_token_issuer: row.aws_token_issuer.clone(),
        aws_organization_id: row.aws_organization_id.clone(),
        aws_organization_path: row.aws_organization_path.clone(),
        shared_account: row.shared_account,
        create_time: Some(to_proto(row.created_at)),
    }
}
