//! Keeps the identity valid for as long as the process runs: from disk, by enrolling, by renewing.
//!
//! It never gives up and never ends the process: listeners may serve all the while. What only a person can cure is
//! tried again slowly, and said loudly.
use std::{sync::Arc, time::Duration};

use ekiden_proto::relay::v1::RelayDescription;
use secrecy::SecretString;
use time::OffsetDateTime;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::{
    Identity, Store,
    aws_role::{AwsRole, Way},
    enrollment::{enroll, enroll_by_role, renew},
    refusals::{Attempt, Refusals, TOKEN},
};
use crate::{
    channel::Dialer,
    clock::Clock,
    environment::TokenSource,
    error_chain::chain,
    session::{View, backoff::Retries},
};

/// Added to the delay after what only a person can cure.
const PERMANENT: Duration = Duration::from_secs(60);
/// The wall clock may jump; it is looked at this often.
const LOOK_AT_CLOCK: Duration = Duration::from_secs(15);

/// Keeps the identity valid.
#[derive(Debug)]
pub struct Keeper {
    /// Makes connections to the control plane.
    pub dialer: Dialer,
    /// Where it is kept between starts.
    pub store: Store,
    /// The task's AWS role, and the fleet that it joins by it.
    pub role: Option<(AwsRole, String)>,
    /// The token to enroll with, after the role.
    pub token: Option<TokenSource>,
    /// What the relay says of itself.
    pub description: RelayDescription,
    /// The machine's clock.
    pub clock: Clock,
    /// What went wrong last; empty: nothing.
    pub message: watch::Sender<String>,
}

/// What comes after an identity.
enum Next {
    Renewed(Arc<Identity>),
    /// The control plane refuses it, perhaps only for a while.
    Refused,
    Ended,
}

impl Keeper {
    /// Publishes an identity, and each one that follows it. `view` tells when the control plane refuses one. `random`
    /// gives uniform numbers in `[0, 1)`.
    pub async fn keep(
        self,
        identity: watch::Sender<Option<Arc<Identity>>>,
        mut view: watch::Receiver<View>,
        mut random: impl FnMut() -> f64 + Send,
    ) {
        let (mut current, mut ended) = match self.load() {
            Some(held) if held.is_worth_a_connection(self.clock.now()) => (Some(held), None),
            ended => (None, ended),
        };
        let mut retries = Retries::default();
        loop {
            let held = match current.take() {
                Some(held) => held,
                None => self.enroll_until_done(ended.take(), &mut retries, &mut random).await,
            };
            identity.send_replace(Some(Arc::clone(&held)));
            let since = Instant::now();
            current = match self.outlive(&held, &view, &mut random).await {
                Next::Renewed(renewed) => Some(renewed),
                Next::Ended => {
                    tracing::info!(relay.id = %held.relay.relay, "The certificate has ended: the relay renews it late, or enrolls anew");
                    // One that has ended as soon as it was had: a clock is off, and asking faster does not cure it.
                    sleep(retries.lost(since.elapsed(), Duration::ZERO, random())).await;
                    ended = Some(held);
                    None
                }
                Next::Refused => {
                    tracing::info!(relay.id = %held.relay.relay, "The certificate is refused: the relay enrolls anew");
                    // An identity refused as soon as it was had must not use up a token.
                    let wait = retries.lost(since.elapsed(), Duration::ZERO, random());
                    let replace = async {
                        sleep(wait).await;
                        self.enroll_until_done(None, &mut retries, &mut random).await
                    };
                    tokio::select! {
                        enrolled = replace => Some(enrolled),
                        () = accepted(&mut view) => {
                            self.message.send_replace(String::new());
                            Some(held)
                        }
                    }
                }
            };
        }
    }

    fn load(&self) -> Option<Arc<Identity>> {
        match self.store.load() {
            Ok(Some(identity)) if identity.is_worth_a_connection(self.clock.now()) => {
                tracing::info!(relay.id = %identity.relay.relay, "The identity from disk still counts");
                Some(identity)
            }
            Ok(Some(identity)) => {
                tracing::info!(relay.id = %identity.relay.relay, "The certificate on disk has ended: the relay renews it late, or enrolls anew");
                Some(identity)
            }
            Ok(None) => None,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "The identity on disk cannot be used: enrolling anew");
                None
            }
        }
    }

    fn save(&self, identity: &Identity) {
        if let Err(error) = self.store.save(identity) {
            tracing::warn!(error = %chain(&error), "The identity is not saved: a restart will have to enroll anew");
        }
    }

    /// Gets an identity in place of one that `ended`, or a first one.
    async fn enroll_until_done(
        &self,
        mut ended: Option<Arc<Identity>>,
        retries: &mut Retries,
        random: &mut impl FnMut() -> f64,
    ) -> Arc<Identity> {
        loop {
            if let Some(renewed) = self.renew_late(&mut ended).await {
                return renewed;
            }
            let wait = match self.enroll().await {
                Ok(identity) => {
                    let name = &identity.relay;
                    tracing::info!(
                        tenant.id = %name.tenant, fleet.id = %name.fleet, relay.id = %name.relay, "The relay is enrolled"
                    );
                    self.save(&identity);
                    self.message.send_replace(String::new());
                    return identity;
                }
                Err(refused) if refused.is_permanent() => {
                    let message = refused.message();
                    tracing::warn!("The relay cannot enroll: {message}");
                    self.message.send_replace(message);
                    retries.failed(Some(refused.retry_after().unwrap_or(PERMANENT)), random())
                }
                Err(refused) => {
                    let message = refused.message();
                    tracing::info!(error = %message, "The relay could not enroll yet");
                    self.message.send_replace(message);
                    retries.failed(refused.retry_after(), random())
                }
            };
            sleep(wait).await;
        }
    }

    /// Tries once to renew what has `ended`; forgets it when the control plane does not know it any more. A relay that was
    /// cut off for longer than its certificate lasted needs no new token so.
    async fn renew_late(&self, ended: &mut Option<Arc<Identity>>) -> Option<Arc<Identity>> {
        let held = ended.as_ref()?;
        match renew(&self.dialer, held).await {
            Ok(renewed) => {
                tracing::info!(relay.id = %renewed.relay.relay, "The certificate that had ended is renewed");
                self.save(&renewed);
                self.message.send_replace(String::new());
                Some(renewed)
            }
            Err(error) => {
                tracing::info!(error = %chain(&error), "The certificate that has ended is not renewed: the relay enrolls anew");
                if error.is_permanent() {
                    *ended = None;
                }
                None
            }
        }
    }

    /// Tries every way there is once, the one without a secret first.
    async fn enroll(&self) -> Result<Arc<Identity>, Refusals> {
        let mut refusals = Refusals::default();
        if let Some((role, fleet)) = &self.role {
            for way in [Way::WebIdentity, Way::CallerIdentity] {
                let (description, clock) = (self.description.clone(), &self.clock);
                match enroll_by_role(&self.dialer, role, way, fleet, description, clock).await {
                    Ok(identity) => return Ok(identity),
                    Err(error) => refusals.add(way.name(), Attempt::Failed(error)),
                }
            }
        }
        match self.enroll_by_token().await {
            None => Err(refusals),
            Some(Ok(identity)) => Ok(identity),
            Some(Err(attempt)) => {
                refusals.add(TOKEN, attempt);
                Err(refusals)
            }
        }
    }

    /// None: there is no token.
    async fn enroll_by_token(&self) -> Option<Result<Arc<Identity>, Attempt>> {
        let token = match self.token.as_ref()? {
            TokenSource::Text(token) => token.clone(),
            TokenSource::File(path) => match tokio::fs::read_to_string(path).await {
                Ok(text) => SecretString::from(text),
                Err(error) => {
                    return Some(Err(Attempt::NoToken(format!(
                        "the enrollment token in {} cannot be read: {error}",
                        path.display()
                    ))));
                }
            },
        };
        let enrolled = enroll(&self.dialer, &token, self.description.clone()).await;
        Some(enrolled.map_err(Attempt::Failed))
    }

    fn can_enroll(&self) -> bool {
        self.role.is_some() || self.token.is_some()
    }

    /// Waits until it is time for the next identity, and gets it.
    async fn outlive(
        &self,
        held: &Arc<Identity>,
        view: &watch::Receiver<View>,
        random: &mut impl FnMut() -> f64,
    ) -> Next {
        let renew_at = held.renew_at + (held.not_after - held.renew_at) * 0.1 * random();
        let lives = async {
            self.until(renew_at).await;
            self.renew_until_done(held, random).await
        };
        tokio::select! {
            next = lives => next,
            () = refused(view, held, true) => Next::Ended,
            // Without a proof there is nothing to replace it by.
            () = refused(view, held, false), if self.can_enroll() => Next::Refused,
        }
    }

    async fn renew_until_done(&self, held: &Identity, random: &mut impl FnMut() -> f64) -> Next {
        let mut retries = Retries::default();
        while held.is_worth_a_connection(self.clock.now()) {
            let error = match renew(&self.dialer, held).await {
                Ok(renewed) => {
                    tracing::info!(
                        relay.id = %renewed.relay.relay, certificate.ends = %renewed.not_after, "The certificate is renewed"
                    );
                    self.save(&renewed);
                    self.message.send_replace(String::new());
                    return Next::Renewed(renewed);
                }
                Err(error) => error,
            };
            let message = chain(&error);
            tracing::info!(error = %message, "The certificate could not be renewed yet");
            self.message.send_replace(message);
            if error.is_permanent() && self.can_enroll() {
                return Next::Refused;
            }
            sleep(retries.failed(error.retry_after(), random())).await;
        }
        Next::Ended
    }

    async fn until(&self, time: OffsetDateTime) {
        loop {
            match Duration::try_from(time - self.clock.now()) {
                Ok(left) if !left.is_zero() => sleep(left.min(LOOK_AT_CLOCK)).await,
                _ => return,
            }
        }
    }
}

async fn accepted(view: &mut watch::Receiver<View>) {
    if view.wait_for(|view| view.refused.is_none() && view.parameters.is_some()).await.is_err() {
        // No session is kept any more.
        std::future::pending().await
    }
}

/// Waits until `held` is refused, `ended`: because by the control plane's clock it has ended.
async fn refused(view: &watch::Receiver<View>, held: &Arc<Identity>, ended: bool) {
    let of_this = |view: &View| {
        view.refused_as_ended == ended
            && view.refused.as_ref().is_some_and(|refused| Arc::ptr_eq(refused, held))
    };
    if view.clone().wait_for(of_this).await.is_err() {
        // No session is kept any more.
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests;
