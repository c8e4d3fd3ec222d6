//! Workloads that send through the fleet by its DNS name: honest ones, and ones that remember their first answer for ever.
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use rand::seq::SliceRandom as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{harness::customer::TCP_PORT, workloads::resolver::Resolver};

/// How long a workload waits for a connection before it tries another address.
const CONNECT: Duration = Duration::from_secs(1);
/// How long it waits for a record's acknowledgement.
const ACKNOWLEDGE: Duration = Duration::from_secs(5);
/// Between two records.
const PAUSE: Duration = Duration::from_millis(200);
const RECORD: usize = 64;

/// What happened to one kind of workloads.
#[derive(Debug, Default)]
pub struct Tally {
    opened: AtomicU64,
    records: AtomicU64,
    refused: AtomicU64,
    reset: AtomicU64,
    timed_out: AtomicU64,
    unacknowledged: AtomicU64,
    unresolved: AtomicU64,
}

/// The same at one moment, or between two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections opened.
    pub opened: u64,
    /// Records acknowledged by the collector.
    pub records: u64,
    /// Connections refused.
    pub refused: u64,
    /// Connections that ended by a reset.
    pub reset: u64,
    /// Connections that nobody answered in time.
    pub timed_out: u64,
    /// Records that were sent and not acknowledged.
    pub unacknowledged: u64,
    /// Names that had no address, or no answer.
    pub unresolved: u64,
}

impl Tally {
    /// Returns what was counted so far.
    pub fn counts(&self) -> Counts {
        Counts {
            opened: self.opened.load(Relaxed),
            records: self.records.load(Relaxed),
            refused: self.refused.load(Relaxed),
            reset: self.reset.load(Relaxed),
            timed_out: self.timed_out.load(Relaxed),
            unacknowledged: self.unacknowledged.load(Relaxed),
            unresolved: self.unresolved.load(Relaxed),
        }
    }
}

impl Counts {
    /// Returns what was counted since `before`.
    pub fn since(self, before: Self) -> Self {
        Self {
            opened: self.opened - before.opened,
            records: self.records - before.records,
            refused: self.refused - before.refused,
            reset: self.reset - before.reset,
            timed_out: self.timed_out - before.timed_out,
            unacknowledged: self.unacknowledged - before.unacknowledged,
            unresolved: self.unresolved - before.unresolved,
        }
    }

    /// Returns how often a workload noticed something.
    pub fn noticed(&self) -> u64 {
        self.refused + self.reset + self.timed_out + self.unacknowledged + self.unresolved
    }
}

/// Running workloads; they stop when dropped.
pub struct Workloads {
    /// What happened to honest ones.
    pub honest: Arc<Tally>,
    /// What happened to those that remember.
    pub caching: Arc<Tally>,
    /// Aborts them when dropped.
    _running: JoinSet<()>,
}

impl Workloads {
    /// Starts so many of each, which ask `resolver` for `name`.
    pub fn start(
        honest: u32,
        caching: u32,
        resolver: SocketAddr,
        name: &str,
    ) -> anyhow::Result<Self> {
        let mut running = JoinSet::new();
        let tallies = [Arc::new(Tally::default()), Arc::new(Tally::default())];
        for number in 0..honest + caching {
            let remembers = number >= honest;
            let tally = Arc::clone(&tallies[usize::from(remembers)]);
            let (resolver, name) = (Resolver::new(resolver)?, name.to_owned());
            running.spawn(async move { work(&resolver, &name, remembers, &tally).await });
        }
        let [honest, caching] = tallies;
        Ok(Self { honest, caching, _running: running })
    }
}

async fn work(resolver: &Resolver, name: &str, remembers: bool, tally: &Tally) {
    let mut first: Option<Ipv4Addr> = None;
    loop {
        let mut addresses = match first {
            Some(first) => vec![first],
            None => resolver.addresses(name).await.unwrap_or_default(),
        };
        addresses.shuffle(&mut rand::rng());
        if addresses.is_empty() {
            tally.unresolved.fetch_add(1, Relaxed);
            sleep(PAUSE).await;
        }
        if remembers && first.is_none() {
            first = addresses.first().copied();
        }
        for address in addresses {
            match timeout(CONNECT, TcpStream::connect((address, TCP_PORT))).await {
                Ok(Ok(stream)) => {
                    tally.opened.fetch_add(1, Relaxed);
                    let held = Duration::from_millis(rand::random_range(2_000..20_000));
                    send(stream, Instant::now() + held, tally).await;
                    break;
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    tally.refused.fetch_add(1, Relaxed);
                }
                Ok(Err(_)) | Err(_) => {
                    tally.timed_out.fetch_add(1, Relaxed);
                }
            }
            sleep(PAUSE).await;
        }
    }
}

/// Sends records and waits for each to come back, until then, or until the relay ends the connection between two of them.
async fn send(mut stream: TcpStream, until: Instant, tally: &Tally) {
    let (mut record, mut answer) = ([0_u8; RECORD], [0_u8; RECORD]);
    while Instant::now() < until {
        rand::fill(&mut record);
        let exchange = async {
            stream.write_all(&record).await?;
            stream.read_exact(&mut answer).await
        };
        match timeout(ACKNOWLEDGE, exchange).await {
            Ok(Ok(_)) if answer == record => {
                tally.records.fetch_add(1, Relaxed);
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => {
                tally.reset.fetch_add(1, Relaxed);
                tally.unacknowledged.fetch_add(1, Relaxed);
                return;
            }
            Ok(_) | Err(_) => {
                tally.unacknowledged.fetch_add(1, Relaxed);
                return;
            }
        }
        // An end between two records, in good order, loses nothing: the next connection goes on.
        match timeout(PAUSE, stream.read(&mut answer)).await {
            Err(_) => {}
            Ok(Ok(_)) => return,
            Ok(Err(_)) => {
                tally.reset.fetch_add(1, Relaxed);
                return;
            }
        }
    }
}
