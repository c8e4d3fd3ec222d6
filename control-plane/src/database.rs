//! The database: how it is reached, migrated, and refused when it is of another time.
use std::time::Duration;

use sqlx::{
    ConnectOptions, Connection, PgConnection,
    migrate::{Migrate, MigrateError, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions, PgSslMode},
};
use tokio::time::Instant;

use crate::store::{
    databases::{self, OutOfReach},
    scope::ScopedPool,
};

#[cfg(test)]
mod tests;

/// Every migration that this program knows.
static MIGRATIONS: Migrator = sqlx::migrate!("../migrations");

/// Connections that short transactions share.
const CONNECTIONS: u32 = 24;
/// How long a call waits for one of them.
const ACQUIRE_WITHIN: Duration = Duration::from_secs(5);
/// Age at which a connection is replaced, so that a failover's or a DNS change's old server is left.
const CONNECTION_LIFE: Duration = Duration::from_secs(600);
/// How long a connection may have been idle and still be used without a word to see whether it lives.
const TRUSTED: Duration = Duration::from_secs(1);
/// How long a start waits for a database that is not up yet.
const UP_WITHIN: Duration = Duration::from_secs(120);

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It lacks migrations.
    #[error(
        "the database is behind: migration {missing} is missing; run `ekiden-control-plane migrate` with the same settings, then start again"
    )]
    Behind {
        /// First migration that is missing.
        missing: i64,
    },
    /// It has migrations that this program does not know.
    #[error(
        "the database is ahead: it has migration {unknown}, which this program does not know; start a newer ekiden-control-plane"
    )]
    Ahead {
        /// First unknown migration.
        unknown: i64,
    },
    /// A migration was another one when it was applied.
    #[error(
        "migration {version} in the database is not the one that this program knows: the database was made by a different build, so start that one, or use another database"
    )]
    Different {
        /// Its number.
        version: i64,
    },
    /// A migration was cut off.
    #[error(
        "migration {version} was begun and never finished: bring the database back from a backup, or repair it by hand"
    )]
    Unfinished {
        /// Its number.
        version: i64,
    },
    /// Its user may not take the roles that keep tenants apart.
    #[error(
        "the database user {login} may not act as {role}: as an administrator of the database run `grant ekiden_nobody, ekiden_tenant, ekiden_provider to \"{login}\"`"
    )]
    NoMember {
        /// The role.
        role: String,
        /// The user.
        login: String,
    },
    /// A migration failed.
    #[error("the database cannot be migrated: {0}")]
    Migrate(#[source] MigrateError),
    /// It did not answer for long.
    #[error("the database did not answer for {} s: {source}", .waited.as_secs())]
    Down {
        /// How long it was tried.
        waited: Duration,
        /// What it said last.
        source: sqlx::Error,
    },
    /// It answers, but not to us.
    #[error(
        "the database refuses us: {0}; check the user, password, database and sslmode in --database-url"
    )]
    Refused(#[source] sqlx::Error),
}

/// Says what is wrong with the way to a database, if anything is.
///
/// RDS sends its traffic through networks of others, and `prefer`, sqlx's default, falls back to plain text unasked.
pub fn check_transport(options: &PgConnectOptions) -> Result<(), &'static str> {
    let plain =
        matches!(options.get_ssl_mode(), PgSslMode::Disable | PgSslMode::Allow | PgSslMode::Prefer);
    let host = options.get_host().trim_end_matches('.').to_ascii_lowercase();
    if plain && (host.ends_with(".rds.amazonaws.com") || host.ends_with(".rds.amazonaws.com.cn")) {
        return Err(
            "an RDS database must be reached with `sslmode=verify-full&sslrootcert=<the RDS bundle>` in the URL, since this sslmode would also send in plain text",
        );
    }
    Ok(())
}

/// The pool for short transactions; connects when first used.
pub fn pool(options: &PgConnectOptions) -> ScopedPool {
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(ACQUIRE_WITHIN)
        .max_lifetime(CONNECTION_LIFE)
        .test_before_acquire(false)
        .before_acquire(|connection, idle| {
            Box::pin(async move {
                if idle.idle_for >= TRUSTED {
                    connection.ping().await?;
                }
                Ok(true)
            })
        });
    ScopedPool::new(pool, named(options))
}

/// Waits for a database that is starting; tells about it meanwhile.
///
/// # Errors
/// [`DatabaseError::Down`] after two minutes; [`DatabaseError::Refused`] at once.
pub async fn wait_until_up(options: &PgConnectOptions) -> Result<PgConnection, DatabaseError> {
    let options = named(options);
    let begun = Instant::now();
    let mut backoff = Duration::from_millis(200);
    loop {
        let tried = tokio::time::timeout(ACQUIRE_WITHIN, PgConnection::connect_with(&options));
        let error = match tried.await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(error)) => error,
            Err(_) => sqlx::Error::PoolTimedOut,
        };
        if !may_pass(&error) {
            return Err(DatabaseError::Refused(error));
        }
        let waited = begun.elapsed();
        if waited > UP_WITHIN {
            return Err(DatabaseError::Down { waited, source: error });
        }
        tracing::info!(
            error = %error,
            waited_s = waited.as_secs(),
            give_up_after_s = UP_WITHIN.as_secs(),
            "Waiting for the database"
        );
        tokio::time::sleep(backoff).await;
        backoff = (backoff * 2).min(Duration::from_secs(5));
    }
}

/// Brings the database to this program's version; one process does, others wait for it.
///
/// # Errors
/// [`DatabaseError`]; a database that is ahead is left alone.
pub async fn migrate(db: &mut PgConnection) -> Result<(), DatabaseError> {
    databases::unlimited(db).await.map_err(DatabaseError::Refused)?;
    MIGRATIONS.run_direct(None, db, false).await.map_err(|error| match error {
        MigrateError::VersionMissing(unknown) => DatabaseError::Ahead { unknown },
        MigrateError::VersionMismatch(version) => DatabaseError::Different { version },
        MigrateError::Dirty(version) => DatabaseError::Unfinished { version },
        other => DatabaseError::Migrate(other),
    })?;
    databases::limit(db).await.map_err(DatabaseError::Refused)
}

/// Refuses a database that is behind, ahead or different; changes nothing.
///
/// # Errors
/// [`DatabaseError`].
pub async fn check_version(db: &mut PgConnection) -> Result<(), DatabaseError> {
    let table = MIGRATIONS.table_name.as_ref();
    let known = || MIGRATIONS.iter().filter(|m| !m.migration_type.is_down_migration());
    let first = known().next().map_or(0, |migration| migration.version);
    let applied = match db.list_applied_migrations(table).await {
        Ok(applied) => applied,
        Err(MigrateError::Execute(error)) if is_undefined_table(&error) => {
            return Err(DatabaseError::Behind { missing: first });
        }
        Err(error) => return Err(DatabaseError::Migrate(error)),
    };
    match db.dirty_version(table).await {
        Ok(None) => {}
        Ok(Some(version)) => return Err(DatabaseError::Unfinished { version }),
        Err(error) => return Err(DatabaseError::Migrate(error)),
    }
    for there in &applied {
        match known().find(|migration| migration.version == there.version) {
            None => return Err(DatabaseError::Ahead { unknown: there.version }),
            Some(migration) if migration.checksum != there.checksum => {
                return Err(DatabaseError::Different { version: there.version });
            }
            Some(_) => {}
        }
    }
    let there = |version| applied.iter().any(|there| there.version == version);
    if let Some(migration) = known().find(|migration| !there(migration.version)) {
        return Err(DatabaseError::Behind { missing: migration.version });
    }
    match databases::role_out_of_reach(db).await.map_err(DatabaseError::Refused)? {
        Some(OutOfReach { role, login }) => Err(DatabaseError::NoMember { role, login }),
        None => Ok(()),
    }
}

fn named(options: &PgConnectOptions) -> PgConnectOptions {
    // Statements are traced where they are called; sqlx's own log of them would double it.
    let options = options.clone().disable_statement_logging();
    match options.get_application_name() {
        Some(_) => options,
        None => options.application_name("ekiden-control-plane"),
    }
}

/// Whether a database that is starting, failing over or not yet in DNS may answer like this.
fn may_pass(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::PoolTimedOut => true,
        // Too many connections, or 57P0x: starting or stopping.
        sqlx::Error::Database(error) => {
            error.code().is_some_and(|code| code == "53300" || code.starts_with("57P"))
        }
        _ => false,
    }
}

fn is_undefined_table(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "42P01")
}
