//! Both ways of a connection in one task, and the one cause of its end.

use std::{
    future::poll_fn,
    task::{Context, Poll},
};

use super::way::{Broken, End, Way};
use crate::{
    collector::Stream,
    listener::{
        CloseCause,
        connections::{Place, Told},
    },
};

/// Which side a way comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Workload,
    Collector,
}

struct Copy<'a> {
    workload: Stream,
    collector: Stream,
    up: Way,
    down: Way,
    place: &'a Place,
    /// Why it was asked to go: nothing more is said to the workload, which may finish.
    parting: Option<CloseCause>,
    /// Why the connection will have ended: the first side to say its last byte.
    first: Option<(Side, CloseCause)>,
}

/// Passes bytes both ways until both sides have ended, one breaks, or the connection is told to end. Asked to, it says
/// the last byte to the workload, passes on what that still says, and ends when both sides have.
pub(super) async fn copy(workload: Stream, collector: Stream, place: &Place) -> CloseCause {
    let (up, down) = (Way::default(), Way::default());
    let mut copy = Copy { workload, collector, up, down, place, parting: None, first: None };
    poll_fn(|context| copy.poll(context)).await
}

impl Copy<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<CloseCause> {
        match self.place.connection().poll_told(context) {
            Poll::Ready(Told { cause, politely: true }) => self.parting = Some(cause),
            Poll::Ready(Told { cause, politely: false }) => return Poll::Ready(cause),
            Poll::Pending => {}
        }
        let up = self.poll_way(context, Side::Workload);
        let down = match up {
            Poll::Ready(Some(_)) => Poll::Pending,
            _ if self.parting.is_some() => self.poll_parting(context),
            _ => self.poll_way(context, Side::Collector),
        };
        self.count();
        match (up, down) {
            (Poll::Ready(Some(cause)), _) | (_, Poll::Ready(Some(cause))) => Poll::Ready(cause),
            (Poll::Ready(None), Poll::Ready(None)) => {
                let first = self.first.map(|(_, cause)| cause);
                Poll::Ready(self.parting.or(first).unwrap_or(CloseCause::Internal))
            }
            _ => Poll::Pending,
        }
    }

    /// Ready without a cause: that way is done; with one: the connection has broken.
    fn poll_way(&mut self, context: &mut Context<'_>, side: Side) -> Poll<Option<CloseCause>> {
        let (way, from, to) = match side {
            Side::Workload => (&mut self.up, &mut self.workload, &mut self.collector),
            Side::Collector => (&mut self.down, &mut self.collector, &mut self.workload),
        };
        if way.done() {
            return Poll::Ready(None);
        }
        let polled = way.poll(context, from, to);
        if let Some(end) = way.ended() {
            let cause = match end {
                End::Said => side.closed(),
                End::Truncated => CloseCause::CollectorTruncated,
            };
            self.first.get_or_insert((side, cause));
        }
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => Poll::Ready(None),
            Poll::Ready(Err(broken)) => Poll::Ready(Some(self.broken(side, broken))),
        }
    }

    /// Ready when the workload has heard the end, and the collector has said its own.
    fn poll_parting(&mut self, context: &mut Context<'_>) -> Poll<Option<CloseCause>> {
        match self.down.poll_part(context, &mut self.collector, &mut self.workload) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(()) | Err(Broken::Source)) => Poll::Ready(None),
            Poll::Ready(Err(Broken::Sink)) => {
                Poll::Ready(Some(self.broken(Side::Collector, Broken::Sink)))
            }
        }
    }

    /// Names why a way broke, and passes a reset on: the other side must not take what it has for all there was.
    fn broken(&self, side: Side, broken: Broken) -> CloseCause {
        let gone = match broken {
            Broken::Source => side,
            Broken::Sink => side.other(),
        };
        if let Some((_, cause)) = self.first.filter(|(first, _)| *first == gone) {
            // It had said its last byte and does not listen either: an end, not an accident.
            return cause;
        }
        let other = match gone {
            Side::Workload => &self.collector,
            Side::Collector => &self.workload,
        };
        // Where even that fails, the plain end must do.
        drop(other.tcp().set_zero_linger());
        self.parting.unwrap_or_else(|| gone.reset())
    }

    fn count(&mut self) {
        let (received, sent) = (self.up.take_moved(), self.down.take_moved());
        let (connection, counters) = (self.place.connection(), self.place.counters());
        if received > 0 {
            connection.received(received);
            counters.received(received);
        }
        if sent > 0 {
            connection.sent(sent);
            counters.sent(sent);
        }
    }
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Workload => Self::Collector,
            Self::Collector => Self::Workload,
        }
    }

    fn closed(self) -> CloseCause {
        match self {
            Self::Workload => CloseCause::WorkloadClosed,
            Self::Collector => CloseCause::CollectorClosed,
        }
    }

    fn reset(self) -> CloseCause {
        match self {
            Self::Workload => CloseCause::WorkloadReset,
            Self::Collector => CloseCause::CollectorReset,
        }
    }
}
