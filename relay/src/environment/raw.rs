//! Arguments and variables as text, and the help that teaches them.
use clap::{Args, Parser, Subcommand};
use secrecy::SecretString;

use super::vendor;

const AFTER_HELP: &str = "\
Also read from the environment:
  EKIDEN_ENROLLMENT_TOKEN        the enrollment token's text, `ekr_…` (no flag: arguments are seen by everyone)
  EKIDEN_CONTROL_PLANE_CA_PEM    the control plane's CA as PEM text, instead of a file
  EKIDEN_LOG, EKIDEN_LOG_FORMAT  what to log (`info`, `ekiden_relay=debug`, …) and how (`json` or `text`)
  OTEL_EXPORTER_OTLP_ENDPOINT    where to export the relay's own traces and metrics; the other OTEL_* variables work too
  ECS_CONTAINER_METADATA_URI_V4  set by ECS
  AWS_REGION, AWS_ENDPOINT_URL   and the AWS SDK's other variables, for AWS Cloud Map
  TOKIO_WORKER_THREADS           threads to work with, at most as many as there are processors

Everything else comes from the control plane and may change while the relay runs.

Until the control plane was heard, or where there is none, a relay heeds the variables of the
vendor's container, if COLLECTOR is set; ACCESS_KEY and TAGS have no effect:
  COLLECTOR, COLLECTOR_PORT      where bytes are passed on to, over TLS; port 6443
  CHECK_CERTIFICATE              `false` takes any certificate
  COLLECTOR_CA_CERTIFICATE       PEM file to trust instead of the machine's roots
  COLLECTOR_CA_CERTIFICATE_VALUE its content in Base64 (_TYPE `base64`), its name in _PATH
  ADDITIONAL_CONF                YAML: `agentino_port` to listen on (6667), `http_proxy`, and
                                 `log.console_priority`
  PROXY_HOST, PROXY_PORT         an HTTP proxy toward the collector
  PROXY_USER, PROXY_PASSWORD     its credentials
  PROXY_SSL                      `true` reaches it over TLS
  PROXY_SSL_VERIFY_CERTIFICATE   `false` takes any certificate of it
  PROXY_CA_CERTIFICATE           PEM file to trust for it
  HTTP_PROXY_CA_CERTIFICATE_VALUE  its content in Base64 (_TYPE `base64`), its name in _PATH
  EKIDEN_CLOUD_MAP_SERVICE_ID    the AWS Cloud Map service to register in, and with it
  EKIDEN_CLOUD_MAP_DNS_NAME      what workloads resolve
  EKIDEN_CLOUD_MAP_TTL           seconds that they keep it (10)

Exit codes: 0 stopped when asked to, 1 failed, 64 wrong settings.";

#[derive(Debug, Parser)]
#[command(
    name = "ekiden-relay",
    version,
    about = "Forwards a tenant's telemetry, with settings pulled from Ekiden's control plane",
    after_help = AFTER_HELP
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) raw: Raw,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(super) enum Command {
    /// Runs the relay (the default)
    Run,
    /// Asks the relay's /livez and exits 0 if it lives, else 1; for container health checks
    Healthcheck,
}

#[derive(Args, Debug, Default)]
pub(super) struct Raw {
    /// Where the control plane's relay port is: `https://host:port`, or `srv:_relays._tcp.domain` for an SRV record
    #[arg(long, env = "EKIDEN_CONTROL_PLANE", value_name = "ADDRESS", global = true)]
    pub(super) control_plane: Option<String>,
    /// PEM file with the control plane's CA, read at start; without one the machine's trusted roots count
    #[arg(long, env = "EKIDEN_CONTROL_PLANE_CA", value_name = "FILE", global = true)]
    pub(super) control_plane_ca: Option<String>,
    /// Name that the control plane's certificate must carry, where it is not the host of its address; of
    /// `srv:_relays._tcp.domain` that is `domain`
    #[arg(long, env = "EKIDEN_CONTROL_PLANE_SERVER_NAME", value_name = "NAME", global = true)]
    pub(super) control_plane_server_name: Option<String>,
    /// Fleet to join by the task's AWS role, `tenants/{tenant}/fleets/{fleet}`; the control plane must have a rule for the role
    #[arg(long, env = "EKIDEN_FLEET", value_name = "FLEET", global = true)]
    pub(super) fleet: Option<String>,
    /// File with an enrollment token, for where there is no AWS role; tried last
    #[arg(long, env = "EKIDEN_ENROLLMENT_TOKEN_FILE", value_name = "FILE", global = true)]
    pub(super) enrollment_token_file: Option<String>,
    /// Folder for the relay's certificate and the last good settings; made with mode 0700
    #[arg(
        long,
        env = "EKIDEN_STATE_DIR",
        value_name = "FOLDER",
        default_value = "/var/lib/ekiden-relay",
        global = true
    )]
    pub(super) state_dir: String,
    /// Where /livez, /readyz and /metrics are served; port 0 takes a free one, told in <state-dir>/endpoints.json
    #[arg(
        long,
        env = "EKIDEN_HTTP_LISTEN",
        value_name = "IP:PORT",
        default_value = "0.0.0.0:8080",
        global = true
    )]
    pub(super) http_listen: String,
    /// Address that the fleet's listeners bind
    #[arg(
        long,
        env = "EKIDEN_LISTEN_ADDRESS",
        value_name = "IP",
        default_value = "0.0.0.0",
        global = true
    )]
    pub(super) listen_address: String,
    /// Address that workloads are told; without one the ECS task's, else the one that the listeners bind
    #[arg(long, env = "EKIDEN_ADVERTISE_ADDRESS", value_name = "IP", global = true)]
    pub(super) advertise_address: Option<String>,
    /// Seconds between SIGTERM and SIGKILL: ECS's stopTimeout
    #[arg(
        long,
        env = "EKIDEN_STOP_TIMEOUT",
        value_name = "SECONDS",
        default_value = "30",
        global = true
    )]
    pub(super) stop_timeout: String,
    /// Name servers, comma separated `ip:port`; without any, those of /etc/resolv.conf
    #[arg(long, env = "EKIDEN_RESOLVERS", value_name = "IP:PORT,…", global = true)]
    pub(super) resolvers: Option<String>,
    #[arg(skip)]
    pub(super) beside: Beside,
}

/// Values that have no flag.
#[derive(Debug, Default)]
pub(super) struct Beside {
    pub(super) enrollment_token: Option<SecretString>,
    pub(super) control_plane_ca_pem: Option<String>,
    pub(super) ecs_metadata: Option<String>,
    pub(super) worker_threads: Option<String>,
    pub(super) vendor: vendor::Variables,
}

impl Beside {
    pub(super) fn read() -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        Self {
            enrollment_token: variable("EKIDEN_ENROLLMENT_TOKEN").map(SecretString::from),
            control_plane_ca_pem: variable("EKIDEN_CONTROL_PLANE_CA_PEM"),
            ecs_metadata: variable("ECS_CONTAINER_METADATA_URI_V4"),
            worker_threads: variable("TOKIO_WORKER_THREADS"),
            vendor: vendor::Variables::from(
                std::env::vars_os().filter_map(|(name, value)| {
                    name.into_string().ok().zip(value.into_string().ok())
                }),
            ),
        }
    }
}
