//! Live sessions and the heads they follow.
//!
//! - [`live`]: which sessions are open here; the newest of a relay wins.
//! - [`heads`]: what each fleet should run: LISTEN is a hint, a re-read every two seconds the truth.
//! - [`keys`]: key bundles, opened for as long as sessions ask for them.

mod heads;
mod keys;
mod live;

pub use heads::{Head, HeadsFollower};
pub use keys::{KeyBundles, OpenBundle};
pub use live::{Lease, LiveSessions};
