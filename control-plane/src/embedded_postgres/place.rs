//! Where the cluster lives, as the server and as we spell it.
use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Write},
    os::{
        fd::AsRawFd,
        unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rustix::io::{FdFlags, fcntl_setfd};
use secrecy::{ExposeSecret, SecretString};

use super::{EmbeddedError, account::Account};
use crate::folder_lock::FolderLock;

/// Longest path of a Unix socket: `sun_path` holds 108 bytes with the final zero.
const LONGEST_SOCKET: usize = 107;

/// The folder of a private cluster: `cluster/` (the data), `socket/`, `pgpass`, `postgres.log`.
pub(super) struct Place {
    pub(super) folder: PathBuf,
    pub(super) account: Account,
    /// The folder for the server: as it is, or through a descriptor that the server inherits, where the account may not
    /// walk there or the socket's path would be too long.
    for_server: PathBuf,
    /// Likewise for our own connections.
    for_clients: PathBuf,
    _descriptor: File,
    _lock: FolderLock,
}

impl Place {
    /// Makes the folder if it is new, takes it for this process, gives it to the account.
    pub(super) fn take(folder: &Path) -> Result<Self, EmbeddedError> {
        let io = |source| EmbeddedError::Folder { folder: folder.to_owned(), source };
        if let Some(above) = folder.parent() {
            fs::create_dir_all(above).map_err(io)?;
        }
        make_folder(folder).map_err(io)?;
        let folder = folder.canonicalize().map_err(io)?;
        let owner = fs::metadata(&folder).map_err(io)?;
        let account = Account::choose(Some(&owner));
        account.own(&folder).map_err(io)?;
        if fs::metadata(&folder).map_err(io)?.uid() != account.uid {
            return Err(EmbeddedError::OthersFolder { folder, owner: owner.uid() });
        }
        fs::set_permissions(&folder, Permissions::from_mode(0o700)).map_err(io)?;
        let lock = FolderLock::take(&folder)?;
        let socket = folder.join("socket");
        make_folder(&socket).map_err(io)?;
        account.own(&socket).map_err(io)?;

        let descriptor = File::open(&folder).map_err(io)?;
        let by_descriptor = PathBuf::from(format!("/proc/self/fd/{}", descriptor.as_raw_fd()));
        let too_long = socket.join(".s.PGSQL.5432").as_os_str().len() > LONGEST_SOCKET;
        let mut place = Self {
            for_server: folder.clone(),
            for_clients: folder.clone(),
            account,
            _descriptor: descriptor,
            _lock: lock,
            folder,
        };
        if too_long || !account.reaches(&place.folder) {
            fcntl_setfd(&place._descriptor, FdFlags::empty()).map_err(|e| io(e.into()))?;
            place.for_server.clone_from(&by_descriptor);
        }
        if too_long {
            place.for_clients = by_descriptor;
        }
        Ok(place)
    }

    /// The data folder.
    pub(super) fn cluster(&self) -> PathBuf {
        self.folder.join("cluster")
    }

    /// A path below the folder as the server must spell it.
    pub(super) fn spelled_for_server(&self, below: &str) -> PathBuf {
        self.for_server.join(below)
    }

    /// The socket's folder as our own connections must spell it.
    pub(super) fn socket(&self) -> PathBuf {
        self.for_clients.join("socket")
    }

    /// The server's log.
    pub(super) fn log(&self) -> PathBuf {
        self.folder.join("postgres.log")
    }

    /// The password of the role `ekiden`; made at first and kept in the form that `PGPASSFILE` wants.
    pub(super) fn password(&self) -> Result<SecretString, EmbeddedError> {
        let path = self.folder.join("pgpass");
        let io = |source| EmbeddedError::Folder { folder: path.clone(), source };
        match fs::read_to_string(&path).map(SecretString::from) {
            Ok(text) => match text.expose_secret().trim_end().rsplit(':').next() {
                Some(password) if password.len() >= 20 => return Ok(password.into()),
                _ => return Err(EmbeddedError::NoPassword { path }),
            },
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(io(e)),
            Err(_) if self.cluster().exists() => return Err(EmbeddedError::NoPassword { path }),
            Err(_) => {}
        }
        let mut random = [0; 32];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| io(io::Error::other("no randomness")))?;
        let password = SecretString::from(URL_SAFE_NO_PAD.encode(random));
        let text = SecretString::from(format!("*:*:*:ekiden:{}\n", password.expose_secret()));
        write_private(&path, text.expose_secret()).map_err(io)?;
        Ok(password)
    }
}

/// Writes a file that only its owner can read, whole or not at all.
pub(super) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(beside, path)
}

fn make_folder(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}
