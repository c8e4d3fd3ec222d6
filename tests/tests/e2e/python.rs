//! Clients that no one here wrote: the OpenTelemetry Python SDK, gRPC reflection from Python, and moto as AWS.
use std::path::PathBuf;

use anyhow::Context as _;
use ekiden_proto::admin::v1::Fleet;
use ekiden_tests::{
    harness::customer::{OTLP_PORT, READY, discovery},
    workloads::otlp::{Exporter, marker},
};
use tokio::process::Command;

use super::{
    moto::Moto,
    ways::{TTL, running},
};

/// Returns a program of the virtual environment.
pub(super) fn python(program: &str) -> anyhow::Result<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let path = root.join(".venv/bin").join(program);
    anyhow::ensure!(
        path.exists(),
        "{} is missing; make it with tests/python/venv.sh",
        path.display()
    );
    Ok(path)
}

pub(super) fn script(name: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(python("python")?);
    command
        .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("python").join(name))
        .kill_on_drop(true);
    Ok(command)
}

pub(super) async fn run_script(mut command: Command) -> anyhow::Result<String> {
    let output = command.output().await?;
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    anyhow::ensure!(output.status.success(), "the script failed\n{out}\n{err}");
    Ok(out.into_owned())
}

#[tokio::test]
async fn the_opentelemetry_python_sdk_exports_through_a_relay_that_it_finds_by_dns()
-> anyhow::Result<()> {
    let run = running(1).await?;
    let marker = marker("python");
    let mut command = script("export.py")?;
    command.args([
        run.world.dns.address().to_string(),
        run.customer.dns_name.clone(),
        OTLP_PORT.to_string(),
    ]);
    command.arg(&marker);
    run_script(command).await?;
    let received = run.customer.otlp_vendor.records().received(&run.customer.key);
    for name in ["span", "metric", "log"] {
        assert!(received.markers.contains(&format!("{marker}-{name}")), "no {name}: {received:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_python_client_with_only_reflection_lists_services_makes_a_tenant_and_reads_an_error()
-> anyhow::Result<()> {
    let run = running(0).await?;
    let mut command = script("reflect.py")?;
    command.arg(run.control_plane.operators().to_string()).arg(run.control_plane.ca_path());
    command.env("EKIDEN_TOKEN", run.control_plane.token());
    let output = run_script(command).await?;
    let seen: serde_json::Value =
        serde_json::from_str(&output).context("reading what the script printed")?;
    let services = seen["services"].to_string();
    for service in
        ["ekiden.admin.v1.TenantService", "ekiden.admin.v1.FleetService", "grpc.health.v1.Health"]
    {
        assert!(services.contains(service), "{service} is not listed: {services}");
    }
    assert_eq!(seen["tenant"], "tenants/from-python");
    assert_eq!(seen["error"]["code"], "INVALID_ARGUMENT");
    assert_eq!(seen["error"]["fields"][0], "tenant_id", "{}", seen["error"]);
    assert_eq!(seen["error"]["domain"], "ekiden", "{}", seen["error"]);
    Ok(())
}

#[tokio::test]
async fn a_relay_registers_with_moto_and_leaves_it() -> anyhow::Result<()> {
    let run = running(0).await?;
    let moto = Moto::start(&run.world).await?;
    let service = moto.ask("moto_service.py", &["make"]).await?;
    let fleet = Fleet {
        name: run.customer.fleet.clone(),
        discovery: Some(discovery(&service, "relay.moto.test.", TTL)),
        ..Fleet::default()
    };
    run.operator.change_fleet(fleet, &["discovery"]).await?;
    let options = run.options("with-moto").await?.variable("AWS_ENDPOINT_URL", &moto.endpoint);
    let mut relay = run.start(options)?;
    // moto puts nothing into DNS; the world does in its place.
    run.world.dns.set_addresses("relay.moto.test.", TTL, &[relay.address()]);
    relay.ready(READY).await?;
    Exporter::new(relay.listener(OTLP_PORT))?.spans(&[marker("moto")]).await?;
    let list = async || moto.ask("moto_service.py", &["list", &service]).await;
    let instances = list().await?;
    assert!(
        instances.contains(relay.task()) && instances.contains(&relay.address().to_string()),
        "{instances}"
    );
    run.world.dns.set_addresses("relay.moto.test.", TTL, &[]);
    let status = relay.terminate(READY).await?;
    assert!(status.success(), "{status}");
    assert_eq!(list().await?, "");
    Ok(())
}
