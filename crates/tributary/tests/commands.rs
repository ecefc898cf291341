//! The commands that look: check, discover, preview, sim.

use coding_sim::Operation;
use serde_json::{Value, json};

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
    assert_eq!(issues["target"], json!("issues"));
    assert_eq!(issues["key"], json!(["team_name", "project_name", "code"]));
    assert!(issues["detailed"].as_array().unwrap().contains(&json!("Watchers")), "{issues}");
    let columns = |mode: &str| issues["columns"][mode].as_array().unwrap().clone();
    assert!(columns("document").contains(&json!({"name": "watchers", "type": "json"})), "{issues}");
    assert!(columns("flat").contains(&json!({"name": "watchers", "type": "text"})), "{issues}");
    assert!(columns("flat").contains(&json!({"name": "due_date", "type": "date"})), "{issues}");
    // Each custom field of the simulated project has a column, and says which field it stands for.
    let custom: Vec<_> = columns("flat").into_iter().filter(|c| c.get("field_id").is_some()).collect();
    assert!(custom.len() > 3, "{custom:?}");
    assert!(custom.iter().all(|column| column["field_name"].is_string()), "{custom:?}");
    assert!(columns("document").iter().all(|column| column.get("field_id").is_none()));
    assert_eq!(tables.len(), 4);
    // Deliveries are not there to be counted.
    let events = tables.iter().find(|table| table["name"] == "Events").unwrap();
    assert_eq!((&events["rows"], &events["from_hooks"]), (&json!({}), &json!(true)));
    assert!(
        events["columns"]["document"]
            .as_array()
            .unwrap()
            .contains(&json!({"name": "payload", "type": "json"}))
    );
    let mut command = tributary(stage.dir.path());
    command.arg("discover").arg(&file);
    let shown = run(command).await.expect(0).stdout;
    assert!(shown.contains("document mode:") && shown.contains("flat mode:"), "{shown}");
    assert!(shown.contains("(custom field "), "{shown}");
    assert!(shown.contains("Events (a row for each delivery of the hook), table events, key "), "{shown}");
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
    assert_eq!(report["mode"], json!("document"));
    for row in rows {
        assert!(row["watchers"].is_array(), "no detail: {row}");
        assert!(row["creator_id"].is_i64(), "nothing listed: {row}");
        assert!(row["_detailed_at"].is_string(), "{row}");
    }
    assert_eq!(report["columns"][0], json!({"name": "team_name", "type": "text"}));

    // The rows that a sync in flat mode delivers, cell by cell.
    let flat = stage.pipeline("flat", "", "task: { mode: flat, naming: original }\n");
    let mut command = tributary(stage.dir.path());
    command.arg("sync").arg(&flat).arg("--once");
    run(command).await.expect(0);
    let mut command = tributary(stage.dir.path());
    command.arg("preview").arg(&flat).args(["--table", "Issues", "--limit", "20", "--json"]);
    let report = run(command).await.expect(0).json();
    assert_eq!(report["mode"], json!("flat"));
    let target = crate::place::Place::Sqlite(stage.path("flat.db"));
    for column in report["columns"].as_array().unwrap() {
        let name = column["name"].as_str().unwrap();
        let set = report["rows"].as_array().unwrap().iter().filter(|row| !row[name].is_null()).count();
        let query = format!("SELECT count(\"{name}\") FROM \"Issues\"");
        assert_eq!(target.number(&query).await, i64::try_from(set).unwrap(), "{name}");
    }
    // A field that is called otherwise by now keeps the column that the target has for it.
    let names = |report: &Value| {
        let columns = report["columns"].as_array().unwrap();
        columns.iter().map(|column| column["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let columns = report["columns"].as_array().unwrap();
    let field = columns.iter().find_map(|column| column["field_id"].as_u64()).unwrap();
    let rename =
        Operation::RenameField { field: u32::try_from(field).unwrap(), name: "Another name".to_owned() };
    stage.sim.world().apply(&[rename]).unwrap();
    let mut command = tributary(stage.dir.path());
    command.arg("preview").arg(&flat).args(["--table", "Issues", "--json"]);
    let renamed = run(command).await.expect(0).json();
    assert_eq!(names(&renamed), names(&report));
    let fields = renamed["columns"].as_array().unwrap();
    let field = fields.iter().find(|column| column["field_id"].as_u64() == Some(field)).unwrap();
    assert_eq!(field["field_name"], json!("Another name"));
    let mut command = tributary(stage.dir.path());
    command.arg("discover").arg(&flat);
    let shown = run(command).await.expect(0).stdout;
    let told = format!("{}  (custom field", field["type"].as_str().unwrap());
    let line = shown.lines().find(|line| line.contains("Another name")).unwrap();
    assert!(line.trim_start().starts_with(field["name"].as_str().unwrap()) && line.contains(&told), "{line}");
    let mut command = tributary(stage.dir.path());
    command.arg("preview").arg(&file).args(["--table", "Issues", "--mode", "flat", "--limit", "1"]);
    let shown = run(command).await.expect(0).stdout;
    assert!(shown.contains("assignee_name"), "{shown}");
    let mut command = tributary(stage.dir.path());
    command.arg("preview").arg(&file).args(["--table", "ProjectMembers"]);
    let ended = run(command).await.expect(0);
    assert!(ended.stdout.starts_with("ProjectMembers app "), "{}", ended.stdout);
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

/// Once a sync has followed a new identifier, the file may keep the old one; it is told which is right.
#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_project_is_followed_and_named() {
    let stage = Stage::new(5).await;
    let file = stage.pipeline("app", "", "");
    let sync = async || {
        let mut command = tributary(stage.dir.path());
        command.arg("sync").arg(&file).arg("--once");
        run(command).await.expect(0)
    };
    sync().await;
    let rename = Operation::RenameProject { project: "app".to_owned(), name: "application".to_owned() };
    stage.sim.world().apply(&[rename]).unwrap();
    let ended = sync().await;
    let told = ended.stderr.lines().filter(|line| line.contains("called `application` now")).count();
    assert_eq!(told, 1, "{ended:?}");
    for arguments in [&["check"][..], &["discover"], &["preview", "--table", "Issues"]] {
        let mut command = tributary(stage.dir.path());
        command.args(arguments).arg(&file);
        let ended = run(command).await.expect(0);
        assert!(ended.stdout.contains("application"), "{ended:?}");
        assert!(arguments != ["check"] || ended.stdout.contains("warning  source: project app"), "{ended:?}");
    }
    stage.sim.stop().await;
}
