//! What Cloud Map answers to a request that is not signed as it should be.
use axum::http::request::Parts;

use super::ApiError;
use crate::{
    sigv4::{self, Refusal, Service},
    task_role::{CREDENTIALS, REGION},
};

const SERVICE: Service = Service { name: "servicediscovery", region: REGION };

/// Refuses a request that is not signed by the tasks' role.
pub(super) fn check(head: &Parts, body: &[u8]) -> Result<(), ApiError> {
    sigv4::check(head, body, SERVICE, &CREDENTIALS).map_err(|refusal| match refusal {
        Refusal::Missing => {
            ApiError::new("MissingAuthenticationToken", "the request is not signed")
        }
        Refusal::Incomplete => {
            ApiError::new("IncompleteSignature", "the Authorization header is not a SigV4 one")
        }
        Refusal::OtherScope | Refusal::UnknownKey => ApiError::new(
            "UnrecognizedClientException",
            format!("the credential should be the tasks' role's, for {REGION}"),
        ),
        Refusal::Mismatch => {
            ApiError::new("SignatureDoesNotMatch", "the signature is not the request's")
        }
    })
}
