use std::{fs, net::IpAddr};

use base64::{Engine, engine::general_purpose::STANDARD};
use ekiden_settings::{CheckedSettings, Host, Protocol};

use super::*;

const PASSWORD: &str = "pr0xy-s3cret";

/// What is made of these variables.
fn read(variables: &[(&str, &str)]) -> (Vendors, Vec<String>) {
    let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let variables = Variables::from(owned);
    let mut problems = Problems::default();
    let vendors = check(&variables, Some("tenants/acme/fleets/tokyo"), &mut problems);
    let shown = format!("{variables:?} {vendors:?} {:?}", problems.0);
    assert!(!shown.contains(PASSWORD) && !shown.contains("the-access-key"), "{shown}");
    (vendors, problems.0.iter().map(ToString::to_string).collect())
}

fn good(variables: &[(&str, &str)]) -> (CheckedSettings, Vec<Notice>) {
    let (vendors, problems) = read(variables);
    assert_eq!(problems, Vec::<String>::new());
    ((*vendors.bootstrap.unwrap().settings).clone(), vendors.notices)
}

/// Which variables are wrong.
fn wrong(variables: &[(&str, &str)]) -> Vec<String> {
    let mut names: Vec<_> = read(variables)
        .1
        .iter()
        .map(|problem| problem.split(':').next().unwrap().to_owned())
        .collect();
    names.dedup();
    names
}

fn names(notices: &[Notice]) -> Vec<&str> {
    notices.iter().map(|notice| notice.name.as_str()).collect()
}

fn authority() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    ca.self_signed(&key).unwrap().pem()
}

#[test]
fn what_the_vendors_module_sets_becomes_a_listener_to_its_collector() {
    // As the vendor's Terraform module starts its task.
    let (settings, notices) = good(&[
        ("ACCESS_KEY", "the-access-key"),
        ("CHECK_CERTIFICATE", "true"),
        ("COLLECTOR", "ingest.us4.sysdig.com"),
        ("COLLECTOR_PORT", "6443"),
        ("TAGS", "role:web"),
        ("ADDITIONAL_CONF", "agentino_port: 6667"),
        ("COLLECTOR_CA_CERTIFICATE_TYPE", "base64"),
        ("COLLECTOR_CA_CERTIFICATE_VALUE", ""),
        ("COLLECTOR_CA_CERTIFICATE_PATH", "/ssl/cert.pem"),
    ]);
    assert_eq!(names(&notices), ["ACCESS_KEY", "TAGS"]);
    assert!(notices.iter().all(|notice| !notice.serious));
    assert_eq!(settings.fleet, "tenants/acme/fleets/tokyo");
    let listener = settings.listeners.first().unwrap();
    assert_eq!((listener.port, listener.protocol), (6667, Protocol::Tcp));
    let endpoint = listener.collector.endpoints.first().unwrap();
    assert_eq!(endpoint.to_string(), "ingest.us4.sysdig.com:6443");
    let tls = listener.collector.tls.as_ref().unwrap();
    assert!(tls.roots.is_none() && !tls.insecure_skip_verify);
    assert!(settings.discovery.is_none() && listener.collector.proxy.is_none());
}

#[test]
fn one_name_is_enough_and_without_it_nothing_is_made() {
    let (settings, notices) = good(&[("COLLECTOR", "10.1.2.3")]);
    let listener = settings.listeners.first().unwrap();
    assert_eq!((listener.port, names(&notices)), (6667, vec![]));
    assert_eq!(listener.collector.endpoints.first().unwrap().to_string(), "10.1.2.3:6443");

    let (vendors, problems) = read(&[("PROXY_HOST", "proxy"), ("ACCESS_KEY", "the-access-key")]);
    assert!(vendors.bootstrap.is_none() && problems.is_empty());
    assert_eq!(names(&vendors.notices), ["COLLECTOR"]);
    assert!(read(&[("TAGS", "anyone may set this"), ("COLLECTOR", " ")]).0.notices.is_empty());
}

#[test]
fn discovery_is_taken_whole_or_refused() {
    let cloud_map = [
        ("COLLECTOR", "vendor.example"),
        ("EKIDEN_CLOUD_MAP_SERVICE_ID", "srv-e4anhexample0004"),
        ("EKIDEN_CLOUD_MAP_DNS_NAME", "relay.telemetry.internal"),
    ];
    let (settings, _) = good(&cloud_map);
    let discovery = settings.discovery.unwrap();
    assert_eq!(
        (discovery.service.dns_name.as_str(), discovery.ttl.as_secs()),
        ("relay.telemetry.internal.", 10)
    );
    let mut with_ttl = cloud_map.to_vec();
    with_ttl.push(("EKIDEN_CLOUD_MAP_TTL", "30"));
    assert_eq!(good(&with_ttl).0.discovery.unwrap().ttl.as_secs(), 30);
    assert_eq!(wrong(&cloud_map[..2]), ["EKIDEN_CLOUD_MAP_DNS_NAME"]);
    for (at, value, variable) in [
        (1, "relay", "EKIDEN_CLOUD_MAP_SERVICE_ID"),
        (2, "-relay", "EKIDEN_CLOUD_MAP_DNS_NAME"),
        (3, "9999", "EKIDEN_CLOUD_MAP_TTL"),
        (3, "10s", "EKIDEN_CLOUD_MAP_TTL"),
    ] {
        let mut broken = with_ttl.clone();
        broken[at].1 = value;
        assert_eq!(wrong(&broken), [variable], "{value}");
    }
}

#[test]
fn a_certificate_is_taken_from_its_variable_or_from_the_file_that_is_named() {
    let (one, other) = (authority(), authority());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    fs::write(&file, &other).unwrap();
    let (encoded, file) = (STANDARD.encode(&one), file.to_str().unwrap().to_owned());
    let roots = |variables: &[(&str, &str)]| {
        let mut all = vec![("COLLECTOR", "vendor.example")];
        all.extend_from_slice(variables);
        let (settings, notices) = good(&all);
        let roots = settings.collectors.first().unwrap().tls.as_ref().unwrap().roots.clone();
        (roots.unwrap().roots.clone(), notices)
    };
    let trusted = |pem: &str| ekiden_settings::rules::roots(pem).unwrap().roots;
    let value = ("COLLECTOR_CA_CERTIFICATE_VALUE", encoded.as_str());
    assert_eq!(roots(&[value]), (trusted(&one), vec![]));
    let named = ("COLLECTOR_CA_CERTIFICATE", "/ssl/collector_cert.pem");
    assert_eq!(roots(&[value, named]), (trusted(&one), vec![]), "the file need not be there");
    let named = ("COLLECTOR_CA_CERTIFICATE", file.as_str());
    assert_eq!(roots(&[named]).0, trusted(&other));
    let (both, notices) = roots(&[value, named]);
    assert_eq!((both, names(&notices)), (trusted(&other), vec!["COLLECTOR_CA_CERTIFICATE_VALUE"]));
    let path = ("COLLECTOR_CA_CERTIFICATE_PATH", file.as_str());
    assert_eq!(roots(&[value, named, path]).0, trusted(&one));

    for (variables, wrong_one) in [
        (
            [("COLLECTOR_CA_CERTIFICATE", "/nowhere/ca.pem"), ("TAGS", "")],
            "COLLECTOR_CA_CERTIFICATE",
        ),
        (
            [("COLLECTOR_CA_CERTIFICATE_VALUE", "???"), ("TAGS", "")],
            "COLLECTOR_CA_CERTIFICATE_VALUE",
        ),
        (
            [("COLLECTOR_CA_CERTIFICATE_VALUE", "aGVsbG8="), ("TAGS", "")],
            "COLLECTOR_CA_CERTIFICATE",
        ),
        ([value, ("COLLECTOR_CA_CERTIFICATE_TYPE", "s3")], "COLLECTOR_CA_CERTIFICATE_VALUE"),
    ] {
        let [one, other] = variables;
        assert_eq!(wrong(&[("COLLECTOR", "vendor.example"), one, other]), [wrong_one]);
    }
}

#[test]
fn a_proxy_is_taken_from_its_variables_and_from_the_yaml() {
    let encoded = STANDARD.encode(authority());
    let (settings, notices) = good(&[
        ("COLLECTOR", "vendor.example"),
        ("PROXY_HOST", "Proxy.Internal"),
        ("PROXY_PORT", "3128"),
        ("PROXY_USER", "relay"),
        ("PROXY_PASSWORD", PASSWORD),
        ("PROXY_SSL", "TRUE"),
        ("PROXY_CA_CERTIFICATE", "/ssl/proxy_cert.pem"),
        ("HTTP_PROXY_CA_CERTIFICATE_VALUE", &encoded),
    ]);
    assert_eq!(names(&notices), Vec::<&str>::new());
    let listener = settings.listeners.first().unwrap();
    assert_eq!(listener.collector, *settings.collectors.first().unwrap());
    let proxy = listener.collector.proxy.as_ref().unwrap();
    assert_eq!((&proxy.host, proxy.port), (&Host::Name("proxy.internal".to_owned()), 3128));
    let tls = proxy.tls.as_ref().unwrap();
    assert!(tls.roots.is_some() && !tls.insecure_skip_verify);
    let header = proxy.authorization.as_ref().unwrap().expose_secret();
    assert_eq!(header, format!("Basic {}", STANDARD.encode(format!("relay:{PASSWORD}"))));
    assert!(!format!("{settings:?}").contains(header), "it is never shown");

    let yaml = format!(
        "http_proxy: {{proxy_host: 10.0.0.9, proxy_port: 8080, proxy_user: relay, proxy_password: {PASSWORD}, ssl: false}}"
    );
    let (settings, _) = good(&[("COLLECTOR", "vendor.example"), ("ADDITIONAL_CONF", &yaml)]);
    let proxy = settings.collectors.first().unwrap().proxy.clone().unwrap();
    let ip: IpAddr = [10, 0, 0, 9].into();
    assert_eq!((proxy.host, proxy.port, proxy.tls), (Host::Address(ip), 8080, None));
    assert_eq!(proxy.authorization.unwrap().expose_secret(), header);

    let (settings, notices) = good(&[
        ("COLLECTOR", "vendor.example"),
        ("ADDITIONAL_CONF", &yaml),
        ("PROXY_PORT", "3128"),
        ("PROXY_CA_CERTIFICATE", "/ssl/proxy_cert.pem"),
    ]);
    assert_eq!(settings.collectors.first().unwrap().proxy.as_ref().unwrap().port, 3128);
    assert_eq!(names(&notices), ["ADDITIONAL_CONF http_proxy", "PROXY_CA_CERTIFICATE"]);
}

#[test]
fn a_proxy_that_cannot_be_used_is_refused_rather_than_passed_by() {
    let collector = ("COLLECTOR", "vendor.example");
    assert_eq!(wrong(&[collector, ("PROXY_HOST", "proxy.internal")]), ["PROXY_PORT"]);
    assert_eq!(wrong(&[collector, ("PROXY_PORT", "3128")]), ["PROXY_HOST"]);
    let proxy = [collector, ("PROXY_HOST", "http://proxy"), ("PROXY_PORT", "99999")];
    assert_eq!(wrong(&proxy), ["PROXY_HOST", "PROXY_PORT"]);
    let proxy = [collector, ("PROXY_HOST", "proxy.internal"), ("PROXY_PORT", "3128")];
    for (further, variable) in [
        (("PROXY_PASSWORD", PASSWORD), "PROXY_USER"),
        (("PROXY_USER", "a:b"), "PROXY_USER"),
        (("PROXY_SSL", "perhaps"), "PROXY_SSL"),
    ] {
        assert_eq!(wrong(&[&proxy[..], &[further]].concat()), [variable]);
    }
}

#[test]
fn all_that_is_wrong_is_told_at_once_under_the_name_that_said_it() {
    let variables = [
        ("COLLECTOR", "https://vendor.example"),
        ("COLLECTOR_PORT", "0"),
        ("CHECK_CERTIFICATE", "maybe"),
        ("ADDITIONAL_CONF", "agentino_port: 66670\nlog: {console_priority: loud}"),
        ("PROXY_HOST", "proxy.internal"),
        ("EKIDEN_CLOUD_MAP_TTL", "10"),
    ];
    let mut told = wrong(&variables);
    told.sort_unstable();
    told.dedup();
    assert_eq!(
        told,
        [
            "ADDITIONAL_CONF",
            "CHECK_CERTIFICATE",
            "COLLECTOR",
            "COLLECTOR_PORT",
            "EKIDEN_CLOUD_MAP_DNS_NAME",
            "EKIDEN_CLOUD_MAP_SERVICE_ID",
            "PROXY_PORT",
        ]
    );
    let mut broken = variables;
    broken[3].1 = "no: {yaml";
    assert!(
        read(&broken)
            .1
            .iter()
            .any(|problem| problem.starts_with("ADDITIONAL_CONF: it is not YAML"))
    );
}

#[test]
fn what_a_relay_does_not_know_is_named_without_its_value() {
    let (_, notices) = good(&[
        ("COLLECTOR", "vendor.example"),
        ("COLLECTOR_TIMEOUT", "the-access-key"),
        ("PROXY_COLOUR", "red"),
        ("ADDITIONAL_CONF", "ssl: false\nlog: {file_priority: debug}\ncustomerid: the-access-key"),
    ]);
    assert_eq!(
        names(&notices),
        [
            "COLLECTOR_TIMEOUT",
            "PROXY_COLOUR",
            "ADDITIONAL_CONF ssl",
            "ADDITIONAL_CONF log.file_priority",
            "ADDITIONAL_CONF customerid",
        ]
    );
    assert!(notices.iter().all(|notice| notice.serious));
}

#[test]
fn the_vendors_log_levels_count_where_ekidens_own_says_nothing() {
    let conf = |level: &str| format!("log: {{console_priority: {level}}}");
    for (level, filter) in [
        ("fatal", "error"),
        ("critical", "error"),
        ("error", "error"),
        ("warning", "warn"),
        ("notice", "info"),
        ("info", "info"),
        ("debug", "debug"),
        ("trace", "trace"),
    ] {
        let conf = conf(level);
        let (vendors, _) = read(&[("COLLECTOR", "vendor.example"), ("ADDITIONAL_CONF", &conf)]);
        assert_eq!(vendors.log, Some(filter));
    }
    let conf = conf("debug");
    let with_own =
        [("COLLECTOR", "vendor.example"), ("ADDITIONAL_CONF", &conf), ("EKIDEN_LOG", "warn")];
    assert_eq!(names(&good(&with_own).1), ["ADDITIONAL_CONF log.console_priority"]);
}
