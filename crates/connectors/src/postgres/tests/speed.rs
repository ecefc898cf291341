//! How fast each way of writing is: the figures in `write.rs`. Run it alone, with
//! `cargo test --release -p connectors --lib speed -- --ignored --nocapture`.

use std::io::Write as _;

use engine::position::RebuildReason;
use engine::schema::Kind;
use engine::target::{Batch, Cell, Column, Plan, TableBatch, Target, TargetTable};
use tokio::time::Instant;

use super::super::config::PostgresConfig;
use super::super::target::PostgresTarget;
use crate::contract::{NOW, at, column};

/// 45 columns.
fn table() -> TargetTable {
    let kinds =
        [Kind::Text, Kind::Integer, Kind::Text, Kind::Json, Kind::Timestamp, Kind::Text, Kind::Boolean];
    let mut columns: Vec<Column> = vec![
        column("team_name", Kind::Text),
        column("project_name", Kind::Text),
        column("code", Kind::Integer),
    ];
    columns.extend((3..44).map(|at| column(&format!("column_{at}"), kinds[at % kinds.len()])));
    columns.push(column("_synced_at", Kind::Timestamp));
    TargetTable { name: "issues".to_owned(), columns, key_columns: 3, deleted_at: None, synced_at: 44 }
}

/// 2 kB.
fn row(table: &TargetTable, code: i64, word: &str) -> Vec<Cell> {
    let cells = table.columns.iter().enumerate().map(|(at, column)| match (at, column.kind) {
        (0, _) => Cell::Text("acme".into()),
        (1, _) => Cell::Text("mobile-app".into()),
        (2, _) => Cell::Integer(code),
        (5, _) => Cell::Text(format!("{word} {code} ").repeat(60).into()),
        (_, Kind::Integer) => Cell::Integer(code * 7),
        (_, Kind::Boolean) => Cell::Boolean(code % 2 == 0),
        (_, Kind::Timestamp) => Cell::Timestamp(NOW + code),
        (_, Kind::Json) => {
            let avatar = format!("https://example.com/{code}");
            Cell::Json(format!(r#"{{"Id": {code}, "Name": "{word}", "Avatar": "{avatar}"}}"#).into())
        }
        _ => Cell::Text(format!("{word} {code} {at}").into()),
    });
    cells.collect()
}

/// Seconds of CPU that a process of this machine has used.
fn cpu(pid: &str) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    // In user mode and in the system, in hundredths.
    fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
}

#[tokio::test]
#[ignore = "measures, asserts nothing"]
async fn speed() {
    let cluster =
        test_postgres::Cluster::start(&[("shared_buffers", "256MB"), ("max_wal_size", "4GB")]).await;
    let database = cluster.database().await;
    let place =
        PostgresConfig { url: database.url().as_str().into(), schema: "s".to_owned() }.validate().unwrap();
    let plan = Plan { task: "a".to_owned(), tables: vec![table()] };
    let table = &plan.tables[0];
    for size in [1, 5, 20, 50, 100, 500, 2_000] {
        let total: i64 = if size < 20 { 1_000 } else { 20_000 };
        for (way, new) in [("merged", false), ("copied", true)] {
            let mut target = PostgresTarget::new(place.clone());
            target.open(&plan).await.unwrap();
            target.prepare(&plan, Some(RebuildReason::Asked), &at(0)).await.unwrap();
            let mut other = database.connect().await;
            let backend = "SELECT pid FROM pg_stat_activity WHERE application_name = 'tributary'";
            let backend: i32 = sqlx::query_scalar(backend).fetch_one(&mut other).await.unwrap();
            let mut line = format!("{size:5} rows {way}:");
            for (word, fresh) in [("first", new), ("second", false)] {
                if new && word == "second" {
                    continue;
                }
                let batches: Vec<Batch> = (0..total)
                    .step_by(size)
                    .map(|from| {
                        let upserts = (from..from + i64::try_from(size).unwrap())
                            .map(|code| row(table, code, word))
                            .collect();
                        let table = TableBatch { upserts, deletes: vec![], now: NOW, new: fresh };
                        Batch { tables: vec![table], position: at(1) }
                    })
                    .collect();
                let before = (cpu("self"), cpu(&backend.to_string()));
                let began = Instant::now();
                for batch in &batches {
                    target.write(batch).await.unwrap();
                }
                let count = f64::from(i32::try_from(total).unwrap());
                let rows = count / began.elapsed().as_secs_f64();
                let per_row = |before: f64, now: f64| (now - before) / count * 1e6;
                line.push_str(&format!(
                    " {word} {rows:.0}/s (CPU µs/row: {:.0} here, {:.0} server)",
                    per_row(before.0, cpu("self")),
                    per_row(before.1, cpu(&backend.to_string()))
                ));
            }
            writeln!(std::io::stdout(), "{line}").unwrap();
            target.close().await;
            sqlx::raw_sql("TRUNCATE s.issues").execute(&mut other).await.unwrap();
        }
    }
}
