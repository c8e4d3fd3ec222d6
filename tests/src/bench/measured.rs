//! A process under measurement, its children included.
use std::{
    fs,
    io::{Read as _, Seek as _},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use tokio::net::TcpStream;

/// A child process that is measured, and killed when dropped.
pub struct Measured {
    child: Child,
    output: fs::File,
}

impl Measured {
    /// Starts `command`, its output in a file that its end without success is explained from.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(mut command: Command) -> Result<Self> {
        let output = tempfile::tempfile().context("a file for the output")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output.try_clone()?)
            .spawn()
            .with_context(|| format!("could not start {:?}", command.get_program()))?;
        Ok(Self { child, output })
    }

    /// Waits until it accepts on `address`, for at most 20 s.
    ///
    /// # Errors
    /// When the time is over or the process has ended.
    pub async fn accepts(&mut self, address: SocketAddr) -> Result<()> {
        for _ in 0..400 {
            if TcpStream::connect(address).await.is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                let mut said = String::new();
                self.output.rewind()?;
                self.output.read_to_string(&mut said)?;
                bail!("it ended with {status} before it accepted on {address}:\n{said}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("it did not accept on {address} within 20 s")
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        // SIGTERM first, so that a master takes its workers with it.
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        }
        for _ in 0..40 {
            if matches!(self.child.try_wait(), Ok(Some(_))) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// User and system CPU seconds of the process and its descendants, from `/proc`.
///
/// # Errors
/// When the process is gone.
pub fn cpu_seconds(pid: u32) -> Result<f64> {
    let ticks = rustix::param::clock_ticks_per_second();
    let mut sum = 0;
    for pid in tree(pid)? {
        let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        // The name may hold spaces; fields count from after its closing parenthesis.
        let fields: Vec<&str> =
            stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        // Its own user and system time, and that of children that have ended.
        for index in [11, 12, 13, 14] {
            sum += fields.get(index).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a benchmark's ticks are far below 2^52")]
    Ok(sum as f64 / ticks as f64)
}

/// Resident memory of the process and its descendants in bytes, from `/proc`.
///
/// # Errors
/// When the process is gone.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    Ok(tree(pid)?.into_iter().filter_map(|pid| resident_of(pid).ok()).sum())
}

/// Resident memory of the process alone in bytes, from `/proc`.
///
/// # Errors
/// When the process is gone.
pub fn resident_of(pid: u32) -> Result<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm"))
        .with_context(|| format!("process {pid} is gone"))?;
    let pages = statm.split_whitespace().nth(1).and_then(|f| f.parse::<u64>().ok()).unwrap_or(0);
    Ok(pages * rustix::param::page_size() as u64)
}

/// The process and all that descend from it.
fn tree(pid: u32) -> Result<Vec<u32>> {
    ensure!(fs::exists(format!("/proc/{pid}/task"))?, "process {pid} is gone");
    let mut all = vec![pid];
    let mut next = 0;
    while let Some(&parent) = all.get(next) {
        next += 1;
        // A child is listed with the thread that started it.
        let Ok(threads) = fs::read_dir(format!("/proc/{parent}/task")) else { continue };
        for thread in threads.flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            all.extend(children.split_whitespace().filter_map(|c| c.parse::<u32>().ok()));
        }
    }
    Ok(all)
}
