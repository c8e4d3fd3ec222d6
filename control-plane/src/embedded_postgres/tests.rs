use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
    process::Stdio,
};

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use super::*;
use crate::test_database::{execute, quick, text};

const PATIENCE: Duration = Duration::from_secs(60);

async fn started(folder: &Path) -> EmbeddedPostgres {
    EmbeddedPostgres::start(quick(folder.to_owned())).await.unwrap()
}

async fn connected(server: &EmbeddedPostgres) -> PgConnection {
    let again = async {
        loop {
            match PgConnection::connect_with(&server.options()).await {
                Ok(db) => return db,
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
        }
    };
    timeout(PATIENCE, again).await.unwrap()
}

fn alive(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

async fn until(mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap();
}

/// A folder whose parents only we may enter, as a home folder's are; under root the server's account may not.
fn folder() -> (TempDir, PathBuf) {
    let outer = tempfile::tempdir().unwrap();
    let inner = outer.path().join("data/postgres");
    (outer, inner)
}

#[tokio::test]
async fn a_fresh_server_starts_in_a_folder_that_others_cannot_enter_and_keeps_its_data_over_a_restart()
 {
    let (_outer, folder) = folder();
    let server = started(&folder).await;
    let mut db = connected(&server).await;
    execute(&mut db, "create table kept as select 7 as n").await;
    assert_eq!(text(&mut db, "show data_checksums").await, "on");
    assert_eq!(text(&mut db, "show listen_addresses").await, "");
    for (path, mode) in [("", 0o700), ("cluster", 0o700), ("socket", 0o700), ("pgpass", 0o600)] {
        let found = fs::metadata(folder.join(path)).unwrap().mode() & 0o777;
        assert_eq!(found, mode, "{path:?}");
    }
    let pid = server.process().borrow().unwrap();
    assert_ne!(fs::metadata(format!("/proc/{pid}")).unwrap().uid(), 0, "it runs as root");
    db.close().await.unwrap();
    server.stop().await;
    assert!(!alive(pid));
    assert!(!folder.join("cluster/postmaster.pid").exists());

    let server = started(&folder).await;
    let mut db = connected(&server).await;
    assert_eq!(text(&mut db, "select n::text from kept").await, "7");
    server.stop().await;
}

#[tokio::test]
async fn the_socket_works_below_a_path_that_is_too_long_for_sockets() {
    let outer = tempfile::tempdir().unwrap();
    fs::set_permissions(outer.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let folder = outer.path().join("long".repeat(40)).join("and, \"odd\"").join("postgres");
    let server = started(&folder).await;
    assert_eq!(text(&mut connected(&server).await, "select 'yes'").await, "yes");
    server.stop().await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_on_the_socket_too() {
    let (_outer, folder) = folder();
    let server = started(&folder).await;
    let refused = PgConnection::connect_with(&server.options().password("guess")).await;
    assert!(refused.is_err());
    server.stop().await;
}

#[tokio::test]
async fn a_killed_server_is_started_again_with_what_was_committed() {
    let (_outer, folder) = folder();
    let server = started(&folder).await;
    execute(&mut connected(&server).await, "create table kept as select 7 as n").await;
    let mut process = server.process();
    let first = process.borrow().unwrap();
    remains::send(first, Signal::KILL);
    let second = timeout(PATIENCE, process.wait_for(|pid| pid.is_some_and(|pid| pid != first)))
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(alive(second));
    assert_eq!(text(&mut connected(&server).await, "select n::text from kept").await, "7");
    server.stop().await;
}

#[tokio::test]
async fn a_server_left_by_a_killed_control_plane_is_stopped_and_replaced() {
    let (_outer, folder) = folder();
    let server = started(&folder).await;
    server.stop().await;
    // The same server without anyone who looks after it, as a `kill -9` of us with a lost lifeline leaves it.
    let place = Place::take(&folder).unwrap();
    let programs = quick(folder.clone()).programs;
    let binaries = binaries::find(&programs, None).await.unwrap();
    let mut orphan = Postmaster::start(&place, &binaries, &[]).unwrap();
    let pid = orphan.pid().unwrap();
    until(|| folder.join("socket/.s.PGSQL.5432").exists()).await;
    drop(place);

    let server = started(&folder).await;
    assert_ne!(server.process().borrow().unwrap(), pid);
    assert!(orphan.has_ended().is_some());
    assert_eq!(text(&mut connected(&server).await, "select 'yes'").await, "yes");
    server.stop().await;
}

#[tokio::test]
async fn a_stale_pid_file_with_the_id_of_another_program_is_no_hindrance() {
    let (_outer, folder) = folder();
    started(&folder).await.stop().await;
    let place = Place::take(&folder).unwrap();
    // A program of the account that Postgres runs as, which is what makes Postgres itself refuse.
    let mut other = place.account.command(Path::new("/bin/sleep")).arg("600").spawn().unwrap();
    drop(place);
    let pid_file = folder.join("cluster/postmaster.pid");
    let text =
        format!("{}\n{}\n1\n5432\n\n\n", other.id().unwrap(), folder.join("cluster").display());
    fs::write(&pid_file, text).unwrap();

    let server = started(&folder).await;
    assert!(matches!(other.try_wait(), Ok(None)), "the other program was ended");
    server.stop().await;
    other.kill().await.unwrap();
}

#[tokio::test]
async fn a_second_start_in_the_same_folder_is_refused_and_disturbs_nothing() {
    let (_outer, folder) = folder();
    let server = started(&folder).await;
    let Err(error) = EmbeddedPostgres::start(quick(folder.clone())).await else {
        panic!("it was started twice")
    };
    assert!(error.to_string().contains("is in use by process"), "{error}");
    assert_eq!(text(&mut connected(&server).await, "select 'yes'").await, "yes");
    server.stop().await;
}

#[tokio::test]
async fn a_cluster_that_was_half_made_is_made_anew() {
    let (_outer, folder) = folder();
    fs::create_dir_all(folder.join("cluster.new/base")).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    let server = started(&folder).await;
    server.stop().await;
    assert!(!folder.join("cluster.new").exists());
}

#[tokio::test]
async fn a_machine_without_postgres_is_told_what_to_install() {
    let (_outer, folder) = folder();
    let settings =
        EmbeddedSettings { folder, programs: vec!["/nonexistent".into()], parameters: vec![] };
    let Err(error) = EmbeddedPostgres::start(settings).await else { panic!("it started") };
    for hint in ["apt-get install postgresql", "--database-url"] {
        assert!(error.to_string().contains(hint), "{error}");
    }
}

#[tokio::test]
async fn a_folder_with_something_else_in_it_is_refused_and_left_alone() {
    let (_outer, folder) = folder();
    fs::create_dir_all(folder.join("cluster")).unwrap();
    fs::write(folder.join("cluster/thesis.tex"), "years of work").unwrap();
    let Err(error) = EmbeddedPostgres::start(quick(folder.clone())).await else {
        panic!("it started")
    };
    assert!(matches!(error, EmbeddedError::NotACluster { .. }), "{error}");
    assert_eq!(fs::read_to_string(folder.join("cluster/thesis.tex")).unwrap(), "years of work");
}

#[tokio::test]
async fn a_wrong_setting_ends_the_start_with_what_postgres_says() {
    let (_outer, folder) = folder();
    let mut settings = quick(folder);
    settings.parameters.push(("shared_buffers", "1TB of it"));
    let Err(error) = EmbeddedPostgres::start(settings).await else { panic!("it started") };
    assert!(error.to_string().contains("shared_buffers"), "{error}");
}

#[tokio::test]
async fn the_server_stops_when_the_pipe_to_us_closes() {
    let (_outer, folder) = folder();
    started(&folder).await.stop().await;
    let place = Place::take(&folder).unwrap();
    let binaries = binaries::find(&quick(folder.clone()).programs, None).await.unwrap();
    let mut server = Postmaster::start(&place, &binaries, &[]).unwrap();
    until(|| folder.join("socket/.s.PGSQL.5432").exists()).await;
    server.cut_lifeline();
    timeout(PATIENCE, server.ended(&place)).await.unwrap();
}

#[test]
fn the_environment_of_the_control_plane_stays_out_of_the_server() {
    let account = account::Account::choose(None);
    let output = account
        .command(Path::new("/usr/bin/env"))
        .as_std_mut()
        .stdout(Stdio::piped())
        .output()
        .unwrap();
    let names: Vec<_> = String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter_map(|l| Some(l.split_once('=')?.0.to_owned()))
        .collect();
    let mut names = names;
    names.sort();
    assert_eq!(names, ["LC_ALL", "PATH", "TZ"]);
}
