//! A relay in the smallest Fargate task there is: a quarter of a vCPU and 512 MiB.
use std::{fs, path::PathBuf, time::Duration};

use anyhow::Context as _;
use ekiden_tests::{
    harness::{
        customer::OTLP_PORT,
        wait::{self, SAFETY},
    },
    vendor_collector::Behaviour,
    workloads::otlp::{Exporter, marker},
};
use futures_util::future::join_all;

use super::ways::running;

const MEMORY: u64 = 512 << 20;
/// More at once than fits.
const WORKLOADS: usize = 128;
/// Bytes of one request, about.
const REQUEST: usize = 3 << 20;

/// Control groups of the first version, with these limits; removed when dropped.
struct Task(Vec<PathBuf>);

impl Task {
    /// None: they cannot be made here.
    fn make() -> Option<Self> {
        let name = format!("ekiden-test-{}", std::process::id());
        let mut task = Self(Vec::new());
        for (controller, limits) in [
            ("memory", [("memory.limit_in_bytes", MEMORY)].as_slice()),
            ("cpu", [("cpu.cfs_period_us", 100_000), ("cpu.cfs_quota_us", 25_000)].as_slice()),
        ] {
            let folder = PathBuf::from("/sys/fs/cgroup").join(controller).join(&name);
            fs::create_dir(&folder).ok()?;
            task.0.push(folder.clone());
            for (file, limit) in limits {
                fs::write(folder.join(file), limit.to_string()).ok()?;
            }
        }
        Some(task)
    }

    fn take(&self, process: u32) -> anyhow::Result<()> {
        for folder in &self.0 {
            fs::write(folder.join("cgroup.procs"), process.to_string())?;
        }
        Ok(())
    }

    /// The most bytes that were in use.
    fn peak(&self) -> anyhow::Result<u64> {
        let memory = self.0.first().context("there is no memory controller")?;
        Ok(fs::read_to_string(memory.join("memory.max_usage_in_bytes"))?.trim().parse()?)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        for folder in &self.0 {
            // A process that has just ended is in it for a moment still.
            for _ in 0..50 {
                if fs::remove_dir(folder).is_ok() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

#[tokio::test]
async fn in_the_smallest_task_a_collector_that_is_away_fills_no_memory_and_loses_nothing()
-> anyhow::Result<()> {
    // First: it is to be dropped last, when the relay has ended.
    let Some(task) = Task::make() else {
        eprintln!("not run: it needs root and control groups of the first version");
        return Ok(());
    };
    let mut run = running(1).await?;
    let process = run.relays[0].process().id().context("it has ended")?;
    task.take(process)?;
    run.customer.otlp_vendor.behave(Behaviour::Stall);
    let exporters: Result<Vec<Exporter>, _> = (0..WORKLOADS)
        .map(|_| {
            anyhow::Ok(
                Exporter::new(run.relays[0].listener(OTLP_PORT))?.timeout(Duration::from_secs(15)),
            )
        })
        .collect();
    let exporters = exporters?;
    let large = "x".repeat(REQUEST);
    for _ in 0..2 {
        let sent =
            join_all(exporters.iter().map(|one| one.spans(std::slice::from_ref(&large)))).await;
        assert!(sent.iter().all(Result::is_err), "acknowledged, though the vendor said nothing");
    }
    let peak = task.peak()?;
    assert!(peak < MEMORY * 3 / 4, "{} MiB of {}", peak >> 20, MEMORY >> 20);
    assert_eq!(run.relays[0].process().id(), Some(process), "it was killed");

    run.customer.otlp_vendor.behave(Behaviour::Serve);
    let small = Exporter::new(run.relays[0].listener(OTLP_PORT))?;
    wait::until("exports work again", SAFETY, async || {
        Ok(small.spans(&[marker("back")]).await.ok())
    })
    .await?;
    Ok(())
}
