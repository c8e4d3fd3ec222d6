//! Enrollment by the task's AWS role, against a stand-in for STS.
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use axum::{Form, Router, extract::State, http::StatusCode, routing::post};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::*;

/// Parameters of a request to STS.
type Asked = HashMap<String, String>;

/// STS as a task reaches it.
#[derive(Clone, Default)]
struct Sts {
    /// Whether the account has outbound identity federation switched on.
    federates: bool,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Sts {
    async fn serve(&self) -> (AwsRole, AbortOnDropHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", post(answer)).with_state(self.clone());
        let serving = async move { axum::serve(listener, router).await.unwrap() };
        let serving = AbortOnDropHandle::new(tokio::runtime::Handle::current().spawn(serving));
        (role(&format!("http://{address}"), Some("session-token")), serving)
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn answer(State(sts): State<Sts>, Form(asked): Form<Asked>) -> (StatusCode, String) {
    let digest = asked.get("Tags.member.1.Value").cloned().unwrap_or_default();
    sts.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
    if sts.federates {
        let result = format!(
            "<GetWebIdentityTokenResult><WebIdentityToken>token-for-{digest}</WebIdentityToken></GetWebIdentityTokenResult>"
        );
        return (
            StatusCode::OK,
            format!("<GetWebIdentityTokenResponse>{result}</GetWebIdentityTokenResponse>"),
        );
    }
    let error = "<Error><Type>Sender</Type><Code>OutboundWebIdentityFederationDisabled</Code><Message>switch it on</Message></Error>";
    (StatusCode::BAD_REQUEST, format!("<ErrorResponse>{error}</ErrorResponse>"))
}

fn role(sts: &str, session_token: Option<&str>) -> AwsRole {
    let credentials = Credentials::new(
        "ASIAEKIDENGOODRELAY1",
        "secret",
        session_token.map(ToOwned::to_owned),
        None,
        "test",
    );
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new("ap-northeast-1"))
        .endpoint_url(sts)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    AwsRole::with_config(config)
}

fn start(
    control_plane: &FakeControlPlane,
    folder: &Path,
    role: AwsRole,
    token: Option<&str>,
) -> Kept {
    Kept::start_as(control_plane, folder, Some(role), token, Clock::system())
}

#[tokio::test]
async fn a_role_is_proven_by_a_web_identity_token_for_this_key_and_control_plane() {
    let control_plane = FakeControlPlane::start().await;
    control_plane.change(|behaviour| behaviour.admits = Some(Way::WebIdentity));
    let sts = Sts { federates: true, ..Sts::default() };
    let (role, _serving) = sts.serve().await;
    let folder = tempfile::tempdir().unwrap();
    // The control plane of these tests compares the token's challenge with the key in the request.
    start(&control_plane, folder.path(), role, None).next(|_| true).await;
    assert_eq!(control_plane.enrollments(), 1);
    let asked = &sts.asked()[0];
    for (name, value) in [
        ("Action", "GetWebIdentityToken"),
        ("Audience.member.1", "spiffe://ekiden.test"),
        ("SigningAlgorithm", "ES384"),
        ("DurationSeconds", "60"),
        ("Tags.member.1.Key", "ekiden-challenge"),
    ] {
        assert_eq!(asked.get(name).map(String::as_str), Some(value), "{asked:?}");
    }
}

#[tokio::test]
async fn where_sts_gives_no_token_the_role_is_proven_by_a_signature() {
    let control_plane = FakeControlPlane::start().await;
    control_plane.change(|behaviour| behaviour.admits = Some(Way::CallerIdentity));
    let sts = Sts::default();
    let (role, _serving) = sts.serve().await;
    let folder = tempfile::tempdir().unwrap();
    start(&control_plane, folder.path(), role, None).next(|_| true).await;
    assert_eq!(control_plane.enrollments(), 1);
}

#[tokio::test]
async fn a_role_that_is_not_admitted_leaves_the_token_as_the_last_resort() {
    let control_plane = FakeControlPlane::start().await;
    let sts = Sts { federates: true, ..Sts::default() };
    let (role, _serving) = sts.serve().await;
    let folder = tempfile::tempdir().unwrap();
    start(&control_plane, folder.path(), role, Some(TOKEN)).next(|_| true).await;
    assert_eq!(control_plane.enrollments(), 3, "both proofs, then the token");
}

#[tokio::test]
async fn a_role_that_nothing_admits_is_told_by_each_way_with_what_to_do() {
    let control_plane = FakeControlPlane::start().await;
    let (role, _serving) = Sts { federates: true, ..Sts::default() }.serve().await;
    let folder = tempfile::tempdir().unwrap();
    let told = start(&control_plane, folder.path(), role, None).told().await;
    for part in [
        "by aws_web_identity",
        "by aws_caller_identity",
        "no rule of the fleet admits the role",
        "ekidenctl enrollment-rule create",
    ] {
        assert!(told.contains(part), "{part} is not in {told}");
    }
    assert!(!told.contains("session-token"), "{told}");
}

#[tokio::test]
async fn what_sts_answers_is_told_in_its_own_words_and_no_others() {
    let control_plane = FakeControlPlane::start().await;
    let (role, _serving) = Sts::default().serve().await;
    let folder = tempfile::tempdir().unwrap();
    let told = start(&control_plane, folder.path(), role, None).told().await;
    let words =
        "STS gave no web identity token (OutboundWebIdentityFederationDisabled: switch it on); by";
    assert!(told.contains(words), "{told}");
}

#[tokio::test]
async fn credentials_that_are_no_roles_prove_nothing() {
    let control_plane = FakeControlPlane::start().await;
    control_plane.change(|behaviour| behaviour.admits = Some(Way::CallerIdentity));
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let role = role(&format!("http://{nobody}"), None);
    let told = start(&control_plane, folder.path(), role, None).told().await;
    assert!(told.contains("are not of a role"), "{told}");
    assert_eq!(control_plane.enrollments(), 0);
}
