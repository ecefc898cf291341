//! What can be wrong outside: each ends with a clear error that names the remedy, and nothing is lost.

use std::path::Path;

use crate::place::{Place, TargetKind, on_each_target};
use crate::support::{Ended, Stage, run, tributary};

on_each_target!(a_foreign_table_is_left_alone);

async fn once(dir: &Path, file: &Path) -> Ended {
    let mut command = tributary(dir);
    command.arg("sync").arg(file).arg("--once");
    run(command).await
}

/// The last line of the standard error: what, why, fix.
#[track_caller]
fn said(ended: &Ended, code: &str) -> String {
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let line = ended.stderr.lines().last().unwrap_or_default().to_owned();
    assert!(line.starts_with("tributary: ") && line.ends_with(&format!("[{code}]")), "{ended:?}");
    line
}

async fn a_foreign_table_is_left_alone(target: TargetKind) {
    let stage = Stage::new(5).await;
    let place = Place::new(target, stage.dir.path()).await;
    let file = stage.pipeline_into(&place, "app", "", "");
    let code = match target {
        TargetKind::Sqlite => "SQLITE-SHAPE",
        TargetKind::Postgres => {
            place.execute("CREATE SCHEMA coding").await;
            "POSTGRES-SHAPE"
        }
    };
    place.execute("CREATE TABLE issues (mine TEXT); INSERT INTO issues VALUES ('precious')").await;
    let line = said(&once(stage.dir.path(), &file).await, code);
    assert!(line.contains("`issues`"), "{line}");
    let mut command = tributary(stage.dir.path());
    command.arg("check").arg(&file);
    let checked = run(command).await.expect(1);
    assert!(checked.stdout.contains("FAILED   target: tables"), "{checked:?}");
    assert_eq!(place.number("SELECT count(*) FROM issues WHERE mine = 'precious'").await, 1);
    stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_cannot_be_written_is_named() {
    let stage = Stage::new(5).await;
    let file = stage.pipeline("app", "", "");
    std::fs::create_dir(stage.path("app.db")).unwrap();
    let line = said(&once(stage.dir.path(), &file).await, "SQLITE-READONLY");
    assert!(line.contains("app.db"), "{line}");
    stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_state_directory_can_be_moved_away() {
    let stage = Stage::new(5).await;
    let file = stage.pipeline("app", "", "");
    once(stage.dir.path(), &file).await.expect(0);
    std::fs::write(stage.path("coding.state/journal.db"), [0x5a; 8_192]).unwrap();
    let line = said(&once(stage.dir.path(), &file).await, "JOURNAL-DAMAGED");
    assert!(line.contains("move the state directory"), "{line}");
    assert_eq!(stage.count("app.db", "issues").await, 5);
    std::fs::rename(stage.path("coding.state"), stage.path("away")).unwrap();
    once(stage.dir.path(), &file).await.expect(0);
    assert_eq!(stage.count("app.db", "issues").await, 5);
    stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_cannot_be_trusted_fails_at_once() {
    let stage = Stage::new(5).await;
    let file = stage.pipeline("app", "", "");
    let encrypted = std::fs::read_to_string(&file).unwrap().replace("http://", "https://");
    std::fs::write(&file, encrypted).unwrap();
    let line = said(&once(stage.dir.path(), &file).await, "CODING-TLS");
    assert!(line.contains("source.ca_file"), "{line}");
    stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_without_a_scope_is_told_which_it_needs() {
    let scopes: Vec<String> =
        coding_sim::all_scopes().into_iter().filter(|scope| !scope.starts_with("project:member")).collect();
    let stage = Stage::with(coding_sim::SimConfig {
        projects: vec![coding_sim::ProjectConfig::new("app", 5, 2, 3)],
        scopes,
        ..coding_sim::SimConfig::default()
    })
    .await;
    let file = stage.pipeline("app", "", "");
    let mut command = tributary(stage.dir.path());
    command.arg("check").arg(&file);
    let ended = run(command).await.expect(1);
    assert!(ended.stdout.contains("FAILED   source: list members of app"), "{}", ended.stdout);
    assert!(ended.stdout.contains("project:member:ro"), "{}", ended.stdout);
    stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_is_told_and_survived() {
    let stage = Stage::new(5).await;
    let file = stage.pipeline("app", "", "");
    stage.sim.world().change_faults(|faults| faults.date_skew_seconds = 3_600);
    let mut command = tributary(stage.dir.path());
    command.arg("check").arg(&file);
    let ended = run(command).await.expect(0);
    assert!(ended.stdout.contains("warning  source: clock"), "{}", ended.stdout);
    once(stage.dir.path(), &file).await.expect(0);
    assert_eq!(stage.count("app.db", "issues").await, 5);
    stage.sim.stop().await;
}

/// CODING goes by the token alone: under another team's name the rows would get wrong keys.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_another_team_is_refused() {
    let stage = Stage::new(5).await;
    let file = stage.pipeline("app", "", "");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("team: demo", "team: acme")).unwrap();
    let ended = once(stage.dir.path(), &file).await.expect(1);
    assert!(ended.stderr.contains("belongs to team `demo`"), "{ended:?}");
    assert!(ended.stderr.contains("[CODING-TEAM]"), "{ended:?}");
    assert!(!stage.path("app.db").exists(), "nothing was written");
    let mut command = tributary(stage.dir.path());
    command.arg("check").arg(&file);
    let checked = run(command).await.expect(1);
    assert!(checked.stdout.contains("source: team"), "{checked:?}");
    stage.sim.stop().await;
}

/// `check` tries the state directory as well.
#[tokio::test(flavor = "multi_thread")]
async fn check_finds_a_state_directory_that_cannot_be_used() {
    let stage = Stage::new(5).await;
    let file = stage.pipeline("app", "", "");
    let check = async || {
        let mut command = tributary(stage.dir.path());
        command.arg("check").arg(&file);
        run(command).await
    };
    assert!(check().await.expect(0).stdout.contains("is made by the first run"));
    assert!(!stage.path("coding.state").exists(), "a check makes none");
    once(stage.dir.path(), &file).await.expect(0);
    assert!(check().await.expect(0).stdout.contains("its journal can be read"));
    let state = stage.dir.path().read_dir().unwrap().map(|entry| entry.unwrap().path());
    let state = state.into_iter().find(|path| path.is_dir()).unwrap();
    std::fs::write(state.join("journal.db"), "not a journal at all, and long enough to have a header")
        .unwrap();
    assert!(check().await.expect(1).stdout.contains("FAILED   state: directory"));
    std::fs::remove_dir_all(&state).unwrap();
    std::fs::write(&state, "a file").unwrap();
    assert!(check().await.expect(1).stdout.contains("FAILED   state: directory"));
    stage.sim.stop().await;
}
