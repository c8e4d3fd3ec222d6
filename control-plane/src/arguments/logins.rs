//! Settings of operators' logins by OIDC.
use std::{fs, path::Path};

use clap::Args;
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, pem::PemObject};

use super::{Problems, present};
use crate::{
    caller::{LoginSettings, RoleRules},
    oidc::Issuer,
};

const ISSUER: &str = "operator-oidc-issuer";
const AUDIENCE: &str = "operator-oidc-audience";
const ROLES: &str = "operator-oidc-roles";
const CA: &str = "operator-oidc-ca";
/// Longest audience, bytes.
const LONGEST_AUDIENCE: usize = 1024;

#[derive(Args)]
#[command(next_help_heading = "Operators' logins")]
pub(super) struct LoginArguments {
    /// OIDC issuer whose tokens (JWTs, signed with RS256, ES256 or ES384, living 24 hours at most) log operators in
    /// beside API tokens; exactly as their `iss` says, e.g. https://login.example.com/realms/msp. Its keys are found by
    /// discovery. Absent: no logins.
    #[arg(long, env = "EKIDEN_OPERATOR_OIDC_ISSUER", global = true, value_name = "URL")]
    operator_oidc_issuer: Option<String>,

    /// What the tokens' `aud` must say, alone: the id that the issuer knows this control plane by.
    #[arg(long, env = "EKIDEN_OPERATOR_OIDC_AUDIENCE", global = true, value_name = "TEXT")]
    operator_oidc_audience: Option<String>,

    /// Who gets which role: claim=value:role[:tenant], separated by commas, e.g.
    /// groups=ekiden-operators:operator,groups=acme-admins:tenant-admin:acme,email=ann@msp.example:viewer.
    /// The claim is a text or a list of texts at the top of the token. A comma or backslash of a value takes a backslash
    /// before it. An email counts only with email_verified. Operator wins; roles of several tenants are refused.
    #[arg(long, env = "EKIDEN_OPERATOR_OIDC_ROLES", global = true, value_name = "RULE,…")]
    operator_oidc_roles: Option<String>,

    /// PEM file with roots to trust for the issuer beside those of this machine.
    #[arg(long, env = "EKIDEN_OPERATOR_OIDC_CA", global = true, value_name = "FILE")]
    operator_oidc_ca: Option<String>,
}

impl Problems {
    /// Logins, where an issuer is given; the inner none is that of no issuer.
    pub(super) fn logins(&mut self, given: &LoginArguments) -> Option<Option<LoginSettings>> {
        let [issuer, audience, roles, ca] = [
            &given.operator_oidc_issuer,
            &given.operator_oidc_audience,
            &given.operator_oidc_roles,
            &given.operator_oidc_ca,
        ]
        .map(|value| present(value.as_deref()).map(str::trim));
        let Some(issuer) = issuer else {
            for (flag, _) in [(AUDIENCE, audience), (ROLES, roles), (CA, ca)]
                .iter()
                .filter(|(_, value)| value.is_some())
            {
                self.add(flag, format_args!("it goes with --{ISSUER}, which is missing"));
            }
            return Some(None);
        };
        let issuer = self.checked(
            ISSUER,
            Issuer::new(issuer, None).map_err(|_| format!("{issuer:?} will not do: it must be an https URL exactly as the tokens' iss says, of at most 512 bytes, without user, query or fragment")),
        );
        let audience = match audience {
            Some(text) if text.len() <= LONGEST_AUDIENCE => Ok(text.to_owned()),
            Some(_) => Err("it is longer than 1,024 bytes".to_owned()),
            None => Err(format!(
                "it must be there with --{ISSUER}: without it tokens for others would log in here"
            )),
        };
        let audience = self.checked(AUDIENCE, audience);
        let roles = match roles.map(RoleRules::parse) {
            Some(Ok(rules)) => Some(rules),
            Some(Err(problems)) => {
                problems.iter().for_each(|problem| self.add(ROLES, problem));
                None
            }
            None => {
                self.add(
                    ROLES,
                    format_args!(
                        "it must be there with --{ISSUER}: without it no login has a role"
                    ),
                );
                None
            }
        };
        let roots = match ca {
            Some(path) => self.checked(
                CA,
                read_roots(Path::new(path))
                    .map_err(|problem| format!("{path:?} will not do: {problem}")),
            ),
            None => Some(Vec::new()),
        };
        Some(Some(LoginSettings {
            issuer: issuer?,
            audience: audience?,
            roles: roles?,
            roots: roots?,
        }))
    }

    fn checked<T>(&mut self, flag: &str, value: Result<T, String>) -> Option<T> {
        value.map_err(|problem| self.add(flag, problem)).ok()
    }
}

fn read_roots(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = fs::read(path).map_err(|error| error.to_string())?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.map_err(|_| "it is no PEM".to_owned())?;
    if all.is_empty() {
        return Err("it has no certificate".to_owned());
    }
    let mut roots = RootCertStore::empty();
    for root in &all {
        roots
            .add(root.clone())
            .map_err(|error| format!("a certificate of it is no root: {error}"))?;
    }
    Ok(all)
}
