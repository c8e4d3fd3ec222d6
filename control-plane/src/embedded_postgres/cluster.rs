//! A new cluster: made beside, then moved into place, so that a crash leaves a whole one or none.
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
};

use secrecy::{ExposeSecret, SecretString};

use super::{
    EmbeddedError,
    binaries::Binaries,
    place::{Place, write_private},
};

/// Appended to a new cluster's `postgresql.conf`, where an operator may change it. For a small machine that Postgres shares.
const TUNING: &str = "
# Ekiden's defaults; yours to change. What keeps the server private is on its command line.
max_connections = 64
shared_buffers = 128MB
max_wal_size = 1GB
checkpoint_completion_target = 0.9
wal_compression = on
random_page_cost = 1.1
jit = off
max_parallel_workers_per_gather = 0
autovacuum_naptime = 15s
log_checkpoints = off
log_autovacuum_min_duration = -1
";

/// Major version of the cluster that is there, if one is.
pub(super) fn version(place: &Place) -> Result<Option<u32>, EmbeddedError> {
    let path = place.cluster().join("PG_VERSION");
    match fs::read_to_string(&path) {
        Ok(text) => text
            .trim()
            .parse()
            .map(Some)
            .map_err(|_| EmbeddedError::NotACluster { folder: place.cluster() }),
        Err(_) if !place.cluster().exists() => Ok(None),
        Err(_) => Err(EmbeddedError::NotACluster { folder: place.cluster() }),
    }
}

/// Makes the cluster.
pub(super) async fn create(
    place: &Place,
    binaries: &Binaries,
    password: &SecretString,
) -> Result<(), EmbeddedError> {
    let io = |source| EmbeddedError::Folder { folder: place.folder.clone(), source };
    let unfinished = place.folder.join("cluster.new");
    match fs::remove_dir_all(&unfinished) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io(e)),
        _ => {}
    }
    let password_file = place.folder.join("initdb.password");
    write_private(&password_file, password.expose_secret()).map_err(io)?;
    place.account.own(&password_file).map_err(io)?;

    tracing::info!(
        folder = %place.folder.display(),
        postgres.version = binaries.major,
        "Making a private Postgres cluster"
    );
    let mut command = place.account.command(&binaries.initdb);
    command.arg("--pgdata").arg(place.spelled_for_server("cluster.new"));
    command.arg("--pwfile").arg(place.spelled_for_server("initdb.password"));
    command.args(["--username=ekiden", "--auth-local=scram-sha-256", "--auth-host=reject"]);
    command.args(["--encoding=UTF8", "--locale=C", "--data-checksums"]);
    let output = command.output().await;
    fs::remove_file(&password_file).map_err(io)?;
    let output =
        output.map_err(|source| EmbeddedError::Run { program: binaries.initdb.clone(), source })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(EmbeddedError::Initdb { said });
    }

    let conf = unfinished.join("postgresql.conf");
    let mut conf = OpenOptions::new().append(true).open(conf).map_err(io)?;
    conf.write_all(TUNING.as_bytes()).and_then(|()| conf.sync_all()).map_err(io)?;
    fs::rename(&unfinished, place.cluster()).map_err(io)?;
    File::open(&place.folder).and_then(|folder| folder.sync_all()).map_err(io)
}
