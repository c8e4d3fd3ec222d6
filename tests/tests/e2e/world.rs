//! The world itself leaves nothing behind.
use std::path::PathBuf;

use ekiden_tests::harness::{
    World,
    guard::MARK,
    wait::{self, SAFETY},
};
use tokio::process::Command;

#[tokio::test]
async fn a_world_that_is_dropped_takes_its_processes_and_its_folder_with_it() -> anyhow::Result<()>
{
    let world = World::start().await?;
    let folder = world.folder().to_owned();
    let mut child = Command::new("sleep").arg("600").env(MARK, &folder).spawn()?;
    let proc = PathBuf::from(format!("/proc/{}", child.id().unwrap_or_default()));
    assert!(proc.exists());
    drop(world);
    assert!(!folder.exists(), "the folder is still there");
    child.wait().await?;
    wait::until("the process is gone", SAFETY, async || Ok((!proc.exists()).then_some(()))).await
}
