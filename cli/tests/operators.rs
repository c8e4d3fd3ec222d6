//! The real program against a real gRPC server over TLS.
#![expect(clippy::unwrap_used, reason = "a test ends at what it did not expect")]

use std::{
    fs,
    path::Path,
    process::{Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ekiden_proto::admin::v1::{
    relay_service_server::{RelayService, RelayServiceServer},
    tenant_service_server::{TenantService, TenantServiceServer},
    *,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::TcpListener,
    process::Command,
    task::JoinSet,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code, Request, Response, Status,
    transport::{Identity, Server, ServerTlsConfig},
};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

const TOKEN: &str = "eka_1_secret";

/// A create and the traceparent that came with it.
type Create = (CreateTenantRequest, Option<String>);

/// Tenants that behave by their name, and what was received.
#[derive(Clone, Default)]
struct Tenants {
    creates: Arc<Mutex<Vec<Create>>>,
}

fn authorized<T>(request: &Request<T>) -> Result<(), Status> {
    let sent = request.metadata().get("authorization").and_then(|v| v.to_str().ok());
    if sent == Some(&format!("Bearer {TOKEN}")) {
        return Ok(());
    }
    let details = ErrorDetails::with_error_info("TOKEN_UNKNOWN", "ekiden", []);
    Err(Status::with_error_details(Code::Unauthenticated, "the token is not known", details))
}

#[tonic::async_trait]
impl TenantService for Tenants {
    async fn create_tenant(
        &self,
        request: Request<CreateTenantRequest>,
    ) -> Result<Response<CreateTenantResponse>, Status> {
        authorized(&request)?;
        let trace = request.metadata().get("traceparent").map(|v| v.to_str().unwrap().to_owned());
        let request = request.into_inner();
        let tries = {
            let mut creates = self.creates.lock().unwrap();
            creates.push((request.clone(), trace));
            creates.len()
        };
        match request.tenant_id.as_str() {
            "busy" if tries < 3 => {
                let mut details = ErrorDetails::with_retry_info(Some(Duration::from_millis(1)));
                details.set_error_info("DATABASE_UNAVAILABLE", "ekiden", []);
                Err(Status::with_error_details(Code::Unavailable, "not just now", details))
            }
            "slow" => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                Err(Status::internal("too late"))
            }
            "Wrong" => {
                let mut details = ErrorDetails::new();
                details.set_error_info("INVALID_REQUEST", "ekiden", []);
                details
                    .set_bad_request(vec![FieldViolation::new("tenant_id", "\"Wrong\" is no id")]);
                Err(Status::with_error_details(
                    Code::InvalidArgument,
                    "the request is wrong: …",
                    details,
                ))
            }
            id => {
                let tenant =
                    Tenant { name: format!("tenants/{id}"), ..request.tenant.unwrap_or_default() };
                Ok(Response::new(CreateTenantResponse { tenant: Some(tenant) }))
            }
        }
    }

    async fn list_tenants(
        &self,
        request: Request<ListTenantsRequest>,
    ) -> Result<Response<ListTenantsResponse>, Status> {
        authorized(&request)?;
        let page: usize = request.get_ref().page_token.parse().unwrap_or_default();
        let name = format!("tenants/t{page}");
        Ok(Response::new(ListTenantsResponse {
            tenants: vec![Tenant { name, ..Tenant::default() }],
            next_page_token: if page < 2 { (page + 1).to_string() } else { String::new() },
        }))
    }

    async fn get_tenant(
        &self,
        _: Request<GetTenantRequest>,
    ) -> Result<Response<GetTenantResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn update_tenant(
        &self,
        _: Request<UpdateTenantRequest>,
    ) -> Result<Response<UpdateTenantResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn delete_tenant(
        &self,
        _: Request<DeleteTenantRequest>,
    ) -> Result<Response<DeleteTenantResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn undelete_tenant(
        &self,
        _: Request<UndeleteTenantRequest>,
    ) -> Result<Response<UndeleteTenantResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn purge_tenant(
        &self,
        _: Request<PurgeTenantRequest>,
    ) -> Result<Response<PurgeTenantResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

/// Two relays that are sent each time the stream is opened, which breaks after that.
#[derive(Clone, Default)]
struct Relays {
    opened: Arc<AtomicU64>,
}

/// What a watch sends.
type Changes = tokio_stream::Iter<std::vec::IntoIter<Result<WatchRelaysResponse, Status>>>;

#[tonic::async_trait]
impl RelayService for Relays {
    type WatchRelaysStream = Changes;

    async fn watch_relays(
        &self,
        request: Request<WatchRelaysRequest>,
    ) -> Result<Response<Self::WatchRelaysStream>, Status> {
        authorized(&request)?;
        assert_eq!(request.get_ref().parent, "tenants/acme/fleets/-");
        let relay = |id: &str, revision| WatchRelaysResponse {
            relay: Some(Relay {
                name: format!("tenants/acme/fleets/tokyo/relays/{id}"),
                running_revision: revision,
                desired_revision: revision,
                ..Relay::default()
            }),
        };
        let revision = 1 + self.opened.fetch_add(1, Ordering::SeqCst);
        let lost = Status::unavailable("the replica stops");
        let changes = vec![Ok(relay("steady", 7)), Ok(relay("changing", revision)), Err(lost)];
        Ok(Response::new(tokio_stream::iter(changes)))
    }

    async fn get_relay(
        &self,
        _: Request<GetRelayRequest>,
    ) -> Result<Response<GetRelayResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn list_relays(
        &self,
        _: Request<ListRelaysRequest>,
    ) -> Result<Response<ListRelaysResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn drain_relay(
        &self,
        _: Request<DrainRelayRequest>,
    ) -> Result<Response<DrainRelayResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn revoke_relay(
        &self,
        _: Request<RevokeRelayRequest>,
    ) -> Result<Response<RevokeRelayResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn list_health_reports(
        &self,
        _: Request<ListHealthReportsRequest>,
    ) -> Result<Response<ListHealthReportsResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

struct World {
    folder: tempfile::TempDir,
    endpoint: String,
    tenants: Tenants,
    tasks: JoinSet<()>,
}

impl World {
    async fn start() -> Self {
        let key = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ca.pem"), key.cert.pem()).unwrap();
        let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        fs::write(folder.path().join("other.pem"), other.cert.pem()).unwrap();
        fs::write(folder.path().join("token"), TOKEN).unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = listener.local_addr().unwrap().to_string();
        let endpoints = format!(
            r#"{{"relays":"127.0.0.1:1","operators":"{endpoint}","operators_tls":true,"ca_certificate":"ca.pem"}}"#
        );
        fs::write(folder.path().join("endpoints.json"), endpoints).unwrap();
        let tenants = Tenants::default();
        let identity = Identity::from_pem(key.cert.pem(), key.signing_key.serialize_pem());
        let server = Server::builder()
            .tls_config(ServerTlsConfig::new().identity(identity))
            .unwrap()
            .add_service(TenantServiceServer::new(tenants.clone()))
            .add_service(RelayServiceServer::new(Relays::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            server.serve_with_incoming(TcpListenerStream::new(listener)).await.unwrap();
        });
        Self { folder, endpoint, tenants, tasks }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The program with an empty environment but for its config file and `variables`.
    fn command(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ekidenctl"));
        command
            .args(arguments)
            .env_clear()
            .env("EKIDEN_CONFIG", self.path("home/config.yaml"))
            .envs(variables.iter().copied())
            .kill_on_drop(true);
        command
    }

    async fn run(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
        let run = self.command(arguments, variables).output();
        tokio::time::timeout(Duration::from_secs(60), run).await.unwrap().unwrap()
    }

    async fn import(&self) {
        let folder = self.path("");
        let token = self.path("token");
        let output = self.run(&["context", "import", &folder, "--token-file", &token], &[]).await;
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_is_made_over_tls_with_the_imported_context() {
    let world = World::start().await;
    world.import().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let output = world
        .run(
            &["tenant", "create", "acme", "--display-name", "Acme", "-o", "json"],
            &[("TRACEPARENT", trace)],
        )
        .await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json, serde_json::json!({"name": "tenants/acme", "displayName": "Acme"}));
    let creates = world.tenants.creates.lock().unwrap().clone();
    assert_eq!(creates[0].1.as_deref(), Some(trace));
    assert_eq!(creates[0].0.request_id.len(), 36);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_is_tried_again_with_the_same_request_id_when_the_server_says_so() {
    let world = World::start().await;
    world.import().await;
    let output = world.run(&["tenant", "create", "busy"], &[]).await;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let creates = world.tenants.creates.lock().unwrap().clone();
    assert_eq!(creates.len(), 3);
    assert!(creates.iter().all(|(request, _)| request.request_id == creates[0].0.request_id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_lists_its_fields_and_has_its_own_exit_code() {
    let world = World::start().await;
    world.import().await;
    let output = world.run(&["tenant", "create", "Wrong"], &[]).await;
    assert_eq!(output.status.code(), Some(65), "{output:?}");
    assert_eq!(text(&output.stdout), "");
    insta::assert_snapshot!("wrong_tenant", text(&output.stderr));

    let output = world.run(&["tenant", "list"], &[("EKIDEN_TOKEN", "eka_2_other")]).await;
    assert_eq!(output.status.code(), Some(77), "{output:?}");
    assert!(text(&output.stderr).contains("TOKEN_UNKNOWN"), "{output:?}");
    assert!(!text(&output.stderr).contains("eka_2_other"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_has_all_pages_or_as_many_items_as_asked_for() {
    let world = World::start().await;
    world.import().await;
    let output = world.run(&["tenant", "list"], &[]).await;
    let lines: Vec<_> = text(&output.stdout).lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 4, "{output:?}");
    let output = world.run(&["tenant", "list", "--limit", "2"], &[]).await;
    assert_eq!(text(&output.stdout).lines().count(), 3, "{output:?}");
    assert!(text(&output.stderr).contains("--limit"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_cannot_be_reached_or_trusted_is_explained() {
    let mut world = World::start().await;
    let endpoint = format!("https://{}", world.endpoint);
    let token = ("EKIDEN_TOKEN", TOKEN);
    let other = world.path("other.pem");
    let output = world
        .run(&["tenant", "list", "--control-plane", &endpoint, "--ca", &other], &[token])
        .await;
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    assert!(text(&output.stderr).contains("signed by a CA that is not trusted here"), "{output:?}");

    let plaintext = format!("http://{}", world.endpoint);
    let output = world.run(&["tenant", "list", "--control-plane", &plaintext], &[token]).await;
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    assert!(text(&output.stderr).contains("perhaps it speaks TLS"), "{output:?}");

    let good = world.path("ca.pem");
    let options = ["--control-plane", endpoint.as_str(), "--ca", good.as_str()];
    let slow = ["tenant", "create", "slow", "--timeout", "300ms"];
    let output = world.run(&[&slow[..], &options].concat(), &[token]).await;
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    assert!(text(&output.stderr).contains("--request-id"), "{output:?}");

    world.tasks.shutdown().await;
    let output = world.run(&[&["tenant", "list"][..], &options].concat(), &[token]).await;
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    assert!(text(&output.stderr).contains("nothing listens there"), "{output:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_in_a_pipe_goes_on_after_a_break_and_repeats_nothing() {
    let world = World::start().await;
    world.import().await;
    let mut watch = world
        .command(&["relay", "watch", "--tenant", "acme"], &[])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let line = tokio::time::timeout(Duration::from_secs(30), lines.next_line()).await;
        let line = line.unwrap().unwrap().unwrap();
        // What follows the time of day.
        seen.push(line.split_whitespace().skip(1).collect::<Vec<_>>().join(" "));
    }
    assert_eq!(
        seen,
        ["tokyo/steady - - 7 0 -", "tokyo/changing - - 1 0 -", "tokyo/changing - - 2 0 -"]
    );
    watch.kill().await.unwrap();
}

#[tokio::test]
async fn wrong_use_and_a_config_that_others_may_read_have_their_own_exit_codes() {
    let world = World::start().await;
    assert_eq!(world.run(&["tenant", "frobnicate"], &[]).await.status.code(), Some(64));
    assert_eq!(world.run(&["--help"], &[]).await.status.code(), Some(0));
    let output = world.run(&["tenant", "list"], &[]).await;
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(text(&output.stderr).contains("context import"), "{output:?}");

    world.import().await;
    let config = world.path("home/config.yaml");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    fs::set_permissions(Path::new(&config), open).unwrap();
    let output = world.run(&["tenant", "list"], &[]).await;
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert!(!text(&output.stderr).contains(TOKEN), "{output:?}");
}

#[tokio::test]
async fn version_and_completions_need_no_control_plane() {
    let world = World::start().await;
    let output = world.run(&["version"], &[]).await;
    assert_eq!(text(&output.stdout), concat!("ekidenctl ", env!("CARGO_PKG_VERSION"), "\n"));
    for shell in ["bash", "zsh", "fish"] {
        let output = world.run(&["completions", shell], &[]).await;
        assert!(text(&output.stdout).contains("enrollment-token"), "{shell}");
    }
}
