//! Whether DNS tells the truth while relays come, go and die, as workloads notice it: the real binaries, each relay in a
//! network namespace of its own.
//!
//! - [`acts`]: what happens to the relays.
//! - [`observer`]: what DNS says meanwhile.
//! - [`report`]: the table.
//! - [`workloads`]: who sends meanwhile.
pub mod acts;
pub mod observer;
pub mod report;
pub mod workloads;

use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};

use anyhow::Context as _;
use tokio::time::{Instant, sleep};

use self::{observer::Observer, report::Row, workloads::Workloads};
use crate::{
    dns::cache::Cache,
    harness::{
        ControlPlane, Customer, Operator, Relay, RelayOptions, World, customer::READY,
        loopback::Loopback, wait,
    },
    namespaces::{NETWORK, Namespaces},
    workloads::resolver::Resolver,
};

/// How large it is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Relays before and after.
    pub few: u8,
    /// Relays at most.
    pub many: u8,
    /// Workloads that resolve by TTL.
    pub honest: u32,
    /// Workloads that remember their first answer for ever.
    pub caching: u32,
    /// Seconds that records live.
    pub ttl: u32,
    /// Seconds between SIGTERM and SIGKILL.
    pub stop_timeout: u32,
}

impl Size {
    /// How many places for relays a run needs: none is used twice.
    pub fn places(&self) -> u8 {
        2 * self.many + 2 * self.few + 4
    }
}

/// A world of namespaces with a fleet in it.
pub struct Stage {
    namespaces: Namespaces,
    size: Size,
    next_place: u8,
    relays: Vec<Relay>,
    customer: Customer,
    operator: Operator,
    control_plane: ControlPlane,
    observer: Observer,
    workloads: Option<Workloads>,
    cache: Cache,
    /// Last: dropping it ends whatever still runs.
    world: World,
}

impl Stage {
    /// Sets up the fleet with its first relays, all in DNS, and lets workloads send. This process must be in the world's namespace.
    pub async fn set(namespaces: Namespaces, size: Size) -> anyhow::Result<Self> {
        let world = World::start_in(Loopback::claim_of(NETWORK)?).await?;
        let control_plane = ControlPlane::start(&world, &[]).await?;
        let operator = control_plane.operator()?;
        let customer = Customer::set_up(&world, &operator, "acme", size.ttl).await?;
        let cache = Cache::start(world.loopback.host(), world.dns.address()).await?;
        let observer =
            Observer::start(world.cloud_map.view(), &customer.dns_name, cache.address())?;
        let mut stage = Self {
            namespaces,
            size,
            next_place: 0,
            relays: Vec::new(),
            customer,
            operator,
            control_plane,
            observer,
            workloads: None,
            cache,
            world,
        };
        stage.start(size.few).await?;
        stage.settled().await?;
        // The cache remembers for a while that there was nobody.
        let resolver = Resolver::new(stage.cache.address())?;
        wait::until("the cache knows the fleet", PATIENCE, async || {
            Ok((!stage.customer.resolve(&resolver).await.is_empty()).then_some(()))
        })
        .await?;
        Ok(stage)
    }

    /// Starts relays, all at once, and waits until they are ready.
    async fn start(&mut self, count: u8) -> anyhow::Result<()> {
        let token =
            self.operator.create_enrollment_token(&self.customer.fleet, count.into()).await?;
        let mut started = Vec::new();
        for _ in 0..count {
            let place = self.namespaces.place(self.next_place);
            let name = format!("relay-{}", self.next_place);
            self.next_place += 1;
            let mut options = RelayOptions::new(&name, &token);
            options.place = Some(place);
            options.stop_timeout = self.size.stop_timeout;
            started.push(Relay::start(&self.world, &self.control_plane.relay_port(), options)?);
        }
        for relay in &mut started {
            relay.ready(READY).await?;
        }
        self.relays.append(&mut started);
        self.expect_all();
        Ok(())
    }

    /// The namespace of a relay.
    fn namespace(&self, address: Ipv4Addr) -> anyhow::Result<String> {
        let mut places = (0..self.namespaces.count()).map(|at| self.namespaces.place(at));
        let found = places.find(|(_, of)| *of == address);
        Ok(found.with_context(|| format!("nobody is at {address}"))?.0)
    }

    fn expect_all(&self) {
        self.expect(&self.relays.iter().map(Relay::address).collect());
    }

    fn expect(&self, truth: &BTreeSet<Ipv4Addr>) {
        self.observer.expect(truth.clone());
    }

    /// Waits until DNS is true.
    async fn settled(&self) -> anyhow::Result<()> {
        let told = wait::until("DNS holds the relays that serve", PATIENCE, async || {
            Ok(self.observer.seen().true_since.map(drop))
        });
        told.await.with_context(|| format!("{:?}", self.observer.seen()))
    }

    /// Measures what workloads and DNS show of `act`, and for a while after it.
    async fn measure(
        &mut self,
        name: &str,
        act: impl AsyncFnOnce(&mut Self) -> anyhow::Result<Instant>,
    ) -> anyhow::Result<Row> {
        report::tell(name);
        // They ask anew: an act begins with workloads that know who is there.
        let Size { honest, caching, .. } = self.size;
        let workloads =
            Workloads::start(honest, caching, self.cache.address(), &self.customer.dns_name)?;
        self.workloads = Some(workloads);
        sleep(Duration::from_secs(2)).await;
        let counts = |stage: &Self| {
            let workloads = stage.workloads.as_ref();
            workloads.map(|all| (all.honest.counts(), all.caching.counts())).unwrap_or_default()
        };
        let (before, empty) = (counts(self), self.observer.seen().empty);
        let event = act(self).await?;
        let settled = self.settled().await;
        // Resolvers hold the old answer for a TTL, connections are held for longer.
        sleep(Duration::from_secs(u64::from(self.size.ttl) + 15)).await;
        let (after, seen) = (counts(self), self.observer.seen());
        self.workloads = None;
        let row = Row {
            act: name.to_owned(),
            true_after: settled
                .ok()
                .and(seen.true_since)
                .map(|at| at.saturating_duration_since(event)),
            honest: after.0.since(before.0),
            caching: after.1.since(before.1),
            empty: seen.empty - empty,
            left_over: seen.listed.difference(&seen.truth).count(),
        };
        report::tell(&row.line());
        Ok(row)
    }
}

/// Longest wait for DNS to be true: only there to end a run that hangs.
const PATIENCE: Duration = Duration::from_secs(180);
