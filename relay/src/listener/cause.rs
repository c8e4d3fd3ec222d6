//! Why connections end: every one with exactly one named cause.

use crate::collector::DialError;

/// Why a workload's connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CloseCause {
    /// The workload said its last byte first.
    WorkloadClosed,
    /// The workload cut the connection, or is gone.
    WorkloadReset,
    /// The workload did not speak the listener's protocol.
    ProtocolError,
    /// The collector said its last byte first.
    CollectorClosed,
    /// The collector cut the connection, or is gone.
    CollectorReset,
    /// The collector ended TCP without ending TLS: bytes may be missing.
    CollectorTruncated,
    /// The collector's name did not resolve.
    Dns,
    /// No address of the collector answered in time.
    DialTimeout,
    /// The collector's machine refused.
    DialRefused,
    /// The collector's machine cannot be reached.
    DialUnreachable,
    /// The proxy on the way to the collector opened no tunnel.
    ProxyRefused,
    /// The relay had no socket left to reach the collector.
    DialExhausted,
    /// TLS with the collector failed; its certificate, mostly.
    Tls,
    /// The collector's name leads back to this relay.
    LoopDetected,
    /// No byte either way for the listener's idle timeout.
    IdleTimeout,
    /// The connection was older than its listener lets connections grow.
    MaxAge,
    /// The connection was picked to go to a relay that has fewer.
    Shed,
    /// The listener held as many connections as it may.
    LimitListener,
    /// The relay held as many connections as it may.
    LimitRelay,
    /// The listener is no longer in the settings.
    SettingsRemoved,
    /// The relay is leaving.
    Drained,
    /// The relay itself failed.
    Internal,
}

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Workload,
    Collector,
    Relay,
}

impl CloseCause {
    /// Every cause, in the order of their numbers.
    pub const ALL: [Self; 22] = [
        Self::WorkloadClosed,
        Self::WorkloadReset,
        Self::ProtocolError,
        Self::CollectorClosed,
        Self::CollectorReset,
        Self::CollectorTruncated,
        Self::Dns,
        Self::DialTimeout,
        Self::DialRefused,
        Self::DialUnreachable,
        Self::ProxyRefused,
        Self::DialExhausted,
        Self::Tls,
        Self::LoopDetected,
        Self::IdleTimeout,
        Self::MaxAge,
        Self::Shed,
        Self::LimitListener,
        Self::LimitRelay,
        Self::SettingsRemoved,
        Self::Drained,
        Self::Internal,
    ];

    /// Stable lower-case name, for health, metrics and logs.
    pub fn kind(self) -> &'static str {
        match self {
            Self::WorkloadClosed => "workload_closed",
            Self::WorkloadReset => "workload_reset",
            Self::ProtocolError => "protocol_error",
            Self::CollectorClosed => "collector_closed",
            Self::CollectorReset => "collector_reset",
            Self::CollectorTruncated => "collector_truncated",
            Self::Dns => "dns",
            Self::DialTimeout => "dial_timeout",
            Self::DialRefused => "dial_refused",
            Self::DialUnreachable => "dial_unreachable",
            Self::ProxyRefused => "proxy_refused",
            Self::DialExhausted => "dial_exhausted",
            Self::Tls => "tls",
            Self::LoopDetected => "loop_detected",
            Self::IdleTimeout => "idle_timeout",
            Self::MaxAge => "max_age",
            Self::Shed => "shed",
            Self::LimitListener => "limit_listener",
            Self::LimitRelay => "limit_relay",
            Self::SettingsRemoved => "settings_removed",
            Self::Drained => "drained",
            Self::Internal => "internal",
        }
    }

    /// Who did it.
    pub fn side(self) -> Side {
        match self {
            Self::WorkloadClosed | Self::WorkloadReset | Self::ProtocolError => Side::Workload,
            Self::CollectorClosed
            | Self::CollectorReset
            | Self::CollectorTruncated
            | Self::Dns
            | Self::DialTimeout
            | Self::DialRefused
            | Self::DialUnreachable
            | Self::ProxyRefused
            | Self::Tls => Side::Collector,
            Self::DialExhausted
            | Self::LoopDetected
            | Self::IdleTimeout
            | Self::MaxAge
            | Self::Shed
            | Self::LimitListener
            | Self::LimitRelay
            | Self::SettingsRemoved
            | Self::Drained
            | Self::Internal => Side::Relay,
        }
    }

    /// Whether the connection was turned away for a limit's sake.
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::LimitListener | Self::LimitRelay)
    }
}

impl Side {
    /// Stable lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Workload => "workload",
            Self::Collector => "collector",
            Self::Relay => "relay",
        }
    }
}

impl From<&DialError> for CloseCause {
    fn from(error: &DialError) -> Self {
        match error {
            DialError::Dns(_) => Self::Dns,
            DialError::Timeout { .. } | DialError::GaveUp { .. } => Self::DialTimeout,
            DialError::Refused { .. } => Self::DialRefused,
            DialError::Unreachable { .. } => Self::DialUnreachable,
            DialError::Proxy { .. } => Self::ProxyRefused,
            DialError::Exhausted { .. } => Self::DialExhausted,
            DialError::Tls { .. } => Self::Tls,
            DialError::Loop { .. } => Self::LoopDetected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_stands_at_its_number_and_has_its_own_name() {
        let mut kinds = std::collections::HashSet::new();
        for (at, cause) in CloseCause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, at);
            assert!(kinds.insert(cause.kind()), "{} twice", cause.kind());
        }
    }
}
