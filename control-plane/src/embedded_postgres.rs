//! A private Postgres cluster from the machine's own programs, for when no database URL is given.
//!
//! It listens on a Unix socket in a folder of mode 0700 and nowhere else, asks for a password all the same, runs as an
//! ordinary account even under root, is started again when it dies, and stops when this process does, however that ends.
use std::{io, path::PathBuf, time::Duration};

use secrecy::ExposeSecret;
use sqlx::{
    ConnectOptions, Connection, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};
use tokio::{sync::watch, task::JoinHandle, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::{binaries::Binaries, place::Place, postmaster::Postmaster};
use crate::{folder_lock::FolderLockError, store::databases};

mod account;
mod binaries;
mod cluster;
mod place;
mod postmaster;
mod remains;
#[cfg(test)]
mod tests;

pub use binaries::usual_folders;

/// Name of the role and of the database.
const NAME: &str = "ekiden";
/// How long a server may take to answer; a crash recovery replays at most `max_wal_size`.
const READY_WITHIN: Duration = Duration::from_secs(600);
/// First and longest wait before a server that died is started again.
const RESTART_AFTER: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// A server that ran this long had a good start.
const GOOD_RUN: Duration = Duration::from_secs(60);
/// How often the log's size is looked at.
const LOG_CHECK: Duration = Duration::from_secs(60);

/// Where a cluster lives and what runs it.
#[derive(Clone, Debug)]
pub struct EmbeddedSettings {
    /// Folder for it alone; made when absent.
    pub folder: PathBuf,
    /// Folders looked through for `postgres` and `initdb`.
    pub programs: Vec<PathBuf>,
    /// More of Postgres's own settings.
    pub parameters: Vec<(&'static str, &'static str)>,
}

/// A running private Postgres.
pub struct EmbeddedPostgres {
    options: PgConnectOptions,
    process: watch::Receiver<Option<u32>>,
    cancel: CancellationToken,
    supervisor: JoinHandle<()>,
}

/// Why a private Postgres cannot run here.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// No programs.
    #[error(
        "no PostgreSQL {oldest} or newer was found on this machine: run `apt-get install postgresql`, or name its folder with --postgres-bin, or give a database with --database-url"
    )]
    NotInstalled {
        /// Oldest version that would do.
        oldest: u32,
    },
    /// The cluster is of a version that is not installed.
    #[error(
        "the private cluster is of PostgreSQL {wanted}, which was not found on this machine: install postgresql-{wanted}, or upgrade the cluster with pg_upgrade"
    )]
    OtherVersion {
        /// Major version of the cluster.
        wanted: u32,
    },
    /// Another control plane has the folder.
    #[error(transparent)]
    InUse(#[from] FolderLockError),
    /// The folder cannot be used.
    #[error("{folder} cannot be used: {source}")]
    Folder {
        /// File or folder.
        folder: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The folder is another account's.
    #[error(
        "{folder} belongs to another account (uid {owner}): run as that account, or use another --data-dir"
    )]
    OthersFolder {
        /// The folder.
        folder: PathBuf,
        /// Its owner.
        owner: u32,
    },
    /// There is something else in the cluster's place.
    #[error("{folder} is there but is no Postgres cluster: move it away")]
    NotACluster {
        /// The folder.
        folder: PathBuf,
    },
    /// The cluster's password is lost.
    #[error(
        "{path} holds no password for the cluster beside it: put the file back, or move the cluster away"
    )]
    NoPassword {
        /// The file.
        path: PathBuf,
    },
    /// A program does not start.
    #[error("{program} cannot be run: {source}")]
    Run {
        /// The program.
        program: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The cluster could not be made.
    #[error("initdb failed: {said}")]
    Initdb {
        /// What it said.
        said: String,
    },
    /// Processes of an earlier run stay.
    #[error("processes of an earlier Postgres server do not end: {0:?}")]
    Remains(Vec<u32>),
    /// The server ends again at once.
    #[error("the private Postgres server does not start: {said}")]
    Ends {
        /// The end of its log.
        said: String,
    },
    /// The server is there but does not let us in.
    #[error("the private Postgres server does not answer: {0}")]
    NoAnswer(#[source] sqlx::Error),
}

impl EmbeddedPostgres {
    /// Makes the cluster if there is none, clears what an earlier run left, starts the server and waits for its answer.
    ///
    /// # Errors
    /// [`EmbeddedError`]; nothing is left running then.
    pub async fn start(settings: EmbeddedSettings) -> Result<Self, EmbeddedError> {
        let place = Place::take(&settings.folder)?;
        let there = cluster::version(&place)?;
        let binaries = binaries::find(&settings.programs, there).await?;
        let password = place.password()?;
        if there.is_none() {
            cluster::create(&place, &binaries, &password).await?;
        }
        // Every setting that the environment could give is given here, so that PGHOST and its like lead nowhere else.
        let options = PgConnectOptions::new_without_pgpass()
            .host("localhost")
            .socket(place.socket())
            .port(5432)
            .username(NAME)
            .password(password.expose_secret())
            .database(NAME)
            .ssl_mode(PgSslMode::Disable)
            .disable_statement_logging();

        let server = Server { place, binaries, parameters: settings.parameters };
        let postmaster = server.first_start(&options).await?;
        if let Err(error) = ensure_database(&options).await {
            postmaster.stop().await;
            return Err(EmbeddedError::NoAnswer(error));
        }
        let (told, process) = watch::channel(postmaster.pid());
        let cancel = CancellationToken::new();
        let supervisor =
            TaskTracker::new().spawn(server.supervise(postmaster, told, cancel.clone()));
        Ok(Self { options, process, cancel, supervisor })
    }

    /// How to connect to it.
    pub fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// Process id of the server; none while it is being started again.
    pub fn process(&self) -> watch::Receiver<Option<u32>> {
        self.process.clone()
    }

    /// Ends when nothing looks after the server any more, which only a bug brings about.
    pub async fn abandoned(&mut self) {
        if let Err(error) = (&mut self.supervisor).await {
            tracing::error!(error = %error, "The private Postgres server lost its supervisor");
        }
    }

    /// Stops the server: fast, then at once. Takes 50 s at most.
    pub async fn stop(mut self) {
        self.cancel.cancel();
        if !self.supervisor.is_finished() {
            self.abandoned().await;
        }
    }
}

/// What it takes to start the server, again and again.
struct Server {
    place: Place,
    binaries: Binaries,
    parameters: Vec<(&'static str, &'static str)>,
}

impl Server {
    /// Clears the way and starts one.
    async fn start(&self) -> Result<Postmaster, EmbeddedError> {
        remains::clear(&self.place.cluster()).await.map_err(EmbeddedError::Remains)?;
        Postmaster::start(&self.place, &self.binaries, &self.parameters)
    }

    /// Starts one that answers; a few tries, since shared memory of a crashed one may take a moment to go.
    async fn first_start(&self, options: &PgConnectOptions) -> Result<Postmaster, EmbeddedError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let mut postmaster = self.start().await?;
            match answers(options, &mut postmaster).await {
                Ok(()) => return Ok(postmaster),
                Err(EmbeddedError::Ends { said }) if tries < 3 => {
                    tracing::info!(
                        said,
                        "The private Postgres server ended at its start; trying again"
                    );
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
                Err(error) => {
                    postmaster.stop().await;
                    return Err(error);
                }
            }
        }
    }

    /// Keeps a server running until told to stop, then stops it.
    async fn supervise(
        self,
        mut postmaster: Postmaster,
        told: watch::Sender<Option<u32>>,
        cancel: CancellationToken,
    ) {
        let (first, longest) = RESTART_AFTER;
        let mut backoff = first;
        loop {
            let started = Instant::now();
            let status = tokio::select! {
                status = postmaster.ended(&self.place) => status,
                () = cancel.cancelled() => {
                    postmaster.stop().await;
                    return;
                }
            };
            told.send_replace(None);
            drop(postmaster);
            tracing::warn!(status, "The private Postgres server died; starting it again");
            if started.elapsed() >= GOOD_RUN {
                backoff = first;
            }
            postmaster = loop {
                tokio::select! {
                    () = tokio::time::sleep(backoff) => {}
                    () = cancel.cancelled() => return,
                }
                backoff = (backoff * 2).min(longest);
                match self.start().await {
                    Ok(postmaster) => break postmaster,
                    Err(error) => tracing::warn!(
                        error = %error,
                        "The private Postgres server cannot be started; trying again"
                    ),
                }
            };
            told.send_replace(postmaster.pid());
        }
    }
}

/// Waits until the server lets us in, or ends.
async fn answers(
    options: &PgConnectOptions,
    postmaster: &mut Postmaster,
) -> Result<(), EmbeddedError> {
    let options = options.clone().database("postgres");
    let begun = Instant::now();
    let mut told = begun;
    loop {
        if let Some(said) = postmaster.has_ended() {
            return Err(EmbeddedError::Ends { said });
        }
        match PgConnection::connect_with(&options).await {
            Ok(connection) => return connection.close().await.map_err(EmbeddedError::NoAnswer),
            Err(error) if begun.elapsed() > READY_WITHIN || !may_pass(&error) => {
                return Err(EmbeddedError::NoAnswer(error));
            }
            Err(_) => {}
        }
        if told.elapsed() > Duration::from_secs(5) {
            told = Instant::now();
            tracing::info!("Waiting for the private Postgres server to recover");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether a server that is starting may answer like this.
fn may_pass(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => true,
        // cannot_connect_now
        sqlx::Error::Database(error) => error.code().is_some_and(|code| code == "57P03"),
        _ => false,
    }
}

async fn ensure_database(options: &PgConnectOptions) -> Result<(), sqlx::Error> {
    let mut db = PgConnection::connect_with(&options.clone().database("postgres")).await?;
    databases::ensure(&mut db, NAME).await?;
    db.close().await
}
