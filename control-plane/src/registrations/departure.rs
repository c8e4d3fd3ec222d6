//! Whether a relay may leave its services: never the last one while a sibling is expected.
use std::collections::HashSet;

use ekiden_proto::{health::v1::HealthReport, relay::v1::LeaveVerdict};
use prost::Message;
use time::Duration;
use uuid::Uuid;

use crate::{
    app::App,
    error::Error,
    pki::RelayIdentity,
    store::registrations::{self, SiblingRow},
};

/// A sibling that was there this lately, and did not say goodbye, is expected back, or its successor is.
const EXPECTED: Duration = Duration::minutes(10);

/// Decides, in one transaction; a relay that is let go counts for no sibling's leaving any more.
///
/// # Errors
/// What the database says.
pub async fn decide(
    app: &App,
    identity: &RelayIdentity,
    epoch: i64,
    own: &[String],
) -> Result<LeaveVerdict, Error> {
    let now = app.clock.now();
    let fleet = identity.fleet();
    let mut db = app.pool.begin(&identity.scope()).await?;
    let siblings = registrations::lock_siblings(&mut db, &fleet, now - EXPECTED, now).await?;
    let verdict = verdict(identity.id, own, &siblings);
    if verdict == LeaveVerdict::Granted {
        registrations::let_go(&mut db, identity.id, epoch, now).await?;
    }
    db.commit().await?;
    Ok(verdict)
}

/// Decides for a relay that stays, and wants to be out of DNS until it can deliver. Siblings that cannot deliver either are no
/// reason to let it go: while a vendor is down for all, everybody stays. From then on it counts for no sibling as one in DNS.
///
/// # Errors
/// What the database says.
pub async fn decide_undelivered(
    app: &App,
    identity: &RelayIdentity,
    epoch: i64,
    own: &[String],
) -> Result<LeaveVerdict, Error> {
    let now = app.clock.now();
    let fleet = identity.fleet();
    let mut db = app.pool.begin(&identity.scope()).await?;
    let siblings = registrations::lock_siblings(&mut db, &fleet, now - EXPECTED, now).await?;
    let reports = registrations::crowds(&mut db, &fleet, now).await?;
    let delivering: HashSet<Uuid> = reports
        .into_iter()
        .filter(|row| HealthReport::decode(&*row.report).is_ok_and(|report| !report.undelivered))
        .map(|row| row.relay_id)
        .collect();
    let siblings: Vec<SiblingRow> =
        siblings.into_iter().filter(|one| delivering.contains(&one.relay_id)).collect();
    let verdict = match verdict(identity.id, own, &siblings) {
        LeaveVerdict::Granted => LeaveVerdict::Granted,
        // Nobody goes for good: others may deliver soon.
        _ => LeaveVerdict::Wait,
    };
    if verdict == LeaveVerdict::Granted {
        registrations::set(&mut db, identity.id, epoch, own, &[]).await?;
    }
    db.commit().await?;
    Ok(verdict)
}

/// The verdict for a relay that is listed in the services `own`.
fn verdict(relay: Uuid, own: &[String], siblings: &[SiblingRow]) -> LeaveVerdict {
    let others: Vec<&SiblingRow> =
        siblings.iter().filter(|one| one.relay_id != relay && !one.leaving).collect();
    let held = |service: &String| others.iter().any(|one| one.live && one.in_dns.contains(service));
    match own.iter().all(held) {
        true => LeaveVerdict::Granted,
        false if others.is_empty() => LeaveVerdict::Last,
        false => LeaveVerdict::Wait,
    }
}

#[cfg(test)]
mod tests {
    use time::OffsetDateTime;

    use super::*;

    fn sibling(live: bool, in_dns: &[&str], leaving: bool) -> SiblingRow {
        SiblingRow {
            relay_id: Uuid::now_v7(),
            live,
            in_dns: in_dns.iter().map(|one| (*one).to_owned()).collect(),
            leaving,
            seen_at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_relay_may_leave_when_each_of_its_services_has_another_that_stays() {
        let (relay, own) = (Uuid::now_v7(), ["srv-a".to_owned(), "srv-b".to_owned()]);
        let verdict = |siblings: &[SiblingRow]| verdict(relay, &own, siblings);
        let (a, b) = (sibling(true, &["srv-a"], false), sibling(true, &["srv-b"], false));
        assert_eq!(verdict(&[a.clone(), b]), LeaveVerdict::Granted);
        assert_eq!(verdict(std::slice::from_ref(&a)), LeaveVerdict::Wait);
        // One that leaves itself, one without a session, one that DNS does not know yet.
        for not in [sibling(false, &["srv-b"], false), sibling(true, &[], false)] {
            assert_eq!(verdict(&[a.clone(), not]), LeaveVerdict::Wait);
        }
        let leaves = sibling(true, &["srv-a", "srv-b"], true);
        assert_eq!(verdict(&[leaves]), LeaveVerdict::Last);
        let itself = SiblingRow { relay_id: relay, ..sibling(true, &["srv-a", "srv-b"], false) };
        assert_eq!(verdict(&[itself]), LeaveVerdict::Last);
        assert_eq!(verdict(&[]), LeaveVerdict::Last);
    }

    #[test]
    fn a_relay_that_is_listed_nowhere_may_leave() {
        assert_eq!(verdict(Uuid::now_v7(), &[], &[]), LeaveVerdict::Granted);
    }
}
