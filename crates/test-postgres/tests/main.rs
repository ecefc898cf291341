//! Databases and servers for tests, on real servers.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use test_postgres::{Cluster, Database, QUICK, URL_VARIABLE, database};

/// Longer than a server takes to end on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Tells this test, started as another process, to wait for its end.
const WAITS: &str = "TRIBUTARY_TEST_WAITS_TO_BE_KILLED";

async fn text(connection: &mut PgConnection, sql: &str) -> String {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(connection).await.unwrap()
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The folder of a server, which its socket is in.
async fn folder(database: &Database) -> PathBuf {
    text(&mut database.connect().await, "SHOW unix_socket_directories").await.into()
}

fn runs(pid: u32) -> bool {
    // One that ended and that nobody has asked for its exit code yet is a zombie: `State: Z`.
    std::fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| !status.contains("State:\tZ"))
}

#[tokio::test]
async fn databases_are_empty_apart_and_dropped() {
    let (one, two) = (database().await, database().await);
    let mut connection = one.connect().await;
    sqlx::raw_sql("CREATE TABLE mine (x text); INSERT INTO mine VALUES ('一')")
        .execute(&mut connection)
        .await
        .unwrap();
    assert_eq!(text(&mut connection, "SELECT x FROM mine").await, "一");
    let tables = "SELECT count(*)::text FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(text(&mut two.connect().await, tables).await, "0");
    let name = one.url().path().trim_start_matches('/').to_owned();
    let there = format!("SELECT count(*)::text FROM pg_database WHERE datname = '{name}'");
    assert_eq!(text(&mut two.connect().await, &there).await, "1");
    // A connection that somebody forgot is in nobody's way.
    drop(one);
    assert_eq!(text(&mut two.connect().await, &there).await, "0");
    drop(connection);
}

#[tokio::test]
async fn a_cluster_has_its_settings_stops_starts_and_leaves_nothing() {
    let cluster = Cluster::start(&[("fsync", "off"), ("application_name", "it's set")]).await;
    let database = cluster.database().await;
    let mut connection = database.connect().await;
    assert_eq!(text(&mut connection, "SHOW fsync").await, "off");
    assert_eq!(text(&mut connection, "SHOW application_name").await, "it's set");
    let folder = folder(&database).await;
    let first = cluster.pid();
    assert!(runs(first));

    sqlx::raw_sql("CREATE TABLE kept ()").execute(&mut connection).await.unwrap();
    cluster.stop().await;
    assert!(connection.ping().await.is_err());
    assert!(PgConnection::connect(database.url().as_str()).await.is_err());
    cluster.start_again().await;
    sqlx::raw_sql("DROP TABLE kept").execute(&mut database.connect().await).await.unwrap();

    let second = cluster.pid();
    assert_ne!(first, second);
    drop(cluster);
    assert!(!runs(second) && !folder.exists());
    drop(database);
}

#[tokio::test]
async fn clusters_run_beside_each_other_with_postgresqls_own_settings() {
    let (one, two) = tokio::join!(Cluster::start(&[]), Cluster::start(QUICK));
    assert_ne!(one.url().port(), two.url().port());
    let mut connection = one.database().await.connect().await;
    assert_eq!(text(&mut connection, "SHOW fsync").await, "on");
}

#[tokio::test]
async fn a_server_that_does_not_start_says_why_and_leaves_nothing() {
    let started = tokio::spawn(Cluster::start(&[("no_such_setting", "x")])).await;
    let panic = started.unwrap_err().into_panic();
    let said = panic.downcast_ref::<String>().unwrap();
    assert!(said.contains("unrecognized configuration parameter \"no_such_setting\""), "{said}");
}

/// Runs a test of this file in another process, with a server named to it.
fn run_on(server: &str, test: &str) -> std::process::Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(URL_VARIABLE, server).output().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_named_is_used_and_kept_clean() {
    let cluster = Cluster::start(QUICK).await;
    let database = cluster.database().await;
    let mut connection = database.connect().await;
    let test = "databases_are_empty_apart_and_dropped";
    let ran = run_on(cluster.url().as_str(), test);
    assert!(ran.status.success(), "{ran:?}");
    let left = "SELECT count(*)::text FROM pg_database WHERE datname LIKE 'tributary_test_%'";
    assert_eq!(text(&mut connection, left).await, "1", "only the one of this test");

    sqlx::raw_sql("CREATE ROLE weak LOGIN PASSWORD 'weak'").execute(&mut connection).await.unwrap();
    let mut weak = cluster.url().clone();
    weak.set_username("weak").unwrap();
    weak.set_password(Some("weak")).unwrap();
    let ran = run_on(weak.as_str(), test);
    let said = String::from_utf8(ran.stderr).unwrap();
    assert!(said.contains("the user `weak` needs the right to make databases"), "{said}");
    assert!(!ran.status.success() && !said.contains("weak:weak"), "{said}");
}

/// Says which process the server is and where it lives, and waits to be killed.
#[expect(clippy::print_stdout, reason = "the test that kills this one reads it")]
async fn wait_to_be_killed() {
    let cluster = Cluster::start(QUICK).await;
    let folder = folder(&cluster.database().await).await;
    println!("\nserver {} {}", cluster.pid(), folder.display());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_killed_test_leaves_no_server() {
    if std::env::var_os(WAITS).is_some() {
        return wait_to_be_killed().await;
    }
    let mut test = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_killed_test_leaves_no_server", "--nocapture"])
        .env(WAITS, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(test.stdout.take().unwrap()).lines();
    let said = lines.find_map(|line| Some(line.unwrap().strip_prefix("server ")?.to_owned())).unwrap();
    let (pid, folder) = said.split_once(' ').unwrap();
    let (pid, folder) = (pid.parse().unwrap(), Path::new(folder));
    assert!(runs(pid) && folder.exists());
    test.kill().unwrap();
    test.wait().unwrap();
    until("nothing is left of the server", async || !runs(pid) && !folder.exists()).await;
}
