//! Protobuf messages as JSON and YAML, by the protobuf JSON mapping: camelCase names, RFC 3339 times, enum names, 64-bit
//! numbers as strings.
use std::sync::LazyLock;

use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor};
use serde_yaml_ng::Value;

use crate::failure::Failure;

static POOL: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(ekiden_proto::DESCRIPTOR).ok());

/// JSON over several lines.
///
/// # Errors
/// [`Failure::Output`] when the message is not one of this project's.
pub fn json<M: Message + Name>(message: &M) -> Result<String, Failure> {
    serde_json::to_string_pretty(&value(message)?).map_err(other)
}

/// JSON on one line.
///
/// # Errors
/// As [`json`].
pub fn json_line<M: Message + Name>(message: &M) -> Result<String, Failure> {
    serde_json::to_string(&value(message)?).map_err(other)
}

/// YAML.
///
/// # Errors
/// As [`json`].
pub fn yaml<M: Message + Name>(message: &M) -> Result<String, Failure> {
    serde_yaml_ng::to_string(&value(message)?).map_err(other)
}

/// Reads what [`json_line`] wrote.
///
/// # Errors
/// [`Failure::Output`] when it is no such message; unknown members are refused.
pub fn from_json<M: Message + Name + Default>(text: &str) -> Result<M, Failure> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let dynamic =
        DynamicMessage::deserialize(descriptor::<M>()?, &mut deserializer).map_err(other)?;
    deserializer.end().map_err(other)?;
    dynamic.transcode_to().map_err(other)
}

/// The message by the mapping: fields in the contract's order, which this kind of value keeps, and maps by key.
fn value<M: Message + Name>(message: &M) -> Result<Value, Failure> {
    let descriptor = descriptor::<M>()?;
    let bytes = message.encode_to_vec();
    let dynamic = DynamicMessage::decode(descriptor.clone(), bytes.as_slice()).map_err(other)?;
    let mut value = serde_yaml_ng::to_value(&dynamic).map_err(other)?;
    sort_maps(&mut value, &descriptor);
    Ok(value)
}

fn descriptor<M: Name>() -> Result<MessageDescriptor, Failure> {
    POOL.as_ref()
        .and_then(|pool| pool.get_message_by_name(&M::full_name()))
        .ok_or_else(|| other(format!("{} has no descriptor", M::full_name())))
}

/// Puts the entries of protobuf maps in order, which come in a random one: the same message is to be the same text.
fn sort_maps(value: &mut Value, message: &MessageDescriptor) {
    let Value::Mapping(fields) = value else { return };
    for field in message.fields() {
        let Some(content) = fields.get_mut(field.json_name()) else { continue };
        if field.is_map()
            && let Value::Mapping(entries) = content
        {
            let mut sorted: Vec<_> = std::mem::take(entries).into_iter().collect();
            sorted.sort_by(|(a, _), (b, _)| a.as_str().cmp(&b.as_str()));
            entries.extend(sorted);
        }
        let Kind::Message(inner) = field.kind() else { continue };
        match content {
            Value::Sequence(items) => items.iter_mut().for_each(|item| sort_maps(item, &inner)),
            Value::Mapping(entries) if field.is_map() => {
                if let Kind::Message(inner) = inner.map_entry_value_field().kind() {
                    entries.iter_mut().for_each(|(_, entry)| sort_maps(entry, &inner));
                }
            }
            single => sort_maps(single, &inner),
        }
    }
}

fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failure {
    Failure::Output(std::io::Error::other(error))
}

#[cfg(test)]
mod tests {
    use ekiden_proto::admin::v1::{AccessKey, ListAccessKeysResponse};

    use super::*;

    #[test]
    fn the_same_message_is_always_the_same_text() {
        let metadata = (0..20).map(|i| (format!("k{i:02}"), i.to_string())).collect();
        let access_key = AccessKey { metadata, ..AccessKey::default() };
        let list = ListAccessKeysResponse {
            access_keys: vec![access_key],
            ..ListAccessKeysResponse::default()
        };
        let text = json_line(&list).unwrap();
        let keys: Vec<_> = text.split('"').filter(|part| part.starts_with('k')).collect();
        assert!(keys.len() == 20 && keys.is_sorted(), "{text}");
    }
}
