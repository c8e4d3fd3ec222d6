//! The listener and the exporter between real sockets: OpenTelemetry's clients on one side, its services on the other.

mod answers;
mod collector;
mod connections;
mod exporting;
mod limits;
mod relay;
mod workload;

use std::time::Duration;

/// A test that waits longer than this for something has failed.
const SOON: Duration = Duration::from_secs(30);

/// Waits for something that must come.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, what).await.expect("it did not come in time")
}

/// Runs something beside a test; it ends with the test's runtime.
#[expect(clippy::disallowed_methods, reason = "a test's runtime ends its tasks")]
fn spawn<T: Send + 'static>(
    task: impl Future<Output = T> + Send + 'static,
) -> tokio::task::JoinHandle<T> {
    tokio::spawn(task)
}
