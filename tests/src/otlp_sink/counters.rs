//! Sums out of OTLP metrics. They are cumulative: of each series the last value counts.
use std::{collections::BTreeMap, sync::Arc};

use opentelemetry_proto::tonic::{
    collector::metrics::v1::ExportMetricsServiceRequest,
    metrics::v1::{NumberDataPoint, metric::Data, number_data_point::Value},
};

use super::texts;

type Attributes = BTreeMap<String, String>;

/// Returns the sum of the series called `name` that carry all of `attributes`.
pub(super) fn sum(
    requests: &[Arc<ExportMetricsServiceRequest>],
    name: &str,
    attributes: &[(&str, &str)],
) -> f64 {
    let has = |of: &Attributes| {
        attributes.iter().all(|(name, value)| of.get(*name).is_some_and(|found| found == value))
    };
    all(requests, name).iter().filter(|((_, of), _)| has(of)).map(|(_, value)| value).sum()
}

/// Returns each series called `name`, by the process's `service.instance.id` and by attributes, with its last value.
pub(super) fn all(
    requests: &[Arc<ExportMetricsServiceRequest>],
    name: &str,
) -> BTreeMap<(String, Attributes), f64> {
    let mut series = BTreeMap::new();
    for resource in requests.iter().flat_map(|request| &request.resource_metrics) {
        let of = resource.resource.as_ref().map(|one| texts(&one.attributes)).unwrap_or_default();
        let instance = of.get("service.instance.id").cloned().unwrap_or_default();
        let metrics = resource.scope_metrics.iter().flat_map(|scope| &scope.metrics);
        for metric in metrics.filter(|metric| metric.name == name) {
            let Some(Data::Sum(sum)) = &metric.data else { continue };
            for point in &sum.data_points {
                series.insert((instance.clone(), texts(&point.attributes)), number(point));
            }
        }
    }
    series
}

fn number(point: &NumberDataPoint) -> f64 {
    match point.value {
        Some(Value::AsDouble(value)) => value,
        // Exact to 2⁵³, which no test counts to.
        Some(Value::AsInt(value)) => value as f64,
        None => 0.0,
    }
}
