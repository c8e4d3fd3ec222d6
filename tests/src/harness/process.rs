//! A child process: one of the workspace's binaries, its environment stated in full, its output in files.
use std::{
    fs,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, ChildStdout, Command};

use super::{guard, wait};

/// Variables that a child takes over from this process; everything else is stated.
const INHERITED: [&str; 6] = ["PATH", "HOME", "LANG", "USER", "LOGNAME", "RUST_BACKTRACE"];

/// How many lines of a log an error shows.
const TAIL: usize = 25;

/// A running or ended child process.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

/// Whether a child's standard output is read by the harness or goes to a file beside the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdout {
    /// To `<name>.out`.
    File,
    /// Taken with [`Process::take_stdout`].
    Piped,
}

/// Returns the path of a binary of this workspace, built with the same profile as the running one.
pub fn binary(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let mut folder = own.parent().context("the running binary has no folder")?;
    if folder.ends_with("deps") {
        folder = folder.parent().context("the target folder has no parent")?;
    }
    let path = folder.join(name);
    anyhow::ensure!(
        path.exists(),
        "{} is missing; build everything first: cargo build --workspace --all-targets",
        path.display()
    );
    Ok(path)
}

impl Process {
    /// Starts `program` with exactly these arguments and variables in the world at `folder`.
    pub fn start(
        folder: &Path,
        name: &str,
        program: &str,
        arguments: &[&str],
        variables: &[(String, String)],
        stdout: Stdout,
    ) -> anyhow::Result<Self> {
        Self::start_in(None, folder, name, program, arguments, variables, stdout)
    }

    /// The same, in a network namespace.
    pub fn start_in(
        namespace: Option<&str>,
        folder: &Path,
        name: &str,
        program: &str,
        arguments: &[&str],
        variables: &[(String, String)],
        stdout: Stdout,
    ) -> anyhow::Result<Self> {
        let logs = folder.join("logs");
        let log = logs.join(format!("{name}.log"));
        let append = |path: &Path| fs::File::options().create(true).append(true).open(path);
        let mut command = match namespace {
            None => Command::new(binary(program)?),
            Some(namespace) => {
                // It becomes the program: the process id is the program's.
                let mut ip = Command::new("ip");
                ip.args(["netns", "exec", namespace]).arg(binary(program)?);
                ip
            }
        };
        command
            .args(arguments)
            .env_clear()
            .envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .env(guard::MARK, folder)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(match stdout {
                Stdout::Piped => Stdio::piped(),
                Stdout::File => append(&logs.join(format!("{name}.out")))?.into(),
            })
            .stderr(append(&log)?)
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn().with_context(|| format!("starting {program}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Returns its process id; `None` once its end was seen.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Takes its standard output, where it was piped.
    pub fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    /// Sends a signal, where it still runs.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let Some(pid) = self.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) else {
            return Ok(());
        };
        kill_process(pid, signal).with_context(|| format!("sending a signal to {}", self.name))
    }

    /// Kills it (`kill -9`) and waits for its end.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.signal(Signal::KILL)?;
        self.child.wait().await?;
        Ok(())
    }

    /// Asks it to stop (SIGTERM) and waits for its end.
    pub async fn terminate(&mut self, within: Duration) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.ended(within).await
    }

    /// Waits until it ends by itself.
    pub async fn ended(&mut self, within: Duration) -> anyhow::Result<ExitStatus> {
        match tokio::time::timeout(within, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => {
                let what = format!("{} ends", self.name);
                Err(wait::TimedOut::new(&what, within).with_detail(self.tail()).into())
            }
        }
    }

    /// Asks until the answer is something; fails at once, with the end of the log, when the process ends meanwhile.
    pub async fn until<T>(
        &mut self,
        what: &str,
        within: Duration,
        mut ask: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
    ) -> anyhow::Result<T> {
        let child = &mut self.child;
        let name = &self.name;
        let result = wait::until(what, within, async || match ask().await? {
            Some(answer) => Ok(Some(answer)),
            None => match child.try_wait()? {
                None => Ok(None),
                Some(status) => anyhow::bail!("{name} ended ({status}) before: {what}"),
            },
        })
        .await;
        result.with_context(|| self.tail())
    }

    /// Returns everything it logged.
    pub fn log(&self) -> String {
        fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Returns the last lines that it logged, under a heading.
    pub fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let from = lines.len().saturating_sub(TAIL);
        format!("the last lines that {} logged:\n  {}", self.name, lines[from..].join("\n  "))
    }
}
