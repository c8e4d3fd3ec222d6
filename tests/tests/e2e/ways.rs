//! Ways to begin that several tests share.
use ekiden_tests::harness::{ControlPlane, Customer, Operator, Relay, World};

/// A world with a control plane and one customer whose relays are ready.
pub(super) struct Running {
    pub(super) relays: Vec<Relay>,
    pub(super) customer: Customer,
    pub(super) operator: Operator,
    pub(super) control_plane: ControlPlane,
    /// Last: dropping it ends whatever still runs.
    pub(super) world: World,
}

/// Seconds that the records of the tests' fleets live.
pub(super) const TTL: u32 = 2;

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
