//! Checks that bytes are a valid OTLP export request, without decoding them and without allocating.
//!
//! What passes, prost decodes (a differential test guards that); on top of it, groups are refused and trace and span
//! ids must have their length. A request is checked in one pass over its bytes; only a violation costs more, when its
//! path is put together.

mod schema;
#[cfg(test)]
mod tests;

use std::fmt;

use self::schema::{Field, Kind, Message};
use super::signal::Signal;

/// Messages nested deeper than this are refused; prost's own limit.
const DEPTH: u32 = 100;

/// What the walk found in a valid request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walked {
    /// Spans, data points or log records.
    pub items: u64,
    /// Whether some field is not in the schema, so that the request's parts may depend on each other in ways unknown here.
    pub unknown_fields: bool,
}

/// The first thing wrong in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, e.g. `resource_spans[0].scope_spans[2].spans[17].trace_id`; an unknown field is its number.
    pub path: String,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What can be wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It ends beyond the message it is in, or its varint is too long.
    Truncated,
    /// Its key is none: field number 0, too large, or a wire type that does not exist.
    Key,
    /// It is a group, which OTLP does not use.
    Group,
    /// Its wire type is not the schema's.
    WireType,
    /// It is text that is not UTF-8.
    Utf8,
    /// It is a trace id of neither 16 nor 0 bytes.
    TraceIdLength,
    /// It is a span id of neither 8 nor 0 bytes.
    SpanIdLength,
    /// It is nested too deep.
    Depth,
}

impl fmt::Display for Fault {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Truncated => "is cut short, or says a length it does not have",
            Self::Key => "has a field key that does not exist in protobuf",
            Self::Group => "is a protobuf group; OTLP has none",
            Self::WireType => "has another wire type than OTLP gives this field",
            Self::Utf8 => "is not UTF-8",
            Self::TraceIdLength => "must be 16 bytes or empty",
            Self::SpanIdLength => "must be 8 bytes or empty",
            Self::Depth => "is nested deeper than 100 messages",
        })
    }
}

/// Checks an export request of a signal.
pub fn walk(signal: Signal, request: &[u8]) -> Result<Walked, Violation> {
    let mut walk = Walk { found: Walked::default(), trail: Vec::new() };
    match walk.message(schema::request(signal), request, 0) {
        Ok(()) => Ok(walk.found),
        Err(fault) => Err(Violation { path: walk.path(), fault }),
    }
}

struct Walk {
    found: Walked,
    /// Where the violation is, innermost first; filled while a violation travels outward.
    trail: Vec<Step>,
}

/// One field on the way to a violation.
struct Step {
    field: &'static Field,
    number: u32,
    index: usize,
}

impl Walk {
    fn message(&mut self, schema: &'static Message, bytes: &[u8], depth: u32) -> Result<(), Fault> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let start = bytes.len() - rest.len();
            let (number, wire) = key(&mut rest)?;
            let field = schema.field(number);
            if let Err(fault) = self.field(field, wire, &mut rest, depth) {
                let index = occurrences(bytes.get(..start).unwrap_or_default(), number);
                self.trail.push(Step { field, number, index });
                return Err(fault);
            }
        }
        Ok(())
    }

    #[inline]
    fn field(
        &mut self,
        field: &'static Field,
        wire: Wire,
        rest: &mut &[u8],
        depth: u32,
    ) -> Result<(), Fault> {
        match (field.kind, wire) {
            (Kind::Text | Kind::Texts, Wire::Delimited) => {
                let text = delimited(rest)?;
                // Most text is ASCII, and seeing that is quicker than checking UTF-8.
                if text.is_ascii() || std::str::from_utf8(text).is_ok() {
                    Ok(())
                } else {
                    Err(Fault::Utf8)
                }
            }
            (Kind::One(inner) | Kind::Many(inner), Wire::Delimited) => {
                self.nested(inner, rest, depth)
            }
            (Kind::Items(inner), Wire::Delimited) => {
                self.found.items += 1;
                self.nested(inner, rest, depth)
            }
            (Kind::Varint | Kind::Varints, Wire::Varint) => varint(rest).map(drop),
            (Kind::Fixed64 | Kind::Fixed64s, Wire::Fixed64) => take(rest, 8).map(drop),
            (Kind::Fixed32, Wire::Fixed32) => take(rest, 4).map(drop),
            (Kind::Bytes, Wire::Delimited) => delimited(rest).map(drop),
            (Kind::TraceId, Wire::Delimited) => match delimited(rest)?.len() {
                0 | 16 => Ok(()),
                _ => Err(Fault::TraceIdLength),
            },
            (Kind::SpanId, Wire::Delimited) => match delimited(rest)?.len() {
                0 | 8 => Ok(()),
                _ => Err(Fault::SpanIdLength),
            },
            (Kind::Varints, Wire::Delimited) => {
                let mut packed = delimited(rest)?;
                while !packed.is_empty() {
                    varint(&mut packed)?;
                }
                Ok(())
            }
            (Kind::Fixed64s, Wire::Delimited) => match delimited(rest)?.len() % 8 {
                0 => Ok(()),
                _ => Err(Fault::Truncated),
            },
            (_, Wire::Group) => Err(Fault::Group),
            (Kind::Unknown, _) => self.unknown(wire, rest, depth),
            _ => Err(Fault::WireType),
        }
    }

    fn nested(
        &mut self,
        schema: &'static Message,
        rest: &mut &[u8],
        depth: u32,
    ) -> Result<(), Fault> {
        if depth == DEPTH {
            return Err(Fault::Depth);
        }
        self.message(schema, delimited(rest)?, depth + 1)
    }

    #[cold]
    fn unknown(&mut self, wire: Wire, rest: &mut &[u8], depth: u32) -> Result<(), Fault> {
        self.found.unknown_fields = true;
        if depth == DEPTH {
            return Err(Fault::Depth);
        }
        match wire {
            Wire::Varint => varint(rest).map(drop),
            Wire::Fixed64 => take(rest, 8).map(drop),
            Wire::Delimited => delimited(rest).map(drop),
            Wire::Group => Err(Fault::Group),
            Wire::Fixed32 => take(rest, 4).map(drop),
        }
    }

    fn path(&self) -> String {
        let mut path = String::new();
        for step in self.trail.iter().rev() {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&match step.field.kind {
                Kind::Unknown => step.number.to_string(),
                kind if kind.is_repeated() => format!("{}[{}]", step.field.name, step.index),
                _ => step.field.name.to_owned(),
            });
        }
        path
    }
}

/// How a field's value is laid out.
#[derive(Clone, Copy)]
enum Wire {
    Varint,
    Fixed64,
    Delimited,
    Group,
    Fixed32,
}

#[inline]
fn key(rest: &mut &[u8]) -> Result<(u32, Wire), Fault> {
    let key = u32::try_from(varint(rest)?).map_err(|_| Fault::Key)?;
    let wire = match key & 7 {
        0 => Wire::Varint,
        1 => Wire::Fixed64,
        2 => Wire::Delimited,
        3 | 4 => Wire::Group,
        5 => Wire::Fixed32,
        _ => return Err(Fault::Key),
    };
    match key >> 3 {
        0 => Err(Fault::Key),
        number => Ok((number, wire)),
    }
}

#[inline]
fn varint(rest: &mut &[u8]) -> Result<u64, Fault> {
    match rest.split_first() {
        Some((&byte, after)) if byte < 0x80 => {
            *rest = after;
            Ok(u64::from(byte))
        }
        _ => long_varint(rest),
    }
}

fn long_varint(rest: &mut &[u8]) -> Result<u64, Fault> {
    let mut value = 0;
    for (at, &byte) in rest.iter().take(10).enumerate() {
        // The tenth byte holds the 64th bit and nothing more.
        if at == 9 && byte > 1 {
            return Err(Fault::Truncated);
        }
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            *rest = rest.get(at + 1..).unwrap_or_default();
            return Ok(value);
        }
    }
    Err(Fault::Truncated)
}

#[inline]
fn delimited<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Fault> {
    let length = varint(rest)?;
    take(rest, usize::try_from(length).map_err(|_| Fault::Truncated)?)
}

#[inline]
fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], Fault> {
    let (taken, after) = rest.split_at_checked(length).ok_or(Fault::Truncated)?;
    *rest = after;
    Ok(taken)
}

/// Counts a field's occurrences in a message's part that was found valid.
fn occurrences(valid: &[u8], wanted: u32) -> usize {
    let mut rest = valid;
    let mut found = 0;
    while let Ok((number, wire)) = key(&mut rest) {
        found += usize::from(number == wanted);
        let skipped = match wire {
            Wire::Varint => varint(&mut rest).map(drop),
            Wire::Fixed64 => take(&mut rest, 8).map(drop),
            Wire::Delimited => delimited(&mut rest).map(drop),
            Wire::Group => Err(Fault::Group),
            Wire::Fixed32 => take(&mut rest, 4).map(drop),
        };
        if skipped.is_err() {
            break;
        }
    }
    found
}
