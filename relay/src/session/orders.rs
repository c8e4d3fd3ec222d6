//! What the control plane asks of a relay beside settings and keys, and what the relay answers; latest values all of it.
use std::{sync::Arc, time::Duration};

use ekiden_proto::relay::v1::{self as proto, GoneRelay, Listing, ReapReport};
use tokio::sync::watch;

use super::departure::Departure;

/// Relays that one request may name.
const MOST_GONE: usize = 32;
/// Over how long connections may be let go.
const LONGEST_SHED: Duration = Duration::from_secs(3600);
/// Services that a relay may be placed in.
const MOST_CELLS: usize = 32;

/// Where the relay is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assignment {
    /// Epoch of the last session; 0: there was none.
    pub epoch: u64,
    /// Ids of the services of its cells.
    pub cells: Vec<String>,
}

/// What is asked and answered; sessions carry it, whichever is open.
#[derive(Clone, Debug)]
pub struct Orders {
    /// Whether the relay may leave.
    pub departure: Departure,
    /// Where to be.
    pub assignment: watch::Sender<Assignment>,
    /// Relays whose records are to be taken out.
    pub gone: watch::Sender<Arc<Vec<GoneRelay>>>,
    /// What became of them.
    pub reaped: watch::Sender<Option<ReapReport>>,
    /// Who else is in the relay's services.
    pub listing: watch::Sender<Listing>,
    /// Whether an operator wants the relay to leave.
    pub drain: watch::Sender<bool>,
    /// Connections to let go, and over how long; the last such order.
    pub shed: watch::Sender<(usize, Duration)>,
}

impl Default for Orders {
    fn default() -> Self {
        Self {
            departure: Departure::default(),
            assignment: watch::Sender::new(Assignment::default()),
            gone: watch::Sender::new(Arc::default()),
            reaped: watch::Sender::new(None),
            listing: watch::Sender::new(Listing::default()),
            drain: watch::Sender::new(false),
            shed: watch::Sender::new((0, Duration::ZERO)),
        }
    }
}

impl Orders {
    pub(super) fn hear_epoch(&self, epoch: u64) {
        self.assign(|assignment| assignment.epoch = epoch);
    }

    pub(super) fn hear_placement(&self, mut placement: proto::Placement) {
        placement.service_ids.truncate(MOST_CELLS);
        self.assign(|assignment| assignment.cells = placement.service_ids);
    }

    pub(super) fn hear_reap(&self, mut reap: proto::Reap) {
        reap.relays.truncate(MOST_GONE);
        self.gone.send_replace(Arc::new(reap.relays));
    }

    pub(super) fn hear_shed(&self, shed: proto::Shed) {
        let within = shed.within.and_then(|within| Duration::try_from(within).ok());
        let within = within.unwrap_or_default().min(LONGEST_SHED);
        self.shed.send_replace((shed.connections as usize, within));
    }

    fn assign(&self, change: impl FnOnce(&mut Assignment)) {
        self.assignment.send_if_modified(|assignment| {
            let before = assignment.clone();
            change(assignment);
            *assignment != before
        });
    }
}
