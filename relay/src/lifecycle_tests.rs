use std::{net::SocketAddr, num::NonZeroUsize, path::Path};

use ekiden_proto::relay::v1::{
    SettingsPhase, session_request::Message as Said, session_response::Message as Say,
};
use ekiden_settings::Host;
use http::Uri;
use secrecy::SecretString;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::{
    environment::{Bootstrap, ControlPlane, Notice, TokenSource},
    fake_control_plane::{FakeControlPlane, Opened, SAFETY, TOKEN},
    http_get::http_get,
    test_settings::{checked, settings, snapshot},
};

/// An environment that names a control plane and a token.
fn environment(
    control_plane: SocketAddr,
    roots: &FakeControlPlane,
    folder: &Path,
    listen: [u8; 4],
) -> Environment {
    Environment {
        control_plane: Some(ControlPlane::Host {
            host: Host::Address(control_plane.ip()),
            port: control_plane.port(),
        }),
        bootstrap: None,
        notices: Vec::new(),
        log: "info",
        server_name: None,
        roots: vec![roots.authority.root()],
        fleet: None,
        enrollment_token: Some(TokenSource::Text(SecretString::from(TOKEN))),
        state_dir: folder.to_owned(),
        http_listen: "127.0.0.1:0".parse().unwrap(),
        listen_address: listen.into(),
        advertise_address: None,
        stop_timeout: Duration::from_secs(2),
        resolvers: vec!["127.0.0.1:9".parse().unwrap()],
        ecs_metadata: None,
        worker_threads: NonZeroUsize::MIN,
    }
}

/// A relay in this process.
struct Living {
    stop: mpsc::Sender<&'static str>,
    life: AbortOnDropHandle<Result<(), LifecycleError>>,
    http: Uri,
}

impl Living {
    async fn start(
        control_plane: SocketAddr,
        roots: &FakeControlPlane,
        folder: &Path,
        listen: [u8; 4],
    ) -> Self {
        Self::start_with(environment(control_plane, roots, folder, listen)).await
    }

    async fn start_with(environment: Environment) -> Self {
        let folder = environment.state_dir.clone();
        let (stop, stops) = mpsc::channel(2);
        let endpoints = folder.join(ENDPOINTS);
        let life =
            tokio::runtime::Handle::current().spawn(run(environment, Clock::system(), stops));
        let told = eventually(async || {
            let content = tokio::fs::read(&endpoints).await.ok()?;
            serde_json::from_slice::<serde_json::Value>(&content).ok()
        })
        .await;
        let http =
            format!("http://{}/", told.get("http").unwrap().as_str().unwrap()).parse().unwrap();
        Self { stop, life: AbortOnDropHandle::new(life), http }
    }

    async fn asks(&self, path: &str) -> Option<String> {
        let answer = http_get(&self.http, path, SAFETY, 1 << 20).await.ok()?;
        Some(String::from_utf8(answer.to_vec()).unwrap())
    }

    async fn until_ready(&self) {
        eventually(async || self.asks("/readyz").await).await;
    }
}

async fn eventually<T>(mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let trying = async {
        loop {
            if let Some(found) = attempt().await {
                return found;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SAFETY, trying).await.unwrap()
}

/// A collector that sends back what it gets.
async fn echo() -> (SocketAddr, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = async move {
        let mut connections = JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            connections.spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await.ok();
            });
        }
    };
    (address, AbortOnDropHandle::new(tokio::runtime::Handle::current().spawn(serving)))
}

async fn send_through(relay: SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(relay).await.unwrap();
    stream.write_all(b"ekiden").await.unwrap();
    let mut back = [0; 6];
    timeout(SAFETY, stream.read_exact(&mut back)).await.unwrap().unwrap();
    assert_eq!(&back, b"ekiden");
    stream
}

async fn status(opened: &mut Opened, phase: SettingsPhase) -> u64 {
    let found = opened.hear(|said| match said {
        Said::SettingsStatus(status) if status.phase() == phase => Some(status.running_revision),
        _ => None,
    });
    found.await.unwrap()
}

#[tokio::test]
async fn a_relay_configures_itself_serves_survives_and_drains() {
    let mut control_plane = FakeControlPlane::start().await;
    let (collector, _collector) = echo().await;
    let folder = tempfile::tempdir().unwrap();
    let listen = [127, 83, 0, 1];
    let port = 16_667;
    let through = SocketAddr::from((listen, port));

    // From nothing to serving.
    let relay = Living::start(control_plane.address, &control_plane, folder.path(), listen).await;
    assert_eq!(relay.asks("/readyz").await, None);
    let mut session = control_plane.next_session().await;
    session.say(Say::Snapshot(snapshot(1, &settings(port, collector)))).await;
    assert_eq!(status(&mut session, SettingsPhase::Applied).await, 1);
    relay.until_ready().await;
    let stream = send_through(through).await;

    // Settings that cannot run change nothing.
    let mut impossible = settings(port, collector);
    impossible.listeners.first_mut().unwrap().port = 70_000;
    session.say(Say::Snapshot(snapshot(2, &impossible))).await;
    assert_eq!(status(&mut session, SettingsPhase::Failed).await, 1);
    send_through(through).await;
    let figures = relay.asks("/metrics").await.unwrap();
    for line in ["ekiden_relay_settings_revision 1.0", "ekiden_relay_settings_rejected_total 1.0"] {
        assert!(figures.lines().any(|found| found == line), "{figures}");
    }

    // Told to stop, it says goodbye last, having waited for the connection.
    relay.stop.send("SIGTERM").await.unwrap();
    eventually(async || relay.asks("/readyz").await.is_none().then_some(())).await;
    assert_eq!(relay.asks("/livez").await.as_deref(), Some("alive\n"));
    drop(stream);
    let goodbye = session
        .hear(|said| if let Said::Goodbye(goodbye) = said { Some(goodbye.reason) } else { None });
    assert_eq!(goodbye.await.as_deref(), Some("drained"));
    drop(session);
    timeout(SAFETY, relay.life).await.unwrap().unwrap().unwrap();
    assert!(!folder.path().join(ENDPOINTS).exists());

    // Without its control plane it serves what it ran last.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let relay = Living::start(gone, &control_plane, folder.path(), listen).await;
    relay.until_ready().await;
    send_through(through).await;
    assert_eq!(control_plane.enrollments(), 1);
}

#[tokio::test]
async fn asked_twice_a_relay_leaves_at_once() {
    let mut control_plane = FakeControlPlane::start().await;
    let (collector, _collector) = echo().await;
    let folder = tempfile::tempdir().unwrap();
    let listen = [127, 83, 0, 2];
    let relay = Living::start(control_plane.address, &control_plane, folder.path(), listen).await;
    let mut session = control_plane.next_session().await;
    session.say(Say::Snapshot(snapshot(1, &settings(16_667, collector)))).await;
    status(&mut session, SettingsPhase::Applied).await;
    let _open = send_through((listen, 16_667).into()).await;
    relay.stop.send("SIGTERM").await.unwrap();
    relay.stop.send("SIGTERM").await.unwrap();
    let goodbye = session
        .hear(|said| if let Said::Goodbye(goodbye) = said { Some(goodbye.reason) } else { None });
    assert_eq!(goodbye.await.as_deref(), Some("terminated"));
    drop(session);
    timeout(SAFETY, relay.life).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn clients_that_say_nothing_do_not_keep_health_checks_out() {
    let control_plane = FakeControlPlane::start().await;
    let folder = tempfile::tempdir().unwrap();
    let relay =
        Living::start(control_plane.address, &control_plane, folder.path(), [127, 83, 0, 3]).await;
    let mut silent = Vec::new();
    for _ in 0..100 {
        let mut stream =
            TcpStream::connect(relay.http.authority().unwrap().as_str()).await.unwrap();
        stream.write_all(b"GET /livez HT").await.unwrap();
        silent.push(stream);
    }
    assert_eq!(relay.asks("/livez").await.as_deref(), Some("alive\n"));
}

/// What the environment says to run: a listener called as no fleet's is, with a notice beside it.
fn told(port: u16, collector: SocketAddr) -> (Option<Bootstrap>, Vec<Notice>) {
    let mut settings = settings(port, collector);
    settings.listeners.first_mut().unwrap().name = "environment".to_owned();
    let notice = Notice {
        name: "TAGS".to_owned(),
        description: "they are not sent".to_owned(),
        serious: false,
    };
    (Some(Bootstrap { settings: checked(&settings) }), vec![notice])
}

#[tokio::test]
async fn without_a_control_plane_a_relay_serves_what_its_environment_says_and_leaves_in_order() {
    let nobody = FakeControlPlane::start().await;
    let (collector, _collector) = echo().await;
    let folder = tempfile::tempdir().unwrap();
    let listen = [127, 83, 0, 4];
    let mut environment = environment(nobody.address, &nobody, folder.path(), listen);
    environment.control_plane = None;
    (environment.bootstrap, environment.notices) = told(16_667, collector);
    let relay = Living::start_with(environment).await;
    relay.until_ready().await;
    let ready = relay.asks("/readyz").await.unwrap();
    for told in ["SETTINGS_FROM_ENVIRONMENT", "TAGS: they are not sent", "\"SERVING\""] {
        assert!(ready.contains(told), "{told}: {ready}");
    }
    drop(send_through((listen, 16_667).into()).await);
    relay.stop.send("SIGTERM").await.unwrap();
    timeout(SAFETY, relay.life).await.unwrap().unwrap().unwrap();
    assert_eq!(nobody.enrollments(), 0);
}

#[tokio::test]
async fn settings_of_the_environment_that_cannot_run_end_a_relay_without_a_control_plane() {
    let nobody = FakeControlPlane::start().await;
    let (collector, _collector) = echo().await;
    let folder = tempfile::tempdir().unwrap();
    let listen = [127, 83, 0, 5];
    let _taken = TcpListener::bind((IpAddr::from(listen), 16_667)).await.unwrap();
    let mut environment = environment(nobody.address, &nobody, folder.path(), listen);
    environment.control_plane = None;
    (environment.bootstrap, environment.notices) = told(16_667, collector);
    let (_stop, stops) = mpsc::channel(1);
    let ended = timeout(SAFETY, run(environment, Clock::system(), stops)).await.unwrap();
    assert!(ended.unwrap_err().to_string().contains("16667"));
}

#[tokio::test]
async fn the_fleets_settings_replace_the_environments_and_cut_no_connection() {
    let mut control_plane = FakeControlPlane::start().await;
    let (collector, _collector) = echo().await;
    let folder = tempfile::tempdir().unwrap();
    let listen = [127, 83, 0, 6];
    let started = |control_plane: &FakeControlPlane| {
        let address = control_plane.address;
        let mut environment = environment(address, control_plane, folder.path(), listen);
        (environment.bootstrap, environment.notices) = told(16_667, collector);
        environment
    };
    let relay = Living::start_with(started(&control_plane)).await;
    relay.until_ready().await;
    let mut open = send_through((listen, 16_667).into()).await;
    let mut session = control_plane.next_session().await;
    session.say(Say::Snapshot(snapshot(1, &settings(16_667, collector)))).await;
    assert_eq!(status(&mut session, SettingsPhase::Applied).await, 1);
    eventually(async || {
        let ready = relay.asks("/readyz").await?;
        (!ready.contains("ENVIRONMENT") && !ready.contains("TAGS")).then_some(())
    })
    .await;
    let mut back = [0; 4];
    open.write_all(b"open").await.unwrap();
    timeout(SAFETY, open.read_exact(&mut back)).await.unwrap().unwrap();
    assert_eq!(&back, b"open");
    send_through((listen, 16_667).into()).await;
    drop((open, session));
    relay.stop.send("SIGTERM").await.unwrap();
    relay.stop.send("SIGTERM").await.unwrap();
    timeout(SAFETY, relay.life).await.unwrap().unwrap().unwrap();

    // Started again, it knows better than its environment before any control plane is heard.
    let relay = Living::start_with(Environment {
        control_plane: Some(ControlPlane::Host {
            host: Host::Address([127, 0, 0, 1].into()),
            port: 9,
        }),
        ..started(&control_plane)
    })
    .await;
    relay.until_ready().await;
    let ready = relay.asks("/readyz").await.unwrap();
    assert!(ready.contains("SETTINGS_FROM_DISK") && !ready.contains("ENVIRONMENT"), "{ready}");
}
