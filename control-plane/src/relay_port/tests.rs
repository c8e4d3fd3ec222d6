//! The relay port as a relay sees it: real TLS, real certificates, a real database.
//!
//! `enrollment`: who gets a certificate. `certificates`: which count. `authorities`: one CA follows another. `sessions`: what is sent, and who holds one.
//! `every_rpc`: which rpcs a certificate opens. `replicas`: several processes on one database. `reports`: health. `leaving`: who may.
use std::{net::SocketAddr, time::Duration};

use ekiden_proto::{
    admin::v1::*,
    relay::v1::{
        EnrollRequest, EnrollResponse, GetSettingsRequest, GetSettingsResponse, Hello, KeyStatus,
        RelayDescription, RenewRequest, RenewResponse, SessionRequest, SessionResponse,
        SettingsPhase, SettingsSnapshot, SettingsStatus, Violation, enroll_request::Proof,
        session_request::Message as Up, session_response::Message as Down,
        session_service_client::SessionServiceClient,
    },
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, SanType};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming, transport::Channel};
use tonic_types::StatusExt;

use crate::test_app::{self, TestApp};

mod authorities;
mod aws;
mod certificates;
mod enrollment;
mod every_rpc;
mod leaving;
mod replicas;
mod reports;
mod rotation;
mod sessions;

const PATIENCE: Duration = Duration::from_secs(30);

/// A relay's key with its certificate.
struct Device {
    name: String,
    key: KeyPair,
    chain: Vec<CertificateDer<'static>>,
}

/// A stream of a relay.
struct Stream {
    up: mpsc::Sender<SessionRequest>,
    down: Streaming<SessionResponse>,
}

/// A tenant with one fleet, one collector and its key.
async fn customer(app: &TestApp, tenant: &str) {
    app.tenant(tenant).await;
    app.access_key(tenant, "main", "the-secret").await;
    app.collector(tenant, "vendor", "main").await;
    app.fleet(tenant, "tokyo", &["vendor"]).await;
}

/// The text of an enrollment token of the tenant's fleet.
async fn token(app: &TestApp, tenant: &str, max_uses: u32) -> CreateEnrollmentTokenResponse {
    let request = CreateEnrollmentTokenRequest {
        parent: format!("tenants/{tenant}/fleets/tokyo"),
        enrollment_token: Some(EnrollmentToken { max_uses, ..Default::default() }),
        ..Default::default()
    };
    app.call("EnrollmentTokenService/CreateEnrollmentToken", request).await.unwrap()
}

/// A request for the key's certificate that asks for `uri` as a name, where given.
fn csr(key: &KeyPair, uri: Option<&str>) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names =
        uri.map(|u| SanType::URI(u.try_into().unwrap())).into_iter().collect();
    params.serialize_request(key).unwrap().der().to_vec()
}

async fn send_enrollment(
    app: &TestApp,
    token: &str,
    csr: Vec<u8>,
) -> Result<EnrollResponse, Status> {
    let anyone =
        test_app::channel(app.relays, test_app::client(&app.app.authorities.trust_roots(), None));
    let request = EnrollRequest {
        proof: Some(Proof::EnrollmentToken(token.to_owned())),
        csr,
        description: Some(RelayDescription::default()),
    };
    test_app::call(&anyone, None, "/ekiden.relay.v1.EnrollmentService/Enroll", request).await
}

/// A relay of the tenant's fleet.
async fn enrolled(app: &TestApp, tenant: &str) -> Device {
    let token = token(app, tenant, 1).await.text;
    joining(app, &token).await
}

/// A relay that enrolls with this token.
async fn joining(app: &TestApp, token: &str) -> Device {
    let key = KeyPair::generate().unwrap();
    let answer = send_enrollment(app, token, csr(&key, None)).await.unwrap();
    let chain = answer.certificate.unwrap().chain;
    Device { name: answer.relay, key, chain: chain.into_iter().map(CertificateDer::from).collect() }
}

impl Device {
    /// A connection to a relay port that shows the certificate.
    fn channel(&self, app: &TestApp, at: SocketAddr) -> Channel {
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        let identity = Some((self.chain.clone(), key));
        test_app::channel(at, test_app::client(&app.app.authorities.trust_roots(), identity))
    }

    async fn renew(&self, app: &TestApp) -> Result<Self, Status> {
        let key = KeyPair::generate().unwrap();
        let request = RenewRequest { csr: csr(&key, None) };
        let channel = self.channel(app, app.relays);
        let answer: RenewResponse =
            test_app::call(&channel, None, "/ekiden.relay.v1.EnrollmentService/Renew", request)
                .await?;
        let chain = answer.certificate.unwrap().chain;
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        Ok(Self { name: self.name.clone(), key, chain })
    }

    async fn session(&self, app: &TestApp, hello: Hello) -> Result<Stream, Status> {
        let (up, receiver) = mpsc::channel(64);
        up.send(SessionRequest { message: Some(Up::Hello(hello)) }).await.unwrap();
        let mut client = SessionServiceClient::new(self.channel(app, app.relays))
            .max_encoding_message_size(64 << 20);
        let down = client.session(ReceiverStream::new(receiver)).await?.into_inner();
        Ok(Stream { up, down })
    }

    /// A session that runs nothing yet, past its parameters.
    async fn joined(&self, app: &TestApp) -> Stream {
        let mut stream = self.session(app, Hello::default()).await.unwrap();
        assert!(matches!(stream.next().await.unwrap(), Some(Down::Parameters(_))));
        stream
    }
}

impl Stream {
    async fn say(&self, message: Up) {
        self.up.send(SessionRequest { message: Some(message) }).await.unwrap();
    }

    /// The next message but heartbeats; none: the stream has ended well.
    async fn next(&mut self) -> Result<Option<Down>, Status> {
        loop {
            match timeout(PATIENCE, self.down.message()).await.unwrap()? {
                None => return Ok(None),
                Some(SessionResponse { message: None | Some(Down::Heartbeat(_)) }) => {}
                Some(SessionResponse { message }) => return Ok(message),
            }
        }
    }

    /// The next snapshot, past keys and parameters.
    async fn snapshot(&mut self) -> SettingsSnapshot {
        loop {
            match self.next().await.unwrap().unwrap() {
                Down::Snapshot(snapshot) => return snapshot,
                Down::KeyBundle(_) | Down::Parameters(_) => {}
                other => panic!("{other:?} in place of a snapshot"),
            }
        }
    }

    /// Says how an attempt at `snapshot` went; `running`: what runs now.
    async fn answer(&self, snapshot: &SettingsSnapshot, running: Option<&SettingsSnapshot>) {
        let applied = running.is_some_and(|r| r.revision == snapshot.revision);
        let phase = if applied { SettingsPhase::Applied } else { SettingsPhase::Failed };
        let violation = Violation {
            field: "listeners[0].port".to_owned(),
            description: "the port is taken".to_owned(),
        };
        let status = SettingsStatus {
            attempted_revision: snapshot.revision,
            attempted_hash: snapshot.hash.to_vec(),
            running_revision: running.map_or(0, |r| r.revision),
            running_hash: running.map_or_else(Default::default, |r| r.hash.to_vec()),
            phase: phase.into(),
            violations: if applied { vec![] } else { vec![violation] },
            observed_at: None,
        };
        self.say(Up::SettingsStatus(status)).await;
    }
}

/// Moves the collector: every fleet that uses it gets a new revision.
async fn change(app: &TestApp, tenant: &str, host: &str) {
    let name = format!("tenants/{tenant}/collectors/vendor");
    let collector = Collector { name, ..test_app::customer::otlp_collector(tenant, "main") };
    let mut collector = collector;
    collector.endpoints[0].host = host.to_owned();
    let request = UpdateCollectorRequest {
        collector: Some(collector),
        update_mask: Some(prost_types::FieldMask { paths: vec!["endpoints".to_owned()] }),
        ..Default::default()
    };
    let _: UpdateCollectorResponse =
        app.call("CollectorService/UpdateCollector", request).await.unwrap();
}

async fn read(app: &TestApp, relay: &str) -> Relay {
    let got: GetRelayResponse = app
        .call("RelayService/GetRelay", GetRelayRequest { name: relay.to_owned() })
        .await
        .unwrap();
    got.relay.unwrap()
}

/// Reads a relay until it is as wanted.
async fn until(app: &TestApp, relay: &str, wanted: impl Fn(&Relay) -> bool) -> Relay {
    let found = timeout(PATIENCE, async {
        loop {
            let relay = read(app, relay).await;
            if wanted(&relay) {
                return relay;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    match found.await {
        Ok(relay) => relay,
        Err(_) => panic!("it stayed {:?}", read(app, relay).await),
    }
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}
