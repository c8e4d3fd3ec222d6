//! A relay as a child process.
use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use anyhow::Context as _;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{
    World, figures,
    process::{Process, Stdout},
    wait,
};
use crate::ecs_metadata::Mode;

/// Where a relay finds its control plane.
#[derive(Clone, Debug)]
pub struct RelayPort {
    /// URL, by name.
    pub url: String,
    /// File with the root certificate to trust.
    pub ca: PathBuf,
}

/// How a relay is started.
#[derive(Clone, Debug)]
pub struct RelayOptions {
    /// Name of its log and of its state folder.
    pub name: String,
    /// Text of an enrollment token.
    pub token: String,
    /// Availability zone that the task metadata endpoint tells.
    pub zone: String,
    /// How the task metadata endpoint answers it.
    pub metadata: Mode,
    /// What it is told of ECS's stop timeout, in seconds.
    pub stop_timeout: u32,
    /// Network namespace that it runs in, and its address there; none: an address of the world's own.
    pub place: Option<(String, Ipv4Addr)>,
    /// Further environment variables; they win.
    pub variables: Vec<(String, String)>,
}

impl RelayOptions {
    /// Options as in a sound deployment.
    pub fn new(name: &str, token: &str) -> Self {
        Self {
            name: name.to_owned(),
            token: token.to_owned(),
            zone: "ap-northeast-1a".to_owned(),
            metadata: Mode::Serve,
            stop_timeout: 30,
            place: None,
            variables: Vec::new(),
        }
    }

    /// Adds an environment variable.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A relay with an address of its own.
pub struct Relay {
    namespace: Option<String>,
    name: String,
    process: Process,
    address: Ipv4Addr,
    task: String,
    state: PathBuf,
    variables: Vec<(String, String)>,
    folder: PathBuf,
    http: Option<SocketAddr>,
}

impl Relay {
    /// Starts one; it is not waited for. Without a control plane it has what its variables say.
    pub fn start<'a>(
        world: &World,
        control_plane: impl Into<Option<&'a RelayPort>>,
        options: RelayOptions,
    ) -> anyhow::Result<Self> {
        let (namespace, address) = match options.place.clone() {
            Some((namespace, address)) => (Some(namespace), address),
            None => (None, world.loopback.next()),
        };
        let state = world.folder().join("relays").join(&options.name);
        fs::create_dir_all(&state)?;
        let task = format!("{:032x}", rand::random::<u128>());
        let metadata =
            world.ecs.add_task(&task, IpAddr::V4(address), &options.zone, options.metadata);
        let mut variables = world.telemetry_variables();
        variables.extend(world.aws_variables());
        let own = [
            ("EKIDEN_STATE_DIR", state.display().to_string()),
            ("EKIDEN_HTTP_LISTEN", format!("{address}:0")),
            ("EKIDEN_LISTEN_ADDRESS", address.to_string()),
            ("EKIDEN_STOP_TIMEOUT", options.stop_timeout.to_string()),
            ("EKIDEN_RESOLVERS", world.dns.address().to_string()),
            ("ECS_CONTAINER_METADATA_URI_V4", metadata),
        ];
        variables.extend(own.map(|(name, value)| (name.to_owned(), value)));
        if let Some(RelayPort { url, ca }) = control_plane.into() {
            let how = [
                ("EKIDEN_CONTROL_PLANE", url.clone()),
                ("EKIDEN_CONTROL_PLANE_CA", ca.display().to_string()),
                ("EKIDEN_ENROLLMENT_TOKEN", options.token.clone()),
            ];
            variables.extend(how.map(|(name, value)| (name.to_owned(), value)));
        }
        variables.extend(options.variables);
        let folder = world.folder().to_owned();
        let process = spawn(namespace.as_deref(), &folder, &options.name, &variables)?;
        Ok(Self {
            namespace,
            name: options.name,
            process,
            address,
            task,
            state,
            variables,
            folder,
            http: None,
        })
    }

    /// Starts it again after its end, with the same address, state and environment, as ECS restarts a container.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        // A killed relay leaves its file behind.
        drop(fs::remove_file(self.state.join("endpoints.json")));
        self.http = None;
        let namespace = self.namespace.as_deref();
        self.process = spawn(namespace, &self.folder, &self.name, &self.variables)?;
        Ok(())
    }

    /// Returns the name given at the start.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the address that its listeners bind.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Returns one of its listeners.
    pub fn listener(&self, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.address), port)
    }

    /// Returns its ECS task id: 32 hex digits.
    pub fn task(&self) -> &str {
        &self.task
    }

    /// Returns its state folder.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Returns the process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Waits until `/readyz` answers 200.
    pub async fn ready(&mut self, within: Duration) -> anyhow::Result<()> {
        let (http, name) = (self.http, self.name.clone());
        let path = self.state.join("endpoints.json");
        let what = format!("{name} is ready");
        let found = self.process.until(&what, within, async || {
            let Some(http) = http.or_else(|| read_endpoint(&path)) else { return Ok(None) };
            let answer = http_get(http, "/readyz").await;
            Ok(answer.is_ok_and(|(status, _)| status == 200).then_some(http))
        });
        self.http = Some(found.await?);
        Ok(())
    }

    /// Waits until it listens on `port`.
    pub async fn listening(&mut self, port: u16, within: Duration) -> anyhow::Result<()> {
        let address = self.listener(port);
        let what = format!("{} listens on {address}", self.name);
        self.process
            .until(&what, within, async || Ok(TcpStream::connect(address).await.ok().map(drop)))
            .await
    }

    /// Returns a page of its local HTTP server as status and body.
    pub async fn page(&mut self, path: &str) -> anyhow::Result<(u16, String)> {
        let endpoints = self.state.join("endpoints.json");
        let http = match self.http {
            Some(http) => http,
            None => {
                let find = async || Ok(read_endpoint(&endpoints));
                self.process.until("the relay writes endpoints.json", wait::SAFETY, find).await?
            }
        };
        self.http = Some(http);
        http_get(http, path).await
    }

    /// Returns the sum of a figure's values with these labels, from `/metrics`; `name` is without `ekiden_relay_`.
    pub async fn figure(&mut self, name: &str, labels: &[(&str, &str)]) -> anyhow::Result<f64> {
        let (status, text) = self.page("/metrics").await?;
        anyhow::ensure!(status == 200, "/metrics of {}: {status}: {text}", self.name);
        Ok(figures::sum(&text, &format!("ekiden_relay_{name}"), labels))
    }

    /// Waits until a figure is `goal` or more.
    pub async fn figure_reaches(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        goal: f64,
    ) -> anyhow::Result<()> {
        let mut last = 0.0;
        let reached = wait::until("a figure goes up", wait::SAFETY, async || {
            last = self.figure(name, labels).await?;
            Ok((last >= goal).then_some(()))
        });
        reached.await.with_context(|| format!("{name} {labels:?}: {last}, not {goal}"))
    }

    /// Returns where its local HTTP server listens.
    pub async fn http(&mut self) -> anyhow::Result<SocketAddr> {
        self.page("/livez").await?;
        self.http.context("the local HTTP server has no address")
    }

    /// Asks it to stop, as ECS does, and waits for its end.
    pub async fn terminate(&mut self, within: Duration) -> anyhow::Result<ExitStatus> {
        self.process.terminate(within).await
    }
}

fn spawn(
    namespace: Option<&str>,
    folder: &Path,
    name: &str,
    variables: &[(String, String)],
) -> anyhow::Result<Process> {
    let (program, arguments) = ("ekiden-relay", ["run"]);
    Process::start_in(namespace, folder, name, program, &arguments, variables, Stdout::File)
}

fn read_endpoint(path: &Path) -> Option<SocketAddr> {
    let endpoints: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    endpoints["http"].as_str()?.parse().ok()
}

/// Asks an HTTP server for a page; HTTP/1.0, so that the answer is plain and ends by itself.
pub async fn http_get(address: SocketAddr, path: &str) -> anyhow::Result<(u16, String)> {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream
            .write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())
            .await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        anyhow::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer =
        tokio::time::timeout(wait::SAFETY, ask).await.context("asking an HTTP server")??;
    let status = answer
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .context("an answer without status")?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default();
    Ok((status, body))
}
