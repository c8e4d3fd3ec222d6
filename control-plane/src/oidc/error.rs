//! Why a token, or what its issuer publishes, does not count.

/// A refusal by its cause; holds no byte of the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OidcError {
    /// A registration names its issuer in a way that no token can match safely.
    #[error(
        "the issuer cannot be registered: give it exactly as its tokens name it, an https URL in its normal form, at most 512 bytes, without user, query or fragment"
    )]
    IssuerRefused,
    /// A registration gives no usable address of the key set.
    #[error(
        "the key set's address cannot be registered: give an https URL without user or fragment, or leave it out where it is on the issuer's host"
    )]
    OverrideRefused,
    /// Longer than 16 KiB.
    #[error("the token is longer than 16 KiB: ask its issuer for one with fewer claims or tags")]
    TooLong,
    /// Not the compact form of a signed token.
    #[error(
        "the token is no signed JWT: send its three parts, joined by dots, and nothing before or after"
    )]
    NotThreeParts,
    /// A part is not strict base64url.
    #[error(
        "a part of the token is not base64url without padding: send the token as its issuer gave it"
    )]
    NotBase64,
    /// The header is no JSON object.
    #[error("the token's header is no JSON object: send the token as its issuer gave it")]
    HeaderNotJson,
    /// A name is twice in the header.
    #[error("the token's header names a member twice: ask the issuer for a well-formed token")]
    HeaderMemberTwice,
    /// `typ` is there and neither `JWT` nor `at+jwt`.
    #[error("the token's typ is neither JWT nor at+jwt: ask for an identity or access token")]
    TypeRefused,
    /// `alg` is missing, or not among those that this issuer may use.
    #[error(
        "the token is not signed in a way that counts for its issuer: have it signed with RS256, ES256 or ES384 as registered"
    )]
    AlgorithmRefused,
    /// `crit` is there.
    #[error(
        "the token demands by crit what is not understood here: ask the issuer for a token without it"
    )]
    CriticalRefused,
    /// `jku`, `jwk`, `x5u` or `x5c` is there.
    #[error(
        "the token brings a key, or the address of one: only keys that its issuer publishes count; ask for a token without jku, jwk, x5u and x5c"
    )]
    KeyInHeader,
    /// `kid` is missing.
    #[error("the token does not name its key: have the issuer sign with a key that has a kid")]
    KeyIdMissing,
    /// `kid` is no text, empty, longer than 256 bytes, or has control characters.
    #[error("the token's kid is not a text of 1 to 256 bytes: ask the issuer for another key id")]
    KeyIdWrong,
    /// The payload is no JSON object.
    #[error("the token's claims are no JSON object: send the token as its issuer gave it")]
    ClaimsNotJson,
    /// A name is twice in the payload.
    #[error("the token has a claim twice: ask the issuer for a well-formed token")]
    ClaimTwice,
    /// A claim is missing.
    #[error("the token has no {claim}: ask the issuer for a token with it")]
    ClaimMissing {
        /// Its name.
        claim: &'static str,
    },
    /// A claim is not what it must be.
    #[error("the token's {claim} is not {wanted}: ask the issuer for a token that has it so")]
    ClaimWrong {
        /// Its name.
        claim: &'static str,
        /// What would be right.
        wanted: &'static str,
    },
    /// `iss` is missing or not exactly the registered issuer.
    #[error(
        "the token is not of the registered issuer: compare its iss with the registration, byte by byte"
    )]
    IssuerUnexpected,
    /// `aud` is another.
    #[error("the token is meant for somebody else: ask the issuer for one with the right audience")]
    AudienceUnexpected,
    /// `aud` is a list of several or of none.
    #[error(
        "the token is not meant for exactly one audience: ask the issuer for one with ours only"
    )]
    AudienceSeveral,
    /// `exp` has passed.
    #[error("the token has expired: ask for a new one, and compare this machine's clock")]
    Expired,
    /// `iat` is ahead.
    #[error("the token was issued in the future: compare the issuer's clock and this machine's")]
    IssuedAhead,
    /// `nbf` is ahead.
    #[error("the token does not count yet: wait until its nbf, and compare the clocks")]
    NotYetValid,
    /// It lives longer than allowed.
    #[error("the token lives too long: ask the issuer for one of shorter life")]
    LivesTooLong,
    /// The issuer does not publish the key.
    #[error(
        "the issuer publishes no key of the token's kid: ask for a new token; if the issuer has just changed its keys, try again in a minute"
    )]
    KeyUnknown,
    /// The key is for another way of signing.
    #[error("the token's key is published for another alg: ask the issuer for a new token")]
    KeyOfOtherAlgorithm,
    /// The signature is not of the key.
    #[error("the token's signature is wrong: send the token as its issuer gave it")]
    SignatureWrong,
    /// No connection, no TLS, or no answer in time.
    #[error(
        "the issuer cannot be reached: check its URL and the way there; it is asked again after a minute"
    )]
    IssuerUnreachable,
    /// The issuer answers with something else than 200; redirects are not followed.
    #[error(
        "the issuer answers with HTTP status {status} instead of 200: check its URL; it is asked again after a minute"
    )]
    IssuerStatus {
        /// The status.
        status: u16,
    },
    /// The issuer answers with more than is read.
    #[error("the issuer answers with more than 64 KiB: check its URL")]
    IssuerAnswerTooLong,
    /// The discovery document is no such JSON.
    #[error(
        "the issuer's discovery document is no JSON object with issuer and jwks_uri: check its URL"
    )]
    DiscoveryUnreadable,
    /// The discovery document is somebody else's.
    #[error(
        "the discovery document names another issuer: register the issuer exactly as the document names it"
    )]
    DiscoveryOfOtherIssuer,
    /// The key set is where the registration does not allow it.
    #[error(
        "the issuer's jwks_uri is neither https on its own host nor the registered one: register that address if it is right"
    )]
    JwksUriRefused,
    /// The key set is no such JSON.
    #[error("the issuer's key set is no JSON object with keys: check its jwks_uri")]
    KeySetUnreadable,
    /// No key of the set counts.
    #[error(
        "the issuer publishes no key that counts: it needs a signing key with a kid, RSA of 2,048 bits or more, P-256 or P-384"
    )]
    KeySetEmpty,
    /// More keys than are kept.
    #[error("the issuer publishes more than 32 signing keys: have old ones withdrawn")]
    KeySetTooLarge,
    /// Too many issuers are in use at once.
    #[error("4,096 other issuers are in use: try again in two minutes")]
    IssuersTooMany,
    /// The member with what AWS says is missing or no object.
    #[error(
        "the token has no claims of AWS: send one that sts:GetWebIdentityToken gave, not another OIDC token"
    )]
    AwsClaimsMissing,
    /// The subject is no IAM role.
    #[error(
        "the token is not of an IAM role: call sts:GetWebIdentityToken with a role's credentials"
    )]
    NotARole,
    /// The role is not of the account that AWS names.
    #[error("the token's role is not of its aws_account: ask AWS for a new token")]
    AccountMismatch,
}

impl OidcError {
    /// Stable reason in SCREAMING_SNAKE_CASE.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::IssuerRefused => "ISSUER_REFUSED",
            Self::OverrideRefused => "JWKS_URI_OVERRIDE_REFUSED",
            Self::TooLong => "TOKEN_TOO_LONG",
            Self::NotThreeParts => "TOKEN_NOT_THREE_PARTS",
            Self::NotBase64 => "TOKEN_NOT_BASE64URL",
            Self::HeaderNotJson => "HEADER_NOT_JSON",
            Self::HeaderMemberTwice => "HEADER_MEMBER_TWICE",
            Self::TypeRefused => "TYPE_REFUSED",
            Self::AlgorithmRefused => "ALGORITHM_REFUSED",
            Self::CriticalRefused => "CRITICAL_REFUSED",
            Self::KeyInHeader => "KEY_IN_HEADER",
            Self::KeyIdMissing => "KEY_ID_MISSING",
            Self::KeyIdWrong => "KEY_ID_WRONG",
            Self::ClaimsNotJson => "CLAIMS_NOT_JSON",
            Self::ClaimTwice => "CLAIM_TWICE",
            Self::ClaimMissing { .. } => "CLAIM_MISSING",
            Self::ClaimWrong { .. } => "CLAIM_WRONG",
            Self::IssuerUnexpected => "ISSUER_UNEXPECTED",
            Self::AudienceUnexpected => "AUDIENCE_UNEXPECTED",
            Self::AudienceSeveral => "AUDIENCE_SEVERAL",
            Self::Expired => "TOKEN_EXPIRED",
            Self::IssuedAhead => "TOKEN_ISSUED_AHEAD",
            Self::NotYetValid => "TOKEN_NOT_YET_VALID",
            Self::LivesTooLong => "TOKEN_LIVES_TOO_LONG",
            Self::KeyUnknown => "KEY_UNKNOWN",
            Self::KeyOfOtherAlgorithm => "KEY_OF_OTHER_ALGORITHM",
            Self::SignatureWrong => "SIGNATURE_WRONG",
            Self::IssuerUnreachable => "ISSUER_UNREACHABLE",
            Self::IssuerStatus { .. } => "ISSUER_STATUS",
            Self::IssuerAnswerTooLong => "ISSUER_ANSWER_TOO_LONG",
            Self::DiscoveryUnreadable => "DISCOVERY_UNREADABLE",
            Self::DiscoveryOfOtherIssuer => "DISCOVERY_OF_OTHER_ISSUER",
            Self::JwksUriRefused => "JWKS_URI_REFUSED",
            Self::KeySetUnreadable => "KEY_SET_UNREADABLE",
            Self::KeySetEmpty => "KEY_SET_EMPTY",
            Self::KeySetTooLarge => "KEY_SET_TOO_LARGE",
            Self::IssuersTooMany => "ISSUERS_TOO_MANY",
            Self::AwsClaimsMissing => "AWS_CLAIMS_MISSING",
            Self::NotARole => "NOT_A_ROLE",
            Self::AccountMismatch => "ACCOUNT_MISMATCH",
        }
    }

    /// Tells whether the fault is not the token's: the same token may count a little later.
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::IssuerUnreachable
                | Self::IssuerStatus { .. }
                | Self::IssuerAnswerTooLong
                | Self::DiscoveryUnreadable
                | Self::DiscoveryOfOtherIssuer
                | Self::JwksUriRefused
                | Self::KeySetUnreadable
                | Self::KeySetEmpty
                | Self::KeySetTooLarge
                | Self::IssuersTooMany
        )
    }
}
