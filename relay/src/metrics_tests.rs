use ekiden_proto::health::v1::{CauseCount, Condition, ProcessHealth};
use prometheus_client::{encoding::text::encode, registry::Registry};

use super::*;

fn report() -> HealthReport {
    HealthReport {
        listeners: vec![ListenerHealth {
            name: "agents".to_owned(),
            bytes_received: 1_073_741_824,
            closed: vec![CauseCount { cause: "workload_closed".to_owned(), count: 3 }],
            ..ListenerHealth::default()
        }],
        collectors: vec![CollectorHealth {
            name: "tenants/acme/collectors/datadog".to_owned(),
            reachable: true,
            ..CollectorHealth::default()
        }],
        conditions: vec![Condition { reason: "CLOCK_SKEW".to_owned(), ..Condition::default() }],
        process: Some(ProcessHealth { resident_bytes: 20_000_000, ..ProcessHealth::default() }),
        certificate_expires_at: Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 }),
        ..HealthReport::default()
    }
}

#[derive(Debug)]
struct Fixed(Vec<Figure>);

impl prometheus_client::collector::Collector for Fixed {
    fn encode(
        &self,
        mut encoder: prometheus_client::encoding::DescriptorEncoder<'_>,
    ) -> Result<(), std::fmt::Error> {
        self.0.iter().try_for_each(|figure| prometheus::encode_figure(figure, &mut encoder))
    }
}

#[test]
fn every_figure_is_written_with_its_unit_and_labels() {
    let running = Running { revision: 7, rejected: 2, ..Running::default() };
    let figures = figures_of(&report(), &running, &View { lost: 4, ..View::default() }, true);
    let mut registry = Registry::with_prefix("ekiden_relay");
    registry.register_collector(Box::new(Fixed(figures)));
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    for line in [
        "ekiden_relay_listener_received_bytes_total{listener=\"agents\"} 1073741824.0",
        "ekiden_relay_listener_connections_closed_total{listener=\"agents\",cause=\"workload_closed\"} 3.0",
        "ekiden_relay_collector_reachable{collector=\"tenants/acme/collectors/datadog\"} 1.0",
        "ekiden_relay_settings_revision 7.0",
        "ekiden_relay_settings_rejected_total 2.0",
        "ekiden_relay_sessions_lost_total 4.0",
        "ekiden_relay_process_resident_memory_bytes 20000000.0",
        "ekiden_relay_certificate_expiry_time_seconds 1800000000.0",
        "ekiden_relay_condition{reason=\"CLOCK_SKEW\"} 1.0",
        "ekiden_relay_ready 1.0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in:\n{text}");
    }
}
