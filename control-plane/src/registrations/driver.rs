//! Looks each second at relays that are gone, that are to drain, and at fleets with cells, and tells the sessions here.
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use ekiden_proto::{
    health::v1::HealthReport,
    relay::v1::{GoneRelay, Reap, Shed},
    settings::v1::Settings,
};
use prost::Message;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    balance::{self, Load},
    gone::due,
    placement::place,
};
use crate::{
    app::App,
    error::Error,
    names::FleetName,
    sessions::Order,
    store::{
        registrations::{self, ListedRow},
        scope::Scope,
    },
};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Processes whose lease ended are rare, and their relays come back elsewhere: each so many looks.
const LEASES_EVERY: u64 = 10;
/// A sibling that says nothing for this long is not waited for.
const ANSWER_WITHIN: time::Duration = time::Duration::seconds(15);

/// Looks until cancelled.
pub async fn run(app: &App) {
    let mut troubled = false;
    let (mut looks, mut balanced_at) = (0, Instant::now());
    loop {
        tokio::select! {
            () = app.cancel.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        looks += 1;
        let to_balance = balanced_at.elapsed() >= app.settings.balance_interval;
        if to_balance {
            balanced_at = Instant::now();
        }
        let looked = look(app, looks, to_balance).await;
        if let Err(error) = &looked
            && !troubled
        {
            tracing::info!(error = error.cause(), "Registrations cannot be looked at just now");
        }
        troubled = looked.is_err();
    }
}

async fn look(app: &App, looks: u64, to_balance: bool) -> Result<(), Error> {
    if app.live.count() == 0 {
        return Ok(());
    }
    drain(app).await?;
    reap(app, looks.is_multiple_of(LEASES_EVERY)).await?;
    place_in_cells(app).await?;
    if to_balance {
        balance(app).await?;
    }
    Ok(())
}

async fn drain(app: &App) -> Result<(), Error> {
    let mut db = app.pool.begin(&Scope::Provider).await?;
    for relay in registrations::to_drain(&mut db).await? {
        app.live.order(relay, Order::Drain);
    }
    Ok(())
}

/// Asks one sibling of each fleet about those that are gone.
async fn reap(app: &App, ended_leases: bool) -> Result<(), Error> {
    let now = app.clock.now();
    let mut db = app.pool.begin(&Scope::Provider).await?;
    let rows = registrations::of_fleets_with_gone(&mut db, now, ended_leases).await?;
    let mut fleets: HashMap<(&str, &str), Vec<&ListedRow>> = HashMap::new();
    for row in &rows {
        fleets.entry((&row.tenant_id, &row.fleet_id)).or_default().push(row);
    }
    for ((tenant, fleet), rows) in fleets {
        let siblings: Vec<Uuid> = rows
            .iter()
            .filter(|row| row.gone_at.is_none() && !row.leaving && app.live.has(row.relay_id))
            .map(|row| row.relay_id)
            .collect();
        // Another one each time: one that cannot do it must not be asked for ever.
        let turn = usize::try_from(now.unix_timestamp()).unwrap_or(0) % siblings.len().max(1);
        let Some(sibling) = siblings.get(turn) else { continue };
        let due = due(&rows, now);
        if due.is_empty() {
            continue;
        }
        let claimed = registrations::claim(&mut db, &due, now, now + ANSWER_WITHIN).await?;
        let relays: Vec<GoneRelay> = rows
            .iter()
            .filter(|row| claimed.contains(&row.relay_id))
            .map(|row| GoneRelay {
                relay: row.relay_id.to_string(),
                epoch: row.epoch.unsigned_abs(),
            })
            .collect();
        if relays.is_empty() {
            continue;
        }
        tracing::info!(
            tenant.id = tenant, fleet.id = fleet, relay.id = %sibling, gone = relays.len(),
            "A relay is asked to take out the records of siblings that are gone"
        );
        app.metrics.reaps_asked(relays.len() as u64);
        app.live.order(*sibling, Order::Reap(Reap { relays }));
    }
    Ok(db.commit().await?)
}

/// Tells relays of fleets with cells in which they are to be.
async fn place_in_cells(app: &App) -> Result<(), Error> {
    for fleet in app.live.fleets() {
        let cells = cells(app, &fleet);
        let placed = match cells.is_empty() {
            true => HashMap::new(),
            false => {
                let mut db = app.pool.begin(&Scope::Provider).await?;
                let staying = registrations::staying(&mut db, &fleet, app.clock.now()).await?;
                place(&staying, &cells)
            }
        };
        app.live.place(&fleet, |relay| {
            let homes = placed.get(&relay).map(Vec::as_slice).unwrap_or_default();
            homes.iter().filter_map(|at| cells.get(*at).cloned()).collect()
        });
    }
    Ok(())
}

/// Asks crowded relays to let connections go.
async fn balance(app: &App) -> Result<(), Error> {
    for fleet in app.live.fleets() {
        let listeners = settings(app, &fleet).listeners.into_iter();
        let letting_go = listeners.filter(|listener| listener.max_connection_age.is_some());
        let letting_go: HashSet<String> = letting_go.map(|listener| listener.name).collect();
        if letting_go.is_empty() {
            continue;
        }
        let mut db = app.pool.begin(&Scope::Provider).await?;
        let rows = registrations::crowds(&mut db, &fleet, app.clock.now()).await?;
        drop(db);
        let loads: Vec<Load> = rows
            .into_iter()
            .map(|row| {
                let report = HealthReport::decode(&*row.report).unwrap_or_default();
                let listeners = report.listeners.iter();
                let open = listeners
                    .filter(|listener| letting_go.contains(&listener.name))
                    .map(|listener| listener.connections_open);
                Load { relay: row.relay_id, connections: open.sum(), in_dns: row.in_dns }
            })
            .collect();
        for (relay, connections) in balance::shed(&loads) {
            // Of those that are connected to another process, that one takes care.
            if !app.live.has(relay) {
                continue;
            }
            tracing::info!(
                tenant.id = fleet.tenant, fleet.id = fleet.fleet, relay.id = %relay, connections,
                "A crowded relay is asked to let connections go"
            );
            app.metrics.sheds_asked(connections);
            let within = prost_types::Duration::try_from(app.settings.balance_interval).ok();
            app.live.order(relay, Order::Shed(Shed { connections, within }));
        }
    }
    Ok(())
}

fn settings(app: &App, fleet: &FleetName) -> Settings {
    let head = app.heads.known(fleet);
    // What is committed was checked before; nothing but this can read it here.
    head.map(|head| Settings::decode(&*head.snapshot.settings).unwrap_or_default())
        .unwrap_or_default()
}

/// Ids of the services of a fleet's cells.
fn cells(app: &App, fleet: &FleetName) -> Vec<String> {
    let settings = settings(app, fleet);
    let cloud_map = settings.discovery.and_then(|discovery| discovery.cloud_map);
    cloud_map.unwrap_or_default().cells.into_iter().map(|cell| cell.service_id).collect()
}
