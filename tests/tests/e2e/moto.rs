//! moto in the place of AWS.
use std::process::Stdio;

use ekiden_tests::harness::{
    World,
    guard::MARK,
    wait::{self, SAFETY},
};
use tokio::process::{Child, Command};

use super::python::{python, run_script, script};

/// A moto server; it ends when dropped.
pub(super) struct Moto {
    /// URL, for `AWS_ENDPOINT_URL`.
    pub(super) endpoint: String,
    _process: Child,
}

impl Moto {
    pub(super) async fn start(world: &World) -> anyhow::Result<Self> {
        let host = world.loopback.host().to_string();
        let port = std::net::TcpListener::bind((world.loopback.host(), 0))?.local_addr()?.port();
        let log = std::fs::File::create(world.folder().join("logs/moto.log"))?;
        let mut moto = Command::new(python("moto_server")?);
        moto.args(["--host", &host, "--port", &port.to_string()]).env(MARK, world.folder());
        let process = moto
            .stdout(log.try_clone()?)
            .stderr(log)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let up =
            async || Ok(tokio::net::TcpStream::connect((host.as_str(), port)).await.ok().map(drop));
        wait::until("moto listens", SAFETY, up).await?;
        Ok(Self { endpoint: format!("http://{host}:{port}"), _process: process })
    }

    /// Runs a script of ours that asks it for something; gives what that prints.
    pub(super) async fn ask(&self, name: &str, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = script(name)?;
        command.arg(&self.endpoint).args(arguments);
        Ok(run_script(command).await?.trim().to_owned())
    }
}
