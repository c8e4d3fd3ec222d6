//! Why a relay's proof of its AWS identity is not taken.
use super::regions::Partition;
use crate::https::HttpsError;

/// A cause by its meaning; no text of it holds a token or a signature.
#[derive(Debug, thiserror::Error)]
pub enum StsError {
    /// The region is no word that regions are named with.
    #[error("the region is no region's name: send the relay's own region, e.g. ap-northeast-1")]
    RegionMalformed,
    /// The region is none of those known here.
    #[error(
        "the STS of {region} is not known here: send the relay's own region; a region that AWS opened lately needs a newer control plane"
    )]
    RegionUnknown {
        /// As sent: at most 32 of `a-z0-9-`.
        region: String,
    },
    /// The settings leave out the region's partition.
    #[error(
        "relays of the partition {partition} are not allowed here: allow it in the control plane's settings, or enroll with a token"
    )]
    PartitionNotAllowed {
        /// Of the region.
        partition: Partition,
    },
    /// The date is no moment in the one form.
    #[error(
        "the date is no time such as 20260131T235959Z: send the x-amz-date that was signed, in UTC"
    )]
    DateMalformed,
    /// The date is more than 15 minutes ago.
    #[error(
        "the proof was signed {seconds} s ago: the relay's clock is about {seconds} s behind, or the proof was kept; set the relay's clock and sign again"
    )]
    DateTooOld {
        /// Age of the proof.
        seconds: i64,
    },
    /// The date is more than a minute ahead.
    #[error(
        "the proof is signed for {seconds} s from now: the relay's clock is about {seconds} s ahead; set it and sign again"
    )]
    DateAhead {
        /// How far ahead.
        seconds: i64,
    },
    /// The access key id is none.
    #[error(
        "the access key id is none: send the id alone, without the scope, as in ASIAIOSFODNN7EXAMPLE"
    )]
    AccessKeyMalformed,
    /// The access key is a user's, not a session's.
    #[error(
        "the proof is signed with a long-term access key: give the relay a role, whose temporary keys begin with ASIA"
    )]
    AccessKeyLongTerm,
    /// There is no session token.
    #[error("the session token is missing: send the one that came with the role's credentials")]
    TokenMissing,
    /// The session token has characters that tokens have not.
    #[error("the session token is not base64: send it as it came with the role's credentials")]
    TokenMalformed,
    /// The session token is longer than any.
    #[error(
        "the session token is longer than 4096 bytes: assume the role with fewer or shorter session tags and policies"
    )]
    TokenTooLong,
    /// The signature is no SHA-256 in lower-case hex.
    #[error("the signature is not 64 lower-case hex digits: send the Signature part alone")]
    SignatureMalformed,
    /// A part of the control plane's own cannot stand in a header.
    #[error(
        "the {part} cannot stand in a header: it must be visible ASCII without spaces, which is for the control plane's operator to mend"
    )]
    Unsendable {
        /// What it is.
        part: &'static str,
    },
    /// As many calls as are allowed are under way.
    #[error("too many proofs are being checked just now: try again in a moment")]
    TooManyCalls,
    /// No connection, no TLS, or no answer in time.
    #[error(
        "AWS STS cannot be reached from the control plane: try again in a moment; if it lasts, let the control plane reach port 443 of the region's STS"
    )]
    Unreachable(#[source] HttpsError),
    /// STS says that the fault is its own.
    #[error("AWS STS fails with status {status}: try again in a moment")]
    Failing {
        /// 5xx.
        status: u16,
    },
    /// STS wants fewer calls.
    #[error("AWS STS wants fewer calls of this account: try again in a few seconds")]
    Throttled,
    /// A redirect, which is not followed.
    #[error(
        "AWS STS was answered for with a redirect, status {status}: something stands between; let the control plane reach STS directly"
    )]
    Redirected {
        /// 3xx.
        status: u16,
    },
    /// STS does not take the signature or the credentials.
    #[error(
        "AWS STS refuses the signature ({}): ask for a new challenge, sign it with the role's current credentials in the relay's own region, and try again",
        .code.as_deref().unwrap_or("it gives no code")
    )]
    SignatureRefused {
        /// STS's `Error.Code`, when it is a short plain word.
        code: Option<String>,
    },
    /// A status that STS has no reason to answer.
    #[error(
        "AWS STS answered status {status} ({}), which is not understood: see that nothing stands between the control plane and STS",
        .code.as_deref().unwrap_or("it gives no code")
    )]
    StatusUnexpected {
        /// Neither 200, 3xx, 403 nor 5xx.
        status: u16,
        /// STS's `Error.Code`, when it is a short plain word.
        code: Option<String>,
    },
    /// More than 64 KiB.
    #[error(
        "AWS STS answered with more than 64 KiB: see that nothing stands between the control plane and STS"
    )]
    AnswerTooLong,
    /// Nothing.
    #[error(
        "AWS STS answered with nothing: see that nothing stands between the control plane and STS"
    )]
    AnswerEmpty,
    /// A page.
    #[error(
        "AWS STS was answered for with a web page: something stands between; let the control plane reach STS directly"
    )]
    AnswerHtml,
    /// XML, which readers disagree about.
    #[error(
        "AWS STS answered in XML where JSON was asked for: see that nothing stands between the control plane and STS"
    )]
    AnswerXml,
    /// Neither XML nor JSON.
    #[error(
        "AWS STS answered with what is not JSON: see that nothing stands between the control plane and STS"
    )]
    AnswerNotJson,
    /// A member twice, or twice but for its case.
    #[error(
        "AWS STS answered with a member twice: see that nothing stands between the control plane and STS"
    )]
    AnswerDuplicateMember,
    /// A member that is missing or is no text.
    #[error(
        "AWS STS answered without a text {member}: see that nothing stands between the control plane and STS"
    )]
    AnswerIncomplete {
        /// `Account`, `Arn` or `UserId`.
        member: &'static str,
    },
    /// The account is not 12 digits.
    #[error(
        "AWS STS named an account that is not 12 digits: see that nothing stands between the control plane and STS"
    )]
    AccountMalformed,
    /// The account is not the ARN's.
    #[error(
        "AWS STS named an account other than its ARN's: see that nothing stands between the control plane and STS"
    )]
    AccountDiffers,
    /// The ARN is not of the partition whose STS was asked.
    #[error(
        "AWS STS named an identity outside the partition {partition} whose STS was asked: sign for a region of the relay's own partition"
    )]
    PartitionDiffers {
        /// Of the region.
        partition: Partition,
    },
    /// The ARN is of no kind that is known.
    #[error("AWS STS named an identity that is no session of a role: run the relay with a role")]
    ArnMalformed,
    /// The user id is not a role's, or not this session's.
    #[error(
        "AWS STS named a user id that is not of the role's session: see that nothing stands between the control plane and STS"
    )]
    UserIdMalformed,
    /// An IAM user.
    #[error("the proof is an IAM user's: run the relay with a role instead")]
    CallerIsUser,
    /// An account's root.
    #[error(
        "the proof is the account's root user's: run the relay with a role, and delete the root's keys"
    )]
    CallerIsRoot,
    /// A federated user.
    #[error("the proof is a federated user's: run the relay with a role instead")]
    CallerIsFederatedUser,
    /// A role itself, which cannot sign.
    #[error(
        "AWS STS named a role rather than a session of it: run the relay with the role's temporary credentials"
    )]
    CallerIsRole,
}

impl StsError {
    /// Stable reason, also the metric label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::RegionMalformed => "REGION_MALFORMED",
            Self::RegionUnknown { .. } => "REGION_UNKNOWN",
            Self::PartitionNotAllowed { .. } => "PARTITION_NOT_ALLOWED",
            Self::DateMalformed => "DATE_MALFORMED",
            Self::DateTooOld { .. } => "DATE_TOO_OLD",
            Self::DateAhead { .. } => "DATE_AHEAD",
            Self::AccessKeyMalformed => "ACCESS_KEY_MALFORMED",
            Self::AccessKeyLongTerm => "ACCESS_KEY_LONG_TERM",
            Self::TokenMissing => "SESSION_TOKEN_MISSING",
            Self::TokenMalformed => "SESSION_TOKEN_MALFORMED",
            Self::TokenTooLong => "SESSION_TOKEN_TOO_LONG",
            Self::SignatureMalformed => "SIGNATURE_MALFORMED",
            Self::Unsendable { .. } => "STS_REQUEST_UNSENDABLE",
            Self::TooManyCalls => "STS_TOO_MANY_CALLS",
            Self::Unreachable(_) | Self::Failing { .. } => "STS_UNREACHABLE",
            Self::Throttled => "STS_THROTTLED",
            Self::Redirected { .. } => "STS_REDIRECTED",
            Self::SignatureRefused { .. } => "SIGNATURE_REFUSED",
            Self::StatusUnexpected { .. } => "STS_STATUS_UNEXPECTED",
            Self::AnswerTooLong => "STS_ANSWER_TOO_LONG",
            Self::AnswerEmpty => "STS_ANSWER_EMPTY",
            Self::AnswerHtml => "STS_ANSWER_HTML",
            Self::AnswerXml => "STS_ANSWER_XML",
            Self::AnswerNotJson => "STS_ANSWER_NOT_JSON",
            Self::AnswerDuplicateMember => "STS_ANSWER_DUPLICATE_MEMBER",
            Self::AnswerIncomplete { .. } => "STS_ANSWER_INCOMPLETE",
            Self::AccountMalformed => "ACCOUNT_MALFORMED",
            Self::AccountDiffers => "ACCOUNT_DIFFERS",
            Self::PartitionDiffers { .. } => "PARTITION_DIFFERS",
            Self::ArnMalformed => "ARN_MALFORMED",
            Self::UserIdMalformed => "USER_ID_MALFORMED",
            Self::CallerIsUser => "CALLER_IS_USER",
            Self::CallerIsRoot => "CALLER_IS_ROOT",
            Self::CallerIsFederatedUser => "CALLER_IS_FEDERATED_USER",
            Self::CallerIsRole => "CALLER_IS_ROLE",
        }
    }

    /// Whether the same proof may be taken a moment later.
    pub fn retry(&self) -> bool {
        match self {
            Self::TooManyCalls | Self::Unreachable(_) | Self::Failing { .. } | Self::Throttled => {
                true
            }
            Self::RegionMalformed
            | Self::RegionUnknown { .. }
            | Self::PartitionNotAllowed { .. }
            | Self::DateMalformed
            | Self::DateTooOld { .. }
            | Self::DateAhead { .. }
            | Self::AccessKeyMalformed
            | Self::AccessKeyLongTerm
            | Self::TokenMissing
            | Self::TokenMalformed
            | Self::TokenTooLong
            | Self::SignatureMalformed
            | Self::Unsendable { .. }
            | Self::Redirected { .. }
            | Self::SignatureRefused { .. }
            | Self::StatusUnexpected { .. }
            | Self::AnswerTooLong
            | Self::AnswerEmpty
            | Self::AnswerHtml
            | Self::AnswerXml
            | Self::AnswerNotJson
            | Self::AnswerDuplicateMember
            | Self::AnswerIncomplete { .. }
            | Self::AccountMalformed
            | Self::AccountDiffers
            | Self::PartitionDiffers { .. }
            | Self::ArnMalformed
            | Self::UserIdMalformed
            | Self::CallerIsUser
            | Self::CallerIsRoot
            | Self::CallerIsFederatedUser
            | Self::CallerIsRole => false,
        }
    }
}
