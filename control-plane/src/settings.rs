//! What relays run: the limits it keeps to, and the compiler that makes it from a fleet's rows. Pure.
//!
//! - [`check`]: the limits documented in `settings.proto`, with a path for each violation.
//! - [`compile`]: rows to bytes; the same rows always give the same bytes.

pub mod check;
pub mod compile;
