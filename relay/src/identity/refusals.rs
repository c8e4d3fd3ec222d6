//! Why a relay could not enroll: each way that it tried, and what to do next.
use std::time::Duration;

use super::enrollment::EnrollmentError;
use crate::error_chain::chain;

/// The last of the ways.
pub(super) const TOKEN: &str = "enrollment_token";

/// Why one way did not lead anywhere.
pub(super) enum Attempt {
    /// There is no token to be read.
    NoToken(String),
    /// It was tried.
    Failed(EnrollmentError),
}

/// Every way that was tried, in order.
#[derive(Default)]
pub(super) struct Refusals(Vec<(&'static str, Attempt)>);

impl Refusals {
    pub(super) fn add(&mut self, way: &'static str, attempt: Attempt) {
        self.0.push((way, attempt));
    }

    /// Whether a person must change something before any way can lead anywhere.
    pub(super) fn is_permanent(&self) -> bool {
        self.0.iter().all(|(_, attempt)| match attempt {
            Attempt::NoToken(_) => true,
            Attempt::Failed(error) => error.is_permanent(),
        })
    }

    /// How long the control plane asks to be left alone.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        let asked = self.0.iter().filter_map(|(_, attempt)| match attempt {
            Attempt::NoToken(_) => None,
            Attempt::Failed(error) => error.retry_after(),
        });
        asked.max()
    }

    /// For a person: what each way said, and what helps.
    pub(super) fn message(&self) -> String {
        let Some((last, _)) = self.0.last() else {
            return "there is nothing to enroll with: set EKIDEN_FLEET to join by the task's AWS role, or \
                    EKIDEN_ENROLLMENT_TOKEN or EKIDEN_ENROLLMENT_TOKEN_FILE, and start the relay again"
                .to_owned();
        };
        let told = self.0.iter().map(|(way, attempt)| {
            let why = match attempt {
                Attempt::NoToken(why) => why.clone(),
                Attempt::Failed(error) => chain(error),
            };
            if self.0.len() == 1 { why } else { format!("by {way}: {why}") }
        });
        let told = told.collect::<Vec<_>>().join("; ");
        let next = match (self.is_permanent(), *last == TOKEN) {
            (false, _) => return told,
            (true, true) => {
                "Make a new enrollment token (`ekidenctl enrollment-token create`) and give it to this relay"
            }
            (true, false) => "Admit the role to the fleet (`ekidenctl enrollment-rule create`)",
        };
        format!("{told}. {next}; it tries again by itself")
    }
}
