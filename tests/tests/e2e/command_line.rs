//! A tenant set up with nothing but ekidenctl, as the README tells it.
use ekiden_tests::{
    harness::{
        CommandLine, ControlPlane, Relay, RelayOptions, World,
        customer::{KEY_HEADER, OTLP_PORT, READY, new_key},
        wait::{self, SAFETY},
    },
    vendor_collector::KeyCheck,
    workloads::otlp::Exporter,
};

#[tokio::test]
async fn a_tenant_set_up_by_ekidenctl_alone_sends_its_telemetry() -> anyhow::Result<()> {
    let world = World::start().await?;
    let control_plane = ControlPlane::start(&world, &[]).await?;
    let key = new_key("acme");
    let vendor =
        world.otlp_vendor("otlp.vendor.test", KeyCheck::header(KEY_HEADER, "", &[&key])).await?;
    let (service, dns_name) = world.provide_service("relay", 1);
    std::fs::write(world.folder().join("vendor-ca.pem"), world.authority.pem())?;
    let endpoint = format!("otlp.vendor.test:{}", vendor.address().port());
    let listener = format!("name=otlp,port={OTLP_PORT},protocol=otlp,collector=vendor");

    let line = CommandLine::import(world.folder(), &control_plane).await?;
    line.run(&["tenant", "create", "acme", "--display-name", "Acme, Inc."], "").await?;
    line.run(&["context", "set", "local", "--tenant", "acme"], "").await?;
    line.run(&["access-key", "create", "vendor", "--value-file", "-"], &key).await?;
    let collector =
        ["collector", "create", "vendor", "--protocol", "otlp-grpc", "--endpoint", &endpoint];
    let with = ["--tls-ca", "vendor-ca.pem", "--access-key", "vendor", "--key-header", KEY_HEADER];
    line.run(&[collector.as_slice(), &with].concat(), "").await?;
    let fleet = ["fleet", "create", "tokyo", "--listener", &listener];
    let with = ["--cloud-map-service", &service, "--dns-name", &dns_name, "--ttl", "1s"];
    line.run(&[fleet.as_slice(), &with].concat(), "").await?;
    let token =
        line.run(&["enrollment-token", "create", "--fleet", "tokyo", "--quiet"], "").await?;

    let options = RelayOptions::new("by-hand", token.trim());
    let mut relay = Relay::start(&world, &control_plane.relay_port(), options)?;
    relay.ready(READY).await?;
    Exporter::new(relay.listener(OTLP_PORT))?.until_arrived(&vendor, &key).await?;

    let shows = async || {
        let listed = line.run(&["relay", "list", "--fleet", "tokyo", "-o", "json"], "").await?;
        let serving =
            listed.contains("RELAY_STATE_CONNECTED") && listed.contains("RELAY_PHASE_SERVING");
        Ok((serving && listed.contains(&relay.address().to_string())).then_some(()))
    };
    wait::until("ekidenctl shows the relay serving", SAFETY, shows).await?;
    let audit = line.run(&["audit", "list", "-o", "json"], "").await?;
    for method in [
        "CreateTenant",
        "CreateAccessKey",
        "CreateCollector",
        "CreateFleet",
        "CreateEnrollmentToken",
        "Enroll",
    ] {
        assert!(audit.contains(method), "{method} is not in the audit: {audit}");
    }
    let again = line.run(&["tenant", "create", "acme"], "").await;
    assert!(
        again.is_err_and(|error| error.to_string().contains("exists")),
        "a second acme was not refused"
    );
    Ok(())
}
