//! A real database for each test.
//!
//! One private Postgres server a test process, started by the first test that asks; each test gets a database of its own,
//! cloned from a migrated template in a few tens of milliseconds, so tests run side by side and see nothing of each other:
//!
//! ```ignore
//! let database = test_database::fresh().await;      // migrated; `empty()` for one without tables
//! let mut db = database.pool.acquire().await.unwrap();
//! ```
//!
//! `options` connect directly, e.g. for LISTEN. Nothing has to be cleaned up: when the test process ends, however it ends,
//! a shell that holds the other end of a pipe stops the server and removes its folder.
use std::{
    process::{ChildStdin, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use sqlx::{
    AssertSqlSafe, Connection, PgConnection, PgPool, Row,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::{
    database,
    embedded_postgres::{EmbeddedPostgres, EmbeddedSettings, usual_folders},
    store::scope::ScopedPool,
};

/// One test's database.
pub(crate) struct TestDatabase {
    /// A few connections to it that see everything, for the test itself.
    pub(crate) pool: PgPool,
    /// The same as the control plane has it.
    pub(crate) scoped: ScopedPool,
    /// For connections beside the pool.
    pub(crate) options: PgConnectOptions,
}

/// A migrated database for this test alone.
pub(crate) async fn fresh() -> TestDatabase {
    make("ekiden_template").await
}

/// A database without tables for this test alone.
pub(crate) async fn empty() -> TestDatabase {
    make("template0").await
}

/// Settings for a private Postgres in `folder` that trades durability for speed.
pub(crate) fn quick(folder: std::path::PathBuf) -> EmbeddedSettings {
    let programs = usual_folders(std::env::var_os("PATH").as_deref());
    let parameters = vec![("fsync", "off"), ("max_connections", "400"), ("autovacuum", "off")];
    EmbeddedSettings { folder, programs, parameters }
}

/// Runs a statement that no `query!` checks.
pub(crate) async fn execute(db: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(db).await.unwrap();
}

/// The first column of the first row, a text.
pub(crate) async fn text(db: &mut PgConnection, sql: &str) -> String {
    sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_one(db).await.unwrap().get(0)
}

/// The server of this test process and the pipe that its remover waits on.
struct Server {
    options: PgConnectOptions,
    _remover: ChildStdin,
}

static SERVER: OnceLock<Server> = OnceLock::new();
static NEXT: AtomicU32 = AtomicU32::new(0);

async fn make(template: &str) -> TestDatabase {
    let server = SERVER.get_or_init(start);
    let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let mut db = PgConnection::connect_with(&server.options).await.unwrap();
    execute(&mut db, &format!("create database {name} template {template}")).await;
    db.close().await.unwrap();
    let options = server.options.clone().database(&name);
    let pool = || PgPoolOptions::new().max_connections(6).acquire_timeout(Duration::from_secs(30));
    let scoped = ScopedPool::new(pool(), options.clone());
    TestDatabase { pool: pool().connect_lazy_with(options.clone()), scoped, options }
}

/// Starts the server on a thread of its own, since each test's runtime ends with the test.
fn start() -> Server {
    let folder = tempfile::Builder::new().prefix("ekiden-test-").tempdir().unwrap().keep();
    let mut remover = Command::new("/bin/sh");
    remover.args([
        "-c",
        // The server's own lifeline stops it; its folder goes when its pid file has.
        "while read -r _; do :; done; n=0; while [ -e \"$1/postgres/cluster/postmaster.pid\" ] && [ $n -lt 300 ]; do sleep 0.1; n=$((n+1)); done; rm -rf \"$1\"",
        "ekiden-test-remover",
    ]);
    std::os::unix::process::CommandExt::process_group(&mut remover, 0);
    remover.arg(&folder).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let remover = remover.spawn().unwrap().stdin.take().unwrap();

    let (tell, told) = std::sync::mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let server = EmbeddedPostgres::start(quick(folder.join("postgres"))).await.unwrap();
            let admin = server.options();
            let mut db = PgConnection::connect_with(&admin).await.unwrap();
            execute(&mut db, "create database ekiden_template").await;
            let template = admin.clone().database("ekiden_template");
            let mut inside = PgConnection::connect_with(&template).await.unwrap();
            database::migrate(&mut inside).await.unwrap();
            inside.close().await.unwrap();
            tell.send(admin).unwrap();
            std::future::pending::<()>().await;
            drop(server);
        });
    });
    let options = told.recv_timeout(Duration::from_secs(120)).unwrap();
    Server { options, _remover: remover }
}

/// Tables that hold rows of a tenant, by name, and how many.
pub(crate) async fn rows_by_tenant(database: &TestDatabase, tenant: &str) -> Vec<(String, i64)> {
    let tables = "select table_name::text from information_schema.columns
         where table_schema = 'public' and column_name = 'tenant_id' order by 1";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&database.pool).await.unwrap();
    let mut counts = Vec::new();
    for table in tables {
        let sql = format!("select count(*) from {table} where tenant_id = $1");
        let count = sqlx::query_scalar(AssertSqlSafe(sql)).bind(tenant);
        let count: i64 = count.fetch_one(&database.pool).await.unwrap();
        if count > 0 {
            counts.push((table, count));
        }
    }
    counts
}
