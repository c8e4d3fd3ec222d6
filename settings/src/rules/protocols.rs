//! What is spoken, and what may go where.
use ekiden_proto::settings::v1 as proto;

use super::shortened;
use crate::{CollectorProtocol, Protocol, RegistrationMode};

/// Reads what a listener's workloads speak.
pub fn listener_protocol(number: i32) -> Result<Protocol, String> {
    match proto::ListenerProtocol::try_from(number) {
        Ok(proto::ListenerProtocol::Tcp) => Ok(Protocol::Tcp),
        Ok(proto::ListenerProtocol::Otlp) => Ok(Protocol::Otlp),
        Ok(proto::ListenerProtocol::Unspecified) => Err("is not set; TCP or OTLP".to_owned()),
        Err(_) => Err(format!("{number} is not known; TCP or OTLP")),
    }
}

/// Reads what a collector speaks.
pub fn collector_protocol(number: i32) -> Result<CollectorProtocol, String> {
    match proto::CollectorProtocol::try_from(number) {
        Ok(proto::CollectorProtocol::Tcp) => Ok(CollectorProtocol::Tcp),
        Ok(proto::CollectorProtocol::OtlpGrpc) => Ok(CollectorProtocol::OtlpGrpc),
        Ok(proto::CollectorProtocol::Unspecified) => Err("is not set; TCP or OTLP_GRPC".to_owned()),
        Err(_) => Err(format!("{number} is not known; TCP or OTLP_GRPC")),
    }
}

/// Reads who registers relays.
pub fn registration_mode(number: i32) -> Result<RegistrationMode, String> {
    match proto::RegistrationMode::try_from(number) {
        Ok(proto::RegistrationMode::Unspecified | proto::RegistrationMode::Self_) => {
            Ok(RegistrationMode::Relay)
        }
        Ok(proto::RegistrationMode::Ecs) => Ok(RegistrationMode::Ecs),
        Err(_) => Err(format!("{number} is not known; SELF or ECS")),
    }
}

/// Checks that the collector that a listener names exists and speaks what the listener needs; `spoken` is what the
/// collector speaks, none where it does not exist.
pub fn route(
    listener: Protocol,
    collector: &str,
    spoken: Option<CollectorProtocol>,
) -> Result<(), String> {
    let needed = listener.needs();
    match spoken {
        Some(spoken) if spoken == needed => Ok(()),
        Some(_) => Err(format!(
            "{collector} does not speak {}, which a listener of {} needs",
            needed.name(),
            listener.name()
        )),
        None => Err(format!("there is no collector {:?}", shortened(collector))),
    }
}

impl Protocol {
    /// What a collector must speak for a listener of this protocol.
    fn needs(self) -> CollectorProtocol {
        match self {
            Self::Tcp => CollectorProtocol::Tcp,
            Self::Otlp => CollectorProtocol::OtlpGrpc,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Otlp => "OTLP",
        }
    }
}

impl CollectorProtocol {
    fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::OtlpGrpc => "OTLP_GRPC",
        }
    }
}
