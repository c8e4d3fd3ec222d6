//! Verifies JSON Web Tokens of registered issuers: relays' AWS web identity tokens and operators' logins.
//!
//! A token is a stranger's text until [`verify`] returns its [`Claims`]. Only issuers that somebody registered are ever
//! asked for keys, and only for tokens that would count if their signature did.
mod algorithm;
mod claims;
mod error;
mod issuer;
mod jwks;
mod key_sets;
mod object;
mod token;
mod verify;
mod web_identity;

#[cfg(test)]
mod corpus;
#[cfg(test)]
pub(crate) mod test_issuer;
#[cfg(test)]
pub(crate) mod test_tokens;
#[cfg(test)]
mod tests;

pub use algorithm::Algorithm;
pub use claims::Claims;
pub use error::OidcError;
pub use issuer::Issuer;
pub use key_sets::KeySets;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub use key_sets::fuzzing;
pub use verify::{Expected, LEEWAY, aws_issuer, unproven, verify};
pub use web_identity::{
    WebIdentity, account_of_role, is_organization, is_role_of_any_account, organization_path,
};
