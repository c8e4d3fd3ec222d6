//! What is wrong with settings, by field.
use std::fmt;

/// One thing wrong in settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Path of the field, e.g. `listeners[1].port`.
    pub field: String,
    /// What is wrong and what would be right, for a person.
    pub description: String,
}

impl Violation {
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.description)
    }
}

/// Collects what is wrong, so that all of it is told at once.
#[derive(Default)]
pub(crate) struct Violations(pub(crate) Vec<Violation>);

impl Violations {
    pub(crate) fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.0.push(Violation::new(field, description));
    }

    /// Gives what a rule lets pass; else keeps what the rule says, under this field.
    pub(crate) fn pass<T>(
        &mut self,
        field: impl Into<String>,
        outcome: Result<T, String>,
    ) -> Option<T> {
        outcome.map_err(|description| self.add(field, description)).ok()
    }
}
