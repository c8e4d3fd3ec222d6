//! What a session tells beside settings and keys: its parameters, and what others want of the relay.
use std::time::Duration;

use ekiden_proto::relay::v1::{Drain, SessionParameters, session_response::Message as Down};

use super::Session;
use crate::{error::Error, sessions::Order, timestamps::to_proto};

/// Relays that come back together are spread so that about this many come a second.
const RETURNS_PER_SECOND: usize = 500;

impl Session {
    pub(super) fn parameters(&self) -> SessionParameters {
        let duration = |d: Duration| prost_types::Duration::try_from(d).ok();
        let spread = self.app.live.count().div_ceil(RETURNS_PER_SECOND).max(1) as u64;
        SessionParameters {
            session: self.id.to_string(),
            health_interval: duration(self.app.settings.health_interval),
            heartbeat_interval: duration(self.app.settings.heartbeat_interval),
            reconnect_spread: duration(Duration::from_secs(spread)),
            server_time: Some(to_proto(self.app.clock.now())),
            epoch: self.epoch.unsigned_abs(),
        }
    }

    pub(super) async fn pass_on(&mut self, order: Order) -> Result<(), Error> {
        match order {
            // Asked for each second until the relay has left.
            Order::Drain if self.draining => Ok(()),
            Order::Drain => {
                self.draining = true;
                self.send(Down::Drain(Drain {})).await
            }
            Order::Reap(reap) => self.send(Down::Reap(reap)).await,
            Order::Shed(shed) => self.send(Down::Shed(shed)).await,
        }
    }
}
