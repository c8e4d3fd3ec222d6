//! Reaches a tenant's collectors: which address, over what, with which key, and how that went.
//!
//! - [`CollectorPool`]: the live state of one collector; dials it. `race`: several addresses, the first to answer wins.
//! - [`Dialled`], [`Stream`]: a connection to it. [`DialError`]: why there is none.
//! - [`Keys`]: the access keys in memory. [`KeyTrials`]: what collectors say to a new version.
//! - `outcome`: what health says of it. `quarantine`: addresses that failed.
//! - `proxy`: the tunnel to it. `tls`: trust. [`OwnListeners`]: what must not be dialled.

mod error;
mod keys;
mod outcome;
mod own_listeners;
mod pool;
mod proxy;
mod quarantine;
mod race;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod trials;

pub(crate) use self::pool::KEEPALIVE;
pub use self::{
    error::DialError,
    keys::{Key, Keys},
    outcome::{CollectorCounters, ConnectTimings, ProbeOutcome, Use},
    own_listeners::OwnListeners,
    pool::{CollectorPool, Dialled},
    stream::Stream,
    trials::{KeyTrials, Trial, Trials},
};
