//! Typed values of options, parsed where they enter.
use std::{str::FromStr, time::Duration};

use ekiden_proto::settings::v1::{Cell, Endpoint, ListenerProtocol};
use time::OffsetDateTime;

/// A length of time: `500ms`, `10s`, `5m`, `12h`, `90d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period(pub Duration);

impl FromStr for Period {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no time such as 500ms, 10s, 5m, 12h or 90d");
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let seconds = |unit: u64| number.checked_mul(unit).map(Duration::from_secs);
        let period = match unit {
            "ms" => Some(Duration::from_millis(number)),
            "s" => seconds(1),
            "m" => seconds(60),
            "h" => seconds(3_600),
            "d" => seconds(86_400),
            _ => None,
        };
        // A thousand years: what is longer is a mistake and would overflow timestamps.
        period.filter(|p| p.as_secs() <= 1_000 * 366 * 86_400).map(Self).ok_or_else(wrong)
    }
}

impl Period {
    /// As protobuf writes it.
    #[must_use]
    pub fn to_proto(self) -> prost_types::Duration {
        prost_types::Duration {
            seconds: i64::try_from(self.0.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(self.0.subsec_nanos()).unwrap_or_default(),
        }
    }

    /// The moment that lies this far ahead.
    #[must_use]
    pub fn after(self, now: OffsetDateTime) -> prost_types::Timestamp {
        let then =
            now.saturating_add(time::Duration::try_from(self.0).unwrap_or(time::Duration::MAX));
        prost_types::Timestamp {
            seconds: then.unix_timestamp(),
            nanos: i32::try_from(then.nanosecond()).unwrap_or_default(),
        }
    }
}

/// `host:port` or `host:port,priority`; IPv6 addresses in brackets.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointValue(pub Endpoint);

impl FromStr for EndpointValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no endpoint such as collector.example:6443 or collector.example:6443,10"
            )
        };
        let (address, priority) = match text.split_once(',') {
            Some((address, priority)) => (address, priority.trim().parse().map_err(|_| wrong())?),
            None => (text, 0),
        };
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        let port: u16 = port.parse().map_err(|_| wrong())?;
        if host.is_empty() || host.contains('/') || port == 0 {
            return Err(wrong());
        }
        Ok(Self(Endpoint { host: host.to_owned(), port: port.into(), priority }))
    }
}

/// `name=agents,port=6443,protocol=tcp,collector=us4`, and where wanted `max-connections=…`, `idle-timeout=…`, `max-connection-age=…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerValue {
    /// Unique in the fleet.
    pub name: String,
    /// 1 to 65535.
    pub port: u16,
    /// What the workloads speak.
    pub protocol: ListenerProtocol,
    /// Short or full name.
    pub collector: String,
    /// 0: the default.
    pub max_connections: u32,
    /// None: the default.
    pub idle_timeout: Option<Period>,
    /// None: no limit.
    pub max_connection_age: Option<Period>,
}

impl FromStr for ListenerValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut name = None;
        let mut port = None;
        let mut protocol = None;
        let mut collector = None;
        let mut max_connections = 0;
        let mut idle_timeout = None;
        let mut max_connection_age = None;
        for part in text.split(',') {
            let (key, value) = part
                .split_once('=')
                .ok_or_else(|| format!("{part:?} is not of the form key=value"))?;
            match key.trim() {
                "name" => name = Some(value.to_owned()),
                "port" => {
                    let number: u16 = value
                        .parse()
                        .ok()
                        .filter(|port| *port > 0)
                        .ok_or_else(|| format!("port {value:?} is not 1 to 65535"))?;
                    port = Some(number);
                }
                "protocol" => {
                    protocol = Some(match value {
                        "tcp" => ListenerProtocol::Tcp,
                        "otlp" => ListenerProtocol::Otlp,
                        _ => return Err(format!("protocol {value:?} is neither tcp nor otlp")),
                    });
                }
                "collector" => collector = Some(value.to_owned()),
                "max-connections" => {
                    max_connections = value
                        .parse()
                        .map_err(|_| format!("max-connections {value:?} is no number"))?;
                }
                "idle-timeout" => idle_timeout = Some(value.parse()?),
                "max-connection-age" => max_connection_age = Some(value.parse()?),
                other => {
                    return Err(format!(
                        "{other:?} is none of name, port, protocol, collector, max-connections, idle-timeout, max-connection-age"
                    ));
                }
            }
        }
        let missing = |key: &str| {
            format!("`{key}=…` is missing; e.g. name=agents,port=6443,protocol=tcp,collector=us4")
        };
        Ok(Self {
            name: name.ok_or_else(|| missing("name"))?,
            port: port.ok_or_else(|| missing("port"))?,
            protocol: protocol.ok_or_else(|| missing("protocol"))?,
            collector: collector.ok_or_else(|| missing("collector"))?,
            max_connections,
            idle_timeout,
            max_connection_age,
        })
    }
}

/// `service=srv-abc,dns-name=cell-1.relay.internal`.
#[derive(Clone, Debug, PartialEq)]
pub struct CellValue(pub Cell);

impl FromStr for CellValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is no cell such as service=srv-abc,dns-name=cell-1.relay.internal")
        };
        let mut cell = Cell::default();
        for part in text.split(',') {
            let (key, value) = part.split_once('=').ok_or_else(wrong)?;
            match key.trim() {
                "service" => value.clone_into(&mut cell.service_id),
                "dns-name" => value.clone_into(&mut cell.dns_name),
                _ => return Err(wrong()),
            }
        }
        if cell.service_id.is_empty() || cell.dns_name.is_empty() {
            return Err(wrong());
        }
        Ok(Self(cell))
    }
}

/// `key=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// Before the first `=`.
    pub key: String,
    /// After it.
    pub value: String,
}

impl FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) =
            text.split_once('=').ok_or_else(|| format!("{text:?} is not of the form key=value"))?;
        Ok(Self { key: key.to_owned(), value: value.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        for (text, seconds) in [("10s", 10), ("5m", 300), ("12h", 43_200), ("90d", 7_776_000)] {
            assert_eq!(text.parse(), Ok(Period(Duration::from_secs(seconds))), "{text}");
        }
        assert_eq!("500ms".parse(), Ok(Period(Duration::from_millis(500))));
        for wrong in ["", "10", "s", "-1s", "1.5h", "1w", "99999999999999999999s", "9999999999d"] {
            assert!(wrong.parse::<Period>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn endpoints_are_host_port_and_maybe_priority() {
        let endpoint = |host: &str, port, priority| {
            Ok(EndpointValue(Endpoint { host: host.to_owned(), port, priority }))
        };
        assert_eq!("c.example:6443".parse(), endpoint("c.example", 6443, 0));
        assert_eq!("c.example:6443,10".parse(), endpoint("c.example", 6443, 10));
        assert_eq!("[2001:db8::1]:443".parse(), endpoint("2001:db8::1", 443, 0));
        for wrong in ["c.example", "c.example:", ":1", "c:0", "c:70000", "c:1,x", "https://c:1"] {
            assert!(wrong.parse::<EndpointValue>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_listener_says_all_it_needs_and_a_wrong_one_says_what_is_wrong() {
        let listener: ListenerValue =
            "name=agents,port=6443,protocol=tcp,collector=us4,idle-timeout=5m,max-connection-age=8h"
                .parse()
                .unwrap();
        assert_eq!((listener.name.as_str(), listener.port), ("agents", 6443));
        assert_eq!(listener.protocol, ListenerProtocol::Tcp);
        assert_eq!(listener.idle_timeout, Some(Period(Duration::from_secs(300))));
        assert_eq!(listener.max_connection_age, Some(Period(Duration::from_secs(8 * 3600))));
        for (wrong, says) in [
            ("agents", "key=value"),
            ("name=a,port=0,protocol=tcp,collector=c", "1 to 65535"),
            ("name=a,port=1,protocol=udp,collector=c", "udp"),
            ("name=a,port=1,protocol=tcp", "collector"),
            ("name=a,port=1,protocol=tcp,collector=c,color=red", "color"),
        ] {
            let error = wrong.parse::<ListenerValue>().unwrap_err();
            assert!(error.contains(says), "{wrong}: {error}");
        }
    }
}
