//! The HTTP proxy toward the collector, as the vendor's container takes it: by variables, or in ADDITIONAL_CONF.
use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use ekiden_settings::{Proxy, Tls, rules};
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::{
    Notice, Problems,
    additional_conf::AdditionalConf,
    vendor::{Variables, port, same, truth},
    vendor_trust::{self, Uploaded},
};

/// Gives the proxy; none where none is named. One that cannot be used is a problem: going another way would be wrong.
pub(super) fn proxy(
    variables: &Variables,
    conf: &AdditionalConf,
    uploaded: &Uploaded<'_>,
    problems: &mut Problems,
    notices: &mut Vec<Notice>,
) -> Option<Proxy> {
    let mut either = |variable, key: &Option<String>| {
        let own = variables.text(variable);
        if let (Some(own), Some(key)) = (own, key)
            && own != key
        {
            notices.push(overruled(variable));
        }
        own.map(ToOwned::to_owned).or_else(|| key.clone())
    };
    let host = either("PROXY_HOST", &conf.proxy_host);
    let given_port = either("PROXY_PORT", &conf.proxy_port);
    let user = either("PROXY_USER", &conf.proxy_user);
    let ssl = either("PROXY_SSL", &conf.proxy_ssl);
    let verify = either("PROXY_SSL_VERIFY_CERTIFICATE", &conf.proxy_verify);
    let ca = either("PROXY_CA_CERTIFICATE", &conf.proxy_ca);
    let own_password = variables.secret("PROXY_PASSWORD");
    if let (Some(own), Some(key)) = (own_password, &conf.proxy_password)
        && !same(own, key)
    {
        notices.push(overruled("PROXY_PASSWORD"));
    }
    let password = own_password.or(conf.proxy_password.as_ref());

    let mut flag = |variable, text: Option<String>, otherwise| {
        let said = text.and_then(|text| problems.take(variable, truth(&text)));
        said.unwrap_or(otherwise)
    };
    let ssl = flag("PROXY_SSL", ssl, false);
    let verify = flag("PROXY_SSL_VERIFY_CERTIFICATE", verify, true);
    let Some(host) = host else {
        if given_port.is_some() || user.is_some() || password.is_some() {
            let why = "it is needed beside PROXY_PORT, PROXY_USER and PROXY_PASSWORD";
            problems.add("PROXY_HOST", why.to_owned());
        }
        return None;
    };
    let host = problems.take("PROXY_HOST", rules::host(&host));
    let port = match given_port {
        Some(given) => problems.take("PROXY_PORT", port(&given)),
        None => {
            problems.add("PROXY_PORT", "it is needed beside PROXY_HOST".to_owned());
            None
        }
    };
    let authorization = problems.take("PROXY_USER", authorization(user, password));
    let tls = if ssl {
        if !verify {
            notices.push(Notice {
                name: "PROXY_SSL_VERIFY_CERTIFICATE".to_owned(),
                description: "the proxy's certificate goes unchecked, as it asks for".to_owned(),
                serious: true,
            });
        }
        let pem = vendor_trust::roots(
            ("PROXY_CA_CERTIFICATE", ca.as_deref()),
            "HTTP_PROXY_CA_CERTIFICATE_VALUE",
            uploaded,
            problems,
            notices,
        );
        let roots = pem.and_then(|pem| problems.take("PROXY_CA_CERTIFICATE", rules::roots(&pem)));
        Some(Tls { server_name: None, roots: roots.map(Arc::new), insecure_skip_verify: !verify })
    } else {
        for (name, set) in [
            ("PROXY_CA_CERTIFICATE", ca.is_some()),
            ("HTTP_PROXY_CA_CERTIFICATE_VALUE", uploaded.value.is_some()),
        ] {
            if set {
                notices.push(Notice::slight(name, "it has no effect: PROXY_SSL is not `true`"));
            }
        }
        None
    };
    Some(Proxy { host: host?, port: port?, tls, authorization: authorization? })
}

fn overruled(variable: &str) -> Notice {
    Notice {
        name: "ADDITIONAL_CONF http_proxy".to_owned(),
        description: format!("{variable} says otherwise, and wins"),
        serious: true,
    }
}

/// The header's value. Source: RFC 7617 §2.
fn authorization(
    user: Option<String>,
    password: Option<&SecretString>,
) -> Result<Option<SecretString>, String> {
    let Some(user) = user else {
        return match password {
            None => Ok(None),
            Some(_) => Err("it is needed beside PROXY_PASSWORD".to_owned()),
        };
    };
    if user.contains(':') {
        return Err("a user's name with a colon cannot be sent to a proxy".to_owned());
    }
    let password = password.map(ExposeSecret::expose_secret).unwrap_or_default();
    let pair = Zeroizing::new(format!("{user}:{password}"));
    Ok(Some(SecretString::from(format!("Basic {}", STANDARD.encode(pair.as_bytes())))))
}
