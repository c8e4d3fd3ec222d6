//! What a person sees: steps with their time, colours on a terminal only, and never silence.
use std::{
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

/// Prints to standard output.
#[derive(Debug)]
pub(crate) struct Show {
    terminal: bool,
    colour: bool,
}

const SPINNER: [&str; 8] = ["⠋", "⠙", "⠸", "⠴", "⠦", "⠇", "⠏", "⠹"];

/// Characters of a step that any terminal shows on one line.
const NARROW: usize = 68;

impl Show {
    pub(crate) fn new() -> Self {
        let terminal = std::io::stdout().is_terminal();
        Self { terminal, colour: terminal && std::env::var_os("NO_COLOR").is_none() }
    }

    /// Prints one line.
    pub(crate) fn line(&self, text: &str) {
        self.write(&format!("{text}\n"));
    }

    /// Prints a heading.
    pub(crate) fn heading(&self, text: &str) {
        self.write(&format!("\n{}\n", self.paint("1", text)));
    }

    /// Prints something to remember.
    pub(crate) fn hint(&self, text: &str) {
        self.write(&format!("  {}\n", self.paint("36", text)));
    }

    /// Prints why it ended early.
    pub(crate) fn failed(&self, error: &anyhow::Error) {
        self.write(&format!("\n{} {error:#}\n", self.paint("1;31", "It did not work:")));
    }

    /// Says what is being done, shows that time passes, and says how long it took.
    pub(crate) async fn step<T>(
        &self,
        what: &str,
        doing: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        let began = Instant::now();
        let (every, mut ticks) = if self.terminal {
            (Duration::from_millis(100), 0)
        } else {
            (Duration::from_secs(10), 0)
        };
        if !self.terminal {
            self.write(&format!("… {what}\n"));
        }
        let mut ticker = tokio::time::interval(every);
        let mut doing = std::pin::pin!(doing);
        let result = loop {
            tokio::select! {
                result = &mut doing => break result,
                _ = ticker.tick() => {
                    self.tick(what, ticks, began.elapsed());
                    ticks += 1;
                }
            }
        };
        let clear = if self.terminal { "\r\x1b[2K" } else { "" };
        let took = format!("{:.1} s", began.elapsed().as_secs_f32());
        match &result {
            Ok(_) => self.write(&format!(
                "{clear}{} {what} {}\n",
                self.paint("32", "✓"),
                self.paint("2", &took)
            )),
            Err(_) => self.write(&format!(
                "{clear}{} {what} {}\n",
                self.paint("31", "✗"),
                self.paint("2", &took)
            )),
        }
        result.map_err(|error| error.context(what.to_owned()))
    }

    fn tick(&self, what: &str, ticks: usize, passed: Duration) {
        if self.terminal {
            let spinner = SPINNER[ticks % SPINNER.len()];
            // Longer than a narrow terminal's line it could not be taken back.
            let what: String = what.chars().take(NARROW).collect();
            self.write(&format!(
                "\r\x1b[2K{} {what} {:.0} s",
                self.paint("36", spinner),
                passed.as_secs_f32()
            ));
        } else if ticks > 0 {
            self.write(&format!("  still at it after {:.0} s: {what}\n", passed.as_secs_f32()));
        }
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn write(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        // Whoever closed our output does not want to read on; the demo still ends as it should.
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).ok();
    }
}

/// Lays rows out in columns as wide as their widest cell, the first row being the heading.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        text.push_str(&format!("  {}\n", cells.join("  ").trim_end()));
        if number == 0 {
            let lines: Vec<String> = widths.iter().map(|width| "─".repeat(*width)).collect();
            text.push_str(&format!("  {}\n", lines.join("  ")));
        }
    }
    text
}

/// Writes a number of bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    match count {
        0..10_240 => format!("{count} B"),
        10_240..10_485_760 => format!("{} KiB", count >> 10),
        _ => format!("{} MiB", count >> 20),
    }
}
