//! What a relay runs first, and what stands in for a control plane where there is none.
use std::sync::Arc;

use ekiden_settings::Violation;
use tokio::sync::watch;
use uuid::Uuid;

use super::LifecycleError;
use crate::{
    apply::Applier,
    ecs_metadata::Task,
    environment::{Bootstrap, Environment},
};

/// Runs the last good settings, else what the environment says; says what of the environment has no effect.
///
/// Without a control plane only the environment counts: what one said once must not outlive it.
pub(super) async fn begin(
    applier: &Applier,
    environment: &Environment,
) -> Result<(), LifecycleError> {
    let controlled = environment.control_plane.is_some();
    if controlled && applier.resume().await {
        return Ok(());
    }
    for notice in &environment.notices {
        let (variable, why) = (&notice.name, &notice.description);
        if notice.serious {
            tracing::warn!(variable, why, "A variable has not the effect that it was set for");
        } else {
            tracing::info!(variable, why, "A variable has no effect");
        }
    }
    let Some(Bootstrap { settings }) = &environment.bootstrap else { return Ok(()) };
    match applier.begin_with(Arc::clone(settings)).await {
        Ok(()) => {
            tracing::info!("The settings of the environment run");
            Ok(())
        }
        Err(violations) => {
            let violations: Vec<String> = violations.iter().map(Violation::to_string).collect();
            let error = violations.join("; ");
            if !controlled {
                return Err(LifecycleError::Bootstrap(error));
            }
            tracing::warn!(error, "The settings of the environment do not run");
            Ok(())
        }
    }
}

/// The relay's id in a registry; none: the control plane gives it one.
pub(super) fn instance(task: &Task, controlled: bool) -> Option<String> {
    let task = task.id().map(ToOwned::to_owned);
    task.or_else(|| (!controlled).then(|| Uuid::now_v7().to_string()))
}

/// Says goodbye to no one.
pub(super) async fn no_session(mut goodbye: watch::Receiver<Option<&'static str>>) {
    goodbye.wait_for(Option::is_some).await.ok();
}
