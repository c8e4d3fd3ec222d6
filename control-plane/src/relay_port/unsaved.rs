//! What a relay said last of its settings, keys and registrations, until the database has it.
use ekiden_proto::relay::v1::{KeyStatus, KeyTrial, Listing, SettingsPhase, SettingsStatus};
use prost::Message;

use super::registrations::{self, Listed};
use crate::{
    app::App,
    error::Error,
    names::{AccessKeyName, CollectorName},
    pki::RelayIdentity,
    store::{
        self,
        key_rotations::{self, TrialRow},
        relays::{self, StatusRow},
    },
    timestamps::from_proto,
};

/// Trials that a relay may tell of at once.
const MOST_TRIALS: usize = 256;
/// Longest message of a trial, characters.
const LONGEST_MESSAGE: usize = 256;

/// Latest values, not a queue.
#[derive(Default)]
pub(super) struct Unsaved {
    pub(super) settings: Option<SettingsStatus>,
    pub(super) keys: Option<KeyStatus>,
    pub(super) listed: Option<Listed>,
    pub(super) siblings: Option<Listing>,
}

impl Unsaved {
    pub(super) fn is_empty(&self) -> bool {
        self.settings.is_none()
            && self.keys.is_none()
            && self.listed.is_none()
            && self.siblings.is_none()
    }

    /// Writes what there is, and keeps it while the database is away. False: a newer session has taken over.
    pub(super) async fn save(
        &mut self,
        app: &App,
        identity: &RelayIdentity,
        epoch: i64,
    ) -> Result<bool, Error> {
        if self.is_empty() {
            return Ok(true);
        }
        match self.write(app, identity, epoch).await {
            Ok(current) => {
                *self = Self::default();
                Ok(current)
            }
            Err(Error::Unavailable { .. }) => Ok(true),
            Err(error) => Err(error),
        }
    }

    async fn write(&self, app: &App, identity: &RelayIdentity, epoch: i64) -> Result<bool, Error> {
        let (fleet, id, now) = (identity.fleet(), identity.id, app.clock.now());
        let mut db = app.pool.begin(&identity.scope()).await?;
        let mut current = true;
        if let Some(status) = &self.settings {
            let row = StatusRow {
                attempted: number(status.attempted_revision),
                running: number(status.running_revision),
                phase: i16::try_from(status.phase).unwrap_or(0),
                status: status.encode_to_vec(),
            };
            if status.phase() == SettingsPhase::Failed {
                relays::reject(&mut db, &fleet, id, row.attempted, now).await?;
            }
            current &= relays::set_status(&mut db, id, epoch, &row, now).await?;
        }
        if let Some(status) = &self.keys {
            let held = number(status.secret_version);
            current &= relays::set_secret_version(&mut db, id, epoch, held, now).await?;
            if current {
                let told = status.trials.iter().take(MOST_TRIALS);
                let trials: Vec<_> = told.filter_map(|trial| read(identity, trial)).collect();
                key_rotations::set_trials(&mut db, &fleet, id, &trials).await?;
            }
        }
        if let Some(Listed { listed_in, in_dns }) = &self.listed {
            current &= store::registrations::set(&mut db, id, epoch, listed_in, in_dns).await?;
        }
        if let Some(siblings) = &self.siblings
            && current
        {
            registrations::seen(&mut db, identity, siblings).await?;
        }
        db.commit().await?;
        Ok(current)
    }
}

/// A trial as it is kept; none: it is about nothing of the relay's tenant.
fn read(identity: &RelayIdentity, trial: &KeyTrial) -> Option<TrialRow> {
    let key = AccessKeyName::parse("access_key", &trial.access_key).ok()?;
    let collector = CollectorName::parse("collector", &trial.collector).ok()?;
    let tenant = &identity.name.tenant;
    if &key.tenant != tenant || &collector.tenant != tenant {
        tracing::debug!(relay.id = identity.name.relay, "A relay told of another tenant's key");
        return None;
    }
    let printable = trial.message.chars().filter(|c| !c.is_control());
    Some(TrialRow {
        relay_id: identity.id,
        access_key_id: key.access_key,
        key_version: number(trial.version),
        collector_id: collector.collector,
        outcome: i16::try_from(trial.outcome).unwrap_or(0),
        message: printable.take(LONGEST_MESSAGE).collect(),
        observed_at: from_proto("observed_at", trial.observed_at.as_ref()?).ok()?,
    })
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(0)
}
