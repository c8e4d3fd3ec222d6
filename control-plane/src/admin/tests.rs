//! The admin services as an operator's client sees them: over the real port, on a real database.
//!
//! `every_rpc`: who may call what. `repeats`: request ids and rehearsals. `reading`: masks, etags, pages. `heads`: what
//! becomes a revision, what a secret version. `trail`: the audit. `logins`: operators by OIDC. `paces`: who calls too fast. `purge`: what is left of a destroyed tenant.
use ekiden_proto::{admin::v1::*, settings::v1::Endpoint};
use prost::Message;
use tonic::Status;
use tonic_types::StatusExt;

use crate::test_app::{
    self, TestApp as World,
    customer::{create_access_key, otlp_collector},
};

mod every_rpc;
mod heads;
mod logins;
mod paces;
mod purge;
mod reading;
mod repeats;
mod trail;

/// A change of a collector's first host.
fn move_collector(name: &str, host: &str) -> UpdateCollectorRequest {
    let endpoint = Endpoint { host: host.to_owned(), port: 4317, priority: 0 };
    UpdateCollectorRequest {
        collector: Some(Collector {
            name: name.to_owned(),
            endpoints: vec![endpoint],
            ..Default::default()
        }),
        update_mask: mask(&["endpoints"]),
        ..Default::default()
    }
}

fn mask(paths: &[&str]) -> Option<prost_types::FieldMask> {
    Some(prost_types::FieldMask { paths: paths.iter().map(|p| (*p).to_owned()).collect() })
}

/// The stable reason of an error.
fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// The fields that an error names.
fn fields(status: &Status) -> Vec<String> {
    let details = status.get_details_bad_request();
    details.map(|d| d.field_violations.into_iter().map(|v| v.field).collect()).unwrap_or_default()
}
