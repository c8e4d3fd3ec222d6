//! The machine's own Postgres programs.
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
};

use tokio::process::Command;

use super::EmbeddedError;

/// Oldest version with all that the schema uses.
const OLDEST: u32 = 14;

/// One installed version.
#[derive(Clone, Debug)]
pub(super) struct Binaries {
    pub(super) initdb: PathBuf,
    pub(super) postgres: PathBuf,
    pub(super) major: u32,
}

/// Folders that may hold the programs: the packages' usual places, then those of `search_path` (`$PATH`).
pub fn usual_folders(search_path: Option<&OsStr>) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for (parent, below) in [("/usr/lib/postgresql", "bin"), ("/usr/libexec/postgresql", "")] {
        for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
            folders.push(entry.path().join(below));
        }
    }
    for entry in fs::read_dir("/usr").into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with("pgsql-") {
            folders.push(entry.path().join("bin"));
        }
    }
    folders.push(PathBuf::from("/usr/local/pgsql/bin"));
    folders.extend(search_path.into_iter().flat_map(std::env::split_paths));
    folders
}

/// The programs of version `wanted`, or the newest where none is wanted.
pub(super) async fn find(
    folders: &[PathBuf],
    wanted: Option<u32>,
) -> Result<Binaries, EmbeddedError> {
    let mut found = Vec::new();
    for folder in folders {
        let (initdb, postgres) = (folder.join("initdb"), folder.join("postgres"));
        if initdb.is_file()
            && postgres.is_file()
            && let Some(major) = version(&postgres).await
        {
            found.push(Binaries { initdb, postgres, major });
        }
    }
    if let Some(wanted) = wanted {
        found.retain(|binaries| binaries.major == wanted);
        return found.pop().ok_or(EmbeddedError::OtherVersion { wanted });
    }
    let newest = found.into_iter().max_by_key(|binaries| binaries.major);
    newest
        .filter(|binaries| binaries.major >= OLDEST)
        .ok_or(EmbeddedError::NotInstalled { oldest: OLDEST })
}

/// Major version by what the program says of itself: `postgres (PostgreSQL) 15.18 (Debian …)`.
async fn version(postgres: &Path) -> Option<u32> {
    let output = Command::new(postgres).arg("--version").output().await.ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let number =
        text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}
