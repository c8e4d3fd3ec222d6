//! The table of what was seen.
use std::{
    io::{self, Write as _},
    time::Duration,
};

use super::workloads::Counts;

/// What was seen of one act.
#[derive(Clone, Debug)]
pub struct Row {
    /// What happened.
    pub act: String,
    /// From the event until DNS held exactly the relays that serve, and went on so; none: never.
    pub true_after: Option<Duration>,
    /// What workloads that resolve by TTL noticed.
    pub honest: Counts,
    /// What workloads that remember for ever noticed.
    pub caching: Counts,
    /// Answers without an address.
    pub empty: u64,
    /// Records of relays that do not serve, at the end.
    pub left_over: usize,
}

/// Tells whoever watches; the table alone goes to standard output.
pub fn tell(text: &str) {
    // Nobody may be watching.
    drop(writeln!(io::stderr(), "dns-proof: {text}"));
}

/// Head of the table.
pub const HEAD: &str = "\
| what happens | DNS true after | honest: connections | refused | reset | timed out | records | not acknowledged | caching: noticed | empty answers | dead left over |
|---|---|---|---|---|---|---|---|---|---|---|
";

impl Row {
    /// Writes it as a line of the table.
    pub fn line(&self) -> String {
        let after = match self.true_after {
            Some(after) => format!("{:.1} s", after.as_secs_f64()),
            None => "never".to_owned(),
        };
        let Counts { opened, records, refused, reset, timed_out, unacknowledged, .. } = self.honest;
        let noticed = self.caching.noticed();
        format!(
            "| {} | {after} | {opened} | {refused} | {reset} | {timed_out} | {records} | {unacknowledged} | {noticed} | {} | {} |",
            self.act, self.empty, self.left_over
        )
    }

    /// Says what must never be; `orderly`: nobody died and nothing was cut.
    pub fn wrong(&self, orderly: bool) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut must_be_none = |what: &str, count: u64| {
            if count > 0 {
                wrong.push(format!("{}: {count} {what}", self.act));
            }
        };
        must_be_none("empty answers", self.empty + self.honest.unresolved);
        must_be_none("records of the dead left over", self.left_over as u64);
        must_be_none("times DNS never became true", u64::from(self.true_after.is_none()));
        if orderly {
            must_be_none("times an honest workload noticed", self.honest.noticed());
        }
        wrong
    }
}
