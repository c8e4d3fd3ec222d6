//! Names of log fields, span attributes and metric attributes. Use them as `tenant.id = …` in the macros of `tracing`,
//! or as `{ names::TENANT_ID } = …` where a typo would hurt.
use opentelemetry_semantic_conventions::attribute;

/// Id of the tenant, e.g. `acme`.
pub const TENANT_ID: &str = "tenant.id";
/// Id of the fleet within its tenant.
pub const FLEET_ID: &str = "fleet.id";
/// Id of the relay, a UUID.
pub const RELAY_ID: &str = "relay.id";
/// Id of the collector within its tenant.
pub const COLLECTOR_ID: &str = "collector.id";
/// Id of the access key within its tenant; never the key.
pub const ACCESS_KEY_ID: &str = "access_key.id";
/// Name of the listener within its fleet.
pub const LISTENER: &str = "listener";
/// Number of a revision of a fleet.
pub const REVISION: &str = "revision";
/// Version of a fleet's key bundle.
pub const SECRET_VERSION: &str = "secret_version";
/// Name of a relay's session.
pub const SESSION_ID: &str = "session.id";
/// Id of a replica of the control plane.
pub const REPLICA_ID: &str = "replica.id";
/// Who called: `apiTokens/{id}` or a relay's name.
pub const ACTOR: &str = "actor";
/// Stable reason of a failure, the same as in `google.rpc.ErrorInfo`.
pub const REASON: &str = "reason";
/// Stable cause of a connection's end, e.g. `workload_closed`.
pub const CAUSE: &str = "cause";
/// Chain of an error's sources, for the log.
pub const ERROR: &str = "error";

/// `rpc.system.name` of the semantic conventions.
pub const RPC_SYSTEM_NAME: &str = attribute::RPC_SYSTEM_NAME;
/// `rpc.method` of the semantic conventions: `package.Service/Method`.
pub const RPC_METHOD: &str = attribute::RPC_METHOD;
/// `rpc.response.status_code` of the semantic conventions: `OK`, `NOT_FOUND`, ….
pub const RPC_RESPONSE_STATUS_CODE: &str = attribute::RPC_RESPONSE_STATUS_CODE;
/// `network.peer.address` of the semantic conventions.
pub const NETWORK_PEER_ADDRESS: &str = attribute::NETWORK_PEER_ADDRESS;
/// `network.peer.port` of the semantic conventions.
pub const NETWORK_PEER_PORT: &str = attribute::NETWORK_PEER_PORT;
