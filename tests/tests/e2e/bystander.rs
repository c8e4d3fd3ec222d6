//! Someone whom nothing that happens to others may concern.
use std::{collections::BTreeMap, time::Duration};

use ekiden_tests::{
    harness::{
        customer::{OTLP_PORT, TCP_PORT},
        wait::SAFETY,
    },
    workloads::{
        load::{Kind, Load},
        tcp::{Beating, Held},
    },
};

use super::ways::Running;

/// Pause of the exporting workload, which should not be a load.
const PAUSE: Duration = Duration::from_millis(20);

/// A TCP connection through each relay on which bytes go back and forth all the time, and an exporting workload.
pub(super) struct Bystander {
    held: Vec<Beating>,
    exports: Load,
}

impl Bystander {
    /// Begins, and sees that all of it works.
    pub(super) async fn start(run: &Running) -> anyhow::Result<Self> {
        let mut held = Vec::new();
        for relay in &run.relays {
            held.push(Held::open(relay.listener(TCP_PORT)).await?.keep_beating());
        }
        let (dns, name) = (run.world.dns.address(), &run.customer.dns_name);
        let exports = Load::start(Kind::Export, 1, dns, name, OTLP_PORT)?;
        exports.pause(PAUSE);
        let mut this = Self { held, exports };
        this.passes().await?;
        Ok(this)
    }

    /// Fails unless each connection is still the same and passes bytes, and no export ever failed.
    pub(super) async fn passes(&mut self) -> anyhow::Result<()> {
        for held in &mut self.held {
            held.passes(3).await?;
        }
        self.exports.acknowledged_more(3, SAFETY).await?;
        let failures = self.exports.report().failures;
        anyhow::ensure!(failures == BTreeMap::new(), "a bystander was disturbed: {failures:#?}");
        Ok(())
    }
}
