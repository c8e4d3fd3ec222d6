//! Whose rows a transaction sees: Postgres itself holds every statement to it by row-level security.
use sqlx::{
    AssertSqlSafe, Executor, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::transaction::Transaction;

/// Whose rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those of one tenant.
    Tenant(String),
    /// Those of every tenant, and the control plane's own.
    Provider,
}

impl Scope {
    /// The one tenant; none: all of them.
    pub fn tenant(&self) -> Option<&str> {
        match self {
            Self::Tenant(tenant) => Some(tenant),
            Self::Provider => None,
        }
    }
}

/// The database behind the only door to it: a transaction of a [`Scope`]. Cheap to clone.
#[derive(Clone)]
pub struct ScopedPool {
    pool: PgPool,
}

impl ScopedPool {
    /// A pool that connects when it is first used, as `pool` says.
    ///
    /// A fresh connection may do nothing at all, so that a statement outside of [`ScopedPool::begin`] fails rather than sees.
    pub fn new(pool: PgPoolOptions, options: PgConnectOptions) -> Self {
        let pool = pool.after_connect(|connection, _| {
            Box::pin(async move {
                connection.execute("set role ekiden_nobody").await?;
                Ok(())
            })
        });
        Self { pool: pool.connect_lazy_with(options) }
    }

    /// Begins a transaction that sees `scope`; dropped without commit it changes nothing.
    ///
    /// # Errors
    /// What the database says.
    pub async fn begin(&self, scope: &Scope) -> Result<Transaction<'static>, sqlx::Error> {
        let begin = match scope {
            Scope::Provider => "begin; set local role ekiden_provider".to_owned(),
            Scope::Tenant(tenant) => format!(
                "begin; set local role ekiden_tenant; set local ekiden.tenant = '{}'",
                quotable(tenant)?
            ),
        };
        self.pool.begin_with(AssertSqlSafe(begin)).await
    }

    /// How it connects.
    pub fn options(&self) -> PgConnectOptions {
        (*self.pool.connect_options()).clone()
    }

    /// Waits for transactions to end and closes every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Narrows a provider's transaction, for the rest of it, to one tenant: what a credential turned out to belong to.
///
/// # Errors
/// What the database says.
pub async fn narrow(db: &mut PgConnection, tenant: &str) -> Result<(), sqlx::Error> {
    let sql =
        format!("set local role ekiden_tenant; set local ekiden.tenant = '{}'", quotable(tenant)?);
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(db).await?;
    Ok(())
}

/// A tenant's id as it may stand between quotes: ids have no other characters, and what has is no tenant.
fn quotable(tenant: &str) -> Result<&str, sqlx::Error> {
    match tenant.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        true => Ok(tenant),
        false => Err(sqlx::Error::InvalidArgument("no tenant is called so".to_owned())),
    }
}
