#![no_main]
//! The walk over OTLP requests takes what prost decodes and counts the same items.
use ekiden_relay::otlp::{Signal, wire::*};
use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::collector::{logs, metrics, trace};
use prost::Message;

fuzz_target!(|data: &[u8]| {
    for signal in Signal::ALL {
        match (walk(signal, data), decoded(signal, data)) {
            (Ok(walked), Ok(Some(items))) => assert_eq!(walked.items, items as u64),
            (Ok(_), Ok(None)) => {}
            (Ok(_), Err(error)) => panic!("{signal:?}: taken, but {error}"),
            (Err(Violation { fault, .. }), Ok(_)) => {
                assert!(matches!(fault, Fault::Group | Fault::TraceIdLength | Fault::SpanIdLength));
            }
            (Err(violation), Err(_)) => drop(violation.fault.to_string()),
        }
    }
});

/// The number of items; none for data points, since of two oneofs in a metric prost keeps the last.
fn decoded(signal: Signal, data: &[u8]) -> Result<Option<usize>, prost::DecodeError> {
    Ok(match signal {
        Signal::Traces => {
            let all = trace::v1::ExportTraceServiceRequest::decode(data)?.resource_spans;
            Some(all.iter().flat_map(|of| &of.scope_spans).map(|of| of.spans.len()).sum())
        }
        Signal::Logs => {
            let all = logs::v1::ExportLogsServiceRequest::decode(data)?.resource_logs;
            Some(all.iter().flat_map(|of| &of.scope_logs).map(|of| of.log_records.len()).sum())
        }
        Signal::Metrics => {
            metrics::v1::ExportMetricsServiceRequest::decode(data)?;
            None
        }
    })
}
