//! Takes the records of siblings that are gone out of the registry, when the control plane asks for it.
//!
//! The control plane knows who lost its session; only a sibling knows whether nobody answers at the address either, and has the
//! rights in that account. A record goes when it is that relay's, of no later session, when nothing accepts at its address,
//! and when it is not the last of its service.
use std::{net::IpAddr, sync::Arc, time::Duration};

use ekiden_proto::relay::v1::{GoneRelay, ReapOutcome, ReapReport, Reaped};
use ekiden_settings::{CheckedSettings, CloudMap, RegistrationMode};
use futures_util::future::join_all;
use tokio::{
    net::TcpStream,
    sync::watch,
    time::{sleep, timeout},
};

use super::{Listed, Registry, membership::Registries};
use crate::{error_chain::chain, session::orders::Orders};

/// A vanished Fargate address answers nothing at all; this long is waited, twice.
const DIAL: Duration = Duration::from_secs(1);
const DIALS: u32 = 2;
const LONGEST_MESSAGE: usize = 256;

/// All that reaping needs.
pub struct Reaping {
    /// The settings that run.
    pub settings: watch::Receiver<Option<Arc<CheckedSettings>>>,
    /// Opens the registry.
    pub registries: Arc<Registries>,
    /// Where requests come from and reports go to.
    pub orders: Orders,
}

impl Reaping {
    /// Reaps whenever asked, for as long as the process runs.
    pub async fn run(self) {
        let mut gone = self.orders.gone.subscribe();
        while gone.changed().await.is_ok() {
            let asked = Arc::clone(&gone.borrow_and_update());
            let report = ReapReport { relays: self.reap(&asked).await };
            for reaped in &report.relays {
                tracing::info!(
                    relay.id = %reaped.relay, epoch = reaped.epoch, outcome = reaped.outcome().as_str_name(),
                    message = %reaped.message, "A sibling's records were looked at"
                );
            }
            self.orders.reaped.send_replace(Some(report));
        }
    }

    fn opened(&self, at: &CloudMap) -> Vec<Arc<dyn Registry>> {
        let services = std::iter::once(&at.service).chain(&at.cells);
        services.map(|service| (self.registries)(at, service)).collect()
    }

    /// Looks at every service of the fleet; gives what became of each relay's records.
    async fn reap(&self, asked: &[GoneRelay]) -> Vec<Reaped> {
        let settings = self.settings.borrow().clone();
        let discovery = settings.as_ref().and_then(|settings| settings.discovery.as_ref());
        let at = discovery.filter(|at| at.mode == RegistrationMode::Relay);
        let mut worst: Vec<(ReapOutcome, String)> =
            vec![(ReapOutcome::Gone, String::new()); asked.len()];
        for registry in at.iter().flat_map(|at| self.opened(at)).collect::<Vec<_>>() {
            let listed = match registry.list().await {
                Ok(listed) => listed,
                Err(error) => {
                    worst.fill((ReapOutcome::Failed, chain(&error)));
                    break;
                }
            };
            // All at once: a zone's relays that are gone are each waited for, but none in turn.
            let looked = asked.iter().enumerate().flat_map(|(at, gone)| {
                let (registry, listed) = (&registry, &listed);
                let own = listed.iter().filter(|record| record.relay == gone.relay);
                own.map(move |record| async move {
                    (at, of_record(&**registry, listed, record, gone, asked).await)
                })
            });
            for (at, outcome) in join_all(looked.collect::<Vec<_>>()).await {
                if let Some(worst) = worst.get_mut(at)
                    && outcome.0 != ReapOutcome::Gone
                {
                    *worst = outcome;
                }
            }
        }
        asked
            .iter()
            .zip(worst)
            .map(|(gone, (outcome, message))| Reaped {
                relay: gone.relay.clone(),
                epoch: gone.epoch,
                outcome: outcome.into(),
                message: message.chars().take(LONGEST_MESSAGE).collect(),
            })
            .collect()
    }
}

async fn of_record(
    registry: &dyn Registry,
    listed: &[Listed],
    record: &Listed,
    gone: &GoneRelay,
    asked: &[GoneRelay],
) -> (ReapOutcome, String) {
    if record.epoch > gone.epoch {
        let why = format!("its record is of session {}", record.epoch);
        return (ReapOutcome::Returned, why);
    }
    let stays = |other: &&Listed| asked.iter().all(|gone| gone.relay != other.relay);
    if !listed.iter().any(|other| stays(&other)) {
        return (ReapOutcome::Last, "no other record would be left".to_owned());
    }
    // Addresses are used again: what answers there may be another relay, which has a record of its own.
    let address = record.address.filter(|address| {
        !listed.iter().filter(stays).any(|other| other.address == Some(*address))
    });
    if let Some(address) = address
        && answers(address, record.port).await
    {
        return (ReapOutcome::Answers, format!("{address} port {} accepts", record.port));
    }
    match registry.deregister(&record.instance).await {
        Ok(()) => (ReapOutcome::Gone, String::new()),
        Err(error) => (ReapOutcome::Failed, chain(&error)),
    }
}

async fn answers(address: IpAddr, port: u16) -> bool {
    for attempt in 0..DIALS {
        if attempt > 0 {
            sleep(DIAL / 4).await;
        }
        if matches!(timeout(DIAL, TcpStream::connect((address, port))).await, Ok(Ok(_))) {
            return true;
        }
    }
    false
}

#[cfg(test)]
#[path = "reaping_tests.rs"]
mod tests;
