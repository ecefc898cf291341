//! `verify`: what differs is found and told, nothing else is, and `--repair` mends it.
#![expect(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "tests fail loudly")]

use std::path::{Path, PathBuf};
use std::time::Duration;

use coding_sim::{Operation, ProjectConfig, SimConfig};
use serde_json::{Value, json};

use crate::place::{Place, TargetKind, on_each_target};
use crate::support::{Ended, Running, Stage, run, tributary, until};

on_each_target!(
    what_somebody_spoilt_is_found_and_repaired_in_document_mode,
    what_somebody_spoilt_is_found_and_repaired_in_flat_mode,
    a_column_of_another_type_is_found_and_repaired,
    filters_and_soft_deletes_are_compared_as_they_are_delivered,
    a_moving_source_gives_no_false_report,
    what_is_not_delivered_yet_is_told_as_such,
    what_cannot_be_mended_is_refused_before_anything_is_touched,
    held_deletes_stay_held,
);

const QUICK: &str = "  polling: { interval: 1s, census_interval: 2s, look_back: 1h }\n";

async fn with(dir: &Path, command_name: &str, file: &Path, arguments: &[&str]) -> Ended {
    let mut command = tributary(dir);
    command.arg(command_name).arg(file).args(arguments);
    run(command).await
}

async fn verify(stage: &Stage, file: &Path, arguments: &[&str], code: i32) -> Ended {
    with(stage.dir.path(), "verify", file, arguments).await.expect(code)
}

/// A stage whose pipeline has been read and delivered once.
async fn loaded(target: TargetKind, issues: u32, rest: &str) -> (Stage, PathBuf, Place) {
    let stage = Stage::new(issues).await;
    let place = Place::new(target, stage.dir.path()).await;
    let file = stage.pipeline_into(&place, "app", QUICK, rest);
    with(stage.dir.path(), "sync", &file, &["--once"]).await.expect(0);
    (stage, file, place)
}

/// What is said of a table.
fn table<'r>(report: &'r Value, name: &str) -> &'r Value {
    report["tables"].as_array().unwrap().iter().find(|table| table["table"] == name).unwrap()
}

/// Missing rows, rows that are too many, and rows with other values.
fn counts(side: &Value) -> [u64; 3] {
    ["lacking", "extra", "changed"].map(|kind| side[kind].as_u64().unwrap())
}

fn difference(side: &Value, id: i64) -> &Value {
    let found = side["differences"].as_array().unwrap().iter().find(|difference| difference["id"] == id);
    found.unwrap_or_else(|| panic!("nothing about {id}: {side}"))
}

async fn found_and_repaired(target: TargetKind, rest: &str) {
    let (stage, file, place) = loaded(target, 70, rest).await;
    stage.sim.world().reset_counters();
    let report = verify(&stage, &file, &["--json"], 0).await.json();
    assert_eq!(report["equal"], json!(true), "{report}");
    let issues = table(&report, "Issues");
    assert_eq!((&issues["target"]["expected"], &issues["target"]["found"]), (&json!(70), &json!(70)));
    assert_eq!(issues["counted"], json!({ "source": 70, "mirror": 70 }));
    assert_eq!(report["notes"], json!([]));
    let asked = json!(stage.sim.world().counters().requests);
    assert_eq!(asked.get("DescribeIssue"), None, "{asked}");
    assert!(asked["DescribeIssueListWithPage"].as_u64().unwrap() <= 2, "{asked}");

    place.execute("UPDATE issues SET name = 'spoilt' WHERE code = 7").await;
    place.execute("DELETE FROM issues WHERE code IN (5, 11)").await;
    let stray = "INSERT INTO issues (team_name, project_name, code, name) VALUES ";
    place.execute(&format!("{stray} ('demo', 'app', 999999, 'stray')")).await;
    place
        .execute("UPDATE project_members SET name = NULL WHERE id IN (SELECT min(id) FROM project_members)")
        .await;
    // Other teams' and projects' rows are nobody's business here.
    place
        .execute(&format!("{stray} ('other', 'app', 1, 'theirs'), ('demo', 'elsewhere', 1, 'theirs')"))
        .await;

    let report = verify(&stage, &file, &["--json"], 3).await.json();
    assert_eq!(report["equal"], json!(false));
    let issues = &table(&report, "Issues")["target"];
    assert_eq!(counts(issues), [2, 1, 1], "{issues}");
    assert_eq!(difference(issues, 5)["kind"], "lacking");
    assert_eq!(difference(issues, 999_999)["kind"], "extra");
    let changed = &difference(issues, 7)["values"];
    assert_eq!(changed.as_array().unwrap().len(), 1, "{changed}");
    assert_eq!((&changed[0]["column"], &changed[0]["found"]), (&json!("name"), &json!("spoilt")));
    assert_eq!(counts(&table(&report, "ProjectMembers")["target"]), [0, 0, 1]);
    assert_eq!(counts(&table(&report, "Iterations")["target"]), [0, 0, 0]);
    let ended = verify(&stage, &file, &[], 3).await;
    for line in [
        "  11: missing\n",
        "  999999: should not be there\n",
        "  7: name is \"spoilt\" instead of",
        "--repair`",
    ] {
        assert!(ended.stdout.contains(line), "{line}: {ended:?}");
    }

    let report = verify(&stage, &file, &["--repair", "--json"], 0).await.json();
    assert_eq!((&report["equal"], &report["repaired"]), (&json!(true), &json!(5)), "{report}");
    assert_eq!(place.number("SELECT count(*) FROM issues WHERE name = 'theirs'").await, 2);
    assert_eq!(place.number("SELECT count(*) FROM issues WHERE name IN ('spoilt', 'stray')").await, 0);
    let ended = verify(&stage, &file, &["--repair"], 0).await;
    assert!(ended.stdout.ends_with("Equal.\n"), "{ended:?}");
    // Where the target stands is known: a sync has nothing to write.
    let ended = with(stage.dir.path(), "sync", &file, &["--once", "--json"]).await.expect(0);
    assert_eq!(ended.json()["tables"]["Issues"]["inserted"], json!(0));
    assert!(!ended.stderr.contains("rebuilt"), "{ended:?}");
    stage.sim.stop().await;
}

async fn what_somebody_spoilt_is_found_and_repaired_in_document_mode(target: TargetKind) {
    found_and_repaired(target, "").await;
}

async fn what_somebody_spoilt_is_found_and_repaired_in_flat_mode(target: TargetKind) {
    found_and_repaired(target, "task: { mode: flat }\n").await;
}

async fn a_column_of_another_type_is_found_and_repaired(target: TargetKind) {
    let (stage, file, place) = loaded(target, 20, "task: { mode: flat }\n").await;
    let custom = "SELECT count(*) FROM _tributary_fields WHERE table_name = 'issues'";
    assert!(place.number(custom).await > 0, "custom fields are among the columns");
    for sql in [
        "ALTER TABLE issues DROP COLUMN name",
        "ALTER TABLE issues ADD COLUMN name DOUBLE PRECISION",
        "ALTER TABLE iterations DROP COLUMN goal",
        "DELETE FROM issues WHERE code = 3",
    ] {
        place.execute(sql).await;
    }
    let report = verify(&stage, &file, &["--json"], 3).await.json();
    let (issues, iterations) = (table(&report, "Issues"), table(&report, "Iterations"));
    let point = issues["columns"][0].as_str().unwrap();
    assert!(point.contains("`name` is"), "{issues}");
    assert!(iterations["columns"][0].as_str().unwrap().contains("`goal`"), "{iterations}");
    // The other columns are compared all the same.
    assert_eq!(counts(&issues["target"]), [1, 0, 0], "{issues}");
    assert_eq!(counts(&iterations["target"]), [0, 0, 0]);
    verify(&stage, &file, &["--repair"], 0).await;
    assert_eq!(place.number("SELECT count(*) FROM issues WHERE name IS NOT NULL").await, 20);

    // What tributary did not make is left alone, and named.
    place.execute("ALTER TABLE issues ADD COLUMN own TEXT").await;
    let ended = verify(&stage, &file, &[], 3).await;
    assert!(ended.stdout.contains("`own`"), "{ended:?}");
    let ended = verify(&stage, &file, &["--repair"], 1).await;
    assert!(ended.stderr.contains("`own`"), "{ended:?}");
    place.execute("ALTER TABLE issues DROP COLUMN own").await;

    // A table that is gone comes back.
    place.execute("DROP TABLE project_members").await;
    let report = verify(&stage, &file, &["--json"], 3).await.json();
    assert_eq!(table(&report, "ProjectMembers")["columns"], json!(["it is not there"]));
    verify(&stage, &file, &["--repair"], 0).await;
    assert_eq!(place.number("SELECT count(*) FROM project_members").await, 12);
    stage.sim.stop().await;
}

async fn filters_and_soft_deletes_are_compared_as_they_are_delivered(target: TargetKind) {
    let rest = "task: { issue_types: [DEFECT], deletes: soft, naming: original }\n";
    let (stage, file, place) = loaded(target, 120, rest).await;
    let first = "SELECT min(\"Code\") FROM \"Issues\" WHERE _deleted_at IS NULL";
    let gone = place.number(first).await;
    let code = u32::try_from(gone).unwrap();
    stage.sim.world().apply(&[Operation::DeleteIssue { project: "app".to_owned(), code }]).unwrap();
    with(stage.dir.path(), "sync", &file, &["--once"]).await.expect(0);
    let alive = place.number("SELECT count(*) FROM \"Issues\" WHERE _deleted_at IS NULL").await;
    assert!(alive > 1 && alive < 119, "{alive}");
    let report = verify(&stage, &file, &["--json"], 0).await.json();
    let issues = table(&report, "Issues");
    assert_eq!((&issues["target"]["found"], &issues["counted"]["mirror"]), (&json!(alive), &json!(119)));

    let marked = place.number(first).await;
    place.execute(&format!("UPDATE \"Issues\" SET _deleted_at = NULL WHERE \"Code\" = {gone}")).await;
    place.execute(&format!("UPDATE \"Issues\" SET _deleted_at = _synced_at WHERE \"Code\" = {marked}")).await;
    let report = verify(&stage, &file, &["--json"], 3).await.json();
    let issues = &table(&report, "Issues")["target"];
    assert_eq!(counts(issues), [1, 1, 0], "{issues}");
    assert_eq!(difference(issues, gone)["kind"], "extra");
    assert_eq!(difference(issues, marked)["kind"], "lacking");
    verify(&stage, &file, &["--repair"], 0).await;
    assert_eq!(place.number(first).await, marked);
    assert_eq!(place.number("SELECT count(*) FROM \"Issues\" WHERE _deleted_at IS NOT NULL").await, 1);
    stage.sim.stop().await;
}

/// While rows change all the time, what is right is never called wrong, and what is wrong is found.
async fn a_moving_source_gives_no_false_report(target: TargetKind) {
    let stage = Stage::with(SimConfig {
        projects: vec![ProjectConfig::new("app", 300, 6, 12)],
        rate_limit: 0,
        mutations_per_second: 30.0,
        ..SimConfig::default()
    })
    .await;
    let place = Place::new(target, stage.dir.path()).await;
    let file = stage.pipeline_into(&place, "app", QUICK, "");
    let mut command = tributary(stage.dir.path());
    command.arg("sync").arg(&file).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let running = Running::start(command);
    until("the first rows are there", async || {
        let ended = with(stage.dir.path(), "verify", &file, &["--json"]).await;
        ended.code.filter(|code| *code == 0)
    })
    .await;
    let head = async || {
        let ended = with(stage.dir.path(), "status", &file, &["--json"]).await.expect(0);
        ended.json()["head"].as_i64().unwrap()
    };
    let before = head().await;
    for _ in 0..6 {
        let report = verify(&stage, &file, &["--json"], 0).await.json();
        assert_eq!((&report["running"], &report["equal"]), (&json!(true), &json!(true)), "{report}");
    }
    until("rows have changed", async || (head().await > before + 20).then_some(())).await;
    let ended = verify(&stage, &file, &["--repair"], 1).await;
    assert!(ended.stderr.contains("Stop the sync") && ended.stderr.contains("[STATE-IN-USE]"), "{ended:?}");

    // An extra row: nothing that moves will ever write it.
    let stray =
        "INSERT INTO iterations (team_name, project_name, code, name) VALUES ('demo', 'app', 999999, 'x')";
    place.execute(stray).await;
    let report = verify(&stage, &file, &["--json"], 3).await.json();
    assert_eq!(counts(&table(&report, "Iterations")["target"]), [0, 1, 0], "{report}");
    assert_eq!(counts(&table(&report, "Issues")["target"]), [0, 0, 0], "{report}");
    running.signal("TERM");
    until("the sync has ended", async || {
        let state = stage.path("coding.state");
        (!store::state_dir::StateDir::is_running(&state).unwrap()).then_some(())
    })
    .await;
    drop(running);
    stage.sim.world().set_mutator(0.0);
    with(stage.dir.path(), "sync", &file, &["--once"]).await.expect(0);
    let report = verify(&stage, &file, &["--repair", "--json"], 0).await.json();
    assert_eq!(report["repaired"], json!(1), "{report}");
    verify(&stage, &file, &["--deep", "--sample", "50"], 0).await;
    stage.sim.stop().await;
}

/// Two tasks share a state; what only one has delivered is no damage of the other.
async fn what_is_not_delivered_yet_is_told_as_such(target: TargetKind) {
    let state = "state: shared.state\n";
    let (stage, file, place) = loaded(target, 40, state).await;
    let other = stage.pipeline("other", QUICK, state);
    with(stage.dir.path(), "sync", &other, &["--once"]).await.expect(0);
    let world = stage.sim.world();
    world.apply(&[Operation::DeleteIssue { project: "app".to_owned(), code: 9 }]).unwrap();
    world
        .apply(&[Operation::RenameIteration { project: "app".to_owned(), code: 1, name: "later".to_owned() }])
        .unwrap();
    with(stage.dir.path(), "sync", &other, &["--once"]).await.expect(0);
    verify(&stage, &other, &[], 0).await;
    place.execute("DELETE FROM issues WHERE code = 30").await;
    let report = verify(&stage, &file, &["--json"], 3).await.json();
    let issues = &table(&report, "Issues")["target"];
    assert_eq!(difference(issues, 9)["kind"], "undelivered", "{issues}");
    assert!(issues["undelivered"].as_u64().unwrap() >= 1, "{issues}");
    assert_eq!(difference(&table(&report, "Iterations")["target"], 1)["kind"], "undelivered");
    assert_eq!(difference(issues, 30)["kind"], "lacking");
    verify(&stage, &file, &["--repair"], 0).await;
    assert_eq!(place.number("SELECT count(*) FROM issues").await, 39);
    stage.sim.stop().await;
}

async fn what_cannot_be_mended_is_refused_before_anything_is_touched(target: TargetKind) {
    let (stage, file, place) = loaded(target, 20, "").await;
    let names = "SELECT count(*) FROM project_members WHERE name IS NOT NULL";
    let before = place.number(names).await;
    for sql in [
        "ALTER TABLE project_members RENAME COLUMN name TO kept",
        "ALTER TABLE project_members ADD COLUMN name DOUBLE PRECISION",
        "UPDATE project_members SET name = 1.5",
        "ALTER TABLE issues ADD COLUMN mine TEXT",
    ] {
        place.execute(sql).await;
    }
    let ended = verify(&stage, &file, &["--repair"], 1).await;
    assert!(ended.stderr.contains("`mine`") || ended.stderr.contains("`kept`"), "{ended:?}");
    assert_eq!(place.number(names).await, before, "{ended:?}");
    stage.sim.stop().await;
}

/// A fresh reading sees less than the one before: nobody has accepted that yet.
async fn held_deletes_stay_held(target: TargetKind) {
    let (stage, file, place) = loaded(target, 90, "").await;
    let delete = |code: u32| Operation::DeleteIssue { project: "app".to_owned(), code };
    stage.sim.world().apply(&(1..=40).map(delete).collect::<Vec<_>>()).unwrap();
    std::fs::remove_dir_all(stage.path("coding.state")).unwrap();
    let dir = stage.dir.path();
    with(dir, "sync", &file, &["--once"]).await.expect(3);
    for arguments in [&["--repair"][..], &[]] {
        let ended = verify(&stage, &file, arguments, 3).await;
        assert!(ended.stdout.contains("40 too many in the target"), "{ended:?}");
        assert!(ended.stdout.contains("--accept-deletes"), "{ended:?}");
        assert_eq!(place.number("SELECT count(*) FROM issues").await, 90);
    }
    with(dir, "sync", &file, &["--once", "--accept-deletes"]).await.expect(0);
    assert_eq!(place.number("SELECT count(*) FROM issues").await, 50);
    verify(&stage, &file, &[], 0).await;
    stage.sim.stop().await;
}

/// SQLite takes any value into any column: such a row is none that a page of ids would show.
#[tokio::test(flavor = "multi_thread")]
async fn rows_whose_key_is_no_number_are_told() {
    let (stage, file, place) = loaded(TargetKind::Sqlite, 20, "").await;
    place.execute("UPDATE issues SET code = 'abc' WHERE code = 13").await;
    for arguments in [&["--repair"][..], &[]] {
        let ended = verify(&stage, &file, arguments, 3).await;
        assert!(ended.stdout.contains("1 of its rows have no integer as"), "{ended:?}");
    }
    place.execute("DELETE FROM issues WHERE typeof(code) <> 'integer'").await;
    verify(&stage, &file, &[], 0).await;
    place.execute("DROP TABLE iterations").await;
    let ended = verify(&stage, &file, &[], 3).await;
    assert!(ended.stdout.contains("not compared"), "{ended:?}");
    stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_is_compared_when_asked_for() {
    let (stage, file, place) = loaded(TargetKind::Sqlite, 60, "").await;
    let ended = verify(&stage, &file, &["--deep", "--sample", "20", "--json"], 0).await;
    let report = ended.json();
    let issues = table(&report, "Issues");
    assert_eq!((&issues["source"]["expected"], &issues["source"]["found"]), (&json!(60), &json!(60)));
    let sampled: u64 =
        report["tables"].as_array().unwrap().iter().filter_map(|t| t["sample"]["expected"].as_u64()).sum();
    assert_eq!(sampled, 20, "{report}");

    let world = stage.sim.world();
    world.apply(&[Operation::DeleteIssue { project: "app".to_owned(), code: 9 }]).unwrap();
    world
        .apply(&[Operation::RenameIteration { project: "app".to_owned(), code: 1, name: "later".to_owned() }])
        .unwrap();
    world
        .apply(&[Operation::CreateIteration {
            project: "app".to_owned(),
            name: "new".to_owned(),
            goal: String::new(),
        }])
        .unwrap();
    // The target is as the mirror; how many rows there are says that something is amiss.
    let ended = verify(&stage, &file, &[], 3).await;
    assert!(ended.stdout.contains("CODING says 59 rows, the mirror has 60"), "{ended:?}");
    let report = verify(&stage, &file, &["--deep", "--json"], 3).await.json();
    let (issues, iterations) = (&table(&report, "Issues")["source"], &table(&report, "Iterations")["source"]);
    assert_eq!(difference(issues, 9)["kind"], "extra", "{issues}");
    assert_eq!(counts(iterations), [1, 0, 1], "{iterations}");
    let renamed = &difference(iterations, 1)["values"][0];
    assert_eq!((&renamed["column"], &renamed["expected"]), (&json!("Name"), &json!("later")));
    verify(&stage, &file, &["--deep", "--repair"], 0).await;
    assert_eq!(place.number("SELECT count(*) FROM issues").await, 59);
    assert_eq!(place.number("SELECT count(*) FROM iterations WHERE name IN ('later', 'new')").await, 2);
    verify(&stage, &file, &["--deep", "--sample", "1000"], 0).await;
    stage.sim.stop().await;
}

/// What only a look-up shows changes without the row's time of update: the copy of a person's name.
#[tokio::test(flavor = "multi_thread")]
async fn a_sample_finds_what_no_listing_shows() {
    let (stage, file, _) = loaded(TargetKind::Sqlite, 30, "").await;
    let world = stage.sim.world();
    let renamed = |user: u32| Operation::RenameUser { user, name: format!("renamed {user}") };
    world.apply(&world.users().into_iter().map(renamed).collect::<Vec<_>>()).unwrap();
    let report = verify(&stage, &file, &["--sample", "100", "--json"], 3).await.json();
    let sample = &table(&report, "Issues")["sample"];
    assert_eq!((&sample["expected"], counts(sample)), (&json!(30), [0, 0, 30]), "{sample}");
    let columns = difference(sample, 4)["values"].as_array().unwrap();
    assert!(columns.iter().any(|value| value["column"] == "Creator"), "{sample}");
    verify(&stage, &file, &["--sample", "100", "--repair"], 0).await;
    verify(&stage, &file, &["--sample", "100", "--deep"], 0).await;
    stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_compared_is_said_with_what_to_do() {
    let stage = Stage::new(10).await;
    let file = stage.pipeline("app", "", "");
    let ended = verify(&stage, &file, &[], 1).await;
    assert!(ended.stderr.contains("no journal yet") && ended.stderr.contains("--once` first"), "{ended:?}");
    assert!(!stage.path("coding.state").exists() && !stage.path("app.db").exists(), "nothing is made");
    with(stage.dir.path(), "sync", &file, &["--once"]).await.expect(0);
    // A new target on an old state.
    let new = stage.pipeline("new", "", "state: coding.state\n");
    let ended = verify(&stage, &new, &[], 1).await;
    assert!(ended.stderr.contains("[SQLITE-MISSING]"), "{ended:?}");
    assert!(!stage.path("new.db").exists(), "nothing is made");
    // Without the source the target is compared all the same.
    let Stage { sim, dir } = stage;
    sim.stop().await;
    let ended = with(dir.path(), "verify", &file, &[]).await.expect(0);
    assert!(ended.stdout.contains("note: CODING was not asked"), "{ended:?}");
    with(dir.path(), "verify", &file, &["--deep"]).await.expect(1);
}

/// Far more rows than are read at once, and memory that does not grow with them.
#[tokio::test(flavor = "multi_thread")]
async fn many_rows_are_compared_page_by_page() {
    let stage = Stage::with(SimConfig {
        projects: vec![ProjectConfig::new("app", 5_000, 6, 12)],
        rate_limit: 0,
        latency: Duration::ZERO,
        ..SimConfig::default()
    })
    .await;
    let file = stage.pipeline("app", "  details: off\n", "");
    with(stage.dir.path(), "sync", &file, &["--once"]).await.expect(0);
    let place = Place::Sqlite(stage.path("app.db"));
    place.execute("DELETE FROM issues WHERE code % 1000 = 0").await;
    place.execute("UPDATE issues SET name = 'spoilt' WHERE code % 2 = 1").await;
    let report = verify(&stage, &file, &["--json"], 3).await.json();
    let issues = &table(&report, "Issues")["target"];
    assert_eq!(counts(issues), [5, 0, 2_500]);
    assert_eq!(issues["differences"].as_array().unwrap().len(), 20);
    verify(&stage, &file, &["--repair"], 0).await;
    verify(&stage, &file, &["--deep"], 0).await;
    stage.sim.stop().await;
}
