//! What an earlier run may have left: a server whose control plane was killed, its children, its pid file.
use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

/// How often it is looked whether the processes are gone.
const LOOK: Duration = Duration::from_millis(50);

/// Ends every process that still works on `cluster` and takes away a pid file that would keep a new server from starting.
///
/// The caller holds the folder's lock, so whatever runs there has lost its control plane.
/// Gives the ids of processes that did not go away.
pub(super) async fn clear(cluster: &Path) -> Result<(), Vec<u32>> {
    let pid_file = cluster.join("postmaster.pid");
    // A server that ended well takes its pid file along, after its last child.
    let Ok(text) = fs::read_to_string(&pid_file) else { return Ok(()) };
    let leader = text.lines().next().and_then(|line| line.trim().parse::<u32>().ok());

    let found = working_on(cluster);
    if !found.is_empty() {
        tracing::info!(
            processes = found.len(),
            "A Postgres server of an earlier run is still there; stopping it"
        );
    }
    let led = leader.is_some_and(|leader| found.contains(&leader));
    // Without their leader the children notice and go by themselves; with it, a fast shutdown.
    let steps: [(Option<Signal>, u64); 3] = if led {
        [(Some(Signal::INT), 30), (Some(Signal::QUIT), 10), (Some(Signal::KILL), 10)]
    } else {
        [(None, 5), (Some(Signal::QUIT), 10), (Some(Signal::KILL), 10)]
    };
    for (step, (signal, patience)) in steps.into_iter().enumerate() {
        let left = working_on(cluster);
        if left.is_empty() {
            break;
        }
        let to_leader_only = led && step == 0;
        for pid in left {
            if (!to_leader_only || Some(pid) == leader)
                && let Some(signal) = signal
            {
                send(pid, signal);
            }
        }
        gone(cluster, Duration::from_secs(patience)).await;
    }
    let left = working_on(cluster);
    if !left.is_empty() {
        return Err(left);
    }
    // Its process id may belong to another program by now, which Postgres would take for a server.
    if leader.is_some_and(|pid| Path::new(&format!("/proc/{pid}")).exists())
        && let Err(error) = fs::remove_file(&pid_file)
        && pid_file.exists()
    {
        tracing::info!(error = %error, "A stale Postgres pid file cannot be removed");
    }
    Ok(())
}

/// Sends a signal; a process that is gone already is what was wanted.
pub(super) fn send(pid: u32, signal: Signal) {
    let Some(target) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
    if let Err(error) = kill_process(target, signal) {
        tracing::debug!(pid, error = %error, "A signal was not delivered");
    }
}

async fn gone(cluster: &Path, patience: Duration) {
    let deadline = Instant::now() + patience;
    while !working_on(cluster).is_empty() && Instant::now() < deadline {
        sleep(LOOK).await;
    }
}

/// Postgres processes whose working directory is `cluster`: each server and each child of one works there.
fn working_on(cluster: &Path) -> Vec<u32> {
    let Ok(cluster) = fs::metadata(cluster) else { return Vec::new() };
    let is_one = |process: &PathBuf| {
        fs::read_to_string(process.join("comm")).is_ok_and(|name| name.trim_end() == "postgres")
            && fs::metadata(process.join("cwd"))
                .is_ok_and(|cwd| (cwd.dev(), cwd.ino()) == (cluster.dev(), cluster.ino()))
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .filter_map(|(pid, path)| is_one(&path).then_some(pid))
        .collect()
}
