//! What the relay says of itself.
//!
//! - [`assessment`]: from facts to a judgement.
//! - `process`: the process as the kernel sees it.

mod assessment;
mod process;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use ekiden_proto::health::v1::{
    CollectorHealth, DiscoveryHealth, HealthReport, Leave, ListenerHealth, ProcessHealth,
    ServiceRecord,
};
use ekiden_settings::CheckedSettings;
use prost::Message;
use time::OffsetDateTime;
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::{
    clock::{Clock, to_timestamp},
    collector::Keys,
    data_plane::{DataPlane, DataPlaneHealth},
    environment::Notice,
    identity::Identity,
    registry::membership::Registration,
    session::{View, standing::Running},
};

pub use assessment::Assessment;
use assessment::{EVERY, Facts, Memory, assess};

/// A message from relay to control plane is at most 64 KiB; this leaves room for its envelope.
const LARGEST_REPORT: usize = 60 * 1024;
/// Counting open files costs with their number.
const PROCESS_EVERY: Duration = Duration::from_secs(5);

/// Everything of a running relay that its health is told from. All of it is shared and cheap to clone.
#[derive(Clone)]
pub struct Sources {
    /// The machine's clock.
    pub clock: Clock,
    /// When the process started.
    pub started_at: OffsetDateTime,
    /// What runs the settings.
    pub data_plane: DataPlane,
    /// The settings that run.
    pub settings: watch::Receiver<Option<Arc<CheckedSettings>>>,
    /// The keys in use.
    pub keys: watch::Receiver<Arc<Keys>>,
    /// What runs, and how the last attempt went.
    pub running: watch::Receiver<Running>,
    /// Who this relay is.
    pub identity: watch::Receiver<Option<Arc<Identity>>>,
    /// What is wrong with who it is; empty: nothing.
    pub enrollment: watch::Receiver<String>,
    /// How the session fares.
    pub session: watch::Receiver<View>,
    /// How the registration fares.
    pub registration: watch::Receiver<Registration>,
    /// What the environment told.
    pub told: Told,
    /// Cancelled when the relay leaves.
    pub draining: CancellationToken,
    /// How far it has come with that.
    pub leave: watch::Receiver<Option<Leave>>,
}

/// What health needs to know of the environment.
#[derive(Clone, Debug)]
pub struct Told {
    /// Whether there is a control plane to be heard.
    pub control_plane: bool,
    /// Settings to run until it was.
    pub bootstrap: Option<Arc<CheckedSettings>>,
    /// What of the environment has not the effect that it was set for.
    pub notices: Arc<[Notice]>,
}

/// Makes health reports, and keeps the judgement that they carry.
#[derive(Clone)]
pub struct Health {
    sources: Sources,
    memory: Arc<Mutex<Memory>>,
    process: Arc<Mutex<Option<(Instant, ProcessHealth)>>>,
    assessment: watch::Sender<Arc<Assessment>>,
    delivers: watch::Sender<bool>,
    urgent: watch::Sender<u64>,
    local_http_failures: Arc<AtomicU64>,
}

impl Health {
    /// Health told from `sources`.
    pub fn new(sources: Sources) -> Self {
        Self {
            sources,
            memory: Arc::default(),
            process: Arc::default(),
            assessment: watch::Sender::new(Arc::default()),
            delivers: watch::Sender::new(false),
            urgent: watch::Sender::new(0),
            local_http_failures: Arc::default(),
        }
    }

    /// The judgement, made anew every second and at each change that could alter it.
    pub fn assessment(&self) -> watch::Receiver<Arc<Assessment>> {
        self.assessment.subscribe()
    }

    /// Whether what arrives would reach the collectors.
    pub fn delivers(&self) -> watch::Receiver<bool> {
        self.delivers.subscribe()
    }

    /// Changes when a report is due before its time.
    pub fn urgent(&self) -> watch::Receiver<u64> {
        self.urgent.subscribe()
    }

    /// Says from now on that the relay leaves.
    pub fn drain(&self) {
        self.sources.draining.cancel();
        self.judge();
    }

    /// Judges for as long as the process runs.
    pub async fn run(self) {
        let Sources {
            mut settings,
            mut keys,
            mut running,
            mut registration,
            draining,
            mut leave,
            ..
        } = self.sources.clone();
        let mut drained = false;
        loop {
            self.judge();
            tokio::select! {
                () = sleep(EVERY) => {}
                Ok(()) = settings.changed() => {}
                Ok(()) = keys.changed() => {}
                Ok(()) = running.changed() => {}
                Ok(()) = registration.changed() => {}
                Ok(()) = leave.changed() => self.urgent.send_modify(|count| *count += 1),
                () = draining.cancelled(), if !drained => drained = true,
            }
        }
    }

    /// Makes the judgement anew and tells those who wait for it.
    pub fn judge(&self) {
        let facts = self.facts();
        let judged =
            assess(&facts, &mut self.memory.lock().unwrap_or_else(PoisonError::into_inner));
        let delivers = judged.delivers;
        let mut differs = false;
        self.assessment.send_if_modified(|assessment| {
            differs = judged.differs(assessment);
            let changed = **assessment != judged;
            if changed {
                *assessment = Arc::new(judged);
            }
            changed
        });
        self.delivers.send_if_modified(|before| std::mem::replace(before, delivers) != delivers);
        if differs {
            self.urgent.send_modify(|count| *count += 1);
        }
    }

    /// A full report, as of now.
    pub fn report(&self) -> HealthReport {
        self.judge();
        let sources = &self.sources;
        let assessment = Arc::clone(&self.assessment.borrow());
        let data_plane = sources.data_plane.health();
        let registration = sources.registration.borrow().clone();
        let identity = sources.identity.borrow().clone();
        let mut report = HealthReport {
            observed_at: Some(sources.clock.timestamp()),
            started_at: Some(to_timestamp(sources.started_at)),
            phase: assessment.phase.into(),
            listeners: data_plane.listeners,
            collectors: data_plane.collectors,
            discovery: discovery(&registration),
            certificate_expires_at: identity.map(|identity| to_timestamp(identity.not_after)),
            secret_version: sources.keys.borrow().secret_version(),
            conditions: assessment.conditions.clone(),
            process: Some(self.process()),
            leave: sources.leave.borrow().clone(),
            undelivered: !assessment.delivers,
        };
        fit(&mut report);
        report
    }

    /// Listeners and collectors, as of now.
    pub fn data_plane(&self) -> DataPlaneHealth {
        self.sources.data_plane.health()
    }

    /// Counts a connection to the local HTTP server that was no sound HTTP.
    pub fn local_http_failed(&self) {
        self.local_http_failures.fetch_add(1, Relaxed);
    }

    /// Connections to the local HTTP server that were no sound HTTP.
    pub fn local_http_failures(&self) -> u64 {
        self.local_http_failures.load(Relaxed)
    }

    /// How the session fares.
    pub fn session(&self) -> View {
        self.sources.session.borrow().clone()
    }

    /// What runs.
    pub fn running(&self) -> Running {
        self.sources.running.borrow().clone()
    }

    fn process(&self) -> ProcessHealth {
        let mut measured = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        match *measured {
            Some((at, process)) if at.elapsed() < PROCESS_EVERY => process,
            _ => measured.insert((Instant::now(), process::process())).1,
        }
    }

    fn facts(&self) -> Facts {
        let sources = &self.sources;
        let identity = sources.identity.borrow().clone();
        Facts {
            now: sources.clock.now(),
            draining: sources.draining.is_cancelled(),
            settings: sources.settings.borrow().clone(),
            keys: Arc::clone(&sources.keys.borrow()),
            running: sources.running.borrow().clone(),
            collectors: sources.data_plane.health().collectors,
            registration: sources.registration.borrow().clone(),
            session: sources.session.borrow().clone(),
            enrollment: sources.enrollment.borrow().clone(),
            told: sources.told.clone(),
            certificate_ends: identity.as_ref().map(|identity| identity.not_after),
            renew_at: identity.as_ref().map(|identity| identity.renew_at),
            process: self.process(),
            open_files_limit: process::open_files_limit(),
        }
    }
}

fn discovery(registration: &Registration) -> Option<DiscoveryHealth> {
    let services = registration.services.iter().map(|one| ServiceRecord {
        service_id: one.id.clone(),
        dns_name: one.dns_name.clone(),
        listed: one.listed,
        registered: one.registered,
        in_dns: one.in_dns,
        message: one.message.clone(),
    });
    (registration.wanted || !registration.services.is_empty()).then(|| DiscoveryHealth {
        registered: registration.registered(),
        in_dns: registration.in_dns(),
        address: registration.address.map(|address| address.to_string()).unwrap_or_default(),
        message: registration.message().to_owned(),
        verified_at: registration.verified_at(),
        services: services.collect(),
    })
}

/// Leaves texts out, then counts of causes, of a report that would be too large to send.
fn fit(report: &mut HealthReport) {
    let shorten: [fn(&mut HealthReport); 3] = [
        |report| {
            report
                .collectors
                .iter_mut()
                .for_each(|collector: &mut CollectorHealth| collector.message.clear())
        },
        |report| report.conditions.iter_mut().for_each(|condition| condition.message.clear()),
        |report| {
            report
                .listeners
                .iter_mut()
                .for_each(|listener: &mut ListenerHealth| listener.closed.clear())
        },
    ];
    for shorten in shorten {
        if report.encoded_len() <= LARGEST_REPORT {
            return;
        }
        shorten(report);
    }
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health")
            .field("assessment", &self.assessment.borrow())
            .finish_non_exhaustive()
    }
}
