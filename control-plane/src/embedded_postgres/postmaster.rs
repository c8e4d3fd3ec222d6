//! One running server: its command line, its log, its end.
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::process::Signal;
use tokio::{
    process::{Child, ChildStdin},
    time::timeout,
};

use super::{EmbeddedError, LOG_CHECK, binaries::Binaries, place::Place, remains::send};

/// Size at which the log is moved to `postgres.log.1`, bytes.
const LOG_LIMIT: u64 = 8 << 20;
/// How long a fast and then an immediate shutdown may take.
const PATIENCE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// What keeps the server private and quiet; on the command line, where no file overrules it.
/// Statements stay out of the log since they may carry what must not be written down.
const PARAMETERS: [(&str, &str); 12] = [
    ("listen_addresses", ""),
    ("port", "5432"),
    ("unix_socket_permissions", "0700"),
    ("fsync", "on"),
    ("full_page_writes", "on"),
    ("log_destination", "stderr"),
    ("logging_collector", "off"),
    ("log_line_prefix", "%m [%p] "),
    ("log_statement", "none"),
    ("log_min_error_statement", "panic"),
    ("log_parameter_max_length_on_error", "0"),
    ("cluster_name", "ekiden"),
];

/// A server process and the lifeline that stops it when we are gone.
pub(super) struct Postmaster {
    child: Child,
    pid: u32,
    log: PathBuf,
    log_start: u64,
    _lifeline: Option<Lifeline>,
}

impl Postmaster {
    /// Starts the server; it answers a little later.
    pub(super) fn start(
        place: &Place,
        binaries: &Binaries,
        more: &[(&str, &str)],
    ) -> Result<Self, EmbeddedError> {
        let log = place.log();
        let run = |source| EmbeddedError::Run { program: binaries.postgres.clone(), source };
        bound_log(&log).map_err(run)?;
        let mut options = OpenOptions::new();
        let file = options.append(true).create(true).mode(0o600).open(&log).map_err(run)?;
        let log_start = file.metadata().map_err(run)?.len();
        let errors = file.try_clone().map_err(run)?;

        let mut command = place.account.command(&binaries.postgres);
        command.arg("-D").arg(place.spelled_for_server("cluster"));
        // The value is a list of names, each of which may stand in double quotes.
        let socket = place.spelled_for_server("socket").to_string_lossy().replace('"', "\"\"");
        command.arg("-c").arg(format!("unix_socket_directories=\"{socket}\""));
        for (name, value) in PARAMETERS.iter().chain(more) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let child = command.stdout(Stdio::from(file)).stderr(Stdio::from(errors)).spawn();
        let child = child.map_err(run)?;
        let pid = child.id().ok_or_else(|| run(io::Error::other("it ended at once")))?;
        Ok(Self { child, pid, log, log_start, _lifeline: Lifeline::tie(place, pid) })
    }

    pub(super) fn pid(&self) -> Option<u32> {
        Some(self.pid)
    }

    /// What the log says last, if the server has ended.
    pub(super) fn has_ended(&mut self) -> Option<String> {
        match self.child.try_wait() {
            Ok(None) => None,
            Ok(Some(status)) => {
                Some(last_words(&self.log, self.log_start).unwrap_or_else(|_| status.to_string()))
            }
            Err(error) => Some(error.to_string()),
        }
    }

    /// Waits for the server to end and keeps its log small meanwhile.
    pub(super) async fn ended(&mut self, place: &Place) -> String {
        loop {
            match timeout(LOG_CHECK, self.child.wait()).await {
                Ok(Ok(status)) => return status.to_string(),
                Ok(Err(error)) => return error.to_string(),
                Err(_) => {
                    if let Err(error) = bound_log(&place.log()) {
                        tracing::info!(error = %error, "The log of the private Postgres server cannot be cut");
                    }
                }
            }
        }
    }

    /// Stops the server: fast, then at once, then by force.
    pub(super) async fn stop(mut self) {
        for (signal, patience) in [(Signal::INT, PATIENCE.0), (Signal::QUIT, PATIENCE.1)] {
            // Not waited for yet, so the id is still this child's.
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            send(self.pid, signal);
            if timeout(patience, self.child.wait()).await.is_ok() {
                return;
            }
            tracing::info!(signal = ?signal, "The private Postgres server takes its time to stop");
        }
        if let Err(error) = self.child.kill().await {
            tracing::warn!(error = %error, "The private Postgres server cannot be ended");
        }
    }
}

#[cfg(test)]
impl Postmaster {
    /// Closes the pipe, as our end does, without ending the shell.
    pub(super) fn cut_lifeline(&mut self) {
        if let Some(lifeline) = &mut self._lifeline {
            lifeline._pipe = None;
        }
    }
}

/// A shell that waits on a pipe from us and stops the server when the pipe closes, which even our `kill -9` does.
struct Lifeline {
    _child: Child,
    _pipe: Option<ChildStdin>,
}

impl Lifeline {
    fn tie(place: &Place, server: u32) -> Option<Self> {
        let mut command = place.account.command(Path::new("/bin/sh"));
        command.args(["-c", "while read -r _; do :; done; kill -INT \"$1\"", "ekiden-lifeline"]);
        command.arg(server.to_string()).stdin(Stdio::piped());
        command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        match command.spawn() {
            Ok(mut child) => Some(Self { _pipe: child.stdin.take(), _child: child }),
            Err(error) => {
                tracing::info!(error = %error, "No shell to stop Postgres with if this process is killed; its next start will");
                None
            }
        }
    }
}

/// Moves a log that has grown beyond its limit aside; the server goes on with the emptied file.
fn bound_log(log: &Path) -> io::Result<()> {
    if fs::metadata(log).is_ok_and(|log| log.len() > LOG_LIMIT) {
        let mut aside = log.as_os_str().to_owned();
        aside.push(".1");
        fs::copy(log, aside)?;
        OpenOptions::new().write(true).open(log)?.set_len(0)?;
    }
    Ok(())
}

/// The serious lines at the end of the log, on one line.
fn last_words(log: &Path, from: u64) -> io::Result<String> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(from.max(length.saturating_sub(8192)).min(length)))?;
    let mut text = Vec::new();
    file.take(8192).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    let serious = ["FATAL:", "PANIC:", "DETAIL:", "HINT:", "postgres:"];
    let lines: Vec<_> = text.lines().filter(|l| serious.iter().any(|s| l.contains(s))).collect();
    let last = lines.get(lines.len().saturating_sub(6)..).unwrap_or_default();
    if last.is_empty() {
        return Ok(format!("it says nothing in {}", log.display()));
    }
    Ok(last.join(" / "))
}
