//! The two halves around the call of STS, for fuzz targets.
use reqwest::Request;

use super::{CallerIdentity, Partition, Proof, StsError, answer, request};
use crate::https::Answer;

/// What STS is sent for a proof.
///
/// # Errors
/// A part that no header can hold.
pub fn rebuild(proof: &Proof, challenge: &str, audience: &str) -> Result<Request, StsError> {
    request::rebuild(proof, challenge, audience)
}

/// Whom an answer of STS names.
///
/// # Errors
/// [`StsError`].
pub fn read(answer: &Answer, partition: Partition) -> Result<CallerIdentity, StsError> {
    CallerIdentity::read(&answer::read(answer)?, partition)
}
