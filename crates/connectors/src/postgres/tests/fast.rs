//! What keeps writing fast: no packet waits for another, and the planner knows what is there.

use std::time::{Duration, Instant};

use engine::target::{Batch, Plan, Target};

use super::super::nodelay::send_at_once;
use super::Schema;
use crate::contract::{Deletes, Site, batch, issues, plan, ready, row};

/// So many new rows.
fn load(plan: &Plan, sequence: i64, rows: i64) -> Batch {
    let codes = sequence * 10_000..sequence * 10_000 + rows;
    let mut load = batch(sequence, codes.map(|code| row(&plan.tables[0], "p", code, "x")).collect(), vec![]);
    load.tables[0].new = true;
    load
}

/// TCP that holds small packets back takes 40 ms for each of these.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_over_tcp_does_not_wait_for_the_network() {
    let (site, plan) = (Schema::new().await, plan("a", issues(Deletes::Hard)));
    let mut target = ready(&site, &plan).await;
    let mut fastest = Duration::MAX;
    for sequence in 1..=20 {
        let load = load(&plan, sequence, 500);
        let began = Instant::now();
        target.write(&load).await.unwrap();
        fastest = fastest.min(began.elapsed());
    }
    assert!(target.link.is_prompt());
    assert!(fastest < Duration::from_millis(25), "{fastest:?}");
}

#[tokio::test]
async fn where_no_connection_can_be_made_prompt_rows_are_not_copied() {
    // Nobody listens there, so nothing is connected.
    assert!(!send_at_once(&Schema::at("postgres://user@127.0.0.1:9/database").place()).await);
    assert!(
        send_at_once(&Schema::at("postgres://user@localhost/database?host=/run/postgresql").place()).await
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_planner_knows_a_table_that_grew() {
    let (site, plan) = (Schema::new().await, plan("a", issues(Deletes::Hard)));
    let mut target = ready(&site, &plan).await;
    site.run("ALTER TABLE issues SET (autovacuum_enabled = off)").await;
    let known = "SELECT attname, (SELECT reltuples FROM pg_class WHERE oid = to_regclass('issues')) \
                 FROM pg_stats WHERE schemaname = current_schema() AND tablename = 'issues' ORDER BY 1";
    target.write(&load(&plan, 1, 999)).await.unwrap();
    target.write(&load(&plan, 2, 1)).await.unwrap();
    assert_eq!(site.dump(known).await, [""; 0], "not yet");
    target.write(&load(&plan, 3, 1)).await.unwrap();
    let of_the_key = ["code|1000", "project_name|1000", "team_name|1000"];
    assert_eq!(site.dump(known).await, of_the_key);
    // Nor is it done for every batch.
    target.write(&load(&plan, 4, 500)).await.unwrap();
    assert_eq!(site.dump(known).await, of_the_key);
}
