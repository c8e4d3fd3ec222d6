#![no_main]
//! A proof (five lines) leads to the STS of its region and nowhere else; an answer (status, line feed, body) names a
//! role only when it is a good one.
use ekiden_control_plane::{https::Answer, sts::*};
use http::{Method, StatusCode};
use libfuzzer_sys::fuzz_target;

const CHALLENGE: &str = "ResgbIXDR1YWcfWTXbSJUixL4L6T5yhYLjxtbCfGNSk";

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    if let Ok(status) = StatusCode::from_bytes(&data[..end]) {
        answered(Answer { status, body: data.get(end + 1..).unwrap_or_default().to_vec() });
    } else if let Ok(text) = str::from_utf8(data)
        && let [region, amz_date, access_key_id, session_token, signature] =
            text.split('\n').collect::<Vec<_>>()[..]
        && let Ok(proof) =
            Proof::read(ProofFields { region, amz_date, access_key_id, session_token, signature })
    {
        let request = fuzzing::rebuild(&proof, CHALLENGE, "spiffe://ekiden.example").unwrap();
        let url = format!("https://{}/", Region::named(region).unwrap().sts_host());
        assert_eq!((request.url().as_str(), request.method()), (url.as_str(), &Method::POST));
        assert_eq!(
            (request.headers().len(), &request.headers()["x-ekiden-challenge"]),
            (8, &CHALLENGE.parse().unwrap())
        );
        assert!(!format!("{proof:?} {request:?}").contains(signature));
    }
});

fn answered(answer: Answer) {
    let Ok(caller) = fuzzing::read(&answer, Partition::Aws) else { return };
    assert_eq!(answer.status, StatusCode::OK);
    let role = format!("arn:aws:iam::{}:role/{}", caller.account, caller.role_name);
    assert!(caller.matches_role(&role));
    assert!(!caller.matches_role(&format!("{role}+")) && !caller.matches_role(&format!("{role}*")));
}
