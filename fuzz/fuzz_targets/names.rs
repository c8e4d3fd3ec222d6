#![no_main]
//! Texts that callers send back: names print as they were read, and tokens are those that were given out.
use ekiden_control_plane::{etag, names::*, page::*, tokens::*};
use libfuzzer_sys::fuzz_target;
use time::OffsetDateTime;
use zeroize::Zeroizing;

/// The one page token that was given out.
const PAGE: &str = include_str!("../seeds/names/page");

macro_rules! print_back {
    ($text:ident: $($name:ident),+) => {$(
        let any = $name::parse_wildcard("name", $text).ok();
        assert!(any.as_ref().is_none_or(|name| name.to_string() == $text));
        let one = $name::parse("name", $text).ok();
        assert!(one.is_none() || one == any);
    )+};
}

fuzz_target!(|text: &str| {
    print_back!(text: TenantName, AccessKeyName, CollectorName, FleetName, RevisionName);
    print_back!(text: RelayName, EnrollmentTokenName, EnrollmentRuleName, ApiTokenName);
    let shown = [Kind::Api, Kind::Enrollment].map(|kind| Presented::parse(kind, text));
    assert!(shown.iter().flatten().count() < 2);
    assert!(shown.iter().flatten().all(|token| !token.matches(&[]) && !token.matches(&[0; 32])));
    let etag = etag::of(&"tenants/acme", OffsetDateTime::UNIX_EPOCH, 1);
    assert_eq!(etag::check(text, &etag, &"").is_ok(), text.is_empty() || text == etag);
    let pages = PageTokens::new(Zeroizing::new([7; 32]));
    let scope = |tenant| PageScope { method: "/List", request: b"", tenant: Some(tenant) };
    let read = |tenant, token: &str| pages.read(&scope(tenant), token).ok().flatten();
    assert_eq!(read("acme", text).is_some(), text == PAGE);
    let issued = pages.issue(&scope("acme"), text.as_bytes()).unwrap();
    assert!(text.len() > 2048 || read("acme", &issued).as_deref() == Some(text.as_bytes()));
    assert_eq!(read("other", &issued), None);
});
