//! The actions of STS: a signed form to an answer in JSON, or in XML as the SDKs want it.
use std::collections::HashMap;

use axum::http::{StatusCode, request::Parts};
use serde_json::{Value, json};

use super::{Answer, Behaviour, Shared};
use crate::{
    sigv4::{self, Refusal, Service},
    task_role::{ACCOUNT, CREDENTIALS, REGION, SESSION_ARN, USER_ID},
};

const SERVICE: Service = Service { name: "sts", region: REGION };

type Form = HashMap<String, String>;

/// Carries out what a request asks for; its action comes first.
pub(super) fn act(
    shared: &Shared,
    behaviour: Behaviour,
    head: &Parts,
    body: &[u8],
) -> (String, Answer) {
    let form: Form = form_urlencoded::parse(body).into_owned().collect();
    let action = form.get("Action").cloned().unwrap_or_default();
    let answer = signed(head, body).and_then(|()| match action.as_str() {
        "GetCallerIdentity" => Ok(json!({ "GetCallerIdentityResponse": {
            "GetCallerIdentityResult":
                { "Account": ACCOUNT, "Arn": SESSION_ARN, "UserId": USER_ID },
            "ResponseMetadata": { "RequestId": "9f2a" },
        } })),
        "GetWebIdentityToken" => web_identity_token(shared, behaviour, &form),
        _ => Err((StatusCode::BAD_REQUEST, "InvalidAction")),
    });
    (action, answer)
}

fn signed(head: &Parts, body: &[u8]) -> Result<(), (StatusCode, &'static str)> {
    sigv4::check(head, body, SERVICE, &CREDENTIALS).map_err(|refusal| match refusal {
        Refusal::Missing => (StatusCode::FORBIDDEN, "MissingAuthenticationToken"),
        Refusal::Incomplete => (StatusCode::BAD_REQUEST, "IncompleteSignature"),
        Refusal::UnknownKey => (StatusCode::FORBIDDEN, "InvalidClientTokenId"),
        Refusal::OtherScope | Refusal::Mismatch => (StatusCode::FORBIDDEN, "SignatureDoesNotMatch"),
    })
}

/// STS API Reference, `GetWebIdentityToken`: 1 to 10 audiences, RS256 or ES384 (here: ES384), 60 to 3,600 seconds.
fn web_identity_token(shared: &Shared, behaviour: Behaviour, form: &Form) -> Answer {
    if !behaviour.federates {
        return Err((StatusCode::BAD_REQUEST, "OutboundWebIdentityFederationDisabledException"));
    }
    let invalid = (StatusCode::BAD_REQUEST, "ValidationError");
    let audience = form.get("Audience.member.1").ok_or(invalid)?;
    let seconds = form.get("DurationSeconds").map_or(Ok(300), |text| text.parse());
    let seconds: i64 = seconds.map_err(|_| invalid)?;
    if !(60..=3600).contains(&seconds)
        || form.get("SigningAlgorithm").map(String::as_str) != Some("ES384")
        || form.contains_key("Audience.member.2")
    {
        return Err(invalid);
    }
    let tags = (1..).map_while(|n| {
        let part = |part| form.get(&format!("Tags.member.{n}.{part}")).cloned();
        Some((part("Key")?, Value::String(part("Value")?)))
    });
    let now = shared.clock.timestamp().seconds;
    let token = shared.issuer.token(audience, tags.collect(), now, seconds);
    let token = token.map_err(|_| (StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure"))?;
    Ok(json!({ "GetWebIdentityTokenResponse": {
        "GetWebIdentityTokenResult": { "WebIdentityToken": token },
    } }))
}

/// Status, content type and text of an answer.
pub(super) fn text(answer: Answer, as_json: bool) -> (StatusCode, &'static str, String) {
    let (status, value) = match answer {
        Ok(value) => (StatusCode::OK, value),
        Err((status, code)) => {
            let error = json!({ "Code": code, "Message": "No.", "Type": "Sender" });
            let error = json!({ "Error": error, "RequestId": "9f2a" });
            (status, if as_json { error } else { json!({ "ErrorResponse": error }) })
        }
    };
    match as_json {
        true => (status, "application/json", value.to_string()),
        false => (status, "text/xml", xml(&value)),
    }
}

/// Members as elements; nothing that STS answers needs to be escaped.
fn xml(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            members.iter().map(|(name, value)| format!("<{name}>{}</{name}>", xml(value))).collect()
        }
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
