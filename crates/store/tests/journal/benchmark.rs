//! How fast the journal is; run by hand: `cargo test --release -p store -- --ignored --nocapture how_fast`.

use std::io::Write;
use std::time::Instant;

use engine::journal::{Detail, Entry, Journal, Limit};
use engine::position::Sequence;
use engine::row::Digest;
use serde_json::json;
use store::journal::SqliteJournal;

use super::{key, logged, put, row};

fn issue(id: i64, sequence: i64) -> Entry {
    let mut entry = put(id, sequence);
    let words =
        |n: i64| (0..n).map(|i| format!("word{} ", (id * 7919 + i * 104_729) % 5_000)).collect::<String>();
    entry.row.row = Some(row(json!({
        "Code": id, "Name": words(12), "Description": words(120), "Type": "REQUIREMENT", "Priority": "1",
        "CreatedAt": 1_700_000_000_000_i64 + id * 1000, "UpdatedAt": 1_700_000_000_000_i64 + id * 1000,
        "Assignee": {"Id": id % 100, "Name": "somebody", "Avatar": "/static/a.png", "Email": "", "Phone": ""},
        "Iteration": {"Code": id % 30, "Name": "Sprint", "Id": id % 30}, "Labels": [{"Id": 1, "Name": "x"}],
        "IssueStatusName": "open", "IssueStatusId": 5, "ParentType": "", "StoryPoint": "1.0", "Files": [],
    })));
    entry.row.version.listed_digest = Some(Digest([1; 16]));
    entry.row.version.detail = Detail::Missing;
    entry
}

fn per_second(rows: i64, since: Instant) -> f64 {
    f64::from(i32::try_from(rows).unwrap()) / since.elapsed().as_secs_f64()
}

#[tokio::test]
#[ignore = "a measurement, not a test"]
async fn how_fast() {
    const ROWS: i64 = 100_000;
    const BATCH: i64 = 500;
    let dir = tempfile::tempdir_in(".").unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    let mut report = String::new();
    let size = serde_json::to_vec(&issue(1, 1).row.row).unwrap().len();
    let (mut spent, mut sequence) = (std::time::Duration::ZERO, 0);
    for batch in 0..ROWS / BATCH {
        let entries: Vec<Entry> = (1..=BATCH).map(|n| issue(batch * BATCH + n, sequence + n)).collect();
        sequence += BATCH;
        let start = Instant::now();
        journal.commit(&entries).await.unwrap();
        spent += start.elapsed();
    }
    report += &format!("rows of {size} bytes: {:.0} inserts/s\n", 100_000.0 / spent.as_secs_f64());

    let start = Instant::now();
    for batch in 0..ROWS / BATCH {
        let keys: Vec<_> = (1..=BATCH).map(|n| key((batch * BATCH + n) * 7919 % 100_000 + 1)).collect();
        assert_eq!(journal.known(&keys).await.unwrap().len(), 500);
    }
    report += &format!("known: {:.0} keys/s\n", per_second(ROWS, start));

    let start = Instant::now();
    let mut after = Sequence(0);
    loop {
        let rows = journal.mirror_after(after, Limit { rows: 500, bytes: 4 << 20 }).await.unwrap();
        let Some(last) = rows.last() else { break };
        after = last.version.sequence;
    }
    report += &format!("mirror_after: {:.0} rows/s\n", per_second(ROWS, start));

    let mut spent = std::time::Duration::ZERO;
    for batch in 0..20 {
        let entries: Vec<Entry> = (1..=BATCH)
            .map(|n| {
                let entry = issue((batch * BATCH + n) * 7919 % 100_000 + 1, sequence + n);
                let before = entry.row.row.clone();
                logged(entry, before)
            })
            .collect();
        sequence += BATCH;
        let start = Instant::now();
        journal.commit(&entries).await.unwrap();
        spent += start.elapsed();
    }
    report += &format!("{:.0} logged updates/s\n", 10_000.0 / spent.as_secs_f64());

    let start = Instant::now();
    let log = journal.log_after(Sequence(ROWS), Limit { rows: 10_000, bytes: usize::MAX }).await.unwrap();
    report += &format!("log_after: {:.0} changes/s\n", per_second(i64::try_from(log.len()).unwrap(), start));

    let start = Instant::now();
    for n in 0..200_i64 {
        sequence += 1;
        journal.commit(&[logged(issue(n * 7919 % 100_000 + 1, sequence), None)]).await.unwrap();
    }
    report += &format!("single commits: {:.0}/s\n", per_second(200, start));
    journal.close().await.unwrap();
    let bytes = std::fs::metadata(dir.path().join(store::journal::FILE)).unwrap().len();
    report += &format!("file: {} bytes a row\n", bytes / 100_000);
    std::io::stderr().write_all(report.as_bytes()).unwrap();
}
