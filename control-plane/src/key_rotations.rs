//! Rotations of access keys with proof: a new version goes to every relay, is tried on every collector, and only then used.
//!
//! - [`progress`]: what a rotation rests on, to what it may do next; pure.
//! - [`run`]: takes the steps, on one replica at a time.
//!
//! Relays hold both versions until the end of the old one's grace, and fall back to it wherever the new one is refused; that
//! stops the rotation until nobody refuses any more. `OLD_DRAINING` then begins its grace again.

mod driver;
pub mod progress;
mod state;

pub use driver::{run, standing};
pub use state::RotationState;
