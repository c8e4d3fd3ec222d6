//! Carries out the plan of leaving. Each phase has its time; when it is over the next one begins, whatever happened.
use std::{future::Future, time::Duration};

use ekiden_proto::health::v1::{Leave, LeavePhase};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout, timeout_at},
};
use tracing::Instrument;

use super::Parts;
use crate::{
    clock::{Clock, to_timestamp},
    data_plane::DataPlane,
    drain::{Plan, plan},
    health::Health,
    registry::membership::{Membership, Permit},
};

/// What a second signal leaves for the last words.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// The session's goodbye takes at most this.
const GOODBYE: Duration = Duration::from_secs(3);

/// All that leaving needs.
pub(super) struct Leaving<'a> {
    pub(super) reason: &'static str,
    pub(super) stop_timeout: Duration,
    pub(super) clock: &'a Clock,
    pub(super) health: &'a Health,
    pub(super) told: &'a watch::Sender<Option<Leave>>,
    pub(super) data_plane: &'a DataPlane,
    pub(super) membership: &'a mut Membership,
    pub(super) goodbye: &'a watch::Sender<Option<&'static str>>,
    pub(super) parts: &'a mut Parts,
}

impl Leaving<'_> {
    /// Leaves by the plan, or at once at a second signal.
    pub(super) async fn leave(mut self, stops: &mut mpsc::Receiver<&'static str>) {
        let began = Instant::now();
        let plan = plan(self.stop_timeout, self.membership.ttl());
        tracing::info!(
            ask_ms = plan.ask.as_millis() as u64,
            leave_dns_ms = plan.leave_dns.as_millis() as u64,
            keep_accepting_ms = plan.keep_accepting.as_millis() as u64,
            finish_by_ms = plan.finish_by.as_millis() as u64,
            exit_by_ms = plan.exit_by.as_millis() as u64,
            connections.open = self.data_plane.connections_open(),
            "The plan of leaving"
        );
        let now = self.clock.now();
        self.told.send_replace(Some(Leave {
            reason: self.reason.to_owned(),
            started_at: Some(to_timestamp(now)),
            exit_by: Some(to_timestamp(now + plan.exit_by)),
            ..Leave::default()
        }));
        self.health.drain();
        let span = tracing::info_span!("leave", reason = self.reason);
        let by_plan = timeout_at(began + plan.exit_by, self.by(plan, began).instrument(span));
        let in_time = tokio::select! {
            by_plan = by_plan => by_plan.is_ok(),
            Some(reason) = stops.recv() => {
                tracing::warn!(reason, "Asked twice: the relay leaves at once");
                false
            }
        };
        if !in_time {
            self.data_plane.stop_accepting();
            self.goodbye.send_replace(Some("terminated"));
            timeout(LAST_WORDS, self.parts.until_ended("session")).await.ok();
        }
    }

    async fn by(&mut self, plan: Plan, began: Instant) {
        let nothing_listens = self.data_plane.health().listeners.is_empty();
        let ask_until = began + plan.ask;
        let asking = self.membership.permit(ask_until);
        let permit = phase(self.told, LeavePhase::Asking, asking).await;
        // What asking took is DNS's no more.
        let leave_dns = plan.leave_dns.saturating_sub(began.elapsed());
        let keep_accepting = if nothing_listens { Duration::ZERO } else { plan.keep_accepting };
        if permit == Permit::Stay {
            trouble(self.told, "no sibling is listed: the last record stays");
        }
        {
            let (told, membership) = (self.told, &mut *self.membership);
            let leave = async {
                if permit == Permit::Leave {
                    membership.leave().await;
                }
            };
            tokio::pin!(leave);
            let leaving = timeout(leave_dns, &mut leave);
            let left = phase(told, LeavePhase::LeavingDns, leaving).await.is_ok();
            if !left && !leave_dns.is_zero() {
                tracing::warn!("DNS may still answer with this relay; it goes on leaving");
                trouble(told, "DNS may still answer with this relay");
            }
            let accept_until = Instant::now() + keep_accepting;
            let accepting = async {
                if !left {
                    timeout_at(accept_until, leave).await.ok();
                }
                sleep_until(accept_until).await;
            };
            phase(told, LeavePhase::Accepting, accepting).await;
        }
        self.data_plane.stop_accepting();
        let open = self.data_plane.connections_open();
        tracing::info!(connections.open = open, "The relay accepts no more connections");
        let finishing = self.data_plane.finish(began + plan.finish_by, rand::random::<f64>);
        phase(self.told, LeavePhase::Finishing, finishing).await;
        self.goodbye.send_replace(Some("drained"));
        timeout(GOODBYE, self.parts.until_ended("session")).await.ok();
    }
}

fn trouble(told: &watch::Sender<Option<Leave>>, message: &str) {
    told.send_modify(|told| {
        if let Some(told) = told {
            message.clone_into(&mut told.message);
        }
    });
}

/// Does one phase, shown in health and in the trace.
async fn phase<F: Future>(
    told: &watch::Sender<Option<Leave>>,
    phase: LeavePhase,
    work: F,
) -> F::Output {
    told.send_modify(|told| {
        if let Some(told) = told {
            told.phase = phase.into();
        }
    });
    let span = tracing::info_span!("leave phase", phase = phase.as_str_name());
    work.instrument(span).await
}
