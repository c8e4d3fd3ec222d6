//! Parts that never get as far as STS.
use crate::sts::signing::Sent;

/// Name of the row, what the part becomes, reason.
type Row = (&'static str, &'static str, &'static str);
/// Name of the part, how it is put, rows.
type Field = (&'static str, fn(&mut Sent, String), &'static [Row]);

pub(super) const FIELDS: &[Field] = &[
    ("region", |sent, to| sent.region = to, REGIONS),
    ("date", |sent, to| sent.amz_date = to, DATES),
    ("access key", |sent, to| sent.access_key_id = to, ACCESS_KEYS),
    ("token", |sent, to| sent.session_token = to, TOKENS),
    ("signature", |sent, to| sent.signature = to, SIGNATURES),
];

const REGIONS: &[Row] = &[
    ("with a dot", "ap-northeast-1.evil", "REGION_MALFORMED"),
    ("that is a host", "evil.example", "REGION_MALFORMED"),
    ("that ends the host", "evil.example/", "REGION_MALFORMED"),
    ("that ends the host for a query", "evil.example?", "REGION_MALFORMED"),
    ("that ends the host for a fragment", "evil.example#", "REGION_MALFORMED"),
    ("that ends the host backwards", "evil.example\\", "REGION_MALFORMED"),
    ("with a slash alone", "ap-northeast-1/", "REGION_MALFORMED"),
    ("that climbs", "../../evil", "REGION_MALFORMED"),
    ("with an at sign", "a@evil.example", "REGION_MALFORMED"),
    ("with user and password", "user:password@evil", "REGION_MALFORMED"),
    ("with a port", "ap-northeast-1:444", "REGION_MALFORMED"),
    ("in upper case", "AP-NORTHEAST-1", "REGION_MALFORMED"),
    ("in mixed case", "ap-Northeast-1", "REGION_MALFORMED"),
    ("that is empty", "", "REGION_MALFORMED"),
    ("that is a space", " ", "REGION_MALFORMED"),
    ("with a space before", " ap-northeast-1", "REGION_MALFORMED"),
    ("with a space after", "ap-northeast-1 ", "REGION_MALFORMED"),
    ("that is very long", LONG, "REGION_MALFORMED"),
    ("with a newline", "ap-northeast-1\n", "REGION_MALFORMED"),
    ("that adds a header", "ap-northeast-1\r\nx-amz-target: evil", "REGION_MALFORMED"),
    ("with a NUL", "ap-northeast-1\0", "REGION_MALFORMED"),
    ("with a NUL before evil", "ap-northeast-1\0.evil.example", "REGION_MALFORMED"),
    ("percent-encoded", "ap%2dnortheast-1", "REGION_MALFORMED"),
    ("with a percent-encoded slash", "evil%2f", "REGION_MALFORMED"),
    ("with an underscore", "ap_northeast_1", "REGION_MALFORMED"),
    ("with a wildcard", "*", "REGION_MALFORMED"),
    ("in wide letters", "\u{ff41}\u{ff50}-northeast-1", "REGION_MALFORMED"),
    ("with a Cyrillic a", "\u{430}p-northeast-1", "REGION_MALFORMED"),
    ("with a soft hyphen", "ap-northeast\u{ad}-1", "REGION_MALFORMED"),
    ("that is the global host", "sts.amazonaws.com", "REGION_MALFORMED"),
    ("that is the global host's first part", "sts", "REGION_UNKNOWN"),
    ("of the global host", "aws-global", "REGION_UNKNOWN"),
    ("of China's global host", "aws-cn-global", "REGION_UNKNOWN"),
    ("called global", "global", "REGION_UNKNOWN"),
    ("of a FIPS host", "us-east-1-fips", "REGION_UNKNOWN"),
    ("that nobody has", "ap-nowhere-9", "REGION_UNKNOWN"),
    ("that is a prefix", "ap-northeast", "REGION_UNKNOWN"),
    ("that goes on", "ap-northeast-11", "REGION_UNKNOWN"),
    ("that is a zone", "ap-northeast-1a", "REGION_UNKNOWN"),
    ("that is a hyphen", "-", "REGION_UNKNOWN"),
    ("that is a number", "2130706433", "REGION_UNKNOWN"),
    ("of a secret partition", "us-iso-east-1", "REGION_UNKNOWN"),
    ("of the European sovereign cloud", "eusc-de-east-1", "REGION_UNKNOWN"),
    ("in the north of China", "cn-north-1", "PARTITION_NOT_ALLOWED"),
    ("in the northwest of China", "cn-northwest-1", "PARTITION_NOT_ALLOWED"),
    ("in the west of GovCloud", "us-gov-west-1", "PARTITION_NOT_ALLOWED"),
    ("in the east of GovCloud", "us-gov-east-1", "PARTITION_NOT_ALLOWED"),
];

const DATES: &[Row] = &[
    ("a second too old", "20261123T114459Z", "DATE_TOO_OLD"),
    ("of yesterday", "20261122T120000Z", "DATE_TOO_OLD"),
    ("of the year 0", "00000101T000000Z", "DATE_TOO_OLD"),
    ("a second too far ahead", "20261123T120101Z", "DATE_AHEAD"),
    ("of tomorrow", "20261124T120000Z", "DATE_AHEAD"),
    ("of the year 9999", "99991231T235959Z", "DATE_AHEAD"),
    ("of the 30th of February", "20260230T120000Z", "DATE_MALFORMED"),
    ("of a leap day in another year", "20260229T120000Z", "DATE_MALFORMED"),
    ("of the 31st of November", "20261131T120000Z", "DATE_MALFORMED"),
    ("of the 13th month", "20261323T120000Z", "DATE_MALFORMED"),
    ("of the month 0", "20260023T120000Z", "DATE_MALFORMED"),
    ("of the day 0", "20261100T120000Z", "DATE_MALFORMED"),
    ("at 25 h", "20261123T250000Z", "DATE_MALFORMED"),
    ("at 24 h", "20261123T240000Z", "DATE_MALFORMED"),
    ("at minute 60", "20261123T116000Z", "DATE_MALFORMED"),
    ("at a leap second", "20261123T115960Z", "DATE_MALFORMED"),
    ("in RFC 3339", "2026-11-23T12:00:00Z", "DATE_MALFORMED"),
    ("in RFC 1123", "Mon, 23 Nov 2026 12:00:00 GMT", "DATE_MALFORMED"),
    ("in seconds of Unix", "1795435200", "DATE_MALFORMED"),
    ("with a fraction", "20261123T120000.0Z", "DATE_MALFORMED"),
    ("without its Z", "20261123T120000", "DATE_MALFORMED"),
    ("of another zone", "20261123T120000+0900", "DATE_MALFORMED"),
    ("of another zone in as many letters", "20261123T120000J", "DATE_MALFORMED"),
    ("in lower case", "20261123t120000z", "DATE_MALFORMED"),
    ("with a space for its T", "20261123 120000Z", "DATE_MALFORMED"),
    ("with a sign", "+0261123T120000Z", "DATE_MALFORMED"),
    ("with a sign in its hour", "20261123T+20000Z", "DATE_MALFORMED"),
    ("with a space after", "20261123T120000Z ", "DATE_MALFORMED"),
    ("that adds a header", "20261123T120000Z\r\nx-amz-target: evil", "DATE_MALFORMED"),
    ("with a CR LF of its length", "20261123T1200\r\nZ", "DATE_MALFORMED"),
    ("in Arabic digits", "\u{662}\u{660}\u{662}\u{666}1123T1200Z", "DATE_MALFORMED"),
    ("that adds to the scope", "20261123/T12000Z", "DATE_MALFORMED"),
    ("that is empty", "", "DATE_MALFORMED"),
];

const ACCESS_KEYS: &[Row] = &[
    ("of a user", "AKIAIOSFODNN7EXAMPLE", "ACCESS_KEY_LONG_TERM"),
    (
        "of a user with a scope",
        "AKIAIOSFODNN7EXAMPLE/20260101/us-east-1/iam/aws4_request",
        "ACCESS_KEY_MALFORMED",
    ),
    (
        "with a scope",
        "ASIAEKIDENGOODRELAY1/20261123/us-east-1/sts/aws4_request",
        "ACCESS_KEY_MALFORMED",
    ),
    ("with a slash", "ASIAEKIDENGOODRELAY1/", "ACCESS_KEY_MALFORMED"),
    ("that lists the headers", "ASIAEKIDENGOODRELAY1, SignedHeaders=host", "ACCESS_KEY_MALFORMED"),
    ("with a comma", "ASIAEKIDENGOODRELAY1,", "ACCESS_KEY_MALFORMED"),
    ("with an equals sign", "ASIAEKIDENGOODRELAY1=", "ACCESS_KEY_MALFORMED"),
    ("with a space after", "ASIAEKIDENGOODRELAY1 ", "ACCESS_KEY_MALFORMED"),
    ("with a space within", "ASIAEKIDEN GOODRELAY", "ACCESS_KEY_MALFORMED"),
    ("with a colon", "ASIAEKIDENGOODRELAY1:", "ACCESS_KEY_MALFORMED"),
    ("with a semicolon", "ASIAEKIDENGOODRELAY1;", "ACCESS_KEY_MALFORMED"),
    ("that adds a header", "ASIAEKIDENGOODRELAY1\r\nhost: evil", "ACCESS_KEY_MALFORMED"),
    ("with a newline", "ASIAEKIDENGOODRELAY1\n", "ACCESS_KEY_MALFORMED"),
    ("with a NUL", "ASIAEKIDENGOODRELAY1\0", "ACCESS_KEY_MALFORMED"),
    ("in lower case", "asiaekidengoodrelay1", "ACCESS_KEY_MALFORMED"),
    ("of the id of a role", "AROAEKIDENRELAYROLE01", "ACCESS_KEY_MALFORMED"),
    ("that ends where it should begin", "EKIDENGOODRELAY1ASIA", "ACCESS_KEY_MALFORMED"),
    ("that is short", "ASIAEKIDENGOODR", "ACCESS_KEY_MALFORMED"),
    ("that is long", LONG, "ACCESS_KEY_MALFORMED"),
    ("with a Greek letter", "ASIAEKIDENGOODREL\u{391}Y1", "ACCESS_KEY_MALFORMED"),
    ("that is empty", "", "ACCESS_KEY_MALFORMED"),
];

const TOKENS: &[Row] = &[
    ("that is empty", "", "SESSION_TOKEN_MISSING"),
    ("that is a space", " ", "SESSION_TOKEN_MALFORMED"),
    ("that adds a header", "IQoJb3JpZ2luX2Vj\r\nhost: evil.example", "SESSION_TOKEN_MALFORMED"),
    ("that begins a body", "IQoJb3JpZ2luX2Vj\r\n\r\nAction=Evil", "SESSION_TOKEN_MALFORMED"),
    ("with a newline", "IQoJb3JpZ2luX2Vj\n", "SESSION_TOKEN_MALFORMED"),
    ("with a space within", "IQoJb3Jp Z2luX2Vj", "SESSION_TOKEN_MALFORMED"),
    ("with a space before", " IQoJb3JpZ2luX2Vj", "SESSION_TOKEN_MALFORMED"),
    ("with a tab", "IQoJb3Jp\tZ2luX2Vj", "SESSION_TOKEN_MALFORMED"),
    ("with a NUL", "IQoJb3Jp\0Z2luX2Vj", "SESSION_TOKEN_MALFORMED"),
    ("with an escape", "IQoJb3Jp\u{1b}[2J", "SESSION_TOKEN_MALFORMED"),
    ("with a DEL", "IQoJb3Jp\u{7f}", "SESSION_TOKEN_MALFORMED"),
    ("with a comma", "IQoJb3Jp,Z2luX2Vj", "SESSION_TOKEN_MALFORMED"),
    ("with a quote", "IQoJb3Jp\"Z2luX2Vj", "SESSION_TOKEN_MALFORMED"),
    ("percent-encoded", "IQoJb3Jp%2BZ2luX2Vj", "SESSION_TOKEN_MALFORMED"),
    ("with a letter past ASCII", "IQoJb3Jp\u{e9}", "SESSION_TOKEN_MALFORMED"),
    ("of a byte too many", LONG, "SESSION_TOKEN_TOO_LONG"),
];

const SIGNATURES: &[Row] = &[
    ("that is empty", "", "SIGNATURE_MALFORMED"),
    ("in upper case", UPPER, "SIGNATURE_MALFORMED"),
    ("of 63 digits", SHORT, "SIGNATURE_MALFORMED"),
    ("of 65 digits", TOO_LONG, "SIGNATURE_MALFORMED"),
    ("with a letter past f", NO_HEX, "SIGNATURE_MALFORMED"),
    ("with a prefix", PREFIXED, "SIGNATURE_MALFORMED"),
    ("with a newline", NEWLINE, "SIGNATURE_MALFORMED"),
    ("that adds a header", ADDS_HEADER, "SIGNATURE_MALFORMED"),
    ("with another after it", TWICE, "SIGNATURE_MALFORMED"),
    ("of 64 bytes past ASCII", WIDE, "SIGNATURE_MALFORMED"),
];

const UPPER: &str = "75A0075E1B9AF7089A6BD030CDE91ABC498A995669866F0F43E100E85223F2F4";
const SHORT: &str = "75a0075e1b9af7089a6bd030cde91abc498a995669866f0f43e100e85223f2f";
const TOO_LONG: &str = "75a0075e1b9af7089a6bd030cde91abc498a995669866f0f43e100e85223f2f40";
const NO_HEX: &str = "g5a0075e1b9af7089a6bd030cde91abc498a995669866f0f43e100e85223f2f4";
const PREFIXED: &str = "0x75a0075e1b9af7089a6bd030cde91abc498a995669866f0f43e100e85223f2";
const NEWLINE: &str = "75a0075e1b9af7089a6bd030cde91abc498a995669866f0f43e100e85223f2f4\n";
const ADDS_HEADER: &str =
    "75a0075e1b9af7089a6bd030cde91abc498a995669866f0f43e100e85223f2f4\r\nhost: evil.example";
const TWICE: &str =
    "75a0075e1b9af7089a6bd030cde91abc498a995669866f0f43e100e85223f2f4, Signature=00";
const WIDE: &str = "\u{e9}\u{e9}a0075e1b9af7089a6bd030cde91abc498a995669866f0f43e100e85223f2";

/// 4097 of a letter that every part but the signature may hold.
const LONG: &str = match std::str::from_utf8(&[b'A'; 4097]) {
    Ok(text) => text,
    Err(_) => "",
};
