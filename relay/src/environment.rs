//! The only place that reads arguments and environment variables; every value is typed here or refused, all at once.
//!
//! `raw`, `values`: the relay's own. `vendor`, with `vendor_trust`, `vendor_proxy` and `additional_conf`: those of the
//! vendor's container. `bootstrap`: the settings that come of them.
mod additional_conf;
mod bootstrap;
mod raw;
mod values;
mod vendor;
mod vendor_proxy;
mod vendor_trust;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    num::NonZeroUsize,
    path::PathBuf,
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use clap::Parser;
use ekiden_settings::{CheckedSettings, Host};
use http::Uri;
use rustls_pki_types::{CertificateDer, ServerName};
use secrecy::SecretString;

use raw::{Beside, Cli, Command, Raw};
use values::{
    CONTROL_PLANE_SHAPE, advertised, control_plane, fleet, ip, name_server, roots, socket_address,
    stop_timeout, text, token, worker_threads_of,
};

/// What the process was asked to do.
#[derive(Debug)]
pub enum Invocation {
    /// Be a relay.
    Run(Box<Environment>),
    /// Ask the relay beside this process whether it lives.
    Healthcheck(Healthcheck),
}

/// Everything a relay is told by its environment: what it takes to reach the control plane, and where to listen.
#[derive(Debug)]
pub struct Environment {
    /// Where the control plane is; none: the relay runs `bootstrap` alone.
    pub control_plane: Option<ControlPlane>,
    /// What runs until the control plane was heard; present where there is none.
    pub bootstrap: Option<Bootstrap>,
    /// What of the vendor's variables has no effect.
    pub notices: Vec<Notice>,
    /// What to log where EKIDEN_LOG does not say it.
    pub log: &'static str,
    /// Name to ask for and to check in the control plane's certificate; absent: the one in its address.
    pub server_name: Option<ServerName<'static>>,
    /// Roots to trust for the control plane; empty: the machine's.
    pub roots: Vec<CertificateDer<'static>>,
    /// Fleet to join by the task's AWS role; absent: the role proves nothing.
    pub fleet: Option<String>,
    /// The token to enroll with, after the role; absent with `fleet`: only a saved identity can be used.
    pub enrollment_token: Option<TokenSource>,
    /// Folder for the identity and the last good settings.
    pub state_dir: PathBuf,
    /// Where the local HTTP server listens.
    pub http_listen: SocketAddr,
    /// Address that listeners bind.
    pub listen_address: IpAddr,
    /// Address that workloads are told; absent: the task's, else the one that listeners bind.
    pub advertise_address: Option<IpAddr>,
    /// Time between SIGTERM and SIGKILL.
    pub stop_timeout: Duration,
    /// Name servers; empty: the machine's.
    pub resolvers: Vec<SocketAddr>,
    /// The ECS task metadata endpoint, version 4.
    pub ecs_metadata: Option<Uri>,
    /// Threads that work on connections.
    pub worker_threads: NonZeroUsize,
}

/// Settings made of the variables of the vendor's container.
#[derive(Clone, Debug)]
pub struct Bootstrap {
    /// Past the check of every snapshot.
    pub settings: Arc<CheckedSettings>,
}

/// A variable, or a key in one, that has not the effect that it was set for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its name.
    pub name: String,
    /// Why, for a person.
    pub description: String,
    /// Whether something may be missing for it.
    pub serious: bool,
}

impl Notice {
    fn slight(name: &str, description: &str) -> Self {
        Self { name: name.to_owned(), description: description.to_owned(), serious: false }
    }
}

/// What `healthcheck` needs to know.
#[derive(Debug)]
pub struct Healthcheck {
    /// Folder in which the relay says where its local HTTP server listens.
    pub state_dir: PathBuf,
    /// Where it listens if it did not say.
    pub http_listen: SocketAddr,
}

/// Where the control plane is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlPlane {
    /// At a host, by name or address, and a port.
    Host {
        /// By name or address.
        host: Host,
        /// TCP port.
        port: u16,
    },
    /// At the hosts and ports that an SRV record names, e.g. `_relays._tcp.ekiden.example`.
    Srv {
        /// Name of the record.
        name: String,
    },
}

/// Where the enrollment token comes from.
#[derive(Clone, Debug)]
pub enum TokenSource {
    /// The text itself.
    Text(SecretString),
    /// A file, read at each enrollment, so that it may be replaced.
    File(PathBuf),
}

/// One thing wrong in the environment.
#[derive(Debug, PartialEq, Eq)]
pub struct Problem {
    variable: &'static str,
    description: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.variable, self.description)
    }
}

/// Why there is nothing to run.
#[derive(Debug)]
pub enum Refusal {
    /// The arguments do not parse, or help was asked for.
    Usage(clap::Error),
    /// Values are wrong.
    Problems(Vec<Problem>),
}

/// Reads what the process was asked to do.
///
/// # Errors
/// [`Refusal`]: arguments that do not parse, or all wrong values at once.
pub fn read() -> Result<Invocation, Refusal> {
    let mut cli = Cli::try_parse().map_err(Refusal::Usage)?;
    cli.raw.beside = Beside::read();
    invocation(&cli).map_err(Refusal::Problems)
}

fn invocation(cli: &Cli) -> Result<Invocation, Vec<Problem>> {
    match cli.command.unwrap_or(Command::Run) {
        Command::Run => check(&cli.raw).map(|environment| Invocation::Run(Box::new(environment))),
        Command::Healthcheck => {
            let mut problems = Problems::default();
            let http_listen =
                problems.take("EKIDEN_HTTP_LISTEN", socket_address(&cli.raw.http_listen));
            match http_listen {
                Some(http_listen) => Ok(Invocation::Healthcheck(Healthcheck {
                    state_dir: PathBuf::from(&cli.raw.state_dir),
                    http_listen,
                })),
                None => Err(problems.0),
            }
        }
    }
}

fn check(raw: &Raw) -> Result<Environment, Vec<Problem>> {
    let mut problems = Problems::default();
    let control_plane =
        problems.optional("EKIDEN_CONTROL_PLANE", &raw.control_plane, control_plane);
    let server_name = problems.optional(
        "EKIDEN_CONTROL_PLANE_SERVER_NAME",
        &raw.control_plane_server_name,
        |name| {
            ServerName::try_from(name.to_owned())
                .map_err(|_| format!("`{name}` is neither a DNS name nor an IP address"))
        },
    );
    let roots = problems.take("EKIDEN_CONTROL_PLANE_CA", roots(raw)).unwrap_or_default();
    let fleet = problems.optional("EKIDEN_FLEET", &raw.fleet, fleet);
    let enrollment_token = problems.take("EKIDEN_ENROLLMENT_TOKEN", token(raw)).flatten();
    let http_listen = problems.take("EKIDEN_HTTP_LISTEN", socket_address(&raw.http_listen));
    let listen_address = problems.take("EKIDEN_LISTEN_ADDRESS", ip(&raw.listen_address));
    let advertise_address =
        problems.optional("EKIDEN_ADVERTISE_ADDRESS", &raw.advertise_address, advertised);
    let stop_timeout = problems.take("EKIDEN_STOP_TIMEOUT", stop_timeout(&raw.stop_timeout));
    let resolvers = problems.optional("EKIDEN_RESOLVERS", &raw.resolvers, |list| {
        list.split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(name_server)
            .collect::<Result<Vec<_>, _>>()
    });
    let ecs_metadata =
        problems.optional("ECS_CONTAINER_METADATA_URI_V4", &raw.beside.ecs_metadata, |uri| {
            Uri::from_str(uri).map_err(|_| format!("`{uri}` is not a URI"))
        });
    let worker_threads =
        problems.optional("TOKIO_WORKER_THREADS", &raw.beside.worker_threads, |count| {
            NonZeroUsize::from_str(count)
                .map_err(|_| format!("`{count}` is not a number of threads of at least 1"))
        });
    let mut vendors = vendor::check(&raw.beside.vendor, fleet.as_deref(), &mut problems);
    if text(&raw.control_plane).is_none() && raw.beside.vendor.text("COLLECTOR").is_none() {
        let why =
            format!("it is needed: {CONTROL_PLANE_SHAPE}. Without a control plane, COLLECTOR is");
        problems.add("EKIDEN_CONTROL_PLANE", why);
    }
    if text(&raw.control_plane).is_none() {
        let with_one = [
            ("EKIDEN_FLEET", fleet.is_some()),
            ("EKIDEN_ENROLLMENT_TOKEN", enrollment_token.is_some()),
        ];
        let unused = with_one.into_iter().filter(|(_, set)| *set).map(|(name, _)| Notice {
            serious: true,
            ..Notice::slight(name, "it has no effect without EKIDEN_CONTROL_PLANE")
        });
        vendors.notices.extend(unused);
    }
    if raw.state_dir.is_empty() {
        problems.add("EKIDEN_STATE_DIR", "it must name a folder".to_owned());
    }
    match (http_listen, listen_address, stop_timeout, problems.0.is_empty()) {
        (Some(http_listen), Some(listen_address), Some(stop_timeout), true) => Ok(Environment {
            control_plane,
            bootstrap: vendors.bootstrap,
            notices: vendors.notices,
            log: vendors.log.unwrap_or("info"),
            server_name,
            roots,
            fleet,
            enrollment_token,
            state_dir: PathBuf::from(&raw.state_dir),
            http_listen,
            listen_address,
            advertise_address,
            stop_timeout,
            resolvers: resolvers.unwrap_or_default(),
            ecs_metadata,
            worker_threads: worker_threads_of(worker_threads),
        }),
        _ => Err(problems.0),
    }
}

/// Problems found so far.
#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, variable: &'static str, description: String) {
        self.0.push(Problem { variable, description });
    }

    fn take<T>(&mut self, variable: &'static str, value: Result<T, String>) -> Option<T> {
        value.map_err(|description| self.add(variable, description)).ok()
    }

    fn optional<T>(
        &mut self,
        variable: &'static str,
        value: &Option<String>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        text(value).and_then(|value| self.take(variable, parse(value)))
    }
}

impl Healthcheck {
    /// The address to ask when the relay did not say where it listens.
    pub fn default_address(&self) -> SocketAddr {
        self.reachable(self.http_listen)
    }

    /// Where to reach what listens at `address` on this machine.
    pub fn reachable(&self, address: SocketAddr) -> SocketAddr {
        let ip = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        SocketAddr::new(ip, address.port())
    }
}

#[cfg(test)]
#[path = "environment_tests.rs"]
mod tests;
