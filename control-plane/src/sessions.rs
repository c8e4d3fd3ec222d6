//! Live sessions and the heads they follow.
//!
//! - [`live`]: which sessions are open here; the newest of a relay wins.
//! - [`heads`]: what each fleet should run: LISTEN is a hint, a re-read every two seconds the truth.
//! - [`keys`]: key bundles, opened for as long as sessions ask for them.
//! - [`revocations`]: ends the sessions of relays that were revoked.

mod heads;
mod keys;
mod live;
pub mod revocations;

pub use heads::{Head, HeadsFollower};
pub use keys::{KeyBundles, OpenBundle};
pub use live::{Lease, LiveSessions, Order};
