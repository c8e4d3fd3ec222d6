//! The environment variables of telemetry: read once, all problems reported together.
use std::fs;

use http::Uri;
use tracing_subscriber::EnvFilter;

/// What the environment asks for.
#[derive(Debug)]
pub(crate) struct Environment {
    pub(crate) filter: EnvFilter,
    pub(crate) format: Format,
    /// Where traces go; none: nowhere.
    pub(crate) traces: Option<Destination>,
    /// Where metrics go; none: nowhere.
    pub(crate) metrics: Option<Destination>,
    /// `OTEL_SERVICE_NAME`, which wins over every other source of the name.
    pub(crate) service_name: Option<String>,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Text,
}

/// An OTLP receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    pub(crate) endpoint: String,
    /// PEM certificates to trust instead of the system's; only with `https`.
    pub(crate) certificates: Option<Vec<u8>>,
    pub(crate) tls: bool,
}

/// One variable that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Name of the variable.
    pub variable: &'static str,
    /// What is wrong and what would be right.
    pub description: String,
}

impl Environment {
    /// Reads the variables through `lookup`; `log` is the filter where none is set, and `terminal` says whether a person
    /// reads stderr.
    pub(crate) fn read(
        lookup: impl Fn(&str) -> Option<String>,
        log: &str,
        terminal: bool,
    ) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader { lookup, problems: Vec::new() };
        let filter = reader.filter(log);
        let format = reader.format(terminal);
        let disabled =
            reader.text("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let (traces, metrics) =
            if disabled { (None, None) } else { (reader.traces(), reader.metrics()) };
        let service_name = reader.text("OTEL_SERVICE_NAME");
        if reader.problems.is_empty() {
            Ok(Self { filter, format, traces, metrics, service_name })
        } else {
            Err(reader.problems)
        }
    }
}

struct Reader<L> {
    lookup: L,
    problems: Vec<Problem>,
}

impl<L: Fn(&str) -> Option<String>> Reader<L> {
    /// The variable's text; empty counts as absent, as OpenTelemetry asks for.
    fn text(&self, variable: &str) -> Option<String> {
        (self.lookup)(variable).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty())
    }

    fn problem(&mut self, variable: &'static str, description: String) {
        self.problems.push(Problem { variable, description });
    }

    fn filter(&mut self, otherwise: &str) -> EnvFilter {
        let text = self.text("EKIDEN_LOG").unwrap_or_else(|| otherwise.to_owned());
        EnvFilter::builder().parse(&text).unwrap_or_else(|error| {
            self.problem(
                "EKIDEN_LOG",
                format!(
                    "{text:?} is no filter such as `info` or `info,ekiden_relay=debug`: {error}"
                ),
            );
            EnvFilter::default()
        })
    }

    fn format(&mut self, terminal: bool) -> Format {
        match self.text("EKIDEN_LOG_FORMAT").as_deref() {
            Some("json") => Format::Json,
            Some("text") => Format::Text,
            Some(other) => {
                self.problem(
                    "EKIDEN_LOG_FORMAT",
                    format!("{other:?} is neither `json` nor `text`"),
                );
                Format::Json
            }
            None if terminal => Format::Text,
            None => Format::Json,
        }
    }

    fn traces(&mut self) -> Option<Destination> {
        self.destination([
            "OTEL_TRACES_EXPORTER",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
            "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
        ])
    }

    fn metrics(&mut self) -> Option<Destination> {
        self.destination([
            "OTEL_METRICS_EXPORTER",
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
            "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
            "OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE",
        ])
    }

    /// The signal's own variables win over those of all signals.
    fn destination(
        &mut self,
        [exporter, endpoint, protocol, certificate]: [&'static str; 4],
    ) -> Option<Destination> {
        match self.text(exporter).as_deref() {
            None | Some("otlp") => {}
            Some("none") => return None,
            Some(other) => {
                self.problem(exporter, format!("{other:?} is neither `otlp` nor `none`"));
                return None;
            }
        }
        let (endpoint, text) = self.either(endpoint, "OTEL_EXPORTER_OTLP_ENDPOINT")?;
        if let Some((protocol, text)) = self.either(protocol, "OTEL_EXPORTER_OTLP_PROTOCOL")
            && text != "grpc"
        {
            self.problem(protocol, format!("{text:?} is not supported: only `grpc` is"));
        }
        let tls = match text.parse::<Uri>() {
            Ok(uri) if uri.authority().is_some() && uri.scheme_str() == Some("https") => true,
            Ok(uri) if uri.authority().is_some() && uri.scheme_str() == Some("http") => false,
            _ => {
                self.problem(
                    endpoint,
                    format!(
                        "{text:?} is no URL of the form `http://host:4317` or `https://host:4317`"
                    ),
                );
                return None;
            }
        };
        let certificates = self
            .either(certificate, "OTEL_EXPORTER_OTLP_CERTIFICATE")
            .filter(|_| tls)
            .and_then(|(variable, path)| self.file(variable, &path));
        Some(Destination { endpoint: text, certificates, tls })
    }

    fn either(&self, own: &'static str, general: &'static str) -> Option<(&'static str, String)> {
        self.text(own)
            .map(|text| (own, text))
            .or_else(|| self.text(general).map(|text| (general, text)))
    }

    fn file(&mut self, variable: &'static str, path: &str) -> Option<Vec<u8>> {
        match fs::read(path) {
            Ok(content) => Some(content),
            Err(error) => {
                self.problem(variable, format!("{path:?} cannot be read: {error}"));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Environment, Vec<Problem>> {
        Environment::read(
            |name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()),
            "info",
            false,
        )
    }

    #[test]
    fn nothing_set_means_json_at_info_and_no_export() {
        let environment = read(&[]).unwrap();
        assert_eq!(environment.format, Format::Json);
        assert_eq!(environment.filter.to_string(), "info");
        assert_eq!((environment.traces, environment.metrics), (None, None));
    }

    #[test]
    fn the_process_has_a_filter_of_its_own_until_one_is_set() {
        let filter = |set: Option<&'static str>| {
            let lookup = |name: &str| set.filter(|_| name == "EKIDEN_LOG").map(ToOwned::to_owned);
            Environment::read(lookup, "debug", false).unwrap().filter.to_string()
        };
        assert_eq!(filter(None), "debug");
        assert_eq!(filter(Some("")), "debug");
        assert_eq!(filter(Some("warn")), "warn");
    }

    #[test]
    fn a_terminal_gets_text_unless_told_otherwise() {
        let terminal = |format: Option<&'static str>| {
            let lookup = |name: &str| {
                (name == "EKIDEN_LOG_FORMAT").then_some(format).flatten().map(str::to_owned)
            };
            Environment::read(lookup, "info", true).unwrap().format
        };
        assert_eq!(terminal(None), Format::Text);
        assert_eq!(terminal(Some("json")), Format::Json);
    }

    #[test]
    fn the_signals_own_endpoint_wins_and_a_signal_can_be_off() {
        let environment = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4317"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://traces:4317"),
            ("OTEL_METRICS_EXPORTER", "none"),
        ])
        .unwrap();
        let traces = environment.traces.unwrap();
        assert_eq!((traces.endpoint.as_str(), traces.tls), ("https://traces:4317", true));
        assert_eq!(environment.metrics, None);
    }

    #[test]
    fn a_disabled_sdk_exports_nothing() {
        let environment = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4317"),
            ("OTEL_SDK_DISABLED", "TRUE"),
        ])
        .unwrap();
        assert_eq!((environment.traces, environment.metrics), (None, None));
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let problems = read(&[
            ("EKIDEN_LOG", "ekiden_relay=loud"),
            ("EKIDEN_LOG_FORMAT", "xml"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ])
        .unwrap_err();
        let mut variables: Vec<_> = problems.iter().map(|p| p.variable).collect();
        variables.dedup();
        assert!(variables.starts_with(&["EKIDEN_LOG", "EKIDEN_LOG_FORMAT"]), "{variables:?}");
        assert!(variables.contains(&"OTEL_EXPORTER_OTLP_ENDPOINT"), "{variables:?}");
        assert!(variables.contains(&"OTEL_EXPORTER_OTLP_PROTOCOL"), "{variables:?}");
    }
}
