//! Ekiden's contracts as Rust types, one module a package, and the descriptor that reflection serves.
//!
//! - [`admin`]: what operators call.
//! - [`relay`]: enrollment and sessions.
//! - [`settings`]: what a relay runs.
//! - [`health`]: what a relay reports.
//! - [`aws_challenge`]: what a proof of AWS identity is about.
//! - [`audit_chain`]: how audit events hang together, and how to check that they do.
//! - [`codec`]: how messages become bytes.

pub mod audit_chain;
pub mod aws_challenge;
pub mod codec;
mod redacted;

/// Encoded `FileDescriptorSet` of every package, imports included.
pub const DESCRIPTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/ekiden.bin"));

/// `ekiden.admin`.
pub mod admin {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("ekiden.admin.v1");
    }
}

/// `ekiden.relay`.
pub mod relay {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("ekiden.relay.v1");
    }
}

/// `ekiden.settings`.
pub mod settings {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("ekiden.settings.v1");
    }
}

/// `ekiden.health`.
pub mod health {
    /// Version 1.
    pub mod v1 {
        tonic::include_proto!("ekiden.health.v1");
    }
}
