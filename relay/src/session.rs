//! A relay's session with the control plane: the protocol, without anything of the process around it, so that a
//! benchmark can hold thousands of them.
//!
//! What is wanted and what runs meets in a [`Standing`]; whoever carries settings out watches it, and one that does so
//! by saying `applied` at once is a simulated relay.
//!
//! - [`backoff`]: how long to wait before the next attempt.
//! - [`departure`]: whether the relay may leave its services.
//! - [`link`]: one open stream.
//! - [`orders`]: what the control plane asks beside settings and keys.
//! - [`standing`]: what is wanted and what runs.

pub mod backoff;
pub mod departure;
mod link;
pub mod orders;
pub mod standing;

use std::{fmt, sync::Arc, time::Duration};

use ekiden_proto::{health::v1::HealthReport, relay::v1::RelayDescription};
use tokio::{sync::watch, time::sleep};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::{
    channel::{ChannelError, Connection, Dialer},
    clock::Clock,
    error_chain::chain,
    identity::Identity,
    session::{
        backoff::{Retries, jitter},
        link::{Event, Link},
        orders::Orders,
        standing::Standing,
    },
};

pub use link::{Lost, Parameters};

/// The control plane's reason for refusing a certificate that has ended, which it renews all the same.
const CERTIFICATE_ENDED: &str = "RELAY_CERTIFICATE_EXPIRED";

/// Whom a session speaks for.
#[derive(Clone)]
pub struct Subject {
    /// What the relay says of itself.
    pub description: RelayDescription,
    /// Where it stands.
    pub standing: Arc<Standing>,
    /// Makes a health report.
    pub report: Arc<dyn Fn() -> HealthReport + Send + Sync>,
    /// Changes when a health report is due before its time.
    pub urgent: watch::Receiver<u64>,
    /// Where the session says how it fares.
    pub view: watch::Sender<View>,
    /// What is asked of it beside settings and keys.
    pub orders: Orders,
    /// The machine's clock.
    pub clock: Clock,
}

/// How the session fares.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// What the control plane said of the open session; none: no session is open.
    pub parameters: Option<Parameters>,
    /// Sessions opened since start.
    pub opened: u64,
    /// Sessions lost since start.
    pub lost: u64,
    /// Attempts that failed since the last session was open.
    pub failures: u32,
    /// What went wrong last; empty: nothing.
    pub message: String,
    /// The identity that the control plane refused last.
    pub refused: Option<Arc<Identity>>,
    /// Whether it was refused because its certificate has ended by the control plane's clock, so that it can be renewed.
    pub refused_as_ended: bool,
}

/// Why no session was opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no connection.
    #[error(transparent)]
    Channel(#[from] ChannelError),
    /// The control plane answered with an error, or the connection broke.
    #[error("the control plane opened no session")]
    Refused(#[source] Box<Status>),
    /// It does not accept the relay's certificate.
    #[error("the control plane does not accept the relay's certificate")]
    Certificate(#[source] Box<Status>),
    /// It did not answer.
    #[error("the control plane did not answer in time")]
    Silent,
    /// It said something that makes no sense.
    #[error("{0}")]
    Protocol(&'static str),
}

impl OpenError {
    fn refused(status: Status, connection: &Connection) -> Self {
        if connection.refuses_certificate() {
            Self::Certificate(Box::new(status))
        } else {
            Self::Refused(Box::new(status))
        }
    }

    /// Whether this identity will never open a session, so that another is needed.
    pub fn refuses_identity(&self) -> bool {
        match self {
            Self::Certificate(_) => true,
            Self::Refused(status) => {
                matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied)
            }
            Self::Channel(_) | Self::Silent | Self::Protocol(_) => false,
        }
    }

    /// Whether the certificate has ended by the control plane's clock.
    fn has_ended(&self) -> bool {
        let Self::Refused(status) = self else { return false };
        status.get_details_error_info().is_some_and(|info| info.reason == CERTIFICATE_ENDED)
    }

    /// How long the control plane asks to be left alone.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(status) => status.get_details_retry_info()?.retry_delay,
            _ => None,
        }
    }
}

/// Keeps a session until `goodbye` names a reason to leave; then says it and ends. `random` gives uniform numbers in
/// `[0, 1)`.
pub async fn keep(
    dialer: Dialer,
    mut identity: watch::Receiver<Option<Arc<Identity>>>,
    subject: Subject,
    goodbye: watch::Receiver<Option<&'static str>>,
    mut random: impl FnMut() -> f64 + Send,
) {
    let mut retries = Retries::default();
    let mut wait = Duration::ZERO;
    loop {
        let opening = async {
            rest(wait, &mut identity).await;
            open(&dialer, &mut identity, &subject).await
        };
        let opened = tokio::select! {
            opened = opening => opened,
            _ = told_to_leave(goodbye.clone()) => return,
        };
        wait = match opened {
            Some(Ok(link)) => {
                let carried = Carrier {
                    dialer: &dialer,
                    identity: &mut identity,
                    subject: &subject,
                    goodbye: &goodbye,
                    random: &mut random,
                }
                .carry(link)
                .await;
                let Some((lived, spread)) = carried else { return };
                retries.lost(lived, spread, random())
            }
            Some(Err(error)) => {
                let wait = retries.failed(error.retry_after(), random());
                failed(&subject, &error, wait);
                wait
            }
            None => return,
        };
    }
}

/// Waits, but not once there is a fresh identity: what failed may have failed for want of one.
async fn rest(wait: Duration, identity: &mut watch::Receiver<Option<Arc<Identity>>>) {
    identity.mark_unchanged();
    tokio::select! {
        () = sleep(wait) => {}
        Ok(()) = identity.changed() => {}
    }
}

/// Opens a session with the identity of now, waiting for one; none: there will be none.
async fn open(
    dialer: &Dialer,
    identity: &mut watch::Receiver<Option<Arc<Identity>>>,
    subject: &Subject,
) -> Option<Result<Link, OpenError>> {
    let identity = identity.wait_for(Option::is_some).await.ok()?.clone()?;
    let opened = Link::open(dialer, &identity, subject).await;
    match &opened {
        Ok(link) => {
            subject.view.send_modify(|view| {
                view.parameters = Some(link.parameters.clone());
                view.opened += 1;
                view.failures = 0;
                view.message.clear();
                view.refused = None;
                view.refused_as_ended = false;
            });
            let name = &identity.relay;
            tracing::info!(
                session.id = %link.parameters.session, tenant.id = %name.tenant, fleet.id = %name.fleet,
                relay.id = %name.relay, "The session is open"
            );
        }
        Err(error) if error.refuses_identity() => {
            subject.view.send_modify(|view| {
                view.refused = Some(identity);
                view.refused_as_ended = error.has_ended();
            });
        }
        Err(_) => {}
    }
    Some(opened)
}

fn failed(subject: &Subject, error: &OpenError, wait: Duration) {
    let message = chain(error);
    tracing::info!(error = %message, retry_in_ms = wait.as_millis() as u64, "No session could be opened");
    subject.view.send_modify(|view| {
        view.failures = view.failures.saturating_add(1);
        view.message = message;
    });
}

async fn told_to_leave(mut goodbye: watch::Receiver<Option<&'static str>>) -> &'static str {
    let reason = match goodbye.wait_for(Option::is_some).await {
        Ok(reason) => *reason,
        Err(_) => None,
    };
    match reason {
        Some(reason) => reason,
        // No one is left who could tell.
        None => std::future::pending().await,
    }
}

/// Carries one session over to the next as long as none is lost.
struct Carrier<'a, R> {
    dialer: &'a Dialer,
    identity: &'a mut watch::Receiver<Option<Arc<Identity>>>,
    subject: &'a Subject,
    goodbye: &'a watch::Receiver<Option<&'static str>>,
    random: &'a mut R,
}

impl<R: FnMut() -> f64 + Send> Carrier<'_, R> {
    /// Gives how long the last session lived and its reconnect spread; none when the relay left.
    async fn carry(mut self, mut link: Link) -> Option<(Duration, Duration)> {
        let mut previous: Option<Link> = None;
        loop {
            let goodbye = self.goodbye.clone();
            let subject = self.subject;
            let running = async {
                match previous.take() {
                    Some(previous) => tokio::join!(link.run(subject), previous.close()).0,
                    None => link.run(subject).await,
                }
            };
            let event = tokio::select! {
                event = running => event,
                reason = told_to_leave(goodbye) => {
                    link.say_goodbye(subject, reason).await;
                    return None;
                }
            };
            match event {
                Event::Lost(lost) => {
                    note_lost(self.subject, &link, &lost);
                    return Some((link.opened_at.elapsed(), link.parameters.reconnect_spread));
                }
                Event::Reconnect(within) => {
                    let next = self.next(&mut link, within).await?;
                    previous = Some(std::mem::replace(&mut link, next));
                }
            }
        }
    }

    /// Opens the next session while the old one goes on for as long as it can; none when the relay left.
    async fn next(&mut self, old: &mut Link, within: Duration) -> Option<Link> {
        tracing::info!(session.id = %old.parameters.session, "The control plane asks for a new session");
        let first = jitter(within, (self.random)());
        let (dialer, subject) = (self.dialer, self.subject);
        let (identity, random) = (&mut *self.identity, &mut *self.random);
        let opening = async {
            let mut retries = Retries::default();
            let mut wait = first;
            loop {
                sleep(wait).await;
                match open(dialer, identity, subject).await? {
                    Ok(link) => return Some(link),
                    Err(error) => {
                        wait = retries.failed(error.retry_after(), random());
                        failed(subject, &error, wait);
                    }
                }
            }
        };
        tokio::pin!(opening);
        let mut old_lives = true;
        loop {
            tokio::select! {
                next = &mut opening => return next,
                reason = told_to_leave(self.goodbye.clone()) => {
                    if old_lives {
                        old.say_goodbye(subject, reason).await;
                    }
                    return None;
                }
                event = old.run(subject), if old_lives => if let Event::Lost(lost) = event {
                    old_lives = false;
                    note_lost(subject, old, &lost);
                },
            }
        }
    }
}

fn note_lost(subject: &Subject, link: &Link, lost: &Lost) {
    let message = chain(lost);
    let lived = link.opened_at.elapsed();
    tracing::info!(
        session.id = %link.parameters.session, error = %message, lived_ms = lived.as_millis() as u64, "The session is lost"
    );
    subject.view.send_modify(|view| {
        view.parameters = None;
        view.lost += 1;
        view.message = message;
    });
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subject").field("description", &self.description).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
