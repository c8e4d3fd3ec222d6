//! What happens to workloads' connections.
//!
//! - [`CloseCause`]: why one ended, and which side did it. `connections`: those open now, and how to end them.
//! - `socket`: a port that is listened on. `tcp`: passes bytes on.

mod cause;
pub(crate) mod connections;
pub(crate) mod socket;
pub(crate) mod tcp;

pub use self::cause::{CloseCause, Side};
