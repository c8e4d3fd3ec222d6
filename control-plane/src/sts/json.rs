//! JSON that keeps every member, so that none hides behind another of its name.
use std::{collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

/// A value, as far as STS's answers need it.
#[derive(Debug, PartialEq)]
pub(super) enum Json {
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
    /// A number, a truth value or null.
    Other,
}

impl Json {
    /// One value and nothing after it, at most 128 deep.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// The member of exactly this name, if this is an object that has it.
    pub(super) fn member(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(its, _)| its == name).map(|(_, value)| value)
    }

    pub(super) fn text(&self) -> Option<&str> {
        let Self::Text(text) = self else { return None };
        Some(text)
    }

    /// Whether an object, however deep, has two members whose names are the same but for case.
    pub(super) fn repeats_a_member(&self) -> bool {
        match self {
            Self::Text(_) | Self::Other => false,
            Self::List(values) => values.iter().any(Self::repeats_a_member),
            Self::Object(members) => {
                let mut seen = HashSet::new();
                members.iter().any(|(name, value)| {
                    !seen.insert(name.to_ascii_lowercase()) || value.repeats_a_member()
                })
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = access.next_element()? {
            values.push(value);
        }
        Ok(Json::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = access.next_entry()? {
            members.push(member);
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_one_name_are_seen_however_deep_and_however_written() {
        for (text, repeats) in [
            (r#"{"a":1,"b":{"a":2}}"#, false),
            (r#"{"a":1,"a":1}"#, true),
            (r#"{"a":1,"A":2}"#, true),
            (r#"{"Arn":1,"\u0041rn":2}"#, true),
            (r#"{"x":[1.5,-1,null,true,{"y":{"z":1,"z":2}}]}"#, true),
        ] {
            assert_eq!(Json::read(text.as_bytes()).unwrap().repeats_a_member(), repeats, "{text}");
        }
    }

    #[test]
    fn what_is_not_one_value_is_refused() {
        let deep = "[".repeat(200_000);
        for text in ["", "{", r#"{"a":1} {}"#, r#"{"a":1,}"#, "{'a':1}", "\u{feff}{}", "nan", &deep]
        {
            assert_eq!(Json::read(text.as_bytes()), None, "{:.40}", text);
        }
        assert_eq!(Json::read(b"{\"a\":\"\xff\"}"), None);
    }
}
