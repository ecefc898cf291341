//! `sync`: what it writes, what it reports, how it stops.

use std::path::Path;
use std::time::Duration;

use coding_sim::{MutationKind, Operation, ProjectConfig, Shape, SimConfig, Table};
use serde_json::{Value, json};

use crate::place::Place;
use crate::support::{Running, Stage, rotating_oauth, run, tributary, until};

const QUICK: &str = "  polling: { interval: 1s, census_interval: 2s, look_back: 1h }\n";

#[tokio::test(flavor = "multi_thread")]
async fn once_brings_the_target_up_to_date_and_says_what_it_did() {
    let stage = Stage::new(60).await;
    let file = stage.pipeline("app", "", "");
    let sync = || {
        let mut command = tributary(stage.dir.path());
        command.arg("sync").arg(&file).args(["--once", "--json"]);
        command
    };
    let summary = run(sync()).await.expect(0).json();
    let keys: Vec<&str> = summary.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["duration_ms", "peak_rss_bytes", "requests", "tables"]);
    let issues = json!({"rows": 60, "inserted": 60, "updated": 0, "deleted": 0, "detailed": 60, "held": 0, "put_aside": 0});
    assert_eq!(summary["tables"]["Issues"], issues);
    assert!(summary["requests"]["DescribeIssue"].as_u64().unwrap() >= 60, "{summary}");
    assert!(summary["duration_ms"].as_u64().unwrap() > 0);
    assert!(summary["peak_rss_bytes"].is_null() != cfg!(target_os = "linux"));
    assert_eq!(stage.count("app.db", "issues").await, 60);
    assert_eq!(stage.count("app.db", "project_members").await, 12);

    // Nothing changed, so nothing is written; without --json people get a table.
    let again = run(sync()).await.expect(0).json();
    let issues = json!({"rows": 60, "inserted": 0, "updated": 0, "deleted": 0, "detailed": 0, "held": 0, "put_aside": 0});
    assert_eq!(again["tables"]["Issues"], issues);
    assert_eq!(again["requests"].get("DescribeIssue"), None, "{again}");
    let mut command = tributary(stage.dir.path());
    command.arg("sync").arg(&file).arg("--once");
    let ended = run(command).await.expect(0);
    assert!(ended.stdout.starts_with("table "), "{ended:?}");
    stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_with_one_state_share_one_reading() {
    let stage = Stage::new(40).await;
    let all = stage.pipeline("all", "", "");
    let some =
        stage.pipeline("some", "", "task: { tables: [Issues], issue_types: [DEFECT], naming: original }\n");
    let mut command = tributary(stage.dir.path());
    command.arg("sync").args([&all, &some]).args(["--once", "--json"]);
    let summary = run(command).await.expect(0).json();
    assert_eq!(summary["requests"]["DescribeIssue"], json!(40), "{summary}");
    assert_eq!(stage.count("all.db", "issues").await, 40);
    let defects = stage.count("all.db", "issues WHERE type = 'DEFECT'").await;
    assert!(defects > 0);
    assert_eq!(stage.count("some.db", "Issues").await, defects);
    assert_eq!(summary["tables"]["Issues"]["rows"], json!(40 + defects));
    stage.sim.stop().await;
}

/// Also where a filter names a type that only the projects know.
#[tokio::test(flavor = "multi_thread")]
async fn one_refused_project_is_named_when_the_others_are_done() {
    let projects = vec![ProjectConfig::new("app", 30, 3, 5), ProjectConfig::new("secret", 20, 3, 5)];
    let stage = Stage::with(SimConfig { projects, rate_limit: 0, ..SimConfig::default() }).await;
    stage.sim.world().change_faults(|faults| {
        faults.refused_projects.insert("secret".to_owned(), "UnauthorizedOperation".to_owned());
    });
    let all = stage.pipeline("all", "", "");
    let some = stage.pipeline("some", "", "task: { tables: [Issues], issue_types: [缺陷] }\n");
    let mut command = tributary(stage.dir.path());
    command.arg("sync").args([&all, &some]).args(["--once", "--json"]);
    let ended = run(command).await.expect(1);
    assert!(ended.stderr.contains("`secret`") && ended.stderr.contains("[CODING-PERMISSION]"), "{ended:?}");
    assert_eq!(stage.count("all.db", "issues").await, 30);
    // Of the types whose own type is DEFECT, the one of this name.
    let defects = stage.count("all.db", "issues WHERE issue_type_id = 31004").await;
    assert!(defects > 0);
    assert_eq!(stage.count("some.db", "issues").await, defects);
    assert_eq!(ended.json()["tables"]["Issues"]["rows"], json!(30 + defects), "the summary is there");
    stage.sim.stop().await;
}

/// With a short retention the log and the tombstones go while the sync runs, and no row with them.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_older_than_the_retention_is_forgotten_meanwhile() {
    let stage = Stage::new(30).await;
    let file = stage.pipeline("app", QUICK, "retention: 1s\n");
    let mut command = tributary(stage.dir.path());
    command.arg("sync").arg(&file);
    let running = Running::start(command);
    let journal = Place::Sqlite(stage.path("coding.state").join(store::journal::FILE));
    let pruned = "SELECT count(*) FROM bounds WHERE log_floor > 0 AND horizon > 0";
    until("the rows are there", async || {
        let there = stage.path("app.db").exists() && stage.path("coding.state/status.json").exists();
        (there
            && stage.count("app.db", "sqlite_schema WHERE name = 'issues'").await > 0
            && stage.count("app.db", "issues").await == 30)
            .then_some(())
    })
    .await;
    let _ = stage.sim.world().mutate(20, &[MutationKind::EditIssue]);
    let _ = stage.sim.world().mutate(5, &[MutationKind::DeleteIssue]);
    until("all changes and tombstones have come and gone", async || {
        let left = journal
            .number("SELECT (SELECT count(*) FROM log) + (SELECT count(*) FROM mirror WHERE alive = 0)");
        (stage.count("app.db", "issues").await == 25 && left.await == 0 && journal.number(pruned).await == 1)
            .then_some(())
    })
    .await;
    running.signal("TERM");
    running.end().await.0.expect(0);
    let mut command = tributary(stage.dir.path());
    command.arg("verify").arg(&file).arg("--deep");
    run(command).await.expect(0);
    stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn held_deletes_are_said_by_the_exit_code_until_they_are_accepted() {
    let stage = Stage::new(10).await;
    let file = stage.pipeline("app", "", "");
    let sync = |more: &[&str]| {
        let mut command = tributary(stage.dir.path());
        command.arg("sync").arg(&file).args(["--once", "--json"]).args(more);
        command
    };
    run(sync(&[])).await.expect(0);
    stage.sim.world().change_faults(|faults| faults.members_empty = true);
    let ended = run(sync(&[])).await.expect(3);
    assert_eq!(ended.json()["tables"]["ProjectMembers"]["held"], json!(12), "{ended:?}");
    assert!(ended.stderr.contains("--accept-deletes"), "{ended:?}");
    assert_eq!(stage.count("app.db", "project_members").await, 12);
    let ended = run(sync(&["--accept-deletes"])).await.expect(0);
    assert_eq!(ended.json()["tables"]["ProjectMembers"]["deleted"], json!(12), "{ended:?}");
    assert_eq!(stage.count("app.db", "project_members").await, 0);
    stage.sim.stop().await;
}

/// A row that the target refuses is no update: it has a number and an exit code of its own, until it gets in.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_put_aside_are_said_by_the_exit_code_until_they_get_in() {
    let stage = Stage::new(10).await;
    let file = stage.pipeline("app", "", "");
    let sync = |more: &[&str]| {
        let mut command = tributary(stage.dir.path());
        command.arg("sync").arg(&file).arg("--once").args(more);
        command
    };
    run(sync(&[])).await.expect(0);
    let place = Place::Sqlite(stage.path("app.db"));
    let refuses = "CREATE TRIGGER refuses BEFORE UPDATE ON iterations WHEN new.name = 'refused' \
                   BEGIN SELECT RAISE(ABORT, 'not here'); END";
    place.execute(refuses).await;
    let world = stage.sim.world();
    let code = world.truth(Table::Iterations, "app", Shape::List).unwrap()[0]["Code"].as_u64().unwrap();
    let (project, name, code) = ("app".to_owned(), "refused".to_owned(), code.try_into().unwrap());
    world.apply(&[Operation::RenameIteration { project, code, name }]).unwrap();
    let ended = run(sync(&["--json"])).await.expect(3);
    let iterations = &ended.json()["tables"]["Iterations"];
    assert_eq!((&iterations["updated"], &iterations["put_aside"]), (&json!(0), &json!(1)), "{ended:?}");
    assert!(ended.stderr.contains("1 row is put aside"), "{ended:?}");
    let ended = run(sync(&[])).await.expect(3);
    assert!(ended.stdout.contains("1 row of Iterations put aside"), "{ended:?}");
    let mut command = tributary(stage.dir.path());
    command.arg("status").arg(&file).arg("--json");
    let task = &run(command).await.expect(0).json()["status"]["tasks"]["app"];
    assert_eq!((&task["put_aside"], &task["tables"]["Iterations"]["put_aside"]), (&json!(1), &json!(1)));
    let mut command = tributary(stage.dir.path());
    command.arg("status").arg(&file);
    assert!(run(command).await.expect(0).stdout.contains(", 1 put aside"));

    // What refused it is gone: what is mended by hand is written, and all is well.
    place.execute("DROP TRIGGER refuses").await;
    let mut command = tributary(stage.dir.path());
    command.arg("verify").arg(&file).arg("--repair");
    run(command).await.expect(0);
    let ended = run(sync(&["--json"])).await.expect(0);
    assert_eq!(ended.json()["tables"]["Iterations"]["put_aside"], json!(0), "{ended:?}");
    stage.sim.stop().await;
}

/// Rows that vanished before anybody had looked them up are held, and nothing else is wrong with them.
#[tokio::test(flavor = "multi_thread")]
async fn held_deletes_of_rows_without_details_are_held_and_no_failure() {
    let stage = Stage::new(60).await;
    let file = stage.pipeline("app", "  details: off\n", "");
    let sync = |more: &[&str]| {
        let mut command = tributary(stage.dir.path());
        command.arg("sync").arg(&file).args(["--once", "--json"]).args(more);
        command
    };
    run(sync(&[])).await.expect(0);
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("  details: off\n", "")).unwrap();
    let delete = |code: u32| Operation::DeleteIssue { project: "app".to_owned(), code };
    stage.sim.world().apply(&(1..=60).map(delete).collect::<Vec<_>>()).unwrap();
    let ended = run(sync(&[])).await.expect(3);
    assert_eq!(ended.json()["tables"]["Issues"]["held"], json!(60), "{ended:?}");
    assert!(ended.stderr.contains("--accept-deletes"), "{ended:?}");
    let ended = run(sync(&["--accept-deletes"])).await.expect(0);
    assert_eq!(ended.json()["tables"]["Issues"]["deleted"], json!(60), "{ended:?}");
    stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issue_type_or_iteration_that_is_not_there_is_a_configuration_error() {
    let stage = Stage::new(10).await;
    let file = stage.pipeline("app", "", "task: { issue_types: [DEFECT, Nonsense], iterations: [1, 999] }\n");
    let mut command = tributary(stage.dir.path());
    command.arg("sync").arg(&file).arg("--once");
    let ended = run(command).await.expect(2);
    assert!(ended.stderr.contains("task.issue_types[1]: There is no issue type `Nonsense`"), "{ended:?}");
    assert!(ended.stderr.contains("task.iterations[1]: There is no iteration 999"), "{ended:?}");
    assert!(!stage.path("app.db").exists());
    stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn following_shows_itself_to_status_and_stops_gracefully() {
    let stage = Stage::new(30).await;
    let file = stage.pipeline("app", QUICK, "");
    let status = async || {
        let mut command = tributary(stage.dir.path());
        command.arg("status").arg(&file).arg("--json");
        run(command).await.expect(0).json()
    };
    assert_eq!(status().await["status"], Value::Null);
    let mut command = tributary(stage.dir.path());
    command.arg("sync").arg(&file).args(["--json", "--log", "json"]);
    let running = Running::start(command);
    let seen = until("the status command sees all details delivered", async || {
        let seen = status().await;
        (seen["status"]["tasks"]["app"]["tables"]["Issues"]["detailed"] == 30).then_some(seen)
    })
    .await;
    assert_eq!(seen["running"], json!(true));
    assert_eq!(seen["status"]["projects"]["app"]["Issues"]["rows"], json!(30));
    let before = seen["status"]["head"].as_i64().unwrap();
    assert_eq!(stage.sim.world().mutate(5, &[]).len(), 5);
    until("the changes are delivered", async || {
        let seen = status().await;
        let head = seen["status"]["head"].as_i64()?;
        (head > before && seen["status"]["tasks"]["app"]["position"] == head).then_some(())
    })
    .await;

    // A second process must not run the same state.
    let mut command = tributary(stage.dir.path());
    command.arg("sync").arg(&file).arg("--once");
    let refused = run(command).await.expect(1);
    assert!(refused.stderr.contains("coding.state"), "{refused:?}");

    running.signal("TERM");
    let (ended, took) = running.end().await;
    let ended = ended.expect(0);
    assert!(took < Duration::from_secs(5), "stopping took {took:?}");
    assert_eq!(ended.json()["tables"]["ProjectMembers"]["held"], json!(0));
    for line in ended.stderr.lines() {
        let line: Value = serde_json::from_str(line).expect("every log line is one JSON object");
        assert!(line["message"].is_string(), "{line}");
    }
    assert!(!ended.stderr.contains(coding_sim::DEFAULT_TOKEN));
    let after = status().await;
    assert_eq!(after["running"], json!(false));
    assert_eq!(after["status"]["capture"]["state"], json!("stopped"));
    stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_ends_the_start_with_a_remedy() {
    let stage = Stage::new(5).await;
    let file = stage.pipeline("app", "", "");
    let wrong = std::fs::read_to_string(&file).unwrap().replace(coding_sim::DEFAULT_TOKEN, "4444secret");
    std::fs::write(&file, wrong).unwrap();
    let mut command = tributary(stage.dir.path());
    command.arg("sync").arg(&file);
    let ended = run(command).await.expect(1);
    assert!(ended.stderr.starts_with("tributary: ") || ended.stderr.contains("\ntributary: "), "{ended:?}");
    assert!(ended.stderr.contains("token"), "{ended:?}");
    assert!(!ended.stderr.contains("4444secret"), "{ended:?}");
    stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_cannot_be_read_are_named_and_end_with_3() {
    let stage = Stage::new(20).await;
    let file = stage.pipeline("app", "", "");
    let code = stage.sim.world().truth(Table::Issues, "app", Shape::List).unwrap()[4]["Code"].clone();
    let spoiled = [(u32::try_from(code.as_u64().unwrap()).unwrap(), coding_sim::Spoil::NotANumber)];
    stage.sim.world().change_faults(|faults| faults.spoiled_rows = spoiled.into());
    let sync = || {
        let mut command = tributary(stage.dir.path());
        command.arg("sync").arg(&file).args(["--once", "--json"]);
        command
    };
    for _ in 0..2 {
        let ended = run(sync()).await.expect(3);
        assert_eq!(ended.json()["unreadable"], json!(1));
        let named = format!("Code {code} (row 5 of the listing): `Spoiled`: expected value");
        assert!(ended.stderr.contains(&named), "{ended:?}");
        assert_eq!(stage.count("app.db", "issues").await, 19);
    }
    stage.sim.world().change_faults(|faults| faults.spoiled_rows.clear());
    assert_eq!(run(sync()).await.expect(0).json().get("unreadable"), None);
    assert_eq!(stage.count("app.db", "issues").await, 20);
    stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_ends_the_start_and_says_where_it_points() {
    let stage = Stage::new(5).await;
    let file = stage.pipeline("app", "", "");
    stage.sim.world().change_faults(|faults| faults.outage = Some(coding_sim::Outage::Moved));
    for more in [&["--once"][..], &[]] {
        let mut command = tributary(stage.dir.path());
        command.arg("sync").arg(&file).args(more);
        let ended = run(command).await.expect(1);
        assert!(ended.stderr.contains("CODING-REDIRECT"), "{ended:?}");
        assert!(ended.stderr.contains("https://login.example.com/sso"), "{ended:?}");
        assert!(!ended.stderr.contains("0123456789abcdef"), "{ended:?}");
        assert!(!ended.stderr.contains("passes by itself"), "{ended:?}");
    }
    stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_authorities_http_works_and_https_says_what_is_missing() {
    let stage = Stage::new(5).await;
    let file = stage.pipeline("app", "", "");
    let bare = |file: &Path| {
        let mut command = tributary(stage.dir.path());
        let nowhere = stage.path("nowhere");
        command.env("SSL_CERT_FILE", &nowhere).env("SSL_CERT_DIR", &nowhere);
        command.arg("sync").arg(file).arg("--once");
        command
    };
    run(bare(&file)).await.expect(0);
    let text = std::fs::read_to_string(&file).unwrap().replace("http://", "https://");
    let encrypted = stage.path("encrypted.yaml");
    std::fs::write(&encrypted, text).unwrap();
    let ended = run(bare(&encrypted)).await.expect(1);
    assert!(ended.stderr.contains("No CA certificates were loaded from the system"), "{ended:?}");
    assert!(ended.stderr.contains("ca-certificates"), "{ended:?}");
    assert!(!ended.stderr.contains("source.auth"), "{ended:?}");
    stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_hangs_does_not_keep_it_from_stopping() {
    let stage = Stage::new(5).await;
    let file = stage.pipeline("app", QUICK, "");
    let mut command = tributary(stage.dir.path());
    command.arg("sync").arg(&file).args(["--once", "--json"]);
    run(command).await.expect(0);
    stage.sim.world().set_faults(coding_sim::Faults::only(coding_sim::FaultKind::Hang, 1.0));
    stage.sim.world().reset_counters();
    let mut command = tributary(stage.dir.path());
    command.arg("sync").arg(&file);
    let running = Running::start(command);
    until("a request hangs", async || (!stage.sim.world().counters().requests.is_empty()).then_some(()))
        .await;
    running.signal("INT");
    let (ended, took) = running.end().await;
    ended.expect(0);
    assert!(took < Duration::from_secs(5), "stopping took {took:?}");
    stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rotated_tokens_outlive_the_process_and_lie_encrypted() {
    let stage = Stage::with(SimConfig {
        projects: vec![ProjectConfig::new("app", 10, 2, 3)],
        oauth: Some(rotating_oauth()),
        ..SimConfig::default()
    })
    .await;
    let file = stage.pipeline("app", "", "");
    let with_oauth = std::fs::read_to_string(&file).unwrap().replace(
        &format!("{{ token: \"{}\" }}", coding_sim::DEFAULT_TOKEN),
        "{ oauth: { client_id: app, client_secret: app-secret, refresh_token: first-refresh-token } }",
    );
    std::fs::write(&file, with_oauth).unwrap();
    for command_name in ["sync", "check", "sync"] {
        let mut command = tributary(stage.dir.path());
        command.arg(command_name).arg(&file);
        if command_name == "sync" {
            command.arg("--once");
        }
        run(command).await.expect(0);
    }
    for entry in std::fs::read_dir(stage.path("coding.state")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let holds = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        assert!(!holds(b"app-secret") && !holds(b"refresh-token"), "{} shows a secret", path.display());
    }
    // Another configuration wins over what was kept; this one was never valid.
    let other = std::fs::read_to_string(&file).unwrap().replace("first-refresh-token", "another-one");
    std::fs::write(&file, other).unwrap();
    let mut command = tributary(stage.dir.path());
    command.arg("sync").arg(&file).arg("--once");
    let ended = run(command).await.expect(1);
    assert!(!ended.stderr.contains("another-one"), "{ended:?}");
    stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_state_that_fails_ends_the_process_and_leaves_the_other_sound() {
    let stage = Stage::new(20).await;
    let good = stage.pipeline("good", QUICK, "state: good.state\n");
    let bad = stage.pipeline("bad", QUICK, "state: bad.state\n");
    let wrong = std::fs::read_to_string(&bad).unwrap().replace("[app]", "[nowhere]");
    std::fs::write(&bad, wrong).unwrap();
    let mut command = tributary(stage.dir.path());
    command.arg("sync").args([&good, &bad]);
    let ended = run(command).await.expect(1);
    assert!(ended.stderr.contains("`nowhere`"), "{ended:?}");
    let mut command = tributary(stage.dir.path());
    command.arg("sync").arg(&good).arg("--once");
    run(command).await.expect(0);
    assert_eq!(stage.count("good.db", "issues").await, 20);
    stage.sim.stop().await;
}
