//! Collector presets: vendors whose endpoints and header names are known.
use ekiden_proto::{
    admin::v1::{Collector, CollectorPreset},
    settings::v1::{CollectorProtocol, Endpoint, KeyPlacement, Tls},
};

use crate::error::Error;

/// Sysdig's regions: name, what people call it, ingestion host. All take the agents' own protocol in TLS on port 6443.
const SYSDIG: [(&str, &str, &str); 6] = [
    ("sysdig-au1", "Sysdig, Australia (Sydney)", "ingest.au1.sysdig.com"),
    ("sysdig-eu1", "Sysdig, European Union", "ingest-eu1.app.sysdig.com"),
    ("sysdig-us1", "Sysdig, US East", "collector.sysdigcloud.com"),
    ("sysdig-us2", "Sysdig, US West (AWS)", "ingest-us2.app.sysdig.com"),
    ("sysdig-us3", "Sysdig, US3", "ingest.us3.sysdig.com"),
    ("sysdig-us4", "Sysdig, US West (GCP)", "ingest.us4.sysdig.com"),
];
const SYSDIG_PORT: u32 = 6443;

/// A vendor that takes OTLP over gRPC in TLS.
struct Otlp {
    name: &'static str,
    description: &'static str,
    /// Host and port; none where every customer has another.
    endpoint: Option<(&'static str, u32)>,
    header: &'static str,
    prefix: &'static str,
}

const OTLP: [Otlp; 7] = [
    Otlp {
        name: "dynatrace",
        description: "Dynatrace: give the endpoint of an OTLP/gRPC receiver of yours (Dynatrace's own API at /api/v2/otlp takes HTTP only)",
        endpoint: None,
        header: "authorization",
        prefix: "Api-Token ",
    },
    Otlp {
        name: "elastic",
        description: "Elastic: give the endpoint of your deployment",
        endpoint: None,
        header: "authorization",
        prefix: "ApiKey ",
    },
    Otlp {
        name: "generic-otlp",
        description: "Any vendor that takes OTLP over gRPC with a bearer token: give its endpoint",
        endpoint: None,
        header: "authorization",
        prefix: "Bearer ",
    },
    Otlp {
        name: "honeycomb",
        description: "Honeycomb, US",
        endpoint: Some(("api.honeycomb.io", 443)),
        header: "x-honeycomb-team",
        prefix: "",
    },
    Otlp {
        name: "honeycomb-eu",
        description: "Honeycomb, European Union",
        endpoint: Some(("api.eu1.honeycomb.io", 443)),
        header: "x-honeycomb-team",
        prefix: "",
    },
    Otlp {
        name: "new-relic",
        description: "New Relic, US",
        endpoint: Some(("otlp.nr-data.net", 4317)),
        header: "api-key",
        prefix: "",
    },
    Otlp {
        name: "new-relic-eu",
        description: "New Relic, European Union",
        endpoint: Some(("otlp.eu01.nr-data.net", 4317)),
        header: "api-key",
        prefix: "",
    },
];

/// All presets, by name.
pub fn all() -> Vec<CollectorPreset> {
    let sysdig = SYSDIG.iter().map(|(name, description, host)| CollectorPreset {
        name: (*name).to_owned(),
        description: (*description).to_owned(),
        collector: Some(Collector {
            protocol: CollectorProtocol::Tcp.into(),
            endpoints: vec![endpoint(host, SYSDIG_PORT)],
            tls: Some(Tls::default()),
            ..Collector::default()
        }),
    });
    let otlp = OTLP.iter().map(|vendor| CollectorPreset {
        name: vendor.name.to_owned(),
        description: vendor.description.to_owned(),
        collector: Some(Collector {
            protocol: CollectorProtocol::OtlpGrpc.into(),
            endpoints: vendor.endpoint.iter().map(|(host, port)| endpoint(host, *port)).collect(),
            tls: Some(Tls::default()),
            key_placement: Some(KeyPlacement {
                access_key: String::new(),
                header: vendor.header.to_owned(),
                prefix: vendor.prefix.to_owned(),
            }),
            ..Collector::default()
        }),
    });
    let mut all: Vec<_> = sysdig.chain(otlp).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// Fills what `collector` leaves empty from the preset it names, if it names one. The header is filled only where an
/// access key is named to go into it.
///
/// # Errors
/// [`Error::Invalid`] on `collector.preset` when there is none of that name.
pub fn fill(collector: &mut Collector) -> Result<(), Error> {
    if collector.preset.is_empty() {
        return Ok(());
    }
    let all = all();
    let Some(preset) = all.iter().find(|p| p.name == collector.preset) else {
        let names: Vec<_> = all.iter().map(|p| p.name.as_str()).collect();
        return Err(Error::invalid(
            "collector.preset",
            format!("there is none of this name; these are: {}", names.join(", ")),
        ));
    };
    let known = preset.collector.clone().unwrap_or_default();
    if collector.protocol == 0 {
        collector.protocol = known.protocol;
    }
    if collector.endpoints.is_empty() {
        collector.endpoints = known.endpoints;
    }
    if collector.tls.is_none() {
        collector.tls = known.tls;
    }
    if let (Some(given), Some(known)) = (&mut collector.key_placement, known.key_placement)
        && given.header.is_empty()
    {
        given.header = known.header;
        if given.prefix.is_empty() {
            given.prefix = known.prefix;
        }
    }
    Ok(())
}

fn endpoint(host: &str, port: u32) -> Endpoint {
    Endpoint { host: host.to_owned(), port, priority: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::spec;

    #[test]
    fn every_preset_makes_a_valid_collector_once_its_gaps_are_filled() {
        for preset in all() {
            let mut collector = Collector { preset: preset.name.clone(), ..Collector::default() };
            let known = preset.collector.unwrap();
            if known.endpoints.is_empty() {
                collector.endpoints = vec![endpoint("otlp.example.com", 443)];
            }
            if known.key_placement.is_some() {
                collector.key_placement = Some(KeyPlacement {
                    access_key: "tenants/acme/accessKeys/key".to_owned(),
                    ..KeyPlacement::default()
                });
            }
            fill(&mut collector).unwrap();
            assert!(spec::of_collector("acme", &collector).is_ok(), "{}", preset.name);
        }
    }

    #[test]
    fn the_six_regions_of_sysdig_speak_tls_on_6443() {
        let sysdig: Vec<_> = all().into_iter().filter(|p| p.name.starts_with("sysdig-")).collect();
        assert_eq!(sysdig.len(), 6);
        for preset in sysdig {
            let collector = preset.collector.unwrap();
            assert!(
                collector.tls.is_some() && collector.endpoints[0].port == 6443,
                "{}",
                preset.name
            );
        }
    }

    #[test]
    fn what_the_caller_gives_wins_over_the_preset() {
        let mut collector = Collector {
            preset: "honeycomb".to_owned(),
            endpoints: vec![endpoint("proxy.example.com", 4317)],
            ..Collector::default()
        };
        fill(&mut collector).unwrap();
        assert_eq!(collector.endpoints[0].host, "proxy.example.com");
        assert_eq!(collector.key_placement, None);
    }

    #[test]
    fn an_unknown_preset_is_refused_with_the_list_of_those_that_exist() {
        let mut collector = Collector { preset: "sysdig".to_owned(), ..Collector::default() };
        let error = fill(&mut collector).unwrap_err().to_string();
        assert!(error.contains("collector.preset") && error.contains("sysdig-us4"), "{error}");
    }
}
