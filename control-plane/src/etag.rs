//! Etags: what a caller sends back to change only what it has read.
use std::fmt::Display;

use aws_lc_rs::digest::{Context, SHA256};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use time::OffsetDateTime;

use crate::error::Error;

/// The etag of a version of a resource. A resource deleted and made again has others.
pub fn of(name: &dyn Display, created_at: OffsetDateTime, version: i64) -> String {
    let mut digest = Context::new(&SHA256);
    digest.update(name.to_string().as_bytes());
    digest.update(&created_at.unix_timestamp_nanos().to_be_bytes());
    digest.update(&version.to_be_bytes());
    let digest = digest.finish();
    URL_SAFE_NO_PAD.encode(digest.as_ref().get(..9).unwrap_or_default())
}

/// Lets through an empty etag and the current one.
///
/// # Errors
/// [`Error::Conflict`].
pub fn check(given: &str, current: &str, name: &dyn Display) -> Result<(), Error> {
    if given.is_empty() || given == current {
        return Ok(());
    }
    Err(Error::Conflict { resource: name.to_string() })
}
