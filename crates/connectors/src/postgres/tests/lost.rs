//! Connections that are lost at any moment, servers that stop, writers that were overtaken: what is repeated leaves
//! the target as one execution would.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use engine::position::{Position, RebuildReason};
use engine::target::{Batch, Owned, Plan, Target, TargetError, TargetErrorKind};
use sqlx::{Connection, PgConnection};
use test_postgres::{Cluster, QUICK};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use url::Url;

use super::super::link::Patience;
use super::super::target::PostgresTarget;
use super::{SCHEMA, Schema};
use crate::contract::{CODES, Deletes, Site, assert_kind, at, batch, issues, key, owned, plan, ready, row};

/// Which bytes a [`Proxy`] counts.
#[derive(Clone, Copy, Debug)]
enum Counted {
    Requests,
    Replies,
}

/// Between a target and its server. Lets so many bytes pass and then cuts all connections, once; or passes nothing
/// on and cuts nothing, as long as it is said to be silent.
struct Proxy {
    url: String,
    left: Arc<AtomicI64>,
    silent: watch::Sender<bool>,
    _serving: JoinSet<()>,
}

impl Proxy {
    async fn start(server: &str, counted: Counted) -> Proxy {
        let mut url = Url::parse(server).unwrap();
        let server = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        url.set_host(Some("127.0.0.1")).unwrap();
        url.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        let left = Arc::new(AtomicI64::new(i64::MAX));
        let count = left.clone();
        let (silent, is_silent) = watch::channel(false);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut passing = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = TcpStream::connect(&server).await.unwrap().into_split();
                let (requests, replies) = match counted {
                    Counted::Requests => (Some(count.clone()), None),
                    Counted::Replies => (None, Some(count.clone())),
                };
                let mut is_silent = [is_silent.clone(), is_silent.clone()];
                passing.spawn(async move {
                    let [one, two] = &mut is_silent;
                    // Cancel-safe: when one direction ends, both are cut.
                    tokio::select! {
                        () = pass(from_client, to_server, requests, one) => {}
                        () = pass(from_server, to_client, replies, two) => {}
                    }
                });
            }
        });
        Proxy { url: url.to_string(), left, silent, _serving: serving }
    }
}

/// Passes bytes on until an end, or until the count comes to its end; from then on nothing is counted.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    count: Option<Arc<AtomicI64>>,
    is_silent: &mut watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if is_silent.wait_for(|silent| !silent).await.is_err() {
            return;
        }
        let mut passes = read;
        let mut cut = false;
        if let Some(count) = &count {
            let read = i64::try_from(read).unwrap();
            let left = count.fetch_sub(read, Ordering::SeqCst);
            if left < read {
                passes = usize::try_from(left).unwrap();
                cut = true;
                count.store(i64::MAX, Ordering::SeqCst);
            }
        }
        if to.write_all(&buffer[..passes]).await.is_err() || cut {
            return;
        }
    }
}

/// Repeats a call as the engine does, until it succeeds; counts the errors, all of which must pass by themselves.
macro_rules! persist {
    ($errors:ident, $call:expr) => {
        loop {
            match $call.await {
                Ok(done) => break done,
                Err(error) => {
                    assert_transient(&error);
                    $errors += 1;
                    assert!($errors < 1_000, "{error}");
                }
            }
        }
    };
}

fn assert_transient(error: &TargetError) {
    assert_eq!(error.kind, TargetErrorKind::Transient, "{error}: {:?}", error.source);
}

/// Rows of the scenario: some copied, some merged, some deleted.
fn batches(plan: &Plan) -> [Batch; 3] {
    let rows = |codes: std::ops::Range<i64>, name: &str| {
        codes.map(|code| row(&plan.tables[0], "p", code, name)).collect()
    };
    let mut load = batch(1, rows(0..250, "load"), vec![]);
    load.tables[0].new = true;
    let gone = (0..20).map(|code| key("p", code)).collect();
    [load, batch(2, rows(240..260, "change"), gone), batch(3, vec![], vec![key("p", 20)])]
}

/// A task from its first opening to its last batch; how many errors there were.
async fn scenario(url: &str, plan: &Plan) -> u32 {
    let mut target = Schema::at(url).target();
    let mut errors = 0;
    persist!(errors, target.open(plan));
    persist!(errors, target.prepare(plan, Some(RebuildReason::New), &Position { rebuilding: true, ..at(0) }));
    let projects: [Owned; 1] = [owned(7, "p")];
    persist!(errors, target.own(&projects));
    for batch in batches(plan) {
        persist!(errors, target.write(&batch));
    }
    persist!(errors, target.put_aside(0, &key("p", 99), "odd"));
    assert_eq!(persist!(errors, target.count(0, &projects)), 239);
    target.close().await;
    errors
}

/// All there is after the scenario.
async fn everything(site: &Schema) -> Vec<String> {
    let mut all = site.dump(CODES).await;
    for select in [
        "SELECT task, generation, sequence, fingerprint, rebuilding FROM _tributary_tasks",
        "SELECT table_name, team, project_id, project, task FROM _tributary_owners",
        "SELECT task, table_name, key, reason FROM _tributary_aside",
        "SELECT table_name, definition FROM _tributary_tables",
        "SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE nspname = current_schema()",
    ] {
        all.extend(site.dump(select).await);
    }
    all
}

async fn wipe(site: &Schema) {
    site.run(&format!("DROP SCHEMA IF EXISTS {} CASCADE", crate::sql::quote(SCHEMA))).await;
}

/// Cuts the scenario at many places, one in each run.
async fn cut_everywhere(counted: Counted, places: i64) {
    let (site, plan) = (Schema::new().await, plan("a", issues(Deletes::Hard)));
    let proxy = Proxy::start(&site.url, counted).await;
    assert_eq!(scenario(&proxy.url, &plan).await, 0);
    let expected = everything(&site).await;
    let all = i64::MAX - proxy.left.swap(i64::MAX, Ordering::SeqCst);
    assert!(all > 1_000, "{all} bytes");
    for place in 0..places {
        wipe(&site).await;
        let left = all * place / places;
        proxy.left.store(left, Ordering::SeqCst);
        let errors = scenario(&proxy.url, &plan).await;
        assert!(errors > 0, "cut after {left} bytes of {all}");
        assert_eq!(everything(&site).await, expected, "cut after {left} bytes of {all}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_in_a_request_changes_nothing() {
    cut_everywhere(Counted::Requests, 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_in_a_reply_changes_nothing() {
    cut_everywhere(Counted::Replies, 60).await;
}

/// Places in the replies to a write, and each of the last ones: among them is the one that says that it is committed.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_to_a_commit_doubles_nothing() {
    let (site, plan) = (Schema::new().await, plan("a", issues(Deletes::Hard)));
    let proxy = Proxy::start(&site.url, Counted::Replies).await;
    let mut target = ready(&Schema::at(&proxy.url), &plan).await;
    let write = |sequence| {
        let rows = (sequence..sequence + 5).map(|code| row(&plan.tables[0], "p", code, "x")).collect();
        batch(sequence, rows, vec![])
    };
    target.write(&write(0)).await.unwrap();
    proxy.left.store(i64::MAX, Ordering::SeqCst);
    target.write(&write(1)).await.unwrap();
    let all = i64::MAX - proxy.left.swap(i64::MAX, Ordering::SeqCst);
    let (mut lost, mut committed) = (0, 0);
    let mut codes: BTreeSet<i64> = (0..7).collect();
    for left in (0..all).filter(|left| left % 7 == 0 || *left > all - 30) {
        // The statements are prepared again on each new connection.
        target.write(&write(2)).await.unwrap();
        proxy.left.store(left, Ordering::SeqCst);
        let sequence = left + 10;
        let mut errors = 0;
        while let Err(error) = target.write(&write(sequence)).await {
            assert_transient(&error);
            errors += 1;
            let stored = site.dump("SELECT sequence FROM _tributary_tasks").await;
            committed += u32::from(stored == [sequence.to_string()]);
        }
        assert_eq!(errors, 1, "cut after {left} bytes of {all}");
        lost += 1;
        codes.extend(sequence..sequence + 5);
        assert_eq!(site.dump("SELECT sequence FROM _tributary_tasks").await, [sequence.to_string()]);
    }
    assert!(committed > 0 && committed < lost, "{committed} of {lost} were committed");
    assert_eq!(target.count(0, &[owned(7, "p")]).await.unwrap(), u64::try_from(codes.len()).unwrap());
}

/// Ends the sessions of all targets of a database.
async fn terminate(other: &mut PgConnection) -> i64 {
    let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
               WHERE datname = current_database() AND application_name = 'tributary'";
    sqlx::query_scalar(sql).fetch_one(other).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_the_server_ends_are_made_anew() {
    let (site, plan) = (Schema::new().await, plan("a", issues(Deletes::Hard)));
    assert_eq!(scenario(&site.url, &plan).await, 0);
    let expected = everything(&site).await;
    let mut other = site.other().await;
    let mut total = 0;
    while total < 20 {
        wipe(&site).await;
        let (url, plan) = (site.url.clone(), plan.clone());
        let run = tokio::spawn(async move { scenario(&url, &plan).await });
        let mut ended = 0;
        while !run.is_finished() && ended < 3 {
            ended += terminate(&mut other).await;
        }
        total += run.await.unwrap();
        assert_eq!(everything(&site).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_is_waited_for() {
    let cluster = Cluster::start(QUICK).await;
    let database = cluster.database().await;
    let (site, plan) = (Schema::at(database.url().as_str()), plan("a", issues(Deletes::Hard)));
    let mut target = ready(&site, &plan).await;
    let [first, second, third] = batches(&plan);
    target.write(&first).await.unwrap();
    cluster.stop().await;
    for _ in 0..3 {
        let text = assert_kind(target.write(&second).await, TargetErrorKind::Transient);
        assert!(text.contains("POSTGRES-CONNECTION"), "{text}");
    }
    assert_kind(site.target().open(&plan).await, TargetErrorKind::Transient);
    cluster.start_again().await;
    let mut errors = 0;
    // It may be starting up still.
    persist!(errors, target.write(&second));
    target.write(&third).await.unwrap();
    assert_eq!(target.count(0, &[owned(7, "p")]).await.unwrap(), 239);
    assert_eq!(site.target().open(&plan).await.unwrap().position, Some(at(3)));
}

/// As after a failover to a standby that was behind, or a restored backup.
#[tokio::test]
async fn a_server_that_lost_what_it_had_committed_is_not_written_on() {
    let (site, plan) = (Schema::new().await, plan("a", issues(Deletes::Hard)));
    let mut target = ready(&site, &plan).await;
    let rows = |code| vec![row(&plan.tables[0], "p", code, "x")];
    target.write(&batch(1, rows(1), vec![])).await.unwrap();
    site.run("CREATE TABLE tasks AS TABLE _tributary_tasks; CREATE TABLE rows AS TABLE issues").await;
    // A batch of the same position is missed as well.
    target.write(&batch(1, rows(2), vec![])).await.unwrap();
    site.run(
        "TRUNCATE _tributary_tasks, issues; \
         INSERT INTO _tributary_tasks TABLE tasks; INSERT INTO issues TABLE rows",
    )
    .await;
    let text = assert_kind(target.write(&batch(2, rows(3), vec![])).await, TargetErrorKind::Fenced);
    assert!(text.contains("POSTGRES-REPLACED"), "{text}");
    let text = assert_kind(target.own(&[owned(1, "p")]).await, TargetErrorKind::Fenced);
    assert!(text.contains("POSTGRES-REPLACED"), "{text}");
    assert_eq!(site.dump(CODES).await, ["1|x"]);
    // Started again it goes on from where the server is.
    let opened = target.open(&plan).await.unwrap();
    assert_eq!(opened.position, Some(at(1)));
    target.prepare(&plan, None, &at(1)).await.unwrap();
    target.write(&batch(2, [rows(2), rows(3)].concat(), vec![])).await.unwrap();
    // Nor is one that never heard of the task.
    site.run("TRUNCATE _tributary_tasks").await;
    let text = assert_kind(target.write(&batch(3, rows(4), vec![])).await, TargetErrorKind::Fenced);
    assert!(text.contains("POSTGRES-REPLACED"), "{text}");
}

/// Waits until so many sessions of targets wait for a lock.
async fn waiting(other: &mut PgConnection, sessions: i64) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
               AND application_name = 'tributary' AND wait_event_type = 'Lock'";
    while sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut *other).await.unwrap() < sessions {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_6_an_opener_waits_for_a_writer_in_its_middle() {
    let (site, plan) = (Arc::new(Schema::new().await), plan("a", issues(Deletes::Hard)));
    let mut stale = ready(&*site, &plan).await;
    stale.write(&batch(1, vec![row(&plan.tables[0], "p", 1, "one")], vec![])).await.unwrap();
    let mut other = site.other().await;
    // First the writer gets through, then it is ended in its middle.
    for (sequence, ends) in [(5, false), (6, true)] {
        let mut blocker = site.other().await;
        let mut block = blocker.begin().await.unwrap();
        sqlx::raw_sql("SELECT FROM issues WHERE code = 1 FOR UPDATE").execute(&mut *block).await.unwrap();
        let write = batch(sequence, vec![row(&plan.tables[0], "p", 1, "stale")], vec![]);
        let writer = tokio::spawn(async move {
            let written = stale.write(&write).await;
            (stale, written)
        });
        waiting(&mut other, 1).await;
        let (opening, site_2) = (plan.clone(), site.clone());
        let opener = tokio::spawn(async move {
            let mut current = site_2.target();
            let opened = current.open(&opening).await;
            (current, opened)
        });
        waiting(&mut other, 2).await;
        if ends {
            let oldest = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
                          AND application_name = 'tributary' AND wait_event_type = 'Lock' ORDER BY xact_start LIMIT 1";
            sqlx::raw_sql(oldest).execute(&mut other).await.unwrap();
        } else {
            block.rollback().await.unwrap();
        }
        let (returned, written) = writer.await.unwrap();
        let (mut current, opened) = opener.await.unwrap();
        let opened = opened.unwrap();
        if ends {
            assert_kind(written, TargetErrorKind::Transient);
            assert_eq!(opened.position, Some(at(5)), "what was in its middle is undone");
        } else {
            written.unwrap();
            assert_eq!(opened.position, Some(at(5)), "what was committed is seen");
        }
        stale = returned;
        let late = batch(9, vec![row(&plan.tables[0], "p", 2, "late")], vec![]);
        assert_kind(stale.write(&late).await, TargetErrorKind::Fenced);
        current.prepare(&plan, None, &at(5)).await.unwrap();
        stale = current;
    }
    assert_eq!(site.dump(CODES).await, ["1|stale"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_is_given_up() {
    let (site, plan) = (Schema::new().await, plan("a", issues(Deletes::Hard)));
    let proxy = Proxy::start(&site.url, Counted::Replies).await;
    let place = Schema::at(&proxy.url).place();
    let short = Patience { call: Duration::from_millis(300), silent: Duration::from_secs(60) };
    ready(&site, &plan).await.close().await;
    let mut target = PostgresTarget::impatient(place, short);
    let mut errors = 0;
    persist!(errors, target.open(&plan));
    persist!(errors, target.prepare(&plan, None, &at(0)));
    let [first, second, _] = batches(&plan);
    persist!(errors, target.write(&first));
    proxy.silent.send(true).unwrap();
    let text = assert_kind(target.write(&second).await, TargetErrorKind::Transient);
    assert!(text.contains("does not answer"), "{text}");
    // What was sent into the silence arrives late, and too late.
    proxy.silent.send(false).unwrap();
    persist!(errors, target.write(&second));
    assert_eq!(target.count(0, &[owned(7, "p")]).await.unwrap(), 240);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_idle_is_tried_before_it_is_used() {
    let (site, plan) = (Schema::new().await, plan("a", issues(Deletes::Hard)));
    ready(&site, &plan).await.close().await;
    let wary = Patience { call: Duration::from_secs(60), silent: Duration::ZERO };
    let mut target = PostgresTarget::impatient(site.place(), wary);
    target.open(&plan).await.unwrap();
    target.prepare(&plan, None, &at(0)).await.unwrap();
    let mut other = site.other().await;
    for batch in batches(&plan) {
        assert!(terminate(&mut other).await > 0);
        // Until the last of them is gone.
        while terminate(&mut other).await > 0 {}
        target.write(&batch).await.unwrap();
    }
}
