//! The real ekidenctl, with a config file of its own in the world's folder.
use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::{io::AsyncWriteExt as _, process::Command};

use super::{ControlPlane, guard::MARK, process::binary};

/// An ekidenctl that knows one control plane.
#[derive(Clone, Debug)]
pub struct CommandLine {
    config: PathBuf,
    folder: PathBuf,
}

impl CommandLine {
    /// Lets ekidenctl take `control_plane` over into `folder`/ekidenctl.yaml.
    pub async fn import(folder: &Path, control_plane: &ControlPlane) -> anyhow::Result<Self> {
        let this = Self { config: folder.join("ekidenctl.yaml"), folder: folder.to_owned() };
        let data = control_plane.data().display().to_string();
        this.run(&["context", "import", &data, "--token-file", "-"], control_plane.token()).await?;
        Ok(this)
    }

    /// Returns its config file, for `EKIDEN_CONFIG`.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Runs a command with `input` as its standard input; returns what it printed.
    pub async fn run(&self, arguments: &[&str], input: &str) -> anyhow::Result<String> {
        let mut child = Command::new(binary("ekidenctl")?)
            .args(arguments)
            .env_clear()
            .env(MARK, &self.folder)
            .env("EKIDEN_CONFIG", &self.config)
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that wants no input may be gone by now.
            stdin.write_all(input.as_bytes()).await.ok();
        }
        let output = child.wait_with_output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "ekidenctl {}: {said}", arguments.join(" "));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}
