//! What an error says, and that it was counted.
use ekiden_tests::harness::World;
use tonic::Status;
use tonic_types::StatusExt as _;

/// Returns the error of an answer that must not be a success.
pub(super) fn refused<T>(answer: Result<T, Status>) -> anyhow::Result<Status> {
    answer.err().ok_or_else(|| anyhow::anyhow!("it should have been refused"))
}

/// Returns the fields that a BadRequest names.
pub(super) fn fields(status: &Status) -> Vec<String> {
    let violations = status.get_details_bad_request().map(|bad| bad.field_violations);
    violations.unwrap_or_default().into_iter().map(|violation| violation.field).collect()
}

/// Returns the stable reason.
pub(super) fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// Waits until the control plane has counted so many calls of `method` that it answered with an error for `reason`.
pub(super) async fn counted(
    world: &World,
    method: &str,
    reason: &str,
    times: f64,
) -> anyhow::Result<()> {
    let attributes = [("rpc.method", method), ("reason", reason)];
    Ok(world.sink.counter_reaches("ekiden.control_plane.call.errors", &attributes, times).await?)
}
