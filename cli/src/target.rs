//! Which control plane to call and by which credential: options win over variables, variables over the context.
use std::{fs, net::IpAddr, path::Path};

use http::Uri;
use secrecy::SecretString;

use crate::{
    arguments::Global,
    config::{Config, Context},
    environment::Environment,
    failure::Failure,
    names::Defaults,
};

/// A control plane and how to talk to it.
#[derive(Debug)]
pub struct Target {
    /// URL of its operator port.
    pub endpoint: Uri,
    /// PEM of the CAs to trust; none: the system's.
    pub ca_certificate: Option<Vec<u8>>,
    /// API token.
    pub token: SecretString,
    /// The tenant to work in.
    pub defaults: Defaults,
}

impl Target {
    /// Puts options, variables and the context together.
    ///
    /// # Errors
    /// [`Failure::Config`] or [`Failure::Usage`] naming what is missing or wrong.
    pub fn resolve(
        global: &Global,
        environment: &Environment,
        config: &Config,
    ) -> Result<Self, Failure> {
        let context = context(global, config)?;
        let endpoint = global
            .control_plane
            .as_deref()
            .or(context.map(|context| context.endpoint.as_str()))
            .ok_or_else(|| {
                Failure::config(
                    "no control plane is known",
                    "`ekidenctl context import FOLDER` takes one on this machine by its data directory; \
                     `ekidenctl context set NAME --control-plane https://HOST:9443` any other; or set EKIDEN_ENDPOINT and EKIDEN_TOKEN",
                )
            })?;
        let endpoint = parse_endpoint(endpoint)?;
        let ca_certificate = match &global.ca {
            Some(path) => Some(read_ca(path)?),
            None => context.and_then(|c| c.ca_certificate.clone()).map(String::into_bytes),
        };
        let token = environment
            .token
            .clone()
            .or_else(|| context.and_then(|c| c.token.clone()).map(|token| token.0))
            .ok_or_else(|| {
                Failure::config(
                    format!("there is no token for {endpoint}"),
                    "put one into EKIDEN_TOKEN, or keep it in the context: `ekidenctl context set NAME --token-file FILE`",
                )
            })?;
        let tenant =
            global.tenant.clone().or_else(|| context.and_then(|context| context.tenant.clone()));
        Ok(Self { endpoint, ca_certificate, token, defaults: Defaults { tenant } })
    }
}

/// The context that counts. An endpoint given by hand leaves the current context aside, so that its token goes nowhere
/// else; a context named by hand counts in any case.
fn context<'a>(global: &Global, config: &'a Config) -> Result<Option<&'a Context>, Failure> {
    let find = |name: &str| {
        config.contexts.get(name).ok_or_else(|| {
            Failure::config(
                format!("there is no context {name:?}"),
                "`ekidenctl context list` shows what there is",
            )
        })
    };
    if let Some(name) = &global.context {
        return find(name).map(Some);
    }
    let current = config.current.as_deref().map(find).transpose()?;
    Ok(match (&global.control_plane, current) {
        (Some(given), Some(context))
            if parse_endpoint(given)? != parse_endpoint(&context.endpoint)? =>
        {
            None
        }
        (_, current) => current,
    })
}

/// Reads `https://host:port`, `http://` for loopback only, or `host:port`, which means https.
///
/// # Errors
/// [`Failure::Usage`] naming what is wrong.
pub fn parse_endpoint(text: &str) -> Result<Uri, Failure> {
    let wrong = |why: &str| {
        Failure::usage(format!("{text:?} is no endpoint: {why}"), "write it as `https://HOST:9443`")
    };
    let url = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let uri: Uri = url.trim_end_matches('/').parse().map_err(|_| wrong("it is malformed"))?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(|| wrong("it has no host"))?;
    if uri.path() != "/" && !uri.path().is_empty() {
        return Err(wrong("it has a path"));
    }
    match uri.scheme_str() {
        Some("https") => Ok(uri),
        Some("http") if is_loopback(host) => Ok(uri),
        Some("http") => Err(wrong(
            "without TLS the token could be read on the way; http:// goes to loopback addresses only",
        )),
        _ => Err(wrong("it is neither https:// nor http://")),
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Reads a PEM file and checks that it has a certificate.
///
/// # Errors
/// [`Failure::File`] or [`Failure::Usage`].
pub fn read_ca(path: &Path) -> Result<Vec<u8>, Failure> {
    let pem = fs::read(path).map_err(|source| Failure::File {
        path: path.display().to_string(),
        verb: "read",
        source,
    })?;
    let marker: &[u8] = b"-----BEGIN CERTIFICATE-----";
    if pem.windows(marker.len()).any(|window| window == marker) {
        return Ok(pem);
    }
    Err(Failure::usage(
        format!("{} holds no PEM certificate", path.display()),
        "give the control plane's `ca.pem`",
    ))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use secrecy::ExposeSecret;

    use super::*;
    use crate::{Arguments, config::Token};

    fn config() -> Config {
        let context = |endpoint: &str, token: &str| Context {
            endpoint: endpoint.to_owned(),
            tenant: Some("acme".to_owned()),
            token: Some(Token(token.to_owned().into())),
            ca_certificate: None,
        };
        Config {
            current: Some("local".to_owned()),
            contexts: [
                ("local".to_owned(), context("https://127.0.0.1:9443", "eka_local")),
                ("prod".to_owned(), context("https://ekiden.example:9443", "eka_prod")),
            ]
            .into(),
        }
    }

    fn resolve(options: &[&str], token: Option<&str>) -> Result<Target, Failure> {
        let arguments =
            Arguments::try_parse_from(["ekidenctl", "tenant", "list"].iter().chain(options))
                .unwrap();
        let environment = Environment {
            token: token.map(|token| token.to_owned().into()),
            ..Environment::default()
        };
        Target::resolve(&arguments.global, &environment, &config())
    }

    #[test]
    fn the_current_context_counts_unless_another_is_named() {
        let target = resolve(&[], None).unwrap();
        assert_eq!(target.endpoint.to_string(), "https://127.0.0.1:9443/");
        assert_eq!(target.token.expose_secret(), "eka_local");
        assert_eq!(target.defaults.tenant.as_deref(), Some("acme"));
        let target = resolve(&["--context", "prod", "--tenant", "-"], Some("eka_mine")).unwrap();
        assert_eq!(target.endpoint.host(), Some("ekiden.example"));
        assert_eq!(target.token.expose_secret(), "eka_mine");
        assert_eq!(target.defaults.tenant.as_deref(), Some("-"));
        assert!(matches!(resolve(&["--context", "none"], None), Err(Failure::Config { .. })));
    }

    #[test]
    fn a_contexts_token_goes_to_its_own_endpoint_only() {
        let failure = resolve(&["--control-plane", "https://evil.example:9443"], None).unwrap_err();
        assert!(failure.to_string().contains("no token"), "{failure}");
        let same = resolve(&["--control-plane", "127.0.0.1:9443"], None).unwrap();
        assert_eq!(same.token.expose_secret(), "eka_local");
        let forced =
            resolve(&["--control-plane", "https://other:1", "--context", "prod"], None).unwrap();
        assert_eq!(forced.token.expose_secret(), "eka_prod");
    }

    #[test]
    fn endpoints_without_tls_are_loopback_only() {
        for good in [
            "https://a.example",
            "a.example:9443",
            "http://127.0.0.1:1",
            "http://[::1]:1",
            "http://localhost:1/",
        ] {
            assert!(parse_endpoint(good).is_ok(), "{good}");
        }
        for bad in ["http://a.example:1", "ftp://a", "https://", "", "https://a/b", "a b"] {
            assert!(parse_endpoint(bad).is_err(), "{bad}");
        }
    }
}
