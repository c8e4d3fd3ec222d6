//! Which claims of a login give which role.
use std::fmt;

use serde_json::{Map, Value};

use super::Role;
use crate::{error::Error, names::check_id};

/// Most rules.
const MOST: usize = 1024;
/// Longest claim's name and longest value, bytes.
const LONGEST: (usize, usize) = (256, 1024);
/// Roles that a refusal tells of at most.
const TOLD: usize = 8;

/// Rules of the form `claim=value:role[:tenant]`, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRules(Vec<Rule>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    claim: String,
    value: String,
    grant: Grant,
}

/// A role, and the tenant that it is bound to; none: all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) role: Role,
    pub(super) tenant: Option<String>,
}

impl RoleRules {
    /// Reads rules, separated by commas; a comma or backslash of a value has a backslash before it.
    ///
    /// # Errors
    /// Every problem.
    pub fn parse(text: &str) -> Result<Self, Vec<String>> {
        let mut rules: Vec<Rule> = Vec::new();
        let mut problems = Vec::new();
        for text in split(text) {
            match text.and_then(|text| Rule::parse(&text)) {
                Ok(rule)
                    if rules.iter().any(|r| r.claim == rule.claim && r.value == rule.value) =>
                {
                    problems.push(format!(
                        "there are two rules for {}={}: keep one",
                        rule.claim, rule.value
                    ));
                }
                Ok(rule) => rules.push(rule),
                Err(problem) => problems.push(problem),
            }
        }
        if rules.len() > MOST {
            problems.push(format!("there are more than {MOST} rules: map groups, not people"));
        }
        if rules.is_empty() && problems.is_empty() {
            problems.push(format!("there is no rule: nobody could log in; {FORM}"));
        }
        if problems.is_empty() { Ok(Self(rules)) } else { Err(problems) }
    }

    /// What a verified login may do.
    ///
    /// # Errors
    /// [`Error::Forbidden`]: no rule fits, or rules for different tenants do.
    pub(super) fn grant(&self, actor: &str, claims: &Map<String, Value>) -> Result<Grant, Error> {
        let fitting = self.0.iter().filter(|rule| rule.fits(claims)).map(|rule| &rule.grant);
        let mut fitting: Vec<&Grant> = fitting.collect();
        // Operators first, then tenant-admins: of roles for one tenant the first is the highest.
        fitting.sort_by_key(|grant| grant.role);
        let Some(first) = fitting.first() else {
            return Err(Error::Forbidden {
                reason: "LOGIN_WITHOUT_ROLE",
                description: format!(
                    "{actor} is logged in, but no rule of --operator-oidc-roles gives it a role: have it added to a group that has one (an email counts only where email_verified is true)"
                ),
            });
        };
        if first.role != Role::Operator && fitting.iter().any(|grant| grant.tenant != first.tenant)
        {
            let all: Vec<String> = fitting.iter().take(TOLD).map(ToString::to_string).collect();
            return Err(Error::Forbidden {
                reason: "LOGIN_AMBIGUOUS",
                description: format!(
                    "{actor} has roles that differ in their tenant, and a login acts for one: {}; have it taken out of all groups but one, or call with an API token of that tenant",
                    all.join(", ")
                ),
            });
        }
        Ok((*first).clone())
    }
}

const FORM: &str = "a rule is claim=value:role[:tenant] with role operator, tenant-admin or viewer, e.g. groups=acme-admins:tenant-admin:acme";

impl Rule {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| Err(format!("{text:?} will not do: {why}"));
        let Some((claim, rest)) = text.split_once('=') else { return wrong(FORM) };
        // A value may have colons: a URN, say.
        let (without, with) = (without_tenant(rest), with_tenant(rest));
        let (value, role, tenant) = match (without, with) {
            (Some(_), Some(_)) => {
                return wrong(
                    "it can be read in two ways, since a tenant or the end of the value is named like a role: use another group or tenant",
                );
            }
            (None, None) => return wrong(FORM),
            (Some((value, role)), None) => (value, role, None),
            (None, Some((value, role, tenant))) => (value, role, Some(tenant.to_owned())),
        };
        match (role, &tenant) {
            (Role::Operator, Some(_)) => {
                return wrong("an operator has all tenants: leave the tenant away");
            }
            (Role::TenantAdmin, None) => return wrong("a tenant-admin needs a tenant"),
            (Role::Operator, None) | (Role::TenantAdmin, Some(_)) | (Role::Viewer, _) => {}
        }
        let good = |text: &str, longest| {
            (1..=longest).contains(&text.len()) && !text.chars().any(char::is_control)
        };
        if !good(claim, LONGEST.0) || !good(value, LONGEST.1) {
            return wrong(
                "claim and value are texts of 1 to 256 and 1 to 1,024 bytes without control characters",
            );
        }
        let grant = Grant { role, tenant };
        Ok(Self { claim: claim.to_owned(), value: value.to_owned(), grant })
    }

    fn fits(&self, claims: &Map<String, Value>) -> bool {
        let is_it = |value: &Value| value.as_str() == Some(&self.value);
        let there = match claims.get(&self.claim) {
            Some(Value::Array(list)) => list.iter().any(is_it),
            Some(one) => is_it(one),
            None => false,
        };
        there && (self.claim != "email" || email_is_verified(claims))
    }
}

/// At many issuers anybody can name any address as theirs; only those that it verified tell who somebody is.
fn email_is_verified(claims: &Map<String, Value>) -> bool {
    match claims.get("email_verified") {
        Some(Value::Bool(verified)) => *verified,
        Some(Value::String(text)) => text == "true",
        _ => false,
    }
}

fn without_tenant(rest: &str) -> Option<(&str, Role)> {
    let (value, role) = rest.rsplit_once(':')?;
    Some((value, Role::parse(role)?))
}

fn with_tenant(rest: &str) -> Option<(&str, Role, &str)> {
    let (rest, tenant) = rest.rsplit_once(':')?;
    let (value, role) = without_tenant(rest)?;
    check_id("tenant", tenant).ok()?;
    Some((value, role, tenant))
}

/// Splits at commas, takes backslashes away, and leaves empty pieces out.
fn split(text: &str) -> Vec<Result<String, String>> {
    let (mut all, mut one) = (Vec::new(), Ok(String::new()));
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        let char = match char {
            ',' => {
                all.push(std::mem::replace(&mut one, Ok(String::new())));
                continue;
            }
            '\\' => chars.next().filter(|next| matches!(next, ',' | '\\')),
            char => Some(char),
        };
        match (&mut one, char) {
            (Ok(text), Some(char)) => text.push(char),
            (Ok(text), None) => {
                one = Err(format!(
                    "the backslash after {text:?} will not do: one goes before a comma or a backslash only"
                ));
            }
            (Err(_), _) => {}
        }
    }
    all.push(one);
    let trimmed = all.into_iter().map(|one| one.map(|text| text.trim().to_owned()));
    trimmed.filter(|one| !matches!(one, Ok(text) if text.is_empty())).collect()
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.tenant {
            Some(tenant) => write!(f, "{} of {tenant}", self.role.as_str()),
            None => write!(f, "{} of all tenants", self.role.as_str()),
        }
    }
}

#[cfg(test)]
mod tests;
