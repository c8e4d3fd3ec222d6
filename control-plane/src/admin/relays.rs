//! RelayService: relays as the control plane knows them.
use std::{collections::HashMap, pin::Pin, sync::Arc, time::Duration};

use ekiden_proto::{
    admin::v1::{
        DrainRelayRequest, DrainRelayResponse, GetRelayRequest, GetRelayResponse,
        ListHealthReportsRequest, ListHealthReportsResponse, ListRelaysRequest, ListRelaysResponse,
        ReceivedHealthReport, Relay, RelayState, RevokeRelayRequest, RevokeRelayResponse,
        WatchRelaysRequest, WatchRelaysResponse, relay_service_server::RelayService,
    },
    health::v1::HealthReport,
    relay::v1::SettingsStatus,
};
use prost::Message;
use sqlx::PgConnection;
use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use super::call::Call;
use crate::{
    app::App,
    error::Error,
    names::{FleetName, RelayName, uuid_part},
    store::{
        fleets, registrations, relay_health,
        relay_views::{self, RelayRow, Wanted},
        relays,
        scope::Scope,
    },
    timestamps::to_proto,
};

/// How often a watch looks for changes.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Relays that one watch follows at most.
const WATCHED: i64 = 20_000;
/// Gone for this long, a relay counts as not present.
const PRESENT: time::Duration = time::Duration::HOUR;

pub(super) struct Relays {
    app: Arc<App>,
}

impl Relays {
    pub(super) fn new(app: &Arc<App>) -> Self {
        Self { app: Arc::clone(app) }
    }
}

#[tonic::async_trait]
impl RelayService for Relays {
    type WatchRelaysStream =
        Pin<Box<dyn Stream<Item = Result<WatchRelaysResponse, Status>> + Send>>;

    async fn get_relay(
        &self,
        request: Request<GetRelayRequest>,
    ) -> Result<Response<GetRelayResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let (name, id) = named("name", &call.request.name)?;
        let scope = call.may_read(&name.tenant)?;

        let mut db = call.read(&scope).await?;
        let wanted = one(&name, id);
        let rows = relay_views::list(&mut db, &wanted, 1, call.now).await.map_err(Error::from)?;
        let row = rows.first().ok_or_else(|| Error::not_found(&name))?;
        let last = relay_views::last_report(&mut db, id).await.map_err(Error::from)?;
        let health = last.map(|bytes| decode::<HealthReport>(&bytes)).transpose()?;
        let relay = Relay { health, ..to_message(row)? };
        Ok(Response::new(GetRelayResponse { relay: Some(relay) }))
    }

    async fn list_relays(
        &self,
        request: Request<ListRelaysRequest>,
    ) -> Result<Response<ListRelaysResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let parent = FleetName::parse_wildcard("parent", &call.request.parent)?;
        let scope = call.visible(&parent.tenant)?;
        let page = call.page::<(String, String, Uuid)>()?;

        let mut db = call.read(&scope).await?;
        let wanted = Wanted {
            after: page.after.clone(),
            gone_since: call.request.only_present.then(|| call.now - PRESENT),
            ..within(&mut db, &scope, &parent).await?
        };
        let rows = relay_views::list(&mut db, &wanted, page.limit(), call.now)
            .await
            .map_err(Error::from)?;
        let key = |row: &RelayRow| (row.tenant_id.clone(), row.fleet_id.clone(), row.relay_id);
        let (rows, next_page_token) = call.cut(&page, rows, key)?;
        let relays = rows.iter().map(to_message).collect::<Result<_, _>>()?;
        Ok(Response::new(ListRelaysResponse { relays, next_page_token }))
    }

    async fn watch_relays(
        &self,
        request: Request<WatchRelaysRequest>,
    ) -> Result<Response<Self::WatchRelaysStream>, Status> {
        let call = Call::open(&self.app, request)?;
        let parent = FleetName::parse_wildcard("parent", &call.request.parent)?;
        let scope = call.visible(&parent.tenant)?;
        let wanted = within(&mut *call.read(&scope).await?, &scope, &parent).await?;

        let (sender, receiver) = mpsc::channel(64);
        let app = Arc::clone(&self.app);
        self.app.tracker.spawn(async move {
            if let Err(error) = watch(&app, &scope, wanted, &sender).await {
                sender.send(Err(error.into())).await.ok();
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn list_health_reports(
        &self,
        request: Request<ListHealthReportsRequest>,
    ) -> Result<Response<ListHealthReportsResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let (name, id) = named("parent", &call.request.parent)?;
        let scope = call.may_read(&name.tenant)?;
        let page = call.page::<i64>()?;

        let mut db = call.read(&scope).await?;
        let found =
            relay_views::list(&mut db, &one(&name, id), 1, call.now).await.map_err(Error::from)?;
        if found.is_empty() {
            return Err(Error::not_found(&name).into());
        }
        let before = page.after.map(|micros| {
            time::OffsetDateTime::UNIX_EPOCH.saturating_add(time::Duration::microseconds(micros))
        });
        let rows =
            relay_health::history(&mut db, id, before, page.limit()).await.map_err(Error::from)?;
        let micros = |row: &relay_health::ReportRow| {
            i64::try_from(row.received_at.unix_timestamp_nanos() / 1000).unwrap_or(i64::MAX)
        };
        let (rows, next_page_token) = call.cut(&page, rows, micros)?;
        let reports = rows
            .iter()
            .map(|row| {
                Ok(ReceivedHealthReport {
                    report: Some(decode(&row.report)?),
                    receive_time: Some(to_proto(row.received_at)),
                })
            })
            .collect::<Result<_, Error>>()?;
        Ok(Response::new(ListHealthReportsResponse { reports, next_page_token }))
    }

    async fn revoke_relay(
        &self,
        request: Request<RevokeRelayRequest>,
    ) -> Result<Response<RevokeRelayResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let name = RelayName::parse("name", &call.request.name)?;
        let scope = call.may_change(&name.tenant)?;
        let id = uuid_part(&name.to_string(), &name.relay)?;

        let changed = call.change(&scope, |db| Box::pin(revoke(db, &call, &name, id)));
        Ok(changed.await?.into_response())
    }

    async fn drain_relay(
        &self,
        request: Request<DrainRelayRequest>,
    ) -> Result<Response<DrainRelayResponse>, Status> {
        let call = Call::open(&self.app, request)?;
        let name = RelayName::parse("name", &call.request.name)?;
        let scope = call.may_change(&name.tenant)?;
        let id = uuid_part(&name.to_string(), &name.relay)?;

        let changed = call.change(&scope, |db| Box::pin(drain(db, &call, &name, id)));
        Ok(changed.await?.into_response())
    }
}

async fn drain(
    db: &mut PgConnection,
    call: &Call<DrainRelayRequest>,
    name: &RelayName,
    id: Uuid,
) -> Result<DrainRelayResponse, Error> {
    registrations::drain(db, &name.fleet(), id, call.now).await?;
    let rows = relay_views::list(db, &one(name, id), 1, call.now).await?;
    let row = rows.first().ok_or_else(|| Error::not_found(name))?;
    call.record(db, Some(&name.tenant), name, &["drain_time".to_owned()]).await?;
    Ok(DrainRelayResponse { relay: Some(to_message(row)?) })
}

async fn revoke(
    db: &mut PgConnection,
    call: &Call<RevokeRelayRequest>,
    name: &RelayName,
    id: Uuid,
) -> Result<RevokeRelayResponse, Error> {
    let fleet = FleetName { tenant: name.tenant.clone(), fleet: name.fleet.clone() };
    let ended = relays::revoke(db, &fleet, id, call.now).await?;
    let rows = relay_views::list(db, &one(name, id), 1, call.now).await?;
    let row = rows.first().ok_or_else(|| Error::not_found(name))?;
    let changed = if ended { vec!["revoke_time".to_owned()] } else { Vec::new() };
    call.record(db, Some(&name.tenant), name, &changed).await?;
    Ok(RevokeRelayResponse { relay: Some(to_message(row)?) })
}

/// Sends relays as they are, then each that changed, until the caller leaves or the process stops.
async fn watch(
    app: &App,
    scope: &Scope,
    wanted: Wanted,
    sender: &mpsc::Sender<Result<WatchRelaysResponse, Status>>,
) -> Result<(), Error> {
    let mut known: HashMap<Uuid, RelayRow> = HashMap::new();
    loop {
        let now = app.clock.now();
        let wanted =
            Wanted { gone_since: known.is_empty().then(|| now - PRESENT), ..wanted.clone() };
        let rows =
            relay_views::list(&mut *app.pool.begin(scope).await?, &wanted, WATCHED, now).await?;
        for row in rows {
            // Being heard of is no change.
            let changed = known
                .get(&row.relay_id)
                .is_none_or(|k| RelayRow { last_seen_at: row.last_seen_at, ..k.clone() } != row);
            if changed {
                let message = WatchRelaysResponse { relay: Some(to_message(&row)?) };
                known.insert(row.relay_id, row);
                if sender.send(Ok(message)).await.is_err() {
                    return Ok(());
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = sender.closed() => return Ok(()),
            () = app.cancel.cancelled() => return Ok(()),
        }
    }
}

/// Narrows to a parent; a fleet that is named must be there.
async fn within(db: &mut PgConnection, scope: &Scope, parent: &FleetName) -> Result<Wanted, Error> {
    let fleet = (parent.fleet != "-").then(|| parent.fleet.clone());
    if parent.tenant != "-" && fleet.is_some() {
        fleets::get(db, parent).await?;
    }
    Ok(Wanted { tenant: scope.tenant().map(str::to_owned), fleet, ..Wanted::default() })
}

fn named(field: &'static str, name: &str) -> Result<(RelayName, Uuid), Error> {
    let name = RelayName::parse(field, name)?;
    let id = uuid_part(&name.to_string(), &name.relay)?;
    Ok((name, id))
}

fn one(name: &RelayName, id: Uuid) -> Wanted {
    Wanted {
        tenant: Some(name.tenant.clone()),
        fleet: Some(name.fleet.clone()),
        relay: Some(id),
        ..Wanted::default()
    }
}

fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, Error> {
    M::decode(bytes).map_err(|e| Error::Internal(e.into()))
}

fn to_message(row: &RelayRow) -> Result<Relay, Error> {
    let status = row
        .settings_status
        .as_deref()
        .map(decode::<SettingsStatus>)
        .transpose()?
        .unwrap_or_default();
    let state = match (row.session_since, row.left_at) {
        (Some(_), _) => RelayState::Connected,
        (None, Some(_)) => RelayState::Left,
        (None, None) => RelayState::Disconnected,
    };
    Ok(Relay {
        name: format!("tenants/{}/fleets/{}/relays/{}", row.tenant_id, row.fleet_id, row.relay_id),
        state: state.into(),
        phase: row.phase.unwrap_or_default().into(),
        desired_revision: row.desired_revision.unsigned_abs(),
        running_revision: row.running_revision.unsigned_abs(),
        settings_phase: row.settings_phase.into(),
        attempted_revision: status.attempted_revision,
        violations: status.violations,
        secret_version: row.secret_version.unsigned_abs(),
        address: row.address.clone(),
        availability_zone: row.availability_zone.clone(),
        task_arn: row.task_arn.clone(),
        software_version: row.software_version.clone(),
        enroll_time: Some(to_proto(row.enrolled_at)),
        session_time: row.session_since.map(to_proto),
        last_seen_time: row.last_seen_at.map(to_proto),
        certificate_expire_time: Some(to_proto(row.certificate_expires_at)),
        health: None,
        revoke_time: row.revoked_at.map(to_proto),
        drain_time: row.drain_requested_at.map(to_proto),
        listed_in: row.listed_in.clone(),
    })
}
