//! Carries out what is wanted: checks a whole snapshot, swaps it in one step, remembers it, says how that went.
use std::{io, sync::Arc, time::Duration};

use ekiden_settings::{CheckedSettings, Violation};
use ekiden_telemetry::propagation::set_parent;
use tokio::{sync::watch, time::sleep};
use tracing::Instrument;

use crate::{
    collector::Keys,
    data_plane::DataPlane,
    error_chain::chain,
    last_good::LastGood,
    probe::Cause,
    registry::fitness::Fitness,
    session::{
        backoff::{ceiling, jitter},
        standing::{Desired, DesiredKeys, Standing},
    },
};

/// Brings what a session was told into the data plane.
#[derive(Debug)]
pub struct Applier {
    /// Where what is wanted and what runs meets.
    pub standing: Arc<Standing>,
    /// What runs it.
    pub data_plane: DataPlane,
    /// Whether this relay can be found as they say.
    pub fitness: Fitness,
    /// Where it is remembered.
    pub last_good: LastGood,
    /// The settings that run, for the rest of the relay.
    pub settings: watch::Sender<Option<Arc<CheckedSettings>>>,
    /// The keys in use, for the rest of the relay.
    pub keys: watch::Sender<Arc<Keys>>,
    /// Why collectors should be probed now.
    pub probe: watch::Sender<Cause>,
}

/// Why settings do not run.
enum Refused {
    /// The same settings will never pass.
    Wrong(Vec<Violation>),
    /// They may run later: a port may come free, a role may get its rights.
    Failed(Vec<Violation>),
}

impl Applier {
    /// Starts with the last good settings from disk; gives whether there are any that run.
    pub async fn resume(&self) -> bool {
        let (desired, checked) = match self.last_good.load() {
            Ok(Some(loaded)) => loaded,
            Ok(None) => return false,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "The relay starts without its last good settings");
                return false;
            }
        };
        let checked = Arc::new(checked);
        match self.data_plane.apply(Arc::clone(&checked)).await {
            Ok(()) => {
                tracing::info!(revision = desired.revision, "The last good settings run");
                self.standing.resumed(&desired);
                self.settings.send_replace(Some(checked));
                self.probe.send_replace(Cause::here());
                true
            }
            Err(violations) => {
                tracing::warn!(revision = desired.revision, error = %list(&violations), "The last good settings do not run");
                false
            }
        }
    }

    /// Starts with settings that no control plane gave: they have no revision, so that whatever one says replaces them.
    ///
    /// # Errors
    /// What cannot be run, by field.
    pub async fn begin_with(&self, settings: Arc<CheckedSettings>) -> Result<(), Vec<Violation>> {
        let unfit = settings.discovery.iter().flat_map(|at| self.fitness.of_task(at)).collect();
        none(unfit)?;
        self.data_plane.apply(Arc::clone(&settings)).await?;
        self.settings.send_replace(Some(settings));
        self.probe.send_replace(Cause::here());
        Ok(())
    }

    /// Carries out what is wanted for as long as the process runs. `random` gives uniform numbers in `[0, 1)`.
    pub async fn run(self, random: impl FnMut() -> f64 + Send) {
        tokio::join!(self.run_settings(random), self.run_keys(), self.tell_trials());
    }

    async fn run_settings(&self, mut random: impl FnMut() -> f64 + Send) {
        let mut wanted = self.standing.desired();
        let mut failures = 0;
        loop {
            let desired = wanted.borrow_and_update().clone();
            let again = match desired {
                Some(desired) => self.settle(&desired, &mut failures).await,
                None => false,
            };
            let wait = jitter(ceiling(failures), random()) + Duration::from_secs(1);
            tokio::select! {
                changed = wanted.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    failures = 0;
                }
                () = sleep(wait), if again => {}
            }
        }
    }

    /// Applies `desired`; gives whether to try again. Counts `failures`, and reports only the first of a row.
    async fn settle(&self, desired: &Arc<Desired>, failures: &mut u32) -> bool {
        if self.standing.runs(desired) {
            self.standing.applied(desired);
            return false;
        }
        let span = tracing::info_span!("apply settings", fleet.id = %desired.fleet, revision = desired.revision);
        set_parent(&span, &desired.traceparent, &desired.tracestate);
        let first = *failures == 0;
        async {
            if first {
                self.standing.applying(desired);
            }
            match self.apply(desired).await {
                Ok(()) => {
                    tracing::info!(revision = desired.revision, "The settings run");
                    self.standing.applied(desired);
                    false
                }
                Err(Refused::Wrong(violations)) => {
                    self.refuse(desired, &violations);
                    false
                }
                Err(Refused::Failed(violations)) => {
                    if first {
                        self.refuse(desired, &violations);
                    }
                    *failures = failures.saturating_add(1);
                    true
                }
            }
        }
        .instrument(span)
        .await
    }

    async fn apply(&self, desired: &Arc<Desired>) -> Result<(), Refused> {
        let checked = ekiden_settings::check(&desired.settings).map_err(Refused::Wrong)?;
        if checked.fleet != desired.fleet {
            let description =
                format!("it is {}, but this relay is of {}", checked.fleet, desired.fleet);
            return Err(Refused::Wrong(vec![Violation::new("fleet", description)]));
        }
        let checked = Arc::new(checked);
        self.fits(&checked).await?;
        self.data_plane.apply(Arc::clone(&checked)).await.map_err(Refused::Failed)?;
        self.settings.send_replace(Some(checked));
        self.probe.send_replace(Cause::here());
        self.remember(desired).await;
        Ok(())
    }

    /// Looks whether the relay can be found as settings say, where they say something new.
    async fn fits(&self, wanted: &CheckedSettings) -> Result<(), Refused> {
        let Some(at) = &wanted.discovery else { return Ok(()) };
        let running = self.settings.borrow().clone();
        if running.and_then(|running| running.discovery.clone()).as_ref() == Some(at) {
            return Ok(());
        }
        none(self.fitness.of_task(at)).map_err(Refused::Wrong)?;
        none(self.fitness.of_services(at).await).map_err(Refused::Failed)
    }

    /// Waits for the disk on a thread that carries no connections.
    async fn remember(&self, desired: &Arc<Desired>) {
        let (last_good, desired) = (self.last_good.clone(), Arc::clone(desired));
        let saved = tokio::task::spawn_blocking(move || last_good.save(&desired)).await;
        if let Err(error) = saved.unwrap_or_else(|error| Err(io::Error::other(error))) {
            tracing::warn!(
                error = %error,
                "The settings are not saved: a restart without the control plane would start from older ones"
            );
        }
    }

    fn refuse(&self, desired: &Desired, violations: &[Violation]) {
        tracing::warn!(
            revision = desired.revision, error = %list(violations),
            "The settings do not run; those of before still do"
        );
        let violations = violations.iter().map(|violation| ekiden_proto::relay::v1::Violation {
            field: violation.field.clone(),
            description: violation.description.clone(),
        });
        self.standing.failed(desired, violations.collect());
    }

    async fn run_keys(&self) {
        let mut wanted = self.standing.keys();
        loop {
            let desired = wanted.borrow_and_update().clone();
            if let Some(desired) = desired {
                self.take_keys(&desired);
            }
            if wanted.changed().await.is_err() {
                return;
            }
        }
    }

    async fn tell_trials(&self) {
        let mut trials = self.data_plane.key_trials();
        while trials.changed().await.is_ok() {
            let trials = trials.borrow_and_update().clone();
            self.standing.keys_tried(&trials);
        }
    }

    fn take_keys(&self, desired: &DesiredKeys) {
        let secret_version = desired.keys.secret_version();
        let span = tracing::info_span!("apply keys", fleet.id = %desired.fleet, secret_version);
        set_parent(&span, &desired.traceparent, "");
        let _entered = span.entered();
        self.data_plane.set_keys(Arc::clone(&desired.keys));
        self.keys.send_replace(Arc::clone(&desired.keys));
        self.standing.keys_taken(desired);
        self.probe.send_replace(Cause::here());
        tracing::info!(secret_version, "The keys are in use");
    }
}

fn none(violations: Vec<Violation>) -> Result<(), Vec<Violation>> {
    if violations.is_empty() { Ok(()) } else { Err(violations) }
}

fn list(violations: &[Violation]) -> String {
    let lines: Vec<String> = violations.iter().map(ToString::to_string).collect();
    lines.join("; ")
}
