//! What relays run: what operators give of it, and the compiler that makes it from a fleet's rows. Pure. What is good is
//! for the crate `ekiden-settings` to say, for the control plane and for relays alike.
//!
//! - [`compile`]: rows to bytes that a relay can run; the same rows always give the same bytes.
//! - [`spec`]: what operators give, checked under the paths of their own fields.

pub mod compile;
pub mod spec;
