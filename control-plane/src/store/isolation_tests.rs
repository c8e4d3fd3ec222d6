//! What Postgres itself holds apart, whatever a statement says.
use sqlx::{AssertSqlSafe, PgConnection, Row};

use super::scope::{Scope, ScopedPool, narrow};
use crate::test_database::{self, TestDatabase, execute};

/// Everything that has a tenant, with what must be true of it.
async fn tables(db: &mut PgConnection) -> Vec<sqlx::postgres::PgRow> {
    sqlx::query(
        "select c.oid::regclass::text as name, c.relrowsecurity as enabled, c.relforcerowsecurity as forced,
                c.relispartition as partition, c.relowner::regrole::text as owner,
                coalesce(array_agg(distinct r.role) filter (where r.role is not null), '{}') as policed,
                has_table_privilege('ekiden_tenant', c.oid, 'select, insert, update, delete')
                    or has_any_column_privilege('ekiden_tenant', c.oid, 'select, insert, update') as open
         from pg_class c
         join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
         left join pg_policy p on p.polrelid = c.oid
         left join lateral (select unnest(p.polroles)::regrole::text as role) r on true
         where c.relkind in ('r', 'p') and c.relnamespace = current_schema()::regnamespace
         group by c.oid order by 1",
    )
    .fetch_all(db)
    .await
    .unwrap()
}

#[tokio::test]
async fn every_table_with_a_tenant_is_under_forced_row_level_security() {
    let database = test_database::fresh().await;
    let mut db = database.pool.acquire().await.unwrap();
    // As the first hour's partition is made at run time.
    let hour = time::OffsetDateTime::UNIX_EPOCH;
    super::relay_health::ensure_partition(&mut db, hour).await.unwrap();
    let rows = tables(&mut db).await;
    assert!(rows.len() >= 16, "{}", rows.len());
    for row in rows {
        let name: String = row.get("name");
        assert!(row.get::<bool, _>("enabled") && row.get::<bool, _>("forced"), "{name} is open");
        let policed: Vec<String> = row.get("policed");
        // A table without a policy for a role gives that role nothing: right for partitions, read through their parent.
        if row.get::<bool, _>("partition") {
            assert!(policed.is_empty() && !row.get::<bool, _>("open"), "{name}");
            continue;
        }
        assert!(policed.contains(&"ekiden_provider".to_owned()), "{name}");
        let tenants_own = policed.contains(&"ekiden_tenant".to_owned());
        assert_eq!(tenants_own, row.get::<bool, _>("open"), "{name}: a right without a policy");
        assert!(!["ekiden_tenant", "ekiden_provider"].contains(&row.get::<&str, _>("owner")));
    }
}

#[tokio::test]
async fn no_role_of_ours_passes_by_row_level_security() {
    let database = test_database::fresh().await;
    let mut db = database.pool.acquire().await.unwrap();
    let rows = sqlx::query(
        "select rolname, rolsuper or rolbypassrls or rolcanlogin or rolcreaterole or rolcreatedb or rolreplication as mighty,
                exists (select from pg_auth_members m where m.member = r.oid) as inherits
         from pg_roles r where rolname like 'ekiden\\_%' order by 1",
    )
    .fetch_all(&mut *db)
    .await
    .unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row.get("rolname")).collect();
    assert_eq!(names, ["ekiden_nobody", "ekiden_provider", "ekiden_tenant"]);
    for row in &rows {
        assert!(!row.get::<bool, _>("mighty") && !row.get::<bool, _>("inherits"));
    }
}

#[tokio::test]
async fn every_foreign_key_between_tenants_tables_carries_the_tenant() {
    let database = test_database::fresh().await;
    let mut db = database.pool.acquire().await.unwrap();
    let crossing: Vec<String> = sqlx::query(
        "select k.conrelid::regclass::text || '.' || k.conname as name
         from pg_constraint k
         where k.contype = 'f' and k.conrelid::regclass::text not in ('api_tokens')
           and exists (select from pg_attribute a where a.attrelid = k.conrelid and a.attname = 'tenant_id')
           and exists (select from pg_attribute a where a.attrelid = k.confrelid and a.attname = 'tenant_id')
           and not exists (
               select from unnest(k.conkey, k.confkey) as pair (own, other)
               join pg_attribute a on a.attrelid = k.conrelid and a.attnum = pair.own and a.attname = 'tenant_id'
               join pg_attribute b on b.attrelid = k.confrelid and b.attnum = pair.other and b.attname = 'tenant_id')",
    )
    .fetch_all(&mut *db)
    .await
    .unwrap()
    .iter()
    .map(|row| row.get("name"))
    .collect();
    assert_eq!(crossing, Vec::<String>::new());
}

/// Two tenants with a row each in a few tables.
async fn two_tenants() -> TestDatabase {
    let database = test_database::fresh().await;
    let mut db = database.pool.acquire().await.unwrap();
    for tenant in ["acme", "globex"] {
        execute(
            &mut db,
            &format!(
                "insert into tenants (tenant_id, display_name, created_at, updated_at) values ('{tenant}', '', now(), now());
                 insert into fleets (tenant_id, fleet_id, display_name, spec, created_at, updated_at)
                     values ('{tenant}', 'tokyo', '', '', now(), now());
                 insert into audit_events (audit_event_id, tenant_id, created_at, actor, peer, method, resource)
                     values (gen_random_uuid(), '{tenant}', now(), '', '', '', '')"
            ),
        )
        .await;
    }
    drop(db);
    database
}

async fn seen(pool: &ScopedPool, scope: &Scope, table: &str) -> Vec<String> {
    let mut db = pool.begin(scope).await.unwrap();
    let sql = format!("select tenant_id::text as tenant from {table} order by 1");
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut *db).await.unwrap();
    rows.iter().map(|row| row.get("tenant")).collect()
}

/// SQLSTATE of what a statement meets in a scope; empty: it runs.
async fn code(pool: &ScopedPool, scope: &Scope, sql: &str) -> String {
    let mut db = pool.begin(scope).await.unwrap();
    match sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut *db).await {
        Ok(_) => String::new(),
        Err(error) => error.as_database_error().unwrap().code().unwrap().into_owned(),
    }
}

fn acme() -> Scope {
    Scope::Tenant("acme".to_owned())
}

#[tokio::test]
async fn a_statement_without_a_condition_sees_and_changes_its_own_tenant_alone() {
    let database = two_tenants().await;
    for table in ["tenants", "fleets", "audit_events"] {
        assert_eq!(seen(&database.scoped, &acme(), table).await, ["acme"], "{table}");
        assert_eq!(seen(&database.scoped, &Scope::Provider, table).await, ["acme", "globex"]);
    }
    let mut db = database.scoped.begin(&acme()).await.unwrap();
    let done = sqlx::query("delete from fleets").execute(&mut *db).await.unwrap();
    assert_eq!(done.rows_affected(), 1);
    db.commit().await.unwrap();
    assert_eq!(seen(&database.scoped, &Scope::Provider, "fleets").await, ["globex"]);
    // Nor can a row be written into another tenant, or moved there.
    let into = "insert into fleets (tenant_id, fleet_id, display_name, spec, created_at, updated_at) values ('globex', 'x', '', '', now(), now())";
    assert_eq!(code(&database.scoped, &acme(), into).await, "42501");
    let moved = "update access_keys set tenant_id = 'globex'";
    assert_eq!(code(&database.scoped, &acme(), moved).await, "");
}

#[tokio::test]
async fn a_transaction_that_is_narrowed_sees_the_tenant_alone() {
    let database = two_tenants().await;
    let mut db = database.scoped.begin(&Scope::Provider).await.unwrap();
    narrow(&mut db, "globex").await.unwrap();
    let rows = sqlx::query("select tenant_id::text as t from fleets").fetch_all(&mut *db).await;
    let seen: Vec<String> = rows.unwrap().iter().map(|row| row.get("t")).collect();
    assert_eq!(seen, ["globex"]);
}

#[tokio::test]
async fn what_is_no_tenants_own_is_closed_to_tenants() {
    let database = two_tenants().await;
    for table in ["api_tokens", "server_secrets", "certificate_authorities"] {
        let sql = format!("select * from {table}");
        assert_eq!(code(&database.scoped, &acme(), &sql).await, "42501", "{table}");
        assert_eq!(code(&database.scoped, &Scope::Provider, &sql).await, "", "{table}");
    }
}

#[tokio::test]
async fn what_happened_can_be_neither_changed_nor_removed() {
    let database = two_tenants().await;
    for scope in [acme(), Scope::Provider] {
        for sql in [
            "update audit_events set actor = 'someone else'",
            "delete from audit_events",
            "truncate audit_events",
            "update revisions set hash = ''",
            "delete from revisions",
        ] {
            assert_eq!(code(&database.scoped, &scope, sql).await, "42501", "{scope:?}: {sql}");
        }
    }
}

#[tokio::test]
async fn a_connection_between_transactions_can_do_nothing() {
    let database = two_tenants().await;
    for scope in [acme(), Scope::Provider] {
        for table in ["tenants", "fleets", "server_secrets", "replicas"] {
            let sql = format!("commit; select * from {table}");
            assert_eq!(code(&database.scoped, &scope, &sql).await, "42501", "{table}");
        }
    }
}

#[tokio::test]
async fn a_name_that_is_no_tenants_never_reaches_the_database() {
    let database = test_database::fresh().await;
    for name in ["acme'; drop table tenants; --", "ACME", "a b", "a_b", "a\0b", "é"] {
        let scope = Scope::Tenant(name.to_owned());
        let error = database.scoped.begin(&scope).await.err().unwrap();
        assert!(matches!(error, sqlx::Error::InvalidArgument(_)), "{name}: {error}");
    }
}
