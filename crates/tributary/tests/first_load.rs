//! The first reading of a large table: how far it is can be seen, and a kill in the middle of it costs little.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Duration;

use coding_sim::{ProjectConfig, SimConfig};
use engine::delivery::shape::Task;
use engine::journal::Journal;
use engine::status::TableStatus;
use serde_json::{Value, json};
use store::journal::SqliteJournal;
use store::state_dir::StateDir;

use crate::compare::assert_same;
use crate::hooks::task;
use crate::place::Place;
use crate::support::{Running, Stage, run, tributary, until};

const LIST: &str = "DescribeIssueListWithPage";
/// Rows on a page of it.
const PAGE: u64 = 500;
const ISSUES: u32 = 12_000;
/// A resumed load reads so many rows once more: others may have moved forward meanwhile.
const OVERLAP: u64 = 1_000;
/// Requests of a poll, and for pages that are asked for ahead although there are none.
const BESIDE: u64 = 6;

/// What the load of the issues noted last.
async fn noted(stage: &Stage) -> Option<Value> {
    // There may be no journal yet, or one without its tables.
    let journal = SqliteJournal::open_read_only(&stage.path("coding.state")).await.ok()?;
    let notes = journal.recall("load/Issues/").await.unwrap();
    journal.close().await.unwrap();
    notes.into_iter().next().map(|(_, note)| note)
}

/// Killed after its first note, a load goes on from there: what was listed before is not listed again.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_load_that_is_killed_goes_on_from_its_last_note() {
    let stage = Stage::with(SimConfig {
        projects: vec![ProjectConfig::new("app", ISSUES, 6, 12)],
        description_bytes: 40,
        rate_limit: 0,
        // After the first note the load still takes seconds.
        latency: Duration::from_millis(500),
        ..SimConfig::default()
    })
    .await;
    let file = stage.pipeline("app", "  details: off\n", "");
    let sync = || {
        let mut command = tributary(stage.dir.path());
        command.arg("sync").arg(&file).args(["--once", "--json"]);
        command
    };
    let mut killed = Running::start(sync());
    let note = until("the load notes how far it is", async || noted(&stage).await).await;
    killed.signal("KILL");
    killed.0.wait().unwrap();
    let note = noted(&stage).await.unwrap_or(note);
    let listed = note["rows"].as_u64().unwrap();
    assert!(note["done"] == json!(false) && listed > 2 * OVERLAP, "killed in the middle of it: {note}");
    // As many pages as a load has: to begin anew would need all of them once more.
    let whole = u64::from(ISSUES).div_ceil(PAGE);
    let before = stage.sim.world().counters().of(LIST);
    assert!(before < whole, "{before} requests before the kill");

    let summary = run(sync()).await.expect(0).json();
    let issues = &summary["tables"]["Issues"];
    assert_eq!(issues["rows"], json!(ISSUES), "{summary}");
    // The rest of the load, and the first census.
    let again = summary["requests"][LIST].as_u64().unwrap();
    let left = (u64::from(ISSUES) - listed + OVERLAP).div_ceil(PAGE);
    assert!(left + BESIDE < whole, "nothing is to be seen by {left} of {whole} pages");
    assert!(
        again <= left + whole + BESIDE,
        "{again} requests, and {left} pages are left after {listed} rows"
    );
    assert_same(
        &stage.sim.world(),
        &Place::Sqlite(stage.path("app.db")),
        &Task { listed_only: true, ..task() },
    )
    .await;
    stage.sim.stop().await;
}

/// What people see of a slow load: rows that go up to the truth, out of the true total, and when it will be done.
#[tokio::test(flavor = "multi_thread")]
async fn the_progress_of_a_first_load_goes_up_to_the_truth() {
    const ROWS: u64 = 2_400;
    let stage = Stage::with(SimConfig {
        projects: vec![ProjectConfig::new("app", u32::try_from(ROWS).unwrap(), 6, 12)],
        description_bytes: 40,
        rate_limit: 0,
        // Slow enough for a line with the time that is left.
        max_page_size: 50,
        latency: Duration::from_millis(900),
        ..SimConfig::default()
    })
    .await;
    let file = stage.pipeline("app", "  details: off\n", "");
    let mut command = tributary(stage.dir.path());
    command.arg("sync").arg(&file).args(["--log", "json"]);
    let running = Running::start(command);
    let state = stage.path("coding.state");
    let seen = || {
        let status = StateDir::read_status(&state).ok().flatten()?;
        status.projects.get("app")?.get("Issues").cloned()
    };
    let mut shown: Vec<TableStatus> = Vec::new();
    let mut said = None;
    until("the load is complete", async || {
        let now = seen()?;
        if shown.last() != Some(&now) {
            shown.push(now.clone());
        }
        if now.listed > 0 && !now.loaded && said.is_none() {
            let mut command = tributary(stage.dir.path());
            command.arg("status").arg(&file).arg("--json");
            said = Some((now.clone(), run(command).await.expect(0).json()));
        }
        now.loaded.then_some(())
    })
    .await;
    let middle: Vec<_> = shown.iter().filter(|now| now.listed > 0 && !now.loaded).collect();
    assert!(middle.len() > 3, "{shown:#?}");
    assert!(middle.iter().all(|now| now.total == Some(ROWS) && now.rows <= ROWS), "{shown:#?}");
    assert!(shown.is_sorted_by_key(|now| now.listed), "{shown:#?}");
    let last = shown.last().unwrap();
    assert_eq!((last.listed, last.total, last.rows), (ROWS, Some(ROWS), ROWS), "{shown:#?}");
    let (then, said) = said.unwrap();
    let issues = &said["status"]["projects"]["app"]["Issues"];
    assert_eq!(issues["total"], json!(ROWS), "{said}");
    assert!(issues["listed"].as_u64().unwrap() >= then.listed, "{said}");

    running.signal("TERM");
    let (ended, _) = running.end().await;
    let lines: Vec<Value> =
        ended.expect(0).stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let find = |start: &str, end: &str| {
        let said = |line: &&Value| line["message"].as_str().unwrap_or_default().to_owned();
        lines.iter().find(|line| said(line).starts_with(start) && said(line).ends_with(end)).unwrap()
    };
    assert_eq!(find("loading app/Issues: ", " left")["total"], json!(ROWS));
    assert_eq!(find("loaded app/Issues: ", "")["rows"], json!(ROWS));
    stage.sim.stop().await;
}
