//! One open stream: what is due goes out, what comes in is taken to where it belongs.
//!
//! Nothing waits in a queue. What is due is worked out from the latest values whenever there is room to send, so a slow
//! control plane gets fewer messages, never old ones.
use std::time::Duration;

use ekiden_proto::{
    health::v1::HealthReport,
    relay::v1::{
        Goodbye, Heartbeat, KeyStatus, Listing, ReapReport, SessionParameters, SessionRequest,
        SessionResponse, SettingsStatus, session_request::Message as Say,
        session_response::Message as Told, session_service_client::SessionServiceClient,
    },
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{OpenError, Subject};
use crate::{channel::Dialer, clock::from_timestamp, identity::Identity};

/// Time for the control plane's first message once the connection stands.
const FIRST_MESSAGE: Duration = Duration::from_secs(10);
/// Time that a stream may take to end after this side has ended.
const CLOSE: Duration = Duration::from_secs(2);
/// Largest message taken.
const LARGEST: usize = 4 << 20;
const OUTBOUND: usize = 4;
/// Bounds of what the control plane may ask for, against a mistake there.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_secs(3600);
/// Changes of a relay's state are reported at most this often.
const REPORTS_APART: Duration = Duration::from_secs(1);

/// What the control plane said of how to keep the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    /// Name of the session, for logs on both sides.
    pub session: String,
    /// Time between health reports.
    pub health_interval: Duration,
    /// Time without another message after which a heartbeat is due.
    pub heartbeat_interval: Duration,
    /// The first attempt after losing the session waits a part of this.
    pub reconnect_spread: Duration,
    /// How far this machine's clock is ahead of the control plane's; none: not told.
    pub clock_ahead: Option<time::Duration>,
}

/// Why [`Link::run`] came back.
#[derive(Debug)]
pub(super) enum Event {
    /// The stream is over.
    Lost(Lost),
    /// The control plane asks for a new session within this time; the stream goes on until then.
    Reconnect(Duration),
}

/// Why a stream is over.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// The control plane ended it in good order.
    #[error("the control plane closed the session")]
    Closed,
    /// It broke, or the control plane ended it with an error.
    #[error("the session broke")]
    Broken(#[source] Box<Status>),
    /// Three heartbeats were missed.
    #[error("nothing was heard for {0:?}")]
    Silent(Duration),
}

/// One open stream.
pub(super) struct Link {
    outbound: mpsc::Sender<SessionRequest>,
    inbound: Streaming<SessionResponse>,
    fleet: String,
    pub(super) parameters: Parameters,
    pub(super) opened_at: Instant,
    said: Said,
    heard_at: Instant,
}

/// What was said last, to tell what is due.
struct Said {
    settings: Option<SettingsStatus>,
    keys: Option<KeyStatus>,
    listing: Listing,
    reaped: Option<ReapReport>,
    asked_to_leave_at: Option<Instant>,
    heartbeats: u64,
    at: Instant,
    health_at: Option<Instant>,
    health_urgent: bool,
}

impl Link {
    /// Connects, says Hello and waits for the first answer.
    pub(super) async fn open(
        dialer: &Dialer,
        identity: &Identity,
        subject: &Subject,
    ) -> Result<Self, OpenError> {
        let connection = dialer.connect(Some(identity)).await?;
        let fleet = identity.relay.fleet_name();
        let running = subject.standing.running().borrow().clone();
        let hello = running.hello(&fleet, subject.description.clone());
        let (outbound, requests) = mpsc::channel(OUTBOUND);
        outbound
            .try_send(say(Say::Hello(hello)))
            .map_err(|_| OpenError::Protocol("the stream took no message"))?;
        let mut client = SessionServiceClient::new(connection.channel.clone())
            .max_decoding_message_size(LARGEST);
        let first = async {
            let mut inbound = client
                .session(ReceiverStream::new(requests))
                .await
                .map_err(|status| OpenError::refused(status, &connection))?
                .into_inner();
            match inbound
                .message()
                .await
                .map_err(|status| OpenError::refused(status, &connection))?
                .and_then(|response| response.message)
            {
                Some(Told::Parameters(parameters)) => Ok((inbound, parameters)),
                Some(_) => Err(OpenError::Protocol(
                    "the control plane did not begin with session parameters",
                )),
                None => {
                    Err(OpenError::Protocol("the control plane ended the session before it began"))
                }
            }
        };
        let (inbound, parameters) =
            timeout(FIRST_MESSAGE, first).await.map_err(|_| OpenError::Silent)??;
        subject.orders.hear_epoch(parameters.epoch);
        subject.orders.departure.renewed();
        let now = Instant::now();
        // Hello tells what runs; an attempt that it does not tell of is due.
        let told = running.attempt.as_ref().is_some_and(|attempt| {
            attempt.revision == running.revision
                && attempt.hash == running.hash
                && running.fleet == fleet
        });
        Ok(Self {
            outbound,
            inbound,
            said: Said {
                settings: told.then(|| running.settings_status(&fleet)).flatten(),
                keys: running.key_status(&fleet),
                listing: Listing::default(),
                // What was reported on an earlier stream is not news on this one.
                reaped: subject.orders.reaped.borrow().clone(),
                asked_to_leave_at: None,
                heartbeats: 0,
                at: now,
                health_at: None,
                health_urgent: false,
            },
            fleet,
            parameters: Parameters::read(parameters, subject.clock.now()),
            opened_at: now,
            heard_at: now,
        })
    }

    /// Carries the session until something is for the caller to decide. Dropping the future loses nothing.
    pub(super) async fn run(&mut self, subject: &Subject) -> Event {
        let mut running = subject.standing.running();
        let mut urgent = subject.urgent.clone();
        let mut questions = subject.orders.departure.questions();
        let mut listings = subject.orders.listing.subscribe();
        let mut reports = subject.orders.reaped.subscribe();
        let outbound = self.outbound.clone();
        loop {
            let now = Instant::now();
            let due = self.due(&running.borrow_and_update(), subject, now);
            let (next, silent_at) = (self.next_due_at(subject), self.silent_at());
            tokio::select! {
                biased;
                permit = outbound.reserve(), if due.is_some() => match (permit, due) {
                    (Ok(permit), Some(due)) => permit.send(say(self.speak(due, subject))),
                    // The transport stopped reading: the reason is on the way in.
                    _ => return Event::Lost(self.why_closed().await),
                },
                message = self.inbound.message() => {
                    let told = match message {
                        Ok(Some(response)) => response.message,
                        Ok(None) => return Event::Lost(Lost::Closed),
                        Err(status) => return Event::Lost(Lost::Broken(Box::new(status))),
                    };
                    self.heard_at = Instant::now();
                    if let Some(within) = told.and_then(|told| self.listen(told, subject)) {
                        return Event::Reconnect(within);
                    }
                }
                changed = running.changed() => if changed.is_err() { return Event::Lost(Lost::Closed) },
                // A sender that is gone never changes again.
                Ok(()) = urgent.changed() => self.said.health_urgent = true,
                Ok(()) = questions.changed() => {}
                Ok(()) = listings.changed() => {}
                Ok(()) = reports.changed() => {}
                () = sleep_until(silent_at) => return Event::Lost(Lost::Silent(self.heard_at.elapsed())),
                () = sleep_until(next), if due.is_none() => {}
            }
        }
    }

    /// Says the last words, with a last health report, and ends the stream.
    pub(super) async fn say_goodbye(&mut self, subject: &Subject, reason: &str) {
        let last_words = async {
            for message in [
                Say::Health(Box::new((subject.report)())),
                Say::Goodbye(Goodbye { reason: reason.to_owned() }),
            ] {
                if self.outbound.send(say(message)).await.is_err() {
                    return;
                }
            }
            self.end().await;
        };
        if timeout(CLOSE, last_words).await.is_err() {
            tracing::info!("The control plane did not acknowledge the goodbye");
        }
    }

    /// Ends this side and waits for the other to end.
    pub(super) async fn close(mut self) {
        if timeout(CLOSE, self.end()).await.is_err() {
            tracing::debug!("The control plane did not end a session that was left");
        }
    }

    async fn end(&mut self) {
        // The only sender goes, and with it this side of the stream.
        (self.outbound, _) = mpsc::channel(1);
        while let Ok(Some(_)) = self.inbound.message().await {}
    }

    async fn why_closed(&mut self) -> Lost {
        let end = async {
            loop {
                match self.inbound.message().await {
                    Ok(Some(_)) => {}
                    Ok(None) => return Lost::Closed,
                    Err(status) => return Lost::Broken(Box::new(status)),
                }
            }
        };
        timeout(CLOSE, end).await.unwrap_or(Lost::Closed)
    }

    /// Takes a message to where it belongs; gives the time within which to reconnect where that is what it says.
    fn listen(&mut self, told: Told, subject: &Subject) -> Option<Duration> {
        match told {
            Told::Parameters(parameters) => {
                subject.orders.hear_epoch(parameters.epoch);
                self.parameters = Parameters::read(parameters, subject.clock.now());
                subject.view.send_modify(|view| view.parameters = Some(self.parameters.clone()));
            }
            Told::UpToDate(up_to_date) => {
                tracing::debug!(revision = up_to_date.revision, "The settings are up to date");
            }
            Told::Snapshot(snapshot) => subject.standing.offer(&self.fleet, snapshot),
            Told::KeyBundle(bundle) => subject.standing.offer_keys(&self.fleet, bundle),
            Told::Heartbeat(_) => {}
            Told::LeaveAnswer(answer) => subject.orders.departure.hear(answer.verdict()),
            Told::Placement(placement) => subject.orders.hear_placement(placement),
            Told::Reap(reap) => subject.orders.hear_reap(reap),
            Told::Shed(shed) => subject.orders.hear_shed(shed),
            Told::Drain(_) => {
                subject.orders.drain.send_replace(true);
            }
            Told::Reconnect(reconnect) => return Some(duration(reconnect.within, 0)),
        }
        None
    }

    fn due(
        &self,
        running: &super::standing::Running,
        subject: &Subject,
        now: Instant,
    ) -> Option<Due> {
        let said = &self.said;
        if let Some(status) = running.settings_status(&self.fleet)
            && said.settings.as_ref() != Some(&status)
        {
            return Some(Due::Settings(status));
        }
        if let Some(status) = running.key_status(&self.fleet)
            && said.keys.as_ref() != Some(&status)
        {
            return Some(Due::Keys(status));
        }
        if self.leave_due_at(subject).is_some_and(|at| now >= at) {
            return Some(Due::Leave);
        }
        let reaped = subject.orders.reaped.borrow();
        if let Some(report) = reaped.as_ref().filter(|_| *reaped != said.reaped) {
            return Some(Due::Reaped(report.clone()));
        }
        let listing = subject.orders.listing.borrow();
        if *listing != said.listing {
            return Some(Due::Listing(listing.clone()));
        }
        if now >= self.health_due_at() {
            return Some(Due::Health);
        }
        (now >= said.at + self.parameters.heartbeat_interval).then_some(Due::Heartbeat)
    }

    fn next_due_at(&self, subject: &Subject) -> Instant {
        let next = self.health_due_at().min(self.said.at + self.parameters.heartbeat_interval);
        self.leave_due_at(subject).map_or(next, |leave| leave.min(next))
    }

    fn leave_due_at(&self, subject: &Subject) -> Option<Instant> {
        let apart = subject.orders.departure.asks_every()?;
        Some(self.said.asked_to_leave_at.map_or(self.opened_at, |at| at + apart))
    }

    fn health_due_at(&self) -> Instant {
        match self.said.health_at {
            None => self.opened_at,
            Some(at) if self.said.health_urgent => {
                at + REPORTS_APART.min(self.parameters.health_interval)
            }
            Some(at) => at + self.parameters.health_interval,
        }
    }

    fn silent_at(&self) -> Instant {
        self.heard_at + self.parameters.heartbeat_interval * 3
    }

    fn speak(&mut self, due: Due, subject: &Subject) -> Say {
        let now = Instant::now();
        self.said.at = now;
        match due {
            Due::Settings(status) => {
                self.said.settings = Some(status.clone());
                Say::SettingsStatus(status)
            }
            Due::Keys(status) => {
                self.said.keys = Some(status.clone());
                Say::KeyStatus(status)
            }
            Due::Leave => {
                self.said.asked_to_leave_at = Some(now);
                Say::LeaveRequest(subject.orders.departure.question())
            }
            Due::Reaped(report) => {
                self.said.reaped = Some(report.clone());
                Say::ReapReport(report)
            }
            Due::Listing(listing) => {
                self.said.listing = listing.clone();
                Say::Listing(listing)
            }
            Due::Health => {
                self.said.health_at = Some(now);
                self.said.health_urgent = false;
                let report: HealthReport = (subject.report)();
                Say::Health(Box::new(report))
            }
            Due::Heartbeat => {
                self.said.heartbeats += 1;
                Say::Heartbeat(Heartbeat { sequence: self.said.heartbeats })
            }
        }
    }
}

/// What to say next, most urgent first.
enum Due {
    Settings(SettingsStatus),
    Keys(KeyStatus),
    Leave,
    Reaped(ReapReport),
    Listing(Listing),
    Health,
    Heartbeat,
}

impl Parameters {
    fn read(parameters: SessionParameters, now: time::OffsetDateTime) -> Self {
        Self {
            session: parameters.session,
            health_interval: duration(parameters.health_interval, 10).max(SHORTEST_INTERVAL),
            heartbeat_interval: duration(parameters.heartbeat_interval, 20).max(SHORTEST_INTERVAL),
            reconnect_spread: duration(parameters.reconnect_spread, 0),
            clock_ahead: parameters
                .server_time
                .as_ref()
                .and_then(from_timestamp)
                .map(|server| now - server),
        }
    }
}

/// A duration from a message; absent or negative: `default` seconds.
fn duration(value: Option<prost_types::Duration>, default: u64) -> Duration {
    value
        .and_then(|value| Duration::try_from(value).ok())
        .unwrap_or(Duration::from_secs(default))
        .min(LONGEST)
}

fn say(message: Say) -> SessionRequest {
    SessionRequest { message: Some(message) }
}
