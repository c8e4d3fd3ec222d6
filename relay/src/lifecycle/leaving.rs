//! Carries out the plan of leaving. Each phase has its time; when it is over the next one begins, whatever happened.
use std::time::Duration;

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout, timeout_at},
};

use super::Parts;
use crate::{
    data_plane::DataPlane,
    drain::{Plan, plan},
    health::Health,
    registry::membership::Membership,
};

/// What a second signal leaves for the last words.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// The session's goodbye takes at most this.
const GOODBYE: Duration = Duration::from_secs(3);

/// All that leaving needs.
pub(super) struct Leaving<'a> {
    pub(super) stop_timeout: Duration,
    pub(super) health: &'a Health,
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
            leave_dns_ms = plan.leave_dns.as_millis() as u64,
            keep_accepting_ms = plan.keep_accepting.as_millis() as u64,
            finish_by_ms = plan.finish_by.as_millis() as u64,
            exit_by_ms = plan.exit_by.as_millis() as u64,
            connections.open = self.data_plane.connections_open(),
            "The plan of leaving"
        );
        self.health.drain();
        let by_plan = timeout_at(began + plan.exit_by, self.by(plan, began));
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
        {
            let leave = self.membership.leave();
            tokio::pin!(leave);
            let left = timeout(plan.leave_dns, &mut leave).await.is_ok();
            if !left && !plan.leave_dns.is_zero() {
                tracing::warn!("DNS may still answer with this relay; it goes on leaving");
            }
            let nothing_listens = self.data_plane.health().listeners.is_empty();
            let keep_accepting = if nothing_listens { Duration::ZERO } else { plan.keep_accepting };
            let accept_until = Instant::now() + keep_accepting;
            if !left {
                timeout_at(accept_until, leave).await.ok();
            }
            sleep_until(accept_until).await;
        }
        self.data_plane.stop_accepting();
        let open = self.data_plane.connections_open();
        tracing::info!(connections.open = open, "The relay accepts no more connections");
        self.data_plane.finish(began + plan.finish_by).await;
        self.goodbye.send_replace(Some("drained"));
        timeout(GOODBYE, self.parts.until_ended("session")).await.ok();
    }
}
