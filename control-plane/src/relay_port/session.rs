//! One session from Hello to its end.
use std::{sync::Arc, time::Duration};

use ekiden_proto::relay::v1::{
    Heartbeat, Hello, LeaveAnswer, LeaveVerdict, Placement, Reconnect, SessionRequest,
    SessionResponse, SettingsPhase, UpToDate, session_request::Message as Up,
    session_response::Message as Down,
};
use ekiden_telemetry::propagation;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout},
};
use tonic::{Code, Status, Streaming};
use tracing::{Instrument, Span, field::Empty};
use uuid::Uuid;

mod orders;

use super::{
    enrollment::{described, not_known, refusal, revoked},
    offers::{Desired, Offer, Reported},
    registrations::{self, Listed},
    unsaved::Unsaved,
};
use crate::{
    app::App,
    error::Error,
    names::RelayName,
    pki::RelayIdentity,
    registrations::departure,
    sessions::{Head, Lease},
    store::relays::{self, Opened, Opening},
};

const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// A relay that does not read for this long is gone.
const SEND_WITHIN: Duration = Duration::from_secs(30);
/// How long relays may take to move when this process stops.
const MOVE_WITHIN: Duration = Duration::from_secs(2);
/// From how many contests in a row two tasks are taken to have one key; a single one is a connection that broke.
const CONTESTS: i32 = 3;
/// How soon what the database did not take is tried again.
const RETRY: Duration = Duration::from_secs(2);

/// What a session that never opened is counted under.
const METHOD: &str = "ekiden.relay.v1.SessionService/Session";

type Sender = mpsc::Sender<Result<SessionResponse, Status>>;

/// Why a session ended; the metric's label.
enum End {
    Goodbye,
    RelayClosed,
    Silent,
    TakenOver,
    Draining,
    FleetGone,
    Revoked,
    Refused(Error),
}

/// Holds a session to its end.
pub(super) async fn hold(
    app: Arc<App>,
    identity: RelayIdentity,
    peer: String,
    mut up: Streaming<SessionRequest>,
    down: Sender,
) {
    let opened = match timeout(HELLO_WITHIN, up.message()).await {
        Ok(Ok(Some(SessionRequest { message: Some(Up::Hello(hello)) }))) => {
            open(&app, &identity, &peer, hello).await
        }
        Ok(Ok(Some(_))) => Err(Error::invalid("message", "a session begins with Hello")),
        Ok(Ok(None)) => return,
        Ok(Err(status)) if cannot_be_read(&status) => Err(unreadable()),
        Ok(Err(status)) => {
            tracing::debug!(status = %status, "A session broke before its Hello");
            return;
        }
        Err(_) => Err(Error::invalid("message", "no Hello came within 10 s")),
    };
    let mut session = match opened {
        Ok((id, epoch, reported, head)) => Session {
            app,
            identity,
            id,
            epoch,
            reported,
            head,
            down,
            sequence: 0,
            unsaved: Unsaved::default(),
            listed: Listed::default(),
            placed: false,
            draining: false,
            sent_at: Instant::now(),
        },
        Err(error) => {
            app.metrics.call_error(METHOD, error.reason().to_owned());
            down.send(Err(error.into())).await.ok();
            return;
        }
    };
    session.app.metrics.session_opened();
    tracing::info!(relay.id = session.identity.name.relay, session.id = %session.id, session.epoch = session.epoch, "A session opened");
    let fleet = session.identity.fleet();
    let mut lease = session.app.live.enter(&fleet, session.identity.id, session.epoch);
    let end = match session.run(&mut up, &mut lease).await {
        Ok(end) => end,
        Err(error) => End::Refused(error),
    };
    drop(lease);
    session.close(end).await;
}

/// Whether a message came whole, but is none that is taken here.
fn cannot_be_read(status: &Status) -> bool {
    matches!(status.code(), Code::OutOfRange | Code::Internal)
}

fn unreadable() -> Error {
    Error::invalid("message", "it cannot be read, or is larger than 64 KiB")
}

type Begun = (Uuid, i64, Reported, watch::Receiver<Option<Arc<Head>>>);

async fn open(
    app: &App,
    identity: &RelayIdentity,
    peer: &str,
    hello: Hello,
) -> Result<Begun, Error> {
    let fleet = identity.fleet();
    let description = described(hello.description.unwrap_or_default())?;
    let number = |value: u64| i64::try_from(value).unwrap_or(0);
    let session = Uuid::now_v7();
    let opening = Opening {
        session,
        replica: app.replica,
        serial: &identity.serial,
        running_revision: number(hello.running_revision),
        secret_version: number(hello.secret_version),
    };
    let mut db = app.pool.begin(&identity.scope()).await?;
    let now = app.clock.now();
    let opened =
        relays::open_session(&mut db, &fleet, identity.id, opening, &description, now).await?;
    let Some(Opened { epoch, contests }) = opened else {
        return Err(refusal(&mut db, identity.id).await?);
    };
    if contests >= CONTESTS {
        app.metrics.session_contested();
        tracing::warn!(
            relay.id = identity.name.relay,
            peer,
            contests,
            "Sessions of one relay end each other: its certificate is in use twice, by a copied disk or a thief; `ekidenctl relay revoke` ends both"
        );
    }
    let rejected = relays::rejections(&mut db, identity.id).await?;
    db.commit().await?;
    let head = app.heads.follow(&app.pool, &fleet).await?;
    let reported = Reported {
        running_revision: hello.running_revision,
        running_hash: hello.running_hash,
        secret_version: hello.secret_version,
        rejected: rejected.into_iter().map(i64::unsigned_abs).collect(),
        ..Reported::default()
    };
    Ok((session, epoch, reported, head))
}

struct Session {
    app: Arc<App>,
    identity: RelayIdentity,
    id: Uuid,
    epoch: i64,
    reported: Reported,
    head: watch::Receiver<Option<Arc<Head>>>,
    down: Sender,
    sequence: u64,
    /// A status that the database did not take yet; statuses are not lossy.
    unsaved: Unsaved,
    /// Where the relay said last that it is listed.
    listed: Listed,
    /// Whether the relay was told of cells in this session.
    placed: bool,
    /// Whether the relay was told to drain.
    draining: bool,
    sent_at: Instant,
}

impl Session {
    async fn run(
        &mut self,
        up: &mut Streaming<SessionRequest>,
        lease: &mut Lease,
    ) -> Result<End, Error> {
        let heartbeat = self.app.settings.heartbeat_interval;
        let draining = self.app.live.draining().clone();
        self.send(Down::Parameters(self.parameters())).await?;
        let mut heard_at = Instant::now();
        loop {
            if self.head.borrow_and_update().is_none() {
                return Ok(End::FleetGone);
            }
            self.offer().await?;
            let mut wake = (self.sent_at + heartbeat).min(heard_at + heartbeat * 3);
            if !self.unsaved.is_empty() {
                wake = wake.min(Instant::now() + RETRY);
            }
            tokio::select! {
                () = lease.revoked.cancelled() => return Ok(End::Revoked),
                () = lease.taken_over.cancelled() => return Ok(End::TakenOver),
                () = draining.cancelled() => return Ok(End::Draining),
                message = up.message() => {
                    heard_at = Instant::now();
                    match message {
                        Ok(Some(SessionRequest { message: Some(Up::Goodbye(_)) })) => return Ok(End::Goodbye),
                        Ok(Some(SessionRequest { message: Some(message) })) => {
                            if !self.hear(message).await? { return Ok(End::TakenOver) }
                        }
                        // A kind of message that this version does not know counts as a sign of life.
                        Ok(Some(SessionRequest { message: None })) => {}
                        Ok(None) => return Ok(End::RelayClosed),
                        Err(status) if cannot_be_read(&status) => return Err(unreadable()),
                        Err(_) => return Ok(End::RelayClosed),
                    }
                }
                Some(order) = lease.orders.recv() => self.pass_on(order).await?,
                Ok(()) = lease.cells.changed() => {
                    let service_ids = lease.cells.borrow_and_update().clone().unwrap_or_default();
                    if self.placed || !service_ids.is_empty() {
                        self.placed = true;
                        self.send(Down::Placement(Placement { service_ids })).await?;
                    }
                }
                changed = self.head.changed() => {
                    if changed.is_err() { return Ok(End::FleetGone) }
                }
                () = tokio::time::sleep_until(wake) => {
                    if heard_at.elapsed() >= heartbeat * 3 { return Ok(End::Silent) }
                    if !self.save().await? { return Ok(End::TakenOver) }
                    if self.sent_at.elapsed() >= heartbeat {
                        self.sequence += 1;
                        self.send(Down::Heartbeat(Heartbeat { sequence: self.sequence })).await?;
                    }
                }
            }
        }
    }

    /// Sends what is due.
    async fn offer(&mut self) -> Result<(), Error> {
        loop {
            let Some(head) = self.head.borrow().clone() else { return Ok(()) };
            let desired = Desired {
                revision: head.snapshot.revision,
                hash: &head.snapshot.hash,
                secret_version: head.secret_version,
            };
            let held = self.reported.secret_version;
            match self.reported.next(desired) {
                None => return Ok(()),
                Some(Offer::UpToDate) => {
                    self.send(Down::UpToDate(UpToDate { revision: desired.revision })).await?
                }
                Some(Offer::Snapshot) => {
                    let mut snapshot = head.snapshot.clone();
                    let span = tracing::info_span!(
                        "push settings",
                        tenant.id = Empty,
                        fleet.id = Empty,
                        relay.id = Empty,
                        revision = snapshot.revision
                    );
                    let span = self.push(span, &mut snapshot.traceparent, &mut snapshot.tracestate);
                    self.send(Down::Snapshot(snapshot)).instrument(span).await?
                }
                Some(Offer::Keys) => {
                    let fleet = self.identity.fleet();
                    match self.app.key_bundles.open(&self.app, &fleet, &head).await {
                        Ok(bundle) => {
                            let mut bundle = bundle.message();
                            let span = tracing::info_span!(
                                "push keys",
                                tenant.id = Empty,
                                fleet.id = Empty,
                                relay.id = Empty,
                                secret_version = bundle.secret_version
                            );
                            let span = self.push(span, &mut bundle.traceparent, &mut String::new());
                            self.send(Down::KeyBundle(bundle)).instrument(span).await?
                        }
                        Err(error @ Error::Unavailable { .. }) => {
                            // The relay works on with the keys it has; the next wake tries again.
                            self.app.metrics.waits("keys", error.reason());
                            tracing::warn!(
                                tenant.id = fleet.tenant,
                                fleet.id = fleet.fleet,
                                reason = error.reason(),
                                error = error.cause(),
                                "A fleet's keys cannot be opened: its relays work on with those they have"
                            );
                            self.reported.secret_version = held;
                            return Ok(());
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }

    /// Names the relay in the span of what is about to be sent and hangs it below the change that made it; the message then
    /// carries the span's own context, so that what the relay does hangs below that. The settings' bytes stay shared.
    fn push(&self, span: Span, traceparent: &mut String, tracestate: &mut String) -> Span {
        propagation::set_parent(&span, traceparent, tracestate);
        let RelayName { tenant, fleet, relay } = &self.identity.name;
        span.record("tenant.id", tenant).record("fleet.id", fleet).record("relay.id", relay);
        let own = span.in_scope(propagation::current_traceparent);
        if !own.0.is_empty() {
            (*traceparent, *tracestate) = own;
        }
        span
    }

    /// Takes a message; false: a newer session has taken over.
    async fn hear(&mut self, message: Up) -> Result<bool, Error> {
        let now = self.app.clock.now();
        match message {
            Up::Hello(_) => Err(Error::invalid("message", "Hello comes once, first")),
            Up::Heartbeat(_) | Up::Goodbye(_) => Ok(true),
            Up::Health(report) => {
                self.app.health.take(
                    &self.identity.fleet(),
                    self.identity.id,
                    self.epoch,
                    &report,
                    now,
                )?;
                let listed = registrations::listed(&report);
                if listed != self.listed {
                    self.listed = listed.clone();
                    self.unsaved.listed = Some(listed);
                }
                self.save().await
            }
            Up::LeaveRequest(request) => {
                let undelivered = request.undelivered;
                let own = registrations::to_leave(request, &self.listed);
                let (app, identity, epoch) = (&self.app, &self.identity, self.epoch);
                let decided = match undelivered {
                    true => departure::decide_undelivered(app, identity, epoch, &own).await,
                    false => departure::decide(app, identity, epoch, &own).await,
                };
                match decided {
                    Ok(verdict) => {
                        tracing::info!(
                            relay.id = self.identity.name.relay,
                            undelivered,
                            verdict = verdict.as_str_name(),
                            "A relay asks to leave its services"
                        );
                        if undelivered && verdict == LeaveVerdict::Granted {
                            // The decision took it out of DNS; what is reported from now on counts again.
                            self.listed = Listed::default();
                        }
                        self.send(Down::LeaveAnswer(LeaveAnswer { verdict: verdict.into() }))
                            .await?;
                    }
                    // Without an answer the relay asks DNS.
                    Err(Error::Unavailable { .. }) => {}
                    Err(error) => return Err(error),
                }
                Ok(true)
            }
            Up::Listing(listing) => {
                self.unsaved.siblings = Some(listing);
                self.save().await
            }
            Up::ReapReport(report) => {
                registrations::reaped(&self.app, &self.identity, &report).await?;
                Ok(true)
            }
            Up::KeyStatus(status) => {
                self.unsaved.keys = Some(status);
                self.save().await
            }
            Up::SettingsStatus(status) => {
                match status.phase() {
                    SettingsPhase::Applied | SettingsPhase::Failed => {
                        let refused = status.phase() == SettingsPhase::Failed;
                        if refused {
                            tracing::warn!(
                                relay.id = self.identity.name.relay,
                                revision = status.attempted_revision,
                                violations = status
                                    .violations
                                    .iter()
                                    .map(|v| format!("{}: {}", v.field, v.description))
                                    .collect::<Vec<_>>()
                                    .join("; "),
                                "A relay refused a revision and keeps the one it runs"
                            );
                        }
                        self.reported.answered(
                            status.attempted_revision,
                            status.running_revision,
                            status.running_hash.clone(),
                            refused,
                        );
                    }
                    SettingsPhase::Applying | SettingsPhase::Unspecified => {}
                }
                self.unsaved.settings = Some(status);
                self.save().await
            }
        }
    }

    /// Writes what the relay said last; kept for later while the database is away. False: a newer session has taken over.
    async fn save(&mut self) -> Result<bool, Error> {
        self.unsaved.save(&self.app, &self.identity, self.epoch).await
    }

    async fn send(&mut self, message: Down) -> Result<(), Error> {
        let gone = || Error::Unavailable {
            reason: "RELAY_DOES_NOT_READ",
            description: "the relay does not read its session",
            retry_after: Duration::from_secs(1),
            source: None,
        };
        let sent = self.down.send(Ok(SessionResponse { message: Some(message) }));
        timeout(SEND_WITHIN, sent).await.map_err(|_| gone())?.map_err(|_| gone())?;
        self.sent_at = Instant::now();
        Ok(())
    }

    async fn close(mut self, end: End) {
        let cause = match &end {
            End::Goodbye => "goodbye",
            End::RelayClosed => "relay_closed",
            End::Silent => "silent",
            End::TakenOver => "taken_over",
            End::Draining => "draining",
            End::FleetGone => "fleet_gone",
            End::Revoked => "revoked",
            End::Refused(_) => "refused",
        };
        self.app.metrics.session_ended(cause);
        if let End::Refused(error) = &end {
            tracing::info!(relay.id = self.identity.name.relay, error = %error, "A session is refused");
        }
        tracing::info!(relay.id = self.identity.name.relay, session.id = %self.id, cause, "A session ended");
        let left = matches!(end, End::Goodbye);
        match end {
            End::Draining => {
                let within = prost_types::Duration::try_from(MOVE_WITHIN).ok();
                self.send(Down::Reconnect(Reconnect { within })).await.ok();
            }
            End::FleetGone => {
                self.down.send(Err(not_known().into())).await.ok();
            }
            End::Revoked => {
                self.down.send(Err(revoked().into())).await.ok();
            }
            End::Refused(error) => {
                self.down.send(Err(error.into())).await.ok();
            }
            End::Goodbye | End::RelayClosed | End::Silent | End::TakenOver => {}
        }
        let now = self.app.clock.now();
        let closed = async {
            let mut db = self.app.pool.begin(&self.identity.scope()).await?;
            relays::close_session(&mut db, self.identity.id, self.epoch, left, now).await?;
            db.commit().await
        };
        if let Err(error) = closed.await {
            tracing::debug!(error = %error, "A session's end could not be written; its lease will tell");
        }
    }
}
