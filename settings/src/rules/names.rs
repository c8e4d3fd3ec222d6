//! Ids and resource names.
use super::shortened;

const MAX_ID: usize = 63;
/// Source: IAM's `arnType`.
const MAX_ARN: usize = 2048;
/// Source: Cloud Map's `ResourceId`.
const MAX_SERVICE: usize = 64;

/// Checks an id that someone chose, a listener's name among them: `[a-z]([a-z0-9-]{0,61}[a-z0-9])?`.
pub fn id(text: &str) -> Result<(), String> {
    match is_id(text) {
        true => Ok(()),
        false => Err(format!(
            "{:?} is no id: 1 to {MAX_ID} characters a-z, 0-9 and -, a letter first, no - last",
            shortened(text)
        )),
    }
}

/// Checks a resource name `tenants/{tenant}/{kind}/{id}`, of this tenant where it is known.
pub fn resource(name: &str, kind: &str, tenant: Option<&str>) -> Result<(), String> {
    match tenant_of(name, kind) {
        Some(of) if tenant.is_none_or(|tenant| tenant == of) => Ok(()),
        Some(_) => Err(format!("{name} is of another tenant")),
        None => {
            let of = tenant.unwrap_or("{tenant}");
            Err(format!("{:?} is not tenants/{of}/{kind}/{{id}}", shortened(name)))
        }
    }
}

/// Gives the tenant's id in `tenants/{tenant}/{kind}/{id}`; none where the name has another form.
pub fn tenant_of<'a>(name: &'a str, kind: &str) -> Option<&'a str> {
    let (tenant, id) = name.strip_prefix("tenants/")?.split_once('/')?;
    let id = id.strip_prefix(kind)?.strip_prefix('/')?;
    (is_id(tenant) && is_id(id)).then_some(tenant)
}

/// Checks the id of a Cloud Map service: `srv-…`.
pub fn cloud_map_service(text: &str) -> Result<(), String> {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let good = text.len() <= MAX_SERVICE
        && text.strip_prefix("srv-").is_some_and(|id| !id.is_empty() && id.bytes().all(inner));
    match good {
        true => Ok(()),
        false => Err(format!("{:?} is no Cloud Map service; srv-…", shortened(text))),
    }
}

/// Checks the ARN of an IAM role, in whatever partition.
pub fn role_arn(text: &str) -> Result<(), String> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let good = text.len() <= MAX_ARN
        && matches!(parts.as_slice(), ["arn", partition, "iam", "", account, role]
            if partition.strip_prefix("aws").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
                && account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit())
                && role.strip_prefix("role/").is_some_and(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic())));
    match good {
        true => Ok(()),
        false => Err(format!("{:?} is no role; arn:aws:iam::123456789012:role/…", shortened(text))),
    }
}

/// Reads an external id; none where it is empty. Source: STS's `ExternalId`.
pub fn external_id(text: &str) -> Result<Option<String>, String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&byte);
    match text.len() {
        0 => Ok(None),
        2..=1224 if text.bytes().all(good) => Ok(Some(text.to_owned())),
        _ => {
            Err("is no external id: 2 to 1,224 characters of a-z, A-Z, 0-9 and _+=,.@:/-"
                .to_owned())
        }
    }
}

fn is_id(text: &str) -> bool {
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    let bytes = text.as_bytes();
    bytes.len() <= MAX_ID
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.last().is_some_and(|last| *last != b'-')
        && bytes.iter().all(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_what_the_contract_says() {
        for good in ["a", "tcp", "us4-east", "a1", &"a".repeat(63)] {
            assert!(id(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "1a", "A", "a_b", "ä", &"a".repeat(64)] {
            assert!(id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_resource_name_tells_its_tenant_only_when_all_of_it_is_right() {
        assert_eq!(tenant_of("tenants/acme/collectors/us4", "collectors"), Some("acme"));
        for bad in [
            "",
            "tenants/acme",
            "tenants//collectors/us4",
            "tenants/acme/fleets/us4",
            "tenants/acme/collectors/us4/x",
        ] {
            assert_eq!(tenant_of(bad, "collectors"), None, "{bad}");
        }
    }

    #[test]
    fn a_role_and_an_external_id_are_what_sts_takes() {
        for good in
            ["arn:aws:iam::123456789012:role/relays", "arn:aws-cn:iam::123456789012:role/a/b"]
        {
            assert!(role_arn(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "relays",
            "arn:aws:iam::12345678901:role/relays",
            "arn:aws:iam::123456789012:user/relays",
            "arn:aws:iam::123456789012:role/",
            "arn:evil:iam::123456789012:role/relays",
            "arn:aws:sts::123456789012:role/relays",
            "arn:aws:iam::123456789012:role/two words",
        ] {
            assert!(role_arn(bad).is_err(), "{bad}");
        }
        assert_eq!(external_id(""), Ok(None));
        assert_eq!(external_id("ab:c/1"), Ok(Some("ab:c/1".to_owned())));
        for bad in ["a", "two words", "ä1", &"a".repeat(1225)] {
            assert!(external_id(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_cloud_map_service_has_its_prefix() {
        assert!(cloud_map_service("srv-e4anhexample0004").is_ok());
        for bad in ["", "srv-", "ns-1", "srv-a b", &format!("srv-{}", "a".repeat(61))] {
            assert!(cloud_map_service(bad).is_err(), "{bad}");
        }
    }
}
