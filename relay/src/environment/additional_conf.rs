//! ADDITIONAL_CONF: the vendor's configuration file in YAML, of which a relay heeds a few keys.
use secrecy::{ExposeSecret, SecretString};
use serde_yaml_ng::{Mapping, Value};

const VARIABLE: &str = "ADDITIONAL_CONF";
/// Names of keys that are repeated.
const MOST_KEYS: usize = 16;
const LONGEST_KEY: usize = 64;

/// What a relay heeds of it, as text; and the keys that it does not.
#[derive(Debug, Default)]
pub(super) struct AdditionalConf {
    pub(super) listen_port: Option<String>,
    pub(super) log_priority: Option<String>,
    pub(super) proxy_host: Option<String>,
    pub(super) proxy_port: Option<String>,
    pub(super) proxy_user: Option<String>,
    pub(super) proxy_password: Option<SecretString>,
    pub(super) proxy_ssl: Option<String>,
    pub(super) proxy_verify: Option<String>,
    pub(super) proxy_ca: Option<String>,
    /// Dotted.
    pub(super) unknown: Vec<String>,
}

/// Reads it; what is wrong never repeats a value, since some are secret.
pub(super) fn read(text: &SecretString) -> Result<AdditionalConf, String> {
    // What the parser says may repeat what it read.
    let document: Value = serde_yaml_ng::from_str(text.expose_secret()).map_err(|error| {
        error.location().map_or_else(
            || "it is not YAML".to_owned(),
            |at| format!("it is not YAML: see line {}, column {}", at.line(), at.column()),
        )
    })?;
    let mut conf = AdditionalConf::default();
    for (key, value) in mapping("", document)? {
        match key.as_str() {
            "agentino_port" => conf.listen_port = scalar(&key, value)?,
            "log" => {
                for (key, value) in mapping("log", value)? {
                    match key.as_str() {
                        "log.console_priority" => conf.log_priority = scalar(&key, value)?,
                        _ => conf.unknown.push(key),
                    }
                }
            }
            "http_proxy" => conf.http_proxy(value)?,
            _ => conf.unknown.push(key),
        }
    }
    let more = conf.unknown.len().saturating_sub(MOST_KEYS);
    if more > 0 {
        conf.unknown.truncate(MOST_KEYS);
        conf.unknown.push(format!("{more} more keys"));
    }
    Ok(conf)
}

impl AdditionalConf {
    fn http_proxy(&mut self, value: Value) -> Result<(), String> {
        for (key, value) in mapping("http_proxy", value)? {
            let place = match key.as_str() {
                "http_proxy.proxy_host" => &mut self.proxy_host,
                "http_proxy.proxy_port" => &mut self.proxy_port,
                "http_proxy.proxy_user" => &mut self.proxy_user,
                "http_proxy.ssl" => &mut self.proxy_ssl,
                "http_proxy.ssl_verify_certificate" => &mut self.proxy_verify,
                "http_proxy.ca_certificate" => &mut self.proxy_ca,
                "http_proxy.proxy_password" => {
                    self.proxy_password = scalar(&key, value)?.map(SecretString::from);
                    continue;
                }
                _ => {
                    self.unknown.push(key);
                    continue;
                }
            };
            *place = scalar(&key, value)?;
        }
        Ok(())
    }
}

/// Gives keys with their whole path.
fn mapping(path: &str, value: Value) -> Result<Vec<(String, Value)>, String> {
    let mapping = match value {
        Value::Mapping(mapping) => mapping,
        Value::Null => Mapping::new(),
        _ if path.is_empty() => return Err(format!("{VARIABLE} is no list of keys and values")),
        _ => return Err(format!("{path} is no list of keys and values")),
    };
    let named = mapping.into_iter().map(|(key, value)| {
        let key = key.as_str().unwrap_or("a key that is no text");
        let key: String = key.chars().filter(|c| !c.is_control()).take(LONGEST_KEY).collect();
        (if path.is_empty() { key } else { format!("{path}.{key}") }, value)
    });
    Ok(named.collect())
}

/// Gives a value as it would stand in a variable; empty is none.
fn scalar(key: &str, value: Value) -> Result<Option<String>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Value::Bool(value) => Ok(Some(value.to_string())),
        Value::Number(value) => Ok(Some(value.to_string())),
        Value::Sequence(_) | Value::Mapping(_) | Value::Tagged(_) => {
            Err(format!("{key} is no single value"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn conf(text: &str) -> Result<AdditionalConf, String> {
        read(&SecretString::from(text))
    }

    #[test]
    fn the_known_keys_are_heeded_and_the_others_named() {
        let conf = conf(
            "agentino_port: 7000\nlog: { console_priority: debug, file_priority: error }\n\
             http_proxy:\n  proxy_host: proxy.internal\n  proxy_port: 3128\n  ssl: true\n  colour: red\n\
             \"tags\": \"a:b\"\nsecurity: { enabled: true }\n",
        )
        .unwrap();
        assert_eq!(conf.listen_port.as_deref(), Some("7000"));
        assert_eq!(conf.log_priority.as_deref(), Some("debug"));
        assert_eq!(conf.proxy_host.as_deref(), Some("proxy.internal"));
        assert_eq!(
            (conf.proxy_port.as_deref(), conf.proxy_ssl.as_deref()),
            (Some("3128"), Some("true"))
        );
        assert_eq!(conf.unknown, ["log.file_priority", "http_proxy.colour", "tags", "security"]);
    }

    #[test]
    fn nothing_in_it_is_fine_and_another_shape_is_not() {
        for empty in ["", "\n", "{}", "log:", "http_proxy: {}", "agentino_port:"] {
            assert!(conf(empty).unwrap().unknown.is_empty(), "{empty}");
        }
        for wrong in
            ["7000", "[1]", "log: info", "agentino_port: [1]", "http_proxy: 3128", "a: b: c"]
        {
            assert!(conf(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_wrong_repeats_no_value() {
        for wrong in [
            "http_proxy:\n  proxy_password: [s3cret]",
            "http_proxy:\n  proxy_password: *s3cret",
            "http_proxy: {proxy_password: s3cret: s3cret}",
            "proxy_password: s3cret\nproxy_password: s3cret",
        ] {
            let told = conf(wrong).unwrap_err();
            assert!(!told.contains("s3cret"), "{told}");
        }
    }

    #[test]
    fn a_flood_of_keys_is_counted_and_not_listed() {
        let many: String = (0..100).map(|at| format!("key{at}: 1\n")).collect();
        let conf = conf(&many).unwrap();
        assert_eq!(conf.unknown.len(), MOST_KEYS + 1);
        assert_eq!(conf.unknown.last().map(String::as_str), Some("84 more keys"));
    }

    proptest! {
        #[test]
        fn whatever_stands_there_is_read_or_refused(text in "(?s).{0,200}") {
            drop(conf(&text));
        }
    }
}
