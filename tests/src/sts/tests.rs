use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use aws_sdk_sts::{
    Client, Config,
    config::{BehaviorVersion, Credentials, Region, retry::RetryConfig},
    error::ProvideErrorMetadata as _,
    types::Tag,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

use super::*;
use crate::task_role::{ACCOUNT, CREDENTIALS, REGION, ROLE_ARN, SESSION_ARN};

async fn start() -> anyhow::Result<Sts> {
    Sts::start(([127, 0, 0, 1], 0).into(), &Authority::new("the tests' authority")?).await
}

fn client(sts: &Sts, secret: &str) -> Client {
    let token = Some(CREDENTIALS.session_token.to_owned());
    let credentials = Credentials::new(CREDENTIALS.access_key_id, secret, token, None, "tests");
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .endpoint_url(sts.url())
        .credentials_provider(credentials)
        .retry_config(RetryConfig::disabled())
        .build();
    Client::from_conf(config)
}

fn decoded(part: &str) -> anyhow::Result<Vec<u8>> {
    Ok(BASE64_URL_SAFE_NO_PAD.decode(part)?)
}

#[tokio::test]
async fn the_sdk_is_told_whose_its_credentials_are_and_a_wrong_secret_nothing() -> anyhow::Result<()>
{
    let sts = start().await?;
    let told = client(&sts, CREDENTIALS.secret).get_caller_identity().send().await;
    // The SDK asks for XML, which carries the same.
    assert_eq!(told?.arn(), Some(SESSION_ARN));
    let refused = client(&sts, "another").get_caller_identity().send().await.unwrap_err();
    assert_eq!(refused.code(), Some("SignatureDoesNotMatch"));
    let call = |error| {
        let host = sts.url().replace("http://", "");
        Call { host, what: "GetCallerIdentity".to_owned(), error }
    };
    assert_eq!(sts.calls(), [call(None), call(Some("SignatureDoesNotMatch"))]);
    Ok(())
}

#[tokio::test]
async fn a_token_carries_its_tags_and_is_signed_by_the_published_key() -> anyhow::Result<()> {
    let sts = start().await?;
    let asked = client(&sts, CREDENTIALS.secret)
        .get_web_identity_token()
        .audience("spiffe://ekiden.test")
        .signing_algorithm("ES384")
        .tags(Tag::builder().key("ekiden-challenge").value("digest").build()?);
    let token = asked.clone().send().await?.web_identity_token.unwrap_or_default();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let claims = signed.split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&decoded(claims)?)?;
    assert_eq!((&claims["iss"], &claims["sub"]), (&ISSUER.into(), &ROLE_ARN.into()));
    let aws = &claims["https://sts.amazonaws.com/"];
    assert_eq!(aws["aws_account"], ACCOUNT);
    assert_eq!(aws["request_tags"]["ekiden-challenge"], "digest");

    let set = sts.shared.issuer.document("/.well-known/jwks.json").unwrap();
    let key = &set["keys"][0];
    let [x, y] = ["x", "y"].map(|name| decoded(key[name].as_str().unwrap()));
    let point = [vec![4], x?, y?].concat();
    let key = UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point);
    key.verify(signed.as_bytes(), &decoded(signature)?)?;
    assert!(key.verify(b"another", &decoded(signature)?).is_err());

    sts.behave(|behaviour| behaviour.federates = false);
    let refused = asked.send().await.unwrap_err().into_service_error();
    assert!(refused.is_outbound_web_identity_federation_disabled_exception(), "{refused:?}");
    Ok(())
}
