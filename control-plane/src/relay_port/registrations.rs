//! What relays say of their own records and of their siblings'.
use ekiden_proto::{
    health::v1::HealthReport,
    relay::v1::{LeaveRequest, Listing, ReapOutcome, ReapReport},
};
use ekiden_settings::rules;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{app::App, error::Error, pki::RelayIdentity, store::registrations};

/// Services that one report, or one listing, may name.
const MOST_SERVICES: usize = 66;
/// Relays that one message may name.
const MOST_RELAYS: usize = 256;
/// One that answers is asked about again after this, one whose record is not gone for another reason after that.
const ANSWERS: time::Duration = time::Duration::MINUTE;
const FAILED: time::Duration = time::Duration::seconds(10);

/// Where a relay says that it is listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Listed {
    /// Services whose registry may hold a record.
    pub(super) listed_in: Vec<String>,
    /// Those under whose names DNS answers with it.
    pub(super) in_dns: Vec<String>,
}

/// What a report says of it.
pub(super) fn listed(report: &HealthReport) -> Listed {
    let services = report.discovery.iter().flat_map(|discovery| &discovery.services);
    let known = services
        .filter(|one| rules::cloud_map_service(&one.service_id).is_ok())
        .take(MOST_SERVICES);
    let mut listed = Listed::default();
    for one in known {
        if one.listed {
            listed.listed_in.push(one.service_id.clone());
        }
        if one.in_dns {
            listed.in_dns.push(one.service_id.clone());
        }
    }
    listed
}

/// The services that a relay wants to leave: those that it names, and those that it told of.
pub(super) fn to_leave(request: LeaveRequest, listed: &Listed) -> Vec<String> {
    let mut services = request.service_ids;
    services.retain(|service| rules::cloud_map_service(service).is_ok());
    services.truncate(MOST_SERVICES);
    services.extend(listed.listed_in.iter().cloned());
    services.sort_unstable();
    services.dedup();
    services
}

/// Remembers which relays without a session a sibling sees listed.
pub(super) async fn seen(
    db: &mut PgConnection,
    identity: &RelayIdentity,
    listing: &Listing,
) -> Result<(), Error> {
    for service in listing.services.iter().take(MOST_SERVICES) {
        if rules::cloud_map_service(&service.service_id).is_err() {
            continue;
        }
        let relays = service.relays.iter().take(MOST_RELAYS);
        let relays: Vec<Uuid> = relays.filter_map(|relay| relay.parse().ok()).collect();
        registrations::seen_in(db, &identity.fleet(), &service.service_id, &relays).await?;
    }
    Ok(())
}

/// Takes in what became of the records of relays that are gone. While the database is away it is lost, and asked again.
pub(super) async fn reaped(
    app: &App,
    identity: &RelayIdentity,
    report: &ReapReport,
) -> Result<(), Error> {
    let taken = async {
        let (fleet, now) = (identity.fleet(), app.clock.now());
        let mut db = app.pool.begin(&identity.scope()).await?;
        for reaped in report.relays.iter().take(MOST_RELAYS) {
            let (Ok(relay), Ok(epoch)) = (reaped.relay.parse(), i64::try_from(reaped.epoch)) else {
                continue;
            };
            let outcome = reaped.outcome();
            let again = match outcome {
                ReapOutcome::Gone => None,
                ReapOutcome::Answers | ReapOutcome::Returned => Some(now + ANSWERS),
                ReapOutcome::Last | ReapOutcome::Failed | ReapOutcome::Unspecified => {
                    Some(now + FAILED)
                }
            };
            app.metrics.reaped(outcome);
            if outcome != ReapOutcome::Gone {
                tracing::warn!(
                    relay.id = reaped.relay,
                    sibling.id = identity.name.relay,
                    outcome = outcome.as_str_name(),
                    message = reaped
                        .message
                        .chars()
                        .filter(|c| !c.is_control())
                        .take(256)
                        .collect::<String>(),
                    "The records of a relay that has no session are still there"
                );
            }
            registrations::reaped(&mut db, &fleet, relay, epoch, again).await?;
        }
        Ok::<(), Error>(db.commit().await?)
    };
    match taken.await {
        Err(Error::Unavailable { .. }) => Ok(()),
        outcome => outcome,
    }
}
