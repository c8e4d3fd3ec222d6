//! Ways to begin that several tests share.
use std::time::Duration;

use ekiden_proto::admin::v1::Relay as KnownRelay;
use ekiden_tests::{
    harness::{
        ControlPlane, Customer, Operator, Relay, RelayOptions, World,
        customer::{OTLP_PORT, READY, new_key},
        wait::{self, SAFETY},
    },
    workloads::otlp::Exporter,
};

/// A world with a control plane and one customer whose relays are ready.
pub(super) struct Running {
    pub(super) relays: Vec<Relay>,
    pub(super) customer: Customer,
    pub(super) operator: Operator,
    pub(super) control_plane: ControlPlane,
    /// Last: dropping it ends whatever still runs.
    pub(super) world: World,
}

/// How long healing may take: a restart of Postgres, backoffs, and a busy machine.
pub(super) const HEALS: Duration = Duration::from_secs(90);

/// Seconds that the records of the tests' fleets live.
pub(super) const TTL: u32 = 1;

/// Starts a world with `relays` ready relays of the tenant `acme`.
pub(super) async fn running(relays: u32) -> anyhow::Result<Running> {
    running_with(relays, &[]).await
}

/// The same, with further environment variables for the control plane and the relays.
pub(super) async fn running_with(
    relays: u32,
    variables: &[(&str, &str)],
) -> anyhow::Result<Running> {
    let world = World::start().await?;
    let control_plane = ControlPlane::start(&world, variables).await?;
    let operator = control_plane.operator()?;
    let mut customer = Customer::set_up(&world, &operator, "acme", TTL).await?;
    let owned = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    customer.variables.extend(owned);
    let relays = customer.start_relays(&world, &control_plane, relays).await?;
    Ok(Running { relays, customer, operator, control_plane, world })
}

impl Running {
    /// Returns how to start one more relay of the fleet.
    pub(super) async fn options(&self, name: &str) -> anyhow::Result<RelayOptions> {
        let token = self.operator.create_enrollment_token(&self.customer.fleet, 1).await?;
        Ok(RelayOptions::new(name, &token))
    }

    /// Starts one more relay; it is not waited for.
    pub(super) fn start(&self, options: RelayOptions) -> anyhow::Result<Relay> {
        Relay::start(&self.world, &self.control_plane.relay_port(), options)
    }

    /// Starts one more relay and waits until it is ready.
    pub(super) async fn ready_relay(&self, name: &str) -> anyhow::Result<Relay> {
        let mut relay = self.start(self.options(name).await?)?;
        relay.ready(READY).await?;
        Ok(relay)
    }

    /// Waits until DNS does not answer with `relay` any more.
    pub(super) async fn gone_from_dns(&self, relay: &Relay) -> anyhow::Result<()> {
        let resolver = self.world.resolver()?;
        wait::until("the relay has left DNS", SAFETY, async || {
            let addresses = self.customer.resolve(&resolver).await;
            Ok((!addresses.contains(&relay.address())).then_some(()))
        })
        .await
    }

    /// Returns what the control plane knows of `relay`, once `condition` holds of it.
    pub(super) async fn known(
        &self,
        relay: &Relay,
        what: &str,
        condition: impl Fn(&KnownRelay) -> bool,
    ) -> anyhow::Result<KnownRelay> {
        let address = relay.address().to_string();
        wait::until(what, SAFETY, async || {
            let known = self.operator.relays(&self.customer.fleet).await?;
            Ok(known.into_iter().find(|known| known.address == address && condition(known)))
        })
        .await
    }

    /// Changes the key and waits until each relay uses the new one; shows that the whole way from operator to relay works.
    pub(super) async fn a_change_reaches_every_relay(&mut self) -> anyhow::Result<()> {
        let key = new_key("acme");
        self.customer.otlp_vendor.records().accept_keys(&[&self.customer.key, &key]);
        let (operator, access_key) = (&self.operator, &self.customer.access_key);
        let changed = async || Ok(operator.change_access_key(access_key, &key).await.ok());
        wait::until("the control plane takes a change", HEALS, changed).await?;
        for relay in &self.relays {
            let exporter = Exporter::new(relay.listener(OTLP_PORT))?;
            let uses =
                async || Ok(exporter.until_arrived(&self.customer.otlp_vendor, &key).await.ok());
            wait::until(&format!("{} uses the new key", relay.name()), HEALS, uses).await?;
        }
        self.customer.key = key;
        Ok(())
    }
}
