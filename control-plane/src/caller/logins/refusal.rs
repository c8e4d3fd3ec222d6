//! Why a login does not count, for its caller.
use std::time::Duration;

use crate::{error::Error, oidc::OidcError};

/// When to come back while the issuer cannot be asked.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// A refusal by its meaning: a fault of the issuer passes, a fault of the token does not. The reason is the exact one.
pub(super) fn to_error(error: OidcError) -> Error {
    let reason = error.reason();
    if error.is_temporary() {
        return Error::Unavailable {
            reason,
            description: "the issuer of logins cannot be asked for its keys just now: try again, or call with an API token; the control plane's log says what is wrong",
            retry_after: RETRY_AFTER,
            source: Some(error.into()),
        };
    }
    Error::Unauthenticated { reason, description: advice(&error) }
}

fn advice(error: &OidcError) -> &'static str {
    use OidcError::*;
    match error {
        Expired => "the login has ended: log in again and pass the new token",
        IssuerUnexpected => {
            "the token is of another issuer than this control plane takes logins from: compare its iss with --operator-oidc-issuer, byte by byte"
        }
        AudienceUnexpected | AudienceSeveral => {
            "the token is not meant for this control plane alone: ask its issuer for one whose aud is --operator-oidc-audience and nothing else"
        }
        IssuedAhead | NotYetValid => {
            "the token does not count yet: compare the clocks of its issuer and of the control plane"
        }
        LivesTooLong => "the token lives for more than 24 hours: have its issuer give shorter ones",
        ClaimMissing { .. } | ClaimWrong { .. } | ClaimTwice => {
            "the token lacks a claim or has one in a wrong form: it must have iss, sub, aud, iat and exp once each, times in whole seconds"
        }
        AlgorithmRefused => {
            "the token is not signed in a way that counts: have its issuer sign with RS256, ES256 or ES384"
        }
        KeyUnknown | KeyOfOtherAlgorithm | SignatureWrong => {
            "the token is not signed by a key that its issuer publishes: log in again, and if the issuer has just changed its keys try again in a minute"
        }
        TypeRefused | CriticalRefused | KeyInHeader | KeyIdMissing | KeyIdWrong
        | HeaderMemberTwice => {
            "the token's header will not do: it must be of typ JWT or at+jwt, name its key by kid, and bring neither key nor crit"
        }
        TooLong => "the token is longer than 16 KiB: have its issuer put fewer claims into it",
        NotThreeParts | NotBase64 | HeaderNotJson | ClaimsNotJson => {
            "the token is neither an API token nor a JWT: pass it whole, as its issuer gave it"
        }
        IssuerRefused
        | OverrideRefused
        | IssuerUnreachable
        | IssuerStatus { .. }
        | IssuerAnswerTooLong
        | DiscoveryUnreadable
        | DiscoveryOfOtherIssuer
        | JwksUriRefused
        | KeySetUnreadable
        | KeySetEmpty
        | KeySetTooLarge
        | IssuersTooMany => {
            "the issuer of logins cannot be asked: have its registration with the control plane looked at"
        }
        AwsClaimsMissing | NotARole | AccountMismatch => {
            "the token is one of AWS: operators log in with those of people or services"
        }
    }
}
