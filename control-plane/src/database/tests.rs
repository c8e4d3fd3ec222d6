use std::str::FromStr;

use super::*;
use crate::test_database::{self, execute};

#[tokio::test]
async fn a_migrated_database_is_accepted_and_migrating_again_changes_nothing() {
    let database = test_database::fresh().await;
    let mut db = database.pool.acquire().await.unwrap();
    check_version(&mut db).await.unwrap();
    migrate(&mut db).await.unwrap();
    check_version(&mut db).await.unwrap();
}

#[tokio::test]
async fn an_empty_database_is_behind_until_it_is_migrated() {
    let database = test_database::empty().await;
    let mut db = database.pool.acquire().await.unwrap();
    let error = check_version(&mut db).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Behind { .. }), "{error}");
    assert!(error.to_string().contains("ekiden-control-plane migrate"), "{error}");
    migrate(&mut db).await.unwrap();
    check_version(&mut db).await.unwrap();
}

#[tokio::test]
async fn a_database_with_an_unknown_migration_is_ahead_and_left_alone() {
    let database = test_database::fresh().await;
    let mut db = database.pool.acquire().await.unwrap();
    execute(
        &mut db,
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (9999, 'later', true, '\\x00', 0)",
    )
    .await;
    let error = check_version(&mut db).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Ahead { unknown: 9999 }), "{error}");
    assert!(error.to_string().contains("newer"), "{error}");
    let error = migrate(&mut db).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Ahead { unknown: 9999 }), "{error}");
}

#[tokio::test]
async fn a_database_made_by_another_build_is_refused() {
    let database = test_database::fresh().await;
    let mut db = database.pool.acquire().await.unwrap();
    execute(&mut db, "update _sqlx_migrations set checksum = '\\x00'").await;
    let error = check_version(&mut db).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Different { .. }), "{error}");
}

#[tokio::test]
async fn migrating_from_several_processes_at_once_is_done_once() {
    let database = test_database::empty().await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let pool = database.pool.clone();
        tasks.spawn(async move { migrate(&mut pool.acquire().await.unwrap()).await });
    }
    for done in tasks.join_all().await {
        done.unwrap();
    }
    check_version(&mut database.pool.acquire().await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_migrated_database_limits_statements_of_new_connections() {
    let database = test_database::empty().await;
    migrate(&mut database.pool.acquire().await.unwrap()).await.unwrap();
    let mut fresh = PgConnection::connect_with(&database.options).await.unwrap();
    assert_eq!(test_database::text(&mut fresh, "show statement_timeout").await, "15s");
}

#[tokio::test]
async fn a_wrong_password_is_told_at_once() {
    let database = test_database::empty().await;
    let error = wait_until_up(&database.options.clone().password("wrong")).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Refused(_)), "{error}");
    assert!(!error.to_string().contains("wrong"), "{error}");
}

#[test]
fn an_rds_database_must_be_reached_over_tls() {
    let url = |mode| format!("postgres://u:p@db.x.ap-northeast-1.rds.amazonaws.com/ekiden{mode}");
    for plain in ["", "?sslmode=prefer", "?sslmode=disable", "?sslmode=allow"] {
        let options = PgConnectOptions::from_str(&url(plain)).unwrap();
        assert!(check_transport(&options).is_err(), "{plain}");
    }
    for safe in ["?sslmode=verify-full", "?sslmode=require"] {
        check_transport(&PgConnectOptions::from_str(&url(safe)).unwrap()).unwrap();
    }
    check_transport(&PgConnectOptions::from_str("postgres://u@localhost/x").unwrap()).unwrap();
}

#[tokio::test]
async fn a_user_that_may_not_take_the_roles_is_told_what_to_grant() {
    let database = test_database::fresh().await;
    let mut db = database.pool.acquire().await.unwrap();
    execute(
        &mut db,
        "create role plain login; grant select on _sqlx_migrations to plain; set role plain",
    )
    .await;
    let error = check_version(&mut db).await.unwrap_err();
    assert!(matches!(error, DatabaseError::NoMember { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("grant ekiden_nobody, ekiden_tenant, ekiden_provider to \"plain\""),
        "{error}"
    );
}
