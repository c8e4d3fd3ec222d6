//! Errors of the Cloud Map API, real and injected, and the pace that it holds callers to.
use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::time::Instant;

/// An error as AWS answers it.
#[derive(Clone, Debug)]
pub struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// Name, e.g. `InstanceNotFound`.
    pub name: String,
    /// Text for people.
    pub message: String,
    /// Further members of the answer, an object.
    pub members: Value,
}

impl ApiError {
    /// An error of the caller's, status 400.
    pub fn new(name: &str, message: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            name: name.to_owned(),
            message: message.into(),
            members: json!({}),
        }
    }

    /// The service itself failed, status 500.
    pub fn internal() -> Self {
        let mut error = Self::new("InternalFailure", "the service failed");
        error.status = StatusCode::INTERNAL_SERVER_ERROR;
        error
    }

    /// The caller asks too often.
    pub fn throttled() -> Self {
        Self::new("ThrottlingException", "Rate exceeded")
    }

    /// The caller's role has no right to this.
    pub fn denied(action: &str) -> Self {
        let why = format!(
            "User is not authorized to perform: servicediscovery:{action} because no identity-based policy allows it"
        );
        Self::new("AccessDeniedException", why)
    }

    /// A request for this instance is in progress already.
    pub fn duplicate(operation: &str) -> Self {
        let mut error = Self::new("DuplicateRequest", "the operation is already in progress");
        error.members = json!({ "DuplicateOperationId": operation });
        error
    }
}

/// An error to answer instead of acting.
#[derive(Clone, Debug)]
pub struct Fault {
    action: String,
    error: ApiError,
    times: u32,
}

impl Fault {
    /// Answers the next `times` calls of `action` (`*`: any) with `error`.
    pub fn new(action: &str, error: ApiError, times: u32) -> Self {
        Self { action: action.to_owned(), error, times }
    }
}

/// How many calls pass: a bucket that fills evenly and holds a second's worth. AWS does not publish the API's own figures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    per_second: f64,
    left: f64,
    at: Instant,
}

impl Pace {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, left: per_second, at: now }
    }

    /// Takes one call out of the bucket.
    pub(super) fn pass(&mut self, now: Instant) -> Result<(), ApiError> {
        let filled = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.left = (self.left + filled).min(self.per_second);
        self.at = now;
        if self.left < 1.0 {
            return Err(ApiError::throttled());
        }
        self.left -= 1.0;
        Ok(())
    }
}

/// Takes the error that this call should get from the list, if any.
pub(super) fn next(faults: &mut Vec<Fault>, action: &str) -> Option<ApiError> {
    let index = faults.iter().position(|fault| fault.action == action || fault.action == "*")?;
    let fault = faults.get_mut(index)?;
    fault.times = fault.times.saturating_sub(1);
    let error = fault.error.clone();
    if fault.times == 0 {
        faults.remove(index);
    }
    Some(error)
}
