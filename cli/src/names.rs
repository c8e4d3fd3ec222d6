//! Short names to resource names and back: `us4`, `acme/us4` and `tenants/acme/collectors/us4` are the same collector.
use crate::failure::Failure;

/// A kind of resource that commands name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `tenants/{}`
    Tenant,
    /// `tenants/{}/accessKeys/{}`
    AccessKey,
    /// `tenants/{}/collectors/{}`
    Collector,
    /// `tenants/{}/fleets/{}`
    Fleet,
    /// `tenants/{}/fleets/{}/revisions/{}`
    Revision,
    /// `tenants/{}/fleets/{}/relays/{}`
    Relay,
    /// `tenants/{}/fleets/{}/enrollmentTokens/{}`
    EnrollmentToken,
    /// `tenants/{}/fleets/{}/enrollmentRules/{}`
    EnrollmentRule,
    /// `apiTokens/{}`
    ApiToken,
    /// `certificateAuthorities/{}`
    CertificateAuthority,
}

impl Kind {
    const ALL: [Self; 10] = [
        Self::Tenant,
        Self::AccessKey,
        Self::Collector,
        Self::Fleet,
        Self::Revision,
        Self::Relay,
        Self::EnrollmentToken,
        Self::EnrollmentRule,
        Self::ApiToken,
        Self::CertificateAuthority,
    ];

    /// The collections on the way to it, outermost first.
    const fn collections(self) -> &'static [&'static str] {
        match self {
            Self::Tenant => &["tenants"],
            Self::AccessKey => &["tenants", "accessKeys"],
            Self::Collector => &["tenants", "collectors"],
            Self::Fleet => &["tenants", "fleets"],
            Self::Revision => &["tenants", "fleets", "revisions"],
            Self::Relay => &["tenants", "fleets", "relays"],
            Self::EnrollmentToken => &["tenants", "fleets", "enrollmentTokens"],
            Self::EnrollmentRule => &["tenants", "fleets", "enrollmentRules"],
            Self::ApiToken => &["apiTokens"],
            Self::CertificateAuthority => &["certificateAuthorities"],
        }
    }

    /// What the command line calls it.
    #[must_use]
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::AccessKey => "access-key",
            Self::Collector => "collector",
            Self::Fleet => "fleet",
            Self::Revision => "revision",
            Self::Relay => "relay",
            Self::EnrollmentToken => "enrollment-token",
            Self::EnrollmentRule => "enrollment-rule",
            Self::ApiToken => "api-token",
            Self::CertificateAuthority => "ca",
        }
    }
}

/// What stands in for the parents that a short name leaves out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Defaults {
    /// Tenant, short or full; `-`: all.
    pub tenant: Option<String>,
}

impl Defaults {
    /// The full name of one resource. `fleet` stands in for a left-out fleet, short or full.
    ///
    /// # Errors
    /// [`Failure::Usage`] when a parent is left out and has no default, or the name is of another kind.
    pub fn resolve(&self, kind: Kind, given: &str, fleet: Option<&str>) -> Result<String, Failure> {
        let collections = kind.collections();
        let ids = ids(kind, given)?;
        let missing = collections.len() - ids.len();
        let mut name = match (missing, fleet) {
            (0, _) => String::new(),
            (1, _) => self.one_tenant()?,
            (_, Some(fleet)) => self.resolve(Kind::Fleet, fleet, None)?,
            (_, None) => {
                return Err(Failure::usage(
                    format!("which fleet is {given:?} in?"),
                    format!("add `--fleet NAME`, or write `FLEET/{given}`"),
                ));
            }
        };
        for (collection, id) in collections.iter().skip(missing).zip(ids) {
            if !name.is_empty() {
                name.push('/');
            }
            name.push_str(collection);
            name.push('/');
            name.push_str(id);
        }
        Ok(name)
    }

    /// `tenants/{}` of the one tenant to work in.
    ///
    /// # Errors
    /// [`Failure::Usage`] when none or all are given.
    pub fn one_tenant(&self) -> Result<String, Failure> {
        match self.tenant.as_deref() {
            Some("-" | "tenants/-") => Err(Failure::usage(
                "`-` stands for all tenants, but this takes one",
                "add `--tenant NAME`",
            )),
            Some(tenant) => self.resolve(Kind::Tenant, tenant, None),
            None => Err(Failure::usage(
                "which tenant?",
                "add `--tenant NAME`, or keep a default: `ekidenctl context set CONTEXT --tenant NAME`",
            )),
        }
    }

    /// `tenants/{}` to list in; all where no tenant is given.
    ///
    /// # Errors
    /// [`Failure::Usage`] when the tenant's name is malformed.
    pub fn tenants(&self) -> Result<String, Failure> {
        match self.tenant.as_deref() {
            None | Some("-" | "tenants/-") => Ok("tenants/-".to_owned()),
            Some(_) => self.one_tenant(),
        }
    }

    /// `tenants/{}/fleets/{}` to list in; all where no fleet is given.
    ///
    /// # Errors
    /// [`Failure::Usage`] when a name is malformed.
    pub fn fleets(&self, fleet: Option<&str>) -> Result<String, Failure> {
        match fleet {
            Some("-") | None => Ok(format!("{}/fleets/-", self.tenants()?)),
            Some(fleet) => self.resolve(Kind::Fleet, fleet, None),
        }
    }
}

/// The ids in a given name: all of them when it is full, the last few when it is short.
fn ids(kind: Kind, given: &str) -> Result<Vec<&str>, Failure> {
    let collections = kind.collections();
    let parts: Vec<&str> = given.split('/').collect();
    let is_full =
        parts.len() == 2 * collections.len() && parts.iter().step_by(2).eq(collections.iter());
    let is_short = parts.len() <= collections.len()
        && (parts.len() == 1
            || Kind::ALL.iter().all(|kind| kind.collections().first() != parts.first()));
    let ids: Vec<&str> = if is_full {
        parts.into_iter().skip(1).step_by(2).collect()
    } else if is_short {
        parts
    } else {
        Vec::new()
    };
    if ids.is_empty() || ids.iter().any(|id| id.is_empty()) {
        let full: Vec<_> = collections.iter().map(|c| format!("{c}/…")).collect();
        return Err(Failure::usage(
            format!("{given:?} names no {}", kind.noun()),
            format!("write its id alone, or all of `{}`", full.join("/")),
        ));
    }
    Ok(ids)
}

/// The noun for a resource name, to suggest a command.
#[must_use]
pub fn noun(name: &str) -> Option<&'static str> {
    let collections: Vec<&str> = name.split('/').step_by(2).collect();
    Kind::ALL.into_iter().find(|kind| kind.collections() == collections).map(Kind::noun)
}

/// A name as short as it can be in lists: without what `parent` says already. `tenants/-` says nothing. What is no name of
/// a resource, as actors may be (an AWS role, the subject of a login), stays whole.
#[must_use]
pub fn short<'a>(name: &'a str, parent: &str) -> std::borrow::Cow<'a, str> {
    let root = name.split('/').next();
    if Kind::ALL.iter().all(|kind| kind.collections().first().copied() != root) {
        return name.into();
    }
    let mut parts = name.split('/');
    let mut given = parent.split('/');
    let mut ids = Vec::new();
    let mut same = true;
    while let (Some(_), Some(id)) = (parts.next(), parts.next()) {
        given.next();
        same = same && given.next() == Some(id);
        if !same {
            ids.push(id);
        }
    }
    match ids.as_slice() {
        [] => name.rsplit('/').next().unwrap_or(name).into(),
        [one] => (*one).into(),
        several => several.join("/").into(),
    }
}

/// The last id of a name.
#[must_use]
pub fn id(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(kind: Kind, given: &str, tenant: Option<&str>, fleet: Option<&str>) -> String {
        Defaults { tenant: tenant.map(str::to_owned) }
            .resolve(kind, given, fleet)
            .unwrap_or_else(|failure| format!("error: {failure}"))
    }

    #[test]
    fn a_short_name_takes_its_parents_from_the_defaults() {
        let acme = Some("acme");
        assert_eq!(resolve(Kind::Tenant, "acme", None, None), "tenants/acme");
        assert_eq!(resolve(Kind::Collector, "us4", acme, None), "tenants/acme/collectors/us4");
        assert_eq!(
            resolve(Kind::Collector, "us4", Some("tenants/acme"), None),
            "tenants/acme/collectors/us4"
        );
        assert_eq!(
            resolve(Kind::Collector, "umbrella/us4", acme, None),
            "tenants/umbrella/collectors/us4"
        );
        let relay = "tenants/acme/fleets/tokyo/relays/r1";
        assert_eq!(resolve(Kind::Relay, "r1", acme, Some("tokyo")), relay);
        assert_eq!(resolve(Kind::Relay, "r1", None, Some("acme/tokyo")), relay);
        assert_eq!(resolve(Kind::Relay, "r1", None, Some("tenants/acme/fleets/tokyo")), relay);
        assert_eq!(resolve(Kind::Relay, "tokyo/r1", acme, None), relay);
        assert_eq!(resolve(Kind::Relay, "tokyo/r1", acme, Some("osaka")), relay);
        assert_eq!(resolve(Kind::Relay, "acme/tokyo/r1", Some("umbrella"), Some("osaka")), relay);
        assert_eq!(resolve(Kind::ApiToken, "t1", acme, None), "apiTokens/t1");
    }

    #[test]
    fn a_full_name_stays_as_it_is() {
        for (kind, name) in [
            (Kind::Tenant, "tenants/acme"),
            (Kind::AccessKey, "tenants/acme/accessKeys/k"),
            (Kind::Revision, "tenants/acme/fleets/f/revisions/3"),
            (Kind::ApiToken, "apiTokens/t1"),
            (Kind::CertificateAuthority, "certificateAuthorities/c1"),
        ] {
            assert_eq!(resolve(kind, name, Some("other"), Some("other")), name);
        }
    }

    #[test]
    fn a_name_of_another_kind_or_without_its_parents_is_refused() {
        for (kind, name, tenant) in [
            (Kind::Collector, "us4", None),
            (Kind::Collector, "us4", Some("-")),
            (Kind::Collector, "tenants/acme", Some("acme")),
            (Kind::Collector, "tenants/acme/fleets/f", Some("acme")),
            (Kind::Collector, "a/b/c", Some("acme")),
            (Kind::Tenant, "", Some("acme")),
            (Kind::Collector, "acme/", Some("acme")),
            (Kind::Relay, "r1", Some("acme")),
        ] {
            let result = resolve(kind, name, tenant, None);
            assert!(result.starts_with("error: "), "{kind:?} {name}: {result}");
        }
    }

    #[test]
    fn lists_are_in_all_tenants_unless_one_is_given() {
        let none = Defaults::default();
        let acme = Defaults { tenant: Some("acme".to_owned()) };
        assert_eq!(none.tenants().unwrap(), "tenants/-");
        assert_eq!(none.fleets(None).unwrap(), "tenants/-/fleets/-");
        assert_eq!(acme.fleets(None).unwrap(), "tenants/acme/fleets/-");
        assert_eq!(acme.fleets(Some("tokyo")).unwrap(), "tenants/acme/fleets/tokyo");
    }

    #[test]
    fn lists_show_names_without_what_their_parent_says() {
        assert_eq!(short("tenants/acme", ""), "acme");
        assert_eq!(short("tenants/acme/collectors/us4", "tenants/acme"), "us4");
        assert_eq!(short("tenants/acme/collectors/us4", "tenants/-"), "acme/us4");
        assert_eq!(short("tenants/acme/fleets/f/relays/r", "tenants/acme/fleets/-"), "f/r");
        assert_eq!(short("tenants/acme/fleets/f/relays/r", "tenants/acme/fleets/f"), "r");
        assert_eq!(short("apiTokens/1", ""), "1");
        for actor in [
            "controlPlane",
            "arn:aws:iam::111122223333:role/ekiden-relay",
            "arn:aws:iam::111122223333:role/telemetry/ekiden-relay",
            "oidc/login.example.com/anna",
        ] {
            assert_eq!(short(actor, ""), actor);
        }
        assert_eq!(noun("tenants/acme/accessKeys/k"), Some("access-key"));
        assert_eq!(noun("things/1"), None);
    }
}
