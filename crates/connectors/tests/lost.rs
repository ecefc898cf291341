//! A database server that goes away in the middle of everything: nothing is lost, nothing doubled, and all goes on
//! by itself.
#![expect(clippy::print_stdout, reason = "how much was lost is shown")]

use std::time::Duration;

use coding_sim::{ProjectConfig, SimConfig};
use engine::status::{State, Status};
use sqlx::Connection as _;
use test_postgres::{Cluster, QUICK};

use crate::follow::becomes_equal;
use crate::harness::{Bench, unlimited};
use crate::place::{Place, TargetKind};

/// Connections ended while a source that moves is loaded and followed.
const CUTS: u64 = 12;
/// The longest time between two of them; after each the task waits a second before it tries again.
const LONGEST_MS: u64 = 1_800;

async fn bench(cluster: &Cluster, config: SimConfig) -> Bench {
    let database = Box::new(cluster.database().await);
    let place = Place::Postgres { database, schema: "coding".to_owned() };
    Bench { place, ..Bench::new(TargetKind::Sqlite, config).await }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_end_at_any_moment() {
    let cluster = Cluster::start(QUICK).await;
    let projects = vec![ProjectConfig::new("mobile-app", 1_500, 12, 20)];
    let bench = bench(&cluster, SimConfig { mutations_per_second: 20.0, ..unlimited(projects) }).await;
    let mut other = sqlx::PgConnection::connect(cluster.url().as_str()).await.unwrap();
    let following = bench.follow().await;
    let mut cut = 0;
    for turn in 0..CUTS {
        tokio::time::sleep(Duration::from_millis(LONGEST_MS * (turn + 1) / CUTS)).await;
        let sql = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                   WHERE datname LIKE 'tributary_test_%'";
        cut += sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut other).await.unwrap();
    }
    assert!(cut > 0, "there was never a connection");
    bench.sim.world().set_mutator(0.0);
    becomes_equal(&bench, &following).await;
    println!("lost: {cut} connections ended under a load and what followed, exact afterwards");
    following.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_crashes_is_waited_for() {
    let cluster = Cluster::start(QUICK).await;
    let bench = bench(&cluster, unlimited(vec![ProjectConfig::new("backend", 80, 5, 9)])).await;
    let following = bench.follow().await;
    following.first_reading().await;
    for _ in 0..2 {
        cluster.stop().await;
        let _ = bench.sim.world().mutate(20, &crate::cost::EDITS);
        let said = |status: &Status| {
            matches!(&status.tasks["task"].activity.state, State::Waiting { problem, .. }
                if problem.code.starts_with("POSTGRES-"))
        };
        following.until("the outage to be said", said).await;
        cluster.start_again().await;
        becomes_equal(&bench, &following).await;
    }
    println!("lost: 2 crashes of the server, exact after each");
    following.stop().await;
}
