//! The relay's folder on disk: mode 0700, its files 0600 and replaced in one step.
use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// A file larger than this is not one of ours.
const LARGEST: u64 = 4 << 20;

/// The relay's folder.
#[derive(Clone, Debug)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// Makes the folder if it is not there, and closes it to everyone else.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        if let Err(error) = fs::set_permissions(path, Permissions::from_mode(0o700)) {
            // A mounted volume may be another user's; what lies in it is 0600 all the same.
            tracing::warn!(error = %error, folder = %path.display(), "The state folder cannot be closed to other users");
        }
        Ok(Self(path.to_owned()))
    }

    /// Reads a file; none if it is not there.
    ///
    /// # Errors
    /// When it cannot be read, or is larger than anything written here.
    pub fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.0.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut content = Vec::new();
        file.take(LARGEST + 1).read_to_end(&mut content)?;
        if content.len() as u64 > LARGEST {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{name} is larger than {LARGEST} bytes"),
            ));
        }
        Ok(Some(content))
    }

    /// Replaces a file: after a crash it holds the old content or the new, never a part.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let draft = self.0.join(format!(".{name}.new"));
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&draft, self.0.join(name))?;
        File::open(&self.0)?.sync_all()
    }

    /// Removes a file; one that is not there is fine.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.0.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_and_its_files_are_closed_to_others() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let folder = StateDir::open(&path).unwrap();
        folder.replace("file", b"one").unwrap();
        folder.replace("file", b"two").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join("file"))), (0o700, 0o600));
        assert_eq!(folder.read("file").unwrap().as_deref(), Some(b"two".as_slice()));
        assert_eq!(fs::read_dir(&path).unwrap().count(), 1);
    }

    #[test]
    fn a_draft_left_by_a_crash_is_in_no_ones_way() {
        let parent = tempfile::tempdir().unwrap();
        let folder = StateDir::open(parent.path()).unwrap();
        fs::write(parent.path().join(".file.new"), "half of").unwrap();
        assert_eq!(folder.read("file").unwrap(), None);
        folder.replace("file", b"whole").unwrap();
        assert_eq!(folder.read("file").unwrap().as_deref(), Some(b"whole".as_slice()));
        folder.remove("file").unwrap();
        folder.remove("file").unwrap();
        assert_eq!(folder.read("file").unwrap(), None);
    }
}
