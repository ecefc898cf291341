//! Connections that are lost at any moment, servers that stop, writers that were overtaken: what is repeated leaves
//! the target as one execution would.
#![expect(clippy::print_stdout, reason = "how much was lost is shown")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::position::{Position, RebuildReason};
use engine::target::{Batch, Owned, Plan, Target, TargetError, TargetErrorKind};
use jiff::Timestamp;
use sqlx::{Connection, PgConnection};
use test_faults::{Cut, Pace, Passed, Proxy};
use test_postgres::{Cluster, QUICK};

use super::super::link::Patience;
use super::super::target::PostgresTarget;
use super::{SCHEMA, Schema};
use crate::contract::{CODES, Deletes, Site, assert_kind, at, batch, issues, key, owned, plan, ready, row};

/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Waits for what must come in time.
async fn in_time<T>(what: &str, done: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(DEADLINE, done).await;
    done.unwrap_or_else(|_| panic!("waited in vain until {what}"))
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

/// Cuts the scenario at places that `places` takes from all that passes in it, one in each run; says where it was
/// noticed.
async fn cut_at(places: impl Fn(Passed) -> Vec<Cut>) -> usize {
    let (site, plan) = (Schema::new().await, plan("a", issues(Deletes::Hard)));
    let proxy = Proxy::to(&site.url).await;
    assert_eq!(scenario(proxy.url(), &plan).await, 0);
    let expected = everything(&site).await;
    let all = proxy.passed();
    assert!(all.request_bytes > 1_000 && all.reply_bytes > 1_000 && all.exchanges > 20, "{all:?}");
    let (mut cuts, mut noticed) = (0, 0);
    for cut in places(all) {
        cuts += 1;
        wipe(&site).await;
        proxy.cut(Some(cut));
        let over = format!("the scenario is over, {cut:?} of {all:?}");
        let errors = in_time(&over, Box::pin(scenario(proxy.url(), &plan))).await;
        assert_eq!(proxy.passed().cuts, 1, "{cut:?} of {all:?}");
        assert!(errors <= 1, "{errors} errors, {cut:?} of {all:?}");
        noticed += usize::try_from(errors).unwrap();
        assert_eq!(everything(&site).await, expected, "{cut:?} of {all:?}");
    }
    println!("lost: {cuts} cuts of a connection, {noticed} noticed, all exact afterwards");
    noticed
}

/// So many places, evenly.
fn evenly(all: u64, places: u64) -> impl Iterator<Item = u64> {
    (0..places).map(move |place| all * place / places)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_in_a_request_changes_nothing() {
    let cuts = |all: Passed| evenly(all.request_bytes, 12).map(Cut::RequestBytes).collect();
    assert_eq!(cut_at(cuts).await, 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_in_a_reply_changes_nothing() {
    let cuts = |all: Passed| evenly(all.reply_bytes, 18).map(Cut::ReplyBytes).collect();
    assert_eq!(cut_at(cuts).await, 18);
}

/// Exchanges but for the last, which says good-bye: every third, from another one each time, which
/// `TRIBUTARY_CHAOS_SEED` chooses again; all with `TRIBUTARY_CHAOS=full` (`make chaos-network`).
fn each_exchange(cut: impl Fn(u64) -> Cut) -> impl Fn(Passed) -> Vec<Cut> {
    let (first, step) = match std::env::var("TRIBUTARY_CHAOS").as_deref() {
        Ok("full") => (1, 1),
        _ => {
            let given = std::env::var("TRIBUTARY_CHAOS_SEED").ok().map(|seed| seed.parse().unwrap());
            let seed: u64 =
                given.unwrap_or_else(|| Timestamp::now().subsec_nanosecond().unsigned_abs().into());
            let again = "cargo test --package connectors --all-features --lib -- lost:: --nocapture";
            println!("seed {seed}; to repeat: TRIBUTARY_CHAOS_SEED={seed} {again}");
            (1 + seed % 3, 3)
        }
    };
    move |all| (first..all.exchanges).step_by(step).map(&cut).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_cut_at_any_statement_changes_nothing() {
    assert!(cut_at(each_exchange(Cut::Request)).await > 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_to_any_statement_changes_nothing() {
    assert!(cut_at(each_exchange(Cut::Reply)).await > 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_trickles_is_listened_to() {
    let (site, plan) = (Schema::new().await, plan("a", issues(Deletes::Hard)));
    assert_eq!(scenario(&site.url, &plan).await, 0);
    let expected = everything(&site).await;
    wipe(&site).await;
    let proxy = Proxy::to(&site.url).await;
    proxy.pace(Some(Pace { bytes: 97, pause: Duration::from_millis(1) }));
    assert_eq!(scenario(proxy.url(), &plan).await, 0);
    assert_eq!(everything(&site).await, expected);
}

/// Places in the replies to a write, and each of the last ones: among them is the one that says that it is committed.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_to_a_commit_doubles_nothing() {
    let (site, plan) = (Schema::new().await, plan("a", issues(Deletes::Hard)));
    let proxy = Proxy::to(&site.url).await;
    let mut target = ready(&Schema::at(proxy.url()), &plan).await;
    let write = |sequence| {
        let rows = (sequence..sequence + 5).map(|code| row(&plan.tables[0], "p", code, "x")).collect();
        batch(sequence, rows, vec![])
    };
    target.write(&write(0)).await.unwrap();
    proxy.cut(None);
    target.write(&write(1)).await.unwrap();
    let all = proxy.passed().reply_bytes;
    let (mut lost, mut committed) = (0, 0);
    let mut codes: BTreeSet<i64> = (0..7).collect();
    for left in (0..all).filter(|left| left % 7 == 0 || *left > all - 30) {
        // The statements are prepared again on each new connection.
        target.write(&write(2)).await.unwrap();
        proxy.cut(Some(Cut::ReplyBytes(left)));
        let sequence = i64::try_from(left).unwrap() + 10;
        let mut errors = 0;
        while let Err(error) = target.write(&write(sequence)).await {
            assert_transient(&error);
            errors += 1;
            assert!(errors < 10, "it is never written: {error}");
            let stored = site.dump("SELECT sequence FROM _tributary_tasks").await;
            committed += u32::from(stored == [sequence.to_string()]);
        }
        assert_eq!(errors, 1, "cut after {left} bytes of {all}");
        lost += 1;
        codes.extend(sequence..sequence + 5);
        assert_eq!(site.dump("SELECT sequence FROM _tributary_tasks").await, [sequence.to_string()]);
    }
    println!("lost: {lost} replies to a write, {committed} of them to what was committed, none doubled");
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
    let (mut total, mut rounds) = (0, 0);
    while total < 20 {
        rounds += 1;
        assert!(rounds <= 200, "{total} sessions ended in the middle of {rounds} scenarios");
        wipe(&site).await;
        let (url, plan) = (site.url.clone(), plan.clone());
        let run = tokio::spawn(async move { scenario(&url, &plan).await });
        let mut ended = 0;
        let deadline = Instant::now() + DEADLINE;
        while !run.is_finished() && ended < 3 {
            assert!(Instant::now() < deadline, "the scenario goes on, and has no session to end");
            ended += terminate(&mut other).await;
        }
        total += in_time("the scenario is over", run).await.unwrap();
        assert_eq!(everything(&site).await, expected);
    }
    println!(
        "lost: {total} calls whose session the server ended, in {rounds} scenarios, all exact afterwards"
    );
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
    let deadline = Instant::now() + DEADLINE;
    loop {
        let found: i64 = sqlx::query_scalar(sql).fetch_one(&mut *other).await.unwrap();
        if found >= sessions {
            return;
        }
        assert!(Instant::now() < deadline, "{found} sessions wait for a lock, not {sessions}");
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
        let (returned, written) = in_time("the writer is through", writer).await.unwrap();
        let (mut current, opened) = in_time("the opener is through", opener).await.unwrap();
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
    let proxy = Proxy::to(&site.url).await;
    let place = Schema::at(proxy.url()).place();
    let short = Patience { call: Duration::from_millis(300), silent: Duration::from_secs(60) };
    ready(&site, &plan).await.close().await;
    let mut target = PostgresTarget::impatient(place, short);
    let mut errors = 0;
    persist!(errors, target.open(&plan));
    persist!(errors, target.prepare(&plan, None, &at(0)));
    let [first, second, _] = batches(&plan);
    persist!(errors, target.write(&first));
    proxy.silence(true);
    let text = assert_kind(target.write(&second).await, TargetErrorKind::Transient);
    assert!(text.contains("does not answer"), "{text}");
    // What was sent into the silence arrives late, and too late.
    proxy.silence(false);
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
        let deadline = Instant::now() + DEADLINE;
        while terminate(&mut other).await > 0 {
            assert!(Instant::now() < deadline, "a session that was ended does not end");
        }
        target.write(&batch).await.unwrap();
    }
}

/// Waits until the server has no session of a target.
async fn no_session(other: &mut PgConnection) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
               AND application_name = 'tributary'";
    let deadline = Instant::now() + DEADLINE;
    while sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut *other).await.unwrap() > 0 {
        assert!(Instant::now() < deadline, "the server keeps an idle session");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_server_ends_when_idle_is_made_anew_unnoticed() {
    let (site, plan) = (Schema::new().await, plan("a", issues(Deletes::Hard)));
    site.run("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET idle_session_timeout = ''2s''', current_database()); END $$").await;
    let mut other = site.other().await;
    sqlx::raw_sql("SET idle_session_timeout = 0").execute(&mut other).await.unwrap();
    let mut target = ready(&site, &plan).await;
    for batch in batches(&plan) {
        no_session(&mut other).await;
        target.write(&batch).await.unwrap();
    }
    assert_eq!(target.count(0, &[owned(7, "p")]).await.unwrap(), 239);
}
