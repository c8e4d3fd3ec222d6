//! An error with everything that caused it, in one line for the log.
use std::{error::Error, fmt::Write};

use tonic::Status;

/// `what went wrong: why: and why that`.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = text(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = text(error);
        // Wrappers that say what they wrap would say it twice.
        if !line.contains(&text) && write!(line, ": {text}").is_err() {
            break;
        }
        cause = error.source();
    }
    line
}

/// What an error says; of a gRPC status only what a person can use.
fn text(error: &(dyn Error + 'static)) -> String {
    let status = error
        .downcast_ref::<Status>()
        .or_else(|| error.downcast_ref::<Box<Status>>().map(AsRef::as_ref));
    status.map_or_else(
        || error.to_string(),
        |status| format!("{:?}: {}", status.code(), status.message()),
    )
}

/// Walks an error and its causes, also through the errors that I/O wraps.
pub fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            .map(|inner| inner as &(dyn Error + 'static))
            .or_else(|| error.source())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("it failed")]
    struct Failed(#[source] Box<Status>);

    #[test]
    fn a_status_is_told_by_its_code_and_message() {
        let failed = Failed(Box::new(Status::not_found("there is no such relay")));
        assert_eq!(chain(&failed), "it failed: NotFound: there is no such relay");
    }
}
