//! The server's life: Postgres, version, keys, ports; and the same way back.
use std::{
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use secrecy::ExposeSecret;
use sqlx::postgres::PgConnectOptions;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

use crate::{
    admin,
    app::App,
    arguments::{Database, Settings},
    bootstrap,
    caller::Logins,
    challenges::Challenges,
    clock::Clock,
    data_dir::{DataDir, Endpoints},
    database,
    embedded_postgres::{EmbeddedPostgres, EmbeddedSettings},
    fingerprints::FingerprintKey,
    health::HealthSink,
    https::{self, Https},
    key_rotations,
    metrics::Metrics,
    oidc::KeySets,
    page::PageTokens,
    pki::{self, Authorities, authorities::to_pem},
    registrations, relay_port, replicas,
    serve::{Ports, Server, Serving},
    sessions::{HeadsFollower, KeyBundles, LiveSessions, revocations},
    store::{
        scope::{Scope, ScopedPool},
        sealed_values::{self, CountRow},
    },
    sts::{Partition, Sts},
    vault::{Vault, rewrapping},
};

/// How long calls may take to finish once the process is told to stop.
const PATIENCE: Duration = Duration::from_secs(5);

/// A database that answers and is of this version.
struct Reached {
    pool: PgConnectOptions,
    direct: PgConnectOptions,
    embedded: Option<EmbeddedPostgres>,
}

/// Brings the database to this version.
///
/// # Errors
/// What stands in the way.
pub async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    let _taken;
    let (direct, embedded) = match &settings.database {
        Database::At { direct, .. } => ((**direct).clone(), None),
        Database::Embedded { .. } => {
            let data_dir = DataDir::take(&settings.data_dir)?;
            let postgres = embedded(settings, &data_dir).await?;
            _taken = data_dir;
            (postgres.options(), Some(postgres))
        }
    };
    let migrated = async {
        anyhow::Ok(database::migrate(&mut database::wait_until_up(&direct).await?).await?)
    }
    .await;
    if let Some(postgres) = embedded {
        postgres.stop().await;
    }
    migrated
}

/// Serves until `stop` ends; then leaves nothing running.
///
/// # Errors
/// What keeps it from starting, or made it stop.
pub async fn serve(
    settings: Settings,
    clock: Clock,
    stop: impl Future<Output = &'static str>,
) -> anyhow::Result<()> {
    let data_dir = DataDir::take(&settings.data_dir)?;
    // Bound first: a port that is taken should be told before a database is made.
    let ports = Ports::bind(settings.relay_listen, settings.operator_listen)?;
    let mut reached = reach(&settings, &data_dir).await?;
    let mut stop = std::pin::pin!(stop);
    let served = run(&settings, &clock, &data_dir, ports, &mut reached, stop.as_mut()).await;
    data_dir.forget_endpoints()?;
    if let Some(postgres) = reached.embedded {
        postgres.stop().await;
    }
    served
}

async fn reach(settings: &Settings, data_dir: &DataDir) -> anyhow::Result<Reached> {
    match &settings.database {
        Database::At { pool, direct } => {
            database::check_version(&mut database::wait_until_up(direct).await?).await?;
            Ok(Reached { pool: (**pool).clone(), direct: (**direct).clone(), embedded: None })
        }
        Database::Embedded { .. } => {
            let postgres = embedded(settings, data_dir).await?;
            let options = postgres.options();
            // No one else's database: bringing it up to date needs nobody's leave.
            let migrated = async {
                anyhow::Ok(database::migrate(&mut database::wait_until_up(&options).await?).await?)
            };
            if let Err(error) = migrated.await {
                postgres.stop().await;
                return Err(error);
            }
            Ok(Reached { pool: options.clone(), direct: options, embedded: Some(postgres) })
        }
    }
}

async fn embedded(settings: &Settings, data_dir: &DataDir) -> anyhow::Result<EmbeddedPostgres> {
    let Database::Embedded { programs } = &settings.database else {
        anyhow::bail!("no private Postgres is asked for");
    };
    let settings = EmbeddedSettings {
        folder: data_dir.postgres(),
        programs: programs.clone(),
        parameters: Vec::new(),
    };
    tracing::info!(folder = %settings.folder.display(), "Starting the private Postgres");
    Ok(EmbeddedPostgres::start(settings).await?)
}

async fn run(
    settings: &Settings,
    clock: &Clock,
    data_dir: &DataDir,
    ports: Ports,
    reached: &mut Reached,
    mut stop: std::pin::Pin<&mut impl Future<Output = &'static str>>,
) -> anyhow::Result<()> {
    let app = build(settings, clock, reached).await?;
    let ca_certificate = data_dir.write_ca(&to_pem(&app.authorities.trust_roots()))?;
    let first_token = bootstrap::first_operator_token(&app.pool, &app.audit, clock).await?;
    replicas::begin(&app.pool, clock, app.replica, &app.vault.key_ids()).await?;
    let (relays, operators) = ports.addresses()?;
    let issuing = Arc::clone(&app);
    let mut server = Server::start(
        ports,
        Serving {
            relays: relay_port::routes(&app),
            operators: admin::routes(&app),
            issue: Box::new(move || {
                issuing
                    .authorities
                    .issue_server(&issuing.settings.server_names, issuing.clock.now())
            }),
            relay_roots: app.authorities.roots(),
            relay_renewal_grace: app.settings.relay_renewal_grace,
            operator_plaintext: settings.operator_plaintext,
            database: app.pool.options(),
            metrics: app.metrics.clone(),
            tracker: app.tracker.clone(),
        },
    )?;
    let mut background = spawn_background(&app);
    let endpoints = Endpoints {
        relays,
        operators,
        operators_tls: !settings.operator_plaintext,
        ca_certificate,
    };
    data_dir.write_endpoints(&endpoints)?;
    greet(settings, &endpoints, first_token.as_ref().map(ExposeSecret::expose_secret))?;
    tracing::info!(relays = %relays, operators = %operators, "The control plane serves");

    let outcome = tokio::select! {
        why = stop.as_mut() => {
            tracing::info!(signal = why, "The control plane stops");
            Ok(())
        }
        () = server.broken() => Err(anyhow::anyhow!("a part of serving ended")),
        _ = background.join_next() => Err(anyhow::anyhow!("a background task ended")),
        () = keep_ca_file(&app, data_dir) => Err(anyhow::anyhow!("the file of roots is not kept any more")),
        () = abandoned(reached) => Err(anyhow::anyhow!("the private Postgres is not looked after any more")),
    };
    server.announce_stop().await;
    app.live.drain();
    server.stop(PATIENCE).await;
    app.cancel.cancel();
    app.tracker.close();
    let rest = async {
        while background.join_next().await.is_some() {}
        app.tracker.wait().await;
    };
    if tokio::time::timeout(PATIENCE, rest).await.is_err() {
        tracing::info!(tasks = app.tracker.len(), "Some tasks were left to the end of the process");
    }
    app.pool.close().await;
    outcome
}

/// Writes the roots again whenever they change.
async fn keep_ca_file(app: &App, data_dir: &DataDir) {
    let mut roots = app.authorities.roots();
    while roots.changed().await.is_ok() {
        let pem = to_pem(&roots.borrow_and_update().clone());
        if let Err(error) = data_dir.write_ca(&pem) {
            tracing::warn!(error = %error, "The file of roots could not be written");
        }
    }
}

async fn abandoned(reached: &mut Reached) {
    match &mut reached.embedded {
        Some(postgres) => postgres.abandoned().await,
        None => std::future::pending().await,
    }
}

async fn build(settings: &Settings, clock: &Clock, reached: &Reached) -> anyhow::Result<Arc<App>> {
    let pool = database::pool(&reached.pool);
    let vault = settings.master_keys.open().await?;
    check_master_keys(&pool, &vault).await?;
    let page_tokens = bootstrap::server_key(&pool, &vault, clock, "page_tokens").await?;
    let fingerprints = bootstrap::server_key(&pool, &vault, clock, "fingerprints").await?;
    let challenges = bootstrap::server_key(&pool, &vault, clock, "challenges").await?;
    let https = Https::new(https::roots(&[]), &[])?;
    let audit = bootstrap::audit_log(&pool, &vault, clock).await?;
    let authorities =
        Authorities::load_or_create(&pool, &vault, clock, &settings.server.trust_domain)
            .await
            .context("the certificate authority cannot be had")?;
    let logins = settings.server.logins.clone();
    let logins = logins.map(|logins| Logins::new(logins, clock.clone())).transpose()?;
    let metrics = Metrics::new();
    Ok(Arc::new(App {
        pool,
        direct: reached.direct.clone(),
        clock: clock.clone(),
        vault,
        page_tokens: PageTokens::new(page_tokens),
        fingerprints: FingerprintKey::new(&fingerprints),
        audit,
        challenges: Challenges::new(&challenges),
        recent_rules: relay_port::recent_rules::RecentRules::default(),
        key_sets: KeySets::new(https.clone(), clock.clone()),
        sts: Sts::new(https, clock.clone(), &[Partition::Aws]),
        logins: logins.map(Arc::new),
        authorities,
        heads: HeadsFollower::default(),
        live: LiveSessions::default(),
        key_bundles: KeyBundles::default(),
        health: HealthSink::new(metrics.clone()),
        metrics,
        replica: Uuid::now_v7(),
        settings: settings.server.clone(),
        cancel: CancellationToken::new(),
        tracker: TaskTracker::new(),
    }))
}

/// Refuses to start without a key that values are under: some calls would fail, and nobody would know why.
pub(crate) async fn check_master_keys(pool: &ScopedPool, vault: &Vault) -> anyhow::Result<()> {
    let counts = sealed_values::count(&mut *pool.begin(&Scope::Provider).await?).await?;
    let held = vault.key_ids();
    for CountRow { master_key_id, count } in counts {
        anyhow::ensure!(
            held.contains(&master_key_id),
            "{count} secrets of this database are under the master key {master_key_id}, which is not at hand (here are: {}): give it as --master-key-also",
            held.join(", ")
        );
    }
    Ok(())
}

/// What runs beside the calls; none of it ends before the process does.
pub(crate) fn spawn_background(app: &Arc<App>) -> tokio::task::JoinSet<()> {
    let mut tasks = tokio::task::JoinSet::new();
    let heads = Arc::clone(app);
    tasks.spawn(async move { heads.heads.run(&heads.pool, &heads.direct, &heads.cancel).await });
    let health = Arc::clone(app);
    tasks.spawn(async move {
        health
            .health
            .run(&health.pool, &health.direct, &health.clock, &health.live, &health.cancel)
            .await
    });
    let lease = Arc::clone(app);
    tasks.spawn(async move {
        let keys = lease.vault.key_ids();
        replicas::run(&lease.pool, &lease.clock, lease.replica, &keys, &lease.cancel).await
    });
    let revoked = Arc::clone(app);
    tasks.spawn(async move {
        revocations::run(&revoked.pool, &revoked.clock, &revoked.live, &revoked.cancel).await
    });
    let registered = Arc::clone(app);
    tasks.spawn(async move { registrations::driver::run(&registered).await });
    tasks.spawn(key_rotations::run(Arc::clone(app)));
    tasks.spawn(pki::rotation::run(Arc::clone(app)));
    tasks.spawn(rewrapping::run(Arc::clone(app)));
    let keys = Arc::clone(app);
    tasks.spawn(async move {
        loop {
            tokio::select! {
                () = keys.cancel.cancelled() => return,
                () = tokio::time::sleep(PATIENCE) => keys.key_bundles.forget_old().await,
            }
        }
    });
    tasks
}

/// Tells a person where everything is; the token goes here and nowhere else.
fn greet(settings: &Settings, endpoints: &Endpoints, token: Option<&str>) -> io::Result<()> {
    let database = match &settings.database {
        Database::Embedded { .. } => "a private Postgres in the data directory",
        Database::At { .. } => "as given",
    };
    let tls = if endpoints.operators_tls { "TLS" } else { "plain text" };
    let mut out = io::stdout().lock();
    writeln!(out, "ekiden-control-plane {}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "  relays     {} (mTLS)", endpoints.relays)?;
    writeln!(out, "  operators  {} ({tls})", endpoints.operators)?;
    writeln!(out, "  root       {}", endpoints.ca_certificate.display())?;
    writeln!(out, "  database   {database}")?;
    if let Some(token) = token {
        writeln!(out, "bootstrap operator token: {token}")?;
    }
    out.flush()
}
