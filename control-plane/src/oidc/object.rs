//! JSON objects in which no name is twice: readers that disagree on which one counts can be played against each other.
use std::fmt::{Formatter, Result as Formatted};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Value};

/// Why bytes are no such object.
pub(super) enum NotAnObject {
    /// They are no JSON, or JSON of another type, or something follows.
    Unreadable,
    /// A name is in it twice, however it is escaped.
    Twice,
}

/// Reads one object; names below its top level are not compared.
pub(super) fn read(bytes: &[u8]) -> Result<Map<String, Value>, NotAnObject> {
    let object: Object = serde_json::from_slice(bytes).map_err(|_| NotAnObject::Unreadable)?;
    if object.twice {
        return Err(NotAnObject::Twice);
    }
    Ok(object.members)
}

#[derive(Default)]
struct Object {
    members: Map<String, Value>,
    twice: bool,
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Object;

    fn expecting(&self, formatter: &mut Formatter<'_>) -> Formatted {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut object = Object::default();
        while let Some((name, value)) = map.next_entry()? {
            object.twice |= object.members.insert(name, value).is_some();
        }
        Ok(object)
    }
}
