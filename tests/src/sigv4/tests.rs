use axum::http::Request;

use super::*;

const DATE: &str = "20150830T123600Z";
const SERVICE: Service = Service { name: "service", region: "us-east-1" };
const CREDENTIALS: Credentials = Credentials {
    access_key_id: "AKIDEXAMPLE",
    secret: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    session_token: "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==",
};
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
     SignedHeaders=host;x-amz-date;x-amz-security-token, \
     Signature=85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead";

/// `post-sts-header-before` of AWS's signing test suite, as in the crate `aws-sigv4` 1.6.4.
fn head() -> Parts {
    let request = Request::post("/")
        .header("host", "example.amazonaws.com")
        .header("x-amz-date", DATE)
        .header("x-amz-security-token", CREDENTIALS.session_token)
        .header("authorization", AUTHORIZATION);
    request.body(()).unwrap().into_parts().0
}

fn checked(head: &Parts, body: &str) -> Result<(), Refusal> {
    check(head, body.as_bytes(), SERVICE, &CREDENTIALS)
}

fn with(name: &'static str, value: &str) -> Parts {
    let mut head = head();
    head.headers.insert(name, value.parse().unwrap());
    head
}

#[test]
fn a_request_of_the_test_suite_of_aws_is_taken() {
    assert_eq!(checked(&head(), ""), Ok(()));
}

#[test]
fn whatever_is_bent_is_refused_for_what_it_is() {
    assert_eq!(checked(&head(), "more"), Err(Refusal::Mismatch));
    assert_eq!(checked(&with("host", "other.amazonaws.com"), ""), Err(Refusal::Mismatch));
    assert_eq!(checked(&with("x-amz-date", "20150830T123601Z"), ""), Err(Refusal::Mismatch));
    assert_eq!(checked(&with("x-amz-date", "20150831T123600Z"), ""), Err(Refusal::OtherScope));
    assert_eq!(checked(&with("x-amz-security-token", "other"), ""), Err(Refusal::UnknownKey));
    assert_eq!(checked(&with("x-amz-unsigned", "header"), ""), Err(Refusal::Incomplete));
    assert_eq!(checked(&with("authorization", "Bearer token"), ""), Err(Refusal::Incomplete));
    let unsorted = AUTHORIZATION.replace("host;x-amz-date;", "x-amz-date;host;");
    assert_eq!(checked(&with("authorization", &unsorted), ""), Err(Refusal::Incomplete));
    let of_other_key = AUTHORIZATION.replace("AKIDEXAMPLE", "AKIDOTHER");
    assert_eq!(checked(&with("authorization", &of_other_key), ""), Err(Refusal::UnknownKey));
    let mut twice = head();
    twice.headers.append("x-amz-date", DATE.parse().unwrap());
    assert_eq!(checked(&twice, ""), Err(Refusal::Incomplete));
    let mut unsigned = head();
    unsigned.headers.remove("authorization");
    assert_eq!(checked(&unsigned, ""), Err(Refusal::Missing));
    let elsewhere = Service { name: "sts", ..SERVICE };
    assert_eq!(check(&head(), b"", elsewhere, &CREDENTIALS), Err(Refusal::OtherScope));
    let other_secret = Credentials { secret: "another", ..CREDENTIALS };
    assert_eq!(check(&head(), b"", SERVICE, &other_secret), Err(Refusal::Mismatch));
}
