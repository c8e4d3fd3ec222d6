//! Hostile forms: what is sent instead of three parts, and signatures that are none.
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use super::{
    super::test_tokens::{Draft, Keys},
    Row, encode, row,
};

const PARTS: &str = "TOKEN_NOT_THREE_PARTS";
const BASE64: &str = "TOKEN_NOT_BASE64URL";
const SIGNATURE: &str = "SIGNATURE_WRONG";

fn es256(draft: &mut Draft, sign: fn(&Keys, &[u8]) -> Vec<u8>) {
    (draft.header["alg"], draft.header["kid"]) = (json!("ES256"), json!("es256"));
    draft.sign = sign;
}

/// The token's parts, to be put together in another way.
fn parts(token: &str) -> [&str; 3] {
    token.split('.').collect::<Vec<_>>().try_into().unwrap()
}

/// The token with another payload under its signature.
fn promoted(token: &str) -> String {
    let [header, payload, signature] = parts(token);
    let claims = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    format!("{header}.{}.{signature}", encode(claims.replace("relays/edge", "admin")))
}

/// The token with a space after its claims, which mean the same.
fn spaced(token: &str) -> String {
    let [header, payload, signature] = parts(token);
    let claims = [URL_SAFE_NO_PAD.decode(payload).unwrap(), b" ".to_vec()].concat();
    format!("{header}.{}.{signature}", encode(claims))
}

pub(super) const ROWS: &[Row] = &[
    // Signatures.
    row("signature of another RSA key", |d| d.sign = Keys::other_rs256, SIGNATURE),
    row("signature of another P-256 key", |d| es256(d, Keys::other_es256), SIGNATURE),
    row("signature empty", |d| d.sign = |_, _| Vec::new(), SIGNATURE),
    row("signature cut short", |d| d.sign = |k, m| k.rs256(m)[..255].to_vec(), SIGNATURE),
    row("signature of one byte", |d| d.sign = |_, _| vec![1], SIGNATURE),
    row("signature all zero", |d| d.sign = |_, _| vec![0; 256], SIGNATURE),
    row("signature one", |d| d.sign = |_, _| [vec![0; 255], vec![1]].concat(), SIGNATURE),
    row("signature all ones", |d| d.sign = |_, _| vec![0xff; 256], SIGNATURE),
    row("signature and a zero", |d| d.sign = |k, m| [k.rs256(m), vec![0]].concat(), SIGNATURE),
    row("zero and signature", |d| d.sign = |k, m| [vec![0], k.rs256(m)].concat(), SIGNATURE),
    row("signature twice", |d| d.sign = |k, m| k.rs256(m).repeat(2), SIGNATURE),
    row(
        "signature backwards",
        |d| d.sign = |k, m| k.rs256(m).into_iter().rev().collect(),
        SIGNATURE,
    ),
    row(
        "signature with one bit flipped",
        |d| {
            d.sign = |k, m| {
                let mut signature = k.rs256(m);
                signature[128] ^= 1;
                signature
            }
        },
        SIGNATURE,
    ),
    row("signature of the payload alone", |d| d.sign = |k, m| k.rs256(&m[80..]), SIGNATURE),
    row("signature of another payload", |d| d.send = |token| promoted(&token), SIGNATURE),
    row("signature of nearly the same", |d| d.send = |token| spaced(&token), SIGNATURE),
    row("ECDSA in DER form", |d| es256(d, Keys::es256_der), SIGNATURE),
    row("ECDSA all zero", |d| es256(d, |_, _| vec![0; 64]), SIGNATURE),
    row("ECDSA of the order", |d| es256(d, |_, _| ORDER.repeat(2)), SIGNATURE),
    row("ECDSA cut short", |d| es256(d, |k, m| k.es256(m)[..63].to_vec()), SIGNATURE),
    row("ECDSA and a zero", |d| es256(d, |k, m| [k.es256(m), vec![0]].concat()), SIGNATURE),
    row("ECDSA r alone", |d| es256(d, |k, m| k.es256(m)[..32].to_vec()), SIGNATURE),
    row("ECDSA empty", |d| es256(d, |_, _| Vec::new()), SIGNATURE),
    row(
        "ECDSA r and s exchanged",
        |d| {
            es256(d, |k, m| {
                let mut signature = k.es256(m);
                signature.rotate_left(32);
                signature
            })
        },
        SIGNATURE,
    ),
    // Parts.
    row("nothing", |d| d.send = |_| String::new(), PARTS),
    row("one part", |d| d.send = |token| parts(&token)[0].to_owned(), PARTS),
    row("two parts", |d| d.send = |token| parts(&token)[..2].join("."), PARTS),
    row("four parts", |d| d.send = |token| token + ".e30", PARTS),
    row("a dot at the end", |d| d.send = |token| token + ".", PARTS),
    row("a dot at the beginning", |d| d.send = |token| format!(".{token}"), PARTS),
    row("JWE in five parts", |d| d.send = |_| JWE.to_owned(), PARTS),
    row("dots alone", |d| d.send = |_| "....".to_owned(), PARTS),
    row("two dots alone", |d| d.send = |_| "..".to_owned(), "HEADER_NOT_JSON"),
    row(
        "JSON form",
        |d| d.send = |token| json!({ "payload": parts(&token)[1] }).to_string(),
        PARTS,
    ),
    // Bytes.
    row("space before", |d| d.send = |token| format!(" {token}"), BASE64),
    row("new line after", |d| d.send = |token| token + "\n", BASE64),
    row("new line within", |d| d.send = |token| token.replacen('.', ".\n", 1), BASE64),
    row("space around a dot", |d| d.send = |token| token.replacen('.', " . ", 1), BASE64),
    row("its name before it", |d| d.send = |token| format!("Bearer {token}"), BASE64),
    row("quotes around it", |d| d.send = |token| format!("\"{token}\""), BASE64),
    row("padding after the header", |d| d.send = |token| token.replacen('.', "=.", 1), BASE64),
    row("padding after the signature", |d| d.send = |token| token + "==", BASE64),
    row(
        "the other alphabet",
        |d| {
            d.send = |token| {
                let [header, payload, _] = parts(&token);
                format!("{header}.{payload}.+/+/")
            }
        },
        BASE64,
    ),
    row("NUL after it", |d| d.send = |token| token + "\0", BASE64),
    row("NUL before it", |d| d.send = |token| format!("\0{token}"), BASE64),
    row("NUL within", |d| d.send = |token| token.replacen('.', "\0.", 1), BASE64),
    row("letters beyond ASCII", |d| d.send = |token| token + "é", BASE64),
    row("full-width dot", |d| d.send = |token| token.replace('.', "。"), PARTS),
    row("percent signs", |d| d.send = |token| token.replacen('.', "%2E", 1), PARTS),
    row(
        "a length that base64 cannot have",
        |d| d.send = |token| token.replacen('.', "AAAAA.", 1),
        BASE64,
    ),
    row(
        "bits after the end of the signature",
        |d| {
            // 256 bytes leave two characters of which the last has four bits too many.
            d.send = |token| {
                let last = token.chars().last().unwrap();
                let beside = ALPHABET[ALPHABET.iter().position(|b| *b == last as u8).unwrap() + 1];
                format!("{}{}", &token[..token.len() - 1], char::from(beside))
            }
        },
        BASE64,
    ),
    // Sizes.
    row("a byte too long", |d| d.send = |token| format!("{token:A<16385}"), "TOKEN_TOO_LONG"),
    row("a megabyte", |d| d.send = |token| token.repeat(1500), "TOKEN_TOO_LONG"),
    row("a megabyte of dots", |d| d.send = |_| ".".repeat(1 << 20), "TOKEN_TOO_LONG"),
    row("16 KiB of dots", |d| d.send = |_| ".".repeat(16 << 10), PARTS),
    row("a claim too long", |d| d.claims["more"] = json!("m".repeat(16 << 10)), "TOKEN_TOO_LONG"),
];

const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/// A shape of encrypted tokens (RFC 7516, appendix A).
const JWE: &str = "eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.a2V5.aXY.Y2lwaGVy.dGFn";
/// The order of P-256 (SEC 2, section 2.4.2): neither r nor s may be as large.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];
