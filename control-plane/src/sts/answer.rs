//! What STS answered, taken for an identity only in the one form that it documents.
use http::StatusCode;

use super::{error::StsError, json::Json};
use crate::https::Answer;

/// Longest `Error.Code` that is passed on.
const LONGEST_CODE: usize = 64;

/// `GetCallerIdentityResult`, every member as it came.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) account: String,
    pub(super) arn: String,
    pub(super) user_id: String,
}

/// Reads an answer to `GetCallerIdentity`.
pub(super) fn read(answer: &Answer) -> Result<Identity, StsError> {
    let status = answer.status.as_u16();
    if answer.status == StatusCode::OK {
        return identity(&answer.body);
    }
    if answer.status.is_redirection() {
        return Err(StsError::Redirected { status });
    }
    if answer.status.is_server_error() {
        return Err(StsError::Failing { status });
    }
    let code = error_code(&answer.body);
    let throttled = matches!(
        code.as_deref(),
        Some("Throttling" | "ThrottlingException" | "RequestLimitExceeded")
    );
    if throttled || answer.status == StatusCode::TOO_MANY_REQUESTS {
        return Err(StsError::Throttled);
    }
    if answer.status == StatusCode::FORBIDDEN {
        return Err(StsError::SignatureRefused { code });
    }
    Err(StsError::StatusUnexpected { status, code })
}

fn identity(body: &[u8]) -> Result<Identity, StsError> {
    let start = body.trim_ascii_start();
    if start.is_empty() {
        return Err(StsError::AnswerEmpty);
    }
    let begins = |with: &str| {
        start.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
    };
    if begins("<!doctype html") || begins("<html") {
        return Err(StsError::AnswerHtml);
    }
    if begins("<") {
        return Err(StsError::AnswerXml);
    }
    let json = Json::read(body).ok_or(StsError::AnswerNotJson)?;
    if json.repeats_a_member() {
        return Err(StsError::AnswerDuplicateMember);
    }
    let result = json
        .member("GetCallerIdentityResponse")
        .and_then(|response| response.member("GetCallerIdentityResult"));
    let text = |member: &'static str| {
        let text = result.and_then(|result| result.member(member)).and_then(Json::text);
        text.map(str::to_owned).ok_or(StsError::AnswerIncomplete { member })
    };
    Ok(Identity { account: text("Account")?, arn: text("Arn")?, user_id: text("UserId")? })
}

/// `Error.Code`, if it is a plain word.
fn error_code(body: &[u8]) -> Option<String> {
    let json = Json::read(body)?;
    let code = json.member("Error")?.member("Code")?.text()?;
    let plain = (1..=LONGEST_CODE).contains(&code.len())
        && code.bytes().all(|c| c.is_ascii_alphanumeric())
        && !json.repeats_a_member();
    plain.then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_code_is_passed_on_only_when_it_is_a_short_plain_word() {
        let long = format!(r#"{{"Error":{{"Code":"{}"}}}}"#, "x".repeat(65));
        for (body, code) in [
            (
                r#"{"Error":{"Code":"ExpiredToken","Type":"Sender"},"RequestId":"9f2a"}"#,
                "ExpiredToken",
            ),
            (r#"{"Error":{"Code":"Expired Token"}}"#, "no code"),
            (r#"{"Error":{"Code":"Expired\u001b[2J"}}"#, "no code"),
            (r#"{"Error":{"Code":""}}"#, "no code"),
            (r#"{"Error":{"Code":403}}"#, "no code"),
            (r#"{"Error":{"Code":"A","code":"B"}}"#, "no code"),
            (r#"{"Code":"ExpiredToken"}"#, "no code"),
            ("<Error><Code>ExpiredToken</Code></Error>", "no code"),
            (&long, "no code"),
        ] {
            let answer = Answer { status: StatusCode::FORBIDDEN, body: body.into() };
            let error = read(&answer).unwrap_err();
            assert_eq!(error.reason(), "SIGNATURE_REFUSED");
            assert!(error.to_string().contains(code), "{body}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_reader_panic(status in 100_u16..=999, body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let status = StatusCode::from_u16(status).unwrap();
            let identity = read(&Answer { status, body });
            prop_assert!(identity.is_err());
        }
    }
}
