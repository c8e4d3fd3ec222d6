//! Starts the real binaries in a world of their own, waits on conditions, and leaves nothing behind.
//!
//! - [`world`]: the stand-ins and what they share.
//! - [`control_plane`], [`relay`]: the processes under test.
//! - [`command_line`]: the real ekidenctl.
//! - [`account`]: an AWS account whose tasks can prove their role.
//! - [`customer`]: a tenant with its vendor, key, collectors and fleet, set up by the admin API.
//! - [`operator`]: the admin API as an operator calls it.
//! - [`process`]: a child process with its logs.
//! - [`figures`]: what a relay counts, as Prometheus reads it.
//! - [`guard`]: ends a world whose owner died.
//! - [`loopback`]: addresses that no other world uses.
//! - [`wait`]: waiting on conditions.
pub mod account;
pub mod command_line;
pub mod control_plane;
pub mod customer;
pub mod figures;
pub mod guard;
pub mod loopback;
pub mod operator;
pub mod process;
pub mod relay;
pub mod wait;
pub mod world;

pub use self::{
    account::Account,
    command_line::CommandLine,
    control_plane::ControlPlane,
    customer::Customer,
    operator::Operator,
    relay::{Relay, RelayOptions},
    world::World,
};
