//! Databases and their limits as a whole.
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// Makes the database `name` unless it is there.
///
/// # Errors
/// What the database says.
pub async fn ensure(db: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
    let found = sqlx::query!("select 1 as found from pg_database where datname = $1", name)
        .fetch_optional(&mut *db)
        .await?;
    if found.is_none() {
        let name = quoted(name);
        sqlx::raw_sql(AssertSqlSafe(format!("create database {name}"))).execute(db).await?;
    }
    Ok(())
}

/// Gives our role, in this database, limits that hold through any pooler: no statement, lock or idle transaction goes on for ever.
///
/// # Errors
/// What the database says.
pub async fn limit(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    // Postgres refuses the second of two that change one row of its catalog at once.
    let mut tx = db.begin().await?;
    one_at_a_time(&mut tx, "limits").await?;
    let at = sqlx::query!(
        r#"select current_user::text as "role!", current_database()::text as "name!""#
    )
    .fetch_one(&mut *tx)
    .await?;
    let (role, name) = (quoted(&at.role), quoted(&at.name));
    for (parameter, limit) in [
        ("statement_timeout", "15s"),
        ("lock_timeout", "5s"),
        ("idle_in_transaction_session_timeout", "30s"),
    ] {
        let sql = format!("alter role {role} in database {name} set {parameter} = '{limit}'");
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *tx).await?;
    }
    tx.commit().await
}

/// Waits until no other transaction does what is called `what`, and keeps others waiting until this one ends.
///
/// # Errors
/// What the database says.
pub async fn one_at_a_time(db: &mut PgConnection, what: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("select pg_advisory_xact_lock(hashtextextended('ekiden ' || $1, 0))", what)
        .execute(db)
        .await?;
    Ok(())
}

/// Like [`one_at_a_time`], but does not wait; tells whether nobody else does it.
///
/// # Errors
/// What the database says.
pub async fn try_alone(db: &mut PgConnection, what: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock(hashtextextended('ekiden ' || $1, 0)) as "alone!""#,
        what
    )
    .fetch_one(db)
    .await
}

/// Takes this connection's limits away, for work that may take long.
///
/// # Errors
/// What the database says.
pub async fn unlimited(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql("set statement_timeout = 0; set lock_timeout = 0").execute(db).await?;
    Ok(())
}

/// Answers when the database does.
///
/// # Errors
/// What the database says.
pub async fn ping(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("select 1 as one").fetch_one(db).await.map(drop)
}

/// The first of the roles that transactions take which this user may not take; none: it may take all.
///
/// # Errors
/// What the database says.
pub async fn role_out_of_reach(db: &mut PgConnection) -> Result<Option<OutOfReach>, sqlx::Error> {
    sqlx::query_as!(
        OutOfReach,
        r#"select role as "role!", current_user::text as "login!"
           from unnest(array['ekiden_nobody', 'ekiden_tenant', 'ekiden_provider']) role
           where to_regrole(role) is null or not pg_has_role(current_user, to_regrole(role), 'member') limit 1"#
    )
    .fetch_optional(db)
    .await
}

/// A role that a user may not take.
#[derive(Debug)]
pub struct OutOfReach {
    /// The role.
    pub role: String,
    /// The user.
    pub login: String,
}

/// A name as an identifier; such statements take no parameters.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
