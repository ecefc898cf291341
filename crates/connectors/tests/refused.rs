//! One project among several cannot be read: the others are brought to the end, and it is named.

use std::time::Duration;

use coding_sim::{AccessLoss, MutationKind, Operation, ProjectConfig, Shape, SimConfig, Table};
use connectors::coding::config::Projects;
use engine::status::Status;

use crate::compare::compare;
use crate::harness::{Bench, Following, Ran, assert_equal, unlimited};
use crate::place::{TargetKind, on_each_target};

on_each_target!(
    once_brings_the_others_to_the_end_and_names_the_one,
    a_project_that_is_not_visible_keeps_no_other_from_the_end,
    at_the_first_start_the_others_are_followed_and_the_one_is_waited_for,
    once_ends_while_people_work,
    excluded_projects_leave_and_stay_out,
);

const REFUSED: &str = "backend";

fn projects() -> Vec<ProjectConfig> {
    vec![
        ProjectConfig::new("mobile-app", 80, 4, 6),
        ProjectConfig::new(REFUSED, 60, 3, 5),
        ProjectConfig::new("web", 30, 3, 4),
    ]
}

fn refuse(bench: &Bench, code: Option<&str>) {
    bench.sim.world().change_faults(|faults| {
        faults.refused_projects =
            code.map(|code| (REFUSED.to_owned(), code.to_owned())).into_iter().collect();
    });
}

/// What differs in the other projects.
async fn differences_of_others(bench: &Bench) -> Vec<String> {
    let found = compare(&bench.sim.world(), &bench.place, &bench.task).await.differences;
    found.into_iter().filter(|difference| !difference.contains(&format!(" {REFUSED}/"))).collect()
}

/// Edits in every project, and a deletion that only a census finds.
fn work(bench: &Bench) {
    let world = bench.sim.world();
    assert_eq!(world.mutate(30, &crate::cost::EDITS).len(), 30);
    let issues = world.truth(Table::Issues, "mobile-app", Shape::List).unwrap();
    let leaf = issues.iter().rev().find(|row| row["Type"] != "EPIC").unwrap();
    let code = u32::try_from(leaf["Code"].as_u64().unwrap()).unwrap();
    world.apply(&[Operation::DeleteIssue { project: "mobile-app".to_owned(), code }]).unwrap();
}

/// The others are as the source has them, and the one is named.
async fn assert_others(bench: &Bench, ran: &Ran) {
    assert_eq!(differences_of_others(bench).await, Vec::<String>::new());
    assert_eq!(ran.outcome.pending, 0, "{:?}", ran.outcome);
    assert!(!ran.outcome.unread.is_empty());
    for problem in &ran.outcome.unread {
        assert!(problem.what.contains(REFUSED), "{problem}");
    }
}

async fn once_brings_the_others_to_the_end_and_names_the_one(target: TargetKind) {
    let bench = Bench::new(target, unlimited(projects())).await;
    // The first start.
    refuse(&bench, Some("UnauthorizedOperation"));
    let ran = bench.once().await;
    assert_others(&bench, &ran).await;
    refuse(&bench, None);
    assert!(bench.once().await.outcome.unread.is_empty());
    assert_equal(&bench).await;
    for code in ["UnauthorizedOperation", "ResourceNotFound", "FailedOperation", "InvalidParameterValue"] {
        refuse(&bench, Some(code));
        work(&bench);
        let ran = bench.once().await;
        assert_others(&bench, &ran).await;
        assert!(ran.written("Issues").deleted >= 1, "{code}");
    }
    refuse(&bench, None);
    bench.once().await;
    assert_equal(&bench).await;
}

async fn a_project_that_is_not_visible_keeps_no_other_from_the_end(target: TargetKind) {
    let bench = Bench::new(target, unlimited(projects())).await;
    bench.once().await;
    for style in [AccessLoss::Errors, AccessLoss::EmptyLists] {
        let lose = Operation::LoseAccess { project: REFUSED.to_owned(), style };
        bench.sim.world().apply(&[lose]).unwrap();
        work(&bench);
        let ran = bench.once().await;
        assert_others(&bench, &ran).await;
        let codes: Vec<&str> = ran.outcome.unread.iter().map(|problem| problem.code.as_str()).collect();
        assert_eq!(codes, ["SOURCE-ACCESS"]);
    }
    let restore = Operation::RestoreAccess { project: REFUSED.to_owned() };
    bench.sim.world().apply(&[restore]).unwrap();
    bench.once().await;
    assert_equal(&bench).await;
}

async fn others_become_equal(bench: &Bench, following: &Following) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !differences_of_others(bench).await.is_empty() {
        assert!(tokio::time::Instant::now() < deadline, "{:#?}", following.board.read());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn at_the_first_start_the_others_are_followed_and_the_one_is_waited_for(target: TargetKind) {
    let bench = Bench::new(target, unlimited(projects())).await;
    refuse(&bench, Some("UnauthorizedOperation"));
    let following = bench.follow().await;
    let begun = |status: &Status| status.tasks.get("task").is_some_and(|task| task.position > 0);
    following.until("the first rows", begun).await;
    others_become_equal(&bench, &following).await;
    let said = |status: &Status| {
        let note = status.projects.get(REFUSED).and_then(|tables| tables.get("Issues")?.note.clone());
        note.is_some_and(|note| note.contains("CODING-PERMISSION"))
    };
    following.until("the refusal to be said", said).await;
    work(&bench);
    others_become_equal(&bench, &following).await;
    refuse(&bench, None);
    crate::follow::becomes_equal(&bench, &following).await;
    let status = following.stop().await.status;
    assert!(status.projects[REFUSED].values().all(|table| table.note.is_none()), "{status:#?}");
}

async fn once_ends_while_people_work(target: TargetKind) {
    let config = SimConfig { projects: projects(), rate_limit: 30, ..SimConfig::default() };
    let bench = Bench::new(target, config).await;
    let world = bench.sim.world();
    let kinds = [
        MutationKind::CreateIssue,
        MutationKind::EditIssue,
        MutationKind::ChangeStatus,
        MutationKind::EditIssue,
        MutationKind::DeleteIssue,
    ];
    let people = async {
        let mut second = tokio::time::interval(Duration::from_millis(50));
        loop {
            second.tick().await;
            let _ = world.mutate(1, &kinds);
        }
    };
    let run = tokio::time::timeout(Duration::from_secs(150), bench.once());
    let ran = tokio::select! {
        ran = run => ran.expect("it ends"),
        _ = people => panic!("people never stop"),
    };
    assert_eq!(ran.outcome.pending, 0, "{:?}", ran.outcome);
    assert!(ran.outcome.unread.is_empty());
    bench.once().await;
    assert_equal(&bench).await;
}

async fn excluded_projects_leave_and_stay_out(target: TargetKind) {
    let mut bench = Bench::new(target, unlimited(projects())).await;
    bench.settings.projects = Projects::All;
    bench.once().await;
    assert_equal(&bench).await;
    bench.settings.projects = Projects::AllBut(vec![REFUSED.to_owned()]);
    // Out of view is not gone, left out is.
    let lose = Operation::LoseAccess { project: "web".to_owned(), style: AccessLoss::Errors };
    bench.sim.world().apply(&[lose]).unwrap();
    let ran = bench.once().await;
    let missing = compare(&bench.sim.world(), &bench.place, &bench.task).await.differences;
    assert!(missing.iter().all(|difference| difference.contains(" backend/")), "{missing:#?}");
    assert!(missing.iter().filter(|difference| difference.ends_with(" is missing")).count() >= 60);
    assert_eq!(ran.written("Issues").rows, 110);
    // Under another identifier it is the same project.
    let rename = Operation::RenameProject { project: REFUSED.to_owned(), name: "platform".to_owned() };
    bench.sim.world().apply(&[rename]).unwrap();
    assert_eq!(bench.once().await.written("Issues").rows, 110);
    bench.settings.projects = Projects::All;
    bench.once().await;
    assert_equal(&bench).await;
}
