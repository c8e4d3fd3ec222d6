//! A master key in a local file that only its owner can read.
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand::{SecureRandom, SystemRandom},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::future::{BoxFuture, FutureExt, ready};
use zeroize::{Zeroize, Zeroizing};

use super::{KEY_LEN, MasterKey, VaultError, decrypt, encrypt};

/// A 256-bit key in a file of mode 0600, as one line of base64.
pub struct LocalFile {
    id: String,
    key: Zeroizing<[u8; KEY_LEN]>,
}

/// Why the key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LocalFileError {
    /// Others than its owner may touch it.
    #[error(
        "the master key file {path} is open to others (mode {mode:04o}): run `chmod 600 {path}`, and make a new key if others may have read it"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It holds something else than a key.
    #[error(
        "the master key file {path} holds no key: it must be 32 bytes in base64, as this program writes it"
    )]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be read or made.
    #[error("the master key file {path} cannot be used: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl LocalFile {
    /// Reads the key; makes one first where there is no file.
    ///
    /// # Errors
    /// [`LocalFileError`]; a file that others can read is refused.
    pub fn load_or_create(path: &Path) -> Result<Self, LocalFileError> {
        let io = |source| LocalFileError::Io { path: path.to_owned(), source };
        match File::open(path) {
            Ok(file) => Self::read(path, file),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                create(path).map_err(io)?;
                Self::read(path, File::open(path).map_err(io)?)
            }
            Err(e) => Err(io(e)),
        }
    }

    /// Reads the key of a file that is there.
    ///
    /// # Errors
    /// [`LocalFileError`]; a file that others can read is refused.
    pub fn load(path: &Path) -> Result<Self, LocalFileError> {
        let io = |source| LocalFileError::Io { path: path.to_owned(), source };
        Self::read(path, File::open(path).map_err(io)?)
    }

    fn read(path: &Path, file: File) -> Result<Self, LocalFileError> {
        let io = |source| LocalFileError::Io { path: path.to_owned(), source };
        let malformed = || LocalFileError::Malformed { path: path.to_owned() };
        let mode = file.metadata().map_err(io)?.mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(LocalFileError::Exposed { path: path.to_owned(), mode });
        }
        // Reserved in full, so that growing leaves no copy of the key behind.
        let mut text = Zeroizing::new(Vec::with_capacity(256));
        file.take(200).read_to_end(&mut text).map_err(io)?;
        let decoded = Zeroizing::new(STANDARD.decode(text.trim_ascii()).map_err(|_| malformed())?);
        let mut key = Zeroizing::new([0; KEY_LEN]);
        if decoded.len() != KEY_LEN {
            return Err(malformed());
        }
        key.copy_from_slice(&decoded);
        let id = format!("local/{}", fingerprint(&key));
        Ok(Self { id, key })
    }
}

impl MasterKey for LocalFile {
    fn id(&self) -> &str {
        &self.id
    }

    fn wrap<'a>(
        &'a self,
        place: &'a str,
        data_key: &'a [u8],
    ) -> BoxFuture<'a, Result<Vec<u8>, VaultError>> {
        ready(encrypt(self.key.as_slice(), place, data_key)).boxed()
    }

    fn unwrap<'a>(
        &'a self,
        place: &'a str,
        wrapped: &'a [u8],
    ) -> BoxFuture<'a, Result<Zeroizing<Vec<u8>>, VaultError>> {
        ready(decrypt(self.key.as_slice(), place, wrapped)).boxed()
    }
}

/// Writes a new key beside `path` and moves it there, so that a crash leaves a whole file or none.
fn create(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let beside = folder.join(name);
    let mut key = Zeroizing::new([0; KEY_LEN]);
    SystemRandom::new().fill(key.as_mut_slice()).map_err(|_| io::Error::other("no randomness"))?;
    let mut text = STANDARD.encode(key.as_slice());
    text.push('\n');
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    text.zeroize();
    // A link, unlike a rename, never replaces a key that another process made meanwhile.
    let linked = written.and_then(|()| match fs::hard_link(&beside, path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    fs::remove_file(&beside)?;
    linked?;
    File::open(folder)?.sync_all()
}

/// First 16 hex digits of SHA-256 over the key with a label, so that it is no hash of the key itself.
fn fingerprint(key: &[u8; KEY_LEN]) -> String {
    let labelled = Zeroizing::new([b"ekiden master key id\0".as_slice(), key].concat());
    digest(&SHA256, &labelled).as_ref().iter().take(8).map(|b| format!("{b:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_key_is_readable_by_its_owner_only_and_stays_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/master.key");
        let first = LocalFile::load_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let again = LocalFile::load_or_create(&path).unwrap();
        assert_eq!(first.id, again.id);
        assert_eq!(*first.key, *again.key);
        assert_eq!(fs::read_dir(folder.path().join("deep")).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        LocalFile::load_or_create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let Err(error) = LocalFile::load_or_create(&path) else { panic!("it was accepted") };
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }

    #[test]
    fn a_file_without_a_key_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        for wrong in ["", "hello", "AAAA", &"A".repeat(400)] {
            fs::write(&path, wrong).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            assert!(matches!(
                LocalFile::load_or_create(&path),
                Err(LocalFileError::Malformed { .. })
            ));
            assert_eq!(fs::read_to_string(&path).unwrap(), wrong);
        }
    }
}
