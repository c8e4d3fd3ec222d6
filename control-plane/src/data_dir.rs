//! The data directory: what outlives the process, and what tells others where it serves.
use std::{
    fs::{self, OpenOptions, Permissions},
    io::{self, Write},
    net::SocketAddr,
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::folder_lock::{FolderLock, FolderLockError};

/// Where a running control plane serves, as `endpoints.json` says it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// Address of the relay port.
    pub relays: SocketAddr,
    /// Address of the operator port.
    pub operators: SocketAddr,
    /// Whether operators must speak TLS.
    pub operators_tls: bool,
    /// File with the root certificate.
    pub ca_certificate: PathBuf,
}

/// A data directory, taken by this process.
pub struct DataDir {
    path: PathBuf,
    _lock: FolderLock,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process has it.
    #[error(transparent)]
    InUse(#[from] FolderLockError),
    /// A file in it cannot be used.
    #[error("{path} cannot be used: {source}")]
    Io {
        /// File or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// No control plane serves from it.
    #[error("no control plane serves from {path}: there is no endpoints.json in it")]
    NotServing {
        /// The data directory.
        path: PathBuf,
    },
}

impl DataDir {
    /// Makes the directory if it is new and takes it; forgets where an earlier process served.
    ///
    /// # Errors
    /// [`DataDirError`]; a directory that another control plane uses is refused.
    pub fn take(path: &Path) -> Result<Self, DataDirError> {
        fs::create_dir_all(path).map_err(at(path))?;
        let lock = FolderLock::take(path)?;
        let data_dir = Self { path: path.to_owned(), _lock: lock };
        data_dir.forget_endpoints()?;
        Ok(data_dir)
    }

    /// Folder of the private Postgres.
    pub fn postgres(&self) -> PathBuf {
        self.path.join("postgres")
    }

    /// Writes the root certificate for everyone to read; gives its file.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub fn write_ca(&self, pem: &str) -> Result<PathBuf, DataDirError> {
        let path = ca_file(&self.path);
        replace(&path, pem.as_bytes()).map_err(at(&path))?;
        Ok(path)
    }

    /// Tells others where this process serves.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub fn write_endpoints(&self, endpoints: &Endpoints) -> Result<(), DataDirError> {
        let path = endpoints_file(&self.path);
        let json = serde_json::to_vec(endpoints).map_err(io::Error::from);
        json.and_then(|json| replace(&path, &json)).map_err(at(&path))
    }

    /// Takes `endpoints.json` away: nobody serves here any more.
    ///
    /// # Errors
    /// [`DataDirError::Io`].
    pub fn forget_endpoints(&self) -> Result<(), DataDirError> {
        let path = endpoints_file(&self.path);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(at(&path)(e)),
            _ => Ok(()),
        }
    }
}

/// The root certificate in a data directory, PEM.
///
/// # Errors
/// [`DataDirError::Io`].
pub fn read_ca(data_dir: &Path) -> Result<String, DataDirError> {
    let path = ca_file(data_dir);
    fs::read_to_string(&path).map_err(at(&path))
}

/// Where the control plane of a data directory serves.
///
/// # Errors
/// [`DataDirError::NotServing`] when none does.
pub fn read_endpoints(data_dir: &Path) -> Result<Endpoints, DataDirError> {
    let path = endpoints_file(data_dir);
    match fs::read(&path) {
        Ok(json) => serde_json::from_slice(&json).map_err(|e| at(&path)(e.into())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            Err(DataDirError::NotServing { path: data_dir.to_owned() })
        }
        Err(e) => Err(at(&path)(e)),
    }
}

fn ca_file(data_dir: &Path) -> PathBuf {
    data_dir.join("ca.pem")
}

fn endpoints_file(data_dir: &Path) -> PathBuf {
    data_dir.join("endpoints.json")
}

/// Replaces a file whole, so that a reader sees the old or the new content; mode 0644 whatever the umask says.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o644).open(&beside)?;
    file.set_permissions(Permissions::from_mode(0o644))?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(beside, path)
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> DataDirError {
    let path = path.to_owned();
    |source| DataDirError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_told_while_serving_and_forgotten_by_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/down");
        let data_dir = DataDir::take(&path).unwrap();
        assert!(matches!(read_endpoints(&path), Err(DataDirError::NotServing { .. })));
        let endpoints = Endpoints {
            relays: "127.0.0.1:1".parse().unwrap(),
            operators: "127.0.0.1:2".parse().unwrap(),
            operators_tls: true,
            ca_certificate: data_dir.write_ca("PEM").unwrap(),
        };
        data_dir.write_endpoints(&endpoints).unwrap();
        assert_eq!(read_endpoints(&path).unwrap(), endpoints);
        assert_eq!(read_ca(&path).unwrap(), "PEM");
        assert_eq!(fs::metadata(path.join("ca.pem")).unwrap().permissions().mode() & 0o777, 0o644);
        drop(data_dir);
        DataDir::take(&path).unwrap();
        assert!(matches!(read_endpoints(&path), Err(DataDirError::NotServing { .. })));
    }

    #[test]
    fn a_data_directory_in_use_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataDir::take(folder.path()).unwrap();
        assert!(matches!(DataDir::take(folder.path()), Err(DataDirError::InUse(_))));
        drop(first);
    }
}
