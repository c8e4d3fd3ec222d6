//! One world: a loopback network, the stand-ins for AWS and the vendor's side, a folder, and a guard over all of it.
use std::{
    fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;

use super::{guard::Guard, loopback::Loopback};
use crate::{
    certificates::Authority,
    cloud_map::CloudMap,
    dns::Dns,
    ecs_metadata::EcsMetadata,
    otlp_sink::OtlpSink,
    task_role::{CREDENTIALS, REGION},
    vendor_collector::{Exchange, KeyCheck, ServerTls, VendorCollector},
    workloads::resolver::Resolver,
};

/// Name under which relays find the control plane.
pub const CONTROL_PLANE_NAME: &str = "control-plane.msp.test";
/// Namespace that the world's Cloud Map service is in.
pub const NAMESPACE: &str = "telemetry.internal";

/// Everything around the processes under test. Dropping it ends them and removes its folder.
pub struct World {
    /// The authority of the vendor's certificates.
    pub authority: Authority,
    /// AWS Cloud Map.
    pub cloud_map: CloudMap,
    /// The VPC's resolver.
    pub dns: Dns,
    /// The ECS task metadata endpoint.
    pub ecs: EcsMetadata,
    /// Where Ekiden's own traces go.
    pub sink: OtlpSink,
    /// Addresses of this world.
    pub loopback: Loopback,
    folder: PathBuf,
    /// Last: ends what still runs, then removes the folder.
    _guard: Guard,
}

impl World {
    /// Makes a world with nothing of Ekiden's in it.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_in(Loopback::claim()?).await
    }

    /// Makes one at these addresses.
    pub async fn start_in(loopback: Loopback) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("ekiden-world-").tempdir()?;
        // The embedded Postgres runs as another user when this one is root, and must reach its folder.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o711))?;
        fs::create_dir(folder.path().join("logs"))?;
        let guard = Guard::start(folder.path())?;
        // From here on removing it is the guard's work.
        let folder = folder.keep();
        if std::env::var_os("EKIDEN_KEEP_WORLD").is_some() {
            fs::write(folder.join("keep"), "")?;
        }
        let any = loopback.any_port();
        let cloud_map = CloudMap::start(any, Duration::from_millis(200)).await?;
        let dns = Dns::start(loopback.host(), cloud_map.view()).await?;
        Ok(Self {
            authority: Authority::new("the vendor's authority")?,
            ecs: EcsMetadata::start(any).await?,
            sink: OtlpSink::start(any).await?,
            cloud_map,
            dns,
            loopback,
            folder,
            _guard: guard,
        })
    }

    /// Returns the world's folder: `logs/`, `control-plane/`, `relays/`.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns a new resolver that asks the world's DNS and remembers nothing yet.
    pub fn resolver(&self) -> anyhow::Result<Resolver> {
        Resolver::new(self.dns.address())
    }

    /// Makes a Cloud Map service in [`NAMESPACE`]; returns its id and the name that workloads resolve.
    pub fn provide_service(&self, name: &str, ttl: u32) -> (String, String) {
        let id = self.cloud_map.provide_service(NAMESPACE, name, ttl);
        (id, format!("{name}.{NAMESPACE}."))
    }

    /// Starts an OTLP collector with TLS under the DNS name `host`, an address of its own behind it.
    pub async fn otlp_vendor(&self, host: &str, keys: KeyCheck) -> anyhow::Result<VendorCollector> {
        let bind = self.vendor_address(host);
        VendorCollector::otlp(bind, Some(ServerTls::issue(&self.authority, &[host])?), keys).await
    }

    /// Starts a TCP collector under the DNS name `host`, with TLS where `tls` says so.
    pub async fn tcp_vendor(
        &self,
        host: &str,
        tls: bool,
        exchange: Exchange,
    ) -> anyhow::Result<VendorCollector> {
        let bind = self.vendor_address(host);
        let tls = if tls { Some(ServerTls::issue(&self.authority, &[host])?) } else { None };
        VendorCollector::tcp(bind, tls, exchange).await
    }

    fn vendor_address(&self, host: &str) -> SocketAddr {
        let address = self.loopback.next();
        self.dns.set_addresses(&format!("{host}."), 1, &[address]);
        (address, 0).into()
    }

    /// Returns the variables that let a process export its traces quickly to the world's sink.
    pub(super) fn telemetry_variables(&self) -> Vec<(String, String)> {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", self.sink.url()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc".to_owned()),
            ("OTEL_BSP_SCHEDULE_DELAY", "100".to_owned()),
            ("OTEL_METRIC_EXPORT_INTERVAL", "1000".to_owned()),
            ("EKIDEN_LOG_FORMAT", "json".to_owned()),
            (
                "EKIDEN_LOG",
                std::env::var("EKIDEN_WORLD_LOG")
                    .unwrap_or_else(|_| "info,ekiden=debug".to_owned()),
            ),
        ];
        variables.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// Returns the variables that give a task its role and point the AWS SDK at the world's Cloud Map.
    pub fn aws_variables(&self) -> Vec<(String, String)> {
        let variables = [
            ("AWS_REGION", REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", CREDENTIALS.access_key_id.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", CREDENTIALS.secret.to_owned()),
            ("AWS_SESSION_TOKEN", CREDENTIALS.session_token.to_owned()),
            ("AWS_ENDPOINT_URL", self.cloud_map.url()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ];
        variables.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// Returns every log of the world's processes as (file name, text).
    pub fn logs(&self) -> anyhow::Result<Vec<(String, String)>> {
        let folder = self.folder.join("logs");
        let mut logs = Vec::new();
        for entry in
            fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?
        {
            let path = entry?.path();
            let name = path
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default();
            logs.push((name, String::from_utf8_lossy(&fs::read(&path)?).into_owned()));
        }
        Ok(logs)
    }
}
