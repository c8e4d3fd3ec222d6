//! What an AWS SDK's error comes to, in one line for a person.
use std::error::Error;

use aws_sdk_sts::error::ProvideErrorMetadata;

use crate::error_chain::chain;

/// Code and message as AWS gave them, or else why there is no answer. Never the answer itself, which may hold a token.
pub fn what_aws_said(error: &(impl ProvideErrorMetadata + Error + 'static)) -> String {
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => chain(error),
    }
}
