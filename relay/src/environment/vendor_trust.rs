//! Certificates to trust, as the vendor's container takes them: a file that a variable names, which the task may bring
//! along in another variable.
use std::fs;

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Notice, Problems};

/// A file that the vendor's container writes at its start; a relay writes none, and takes its content as it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Uploaded<'a> {
    /// How `value` is written; none: in Base64.
    pub(super) r#type: Option<&'a str>,
    pub(super) value: Option<&'a str>,
    /// Where the file would be.
    pub(super) path: &'a str,
}

/// Gives the PEM text to trust; none: none is named.
pub(super) fn roots(
    (variable, named): (&'static str, Option<&str>),
    value_variable: &'static str,
    uploaded: &Uploaded<'_>,
    problems: &mut Problems,
    notices: &mut Vec<Notice>,
) -> Option<String> {
    match (named, uploaded.value) {
        (None, None) => None,
        (Some(path), None) => problems.take(variable, read(path)),
        (Some(path), Some(_)) if path != uploaded.path => {
            let description = format!(
                "it is not used: {variable} names {path}, and this one is {}",
                uploaded.path
            );
            let name = value_variable.to_owned();
            notices.push(Notice { name, description, serious: true });
            problems.take(variable, read(path))
        }
        (_, Some(value)) => problems.take(value_variable, decode(uploaded.r#type, value)),
    }
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("`{path}` cannot be read: {error}"))
}

fn decode(r#type: Option<&str>, value: &str) -> Result<String, String> {
    match r#type {
        None => {}
        Some(r#type) if r#type.eq_ignore_ascii_case("base64") => {}
        Some(_) => return Err("its type is not `base64`, and no other is known".to_owned()),
    }
    let value: String = value.split_ascii_whitespace().collect();
    let pem = STANDARD.decode(value).map_err(|error| format!("it is not Base64: {error}"))?;
    String::from_utf8(pem).map_err(|_| "it is no PEM in Base64: no text comes of it".to_owned())
}
