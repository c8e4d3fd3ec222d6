//! Simulated relays: the relay's own session code over mTLS, each in a task of this process, against a real control plane.
use std::{sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use ekiden_proto::{
    admin::v1::{Collector, Fleet},
    health::v1::HealthReport,
    relay::v1::RelayDescription,
    settings::v1::{CollectorProtocol, Endpoint, Listener, ListenerProtocol},
};
use ekiden_relay::{
    channel::{Dialer, Trust},
    clock::Clock,
    environment::ControlPlane as Target,
    identity::enrollment::enroll,
    resolver::Resolver,
    session::{self, Subject, View, orders::Orders, standing::Standing},
};
use ekiden_settings::Host;
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{
    measured::{cpu_seconds, resident_of},
    report::median,
};
use crate::harness::{ControlPlane, Operator, World, world::CONTROL_PLANE_NAME};

const SAFETY: Duration = Duration::from_secs(120);

/// Measures `relays` sessions: set-up, memory in the server, and `rounds` changes from commit to the last relay's APPLIED.
///
/// # Errors
/// When a step fails; it says which.
pub async fn measure(relays: usize, rounds: usize) -> Result<String> {
    let world = World::start().await?;
    let mut control_plane =
        ControlPlane::start(&world, &[("OTEL_SDK_DISABLED", "true"), ("EKIDEN_LOG", "info")])
            .await?;
    let operator = control_plane.operator()?;
    let (collector, fleet) = customer(&operator).await?;
    let token = operator.create_enrollment_token(&fleet, u32::try_from(relays)?).await?;
    let dialer = dialer(&world, &control_plane)?;
    let pid = control_plane.process().id().context("the control plane is gone")?;
    let (memory, cpu, begun) = (resident_of(pid)?, cpu_seconds(pid)?, Instant::now());
    let mut tasks = JoinSet::new();
    let (_stay, goodbye) = watch::channel(None);
    // A storm that the control plane's own limits would answer with RetryInfo is another measurement.
    let enrolling = Arc::new(Semaphore::new(32));
    let mut running = Vec::with_capacity(relays);
    for _ in 0..relays {
        let standing = Arc::new(Standing::new(Clock::system()));
        running.push(standing.running());
        let (dialer, token, enrolling, goodbye) =
            (dialer.clone(), token.clone().into(), Arc::clone(&enrolling), goodbye.clone());
        tasks.spawn(async move {
            let Ok(permit) = enrolling.acquire().await else { return };
            let identity = enroll(&dialer, &token, RelayDescription::default()).await;
            drop(permit);
            if let Ok(identity) = identity {
                simulate(dialer, identity, standing, goodbye).await;
            }
        });
    }
    let first = reached(&mut running, 1, begun).await.context("the first settings")?;
    let set_up_cpu = cpu_seconds(pid)? - cpu;
    // Allocators settle and enrollment's connections close within moments.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let per_session = resident_of(pid)?.saturating_sub(memory) as f64 / relays as f64;

    let (mut middles, mut lasts, mut cpus) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds as u64 {
        let used = cpu_seconds(pid)?;
        let endpoint =
            Endpoint { host: format!("moved-{round}.vendor.test"), port: 4317, priority: 0 };
        operator.change_endpoints(&collector, vec![endpoint]).await?;
        let committed = Instant::now();
        let times = reached(&mut running, round + 2, committed).await.context("a change")?;
        middles.push(median(times.clone()) * 1e3);
        lasts.push(times.iter().copied().fold(0.0, f64::max) * 1e3);
        cpus.push((cpu_seconds(pid)? - used) * 1e6 / relays as f64);
    }
    Ok(format!(
        "| what | figure |\n|---|---|\n\
         | enrolled, connected and running the first settings, all | {:.1} s, {:.0} µs of CPU a relay (Postgres included) |\n\
         | server memory a session | {:.1} KiB |\n\
         | commit → applied, median relay | {:.0} ms |\n\
         | commit → applied, last relay | {:.0} ms |\n\
         | CPU of a change, a relay (Postgres included) | {:.0} µs |\n",
        first.iter().copied().fold(0.0, f64::max),
        set_up_cpu * 1e6 / relays as f64,
        per_session / 1024.0,
        median(middles),
        median(lasts),
        median(cpus),
    ))
}

/// What connects relays to the control plane.
pub(super) fn dialer(world: &World, control_plane: &ControlPlane) -> Result<Dialer> {
    let roots = vec![CertificateDer::from_pem_slice(&control_plane.ca_pem()?)?];
    let at = control_plane.relays();
    Ok(Dialer::new(
        Target::Host { host: Host::Address(at.ip()), port: at.port() },
        Some(ServerName::try_from(CONTROL_PLANE_NAME)?),
        Trust::new(&roots),
        Resolver::new(&[world.dns.address()])?,
    )?)
}

/// A relay that says APPLIED at once.
async fn simulate(
    dialer: Dialer,
    identity: Arc<ekiden_relay::identity::Identity>,
    standing: Arc<Standing>,
    goodbye: watch::Receiver<Option<&'static str>>,
) {
    let (_identities, identity) = watch::channel(Some(identity));
    let (_due, urgent) = watch::channel(0);
    let clock = Clock::system();
    let subject = Subject {
        orders: Orders::default(),
        description: RelayDescription::default(),
        standing: Arc::clone(&standing),
        report: Arc::new(move || HealthReport {
            observed_at: Some(clock.timestamp()),
            ..HealthReport::default()
        }),
        urgent,
        view: watch::channel(View::default()).0,
        clock: Clock::system(),
    };
    let applying = async {
        let (mut desired, mut keys) = (standing.desired(), standing.keys());
        loop {
            let changed = tokio::select! {
                changed = desired.changed() => changed,
                changed = keys.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
            let (wanted, bundle) =
                (desired.borrow_and_update().clone(), keys.borrow_and_update().clone());
            if let Some(bundle) = bundle {
                standing.keys_taken(&bundle);
            }
            if let Some(wanted) = wanted
                && !standing.runs(&wanted)
            {
                standing.applied(&wanted);
            }
        }
    };
    tokio::select! {
        () = applying => {}
        () = session::keep(dialer, identity, subject, goodbye, rand::random::<f64>) => {}
    }
}

/// Waits until each relay runs `revision`; gives the seconds since `begun` for each.
async fn reached(
    running: &mut [watch::Receiver<session::standing::Running>],
    revision: u64,
    begun: Instant,
) -> Result<Vec<f64>> {
    let mut waits = JoinSet::new();
    for relay in running.iter().cloned() {
        let mut relay = relay;
        waits.spawn(async move {
            let there = timeout(SAFETY, relay.wait_for(|r| r.revision >= revision)).await;
            matches!(there, Ok(Ok(_))).then(|| begun.elapsed().as_secs_f64())
        });
    }
    let mut times = Vec::with_capacity(running.len());
    while let Some(done) = waits.join_next().await {
        times.extend(done?);
    }
    ensure!(times.len() == running.len(), "{} of {} relays got there", times.len(), running.len());
    Ok(times)
}

/// Names of a collector and of a fleet that sends to it.
pub(super) async fn customer(operator: &Operator) -> Result<(String, String)> {
    let tenant = operator.create_tenant("bench").await?.name;
    let endpoint = Endpoint { host: "vendor.test".to_owned(), port: 4317, priority: 0 };
    let collector = Collector {
        protocol: CollectorProtocol::OtlpGrpc.into(),
        endpoints: vec![endpoint],
        ..Collector::default()
    };
    let collector = operator.create_collector(&tenant, "vendor", collector).await?.name;
    let listener = Listener {
        name: "otlp".to_owned(),
        port: 4317,
        protocol: ListenerProtocol::Otlp.into(),
        collector: collector.clone(),
        ..Listener::default()
    };
    let fleet = Fleet { listeners: vec![listener], ..Fleet::default() };
    Ok((collector, operator.create_fleet(&tenant, "bench", fleet).await?.name))
}
