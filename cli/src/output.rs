//! How results are printed.
//!
//! - [`structured`]: protobuf messages as JSON and YAML.
//! - [`table`]: aligned columns and blocks for people.
//! - [`moments`]: times and ages in words.
use std::io::{self, Write};

use prost::{Message, Name};
use time::OffsetDateTime;

use crate::{arguments::Format, failure::Failure};

pub mod moments;
pub mod structured;
pub mod table;

/// Where results go and how.
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    /// How to print.
    pub format: Format,
    /// The time that ages count from.
    pub now: OffsetDateTime,
    /// Whether a person reads standard output.
    pub terminal: bool,
}

impl Printer {
    /// Prints a message: for people as `human` writes it, else as JSON or YAML.
    ///
    /// # Errors
    /// [`Failure::Output`] when standard output is gone; [`Failure::Usage`] for `-o text`, which only new tokens have.
    pub fn message<M: Message + Name>(
        &self,
        message: &M,
        human: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let text = match self.format {
            Format::Table => human(),
            Format::Json => structured::json(message)?,
            Format::Yaml => structured::yaml(message)?,
            Format::Text => {
                return Err(Failure::usage(
                    "`-o text` prints the text of a new token, and this makes none",
                    "use `-o table`, `-o json` or `-o yaml`",
                ));
            }
        };
        print(&text)
    }

    /// Prints a list; an empty one says on stderr what to do next.
    ///
    /// # Errors
    /// As [`Printer::message`].
    pub fn list<M: Message + Name, T>(
        &self,
        message: &M,
        items: &[T],
        table: impl FnOnce(&[T]) -> String,
        empty: &str,
    ) -> Result<(), Failure> {
        if items.is_empty() {
            self.note(empty);
            if self.format == Format::Table {
                return Ok(());
            }
        }
        self.message(message, || table(items))
    }

    /// Says something to the person beside the result; programs that read JSON or YAML are not told.
    pub fn note(&self, text: &str) {
        if self.format == Format::Table {
            eprintln!("{}", plain(text));
        }
    }
}

/// Prints text and a line break where it has none.
///
/// # Errors
/// [`Failure::Output`] when standard output is gone.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.is_empty() && !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}

/// Text that cannot steer the terminal: control characters other than line breaks are replaced.
#[must_use]
pub fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}
