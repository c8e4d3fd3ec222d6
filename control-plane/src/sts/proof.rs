//! What a relay sends to prove its AWS identity, each part checked before anything is made of it.
use secrecy::{ExposeSecret, SecretString};
use time::{Date, Month, OffsetDateTime, Time};

use super::{error::StsError, regions::Region};

/// Longest session token, bytes.
const LONGEST_TOKEN: usize = 4096;
/// Longest region, bytes; no region comes near.
const LONGEST_REGION: usize = 32;

/// The parts as they came.
#[derive(Clone, Copy)]
pub struct ProofFields<'a> {
    /// Region whose STS the relay signed for.
    pub region: &'a str,
    /// The signed `x-amz-date`.
    pub amz_date: &'a str,
    /// Id of the temporary access key that signed.
    pub access_key_id: &'a str,
    /// The signed `x-amz-security-token`.
    pub session_token: &'a str,
    /// The signature, hex.
    pub signature: &'a str,
}

/// Parts of a signed request that can stand where they belong and nowhere else.
#[derive(Debug)]
pub struct Proof {
    region: Region,
    amz_date: String,
    signed_at: OffsetDateTime,
    access_key_id: String,
    session_token: SecretString,
    signature: SecretString,
}

impl Proof {
    /// Reads the parts; who signed is not known before STS has been asked.
    ///
    /// # Errors
    /// The first part that is wrong.
    pub fn read(fields: ProofFields<'_>) -> Result<Self, StsError> {
        let region = region(fields.region)?;
        let signed_at = moment(fields.amz_date).ok_or(StsError::DateMalformed)?;
        check_access_key_id(fields.access_key_id)?;
        check_session_token(fields.session_token)?;
        let hex = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
        if fields.signature.len() != 64 || !fields.signature.bytes().all(hex) {
            return Err(StsError::SignatureMalformed);
        }
        Ok(Self {
            region,
            amz_date: fields.amz_date.to_owned(),
            signed_at,
            access_key_id: fields.access_key_id.to_owned(),
            session_token: fields.session_token.into(),
            signature: fields.signature.into(),
        })
    }

    /// Region whose STS is to be asked.
    pub fn region(&self) -> Region {
        self.region
    }

    /// When the relay's clock said that it signed.
    pub fn signed_at(&self) -> OffsetDateTime {
        self.signed_at
    }

    /// `YYYYMMDDTHHMMSSZ`.
    pub(super) fn amz_date(&self) -> &str {
        &self.amz_date
    }

    /// Upper-case letters and digits.
    pub(super) fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    pub(super) fn session_token(&self) -> &str {
        self.session_token.expose_secret()
    }

    pub(super) fn signature(&self) -> &str {
        self.signature.expose_secret()
    }
}

fn region(text: &str) -> Result<Region, StsError> {
    let plain = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-');
    if text.is_empty() || text.len() > LONGEST_REGION || !text.bytes().all(plain) {
        return Err(StsError::RegionMalformed);
    }
    Region::named(text).ok_or_else(|| StsError::RegionUnknown { region: text.to_owned() })
}

/// A moment of the calendar in exactly the form `YYYYMMDDTHHMMSSZ`, without leap seconds.
fn moment(text: &str) -> Option<OffsetDateTime> {
    if text.len() != 16 || text.get(8..9) != Some("T") || text.get(15..) != Some("Z") {
        return None;
    }
    let number = |at: usize, digits: usize| -> Option<u16> {
        let part = text.get(at..at + digits)?;
        part.bytes().all(|c| c.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let pair = |at: usize| number(at, 2).and_then(|n| u8::try_from(n).ok());
    let month = Month::try_from(pair(4)?).ok()?;
    let date = Date::from_calendar_date(i32::from(number(0, 4)?), month, pair(6)?).ok()?;
    let time = Time::from_hms(pair(9)?, pair(11)?, pair(13)?).ok()?;
    Some(date.with_time(time).assume_utc())
}

/// 16 to 128 of `A-Z0-9`, as IAM's `accessKeyIdType` allows, of the kind that comes with a session token.
fn check_access_key_id(text: &str) -> Result<(), StsError> {
    let plain = |c: u8| matches!(c, b'A'..=b'Z' | b'0'..=b'9');
    if !(16..=128).contains(&text.len()) || !text.bytes().all(plain) {
        return Err(StsError::AccessKeyMalformed);
    }
    match text.get(..4) {
        Some("ASIA") => Ok(()),
        Some("AKIA") => Err(StsError::AccessKeyLongTerm),
        _ => Err(StsError::AccessKeyMalformed),
    }
}

/// AWS promises nothing of tokens but that they are opaque; all of them are base64, in either alphabet.
fn check_session_token(text: &str) -> Result<(), StsError> {
    let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/' | b'=' | b'-' | b'_');
    if text.is_empty() {
        return Err(StsError::TokenMissing);
    }
    if text.len() > LONGEST_TOKEN {
        return Err(StsError::TokenTooLong);
    }
    if !text.bytes().all(plain) {
        return Err(StsError::TokenMalformed);
    }
    Ok(())
}
