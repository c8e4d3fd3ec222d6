//! Runs HTTP/2's own tasks on the process's tracker, so that none outlives what it serves.

use hyper::rt::Executor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// An executor whose tasks are tracked, and end when told to.
#[derive(Clone, Debug)]
pub(super) struct Tasks {
    tracker: TaskTracker,
    ends: CancellationToken,
}

impl Tasks {
    /// Runs tasks on `tracker` until `ends`.
    pub(super) fn new(tracker: TaskTracker, ends: CancellationToken) -> Self {
        Self { tracker, ends }
    }

    /// Starts a task.
    pub(super) fn spawn(&self, task: impl Future + Send + 'static) {
        let ends = self.ends.clone();
        drop(self.tracker.spawn(async move {
            ends.run_until_cancelled_owned(task).await;
        }));
    }
}

impl<F: Future + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, task: F) {
        self.spawn(task);
    }
}
