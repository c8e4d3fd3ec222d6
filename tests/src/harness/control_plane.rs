//! The control plane as a child process.
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    sync::watch,
    task::JoinSet,
};

use super::{
    Operator, World,
    process::{Process, Stdout},
    relay::RelayPort,
    world::CONTROL_PLANE_NAME,
};

/// What precedes the token in the line that the first start prints.
const TOKEN_LINE: &str = "bootstrap operator token: ";

/// First start of the embedded Postgres, in a debug build on a busy machine.
const START: Duration = Duration::from_secs(90);

/// A control plane on its own private Postgres.
pub struct ControlPlane {
    process: Process,
    data: PathBuf,
    relays: SocketAddr,
    operators: SocketAddr,
    token: String,
    variables: Vec<(String, String)>,
    folder: PathBuf,
    readers: JoinSet<()>,
}

impl ControlPlane {
    /// Starts one in `world`, with further environment variables, and waits until it listens.
    pub async fn start(world: &World, variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let data = world.folder().join("control-plane");
        let host = world.loopback.host();
        let mut all = world.telemetry_variables();
        let own = [
            ("EKIDEN_DATA_DIR", data.display().to_string()),
            ("EKIDEN_SERVER_NAMES", format!("{CONTROL_PLANE_NAME},{host}")),
            ("EKIDEN_HEALTH_INTERVAL", "1".to_owned()),
        ];
        all.extend(own.map(|(name, value)| (name.to_owned(), value)));
        all.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let any = SocketAddr::new(host, 0);
        let mut control_plane = Self {
            process: spawn(world.folder(), &all, any, any)?,
            data,
            relays: any,
            operators: any,
            token: String::new(),
            variables: all,
            folder: world.folder().to_owned(),
            readers: JoinSet::new(),
        };
        let token = control_plane.read_stdout()?;
        control_plane.listening().await?;
        // Printed before it listens; the pipe may lag behind the file by a moment.
        let mut token = token;
        let printed =
            tokio::time::timeout(Duration::from_secs(10), token.wait_for(|token| token.is_some()))
                .await;
        control_plane.token = match printed {
            Ok(Ok(token)) => token.clone().unwrap_or_default(),
            _ => anyhow::bail!("the first start printed no `{TOKEN_LINE}…`"),
        };
        if let std::net::IpAddr::V4(address) = host {
            world.dns.set_addresses(&format!("{CONTROL_PLANE_NAME}."), 1, &[address]);
        }
        Ok(control_plane)
    }

    /// Sets an environment variable of its next start.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Starts it again after its end, on the same ports, and waits until it listens.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.process = spawn(&self.folder, &self.variables, self.relays, self.operators)?;
        drop(self.read_stdout()?);
        self.listening().await
    }

    /// Starts another in its place after its end, on an address that no one has seen yet, and leads its name there.
    pub async fn replace(&mut self, world: &World) -> anyhow::Result<()> {
        let address = world.loopback.next();
        self.relays.set_ip(address.into());
        self.operators.set_ip(address.into());
        self.restart().await?;
        world.dns.set_addresses(&format!("{CONTROL_PLANE_NAME}."), 1, &[address]);
        Ok(())
    }

    /// Returns an operator with the bootstrap token.
    pub fn operator(&self) -> anyhow::Result<Operator> {
        self.operator_with(&self.token)
    }

    /// Returns an operator with this token.
    pub fn operator_with(&self, token: &str) -> anyhow::Result<Operator> {
        Operator::new(self.operators, CONTROL_PLANE_NAME, &self.ca_pem()?, token)
    }

    /// Returns the bootstrap operator token.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Returns where operators connect.
    pub fn operators(&self) -> SocketAddr {
        self.operators
    }

    /// Returns where relays connect.
    pub fn relays(&self) -> SocketAddr {
        self.relays
    }

    /// Returns what relays are told of it.
    pub fn relay_port(&self) -> RelayPort {
        RelayPort {
            url: format!("https://{CONTROL_PLANE_NAME}:{}", self.relays.port()),
            ca: self.ca_path(),
        }
    }

    /// Returns its data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Returns the built-in CA's root.
    pub fn ca_pem(&self) -> anyhow::Result<Vec<u8>> {
        let path = self.ca_path();
        fs::read(&path).with_context(|| format!("reading {}", path.display()))
    }

    /// Returns the file that holds the built-in CA's root.
    pub fn ca_path(&self) -> PathBuf {
        self.data.join("ca.pem")
    }

    /// Returns the process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Kills its embedded Postgres (`kill -9` of the postmaster).
    pub fn kill_postgres(&self) -> anyhow::Result<()> {
        let pid = self.postgres()?;
        kill_process(pid, Signal::KILL).context("killing Postgres")
    }

    /// Returns the process id of its embedded Postgres.
    pub fn postgres(&self) -> anyhow::Result<Pid> {
        let path =
            find(&self.data, "postmaster.pid").context("the data folder has no postmaster.pid")?;
        let text = fs::read_to_string(&path)?;
        let pid = text.lines().next().and_then(|line| Pid::from_raw(line.trim().parse().ok()?));
        pid.with_context(|| format!("{} holds no process id", path.display()))
    }

    /// Keeps standard output in a file, but for the token, which goes to no file.
    fn read_stdout(&mut self) -> anyhow::Result<watch::Receiver<Option<String>>> {
        let stdout = self.process.take_stdout().context("standard output is not piped")?;
        let (send, token) = watch::channel(None);
        let path = self.folder.join("logs/control-plane.out");
        self.readers.spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            let mut kept = String::new();
            while let Ok(Some(line)) = lines.next_line().await {
                match line.strip_prefix(TOKEN_LINE) {
                    Some(token) => drop(send.send_replace(Some(token.trim().to_owned()))),
                    None => {
                        kept.push_str(&line);
                        kept.push('\n');
                        if let Err(error) = tokio::fs::write(&path, &kept).await {
                            tracing::warn!(%error, "keeping the control plane's standard output");
                        }
                    }
                }
            }
        });
        Ok(token)
    }

    async fn listening(&mut self) -> anyhow::Result<()> {
        let path = self.data.join("endpoints.json");
        let id = self.process.id();
        let answer =
            self.process.until("the control plane writes endpoints.json", START, async || {
                let Ok(text) = fs::read(&path) else { return Ok(None) };
                let endpoints: Value = serde_json::from_slice(&text)?;
                let address = |name: &str| {
                    endpoints[name].as_str().and_then(|text| text.parse::<SocketAddr>().ok())
                };
                let (Some(relays), Some(operators)) = (address("relays"), address("operators"))
                else {
                    anyhow::bail!("endpoints.json is not as agreed: {endpoints}");
                };
                // A killed one leaves its file behind: what counts is that the port answers.
                let answers = tokio::net::TcpStream::connect(operators).await.is_ok();
                Ok(answers.then_some((relays, operators)))
            });
        (self.relays, self.operators) =
            answer.await.with_context(|| format!("control plane, process {id:?}"))?;
        Ok(())
    }
}

fn spawn(
    folder: &Path,
    variables: &[(String, String)],
    relays: SocketAddr,
    operators: SocketAddr,
) -> anyhow::Result<Process> {
    let (relays, operators) = (relays.to_string(), operators.to_string());
    let arguments = ["serve", "--relay-listen", &relays, "--operator-listen", &operators];
    Process::start(
        folder,
        "control-plane",
        "ekiden-control-plane",
        &arguments,
        variables,
        Stdout::Piped,
    )
}

/// Looks for a file of this name in `folder` and the folders in it, two levels deep.
fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    let mut folders = vec![(folder.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        let path = folder.join(name);
        if path.exists() {
            return Some(path);
        }
        if depth < 2 {
            let inner = fs::read_dir(&folder)
                .ok()?
                .flatten()
                .map(|entry| entry.path())
                .filter(|path| path.is_dir());
            folders.extend(inner.map(|path| (path, depth + 1)));
        }
    }
    None
}
