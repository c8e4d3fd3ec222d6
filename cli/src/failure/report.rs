//! Failures in words: what happened, why, and what to do next.
use std::fmt::Write as _;

use tonic::Code;

use super::{Failure, Refusal};
use crate::{names, output::plain};

/// What a person reads on stderr; ends with a newline.
#[must_use]
pub fn report(failure: &Failure) -> String {
    let mut text = String::new();
    match failure {
        Failure::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
        Failure::Usage { next, .. } | Failure::Config { next, .. } => {
            line(&mut text, "error", &failure.to_string());
            line(&mut text, "next", next);
        }
        Failure::File { .. } | Failure::Output(_) => line(&mut text, "error", &failure.to_string()),
        Failure::Broken { breaks } => {
            line(&mut text, "error", "the audit trail is not whole");
            for found in breaks {
                writeln!(text, "  - {}", plain(found)).ok();
            }
            let next = "keep the database as it is, take an export (`ekidenctl audit export`), and find out who could write to it";
            line(&mut text, "next", next);
        }
        Failure::RotationStopped { name, refusals } => {
            line(&mut text, "error", "the rotation has stopped: collectors refuse the new value");
            for refusal in refusals {
                writeln!(text, "  - {}", plain(refusal)).ok();
            }
            let next = format!(
                "relays go on with the old value; have the vendor accept the new one, and the rotation goes on by itself, or go back: `ekidenctl access-key cancel-rotation {name}`"
            );
            line(&mut text, "next", &next);
        }
        Failure::TextGone { name } => {
            line(&mut text, "error", &failure.to_string());
            let noun = names::noun(name).unwrap_or("api-token");
            line(
                &mut text,
                "next",
                &format!("`ekidenctl {noun} revoke {name}`, then make another"),
            );
        }
        Failure::Unreachable { endpoint, cause, request_id } => {
            line(&mut text, "error", &failure.to_string());
            line(&mut text, "next", unreachable_next(endpoint, cause));
            unknown_outcome(&mut text, request_id.as_deref());
        }
        Failure::TimedOut { request_id, .. } => {
            line(&mut text, "error", &failure.to_string());
            line(&mut text, "next", "try again, or wait longer with `--timeout 2m`");
            unknown_outcome(&mut text, request_id.as_deref());
        }
        Failure::Refused(refusal) => refused(&mut text, refusal),
    }
    text
}

fn line(text: &mut String, label: &str, value: &str) {
    // Writing to a String does not fail.
    writeln!(text, "{label}: {}", plain(value)).ok();
}

fn refused(text: &mut String, refusal: &Refusal) {
    let message = if refusal.message.is_empty() {
        "the control plane gave no message"
    } else if refusal.fields.is_empty() {
        &refusal.message
    } else {
        // The message repeats the fields in one long line; they follow one by one.
        "the request is wrong"
    };
    line(text, "error", message);
    for (field, description) in &refusal.fields {
        writeln!(text, "  - {}: {}", plain(field), plain(description)).ok();
    }
    let code = code_name(refusal.code);
    if refusal.reason.is_empty() {
        line(text, "reason", code);
    } else {
        line(text, "reason", &format!("{} ({code})", refusal.reason));
    }
    if let Some(next) = refused_next(refusal) {
        line(text, "next", &next);
    }
    for (name, value) in &refusal.metadata {
        line(text, name, value);
    }
    unknown_outcome(text, refusal.request_id.as_deref());
}

fn unknown_outcome(text: &mut String, request_id: Option<&str>) {
    if let Some(id) = request_id {
        line(
            text,
            "note",
            &format!(
                "whether the change was made is not known; the same command with `--request-id {id}` does it once at most"
            ),
        );
    }
}

/// What to do when there is no connection, by what the chain of causes says.
fn unreachable_next(endpoint: &str, cause: &str) -> &'static str {
    let has = |text: &str| cause.contains(text);
    // BadSignature: a CA of the same name but another key, as a control plane makes in a new data directory.
    if has("UnknownIssuer") || has("BadSignature") {
        "its certificate is signed by a CA that is not trusted here: give the control plane's `ca.pem` with `--ca FILE`, \
         or keep it in the context with `ekidenctl context set NAME --ca FILE`"
    } else if has("not valid for") || has("NotValidForName") {
        "its certificate is for other names: use one of those in `--control-plane`, or add this one to the control plane's `--server-names`"
    } else if has("Expired") || has("NotValidYet") || has("certificate expired") {
        "its certificate is not valid now: compare this machine's clock with the control plane's"
    } else if has("InvalidContentType") || has("CorruptMessage") {
        "it does not speak TLS: is this the operator port? With `--operator-plaintext` the endpoint begins with http://"
    } else if has("refused") {
        "nothing listens there: is the control plane running, and is this its operator port? `ekidenctl context list` shows what is used"
    } else if endpoint.starts_with("http://") {
        "perhaps it speaks TLS: then the endpoint begins with https://"
    } else if has("dns") || has("lookup") || has("Name or service not known") {
        "the name does not resolve: check `--control-plane`; `ekidenctl context list` shows what is used"
    } else {
        "check `--control-plane` and `--ca`; `ekidenctl context list` shows what is used"
    }
}

fn refused_next(refusal: &Refusal) -> Option<String> {
    let noun = refusal.resource.as_deref().and_then(names::noun);
    let resource = refusal.resource.as_deref().unwrap_or("NAME");
    Some(match refusal.code {
        Code::Unauthenticated => {
            "put a valid token into EKIDEN_TOKEN, or into the context: `ekidenctl context set NAME --token-file FILE`; \
             a control plane prints its first token at its first start"
                .to_owned()
        }
        Code::PermissionDenied => {
            "use a token with the role it takes; an operator makes one with `ekidenctl api-token create --role …`".to_owned()
        }
        Code::NotFound => match noun {
            Some("revision" | "enrollment-token") => {
                format!("`ekidenctl {} list --fleet …` shows what there is", noun.unwrap_or_default())
            }
            Some(noun) => format!("`ekidenctl {noun} list` shows what there is"),
            None => "the `list` command of its kind shows what there is".to_owned(),
        },
        Code::AlreadyExists => match noun {
            Some(noun) => format!("`ekidenctl {noun} get {resource}` shows it; choose another name or update it"),
            None => "choose another name, or update what exists".to_owned(),
        },
        Code::Aborted => match noun {
            Some(noun) => format!("look again with `ekidenctl {noun} get {resource}` and repeat the change"),
            None => "look again and repeat the change".to_owned(),
        },
        Code::Unavailable | Code::ResourceExhausted => match refusal.retry_after {
            Some(delay) => format!("try again in {:.1} s", delay.as_secs_f64()),
            None => "try again in a moment".to_owned(),
        },
        Code::DeadlineExceeded => "try again, or wait longer with `--timeout 2m`".to_owned(),
        Code::Unimplemented => {
            "the control plane does not know this call: it may be older than this `ekidenctl version`, or the endpoint may be its relay port".to_owned()
        }
        Code::InvalidArgument if refusal.fields.is_empty() => "`--help` shows what the command takes".to_owned(),
        _ => return None,
    })
}

/// A code as protobuf writes it.
const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
