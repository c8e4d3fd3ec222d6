//! Fields that a mask may name, for fuzz targets.
use ekiden_proto::admin::v1::Collector;

use super::Field;

/// Fields of both levels.
pub const FIELDS: &[Field<Collector>] = super::fields!(Collector:
    display_name, endpoints, tls, tls.server_name, tls.ca_certificates_pem,
);
