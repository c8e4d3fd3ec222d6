//! What relays call. Who calls is what the certificate says; no request names a tenant or a fleet.
//!
//! - [`aws_proof`]: which rule of a fleet lets in who holds an AWS role.
//! - [`enrollment`]: proofs and requests to certificates.
//! - [`recent_rules`]: a fleet's rules as they were read a moment ago.
//! - [`service`]: the session rpcs.
//! - [`session`]: one session from Hello to its end.
//! - [`registrations`]: what relays say of their own records and of their siblings'.
//! - [`offers`]: what a session sends next.
//! - [`unsaved`]: what a relay said last, until the database has it.
use std::sync::Arc;

use ekiden_proto::relay::v1::{
    enrollment_service_server::EnrollmentServiceServer,
    session_service_server::SessionServiceServer,
};
use tonic::service::Routes;

use crate::app::App;

mod aws_organization;
mod aws_proof;
mod enrollment;
mod offers;
pub mod recent_rules;
mod registrations;
mod service;
mod session;
#[cfg(test)]
mod tests;
mod unsaved;

/// Largest message of a relay, bytes.
const LARGEST_MESSAGE: usize = 64 << 10;

/// The services of the relay port.
pub fn routes(app: &Arc<App>) -> Routes {
    let enrollment = EnrollmentServiceServer::new(enrollment::Enrollment::new(app));
    let sessions = SessionServiceServer::new(service::Sessions::new(app));
    Routes::new(enrollment.max_decoding_message_size(LARGEST_MESSAGE))
        .add_service(sessions.max_decoding_message_size(LARGEST_MESSAGE))
}
