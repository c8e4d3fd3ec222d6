//! The master key moves from a file to AWS KMS under load, with certificates that last for five seconds.
use ekiden_tests::harness::{CommandLine, wait::SAFETY};
use rustix::process::Signal;

use super::{loads::Loads, moto::Moto, ways::running_with};

#[tokio::test]
async fn the_master_key_moves_to_kms_under_load_and_nobody_notices() -> anyhow::Result<()> {
    let mut run = running_with(4, &[("EKIDEN_RELAY_CERTIFICATE_LIFETIME", "5")]).await?;
    let moto = Moto::start(&run.world).await?;
    let arn = moto.ask("moto_kms.py", &[]).await?;
    let operator = CommandLine::import(run.world.folder(), &run.control_plane).await?;
    let file = run.control_plane.data().join("master.key").display().to_string();
    let loads = Loads::start(&run).await?;

    for (name, value) in run.world.aws_variables() {
        run.control_plane.set(&name, &value);
    }
    run.control_plane.set("AWS_ENDPOINT_URL", &moto.endpoint);
    run.control_plane.set("EKIDEN_MASTER_KEY", "kms:alias/ekiden");
    run.control_plane.set("EKIDEN_MASTER_KEY_ALSO", &format!("file:{file}"));
    run.control_plane.process().terminate(SAFETY).await?;
    run.control_plane.restart().await?;
    operator.run(&["master-key", "list", "--wait"], "").await?;
    loads.go_on(100).await?;

    // The file is needed no more.
    std::fs::remove_file(&file)?;
    run.control_plane.set("EKIDEN_MASTER_KEY_ALSO", "");
    run.control_plane.process().terminate(SAFETY).await?;
    run.control_plane.restart().await?;
    let listed = operator.run(&["master-key", "list"], "").await?;
    assert!(listed.contains(&format!("kms/{arn}")) && !listed.contains("local/"), "{listed}");
    loads.go_on(100).await?;
    run.a_change_reaches_every_relay().await?;
    loads.stop(&run, None).await?;

    run.control_plane.process().signal(Signal::TERM)?;
    run.control_plane.process().ended(SAFETY).await?;
    run.control_plane.set("EKIDEN_MASTER_KEY", "kms:alias/nothing");
    let refused = format!("{:#}", run.control_plane.restart().await.unwrap_err());
    assert!(refused.contains("kms:alias/nothing cannot be used"), "{refused}");
    assert!(refused.contains("kms:Encrypt"), "{refused}");
    Ok(())
}
