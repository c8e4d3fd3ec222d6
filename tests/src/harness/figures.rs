//! Reads Prometheus text.

/// Returns the sum of the values called `name` that carry all of `labels`; 0 where there are none.
pub fn sum(text: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let values = text.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (found, rest) = series.split_at(series.find('{').unwrap_or(series.len()));
        let has = |label: &(&str, &str)| rest.contains(&format!("{}=\"{}\"", label.0, label.1));
        (found == name && labels.iter().all(has)).then(|| value.parse::<f64>().ok())?
    });
    values.sum()
}

#[cfg(test)]
mod tests {
    use super::sum;

    #[test]
    fn values_of_one_name_are_added_up_by_label() {
        let text =
            "# HELP a what\na_total{l=\"x\",c=\"1\"} 2.0\na_total{l=\"y\",c=\"1\"} 3\na 7\n# EOF\n";
        assert_eq!(sum(text, "a_total", &[]), 5.0);
        assert_eq!(sum(text, "a_total", &[("l", "y")]), 3.0);
        assert_eq!(sum(text, "a_total", &[("l", "x"), ("c", "1")]), 2.0);
        assert_eq!(sum(text, "a_total", &[("l", "z")]), 0.0);
        assert_eq!(sum(text, "a", &[]), 7.0);
    }
}
