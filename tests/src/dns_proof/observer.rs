//! What DNS says, looked at ten times a second: whether it is true, and whether it is ever empty.
use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    cloud_map::{DnsView, View},
    workloads::resolver::Resolver,
};

const EVERY: Duration = Duration::from_millis(100);

/// What was seen since an act began.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Addresses of the relays that serve.
    pub truth: BTreeSet<Ipv4Addr>,
    /// What authoritative DNS holds.
    pub listed: BTreeSet<Ipv4Addr>,
    /// Since when it has been holding that truth; none: it does not.
    pub true_since: Option<Instant>,
    /// Answers without an address, of the authority and of the resolver before it.
    pub empty: u64,
}

/// Looks at DNS until it is dropped.
pub struct Observer {
    seen: Arc<Mutex<Seen>>,
    /// Aborted when dropped.
    _looking: JoinSet<()>,
}

impl Observer {
    /// Starts to look at `name`, as the zone has it and as `cache` answers.
    pub fn start(zone: View, name: &str, cache: SocketAddr) -> anyhow::Result<Self> {
        let nothing =
            Seen { truth: BTreeSet::new(), listed: BTreeSet::new(), true_since: None, empty: 0 };
        let seen = Arc::new(Mutex::new(nothing));
        let (noted, name, resolver) = (Arc::clone(&seen), name.to_owned(), Resolver::new(cache)?);
        let mut looking = JoinSet::new();
        looking.spawn(async move {
            loop {
                resolver.forget();
                let answered = resolver.addresses(&name).await;
                let listed: BTreeSet<Ipv4Addr> = match zone.dns(&name) {
                    DnsView::Addresses { addresses, .. } => addresses.into_iter().collect(),
                    DnsView::NotOurs | DnsView::Missing { .. } => BTreeSet::new(),
                };
                // No such name counts like a name without addresses; a server that does not answer would, too.
                let none = answered.map_or(true, |addresses| addresses.is_empty());
                note(&noted, listed, none);
                sleep(EVERY).await;
            }
        });
        Ok(Self { seen, _looking: looking })
    }

    /// Says which relays serve from now on.
    pub fn expect(&self, truth: BTreeSet<Ipv4Addr>) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        (seen.truth, seen.true_since) = (truth, None);
    }

    /// Returns what was seen.
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn note(noted: &Mutex<Seen>, listed: BTreeSet<Ipv4Addr>, none: bool) {
    let mut seen = noted.lock().unwrap_or_else(PoisonError::into_inner);
    seen.empty += u64::from(listed.is_empty()) + u64::from(none);
    seen.true_since = match listed == seen.truth {
        true => seen.true_since.or(Some(Instant::now())),
        false => None,
    };
    seen.listed = listed;
}
