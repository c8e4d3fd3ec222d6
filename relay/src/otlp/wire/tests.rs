//! Holds the walk against prost's decoding and against the descriptor that ships with the OpenTelemetry crates.

mod generate;

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::{
    logs::v1::ExportLogsServiceRequest, metrics::v1::ExportMetricsServiceRequest,
    trace::v1::ExportTraceServiceRequest,
};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use proptest::prelude::*;
use prost::Message as _;
use prost_types::{
    DescriptorProto, FileDescriptorSet, field_descriptor_proto::Label, field_descriptor_proto::Type,
};

use self::generate::{Generator, Random};
use super::schema::{self, Kind, Message};
use super::*;

/// Every message of the descriptor by its full name.
fn descriptors() -> BTreeMap<String, DescriptorProto> {
    fn add(prefix: &str, message: DescriptorProto, all: &mut BTreeMap<String, DescriptorProto>) {
        let name = format!("{prefix}.{}", message.name());
        for nested in message.nested_type.clone() {
            add(&name, nested, all);
        }
        all.insert(name, message);
    }
    let files = FileDescriptorSet::decode(opentelemetry_proto::DESCRIPTORS).unwrap();
    let mut all = BTreeMap::new();
    for file in files.file {
        let package = file.package().to_owned();
        for message in file.message_type {
            add(&package, message, &mut all);
        }
    }
    all
}

/// Decodes with prost: the number of items, or an error.
fn prost_items(signal: Signal, bytes: &[u8]) -> Result<u64, prost::DecodeError> {
    let items = match signal {
        Signal::Traces => ExportTraceServiceRequest::decode(bytes)?
            .resource_spans
            .iter()
            .flat_map(|resource| &resource.scope_spans)
            .map(|scope| scope.spans.len())
            .sum::<usize>(),
        Signal::Metrics => ExportMetricsServiceRequest::decode(bytes)?
            .resource_metrics
            .iter()
            .flat_map(|resource| &resource.scope_metrics)
            .flat_map(|scope| &scope.metrics)
            .map(|metric| match &metric.data {
                None => 0,
                Some(Data::Gauge(gauge)) => gauge.data_points.len(),
                Some(Data::Sum(sum)) => sum.data_points.len(),
                Some(Data::Histogram(histogram)) => histogram.data_points.len(),
                Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
                Some(Data::Summary(summary)) => summary.data_points.len(),
            })
            .sum(),
        Signal::Logs => ExportLogsServiceRequest::decode(bytes)?
            .resource_logs
            .iter()
            .flat_map(|resource| &resource.scope_logs)
            .map(|scope| scope.log_records.len())
            .sum(),
    };
    Ok(items as u64)
}

/// Says whether the walk may refuse what prost takes.
fn stricter_on_purpose(fault: Fault) -> bool {
    match fault {
        Fault::Group | Fault::TraceIdLength | Fault::SpanIdLength => true,
        Fault::Truncated | Fault::Key | Fault::WireType | Fault::Utf8 | Fault::Depth => false,
    }
}

#[test]
fn the_schema_is_the_descriptors() {
    fn compare(
        message: &'static Message,
        all: &BTreeMap<String, DescriptorProto>,
        seen: &mut BTreeMap<&'static str, ()>,
    ) {
        if seen.insert(message.name, ()).is_some() {
            return;
        }
        let descriptor = &all[message.name];
        let known =
            (0..64).filter(|number| !matches!(message.field(*number).kind, Kind::Unknown)).count();
        assert_eq!(known, descriptor.field.len(), "fields of {}", message.name);
        for field in &descriptor.field {
            let ours = message.field(u32::try_from(field.number()).unwrap());
            let place = format!("{}.{}", message.name, field.name());
            assert_eq!(ours.name, field.name(), "{place}");
            let repeated = field.label() == Label::Repeated;
            assert_eq!(ours.kind.is_repeated(), repeated, "{place}");
            let id = |length| {
                if field.name().ends_with("trace_id") { length == 16 } else { length == 8 }
            };
            let agrees = match (ours.kind, field.r#type()) {
                (Kind::Varint | Kind::Varints, kind) => {
                    use Type::*;
                    matches!(kind, Int32 | Int64 | Uint32 | Uint64 | Sint32 | Sint64 | Bool | Enum)
                }
                (Kind::Fixed64 | Kind::Fixed64s, kind) => {
                    matches!(kind, Type::Double | Type::Fixed64 | Type::Sfixed64)
                }
                (Kind::Fixed32, kind) => {
                    matches!(kind, Type::Float | Type::Fixed32 | Type::Sfixed32)
                }
                (Kind::Text | Kind::Texts, Type::String) => true,
                (Kind::Bytes, Type::Bytes) => !field.name().ends_with("_id"),
                (Kind::TraceId, Type::Bytes) => id(16),
                (Kind::SpanId, Type::Bytes) => field.name().ends_with("span_id") && id(8),
                (Kind::One(inner) | Kind::Many(inner) | Kind::Items(inner), Type::Message) => {
                    assert_eq!(format!(".{}", inner.name), field.type_name(), "{place}");
                    compare(inner, all, seen);
                    true
                }
                _ => false,
            };
            assert!(agrees, "{place} is {:?}", field.r#type());
        }
    }
    let all = descriptors();
    let mut seen = BTreeMap::new();
    for signal in Signal::ALL {
        compare(schema::request(signal), &all, &mut seen);
    }
    assert!(seen.len() > 25, "{seen:?}");
}

proptest! {
    #[test]
    fn what_the_descriptor_allows_is_accepted_and_counted(seed: u64) {
        let all = descriptors();
        for signal in Signal::ALL {
            let bytes = Generator::new(&all, seed).request(signal);
            let walked = walk(signal, &bytes).unwrap();
            prop_assert_eq!(walked, Walked { items: prost_items(signal, &bytes).unwrap(), unknown_fields: false });
        }
    }

    #[test]
    fn mutants_are_accepted_only_where_prost_decodes_them(seed: u64) {
        let all = descriptors();
        let mut random = Random::new(seed);
        for signal in Signal::ALL {
            let bytes = Generator::new(&all, seed).request(signal);
            for _ in 0..100 {
                let mutant = generate::mutant(&bytes, &mut random);
                let prost = prost_items(signal, &mutant);
                match walk(signal, &mutant) {
                    Ok(_) => prop_assert!(prost.is_ok(), "accepted: {prost:?}: {mutant:?}"),
                    Err(violation) if stricter_on_purpose(violation.fault) => {}
                    Err(violation) => prop_assert!(prost.is_err(), "refused {violation:?}: {mutant:?}"),
                }
            }
        }
    }

    #[test]
    fn arbitrary_bytes_are_accepted_only_where_prost_decodes_them(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for signal in Signal::ALL {
            if walk(signal, &bytes).is_ok() {
                prop_assert!(prost_items(signal, &bytes).is_ok());
            }
        }
    }
}

/// Puts a length-delimited field around bytes.
fn wrap(number: u8, inner: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    prost::encoding::encode_varint(inner.len() as u64, &mut bytes);
    bytes.extend_from_slice(inner);
    bytes
}

/// A log record with a body of that many messages nested in each other, the innermost holding the given bytes.
fn nested_body(messages: usize, innermost: &[u8]) -> Vec<u8> {
    let mut bytes = innermost.to_vec();
    for level in (0..messages).rev() {
        // Log record's body, then arrays and their values in turn.
        let number = match level {
            0 => 5,
            level if level % 2 == 1 => 5,
            _ => 1,
        };
        bytes = wrap(number, &bytes);
    }
    wrap(1, &wrap(2, &wrap(2, &bytes)))
}

#[test]
fn nesting_ends_where_prost_ends_it() {
    for innermost in [&[][..], &[0xf8, 0x01, 0x00][..]] {
        for messages in 90..105 {
            let bytes = nested_body(messages, innermost);
            let walked = walk(Signal::Logs, &bytes);
            assert_eq!(
                walked.is_ok(),
                prost_items(Signal::Logs, &bytes).is_ok(),
                "{messages} {innermost:?} {walked:?}"
            );
        }
    }
    assert_eq!(walk(Signal::Logs, &nested_body(200, &[])).unwrap_err().fault, Fault::Depth);
}

#[test]
fn a_violation_names_its_field() {
    let span = |trace_id: &[u8]| wrap(1, trace_id);
    let good = wrap(2, &span(&[1; 16]));
    let scope = [wrap(1, &[]), good.clone(), good, wrap(2, &span(&[1; 15]))].concat();
    let request = [wrap(1, &[]), wrap(1, &wrap(2, &scope))].concat();
    assert_eq!(
        walk(Signal::Traces, &request),
        Err(Violation {
            path: "resource_spans[1].scope_spans[0].spans[2].trace_id".to_owned(),
            fault: Fault::TraceIdLength,
        })
    );
    assert_eq!(
        walk(Signal::Traces, &wrap(1, &wrap(1, &wrap(1, &wrap(1, b"caf\xe9"))))),
        Err(Violation {
            path: "resource_spans[0].resource.attributes[0].key".to_owned(),
            fault: Fault::Utf8
        })
    );
    assert_eq!(
        walk(Signal::Logs, &[0x00]),
        Err(Violation { path: String::new(), fault: Fault::Key })
    );
    assert_eq!(
        walk(Signal::Logs, &wrap(15, &[])).unwrap(),
        Walked { items: 0, unknown_fields: true }
    );
    assert_eq!(
        walk(Signal::Metrics, &[15 << 3 | 3, 15 << 3 | 4]),
        Err(Violation { path: "15".to_owned(), fault: Fault::Group })
    );
    assert_eq!(
        walk(Signal::Metrics, &[1 << 3, 0]),
        Err(Violation { path: "resource_metrics[0]".to_owned(), fault: Fault::WireType })
    );
}
