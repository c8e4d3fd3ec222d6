//! The command line and its twins in the environment: the only place that reads either.
//!
//! Every value is typed here and every problem is told at once.
use std::{ffi::OsString, net::SocketAddr, path::PathBuf};

use clap::Parser;
use sqlx::postgres::PgConnectOptions;

use crate::{app::ServerSettings, embedded_postgres::usual_folders, vault::MasterKeySources};

mod logins;
mod master_keys;
mod problems;
#[cfg(test)]
mod tests;

use logins::LoginArguments;
use problems::{ADDRESS, Problems, present};

/// What to do, and with which settings.
pub struct Arguments {
    /// What to do.
    pub command: Command,
    /// With which settings.
    pub settings: Settings,
}

/// What the program can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Subcommand)]
pub enum Command {
    /// Serves relays and operators until SIGTERM or Ctrl-C (the default).
    Serve,
    /// Brings the database to this version and exits; `serve` refuses a database of another version.
    /// With the private Postgres, `serve` does this by itself.
    Migrate,
    /// Asks the running server of this data directory whether it serves; exits 0 if so, else 1.
    Healthcheck,
    /// Prints the root certificate of the built-in CA, which relays and operators' tools must trust.
    Ca,
}

/// Settings, checked.
#[derive(Clone)]
pub struct Settings {
    /// Where relays connect.
    pub relay_listen: SocketAddr,
    /// Where operators connect.
    pub operator_listen: SocketAddr,
    /// Operators connect without TLS; only ever on loopback.
    pub operator_plaintext: bool,
    /// Holds everything that outlives the process, the database aside; absolute.
    pub data_dir: PathBuf,
    /// Where the database is.
    pub database: Database,
    /// Keys that seal all secrets.
    pub master_keys: MasterKeySources,
    /// What services need to know.
    pub server: ServerSettings,
}

/// Where the database is.
#[derive(Clone)]
pub enum Database {
    /// A private Postgres in the data directory.
    Embedded {
        /// Folders looked through for its programs.
        programs: Vec<PathBuf>,
    },
    /// One that someone else runs.
    At {
        /// For short transactions; a pooler may stand between.
        pool: Box<PgConnectOptions>,
        /// For LISTEN and migrations; nothing between.
        direct: Box<PgConnectOptions>,
    },
}

/// Why there is nothing to do.
#[derive(Debug)]
pub enum Refusal {
    /// The text was asked for: help or version.
    Asked(String),
    /// What is wrong with the settings, one line each.
    Wrong(Vec<String>),
}

/// Ekiden's control plane: holds every tenant's collectors, access keys and fleets, and tells the relays.
///
/// Started without any setting it runs alone: a private Postgres, a certificate authority and the master key, all in
/// the data directory. Its first start prints an operator token once; keep it. Then, for example:
///
///   ekidenctl context import .ekiden/control-plane && ekidenctl tenant list
///
/// Relays reach it at the relay port and trust the same ca.pem. For production give it a database of its own
/// (--database-url), the names that relays and operators use (--server-names), and a master key in AWS KMS, or keep its
/// file: without it no stored access key can be opened again.
///
/// AWS STS and issuers of tokens are asked over HTTPS, through the egress proxy that HTTPS_PROXY names where it is set, but
/// for hosts in NO_PROXY; the machine's roots are trusted, or those in SSL_CERT_FILE.
///
/// Logs go to stderr (EKIDEN_LOG, EKIDEN_LOG_FORMAT=json|text); OTEL_EXPORTER_OTLP_ENDPOINT switches on the export of
/// traces and metrics. Exit codes: 0 after a clean stop, 1 when running failed, 64 when settings are wrong.
#[derive(Parser)]
#[command(name = "ekiden-control-plane", version, verbatim_doc_comment)]
struct Given {
    #[command(subcommand)]
    command: Option<Command>,

    /// Address and port where relays connect, with TLS and client certificates. Port 0 takes a free one.
    #[arg(
        long,
        env = "EKIDEN_RELAY_LISTEN",
        global = true,
        default_value = "0.0.0.0:8443",
        value_name = "IP:PORT"
    )]
    relay_listen: String,

    /// Address and port where operators connect, with API tokens or logins over TLS; also serves health and reflection.
    #[arg(
        long,
        env = "EKIDEN_OPERATOR_LISTEN",
        global = true,
        default_value = "127.0.0.1:9443",
        value_name = "IP:PORT"
    )]
    operator_listen: String,

    /// Serves operators without TLS. Tokens then cross the wire readable, so it is accepted on a loopback address only.
    #[arg(long, env = "EKIDEN_OPERATOR_PLAINTEXT", global = true)]
    operator_plaintext: bool,

    /// Directory for the private Postgres, the master key, the root certificate (ca.pem) and, while serving, the
    /// ports in use (endpoints.json). One process at a time.
    #[arg(
        long,
        env = "EKIDEN_DATA_DIR",
        global = true,
        default_value = ".ekiden/control-plane",
        value_name = "DIR"
    )]
    data_dir: String,

    /// Postgres to use, e.g. postgres://user:password@host/ekiden?sslmode=verify-full&sslrootcert=/etc/rds.pem; in the
    /// environment rather than here, where others can read it. Absent: a private Postgres in the data directory.
    #[arg(
        long,
        env = "EKIDEN_DATABASE_URL",
        global = true,
        hide_env_values = true,
        value_name = "URL"
    )]
    database_url: Option<String>,

    /// The same database without a pooler between, for notifications and migrations. Absent: --database-url.
    #[arg(
        long,
        env = "EKIDEN_DATABASE_DIRECT_URL",
        global = true,
        hide_env_values = true,
        value_name = "URL"
    )]
    database_direct_url: Option<String>,

    /// Folder with `postgres` and `initdb` for the private Postgres. Absent: the newest one installed.
    #[arg(long, env = "EKIDEN_POSTGRES_BIN", global = true, value_name = "DIR")]
    postgres_bin: Option<String>,

    /// DNS names and IP addresses under which relays and operators reach this server; they go into its certificates.
    #[arg(
        long,
        env = "EKIDEN_SERVER_NAMES",
        global = true,
        default_value = "localhost,127.0.0.1",
        value_name = "NAME,…"
    )]
    server_names: String,

    /// Trust domain of the relays' identities, spiffe://<trust-domain>/tenants/…; cannot change later.
    #[arg(
        long,
        env = "EKIDEN_TRUST_DOMAIN",
        global = true,
        default_value = "ekiden.internal",
        value_name = "DOMAIN"
    )]
    trust_domain: String,

    /// Key that seals all secrets: file:<path>, made at first and readable by its owner only, or kms:<id, ARN or
    /// alias/name> in AWS KMS. Absent: file:master.key in the data directory. A database without its key is lost.
    #[arg(long, env = "EKIDEN_MASTER_KEY", global = true, value_name = "KEY")]
    master_key: Option<String>,

    /// Further keys, comma-separated, that open what was sealed before. To change keys, give the new one as --master-key
    /// and the old one here: secrets move by themselves, `ekidenctl master-key list` tells when the old one is free.
    #[arg(long, env = "EKIDEN_MASTER_KEY_ALSO", global = true, value_name = "KEY,…")]
    master_key_also: Option<String>,

    /// How long a relay's certificate lasts, 5 to 86400; it is renewed at half of it.
    #[arg(
        long,
        env = "EKIDEN_RELAY_CERTIFICATE_LIFETIME",
        global = true,
        default_value = "3600",
        value_name = "SECONDS"
    )]
    relay_certificate_lifetime: String,

    /// How long after its end a relay's certificate can still be renewed, 0 to 2592000: what an outage of this server may
    /// last before relays need new enrollment tokens. It opens no session in that time.
    #[arg(
        long,
        env = "EKIDEN_RELAY_RENEWAL_GRACE",
        global = true,
        default_value = "604800",
        value_name = "SECONDS"
    )]
    relay_renewal_grace: String,

    /// How often a relay reports its health, 1 to 3600.
    #[arg(
        long,
        env = "EKIDEN_HEALTH_INTERVAL",
        global = true,
        default_value = "10",
        value_name = "SECONDS"
    )]
    health_interval: String,

    /// How often a message crosses a relay's session each way at least, 1 to 300; load balancers cut what is silent.
    #[arg(
        long,
        env = "EKIDEN_HEARTBEAT_INTERVAL",
        global = true,
        default_value = "20",
        value_name = "SECONDS"
    )]
    heartbeat_interval: String,

    /// How often relays are compared by their open connections, 1 to 3600; crowded ones let some go over as long.
    #[arg(
        long,
        env = "EKIDEN_BALANCE_INTERVAL",
        global = true,
        default_value = "60",
        value_name = "SECONDS"
    )]
    balance_interval: String,

    /// Calls that each caller (an API token, or the subject of a login) has a second, 1 to 100000, and twice as many at
    /// once; a stream is one call. Each replica counts for itself, so that N of them allow up to N times as many.
    #[arg(
        long,
        env = "EKIDEN_CALLS_PER_SECOND",
        global = true,
        default_value = "50",
        value_name = "NUMBER"
    )]
    calls_per_second: String,

    /// Credentials that may fail a second from each address (each /64 of IPv6), 1 to 100000, and twice as many at once;
    /// then the address is refused before the database is asked, but for credentials that were good before. Each replica
    /// counts for itself. Behind a balancer that hides addresses all operators share one.
    #[arg(
        long,
        env = "EKIDEN_ATTEMPTS_PER_SECOND",
        global = true,
        default_value = "20",
        value_name = "NUMBER"
    )]
    attempts_per_second: String,

    #[command(flatten)]
    logins: LoginArguments,
}

/// Reads the command line and the environment.
///
/// # Errors
/// [`Refusal`]: the help that was asked for, or every problem.
pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Arguments, Refusal> {
    let given = Given::try_parse_from(arguments).map_err(|error| {
        let text = error.render().to_string();
        if error.use_stderr() {
            Refusal::Wrong(vec![text.trim_end().to_owned()])
        } else {
            Refusal::Asked(text)
        }
    })?;
    let command = given.command.unwrap_or(Command::Serve);
    let search_path = std::env::var_os("PATH");
    let settings =
        check(given, || usual_folders(search_path.as_deref())).map_err(Refusal::Wrong)?;
    Ok(Arguments { command, settings })
}

/// Types every value; gives every problem.
fn check(given: Given, usual: impl FnOnce() -> Vec<PathBuf>) -> Result<Settings, Vec<String>> {
    let mut problems = Problems(Vec::new());
    let relay_listen = problems.parsed("relay-listen", &given.relay_listen, ADDRESS);
    let operator_listen = problems.parsed("operator-listen", &given.operator_listen, ADDRESS);
    if given.operator_plaintext
        && operator_listen.is_some_and(|at: SocketAddr| !at.ip().is_loopback())
    {
        problems.add(
            "operator-plaintext",
            "tokens would cross the network readable: use it with a loopback --operator-listen, or leave it away",
        );
    }
    let data_dir = problems.path("data-dir", &given.data_dir);
    let usual_key = || data_dir.as_ref().map(|folder| folder.join("master.key"));
    let master_keys = problems.master_keys(&given.master_key, &given.master_key_also, usual_key);
    let database = problems.database(&given.database_url, &given.database_direct_url, || {
        present(given.postgres_bin).map_or_else(usual, |folder| vec![PathBuf::from(folder)])
    });
    let server_names = problems.names(&given.server_names);
    let trust_domain = problems.trust_domain(&given.trust_domain);
    let lifetime = &given.relay_certificate_lifetime;
    let lifetime = problems.seconds("relay-certificate-lifetime", lifetime, 5..=86_400);
    let grace = &given.relay_renewal_grace;
    let grace = problems.seconds("relay-renewal-grace", grace, 0..=2_592_000);
    let health = problems.seconds("health-interval", &given.health_interval, 1..=3600);
    let heartbeat = problems.seconds("heartbeat-interval", &given.heartbeat_interval, 1..=300);
    let balance = problems.seconds("balance-interval", &given.balance_interval, 1..=3600);

    let calls = problems.per_second("calls-per-second", &given.calls_per_second);
    let attempts = problems.per_second("attempts-per-second", &given.attempts_per_second);
    let logins = problems.logins(&given.logins);

    let settings = || {
        Some(Settings {
            relay_listen: relay_listen?,
            operator_listen: operator_listen?,
            operator_plaintext: given.operator_plaintext,
            data_dir: data_dir?,
            database: database?,
            master_keys: master_keys?,
            server: ServerSettings {
                server_names: server_names?,
                trust_domain: trust_domain?,
                relay_certificate_lifetime: lifetime?,
                relay_renewal_grace: grace?,
                health_interval: health?,
                heartbeat_interval: heartbeat?,
                balance_interval: balance?,
                logins: logins?,
                calls_per_second: calls?,
                attempts_per_second: attempts?,
            },
        })
    };
    match settings() {
        Some(settings) if problems.0.is_empty() => Ok(settings),
        _ => Err(problems.0),
    }
}
