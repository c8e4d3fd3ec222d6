//! Relays' records in the registry: who may leave, whose are to be taken out, and in which cells relays are.
//!
//! - [`balance`]: how many connections crowded relays are to let go. Pure.
//! - [`departure`]: whether a relay may leave its services.
//! - [`driver`]: looks each second and tells sessions what is asked of their relays.
//! - [`gone`]: whose records are to be taken out. Pure.
//! - [`placement`]: in which cells relays are. Pure.

pub mod balance;
pub mod departure;
pub mod driver;
pub mod gone;
pub mod placement;
