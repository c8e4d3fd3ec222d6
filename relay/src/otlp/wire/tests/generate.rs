//! Makes valid export requests from the descriptor, and mutants of them.

use std::collections::BTreeMap;

use bytes::BufMut;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_types::{
    DescriptorProto, FieldDescriptorProto,
    field_descriptor_proto::{Label, Type},
};

use super::super::super::signal::Signal;

/// A small generator of pseudo-random numbers (SplitMix64), so that a seed gives the same bytes everywhere.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap()
    }
}

pub(super) struct Generator<'a> {
    messages: &'a BTreeMap<String, DescriptorProto>,
    random: Random,
}

impl<'a> Generator<'a> {
    pub(super) fn new(messages: &'a BTreeMap<String, DescriptorProto>, seed: u64) -> Self {
        Self { messages, random: Random::new(seed) }
    }

    pub(super) fn request(&mut self, signal: Signal) -> Vec<u8> {
        let name = match signal {
            Signal::Traces => "opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest",
            Signal::Metrics => {
                "opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest"
            }
            Signal::Logs => "opentelemetry.proto.collector.logs.v1.ExportLogsServiceRequest",
        };
        self.message(name, 0)
    }

    fn message(&mut self, name: &str, depth: usize) -> Vec<u8> {
        let messages = self.messages;
        let mut bytes = Vec::new();
        // One member of each oneof at most: another would replace it, items and all.
        let mut oneofs = Vec::new();
        for field in &messages[name].field {
            let optional = field.proto3_optional();
            if let (Some(oneof), false) = (field.oneof_index, optional) {
                if oneofs.contains(&oneof) || self.random.below(3) == 0 {
                    continue;
                }
                oneofs.push(oneof);
            }
            let repeated = field.label() == Label::Repeated;
            let times = match (repeated, depth) {
                (true, 0..4) => self.random.below(3),
                (true, 4..9) => self.random.below(2),
                (true, _) => 0,
                (false, 0..12) => self.random.below(4).min(1),
                (false, _) => 0,
            };
            self.field(field, repeated, times, depth, &mut bytes);
        }
        bytes
    }

    fn field(
        &mut self,
        field: &FieldDescriptorProto,
        repeated: bool,
        times: usize,
        depth: usize,
        to: &mut Vec<u8>,
    ) {
        let number = u32::try_from(field.number()).unwrap();
        let wire = match field.r#type() {
            Type::Double | Type::Fixed64 | Type::Sfixed64 => WireType::SixtyFourBit,
            Type::Float | Type::Fixed32 | Type::Sfixed32 => WireType::ThirtyTwoBit,
            Type::String | Type::Bytes | Type::Message | Type::Group => WireType::LengthDelimited,
            _ => WireType::Varint,
        };
        if repeated && wire != WireType::LengthDelimited && self.random.below(2) == 0 {
            let mut packed = Vec::new();
            for _ in 0..times {
                self.scalar(wire, &mut packed);
            }
            encode_key(number, WireType::LengthDelimited, to);
            encode_varint(packed.len() as u64, to);
            to.extend_from_slice(&packed);
            return;
        }
        for _ in 0..times {
            encode_key(number, wire, to);
            if wire != WireType::LengthDelimited {
                self.scalar(wire, to);
                continue;
            }
            let value = match field.r#type() {
                Type::Message => self.message(field.type_name().trim_start_matches('.'), depth + 1),
                Type::Bytes if field.name().ends_with("trace_id") => {
                    vec![7; 16 * self.random.below(2)]
                }
                Type::Bytes if field.name().ends_with("span_id") => {
                    vec![7; 8 * self.random.below(2)]
                }
                Type::Bytes => vec![0xff; self.random.below(20)],
                _ => "é→a".repeat(self.random.below(30)).into_bytes(),
            };
            encode_varint(value.len() as u64, to);
            to.extend_from_slice(&value);
        }
    }

    fn scalar(&mut self, wire: WireType, to: &mut Vec<u8>) {
        let bits = self.random.below(64);
        let value = self.random.next() >> bits;
        match wire {
            WireType::SixtyFourBit => to.put_u64(value),
            WireType::ThirtyTwoBit => to.put_u32_le(7),
            _ => encode_varint(value, to),
        }
    }
}

/// Changes a few places of valid bytes.
pub(super) fn mutant(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut mutant = bytes.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(mutant.len());
        let byte = u8::try_from(random.below(256)).unwrap();
        match random.below(8) {
            0 => mutant.truncate(at),
            1 => mutant.insert(at, byte),
            2 if !mutant.is_empty() => drop(mutant.remove(at)),
            3 if !mutant.is_empty() => mutant[at] = byte,
            4 if !mutant.is_empty() => mutant[at] ^= 1 << random.below(8),
            5 if !mutant.is_empty() => mutant[at] = mutant[at].wrapping_add(1),
            // Another wire type or field number, keeping the rest of a key.
            6 if !mutant.is_empty() => mutant[at] ^= byte & 7,
            _ if !mutant.is_empty() => {
                let end = (at + random.below(16)).min(mutant.len());
                let copied = mutant[at..end].to_vec();
                let to = random.below(mutant.len());
                mutant.splice(to..to, copied);
            }
            _ => {}
        }
    }
    mutant
}
