//! Asks collectors whether they can be reached, so that a relay joins only when they can, and knows when they cannot.
use std::time::Duration;

use ekiden_telemetry::propagation::{current_traceparent, set_parent};
use tokio::{sync::watch, time::sleep};
use tracing::{Instrument, Span};

use crate::{collector::ProbeOutcome, data_plane::DataPlane};

/// While something cannot be reached, or does not take a new key.
const AGAIN: Duration = Duration::from_secs(3);
/// While all can; workloads' connections tell sooner.
const ALL_WELL: Duration = Duration::from_secs(30);

/// Why collectors should be probed now: the trace of what changed them.
#[derive(Clone, Debug, Default)]
pub struct Cause {
    traceparent: String,
    tracestate: String,
}

impl Cause {
    /// What goes on here, now.
    pub fn here() -> Self {
        let (traceparent, tracestate) = current_traceparent();
        Self { traceparent, tracestate }
    }

    fn span(&self) -> Span {
        let span = tracing::info_span!("probe collectors");
        set_parent(&span, &self.traceparent, &self.tracestate);
        span
    }
}

/// Probes for as long as the process runs: at once when there is a cause or when telemetry is no longer delivered, and by
/// a timer. `random` gives uniform numbers in `[0, 1)`.
pub async fn run(
    data_plane: DataPlane,
    mut causes: watch::Receiver<Cause>,
    mut delivers: watch::Receiver<bool>,
    mut random: impl FnMut() -> f64 + Send,
) {
    let mut span = causes.borrow_and_update().span();
    loop {
        let probes = async { tokio::join!(probe(&data_plane), data_plane.try_keys()) };
        let (reached, consented) = probes.instrument(span).await;
        let well = reached && consented;
        // It may have ended while the probes ran.
        let delivered = *delivers.borrow_and_update();
        let every = if well && delivered { ALL_WELL } else { AGAIN };
        tokio::select! {
            changed = causes.changed() => {
                if changed.is_err() {
                    return;
                }
                span = causes.borrow_and_update().span();
            }
            // A workload's connection told before the timer did.
            Ok(_) = delivers.wait_for(|delivers| !delivers), if well && delivered => span = Span::none(),
            // What is asked every few seconds is no news, so it has no trace.
            () = sleep(every.mul_f64(0.75 + 0.5 * random())) => span = Span::none(),
        }
    }
}

/// Probes all collectors; gives whether all can be reached.
async fn probe(data_plane: &DataPlane) -> bool {
    let mut well = true;
    for (collector, outcome) in data_plane.probe().await {
        if let ProbeOutcome::Failed { failure, message } = outcome {
            tracing::debug!(
                collector.id = collector,
                failure,
                message,
                "A collector cannot be reached"
            );
            well = false;
        }
    }
    well
}
