//! Issuers that somebody registered.
use reqwest::Url;

use super::OidcError;

/// Longest URL of an issuer, bytes.
const LONGEST: usize = 512;

/// An issuer whose tokens count, as it was registered.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Issuer {
    url: String,
    discovery: Url,
    jwks_uri: Option<Url>,
}

impl Issuer {
    /// An issuer by the exact text of its tokens' `iss`; `jwks_uri` is where its keys may be besides its own host.
    ///
    /// # Errors
    /// [`OidcError::IssuerRefused`] for what is no https URL in normal form, [`OidcError::OverrideRefused`] likewise.
    pub fn new(url: &str, jwks_uri: Option<Url>) -> Result<Self, OidcError> {
        let parsed = Url::parse(url).map_err(|_| OidcError::IssuerRefused)?;
        let bare = url.strip_suffix('/').unwrap_or(url);
        // Anything that parsing rewrites (case, default port, dots) would make two texts of one issuer.
        let normal = parsed.as_str().strip_suffix('/').unwrap_or(parsed.as_str()) == bare;
        let normal = normal && !bare.ends_with('/');
        if url.len() > LONGEST || !normal || !is_plain(&parsed) || parsed.query().is_some() {
            return Err(OidcError::IssuerRefused);
        }
        if jwks_uri.as_ref().is_some_and(|uri| !is_plain(uri)) {
            return Err(OidcError::OverrideRefused);
        }
        // OpenID Connect Discovery 1.0, section 4: a slash at the end goes before the path is added.
        let discovery = Url::parse(&format!("{bare}/.well-known/openid-configuration"))
            .map_err(|_| OidcError::IssuerRefused)?;
        Ok(Self { url: url.to_owned(), discovery, jwks_uri })
    }

    /// What `iss` must say.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The host that answers for it.
    pub fn host(&self) -> &str {
        self.discovery.host_str().unwrap_or_default()
    }

    /// Where the discovery document is.
    pub(super) fn discovery(&self) -> &Url {
        &self.discovery
    }

    /// Tells whether keys from `uri` are this issuer's.
    pub(super) fn allows(&self, uri: &Url) -> bool {
        is_plain(uri)
            && (uri.host() == self.discovery.host() || self.jwks_uri.as_ref() == Some(uri))
    }
}

/// Tells whether a URL is https, to a host, and nothing besides.
fn is_plain(url: &Url) -> bool {
    url.scheme() == "https"
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_https_urls_in_normal_form_can_be_registered() {
        for good in [
            "https://id.tokens.sts.global.api.aws",
            "https://login.example.com/",
            "https://login.example.com:8443/realms/one",
            "https://login.example.com/realms/one/",
        ] {
            assert_eq!(Issuer::new(good, None).unwrap().url(), good);
        }
        for bad in [
            "",
            "login.example.com",
            "http://login.example.com",
            "HTTPS://login.example.com",
            "https://Login.example.com",
            "https://login.example.com:443",
            "https://login.example.com//",
            "https://login.example.com/a/../b",
            "https://user@login.example.com",
            "https://:password@login.example.com",
            "https://login.example.com?tenant=1",
            "https://login.example.com#top",
            " https://login.example.com",
            "https://login.example.com\n",
            "https:login.example.com",
            "https://",
            "ftp://login.example.com",
            "https://2130706433",
        ] {
            assert_eq!(Issuer::new(bad, None), Err(OidcError::IssuerRefused), "{bad:?}");
        }
        let long = format!("https://login.example.com/{}", "a".repeat(LONGEST));
        assert_eq!(Issuer::new(&long, None), Err(OidcError::IssuerRefused));
    }

    #[test]
    fn the_discovery_document_is_below_the_issuer_without_a_second_slash() {
        for url in ["https://login.example.com/one", "https://login.example.com/one/"] {
            let issuer = Issuer::new(url, None).unwrap();
            assert_eq!(
                issuer.discovery().as_str(),
                "https://login.example.com/one/.well-known/openid-configuration"
            );
        }
    }

    #[test]
    fn keys_may_be_on_the_issuers_host_or_exactly_where_the_registration_says() {
        let there = || Url::parse("https://keys.example.net/v3/certs").unwrap();
        let issuer = Issuer::new("https://login.example.com", Some(there())).unwrap();
        let allows = |uri: &str| issuer.allows(&Url::parse(uri).unwrap());
        assert!(allows("https://login.example.com/keys"));
        assert!(allows("https://keys.example.net/v3/certs"));
        for uri in [
            "http://login.example.com/keys",
            "https://user@login.example.com/keys",
            "https://login.example.com/keys#1",
            "https://login.example.com.evil.example/keys",
            "https://sub.login.example.com/keys",
            "https://keys.example.net/v3/certs?other",
            "https://keys.example.net/v3/certs/",
            "http://keys.example.net/v3/certs",
            "data:application/json,{}",
        ] {
            assert!(!allows(uri), "{uri}");
        }
        for uri in ["http://keys.example.net/", "https://user@keys.example.net/"] {
            let registered = Issuer::new("https://login.example.com", Url::parse(uri).ok());
            assert_eq!(registered, Err(OidcError::OverrideRefused), "{uri}");
        }
    }
}
