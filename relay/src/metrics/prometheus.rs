//! Figures as Prometheus text (OpenMetrics 1.0).
use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text::encode},
    metrics::MetricType,
    registry::{Registry, Unit},
};

use super::{Figure, Kind, figures};
use crate::health::Health;

/// What the text is.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Gives the relay's figures as text.
#[derive(Debug)]
pub struct Prometheus {
    registry: Registry,
}

impl Prometheus {
    /// Figures told from `health` at each request.
    pub fn new(health: Health) -> Self {
        let mut registry = Registry::with_prefix("ekiden_relay");
        registry.register_collector(Box::new(Figures(health)));
        Self { registry }
    }

    /// The figures as of now.
    ///
    /// # Errors
    /// When a figure cannot be written as text.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[derive(Debug)]
struct Figures(Health);

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        figures(&self.0).iter().try_for_each(|figure| encode_figure(figure, &mut encoder))
    }
}

pub(super) fn encode_figure(
    figure: &Figure,
    encoder: &mut DescriptorEncoder<'_>,
) -> Result<(), fmt::Error> {
    let unit = match figure.unit {
        "" => None,
        unit => Some(Unit::Other(unit.to_owned())),
    };
    let kind = match figure.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
    };
    let mut metric = encoder.encode_descriptor(figure.name, figure.help, unit.as_ref(), kind)?;
    for (labels, value) in &figure.values {
        let labels: Vec<(&str, &str)> =
            labels.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if labels.is_empty() {
            encode_value(figure.kind, *value, &mut metric)?;
        } else {
            encode_value(figure.kind, *value, &mut metric.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn encode_value(kind: Kind, value: f64, metric: &mut MetricEncoder<'_>) -> Result<(), fmt::Error> {
    match kind {
        Kind::Counter => metric.encode_counter::<NoLabelSet, _, f64>(&value, None),
        Kind::Gauge => metric.encode_gauge(&value),
    }
}
