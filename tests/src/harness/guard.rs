//! The world's guard: a process of its own that outlives whoever made the world, by however little, and then ends
//! every process that belongs to it (also an orphaned Postgres) and removes its folder.
use std::{
    fs, io,
    io::Read as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process};

/// Environment variable that marks the processes of a world; its value is the world's folder.
pub const MARK: &str = "EKIDEN_WORLD";

/// How long processes get to end before they are killed.
const PATIENCE: Duration = Duration::from_secs(5);

/// A running guard; dropping it ends the world and waits until that is done.
#[derive(Debug)]
pub struct Guard {
    child: Child,
}

impl Guard {
    /// Starts a guard for the world in `folder`.
    pub fn start(folder: &Path) -> anyhow::Result<Self> {
        let program = super::process::binary("ekiden-world-guard")?;
        let mut command = Command::new(program);
        // Its own process group: Ctrl-C in a terminal must reach the owner, not the guard.
        command
            .arg(folder)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0);
        Ok(Self { child: command.spawn().context("starting the world's guard")? })
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        if let Err(error) = self.child.wait() {
            tracing::warn!(%error, "waiting for the world's guard");
        }
    }
}

/// Waits until standard input ends, then ends the world in `folder` and removes the folder, unless it is to be kept.
pub fn run(folder: &Path) -> anyhow::Result<()> {
    io::stdin().read_to_end(&mut Vec::new()).context("waiting for the owner to end")?;
    end_processes(folder);
    if folder.join("keep").exists() { Ok(()) } else { remove(folder) }
}

/// Removes the folder; again, when an owner that is just ending put something into it meanwhile.
fn remove(folder: &Path) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        match fs::remove_dir_all(folder) {
            Err(_) if folder.exists() && began.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(_) if !folder.exists() => return Ok(()),
            removed => return removed.with_context(|| format!("removing {}", folder.display())),
        }
    }
}

fn end_processes(folder: &Path) {
    let began = Instant::now();
    let mut asked = Vec::new();
    loop {
        let processes = processes_of(folder);
        if processes.is_empty() {
            return;
        }
        for (pid, name) in processes {
            // Postgres frees its shared memory when told to quit at once; killed it leaves some behind.
            let gently = name.starts_with("postgres") && began.elapsed() < PATIENCE;
            if gently && asked.contains(&pid) {
                continue;
            }
            asked.push(pid);
            if let Err(error) = kill_process(pid, if gently { Signal::QUIT } else { Signal::KILL })
            {
                tracing::debug!(%error, "it is gone already");
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Returns the processes that carry the world's mark or name its folder in their command line, and the Postgres servers
/// whose clusters are in it: those may have been given neither.
fn processes_of(folder: &Path) -> Vec<(Pid, String)> {
    let postmasters = postmasters(folder, 4);
    let mark = format!("{MARK}={}", folder.display()).into_bytes();
    let name = folder.display().to_string().into_bytes();
    let own = i32::try_from(std::process::id()).ok();
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let belongs = |pid: &i32| {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        let alive = fs::read_to_string(proc.join("stat")).is_ok_and(|stat| !stat.contains(") Z "));
        let holds = |file: &str, text: &[u8]| {
            fs::read(proc.join(file))
                .is_ok_and(|bytes| bytes.windows(text.len()).any(|window| window == text))
        };
        Some(*pid) != own
            && alive
            && (postmasters.contains(pid) || holds("environ", &mark) || holds("cmdline", &name))
    };
    let found = pids.filter(belongs).filter_map(|pid| {
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        Some((Pid::from_raw(pid)?, comm))
    });
    found.collect()
}

/// Returns the process ids in the `postmaster.pid` files below `folder`, where Postgres runs under them.
fn postmasters(folder: &Path, depth: u32) -> Vec<i32> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut pids = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.ends_with("postmaster.pid") {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let pid = text.lines().next().and_then(|line| line.trim().parse::<i32>().ok());
            let runs = |pid: &i32| {
                fs::read_to_string(format!("/proc/{pid}/comm"))
                    .is_ok_and(|name| name.starts_with("postgres"))
            };
            pids.extend(pid.filter(runs));
        } else if depth > 0 && path.is_dir() && !path.is_symlink() {
            pids.extend(postmasters(&path, depth - 1));
        }
    }
    pids
}
