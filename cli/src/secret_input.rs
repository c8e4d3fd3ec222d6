//! Keys and tokens come from a file, from stdin or from a prompt without echo; never from an argument, which every
//! process on the machine could read.
use std::{
    fs::File,
    io::{self, BufRead, IsTerminal, Read},
    os::fd::AsFd,
};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Larger input is no key.
const MOST: u64 = 64 * 1024;

/// Reads a secret: from the file `source`, from stdin when that is `-`, or from a prompt when it is absent and a person is there.
/// A line break at the end is not part of it.
///
/// # Errors
/// [`Failure::Usage`] when there is nothing to read from or nothing in it; [`Failure::File`].
pub fn read(source: Option<&str>, option: &str, what: &str) -> Result<SecretString, Failure> {
    let stdin = io::stdin();
    let text = match source {
        Some("-") => read_all(stdin.lock(), "stdin")?,
        Some(path) => {
            let file = File::open(path).map_err(|source| unreadable(path, source))?;
            read_all(file, path)?
        }
        None if stdin.is_terminal() => prompt(&stdin, what)?,
        None => {
            return Err(Failure::usage(
                format!("where is the {what}?"),
                format!("`{option} FILE` reads a file, `{option} -` reads stdin"),
            ));
        }
    };
    let trimmed =
        text.strip_suffix('\n').map_or(text.as_str(), |t| t.strip_suffix('\r').unwrap_or(t));
    if trimmed.is_empty() {
        return Err(Failure::usage(format!("the {what} is empty"), "check where it comes from"));
    }
    Ok(trimmed.to_owned().into())
}

fn read_all(reader: impl Read, path: &str) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    reader.take(MOST + 1).read_to_string(&mut text).map_err(|source| unreadable(path, source))?;
    if text.len() as u64 > MOST {
        return Err(Failure::usage(
            format!("{path} is larger than 64 KiB"),
            "check that it is the right file",
        ));
    }
    Ok(text)
}

fn unreadable(path: &str, source: io::Error) -> Failure {
    Failure::File { path: path.to_owned(), verb: "read", source }
}

fn prompt(stdin: &io::Stdin, what: &str) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    eprint!("{what}: ");
    let result = {
        let _silence =
            Silence::begin(stdin).map_err(|source| unreadable("the terminal", source))?;
        stdin.lock().take(MOST).read_line(&mut text)
    };
    result.map_err(|source| unreadable("the terminal", source))?;
    Ok(text)
}

/// Keeps a terminal from showing what is typed, until dropped.
struct Silence<'a> {
    stdin: &'a io::Stdin,
    before: Termios,
}

impl<'a> Silence<'a> {
    fn begin(stdin: &'a io::Stdin) -> io::Result<Self> {
        let before = tcgetattr(stdin.as_fd())?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(stdin.as_fd(), OptionalActions::Flush, &silent)?;
        Ok(Self { stdin, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        // The terminal is gone, then there is nothing to restore.
        tcsetattr(self.stdin.as_fd(), OptionalActions::Flush, &self.before).ok();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use secrecy::ExposeSecret;

    use super::*;

    fn read_file(content: &[u8]) -> Result<String, Failure> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        read(file.path().to_str(), "--value-file", "access key")
            .map(|s| s.expose_secret().to_owned())
    }

    #[test]
    fn one_line_break_at_the_end_is_no_part_of_a_secret() {
        assert_eq!(read_file(b"key").unwrap(), "key");
        assert_eq!(read_file(b"key\n").unwrap(), "key");
        assert_eq!(read_file(b"key\r\n").unwrap(), "key");
        assert_eq!(read_file(b" key \n\n").unwrap(), " key \n");
    }

    #[test]
    fn what_cannot_be_a_secret_is_refused_without_being_shown() {
        assert!(matches!(read_file(b"\n"), Err(Failure::Usage { .. })));
        assert!(matches!(read_file(&[b'x'; 70_000]), Err(Failure::Usage { .. })));
        assert!(matches!(read_file(b"\xff\xfe"), Err(Failure::File { .. })));
        assert!(matches!(
            read(Some("/nowhere/key"), "--value-file", "key"),
            Err(Failure::File { .. })
        ));
    }
}
