//! Puts logs, traces and metrics together at the start of a process and takes them down at its end.
use std::{
    fmt,
    io::{self, IsTerminal},
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::{
    metrics::SdkMeterProvider, propagation::TraceContextPropagator, trace::SdkTracerProvider,
};
use tracing::{Dispatch, dispatcher, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, Registry,
    filter::{FilterExt, filter_fn},
    fmt::MakeWriter,
    layer::{Filter, SubscriberExt},
    registry::LookupSpan,
};

use crate::{
    environment::{Environment, Format, Problem},
    export, logs,
};

/// How long the last export may take, both signals together.
const FLUSH: Duration = Duration::from_secs(3);

/// Who the process is.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its name, e.g. `ekiden-relay`; becomes `service.name`.
    pub name: &'static str,
    /// Its version; becomes `service.version`.
    pub version: &'static str,
    /// What tells it from others of the same name; becomes `service.instance.id`.
    pub instance: String,
    /// What it logs where `EKIDEN_LOG` says nothing, e.g. `info`.
    pub log: &'static str,
}

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Environment variables are wrong: all of them at once.
    #[error("{}", list(.0))]
    Environment(Vec<Problem>),
    /// The OTLP exporter cannot be made from its settings.
    #[error("the OTLP exporter cannot be made")]
    Export(#[from] ExporterBuildError),
    /// Something else in the process collects logs already.
    #[error("telemetry was started already")]
    AlreadyStarted,
}

fn list(problems: &[Problem]) -> String {
    let lines: Vec<_> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.variable, self.description)
    }
}

/// Holds the exporters; [`Telemetry::shutdown`] sends what they still hold.
#[derive(Debug)]
#[must_use = "without a shutdown the last spans and metrics are lost"]
pub struct Telemetry {
    traces: SdkTracerProvider,
    metrics: Option<SdkMeterProvider>,
}

/// Starts logs on stderr, and OTLP export of traces and metrics where the standard `OTEL_*` variables ask for it.
/// Call it once, inside the process's tokio runtime, before anything logs.
///
/// # Errors
/// [`InitError`]: all wrong variables at once, or a second call.
pub fn init(service: Service) -> Result<Telemetry, InitError> {
    let environment =
        Environment::read(|name| std::env::var(name).ok(), service.log, io::stderr().is_terminal())
            .map_err(InitError::Environment)?;
    let (dispatch, telemetry) = assemble(&service, environment, io::stderr)?;
    dispatcher::set_global_default(dispatch).map_err(|_| InitError::AlreadyStarted)?;
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    opentelemetry::global::set_tracer_provider(telemetry.traces.clone());
    if let Some(metrics) = &telemetry.metrics {
        opentelemetry::global::set_meter_provider(metrics.clone());
    }
    Ok(telemetry)
}

impl Telemetry {
    /// Sends what is left and stops the exporters; gives up after 3 s. Blocks no thread of the runtime.
    pub async fn shutdown(self) {
        let (done, flushed) = tokio::sync::oneshot::channel();
        // A thread of its own: the SDK's shutdown blocks, and the runtime would wait for a blocking task at its own end.
        let worker =
            thread::Builder::new().name("telemetry-shutdown".to_owned()).spawn(move || {
                let traces = self.traces.shutdown_with_timeout(FLUSH);
                let metrics = self.metrics.map_or(Ok(()), |m| m.shutdown_with_timeout(FLUSH));
                done.send(traces.and(metrics)).ok();
            });
        let outcome = match worker {
            Ok(_) => tokio::time::timeout(FLUSH, flushed).await,
            Err(error) => {
                tracing::warn!(error = %error, "The last traces and metrics were not sent");
                return;
            }
        };
        match outcome {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => {
                tracing::info!(error = %error, "Not all of the last traces and metrics were sent");
            }
            Ok(Err(_)) | Err(_) => {
                tracing::info!("The last traces and metrics were not sent within 3 s");
            }
        }
    }
}

/// Builds the subscriber around `writer` and the exporters; touches nothing global.
pub(crate) fn assemble<W>(
    service: &Service,
    environment: Environment,
    writer: W,
) -> Result<(Dispatch, Telemetry), InitError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let resource = export::resource(service, environment.service_name.as_deref());
    let traces = export::traces(resource.clone(), environment.traces.as_ref())?;
    let metrics = export::metrics(resource, environment.metrics.as_ref())?;

    let tracer = traces.tracer("ekiden");
    let spans = tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_filter(own(LevelFilter::INFO));
    let own_dispatch = Arc::new(OnceLock::new());
    let lines: Box<dyn Layer<_> + Send + Sync> = match environment.format {
        Format::Json => logs::json::layer(writer, Arc::clone(&own_dispatch))
            .with_filter(lines_filter(environment.filter))
            .boxed(),
        Format::Text => tracing_subscriber::fmt::layer()
            .with_writer(writer)
            .with_ansi(io::stderr().is_terminal())
            .with_filter(lines_filter(environment.filter))
            .boxed(),
    };
    let dispatch = Dispatch::new(Registry::default().with(spans).with(lines));
    own_dispatch.set(dispatch.downgrade()).ok();
    Ok((dispatch, Telemetry { traces, metrics }))
}

/// What this project says itself, to a level. Nothing of the export's own libraries passes, so no export makes a new span.
fn own<S>(level: LevelFilter) -> impl Filter<S> + Send + Sync + 'static {
    filter_fn(move |metadata| metadata.target().starts_with("ekiden") && *metadata.level() <= level)
        .with_max_level_hint(level)
}

/// The person's filter, less what libraries say in detail about bytes on the wire, for that may hold keys and tokens;
/// and every span that has a trace id, so that a line names its trace however quiet the filter is.
fn lines_filter<S>(filter: tracing_subscriber::EnvFilter) -> impl Filter<S> + Send + Sync + 'static
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
{
    const QUIET: [&str; 7] = ["h2", "hyper", "tonic", "tower", "rustls", "aws_", "opentelemetry"];
    let discreet = filter_fn(|metadata| {
        *metadata.level() <= LevelFilter::INFO
            || !QUIET.iter().any(|name| metadata.target().starts_with(name))
    });
    let own_spans = filter_fn(|metadata| {
        metadata.is_span()
            && metadata.target().starts_with("ekiden")
            && *metadata.level() <= LevelFilter::INFO
    })
    .with_max_level_hint(LevelFilter::INFO);
    filter.and(discreet).or(own_spans)
}

#[cfg(test)]
#[path = "start_tests.rs"]
mod tests;
