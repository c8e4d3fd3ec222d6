//! The process as the kernel sees it.
use std::{fs, time::Duration};

use ekiden_proto::health::v1::ProcessHealth;
use rustix::{
    param::page_size,
    process::{Resource, getrlimit},
    time::{ClockId, clock_gettime},
};

/// Measures this process; what the kernel does not tell is 0.
pub(super) fn process() -> ProcessHealth {
    ProcessHealth {
        resident_bytes: resident_bytes().unwrap_or(0),
        open_files: open_files(),
        cpu: prost_types::Duration::try_from(cpu()).ok(),
    }
}

/// How many files this process may hold open; none: as many as it likes.
pub(super) fn open_files_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * u64::try_from(page_size()).ok()?)
}

fn open_files() -> u64 {
    // Reading the folder opens it as well.
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count().saturating_sub(1) as u64)
}

fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_files_and_used_time() {
        let health = process();
        assert!(health.resident_bytes > 100_000, "{health:?}");
        assert!(health.open_files > 0 && health.open_files < 100_000, "{health:?}");
        assert!(health.cpu.is_some_and(|cpu| cpu.seconds > 0 || cpu.nanos > 0), "{health:?}");
    }
}
