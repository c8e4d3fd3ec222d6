//! Resource names: `tenants/acme/collectors/us4` to typed parts and back.
use std::fmt;

use ekiden_settings::rules;
use uuid::Uuid;

use crate::error::Error;

/// Checks an id that a caller chose: `[a-z]([a-z0-9-]{0,61}[a-z0-9])?`.
///
/// # Errors
/// [`Error::invalid`] naming `field`.
pub fn check_id(field: &'static str, id: &str) -> Result<(), Error> {
    rules::id(id).map_err(|description| Error::invalid(field, description))
}

/// Splits `name` by `pattern`, in which `{}` stands for an id: `["tenants", "{}", "fleets", "{}"]`.
/// Ids are checked; with `wildcards`, `-` passes as an id.
pub(crate) fn parse<'a, const N: usize>(
    field: &'static str,
    name: &'a str,
    pattern: &str,
    wildcards: bool,
) -> Result<[&'a str; N], Error> {
    let wrong =
        || Error::invalid(field, format!("{:?} is no name of the form `{pattern}`", shorten(name)));
    let mut ids = [""; N];
    let mut next = 0;
    let mut parts = name.split('/');
    for expected in pattern.split('/') {
        let part = parts.next().ok_or_else(wrong)?;
        if expected.starts_with('{') {
            let id = ids.get_mut(next).ok_or_else(wrong)?;
            let is_uuid = expected.ends_with("uuid}");
            let any = wildcards && part == "-";
            if !any && !is_uuid {
                check_id(field, part)?;
            }
            *id = part;
            next += 1;
        } else if part != expected {
            return Err(wrong());
        }
    }
    if parts.next().is_some() || next != N {
        return Err(wrong());
    }
    Ok(ids)
}

fn shorten(text: &str) -> String {
    text.chars().take(100).collect()
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $pattern:literal, $($part:ident),+) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type { $(#[doc = "Id in the name."] pub $part: String),+ }

        impl $type {
            /// Parses a name; `field` is named in the error.
            ///
            /// # Errors
            /// [`Error::invalid`] when it is not of the form documented.
            pub fn parse(field: &'static str, name: &str) -> Result<Self, Error> {
                let [$($part),+] = parse(field, name, $pattern, false)?;
                Ok(Self { $($part: $part.to_owned()),+ })
            }

            /// Parses a name in which `-` may stand for any id.
            ///
            /// # Errors
            /// [`Error::invalid`] when it is not of the form documented.
            pub fn parse_wildcard(field: &'static str, name: &str) -> Result<Self, Error> {
                let [$($part),+] = parse(field, name, $pattern, true)?;
                Ok(Self { $($part: $part.to_owned()),+ })
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut ids = [$(self.$part.as_str()),+].into_iter();
                for (i, part) in $pattern.split('/').enumerate() {
                    if i > 0 { f.write_str("/")?; }
                    let text = if part.starts_with('{') { ids.next().unwrap_or_default() } else { part };
                    f.write_str(text)?;
                }
                Ok(())
            }
        }
    };
}

name!(
    /// `tenants/{tenant}`.
    TenantName, "tenants/{tenant}", tenant
);
name!(
    /// `tenants/{tenant}/accessKeys/{access_key}`.
    AccessKeyName, "tenants/{tenant}/accessKeys/{access_key}", tenant, access_key
);
name!(
    /// `tenants/{tenant}/collectors/{collector}`.
    CollectorName, "tenants/{tenant}/collectors/{collector}", tenant, collector
);
name!(
    /// `tenants/{tenant}/fleets/{fleet}`.
    FleetName, "tenants/{tenant}/fleets/{fleet}", tenant, fleet
);
name!(
    /// `tenants/{tenant}/fleets/{fleet}/revisions/{revision}`; the revision is a number in decimal.
    RevisionName, "tenants/{tenant}/fleets/{fleet}/revisions/{revision_uuid}", tenant, fleet, revision
);
name!(
    /// `tenants/{tenant}/fleets/{fleet}/relays/{relay}`; the relay is a UUID.
    RelayName, "tenants/{tenant}/fleets/{fleet}/relays/{relay_uuid}", tenant, fleet, relay
);

impl RelayName {
    /// Its fleet.
    pub fn fleet(&self) -> FleetName {
        FleetName { tenant: self.tenant.clone(), fleet: self.fleet.clone() }
    }
}

name!(
    /// `tenants/{tenant}/fleets/{fleet}/enrollmentTokens/{enrollment_token}`; the token's id is a UUID.
    EnrollmentTokenName, "tenants/{tenant}/fleets/{fleet}/enrollmentTokens/{enrollment_token_uuid}", tenant, fleet, enrollment_token
);
name!(
    /// `tenants/{tenant}/fleets/{fleet}/enrollmentRules/{enrollment_rule}`.
    EnrollmentRuleName, "tenants/{tenant}/fleets/{fleet}/enrollmentRules/{enrollment_rule}", tenant, fleet, enrollment_rule
);
name!(
    /// `apiTokens/{api_token}`; the token's id is a UUID.
    ApiTokenName, "apiTokens/{api_token_uuid}", api_token
);
name!(
    /// `certificateAuthorities/{certificate_authority}`; its id is a UUID.
    CertificateAuthorityName, "certificateAuthorities/{certificate_authority_uuid}", certificate_authority
);

/// Reads the UUID part of a name; what is no UUID names nothing, so it is simply not found.
///
/// # Errors
/// [`Error::NotFound`].
pub fn uuid_part(resource: &str, id: &str) -> Result<Uuid, Error> {
    Uuid::parse_str(id).map_err(|_| Error::not_found(resource))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_read_into_its_ids_and_written_back() {
        let name = "tenants/acme/fleets/tokyo-1";
        let parsed = FleetName::parse("name", name).unwrap();
        assert_eq!((parsed.tenant.as_str(), parsed.fleet.as_str()), ("acme", "tokyo-1"));
        assert_eq!(parsed.to_string(), name);
    }

    #[test]
    fn a_name_of_another_form_is_refused() {
        for wrong in [
            "",
            "tenants",
            "tenants/acme",
            "tenants/acme/fleets/",
            "tenants/acme/fleets/a/b",
            "tenants/-/fleets/a",
            "tenants/Acme/fleets/a",
            "x/acme/fleets/a",
        ] {
            assert!(FleetName::parse("name", wrong).is_err(), "{wrong}");
        }
        assert!(FleetName::parse_wildcard("parent", "tenants/-/fleets/-").is_ok());
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_without_panic(text in ".{0,200}") {
            drop(RelayName::parse("name", &text));
            drop(check_id("id", &text));
        }

        #[test]
        fn every_id_of_the_documented_form_passes(id in "[a-z]([a-z0-9-]{0,61}[a-z0-9])?") {
            prop_assert!(check_id("id", &id).is_ok());
        }
    }
}
