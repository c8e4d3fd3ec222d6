//! What every service holds: the database, the keys, the live sessions, and the settings this process was started with.
use std::{num::NonZeroU32, sync::Arc, time::Duration};

use sqlx::postgres::PgConnectOptions;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    audit_log::AuditLog,
    caller::{LoginSettings, Logins},
    challenges::Challenges,
    clock::Clock,
    fingerprints::FingerprintKey,
    health::HealthSink,
    metrics::Metrics,
    oidc::KeySets,
    page::PageTokens,
    pki::Authorities,
    relay_port::recent_rules::RecentRules,
    sessions::{HeadsFollower, KeyBundles, LiveSessions},
    store::scope::ScopedPool,
    sts::Sts,
    vault::Vault,
};

/// One control plane process; always passed as `Arc<App>`.
pub struct App {
    /// Short transactions; may go through a pooler.
    pub pool: ScopedPool,
    /// The database without any pooler between, for LISTEN.
    pub direct: PgConnectOptions,
    /// Tells the time.
    pub clock: Clock,
    /// Seals secrets.
    pub vault: Vault,
    /// Makes and reads page tokens.
    pub page_tokens: PageTokens,
    /// Fingerprints access keys.
    pub fingerprints: FingerprintKey,
    /// Records what is done.
    pub audit: AuditLog,
    /// Makes what proofs of AWS identity must be about.
    pub challenges: Challenges,
    /// Rules that let relays in by their AWS role.
    pub recent_rules: RecentRules,
    /// Keys of registered issuers of web identity tokens.
    pub key_sets: KeySets,
    /// Asks AWS whose signature it is.
    pub sts: Sts,
    /// Verifies operators' logins; none: they have API tokens alone.
    pub logins: Option<Arc<Logins>>,
    /// Issue certificates.
    pub authorities: Authorities,
    /// Heads of the fleets that have live sessions here.
    pub heads: HeadsFollower,
    /// Sessions that are open here.
    pub live: LiveSessions,
    /// Keys that sessions asked for a moment ago.
    pub key_bundles: KeyBundles,
    /// Takes health reports to be written in batches.
    pub health: HealthSink,
    /// What the process counts.
    pub metrics: Metrics,
    /// Id of this process in `replicas`, new at each start.
    pub replica: Uuid,
    /// What it was started with.
    pub settings: ServerSettings,
    /// Cancelled when the process is to stop.
    pub cancel: CancellationToken,
    /// Every task of the process.
    pub tracker: TaskTracker,
}

/// What services need to know of the way this process was started.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Names and addresses in the server certificates; never empty.
    pub server_names: Vec<String>,
    /// Trust domain of the relays' SPIFFE identities.
    pub trust_domain: String,
    /// Life of a relay's certificate.
    pub relay_certificate_lifetime: Duration,
    /// How long after its end a relay may still renew its certificate.
    pub relay_renewal_grace: Duration,
    /// How often a relay reports its health.
    pub health_interval: Duration,
    /// How often a session carries a message each way at least.
    pub heartbeat_interval: Duration,
    /// How often relays are compared by their open connections.
    pub balance_interval: Duration,
    /// How operators log in beside API tokens; none: not at all.
    pub logins: Option<LoginSettings>,
    /// Calls that each caller has a second.
    pub calls_per_second: NonZeroU32,
    /// Credentials that may fail a second from each address.
    pub attempts_per_second: NonZeroU32,
}
