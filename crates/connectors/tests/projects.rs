//! Projects that come, go, return, and pass their identifiers on.

use std::time::Duration;

use coding_sim::{AccessLoss, Operation, ProjectConfig, SimConfig};
use connectors::coding::config::Projects;

use crate::compare::compare;
use crate::harness::{Bench, assert_equal, unlimited};
use crate::place::{TargetKind, on_each_target};

on_each_target!(
    a_project_that_returns_is_written_from_the_beginning,
    a_project_renamed_at_the_source_and_in_the_configuration,
    an_identifier_that_passes_to_another_project_changes_whose_rows_they_are,
    identifiers_passed_along_a_chain,
    identifiers_passed_along_a_list,
    a_vanished_project_yields_its_identifier_to_a_new_one,
    a_vanished_project_yields_its_identifier_while_following,
    out_of_view_is_not_gone_even_when_the_state_is_lost,
);

/// Answers slower than the target opens, so that a task begins before the roster is known.
async fn slow(target: TargetKind, projects: Vec<ProjectConfig>) -> Bench {
    Bench::new(target, SimConfig { latency: Duration::from_millis(40), ..unlimited(projects) }).await
}

fn named(names: &[&str]) -> Projects {
    Projects::Named(names.iter().map(|name| (*name).to_owned()).collect())
}

fn two() -> Vec<ProjectConfig> {
    vec![ProjectConfig::new("backend", 30, 3, 5), ProjectConfig::new("mobile-app", 40, 3, 5)]
}

async fn a_project_that_returns_is_written_from_the_beginning(target: TargetKind) {
    let mut bench = slow(target, two()).await;
    bench.once().await;
    bench.settings.projects = named(&["backend"]);
    bench.once().await;
    bench.settings.projects = named(&["backend", "mobile-app"]);
    bench.once().await;
    assert_equal(&bench).await;
    let idle = bench.once().await;
    assert_eq!(idle.written("Issues").inserted, 0, "the rebuild is over");
}

async fn a_project_renamed_at_the_source_and_in_the_configuration(target: TargetKind) {
    let mut bench = slow(target, two()).await;
    bench.once().await;
    let rename = Operation::RenameProject { project: "mobile-app".to_owned(), name: "app".to_owned() };
    bench.sim.world().apply(&[rename]).unwrap();
    bench.settings.projects = named(&["backend", "app"]);
    bench.once().await;
    assert_equal(&bench).await;
    bench.once().await;
    assert_equal(&bench).await;
}

async fn an_identifier_that_passes_to_another_project_changes_whose_rows_they_are(target: TargetKind) {
    let mut bench = slow(target, two()).await;
    bench.settings.projects = named(&["backend"]);
    bench.once().await;
    let rename =
        |from: &str, to: &str| Operation::RenameProject { project: from.to_owned(), name: to.to_owned() };
    bench.sim.world().apply(&[rename("backend", "old"), rename("mobile-app", "backend")]).unwrap();
    for _ in 0..3 {
        bench.once().await;
        let found = compare(&bench.sim.world(), &bench.place, &bench.task).await.differences;
        let found: Vec<_> = found.into_iter().filter(|difference| !difference.contains(" old/")).collect();
        assert!(found.is_empty(), "{:#?}", found.iter().take(5).collect::<Vec<_>>());
    }
}

async fn identifiers_passed_along_a_chain(target: TargetKind) {
    let mut bench = slow(target, two()).await;
    bench.settings.projects = Projects::All;
    bench.once().await;
    let rename =
        |from: &str, to: &str| Operation::RenameProject { project: from.to_owned(), name: to.to_owned() };
    bench.sim.world().apply(&[rename("backend", "old"), rename("mobile-app", "backend")]).unwrap();
    for _ in 0..2 {
        bench.once().await;
        assert_equal(&bench).await;
    }
}

async fn identifiers_passed_along_a_list(target: TargetKind) {
    let mut bench = slow(target, three()).await;
    // Whoever took an identifier over comes later in the list than who had it.
    bench.settings.projects = named(&["web", "mobile-app", "backend"]);
    bench.once().await;
    let renames = [("web", "site"), ("mobile-app", "web"), ("backend", "mobile-app")];
    bench.sim.world().apply(&renames.map(|(from, to)| rename(from, to))).unwrap();
    for _ in 0..2 {
        bench.once().await;
        assert_equal(&bench).await;
    }
}

fn three() -> Vec<ProjectConfig> {
    let mut projects = two();
    projects.push(ProjectConfig::new("web", 20, 3, 4));
    projects
}

fn rename(from: &str, to: &str) -> Operation {
    Operation::RenameProject { project: from.to_owned(), name: to.to_owned() }
}

/// All that is seen is followed, and `mobile-app` does not exist yet.
async fn before_the_new_one(target: TargetKind) -> Bench {
    let mut bench = slow(target, three()).await;
    bench.settings.projects = Projects::All;
    let not_yet = Operation::LoseAccess { project: "mobile-app".to_owned(), style: AccessLoss::Errors };
    bench.sim.world().apply(&[not_yet]).unwrap();
    bench
}

/// `backend` is deleted, and another project is made under its identifier.
fn replace_backend(bench: &Bench) {
    let deleted = Operation::LoseAccess { project: "backend".to_owned(), style: AccessLoss::Errors };
    let made = Operation::RestoreAccess { project: "backend".to_owned() };
    let operations = [deleted, rename("backend", "deleted"), rename("mobile-app", "backend"), made];
    bench.sim.world().apply(&operations).unwrap();
    let edits = bench.sim.world().mutate(20, &crate::cost::EDITS);
    assert_eq!(edits.len(), 20);
}

/// What differs, but for rows of projects that nobody sees.
async fn visible_differences(bench: &Bench) -> Vec<String> {
    let found = compare(&bench.sim.world(), &bench.place, &bench.task).await.differences;
    let is_seen = |difference: &String| ![" deleted/", " mobile-app/"].iter().any(|p| difference.contains(p));
    found.into_iter().filter(is_seen).collect()
}

async fn a_vanished_project_yields_its_identifier_to_a_new_one(target: TargetKind) {
    let bench = before_the_new_one(target).await;
    bench.once().await;
    replace_backend(&bench);
    for _ in 0..2 {
        tokio::time::timeout(Duration::from_secs(60), bench.once()).await.unwrap();
        assert_eq!(visible_differences(&bench).await, Vec::<String>::new());
    }
    let idle = bench.once().await;
    assert_eq!((idle.written("Issues").inserted, idle.written("Issues").deleted), (0, 0), "it is over");
    // It was not deleted after all.
    let back = Operation::RestoreAccess { project: "deleted".to_owned() };
    bench.sim.world().apply(&[back]).unwrap();
    bench.once().await;
    assert_equal(&bench).await;
}

async fn a_vanished_project_yields_its_identifier_while_following(target: TargetKind) {
    let bench = before_the_new_one(target).await;
    let following = bench.follow().await;
    following.first_reading().await;
    replace_backend(&bench);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !visible_differences(&bench).await.is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "{:#?}", following.board.read());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    following.until("the task to follow", crate::harness::settled).await;
    following.stop().await;
}

async fn out_of_view_is_not_gone_even_when_the_state_is_lost(target: TargetKind) {
    let mut bench = slow(target, two()).await;
    bench.settings.projects = Projects::All;
    bench.once().await;
    std::fs::remove_dir_all(bench.state()).unwrap();
    let style = AccessLoss::Errors;
    bench.sim.world().apply(&[Operation::LoseAccess { project: "mobile-app".to_owned(), style }]).unwrap();
    bench.once().await;
    bench.once().await;
    assert_equal(&bench).await;
}
