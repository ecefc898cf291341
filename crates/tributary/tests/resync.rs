//! `resync`: what was spoilt in a target is right again, and nobody at CODING is asked.
#![expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests fail loudly")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use coding_sim::{Operation, ProjectConfig, SimConfig};
use connectors::coding::tables::TABLES;
use engine::delivery::filter::Filter;
use engine::delivery::shape::{Deletes, Mode, Naming, Task};
use serde_json::{Value, json};

use crate::compare::assert_same;
use crate::place::{Place, TargetKind, on_each_target};
use crate::support::{Ended, Running, Stage, run, tributary, until};

on_each_target!(
    a_spoilt_target_is_right_again_in_document_mode,
    a_spoilt_target_is_right_again_in_flat_mode,
    one_table_is_rebuilt_and_the_others_are_left_alone,
    killed_in_the_middle_it_ends_right,
);

const QUICK: &str = "  polling: { interval: 1s, census_interval: 2s, look_back: 1h }\n";

fn task() -> Task {
    Task {
        name: "app".to_owned(),
        team: "demo".to_owned(),
        tables: TABLES.iter().filter(|table| !table.from_inbox).collect(),
        filter: Filter::default(),
        mode: Mode::Document,
        naming: Naming::SnakeCase,
        deletes: Deletes::Hard,
        listed_only: false,
        accept_deletes: false,
    }
}

async fn tributary_with(dir: &Path, command_name: &str, file: &Path, arguments: &[&str]) -> Ended {
    let mut command = tributary(dir);
    command.arg(command_name).arg(file).args(arguments);
    run(command).await
}

/// A stage whose pipeline has been read and delivered once.
async fn loaded(target: TargetKind, issues: u32, rest: &str) -> (Stage, PathBuf, Place) {
    let stage = Stage::new(issues).await;
    let place = Place::new(target, stage.dir.path()).await;
    let file = stage.pipeline_into(&place, "app", QUICK, rest);
    tributary_with(stage.dir.path(), "sync", &file, &["--once"]).await.expect(0);
    stage.sim.world().reset_counters();
    (stage, file, place)
}

/// Requests that the simulator has seen since they were counted.
fn requests(stage: &Stage) -> Value {
    json!(stage.sim.world().counters().requests)
}

/// A changed cell, a lost row and a stray one, in two tables.
async fn spoil(place: &Place) {
    for sql in [
        "UPDATE issues SET name = 'spoilt' WHERE code % 3 = 0",
        "DELETE FROM issues WHERE code % 5 = 0",
        "INSERT INTO issues (team_name, project_name, code, name) VALUES ('demo', 'app', 999999, 'stray')",
        "UPDATE iterations SET name = 'spoilt'",
        "INSERT INTO project_members (team_name, project_name, id) VALUES ('demo', 'app', 999999)",
    ] {
        place.execute(sql).await;
    }
}

async fn what_was_spoilt_is_right_again(target: TargetKind, rest: &str) {
    let (stage, file, place) = loaded(target, 70, rest).await;
    for table in ["issues", "iterations", "project_members"] {
        place.execute(&format!("CREATE TABLE copy_{table} AS SELECT * FROM {table}")).await;
    }
    spoil(&place).await;
    // Somebody else's rows in the same table, of another team, and of a project of ours that nobody reads.
    for (team, project) in [("other", "app"), ("demo", "elsewhere")] {
        let sql = format!(
            "INSERT INTO issues (team_name, project_name, code, name) VALUES ('{team}', '{project}', 1, 'theirs')"
        );
        place.execute(&sql).await;
    }
    let ended = tributary_with(stage.dir.path(), "resync", &file, &["--json"]).await.expect(0);
    let summary = ended.json();
    assert_eq!(summary["rebuilt"], json!(70 + 6 + 12), "{summary}");
    assert_eq!(summary["tables"]["Issues"]["inserted"], json!(14), "{summary}");
    assert_eq!(summary["tables"]["Issues"]["deleted"], json!(1), "{summary}");
    assert_eq!(summary["tables"]["ProjectMembers"]["deleted"], json!(1), "{summary}");
    assert_eq!(summary["requests"], json!({}), "{summary}");
    assert_eq!(requests(&stage), json!({}), "a rebuild asks nobody");
    assert_eq!(place.number("SELECT count(*) FROM issues WHERE name = 'theirs'").await, 2);
    place.execute("DELETE FROM issues WHERE name = 'theirs'").await;
    for table in ["issues", "iterations", "project_members"] {
        for one in [table.to_owned(), format!("copy_{table}")] {
            place.execute(&format!("UPDATE {one} SET _synced_at = NULL")).await;
        }
        let lacks = |one: &str, other: &str| {
            format!("SELECT count(*) FROM (SELECT * FROM {one} EXCEPT SELECT * FROM {other}) AS lacking")
        };
        let copy = format!("copy_{table}");
        assert_eq!(place.number(&lacks(table, &copy)).await, 0, "{table} is as it was");
        assert_eq!(place.number(&lacks(&copy, table)).await, 0, "{table} is all that it was");
    }
    // Where the target stands is known: a sync has nothing to write.
    let ended = tributary_with(stage.dir.path(), "sync", &file, &["--once", "--json"]).await.expect(0);
    assert_eq!(ended.json()["tables"]["Issues"]["inserted"], json!(0));
    assert!(!ended.stderr.contains("rebuilt"), "{ended:?}");
    stage.sim.stop().await;
}

async fn a_spoilt_target_is_right_again_in_document_mode(target: TargetKind) {
    what_was_spoilt_is_right_again(target, "").await;
}

async fn a_spoilt_target_is_right_again_in_flat_mode(target: TargetKind) {
    what_was_spoilt_is_right_again(target, "task: { mode: flat }\n").await;
}

async fn one_table_is_rebuilt_and_the_others_are_left_alone(target: TargetKind) {
    let (stage, file, place) = loaded(target, 40, "").await;
    spoil(&place).await;
    let sequence = "SELECT sequence FROM _tributary_tasks WHERE NOT rebuilding";
    let before = place.number(sequence).await;
    let ended =
        tributary_with(stage.dir.path(), "resync", &file, &["--table", "Issues", "--json"]).await.expect(0);
    assert_eq!(ended.json()["rebuilt"], json!(40), "{ended:?}");
    assert_eq!(requests(&stage), json!({}));
    assert_eq!(place.number("SELECT count(*) FROM issues WHERE name IN ('spoilt', 'stray')").await, 0);
    assert_eq!(place.number("SELECT count(*) FROM issues").await, 40);
    assert_eq!(place.number("SELECT count(*) FROM iterations WHERE name = 'spoilt'").await, 6);
    assert_eq!(place.number("SELECT count(*) FROM project_members").await, 13);
    assert_eq!(place.number(sequence).await, before, "the position stays");
    tributary_with(
        stage.dir.path(),
        "resync",
        &file,
        &["--table", "Iterations", "--table", "ProjectMembers"],
    )
    .await
    .expect(0);
    assert_same(&stage.sim.world(), &place, &task()).await;
    stage.sim.stop().await;
}

/// A new pipeline is filled from the mirror: without any request, or with those that a round takes anyway.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_pipeline_starts_from_the_mirror() {
    let (stage, file, _) = loaded(TargetKind::Sqlite, 50, "state: shared.state\n").await;
    tributary_with(stage.dir.path(), "sync", &file, &["--once"]).await.expect(0);
    let round = requests(&stage);
    let new = stage.pipeline("new", QUICK, "state: shared.state\n");
    stage.sim.world().reset_counters();
    tributary_with(stage.dir.path(), "sync", &new, &["--once"]).await.expect(0);
    assert_eq!(requests(&stage), round, "a new task costs what a round costs");
    assert_eq!(round.get("DescribeIssue"), None);

    let rebuilt = stage.pipeline("rebuilt", QUICK, "state: shared.state\n");
    stage.sim.world().reset_counters();
    tributary_with(stage.dir.path(), "resync", &rebuilt, &[]).await.expect(0);
    assert_eq!(requests(&stage), json!({}), "a rebuild asks nobody");
    for database in ["new.db", "rebuilt.db"] {
        assert_same(&stage.sim.world(), &Place::Sqlite(stage.path(database)), &task()).await;
    }
    stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_read_is_named_with_the_way_to_read_it() {
    let stage = Stage::new(10).await;
    let refused = async |file: &Path, why: &str| {
        let ended = tributary_with(stage.dir.path(), "resync", file, &[]).await.expect(1);
        assert!(ended.stderr.contains(why), "{ended:?}");
        assert!(ended.stderr.contains("--once` first"), "{ended:?}");
    };
    let state = "state: shared.state\n";
    let plain = stage.pipeline("plain", "", state);
    refused(&plain, "no journal yet").await;
    assert!(!stage.path("shared.state").exists(), "nothing is made");
    tributary_with(stage.dir.path(), "sync", &plain, &["--once"]).await.expect(0);

    let flat = stage.pipeline("flat", "", &format!("task: {{ mode: flat }}\n{state}"));
    refused(&flat, "custom fields").await;
    let types = stage.pipeline("types", "", &format!("task: {{ issue_types: [线上故障] }}\n{state}"));
    refused(&types, "issue types").await;
    let codes = stage.pipeline("codes", "", &format!("task: {{ iterations: [1, 999] }}\n{state}"));
    refused(&codes, "iteration 999").await;
    let other = stage.pipeline("other", "", state);
    let text = std::fs::read_to_string(&other).unwrap();
    std::fs::write(&other, text.replace("[app]", "[app, more]")).unwrap();
    refused(&other, "never read").await;
    std::fs::write(&other, text.replace("team: demo", "team: acme")).unwrap();
    for command_name in ["resync", "sync"] {
        let ended = tributary_with(stage.dir.path(), command_name, &other, &[]).await.expect(1);
        assert!(ended.stderr.contains("[STATE-TEAM]"), "{ended:?}");
    }
    // A table of another pipeline.
    let some = stage.pipeline("some", "", &format!("task: {{ tables: [Issues] }}\n{state}"));
    let ended = tributary_with(stage.dir.path(), "resync", &some, &["--table", "Iterations"]).await.expect(2);
    assert!(ended.stderr.contains("`Iterations`"), "{ended:?}");
    stage.sim.stop().await;
}

/// What a filter names is remembered once a sync has asked for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_filter_is_worked_out_from_memory() {
    let (stage, file, place) =
        loaded(TargetKind::Sqlite, 60, "task: { issue_types: [DEFECT, 线上故障], iterations: [1, 2] }\n")
            .await;
    let rows = place.number("SELECT count(*) FROM issues").await;
    assert!(rows > 0);
    place.execute("DELETE FROM issues WHERE code % 2 = 0").await;
    place
        .execute(
            "INSERT INTO issues (team_name, project_name, code, name) \
             SELECT 'demo', 'app', max(code) + 1000, 'stray' FROM issues",
        )
        .await;
    tributary_with(stage.dir.path(), "resync", &file, &[]).await.expect(0);
    assert_eq!(requests(&stage), json!({}));
    assert_eq!(place.number("SELECT count(*) FROM issues").await, rows);
    let ended = tributary_with(stage.dir.path(), "sync", &file, &["--once"]).await.expect(0);
    assert!(!ended.stderr.contains("is rebuilt"), "the filter is the same: {ended:?}");
    stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_running_sync_it_is_refused() {
    let (stage, file, _) = loaded(TargetKind::Sqlite, 5, "").await;
    let mut command = tributary(stage.dir.path());
    command.arg("sync").arg(&file);
    let running = Running::start(command);
    let state = stage.path("coding.state");
    until("the sync runs", async || store::state_dir::StateDir::is_running(&state).unwrap().then_some(()))
        .await;
    for arguments in [&[][..], &["--from-source"]] {
        let ended = tributary_with(stage.dir.path(), "resync", &file, arguments).await.expect(1);
        assert!(ended.stderr.contains("Stop the sync"), "{ended:?}");
    }
    running.signal("TERM");
    running.end().await.0.expect(0);
    stage.sim.stop().await;
}

/// Killed again and again in its middle, a rebuild of all or of one table ends right, by itself or by a sync.
async fn killed_in_the_middle_it_ends_right(target: TargetKind) {
    let stage = Stage::new(4_000).await;
    let place = Place::new(target, stage.dir.path()).await;
    let file = stage.pipeline_into(&place, "app", "  details: off\n", "");
    tributary_with(stage.dir.path(), "sync", &file, &["--once"]).await.expect(0);
    let listed = Task { listed_only: true, ..task() };
    for (round, arguments) in [&[][..], &["--table", "Issues"]].into_iter().cycle().take(4).enumerate() {
        place.execute("UPDATE issues SET name = 'spoilt'").await;
        place.execute("UPDATE issues SET _synced_at = NULL").await;
        let mut command = tributary(stage.dir.path());
        command.arg("resync").arg(&file).args(arguments);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let mut running = Running::start(command);
        // Some rows are written, most are not.
        let moved = "SELECT count(*) FROM issues WHERE _synced_at IS NOT NULL";
        until("it writes", async || {
            (place.number(moved).await > 0 || running.0.try_wait().unwrap().is_some()).then_some(())
        })
        .await;
        running.signal("KILL");
        drop(running);
        let half = place.number("SELECT count(*) FROM issues WHERE name = 'spoilt'").await;
        assert!(half > 0, "killed too late to show anything");
        // Then the sync brings it to its end.
        match round {
            0 | 1 => tributary_with(stage.dir.path(), "resync", &file, arguments).await.expect(0),
            _ => tributary_with(stage.dir.path(), "sync", &file, &["--once"]).await.expect(0),
        };
        assert_same(&stage.sim.world(), &place, &listed).await;
    }
    stage.sim.stop().await;
}

/// The state of a load that was killed: what there is is written, nothing is deleted, and it is said.
#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_load_deletes_nothing() {
    let stage = Stage::with(SimConfig {
        projects: vec![ProjectConfig::new("app", 1_200, 6, 12)],
        rate_limit: 0,
        latency: Duration::from_millis(20),
        ..SimConfig::default()
    })
    .await;
    let file = stage.pipeline("app", "  details: off\n", "");
    let place = Place::Sqlite(stage.path("app.db"));
    tributary_with(stage.dir.path(), "sync", &file, &["--once"]).await.expect(0);
    std::fs::remove_dir_all(stage.path("coding.state")).unwrap();
    stage.sim.world().change_faults(|faults| faults.max_page_size = 20);
    let mut command = tributary(stage.dir.path());
    command.arg("sync").arg(&file).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let running = Running::start(command);
    let journal = Place::Sqlite(stage.path("coding.state/journal.db"));
    until("something is in the mirror", async || {
        if !stage.path("coding.state/journal.db").exists() {
            return None;
        }
        (journal.number("SELECT count(*) FROM sqlite_schema WHERE name = 'mirror'").await > 0
            && journal.number("SELECT count(*) FROM mirror WHERE tab = 1").await > 0)
            .then_some(())
    })
    .await;
    running.signal("KILL");
    drop(running);
    stage.sim.world().change_faults(|faults| faults.max_page_size = 0);
    let read = journal.number("SELECT count(*) FROM mirror WHERE tab = 1").await;
    assert!(read < 1_200, "killed too late to show anything");
    stage.sim.world().apply(&[Operation::DeleteIssue { project: "app".to_owned(), code: 1_199 }]).unwrap();
    let ended = tributary_with(stage.dir.path(), "resync", &file, &[]).await.expect(0);
    assert!(ended.stderr.contains("nothing was deleted"), "{ended:?}");
    assert_eq!(place.number("SELECT count(*) FROM issues").await, 1_200);
    tributary_with(stage.dir.path(), "sync", &file, &["--once"]).await.expect(0);
    let listed = Task { listed_only: true, ..task() };
    assert_same(&stage.sim.world(), &place, &listed).await;
    stage.sim.stop().await;
}

/// Everything is asked for again, only what is different becomes a change, and an interruption costs nothing.
#[tokio::test(flavor = "multi_thread")]
async fn from_the_source_everything_is_read_again() {
    let (stage, file, place) = loaded(TargetKind::Sqlite, 80, "").await;
    spoil(&place).await;
    let ended =
        tributary_with(stage.dir.path(), "resync", &file, &["--from-source", "--json"]).await.expect(0);
    let summary = ended.json();
    assert_eq!(summary["requests"]["DescribeIssue"].as_u64().unwrap(), 80, "{summary}");
    assert_eq!(summary["tables"]["Issues"]["inserted"], json!(16), "{summary}");
    assert_same(&stage.sim.world(), &place, &task()).await;
    let journal = Place::Sqlite(stage.path("coding.state/journal.db"));
    assert_eq!(journal.number("SELECT count(*) FROM memory WHERE name = 'anew'").await, 0, "it is over");
    stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_reading_anew_goes_on() {
    let stage = Stage::with(SimConfig {
        projects: vec![ProjectConfig::new("app", 300, 6, 12)],
        rate_limit: 0,
        latency: Duration::from_millis(30),
        ..SimConfig::default()
    })
    .await;
    let file = stage.pipeline("app", QUICK, "");
    tributary_with(stage.dir.path(), "sync", &file, &["--once"]).await.expect(0);
    stage.sim.world().reset_counters();
    let asked = || stage.sim.world().counters().requests.get("DescribeIssue").copied().unwrap_or(0);
    for _ in 0..2 {
        let before = asked();
        let mut command = tributary(stage.dir.path());
        command.arg("resync").arg(&file).arg("--from-source");
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let running = Running::start(command);
        until("some details are read", async || (asked() > before + 60).then_some(())).await;
        running.signal("KILL");
        drop(running);
    }
    tributary_with(stage.dir.path(), "resync", &file, &["--from-source"]).await.expect(0);
    // What was under way when it was killed is asked for twice, and no more than that.
    let all = asked();
    assert!((300..500).contains(&all), "{all} look-ups for 300 rows");
    assert_same(&stage.sim.world(), &Place::Sqlite(stage.path("app.db")), &task()).await;
    stage.sim.stop().await;
}
