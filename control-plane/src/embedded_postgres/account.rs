//! Whom Postgres runs as: it refuses root, so under root it gets an ordinary account.
use std::{
    fs::{self, Metadata},
    io,
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::{Command as StdCommand, Stdio},
};

use tokio::process::Command;

/// An account that Postgres can run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    gid: u32,
    /// Processes must change to it; false when it is our own.
    other: bool,
}

impl Account {
    /// Our own account; under root the owner of `folder` where it has an ordinary one, else `postgres`, else `nobody`.
    pub(super) fn choose(folder: Option<&Metadata>) -> Self {
        let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        if uid != 0 {
            return Self { uid, gid, other: false };
        }
        if let Some(owner) = folder.filter(|owner| owner.uid() != 0) {
            return Self { uid: owner.uid(), gid: owner.gid(), other: true };
        }
        let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let (uid, gid) = look_up(&accounts, "postgres")
            .or_else(|| look_up(&accounts, "nobody"))
            .unwrap_or((65534, 65534));
        Self { uid, gid, other: true }
    }

    /// Gives a file or folder to the account.
    pub(super) fn own(&self, path: &Path) -> io::Result<()> {
        if self.other && fs::metadata(path)?.uid() != self.uid {
            chown(path, Some(self.uid), Some(self.gid))?;
        }
        Ok(())
    }

    /// A command that runs as the account, out of reach of a terminal's Ctrl-C and of our environment.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = StdCommand::new(program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C").env("TZ", "UTC");
        command.current_dir("/").stdin(Stdio::null()).process_group(0);
        if self.other {
            command.uid(self.uid).gid(self.gid);
        }
        command.into()
    }

    /// Whether the account may walk to `folder` through every folder above it.
    pub(super) fn reaches(&self, folder: &Path) -> bool {
        !self.other
            || folder.ancestors().skip(1).all(|above| {
                fs::metadata(above).is_ok_and(|m| {
                    let shift = match (m.uid() == self.uid, m.gid() == self.gid) {
                        (true, _) => 6,
                        (false, true) => 3,
                        (false, false) => 0,
                    };
                    m.mode() >> shift & 1 == 1
                })
            })
    }
}

/// User and group id of `name` in the text of `/etc/passwd`.
fn look_up(accounts: &str, name: &str) -> Option<(u32, u32)> {
    let mut fields = accounts
        .lines()
        .map(|line| line.split(':'))
        .find_map(|mut fields| (fields.next() == Some(name)).then_some(fields))?;
    let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
    (uid != 0).then_some((uid, gid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name_and_is_never_root() {
        let accounts = "root:x:0:0::/:/bin/sh\npostgres2:x:7:7::/:\npostgres:x:101:104:a:/b:/c\nbad:x:y:z::\ntoor:x:0:0::/:";
        assert_eq!(look_up(accounts, "postgres"), Some((101, 104)));
        for none in ["nobody", "bad", "toor", "root", ""] {
            assert_eq!(look_up(accounts, none), None, "{none}");
        }
    }
}
