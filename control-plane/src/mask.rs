//! Update masks: which fields of a message a call changes.
use prost_types::FieldMask;

use crate::error::Error;

#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;

/// A field that callers may change; made by [`fields!`].
pub struct Field<M> {
    /// Its path, at most one level deep: `tls`, `tls.server_name`.
    pub path: &'static str,
    /// Whether it is set.
    pub populated: fn(&M) -> bool,
    /// Copies it.
    pub copy: fn(&M, &mut M),
    /// Whether both have the same.
    pub same: fn(&M, &M) -> bool,
}

/// Whether a field is set: proto3 tells a default value from none only where the field is optional.
pub fn is_set<T: Default + PartialEq>(field: &T) -> bool {
    *field != T::default()
}

/// Lists the fields of a message that callers may change: `fields!(Collector: endpoints, tls, tls.server_name)`.
macro_rules! fields {
    ($message:ty: $($outer:ident $(. $inner:ident)?),+ $(,)?) => {
        &[$($crate::mask::field!($message, $outer $(, $inner)?)),+]
    };
}

macro_rules! field {
    ($message:ty, $field:ident) => {
        $crate::mask::Field::<$message> {
            path: stringify!($field),
            populated: |m| $crate::mask::is_set(&m.$field),
            copy: |from, to| to.$field.clone_from(&from.$field),
            same: |a, b| a.$field == b.$field,
        }
    };
    ($message:ty, $outer:ident, $inner:ident) => {
        $crate::mask::Field::<$message> {
            path: concat!(stringify!($outer), ".", stringify!($inner)),
            populated: |m| m.$outer.as_ref().is_some_and(|o| $crate::mask::is_set(&o.$inner)),
            copy: |from, to| match (&from.$outer, &mut to.$outer) {
                (Some(from), to) => {
                    to.get_or_insert_default().$inner.clone_from(&from.$inner);
                }
                (None, Some(to)) => to.$inner = Default::default(),
                (None, None) => {}
            },
            same: |a, b| {
                a.$outer.as_ref().map(|o| &o.$inner) == b.$outer.as_ref().map(|o| &o.$inner)
            },
        }
    };
}

pub(crate) use {field, fields};

/// The fields that one call changes.
pub struct Mask<M: 'static> {
    fields: Vec<&'static Field<M>>,
}

impl<M> Mask<M> {
    /// Reads a mask; an empty one means every field that is set in `given`.
    ///
    /// # Errors
    /// [`Error::Invalid`] on `update_mask` for a path that is not among `fields`, or that is named twice.
    pub fn read(
        fields: &'static [Field<M>],
        mask: Option<&FieldMask>,
        given: &M,
    ) -> Result<Self, Error> {
        let paths = mask.map_or(&[][..], |m| &m.paths);
        if paths.is_empty() {
            return Ok(Self {
                fields: top_level(fields).filter(|f| (f.populated)(given)).collect(),
            });
        }
        let mut chosen: Vec<&'static Field<M>> = Vec::with_capacity(paths.len().min(fields.len()));
        for path in paths {
            let Some(field) = fields.iter().find(|f| f.path == path) else {
                return Err(unknown(path, fields));
            };
            if let Some(twice) =
                chosen.iter().find(|c| covers(c.path, path) || covers(path, c.path))
            {
                return Err(Error::invalid(
                    "update_mask",
                    format!("it names {path:?} twice: once as {:?}", twice.path),
                ));
            }
            chosen.push(field);
        }
        Ok(Self { fields: chosen })
    }

    /// Whether it names this path itself.
    pub fn has(&self, path: &str) -> bool {
        self.fields.iter().any(|f| f.path == path)
    }

    /// Copies the fields of the mask.
    pub fn apply(&self, from: &M, to: &mut M) {
        for field in &self.fields {
            (field.copy)(from, to);
        }
    }

    /// Paths of the mask's fields that differ.
    pub fn changed(&self, before: &M, after: &M) -> Vec<String> {
        self.fields.iter().filter(|f| !(f.same)(before, after)).map(|f| f.path.to_owned()).collect()
    }
}

/// Paths of the fields that are set.
pub fn populated<M>(fields: &'static [Field<M>], given: &M) -> Vec<String> {
    top_level(fields).filter(|f| (f.populated)(given)).map(|f| f.path.to_owned()).collect()
}

fn top_level<M>(fields: &'static [Field<M>]) -> impl Iterator<Item = &'static Field<M>> {
    fields.iter().filter(|f| !f.path.contains('.'))
}

/// Whether a change of `outer` is also one of `inner`.
fn covers(outer: &str, inner: &str) -> bool {
    inner == outer || inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('.'))
}

fn unknown<M>(path: &str, fields: &[Field<M>]) -> Error {
    let shown: String = path.chars().take(100).collect();
    let allowed: Vec<_> = fields.iter().map(|f| f.path).collect();
    Error::invalid(
        "update_mask",
        format!("{shown:?} is no field that can be changed; these are: {}", allowed.join(", ")),
    )
}

#[cfg(test)]
mod tests {
    use ekiden_proto::{
        admin::v1::Collector,
        settings::v1::{Endpoint, Tls},
    };

    use super::*;

    const FIELDS: &[Field<Collector>] =
        fields!(Collector: display_name, endpoints, tls, tls.server_name, tls.ca_certificates_pem);

    fn read(paths: &[&str], given: &Collector) -> Result<Mask<Collector>, Error> {
        let paths = paths.iter().map(|&p| p.to_owned()).collect();
        Mask::read(FIELDS, Some(&FieldMask { paths }), given)
    }

    fn tls(server_name: &str, ca: &str) -> Option<Tls> {
        Some(Tls {
            server_name: server_name.to_owned(),
            ca_certificates_pem: ca.to_owned(),
            insecure_skip_verify: false,
        })
    }

    #[test]
    fn an_empty_mask_means_every_field_that_is_set() {
        let given = Collector { tls: tls("a", ""), name: "x".to_owned(), ..Collector::default() };
        let mut to = Collector {
            display_name: "kept".to_owned(),
            tls: tls("b", "pem"),
            ..Collector::default()
        };
        let mask = Mask::read(FIELDS, None, &given).unwrap();
        let before = to.clone();
        mask.apply(&given, &mut to);
        assert_eq!(
            (to.display_name.as_str(), to.name.as_str(), to.tls.clone()),
            ("kept", "", tls("a", ""))
        );
        assert_eq!(mask.changed(&before, &to), ["tls"]);
    }

    #[test]
    fn a_nested_path_changes_that_field_only() {
        let given = Collector { tls: tls("a", "other"), ..Collector::default() };
        let mut to = Collector { tls: tls("b", "pem"), ..Collector::default() };
        read(&["tls.server_name"], &given).unwrap().apply(&given, &mut to);
        assert_eq!(to.tls, tls("a", "pem"));
    }

    #[test]
    fn a_nested_path_of_what_is_absent_on_both_sides_changes_nothing() {
        let mut to = Collector::default();
        read(&["tls.server_name"], &Collector::default())
            .unwrap()
            .apply(&Collector::default(), &mut to);
        assert_eq!(to, Collector::default());
    }

    #[test]
    fn a_field_in_the_mask_that_is_empty_is_cleared() {
        let mut to = Collector { endpoints: vec![Endpoint::default()], ..Collector::default() };
        read(&["endpoints"], &Collector::default()).unwrap().apply(&Collector::default(), &mut to);
        assert!(to.endpoints.is_empty());
    }

    #[test]
    fn an_unknown_path_is_refused_with_the_list_of_those_that_exist() {
        let error = read(&["etag"], &Collector::default()).err().unwrap().to_string();
        assert!(
            error.contains("update_mask")
                && error.contains("\"etag\"")
                && error.contains("tls.server_name"),
            "{error}"
        );
    }

    #[test]
    fn a_path_named_twice_is_refused_also_inside_its_parent() {
        for paths in [["tls", "tls"], ["tls", "tls.server_name"], ["tls.server_name", "tls"]] {
            assert!(read(&paths, &Collector::default()).is_err(), "{paths:?}");
        }
        assert!(
            read(&["tls.server_name", "tls.ca_certificates_pem"], &Collector::default()).is_ok()
        );
    }
}
