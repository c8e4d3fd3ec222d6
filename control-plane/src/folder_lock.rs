//! One process at a time in a folder.
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    path::{Path, PathBuf},
};

/// Held for as long as this lives; the operating system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

/// Why a folder cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FolderLockError {
    /// Another process works in it.
    #[error("{folder} is in use by process {holder}: stop that one first, or use another folder")]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// The other's process id, as far as it can be told.
        holder: String,
    },
    /// The lock file cannot be used.
    #[error("{folder} cannot be locked: {source}")]
    Io {
        /// The folder.
        folder: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl FolderLock {
    /// Takes the folder, or says who has it.
    ///
    /// # Errors
    /// [`FolderLockError`].
    pub fn take(folder: &Path) -> Result<Self, FolderLockError> {
        let io = |source| FolderLockError::Io { folder: folder.to_owned(), source };
        let path = folder.join("lock");
        let mut options = OpenOptions::new();
        let mut file =
            options.read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only told to the reader of the error, so a file that cannot be read is no reason to fail.
                if file.take(20).read_to_string(&mut holder).is_err() || holder.is_empty() {
                    "that is not known".clone_into(&mut holder);
                }
                let folder = folder.to_owned();
                return Err(FolderLockError::InUse { folder, holder: holder.trim().to_owned() });
            }
            Err(TryLockError::Error(source)) => return Err(io(source)),
        }
        file.set_len(0).map_err(io)?;
        file.rewind().map_err(io)?;
        writeln!(file, "{}", std::process::id()).map_err(io)?;
        Ok(Self { _file: file })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_in_use_is_refused_with_its_holder_and_free_again_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let first = FolderLock::take(folder.path()).unwrap();
        let error = FolderLock::take(folder.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}:", std::process::id())), "{error}");
        drop(first);
        FolderLock::take(folder.path()).unwrap();
    }
}
