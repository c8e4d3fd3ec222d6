//! A relay from start to exit: enroll or load, open a session, apply, probe, register, serve, drain.
//!
//! Everything long-lived runs in one set of tasks; one that ends before its time ends the process. Nothing waits for the
//! control plane: what was saved serves until it is heard.
mod leaving;
mod starting;

use std::{
    collections::HashMap,
    future::Future,
    io,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use ekiden_proto::relay::v1::{Listing, RelayDescription, ServiceListing};
use ekiden_settings::AssumedRole;
use serde_json::json;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::sleep,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    apply::Applier,
    channel::{ChannelError, Dialer, Trust},
    clock::Clock,
    collector::Keys,
    data_plane::DataPlane,
    ecs_metadata::{self, Task},
    environment::Environment,
    error_chain::chain,
    health::{Health, Sources, Told},
    identity::{Store, aws_role::AwsRole, keeper::Keeper},
    last_good::LastGood,
    local_http::LocalHttp,
    metrics, probe,
    registry::{
        cloud_map::{Aws, CloudMap},
        fitness::{Fitness, Surroundings},
        membership::{Inputs, Membership, Place, Registration, Registries},
        reaping::Reaping,
    },
    resolver::{Resolver, SetupError},
    session::{self, Subject, View, orders::Orders, standing::Standing},
    state_dir::StateDir,
};

use leaving::Leaving;

/// The task metadata endpoint allows 40 requests a second (Amazon ECS Developer Guide); a stop is hardly ever known there first.
const LOOK_AT_TASK: Duration = Duration::from_secs(5);

/// File in the state folder that says where the local HTTP server listens.
pub const ENDPOINTS: &str = "endpoints.json";

/// Why a relay cannot run, or not on.
#[derive(Debug, thiserror::Error)]
pub enum LifecycleError {
    /// The state folder cannot be used.
    #[error("the state folder (EKIDEN_STATE_DIR) cannot be used")]
    StateDir(#[source] io::Error),
    /// The local HTTP server cannot listen.
    #[error("the local HTTP server cannot listen (EKIDEN_HTTP_LISTEN)")]
    LocalHttp(#[source] io::Error),
    /// There are no name servers.
    #[error(transparent)]
    Resolver(#[from] SetupError),
    /// What the environment says to run cannot be run, and there is no control plane to say something else.
    #[error("the settings of the environment do not run: {0}")]
    Bootstrap(String),
    /// The control plane's address is no good.
    #[error(transparent)]
    ControlPlane(#[from] ChannelError),
    /// A part of the relay ended before its time.
    #[error("the relay's part `{0}` ended before its time")]
    PartEnded(&'static str),
    /// A part of the relay failed.
    #[error("a part of the relay failed")]
    PartFailed(#[source] tokio::task::JoinError),
}

/// Runs a relay until `stops` names a reason to stop and it has drained; a second reason cuts draining short.
///
/// # Errors
/// [`LifecycleError`] when it cannot start, or a part of it fails.
pub async fn run(
    environment: Environment,
    clock: Clock,
    mut stops: mpsc::Receiver<&'static str>,
) -> Result<(), LifecycleError> {
    let folder = StateDir::open(&environment.state_dir).map_err(LifecycleError::StateDir)?;
    let resolver = Resolver::new(&environment.resolvers)?;
    let trust = Trust::new(&environment.roots);
    let dialer = environment.control_plane.clone().map(|control_plane| {
        Dialer::new(control_plane, environment.server_name.clone(), trust, resolver.clone())
    });
    let dialer = dialer.transpose()?;
    let place = place(&environment).await;

    let (cancel, tracker) = (CancellationToken::new(), TaskTracker::new());
    let data_plane = DataPlane::new(
        resolver.clone(),
        environment.listen_address,
        cancel.clone(),
        tracker.clone(),
    );
    let standing = Arc::new(Standing::new(clock.clone()));
    let applier = Applier {
        standing: Arc::clone(&standing),
        data_plane: data_plane.clone(),
        fitness: fitness(&environment, &place),
        last_good: LastGood::new(folder.clone()),
        settings: watch::Sender::new(None),
        keys: watch::Sender::new(Arc::new(Keys::default())),
        probe: watch::Sender::new(probe::Cause::default()),
    };
    let (identity, enrollment) = (watch::Sender::new(None), watch::Sender::new(String::new()));
    let (view, registration) =
        (watch::Sender::new(View::default()), watch::Sender::new(Registration::default()));
    let (orders, leave) = (Orders::default(), watch::Sender::new(None));
    let health = Health::new(Sources {
        clock: clock.clone(),
        started_at: clock.now(),
        data_plane: data_plane.clone(),
        settings: applier.settings.subscribe(),
        keys: applier.keys.subscribe(),
        running: standing.running(),
        identity: identity.subscribe(),
        enrollment: enrollment.subscribe(),
        session: view.subscribe(),
        registration: registration.subscribe(),
        told: Told {
            control_plane: dialer.is_some(),
            bootstrap: environment.bootstrap.as_ref().map(|it| Arc::clone(&it.settings)),
            notices: environment.notices.as_slice().into(),
        },
        draining: cancel.child_token(),
        leave: leave.subscribe(),
    });
    metrics::otlp::export(&ekiden_telemetry::meter("ekiden.relay"), &health);

    let local_http = LocalHttp::bind(environment.http_listen, health.clone())
        .await
        .map_err(LifecycleError::LocalHttp)?;
    let http_address = local_http.address().map_err(LifecycleError::LocalHttp)?;
    folder
        .replace(ENDPOINTS, json!({ "http": http_address.to_string() }).to_string().as_bytes())
        .map_err(LifecycleError::StateDir)?;
    tracing::info!(http.address = %http_address, "The relay starts");

    starting::begin(&applier, &environment).await?;

    let inputs = Inputs {
        settings: applier.settings.subscribe(),
        identity: identity.subscribe(),
        delivers: health.delivers(),
        running: standing.running(),
        assignment: orders.assignment.subscribe(),
        departure: orders.departure.clone(),
    };
    let settings = applier.settings.clone();
    let mut membership = Membership::new(
        inputs,
        Place {
            address: place.address,
            zone: place.task.zone.clone(),
            task: starting::instance(&place.task, dialer.is_some()),
        },
        registries(&place),
        resolver,
        clock.clone(),
        registration.clone(),
    );
    let goodbye = watch::Sender::new(None);
    let subject = Subject {
        description: describe(&place),
        standing,
        report: {
            let health = health.clone();
            Arc::new(move || health.report())
        },
        urgent: health.urgent(),
        view: view.clone(),
        orders: orders.clone(),
        clock: clock.clone(),
    };
    let mut parts = Parts::default();
    parts.start(
        "probing collectors",
        probe::run(
            data_plane.clone(),
            applier.probe.subscribe(),
            health.delivers(),
            rand::random::<f64>,
        ),
    );
    match dialer {
        None => {
            orders.departure.nobody_decides();
            parts.start("session", starting::no_session(goodbye.subscribe()));
        }
        Some(dialer) => {
            let keeper = Keeper {
                dialer: dialer.clone(),
                store: Store::new(folder.clone()),
                role: environment.fleet.clone().map(|fleet| (AwsRole::default(), fleet)),
                token: environment.enrollment_token.clone(),
                description: subject.description.clone(),
                clock: subject.clock.clone(),
                message: enrollment,
            };
            parts.start(
                "session",
                session::keep(
                    dialer,
                    identity.subscribe(),
                    subject,
                    goodbye.subscribe(),
                    rand::random::<f64>,
                ),
            );
            parts.start("identity", keeper.keep(identity, view.subscribe(), rand::random::<f64>));
        }
    }
    parts.start("applying settings", applier.run(rand::random::<f64>));
    parts.start("health", health.clone().run());
    parts.start("local HTTP server", local_http.serve());

    let reaping = Reaping {
        settings: settings.subscribe(),
        registries: Arc::new(registries(&place)),
        orders: orders.clone(),
    };
    parts.start("reaping", reaping.run());
    parts.start("shedding", shed(data_plane.clone(), orders.clone()));
    parts.start("telling of siblings", tell_siblings(registration.subscribe(), orders.clone()));
    let reason = tokio::select! {
        () = membership.run(rand::random::<f64>) => return Err(LifecycleError::PartEnded("registration")),
        ended = parts.ended() => return Err(ended),
        reason = stops.recv() => reason.unwrap_or("SIGTERM"),
        () = drained(&orders) => "drained",
        () = ecs_stops(&environment) => "ecs_stopped",
    };
    tracing::info!(reason, "The relay leaves");
    let leaving = Leaving {
        reason,
        stop_timeout: environment.stop_timeout,
        clock: &clock,
        health: &health,
        told: &leave,
        data_plane: &data_plane,
        membership: &mut membership,
        goodbye: &goodbye,
        parts: &mut parts,
    };
    leaving.leave(&mut stops).await;
    cancel.cancel();
    tracker.close();
    parts.stop().await;
    if let Err(error) = folder.remove(ENDPOINTS) {
        tracing::info!(error = %error, "The relay leaves its endpoints.json behind");
    }
    tracing::info!("The relay has left");
    Ok(())
}

/// Where this relay is.
struct Whereabouts {
    address: Option<IpAddr>,
    task: Task,
}

async fn place(environment: &Environment) -> Whereabouts {
    let task = match &environment.ecs_metadata {
        None => Task::default(),
        Some(endpoint) => ecs_metadata::task(endpoint).await.unwrap_or_else(|error| {
            tracing::warn!(error = %chain(&error), "The relay starts without knowing its ECS task");
            Task::default()
        }),
    };
    let listens = Some(environment.listen_address).filter(|address| !address.is_unspecified());
    Whereabouts { address: environment.advertise_address.or(task.address).or(listens), task }
}

fn describe(place: &Whereabouts) -> RelayDescription {
    RelayDescription {
        software_version: env!("CARGO_PKG_VERSION").to_owned(),
        address: place.address.map(|address| address.to_string()).unwrap_or_default(),
        availability_zone: place.task.zone.clone().unwrap_or_default(),
        task_arn: place.task.arn.clone().unwrap_or_default(),
        hostname: rustix::system::uname().nodename().to_string_lossy().into_owned(),
    }
}

fn fitness(environment: &Environment, place: &Whereabouts) -> Fitness {
    let surroundings = Surroundings {
        stop_timeout: environment.stop_timeout,
        listens: environment.listen_address,
        advertised: environment.advertise_address,
        task: place.task.address,
    };
    Fitness { surroundings, registries: registries(place) }
}

/// One set of credentials a role, however many services there are.
fn registries(place: &Whereabouts) -> Registries {
    let region = place.task.region().map(ToOwned::to_owned);
    let opened: Mutex<HashMap<Option<AssumedRole>, Aws>> = Mutex::default();
    Box::new(move |at, service| {
        let mut opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Aws::new(region.clone(), at.role.clone());
        let aws = opened.entry(at.role.clone()).or_insert_with(new).clone();
        Arc::new(CloudMap::new(aws, service.id.clone()))
    })
}

/// Tells the control plane who else is listed where this relay is.
async fn tell_siblings(mut registration: watch::Receiver<Registration>, orders: Orders) {
    loop {
        let others = registration.borrow_and_update().others.clone();
        let services = others
            .into_iter()
            .map(|(service_id, relays)| ServiceListing { service_id, relays })
            .collect();
        orders.listing.send_replace(Listing { services });
        if registration.changed().await.is_err() {
            return;
        }
    }
}

/// Lets connections go when the control plane sees that this relay has more than its share.
async fn shed(data_plane: DataPlane, orders: Orders) {
    let mut asked = orders.shed.subscribe();
    while asked.changed().await.is_ok() {
        let (connections, within) = *asked.borrow_and_update();
        let picked = data_plane.shed(connections, within, rand::random::<f64>);
        tracing::info!(
            asked = connections,
            picked,
            "The relay lets connections go, for siblings that have fewer"
        );
    }
}

/// Comes back when an operator asks the relay to leave.
async fn drained(orders: &Orders) {
    if orders.drain.subscribe().wait_for(|drain| *drain).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Comes back when ECS says that it stops the task, which may be before SIGTERM.
async fn ecs_stops(environment: &Environment) {
    let Some(endpoint) = &environment.ecs_metadata else { return std::future::pending().await };
    loop {
        sleep(LOOK_AT_TASK).await;
        match ecs_metadata::task(endpoint).await {
            Ok(task) if task.stops => return,
            Ok(_) => {}
            Err(error) => tracing::debug!(error = %chain(&error), "The task's state is not known"),
        }
    }
}

/// The long-lived tasks.
#[derive(Default)]
struct Parts {
    tasks: JoinSet<&'static str>,
}

impl Parts {
    fn start(&mut self, name: &'static str, part: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(async move {
            part.await;
            name
        });
    }

    /// Comes back when a part has ended.
    async fn ended(&mut self) -> LifecycleError {
        match self.tasks.join_next().await {
            Some(Ok(name)) => LifecycleError::PartEnded(name),
            Some(Err(error)) => LifecycleError::PartFailed(error),
            None => std::future::pending().await,
        }
    }

    /// Comes back when the part called `wanted` has ended, whatever the others do.
    async fn until_ended(&mut self, wanted: &'static str) {
        while let Some(ended) = self.tasks.join_next().await {
            if ended.is_ok_and(|name| name == wanted) {
                return;
            }
        }
    }

    async fn stop(&mut self) {
        tokio::time::timeout(Duration::from_secs(1), self.tasks.shutdown()).await.ok();
    }
}

#[cfg(test)]
#[path = "lifecycle_tests.rs"]
mod tests;
