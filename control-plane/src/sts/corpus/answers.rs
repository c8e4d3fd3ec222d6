//! What might answer in STS's place, or STS on a bad day.
use crate::sts::stand_in::{GOOD, Reply, refusal};

/// Name, answer, reason.
type Row = (&'static str, fn() -> Reply, &'static str);

fn said(status: u16, body: impl Into<String>) -> Reply {
    Reply::Said(status, None, body.into())
}

fn ok(body: impl Into<String>) -> Reply {
    said(200, body)
}

/// The good answer with one thing changed.
fn bent(from: &str, to: &str) -> Reply {
    let good = GOOD.answer();
    assert_eq!(good.matches(from).count(), 1, "{from}");
    ok(good.replace(from, to))
}

/// The good answer under another ARN.
fn of(arn: &str) -> Reply {
    bent("arn:aws:sts::123456789012:assumed-role/ekiden-relay/0f3c1b5e", arn)
}

/// A redirect to where nothing may ever arrive.
fn moved(status: u16) -> Reply {
    Reply::Said(status, Some("https://evil.example/"), GOOD.answer())
}

const XML: &str = r#"<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:sts::123456789012:assumed-role/ekiden-relay/0f3c1b5e</Arn><UserId>AROAEKIDENRELAYROLE01:0f3c1b5e</UserId><Account>123456789012</Account></GetCallerIdentityResult></GetCallerIdentityResponse>"#;

pub(super) const ANSWERS: &[Row] = &[
    ("XML", || ok(XML), "STS_ANSWER_XML"),
    (
        "XML with its declaration",
        || ok(format!("<?xml version=\"1.0\"?>\n{XML}")),
        "STS_ANSWER_XML",
    ),
    ("a page", || ok("<!DOCTYPE html><html>Sign in</html>"), "STS_ANSWER_HTML"),
    ("a page after spaces", || ok("\r\n <HTML><body>Sign in"), "STS_ANSWER_HTML"),
    (
        "a page that holds the good answer",
        || ok(format!("<html>{}", GOOD.answer())),
        "STS_ANSWER_HTML",
    ),
    ("nothing", || ok(""), "STS_ANSWER_EMPTY"),
    ("spaces", || ok(" \r\n\t "), "STS_ANSWER_EMPTY"),
    ("words", || ok("all is well"), "STS_ANSWER_NOT_JSON"),
    ("JSON cut short", || ok(&GOOD.answer()[..150]), "STS_ANSWER_NOT_JSON"),
    ("JSON with something after it", || ok(format!("{}x", GOOD.answer())), "STS_ANSWER_NOT_JSON"),
    ("JSON twice", || ok(GOOD.answer().repeat(2)), "STS_ANSWER_NOT_JSON"),
    ("JSON behind a guard", || ok(format!(")]}}'\n{}", GOOD.answer())), "STS_ANSWER_NOT_JSON"),
    ("JSON that is too deep", || ok("[".repeat(60_000)), "STS_ANSWER_NOT_JSON"),
    (
        "a huge answer",
        || ok(format!("{}{}", GOOD.answer(), " ".repeat(65_536))),
        "STS_ANSWER_TOO_LONG",
    ),
    ("a huge refusal", || said(403, "x".repeat(65_537)), "STS_ANSWER_TOO_LONG"),
    ("a list", || ok(format!("[{}]", GOOD.answer())), "STS_ANSWER_INCOMPLETE"),
    ("null", || ok("null"), "STS_ANSWER_INCOMPLETE"),
    ("the answer as a text", || ok(format!("{:?}", GOOD.answer())), "STS_ANSWER_INCOMPLETE"),
    ("no members", || ok("{}"), "STS_ANSWER_INCOMPLETE"),
    (
        "the answer in another object",
        || ok(format!(r#"{{"Response":{}}}"#, GOOD.answer())),
        "STS_ANSWER_INCOMPLETE",
    ),
    (
        "the members without their objects",
        || ok(r#"{"Account":"123456789012"}"#),
        "STS_ANSWER_INCOMPLETE",
    ),
    ("an error with status 200", || ok(refusal("ExpiredToken")), "STS_ANSWER_INCOMPLETE"),
    (
        "another action's answer",
        || bent("GetCallerIdentityResponse", "GetSessionTokenResponse"),
        "STS_ANSWER_INCOMPLETE",
    ),
    (
        "an account that is a number",
        || bent("\"Account\":\"123456789012\"", "\"Account\":123456789012"),
        "STS_ANSWER_INCOMPLETE",
    ),
    (
        "an account in a list",
        || bent("\"Account\":\"123456789012\"", "\"Account\":[\"123456789012\"]"),
        "STS_ANSWER_INCOMPLETE",
    ),
    (
        "an account that is null",
        || bent("\"Account\":\"123456789012\"", "\"Account\":null"),
        "STS_ANSWER_INCOMPLETE",
    ),
    ("no account", || bent("\"Account\":\"123456789012\",", ""), "STS_ANSWER_INCOMPLETE"),
    ("an ARN in lower case", || bent("\"Arn\"", "\"arn\""), "STS_ANSWER_INCOMPLETE"),
    ("an ARN in upper case", || bent("\"Arn\"", "\"ARN\""), "STS_ANSWER_INCOMPLETE"),
    ("an ARN whose name has a space", || bent("\"Arn\"", "\"Arn \""), "STS_ANSWER_INCOMPLETE"),
    (
        "an ARN in an object",
        || bent("\"Arn\":\"", "\"Arn\":{},\"Arm\":\""),
        "STS_ANSWER_INCOMPLETE",
    ),
    ("no user id", || bent("\"UserId\"", "\"UserID\""), "STS_ANSWER_INCOMPLETE"),
    ("an ARN twice", || bent("\"Arn\":", "\"Arn\":\"x\",\"Arn\":"), "STS_ANSWER_DUPLICATE_MEMBER"),
    (
        "an ARN twice in two cases",
        || bent("\"Arn\":", "\"arn\":\"x\",\"Arn\":"),
        "STS_ANSWER_DUPLICATE_MEMBER",
    ),
    (
        "an ARN twice, once escaped",
        || bent("\"Arn\":", "\"\\u0041rn\":\"x\",\"Arn\":"),
        "STS_ANSWER_DUPLICATE_MEMBER",
    ),
    (
        "an account twice alike",
        || bent("\"Account\":", "\"Account\":\"123456789012\",\"Account\":"),
        "STS_ANSWER_DUPLICATE_MEMBER",
    ),
    (
        "a response twice",
        || {
            bent(
                "{\"GetCallerIdentityResponse\":",
                "{\"GetCallerIdentityResponse\":{},\"GetCallerIdentityResponse\":",
            )
        },
        "STS_ANSWER_DUPLICATE_MEMBER",
    ),
    (
        "a result twice",
        || {
            bent(
                "\"GetCallerIdentityResult\":",
                "\"GetCallerIdentityResult\":{},\"GetCallerIdentityResult\":",
            )
        },
        "STS_ANSWER_DUPLICATE_MEMBER",
    ),
    (
        "an id of the request twice",
        || bent("\"RequestId\":", "\"RequestId\":1,\"RequestId\":"),
        "STS_ANSWER_DUPLICATE_MEMBER",
    ),
    (
        "11 digits",
        || bent("\"Account\":\"123456789012\"", "\"Account\":\"12345678901\""),
        "ACCOUNT_MALFORMED",
    ),
    (
        "13 digits",
        || bent("\"Account\":\"123456789012\"", "\"Account\":\"1234567890123\""),
        "ACCOUNT_MALFORMED",
    ),
    (
        "digits of elsewhere",
        || {
            bent(
                "\"Account\":\"123456789012\"",
                "\"Account\":\"\u{661}\u{661}\u{661}\u{661}\u{661}\u{661}\"",
            )
        },
        "ACCOUNT_MALFORMED",
    ),
    (
        "a newline after the account",
        || bent("\"Account\":\"123456789012\"", "\"Account\":\"123456789012\\n\""),
        "ACCOUNT_MALFORMED",
    ),
    (
        "an account that is empty",
        || bent("\"Account\":\"123456789012\"", "\"Account\":\"\""),
        "ACCOUNT_MALFORMED",
    ),
    (
        "an account other than its ARN's",
        || bent("\"Account\":\"123456789012\"", "\"Account\":\"999999999999\""),
        "ACCOUNT_DIFFERS",
    ),
    (
        "an ARN of another account",
        || of("arn:aws:sts::999999999999:assumed-role/ekiden-relay/0f3c1b5e"),
        "ACCOUNT_DIFFERS",
    ),
    (
        "an ARN without an account",
        || of("arn:aws:sts:::assumed-role/ekiden-relay/0f3c1b5e"),
        "ACCOUNT_DIFFERS",
    ),
    (
        "an ARN of AWS's own account",
        || of("arn:aws:sts::aws:assumed-role/ekiden-relay/0f3c1b5e"),
        "ACCOUNT_DIFFERS",
    ),
    (
        "an ARN of China",
        || of("arn:aws-cn:sts::123456789012:assumed-role/ekiden-relay/0f3c1b5e"),
        "PARTITION_DIFFERS",
    ),
    (
        "an ARN of no partition",
        || of("arn::sts::123456789012:assumed-role/ekiden-relay/0f3c1b5e"),
        "PARTITION_DIFFERS",
    ),
    ("a user", || of("arn:aws:iam::123456789012:user/ekiden-relay"), "CALLER_IS_USER"),
    (
        "a user called as a session",
        || of("arn:aws:iam::123456789012:user/assumed-role/ekiden-relay"),
        "CALLER_IS_USER",
    ),
    ("the root", || of("arn:aws:iam::123456789012:root"), "CALLER_IS_ROOT"),
    (
        "a federated user",
        || of("arn:aws:sts::123456789012:federated-user/ekiden-relay"),
        "CALLER_IS_FEDERATED_USER",
    ),
    ("a role itself", || of("arn:aws:iam::123456789012:role/ekiden-relay"), "CALLER_IS_ROLE"),
    (
        "a role itself with a path",
        || of("arn:aws:iam::123456789012:role/team/ekiden-relay"),
        "CALLER_IS_ROLE",
    ),
    ("no session", || of("arn:aws:sts::123456789012:assumed-role/ekiden-relay"), "ARN_MALFORMED"),
    (
        "an empty session",
        || of("arn:aws:sts::123456789012:assumed-role/ekiden-relay/"),
        "ARN_MALFORMED",
    ),
    ("an empty role", || of("arn:aws:sts::123456789012:assumed-role//0f3c1b5e"), "ARN_MALFORMED"),
    (
        "a role with a slash",
        || of("arn:aws:sts::123456789012:assumed-role/team/ekiden-relay/0f3c1b5e"),
        "ARN_MALFORMED",
    ),
    (
        "a role with a space",
        || of("arn:aws:sts::123456789012:assumed-role/ekiden relay/0f3c1b5e"),
        "ARN_MALFORMED",
    ),
    (
        "a role with a wildcard",
        || of("arn:aws:sts::123456789012:assumed-role/*/0f3c1b5e"),
        "ARN_MALFORMED",
    ),
    (
        "a role of 65 letters",
        || of(&format!("arn:aws:sts::123456789012:assumed-role/{}/0f3c1b5e", "r".repeat(65))),
        "ARN_MALFORMED",
    ),
    (
        "a session with a colon",
        || of("arn:aws:sts::123456789012:assumed-role/ekiden-relay/0f3c:1b5e"),
        "ARN_MALFORMED",
    ),
    (
        "a session of iam",
        || of("arn:aws:iam::123456789012:assumed-role/ekiden-relay/0f3c1b5e"),
        "ARN_MALFORMED",
    ),
    ("an assumed root", || of("arn:aws:sts::123456789012:assumed-root/0f3c1b5e"), "ARN_MALFORMED"),
    ("a root of sts", || of("arn:aws:sts::123456789012:root"), "ARN_MALFORMED"),
    (
        "an ARN with a region",
        || of("arn:aws:sts:us-east-1:123456789012:assumed-role/ekiden-relay/0f3c1b5e"),
        "ARN_MALFORMED",
    ),
    (
        "an ARN in upper case throughout",
        || of("ARN:AWS:STS::123456789012:ASSUMED-ROLE/ekiden-relay/0f3c1b5e"),
        "ARN_MALFORMED",
    ),
    (
        "an ARN after a space",
        || of(" arn:aws:sts::123456789012:assumed-role/ekiden-relay/0f3c1b5e"),
        "ARN_MALFORMED",
    ),
    ("an ARN that is empty", || of(""), "ARN_MALFORMED"),
    (
        "a user id of another session",
        || bent("ROLE01:0f3c1b5e", "ROLE01:other"),
        "USER_ID_MALFORMED",
    ),
    ("a user id without a session", || bent("ROLE01:0f3c1b5e", "ROLE01"), "USER_ID_MALFORMED"),
    (
        "a user id of a user",
        || bent("AROAEKIDENRELAYROLE01", "AIDAEKIDENRELAYROLE01"),
        "USER_ID_MALFORMED",
    ),
    (
        "a user id of an account",
        || bent("AROAEKIDENRELAYROLE01:0f3c1b5e", "123456789012"),
        "USER_ID_MALFORMED",
    ),
    ("status 301", || moved(301), "STS_REDIRECTED"),
    ("status 302", || moved(302), "STS_REDIRECTED"),
    ("status 303", || moved(303), "STS_REDIRECTED"),
    ("status 307", || moved(307), "STS_REDIRECTED"),
    ("status 308", || moved(308), "STS_REDIRECTED"),
    ("status 302 to nowhere", || said(302, ""), "STS_REDIRECTED"),
    ("the good answer with status 201", || said(201, GOOD.answer()), "STS_STATUS_UNEXPECTED"),
    ("the good answer with status 203", || said(203, GOOD.answer()), "STS_STATUS_UNEXPECTED"),
    ("the good answer with status 400", || said(400, GOOD.answer()), "STS_STATUS_UNEXPECTED"),
    ("the good answer with status 403", || said(403, GOOD.answer()), "SIGNATURE_REFUSED"),
    ("the good answer with status 500", || said(500, GOOD.answer()), "STS_UNREACHABLE"),
    ("status 204", || said(204, ""), "STS_STATUS_UNEXPECTED"),
    ("status 400", || said(400, refusal("InvalidAction")), "STS_STATUS_UNEXPECTED"),
    ("status 401", || said(401, ""), "STS_STATUS_UNEXPECTED"),
    ("status 404", || said(404, "<html>"), "STS_STATUS_UNEXPECTED"),
    ("status 407", || said(407, "<html>"), "STS_STATUS_UNEXPECTED"),
    ("an expired token", || said(403, refusal("ExpiredToken")), "SIGNATURE_REFUSED"),
    ("an unknown key", || said(403, refusal("InvalidClientTokenId")), "SIGNATURE_REFUSED"),
    (
        "a signature that does not match",
        || said(403, refusal("SignatureDoesNotMatch")),
        "SIGNATURE_REFUSED",
    ),
    ("status 403 in XML", || said(403, XML), "SIGNATURE_REFUSED"),
    ("throttling with status 400", || said(400, refusal("Throttling")), "STS_THROTTLED"),
    ("status 429", || said(429, ""), "STS_THROTTLED"),
    ("status 500", || said(500, refusal("InternalFailure")), "STS_UNREACHABLE"),
    ("status 502", || said(502, "<html>"), "STS_UNREACHABLE"),
    ("status 503", || said(503, refusal("ServiceUnavailable")), "STS_UNREACHABLE"),
    ("a closed connection", || Reply::Closed, "STS_UNREACHABLE"),
];
