//! The commands that look: check, discover, preview, sim.

use serde_json::json;

use crate::support::{Running, Stage, run, tributary, until};

#[tokio::test(flavor = "multi_thread")]
async fn check_tries_every_item_and_names_remedies() {
    let stage = Stage::new(20).await;
    let file = stage.pipeline("app", "", "task: { issue_types: [DEFECT] }\n");
    let mut command = tributary(stage.dir.path());
    command.arg("check").arg(&file).arg("--json");
    let report = run(command).await.expect(0).json();
    assert_eq!(report["ok"], json!(true));
    let names: Vec<&str> =
        report["items"].as_array().unwrap().iter().map(|i| i["name"].as_str().unwrap()).collect();
    for name in ["source: host", "source: identity", "task: filter", "target: write"] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    let wrong = std::fs::read_to_string(&file).unwrap().replace(coding_sim::DEFAULT_TOKEN, "0123");
    std::fs::write(&file, wrong).unwrap();
    let mut command = tributary(stage.dir.path());
    command.arg("check").arg(&file);
    let ended = run(command).await.expect(1);
    assert!(ended.stdout.contains("FAILED   source: identity"), "{}", ended.stdout);
    assert!(ended.stdout.contains("→"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("0123"), "{}", ended.stdout);
    stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn discover_shows_tables_columns_and_counts() {
    let stage = Stage::new(20).await;
    let file = stage.pipeline("app", "", "");
    let mut command = tributary(stage.dir.path());
    command.arg("discover").arg(&file).arg("--json");
    let report = run(command).await.expect(0).json();
    let tables = report["tables"].as_array().unwrap();
    let issues = tables.iter().find(|table| table["name"] == "Issues").unwrap();
    assert_eq!(issues["rows"], json!({"app": 20}));
    assert_eq!(issues["key"], json!(["TeamName", "ProjectName", "Code"]));
    let watchers = issues["columns"].as_array().unwrap().iter().find(|c| c["name"] == "Watchers").unwrap();
    assert_eq!(watchers, &json!({"name": "Watchers", "type": "json", "seen": "details"}));
    assert_eq!(tables.len(), 3);
    assert!(!stage.path("app.db").exists() && !stage.path("coding.state").exists(), "it writes nothing");
    stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn preview_shows_the_newest_rows_with_their_details() {
    let stage = Stage::new(20).await;
    let file = stage.pipeline("app", "", "");
    let mut command = tributary(stage.dir.path());
    command.arg("preview").arg(&file).args(["--table", "Issues", "--limit", "3", "--json"]);
    let report = run(command).await.expect(0).json();
    let rows = report["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    for row in rows {
        assert!(row["row"].get("Watchers").is_some(), "no detail: {row}");
        assert!(row["row"].get("CreatorId").is_some(), "nothing listed: {row}");
    }
    let mut command = tributary(stage.dir.path());
    command.arg("preview").arg(&file).args(["--table", "ProjectMembers"]);
    let ended = run(command).await.expect(0);
    assert!(ended.stdout.contains("app ProjectMembers "), "{}", ended.stdout);
    stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_project_is_named() {
    let stage = Stage::new(5).await;
    let file = stage.pipeline("app", "", "");
    let wrong = std::fs::read_to_string(&file).unwrap().replace("[app]", "[ap]");
    std::fs::write(&file, wrong).unwrap();
    for command_name in ["discover", "sync"] {
        let mut command = tributary(stage.dir.path());
        command.arg(command_name).arg(&file);
        let ended = run(command).await.expect(1);
        assert!(ended.stderr.contains("`ap`"), "{ended:?}");
    }
    stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sim_prints_a_pipeline_that_works_and_ends_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("introduction");
    let mut command = tributary(dir.path());
    command.args([
        "sim",
        "--listen",
        "127.0.0.1:0",
        "--issues",
        "30",
        "--projects",
        "3",
        "--rate-limit",
        "0",
    ]);
    command.stdout(std::fs::File::create(&output).unwrap());
    let mut sim = Running::start(command);
    let introduction = until("the simulator introduces itself", async || {
        std::fs::read_to_string(&output).ok().filter(|text| text.ends_with("state: coding.state\n"))
    })
    .await;
    let (_, pipeline) = introduction.split_once("# A pipeline for it:\n").unwrap();
    std::fs::write(dir.path().join("p.yaml"), pipeline).unwrap();
    let mut command = tributary(dir.path());
    command.args(["discover", "p.yaml", "--json"]);
    let report = run(command).await.expect(0).json();
    assert_eq!(report["tables"][0]["rows"].as_object().unwrap().len(), 3, "{report}");
    // Its output went to the file.
    sim.0.stdout = None;
    sim.signal("TERM");
    let status = until("the simulator ends", async || sim.0.try_wait().unwrap()).await;
    assert!(status.success(), "{status:?}");
}
