//! The only place with SQL: one file a resource; functions take a connection, so that the caller names the transaction.
//!
//! - [`access_keys`]: access keys and their sealed versions.
//! - [`api_tokens`]: operators' credentials, hashed.
//! - [`audit`]: who changed what.
//! - [`certificate_authorities`]: the CAs, and which relays hold certificates of which.
//! - [`collectors`]: vendor endpoints.
//! - [`databases`]: databases and their limits as a whole.
//! - [`enrollment_rules`]: AWS roles that may join fleets, and proofs that have served.
//! - [`enrollment_tokens`]: rights to enroll into a fleet, hashed.
//! - [`fleets`]: fleets and the collectors that their listeners name.
//! - [`heads`]: what each fleet should run: the write side.
//! - [`heads_follow`]: the same, the read side, with snapshots and sealed keys.
//! - [`idempotent_requests`]: answers to calls that carried a request id.
//! - [`registrations`]: what the registry may hold of each relay, and who may leave it.
//! - [`relay_health`]: health reports.
//! - [`relay_views`]: relays as operators see them.
//! - [`relays`]: relays, the write side.
//! - [`replicas`]: control plane processes and their leases.
//! - [`revisions`]: fleets' settings, numbered.
//! - [`scope`]: whose rows a transaction sees.
//! - [`sealed_values`]: sealed values of every kind, by master key.
//! - [`server_secrets`]: the control plane's own secrets, sealed.
//! - [`tenants`]: tenants, and the lock under which all of a tenant changes.
//! - [`transaction`]: transactions, repeated where the database asks for it.

pub mod access_keys;
pub mod api_tokens;
pub mod audit;
pub mod certificate_authorities;
pub mod collectors;
pub mod databases;
pub mod enrollment_rules;
pub mod enrollment_tokens;
pub mod fleets;
pub mod heads;
pub mod heads_follow;
pub mod idempotent_requests;
pub mod key_rotations;
pub mod registrations;
pub mod relay_health;
pub mod relay_views;
pub mod relays;
pub mod replicas;
pub mod revisions;
pub mod scope;
pub mod sealed_values;
pub mod server_secrets;
pub mod tenants;
pub mod transaction;

#[cfg(test)]
mod isolation_tests;
