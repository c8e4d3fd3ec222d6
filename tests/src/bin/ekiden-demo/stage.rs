//! Who plays: a control plane, two customers with their vendors and relays, and workloads.
use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use ekiden_tests::{
    harness::{CommandLine, ControlPlane, Customer, Operator, Relay, World, customer::OTLP_PORT},
    workloads::load::{Kind, Load},
};

use super::show::Show;

/// What the relays are told of ECS's stop timeout, in seconds: the demo should end soon.
const STOP_TIMEOUT: u32 = 10;
/// How long the relays get to end.
const ENDS: Duration = Duration::from_secs(20);

/// A customer and what runs for it.
pub(crate) struct Cast {
    pub(crate) load: Load,
    pub(crate) relays: Vec<Relay>,
    pub(crate) customer: Customer,
}

/// Everything that runs. Dropped, it ends at once; the world goes last.
pub(crate) struct Stage {
    pub(crate) casts: Vec<Cast>,
    pub(crate) operator: Operator,
    pub(crate) command_line: CommandLine,
    pub(crate) control_plane: ControlPlane,
    pub(crate) world: World,
}

impl Stage {
    /// Starts everything and waits until telemetry flows.
    pub(crate) async fn set(relays: u32, ttl: u32, show: &Show) -> anyhow::Result<Self> {
        show.heading("Ekiden, on this machine only");
        let world = show
            .step("Stand-ins: AWS Cloud Map, DNS, ECS metadata, a trace receiver", World::start())
            .await?;
        let starting = ControlPlane::start(&world, &[]);
        let control_plane = show.step("Control plane, on a Postgres of its own", starting).await?;
        let operator = control_plane.operator()?;

        let what = "Tenants acme and globex by gRPC: vendor, sealed access key, collectors, fleet";
        let setting_up = async {
            let mut customers = Vec::new();
            for id in ["acme", "globex"] {
                let customer = Customer::set_up(&world, &operator, id, ttl)
                    .await
                    .with_context(|| id.to_owned())?;
                customers.push(Customer { stop_timeout: STOP_TIMEOUT, ..customer });
            }
            anyhow::Ok(customers)
        };
        let customers = show.step(what, setting_up).await?;

        let what = format!(
            "{relays} relays for acme, 1 for globex: enroll, pull settings, probe the vendor, register, appear in DNS"
        );
        let starting = customers
            .iter()
            .zip([relays, 1])
            .map(|(customer, count)| customer.start_relays(&world, &control_plane, count));
        let relays = show.step(&what, futures_util::future::try_join_all(starting)).await?;

        let mut casts = Vec::new();
        for (customer, relays) in customers.into_iter().zip(relays) {
            let load =
                Load::start(Kind::Export, 2, world.dns.address(), &customer.dns_name, OTLP_PORT)?;
            load.pause(Duration::from_millis(50));
            casts.push(Cast { load, relays, customer });
        }
        let what = "Workloads find their relays by DNS and export through them";
        let flowing = async {
            for cast in &casts {
                cast.load.acknowledged_more(20, Duration::from_secs(30)).await?;
            }
            Ok(())
        };
        show.step(what, flowing).await?;
        let command_line = CommandLine::import(world.folder(), &control_plane).await?;
        Ok(Self { casts, operator, command_line, control_plane, world })
    }

    /// Returns the world's folder.
    pub(crate) fn folder(&self) -> PathBuf {
        self.world.folder().to_owned()
    }

    /// Ends everything in good order: relays leave DNS and drain, then the control plane and its Postgres stop.
    pub(crate) async fn end(mut self, show: &Show) -> anyhow::Result<()> {
        for cast in &mut self.casts {
            cast.load.pause(Duration::from_millis(200));
        }
        let relays = self.casts.iter_mut().flat_map(|cast| &mut cast.relays);
        let ending = relays.map(async |relay| {
            let status = relay.terminate(ENDS).await?;
            anyhow::ensure!(status.success(), "{} ended with {status}", relay.name());
            Ok(())
        });
        let what = "Relays leave DNS, wait until no one remembers them, finish, and go";
        let relays = show.step(what, futures_util::future::try_join_all(ending)).await;
        let stopping = self.control_plane.process().terminate(ENDS);
        let control_plane = show.step("Control plane and Postgres stop", stopping).await;
        relays?;
        let status = control_plane?;
        anyhow::ensure!(status.success(), "the control plane ended with {status}");
        Ok(())
    }
}
