//! Medians, ratios and tables in Markdown, for the terminal and for `docs/benchmarks.md`.
use std::fmt::Write;

/// The middle of the values; 0 for none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values.get(middle).copied().unwrap_or_default(),
        _ => values.get(middle - 1..=middle).unwrap_or_default().iter().sum::<f64>() / 2.0,
    }
}

/// One measured thing: who, and a value for each column.
pub struct Row {
    /// Who was measured.
    pub name: String,
    /// A value for each column; none: not measured.
    pub values: Vec<Option<f64>>,
}

/// A table in which each value stands with its ratio to the first row's, smaller being better.
pub fn table(columns: &[&str], rows: &[Row]) -> String {
    let mut out = String::new();
    let heads = columns.iter().map(|c| format!(" {c} |")).collect::<String>();
    writeln!(out, "| |{heads}\n|---|{}", "---|".repeat(columns.len())).ok();
    for row in rows {
        write!(out, "| {} |", row.name).ok();
        for (i, value) in row.values.iter().enumerate() {
            let first = rows.first().and_then(|r| r.values.get(i).copied().flatten());
            match (value, first) {
                (Some(v), Some(f)) if f > 0.0 => {
                    write!(out, " {} ({:.2}×) |", number(*v), v / f).ok()
                }
                (Some(v), _) => write!(out, " {} |", number(*v)).ok(),
                (None, _) => write!(out, " – |").ok(),
            };
        }
        out.push('\n');
    }
    out
}

fn number(value: f64) -> String {
    match value {
        v if v >= 100.0 => format!("{v:.0}"),
        v if v >= 10.0 => format!("{v:.1}"),
        v => format!("{v:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_value_or_the_mean_of_the_two() {
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(vec![4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < f64::EPSILON);
    }

    #[test]
    fn each_value_stands_with_its_ratio_to_the_first_row() {
        let rows = [
            Row { name: "relay".into(), values: vec![Some(2.0), None] },
            Row { name: "peer".into(), values: vec![Some(3.0), Some(120.0)] },
        ];
        let text = table(&["a", "b"], &rows);
        assert!(text.contains("| relay | 2.00 (1.00×) | – |"), "{text}");
        assert!(text.contains("| peer | 3.00 (1.50×) | 120 |"), "{text}");
    }
}
