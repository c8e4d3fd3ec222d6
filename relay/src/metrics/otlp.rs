//! Figures as OpenTelemetry instruments; without export they are never read.
use std::collections::BTreeMap;

use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, Meter},
};

use super::{Kind, figures};
use crate::health::Health;

/// Makes one observable instrument a figure. Each reading makes a list of all figures, and a reader reads all
/// instruments at once a minute: that is cheap enough.
pub fn export(meter: &Meter, health: &Health) {
    let known: BTreeMap<&'static str, (Kind, &'static str, &'static str)> = figures(health)
        .into_iter()
        .map(|figure| (figure.name, (figure.kind, figure.unit, figure.help)))
        .collect();
    for (name, (kind, unit, help)) in known {
        let full_name = format!("ekiden.relay.{name}");
        let unit = match unit {
            "bytes" => "By",
            "seconds" => "s",
            // Not "1", a share to OpenTelemetry: Prometheus would put `_ratio` behind a gauge's name.
            _ => "",
        };
        let health = health.clone();
        let observe = move |observer: &dyn AsyncInstrument<f64>| {
            for figure in figures(&health).into_iter().filter(|figure| figure.name == name) {
                for (labels, value) in figure.values {
                    let attributes: Vec<KeyValue> = labels
                        .into_iter()
                        .map(|(name, value)| KeyValue::new(name, value))
                        .collect();
                    observer.observe(value, &attributes);
                }
            }
        };
        match kind {
            Kind::Counter => {
                let counter =
                    meter.f64_observable_counter(full_name).with_unit(unit).with_description(help);
                counter.with_callback(observe).build();
            }
            Kind::Gauge => {
                let gauge =
                    meter.f64_observable_gauge(full_name).with_unit(unit).with_description(help);
                gauge.with_callback(observe).build();
            }
        }
    }
}
