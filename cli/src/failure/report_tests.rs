use std::time::Duration;

use tonic::Status;
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use super::*;
use crate::failure::exit_code::exit_code;

const ENDPOINT: &str = "https://127.0.0.1:9443";
const REQUEST: &str = "0198c5d2-0000-4000-8000-000000000000";

fn status(
    code: Code,
    message: &str,
    reason: &str,
    change: impl FnOnce(&mut ErrorDetails),
) -> Failure {
    let mut details = ErrorDetails::new();
    details.set_error_info(reason, "ekiden", [("error_id".to_owned(), "7".to_owned())]);
    change(&mut details);
    Failure::from_status(&Status::with_error_details(code, message, details), ENDPOINT)
}

fn unreachable(cause: &str) -> Failure {
    Failure::Unreachable {
        endpoint: ENDPOINT.to_owned(),
        cause: cause.to_owned(),
        request_id: None,
    }
}

#[test]
fn each_refusal_says_what_happened_and_what_to_do() {
    let cases = [
        status(
            Code::InvalidArgument,
            "the request is wrong: a: b; c: d",
            "INVALID_REQUEST",
            |details| {
                details.set_bad_request(vec![
                FieldViolation::new("fleet.listeners[1].port", "0 is no port: 1 to 65535"),
                FieldViolation::new("fleet_id", "\"T\" is no id: 1 to 63 characters a-z, 0-9 and -, a letter first, no - last"),
            ]);
            },
        ),
        status(
            Code::NotFound,
            "tenants/acme/collectors/us4 was not found",
            "RESOURCE_NOT_FOUND",
            |details| {
                details.set_resource_info("", "tenants/acme/collectors/us4", "", "");
            },
        ),
        status(Code::AlreadyExists, "tenants/acme exists already", "RESOURCE_EXISTS", |details| {
            details.set_resource_info("", "tenants/acme", "", "");
        }),
        status(
            Code::Aborted,
            "tenants/acme/fleets/tokyo has changed since it was read",
            "RESOURCE_CHANGED",
            |details| {
                details.set_error_info(
                    "RESOURCE_CHANGED",
                    "ekiden",
                    [("resource".to_owned(), "tenants/acme/fleets/tokyo".to_owned())],
                );
            },
        ),
        status(
            Code::FailedPrecondition,
            "fleet tokyo still uses it: change its listeners first",
            "COLLECTOR_IN_USE",
            |_| {},
        ),
        status(Code::Unauthenticated, "the token has expired", "TOKEN_EXPIRED", |_| {}),
        status(Code::PermissionDenied, "the token's role is viewer", "ROLE_TOO_LOW", |_| {}),
        status(Code::ResourceExhausted, "too many calls", "RATE", |details| {
            details.set_retry_info(Some(Duration::from_millis(2_500)));
        }),
        status(
            Code::Unavailable,
            "the database does not answer just now",
            "DATABASE_UNAVAILABLE",
            |_| {},
        )
        .of_change(REQUEST),
        status(Code::Internal, "internal error; quote 7", "INTERNAL", |_| {}).of_change(REQUEST),
        Failure::from_status(&Status::unimplemented(""), ENDPOINT),
    ];
    let text: Vec<_> = cases
        .iter()
        .map(|failure| format!("{}exit {}\n", report(failure), exit_code(failure)))
        .collect();
    insta::assert_snapshot!("refusals", text.join("\n"));
}

#[test]
fn each_failure_on_this_side_says_what_to_do() {
    let cases = [
        Failure::usage("which tenant?", "add `--tenant NAME`"),
        Failure::config("there is no token", "set EKIDEN_TOKEN"),
        unreachable("tcp connect error: Connection refused (os error 111)"),
        unreachable("invalid peer certificate: UnknownIssuer"),
        unreachable("invalid peer certificate: certificate not valid for name \"x\""),
        unreachable("received corrupt message of type InvalidContentType"),
        unreachable("dns error: failed to lookup address information: Name or service not known"),
        Failure::Unreachable {
            endpoint: "http://127.0.0.1:9443".to_owned(),
            cause: "http2 error: connection error received: unspecific protocol error detected"
                .to_owned(),
            request_id: None,
        },
        unreachable("broken pipe").of_change(REQUEST),
        Failure::TextGone { name: "tenants/acme/fleets/tokyo/enrollmentTokens/1".to_owned() },
        Failure::TimedOut {
            endpoint: ENDPOINT.to_owned(),
            after: Duration::from_secs(30),
            request_id: None,
        },
        Failure::File {
            path: "key.txt".to_owned(),
            verb: "read",
            source: std::io::ErrorKind::NotFound.into(),
        },
    ];
    let text: Vec<_> = cases
        .iter()
        .map(|failure| format!("{}exit {}\n", report(failure), exit_code(failure)))
        .collect();
    insta::assert_snapshot!("failures", text.join("\n"));
}

#[test]
fn a_message_cannot_steer_the_terminal() {
    let failure = Failure::from_status(&Status::not_found("\u{1b}[2Jgone"), ENDPOINT);
    assert!(!report(&failure).contains('\u{1b}'));
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let failure = Failure::Output(std::io::ErrorKind::BrokenPipe.into());
    assert_eq!((report(&failure).as_str(), exit_code(&failure)), ("", 0));
}
