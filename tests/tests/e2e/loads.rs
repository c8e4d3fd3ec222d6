//! Load that remembers what was acknowledged.
use std::{collections::BTreeMap, net::Ipv4Addr};

use ekiden_tests::{
    harness::{
        customer::{OTLP_PORT, TCP_PORT},
        wait::SAFETY,
    },
    workloads::load::{Kind, Load},
};

use super::ways::Running;

/// Workloads that export, and workloads that open TCP connections, all the time.
pub(super) struct Loads {
    pub(super) exports: Load,
    tcp: Load,
}

impl Loads {
    pub(super) async fn start(run: &Running) -> anyhow::Result<Self> {
        let (dns, name) = (run.world.dns.address(), &run.customer.dns_name);
        let exports = Load::start(Kind::Export, 4, dns, name, OTLP_PORT)?;
        let this = Self { exports, tcp: Load::start(Kind::Tcp, 2, dns, name, TCP_PORT)? };
        this.go_on(50).await?;
        Ok(this)
    }

    /// Waits until so many more exports, and a fifth as many connections, succeeded.
    pub(super) async fn go_on(&self, exports: u64) -> anyhow::Result<()> {
        self.exports.acknowledged_more(exports, SAFETY).await?;
        Ok(self.tcp.acknowledged_more(exports / 5, SAFETY).await?)
    }

    /// Ends them; fails when an acknowledged export is not at the vendor, or when one failed that had nothing to do with
    /// the relay at `excused`.
    pub(super) async fn stop(self, run: &Running, excused: Option<Ipv4Addr>) -> anyhow::Result<()> {
        let (mut exports, tcp) = (self.exports.stop().await, self.tcp.stop().await);
        let arrived = run.customer.otlp_vendor.records().markers();
        let lost: Vec<&String> = exports.markers.difference(&arrived).collect();
        assert_eq!(exports.markers.len() as u64, exports.acknowledged);
        assert!(
            lost.is_empty(),
            "{} of {} acknowledged exports are lost: {lost:?}",
            lost.len(),
            exports.acknowledged
        );
        exports.failures.extend(tcp.failures);
        let excused = excused.map(|address| format!("{address}:"));
        exports.failures.retain(|what, _| !excused.as_ref().is_some_and(|it| what.starts_with(it)));
        assert_eq!(exports.failures, BTreeMap::new());
        Ok(())
    }
}
