//! OTLP providers. They exist without a destination too, so that spans have ids for logs and for propagation.
use opentelemetry::KeyValue;
use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig, WithTonicConfig,
};
use opentelemetry_sdk::{
    Resource,
    metrics::SdkMeterProvider,
    resource::{EnvResourceDetector, TelemetryResourceDetector},
    trace::SdkTracerProvider,
};
use opentelemetry_semantic_conventions::attribute::{
    SERVICE_INSTANCE_ID, SERVICE_NAME, SERVICE_VERSION,
};
use tonic::transport::{Certificate, ClientTlsConfig};

use crate::{Service, environment::Destination};

/// Describes the process; `OTEL_RESOURCE_ATTRIBUTES` wins over what it says of itself, `OTEL_SERVICE_NAME` over both.
pub(crate) fn resource(service: &Service, service_name: Option<&str>) -> Resource {
    let builder = Resource::builder_empty()
        .with_attributes([
            KeyValue::new(SERVICE_NAME, service.name),
            KeyValue::new(SERVICE_VERSION, service.version),
            KeyValue::new(SERVICE_INSTANCE_ID, service.instance.clone()),
        ])
        .with_detectors(&[
            Box::new(TelemetryResourceDetector),
            Box::new(EnvResourceDetector::new()),
        ]);
    match service_name {
        Some(name) => builder.with_service_name(name.to_owned()).build(),
        None => builder.build(),
    }
}

/// Makes the provider of spans. The sampler is the SDK's: parent based, always on, unless `OTEL_TRACES_SAMPLER` says otherwise.
///
/// # Errors
/// What the exporter refuses about its destination.
pub(crate) fn traces(
    resource: Resource,
    destination: Option<&Destination>,
) -> Result<SdkTracerProvider, ExporterBuildError> {
    let mut builder = SdkTracerProvider::builder().with_resource(resource);
    if let Some(destination) = destination {
        let mut exporter =
            SpanExporter::builder().with_tonic().with_endpoint(destination.endpoint.clone());
        if let Some(tls) = tls(destination) {
            exporter = exporter.with_tls_config(tls);
        }
        builder = builder.with_batch_exporter(exporter.build()?);
    }
    Ok(builder.build())
}

/// Makes the provider of metrics, where they go somewhere.
///
/// # Errors
/// What the exporter refuses about its destination.
pub(crate) fn metrics(
    resource: Resource,
    destination: Option<&Destination>,
) -> Result<Option<SdkMeterProvider>, ExporterBuildError> {
    let Some(destination) = destination else { return Ok(None) };
    let mut exporter =
        MetricExporter::builder().with_tonic().with_endpoint(destination.endpoint.clone());
    if let Some(tls) = tls(destination) {
        exporter = exporter.with_tls_config(tls);
    }
    let provider = SdkMeterProvider::builder()
        .with_resource(resource)
        .with_periodic_exporter(exporter.build()?)
        .build();
    Ok(Some(provider))
}

fn tls(destination: &Destination) -> Option<ClientTlsConfig> {
    if !destination.tls {
        return None;
    }
    let tls = ClientTlsConfig::new();
    Some(match &destination.certificates {
        Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
        None => tls.with_enabled_roots(),
    })
}
