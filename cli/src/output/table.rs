//! Aligned columns and blocks, for people and for `awk` alike.
use unicode_width::UnicodeWidthStr;

use super::plain;

/// Rows under a header, two spaces between columns, nothing at line ends.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    #[must_use]
    pub fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(|h| (*h).to_owned()).collect()] }
    }

    /// Adds a row; empty cells show as `-`.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cell = |text: String| {
            if text.is_empty() { "-".to_owned() } else { plain(&text).replace('\n', " ") }
        };
        self.rows.push(cells.into_iter().map(cell).collect());
    }

    /// The text, a line a row.
    #[must_use]
    pub fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let widths: Vec<usize> = (0..columns)
            .map(|i| {
                self.rows.iter().filter_map(|r| r.get(i)).map(|c| c.width()).max().unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                pad(&mut line, cell, width + 2);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// Adds `cell` and fills up with spaces to `width` columns.
pub fn pad(line: &mut String, cell: &str, width: usize) {
    line.push_str(cell);
    line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.width())));
}

/// `label: value` lines, values aligned; what has no value is left out.
#[derive(Clone, Debug, Default)]
pub struct Details {
    lines: Vec<(&'static str, String)>,
}

impl Details {
    /// Adds a line, unless the value is empty.
    #[must_use]
    pub fn with(mut self, label: &'static str, value: impl Into<String>) -> Self {
        let value = value.into();
        if !value.is_empty() {
            self.lines.push((label, plain(&value)));
        }
        self
    }

    /// The text.
    #[must_use]
    pub fn render(&self) -> String {
        let width = self.lines.iter().map(|(label, _)| label.width()).max().unwrap_or_default();
        let mut text = String::new();
        for (label, value) in &self.lines {
            let mut line = String::new();
            pad(&mut line, &format!("{label}:"), width + 3);
            // Further lines of a value stand under its first.
            let indent = format!("\n{}", " ".repeat(width + 3));
            line.push_str(&value.trim_end().replace('\n', &indent));
            text.push_str(&line);
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_by_what_is_seen() {
        let mut table = Table::new(&["NAME", "FOR"]);
        table.row(["acme".to_owned(), "Acme".to_owned()]);
        table.row(["駅伝".to_owned(), String::new()]);
        table.row(["evil".to_owned(), "\u{1b}[2Jx\ny".to_owned()]);
        insta::assert_snapshot!(table.render(), @r"
        NAME  FOR
        acme  Acme
        駅伝  -
        evil  �[2Jx y
        ");
    }

    #[test]
    fn details_leave_out_what_is_not_there() {
        let details =
            Details::default().with("Name", "acme").with("Gone", "").with("Listeners", "a\nb");
        insta::assert_snapshot!(details.render(), @r"
        Name:       acme
        Listeners:  a
                    b
        ");
    }
}
