//! Access lost, lists that lie, tables that come back empty: nothing is deleted, and all goes on by itself.

use std::time::Duration;

use coding_sim::{AccessLoss, FaultKind, Faults, Operation, Outage, ProjectConfig};
use engine::status::{State, Status};

use crate::follow::becomes_equal;
use crate::harness::{Bench, Following, assert_equal, differences, unlimited};
use crate::place::{TargetKind, on_each_target};

on_each_target!(
    access_lost_with_errors,
    access_lost_with_empty_lists,
    an_outage_is_waited_out,
    members_that_come_back_empty_are_held,
    lists_that_lie_delete_nothing,
    a_mass_deletion_waits_for_somebody_to_accept_it,
    a_renamed_project_is_followed_by_its_id,
    of_all_that_is_seen_one_that_vanishes_keeps_its_rows_and_blocks_nothing,
    an_emptied_table_is_deleted_once_somebody_accepts_it,
    rows_that_no_listing_shows_are_looked_up_once,
    one_table_that_is_refused_keeps_no_other_from_being_followed,
);

fn projects() -> Vec<ProjectConfig> {
    vec![ProjectConfig::new("mobile-app", 1_200, 12, 12), ProjectConfig::new("backend", 60, 5, 9)]
}

fn deleted(status: &Status) -> u64 {
    status.tasks["task"].tables.values().map(|table| table.deleted).sum()
}

async fn following(target: TargetKind) -> (Bench, Following) {
    let mut bench = Bench::new(target, unlimited(projects())).await;
    bench.settings.census_interval = Duration::from_secs(1);
    let following = bench.follow().await;
    following.first_reading().await;
    assert_equal(&bench).await;
    (bench, following)
}

/// Lets some rounds pass: each begins with the roster.
async fn rounds(bench: &Bench, count: u64) {
    let asked = || bench.sim.world().counters().total();
    let before = asked();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while asked() < before + count {
        assert!(tokio::time::Instant::now() < deadline, "nobody asks any more");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn lose(target: TargetKind, style: AccessLoss) {
    let (bench, following) = following(target).await;
    let project = "mobile-app".to_owned();
    bench.sim.world().apply(&[Operation::LoseAccess { project: project.clone(), style }]).unwrap();
    let waiting = |status: &Status| matches!(&status.capture.state, State::Waiting { problem, .. } if problem.what.contains("mobile-app"));
    following.until("lost access to be said", waiting).await;
    rounds(&bench, 12).await;
    assert_eq!(deleted(&following.board.read()), 0);
    let _ = bench.sim.world().mutate(20, &[]);
    bench.sim.world().apply(&[Operation::RestoreAccess { project }]).unwrap();
    becomes_equal(&bench, &following).await;
    following.stop().await;
}

async fn access_lost_with_errors(target: TargetKind) {
    lose(target, AccessLoss::Errors).await;
}

async fn access_lost_with_empty_lists(target: TargetKind) {
    lose(target, AccessLoss::EmptyLists).await;
}

async fn an_outage_is_waited_out(target: TargetKind) {
    let (bench, following) = following(target).await;
    bench.sim.world().change_faults(|faults| faults.outage = Some(Outage::Unavailable));
    let waiting = |status: &Status| matches!(&status.capture.state, State::Waiting { .. });
    following.until("the outage to be said", waiting).await;
    let _ = bench.sim.world().mutate(20, &[]);
    bench.sim.world().change_faults(|faults| faults.outage = None);
    becomes_equal(&bench, &following).await;
    following.stop().await;
}

async fn members_that_come_back_empty_are_held(target: TargetKind) {
    let (bench, following) = following(target).await;
    bench.sim.world().change_faults(|faults| faults.members_empty = true);
    let held =
        |status: &Status| status.projects.values().all(|tables| tables["ProjectMembers"].held.is_some());
    let status = following.until("the hold", held).await;
    assert_eq!(status.projects["mobile-app"]["ProjectMembers"].held.as_ref().unwrap().rows, 12);
    rounds(&bench, 12).await;
    assert_equal(&bench).await;
    bench.sim.world().change_faults(|faults| faults.members_empty = false);
    following
        .until("the end of the hold", |status| {
            status.projects.values().all(|tables| tables["ProjectMembers"].held.is_none())
        })
        .await;
    assert_eq!(deleted(&following.board.read()), 0);
    following.stop().await;
}

async fn lists_that_lie_delete_nothing(target: TargetKind) {
    let lies = [
        Faults::only(FaultKind::EmptyPage, 0.5),
        Faults::only(FaultKind::ShortPage, 0.5),
        Faults::only(FaultKind::LyingTotal, 0.7),
        Faults::only(FaultKind::StaleList, 0.5),
        Faults { total_delta: -7, ..Faults::default() },
        Faults { total_delta: 300, ..Faults::default() },
        Faults { max_page_size: 100, ..Faults::default() },
    ];
    let bench = Bench::new(target, unlimited(projects())).await;
    bench.once().await;
    assert_equal(&bench).await;
    for faults in lies {
        bench.sim.world().set_faults(faults.clone());
        let ran = bench.once().await;
        assert_eq!(deleted(&ran.status), 0, "{faults:?}");
        bench.sim.world().set_faults(Faults::default());
        let found = differences(&bench).await;
        assert!(found.is_empty(), "{faults:?}: {:#?}", found.iter().take(5).collect::<Vec<_>>());
    }
}

async fn a_mass_deletion_waits_for_somebody_to_accept_it(target: TargetKind) {
    let mut bench = Bench::new(target, unlimited(vec![ProjectConfig::new("backend", 100, 5, 9)])).await;
    bench.once().await;
    let codes: Vec<u32> = bench
        .sim
        .world()
        .truth(coding_sim::Table::Issues, "backend", coding_sim::Shape::List)
        .unwrap()
        .iter()
        .map(|row| u32::try_from(row["Code"].as_u64().unwrap()).unwrap())
        .collect();
    let delete = |code: &u32| Operation::DeleteIssue { project: "backend".to_owned(), code: *code };
    let operations: Vec<Operation> = codes.iter().take(40).map(delete).collect();
    bench.sim.world().apply(&operations).unwrap();

    let held = bench.once().await;
    assert_eq!(held.outcome.held.values().map(|held| (held.rows, held.of)).collect::<Vec<_>>(), [(40, 100)]);
    assert_eq!((held.written("Issues").rows, held.written("Issues").held), (100, 40));
    assert_eq!(held.requests("DescribeIssue"), 60_u64.min(held.requests("DescribeIssue")));

    bench.accept_deletes = true;
    let accepted = bench.once().await;
    assert!(accepted.outcome.held.is_empty());
    assert_eq!((accepted.written("Issues").rows, accepted.written("Issues").deleted), (60, 40));
    assert_equal(&bench).await;
}

async fn a_renamed_project_is_followed_by_its_id(target: TargetKind) {
    let bench = Bench::new(target, unlimited(vec![ProjectConfig::new("backend", 60, 5, 9)])).await;
    bench.once().await;
    let rename = Operation::RenameProject { project: "backend".to_owned(), name: "platform".to_owned() };
    bench.sim.world().apply(&[rename]).unwrap();
    bench.once().await;
    assert_equal(&bench).await;
}

async fn of_all_that_is_seen_one_that_vanishes_keeps_its_rows_and_blocks_nothing(target: TargetKind) {
    let mut bench = Bench::new(target, unlimited(projects())).await;
    bench.settings.projects = connectors::coding::config::Projects::All;
    bench.once().await;
    assert_equal(&bench).await;
    let style = AccessLoss::Errors;
    bench.sim.world().apply(&[Operation::LoseAccess { project: "mobile-app".to_owned(), style }]).unwrap();
    let ran = bench.once().await;
    assert_eq!(deleted(&ran.status), 0);
    assert_equal(&bench).await;
}

async fn an_emptied_table_is_deleted_once_somebody_accepts_it(target: TargetKind) {
    let mut bench = Bench::new(target, unlimited(vec![ProjectConfig::new("backend", 20, 4, 5)])).await;
    bench.once().await;
    let delete = |code| Operation::DeleteIteration { project: "backend".to_owned(), code };
    let iterations =
        bench.sim.world().truth(coding_sim::Table::Iterations, "backend", coding_sim::Shape::Full);
    let codes: Vec<u32> =
        iterations.unwrap().iter().map(|row| u32::try_from(row["Code"].as_u64().unwrap()).unwrap()).collect();
    let operations: Vec<Operation> = codes.iter().map(|code| delete(*code)).collect();
    bench.sim.world().apply(&operations).unwrap();
    let held = bench.once().await;
    assert_eq!((held.written("Iterations").rows, held.written("Iterations").held), (4, 4));
    bench.accept_deletes = true;
    let accepted = bench.once().await;
    assert_eq!((accepted.written("Iterations").rows, accepted.written("Iterations").held), (0, 0));
    assert_equal(&bench).await;
}

async fn rows_that_no_listing_shows_are_looked_up_once(target: TargetKind) {
    let bench = Bench::new(target, unlimited(vec![ProjectConfig::new("backend", 7_000, 4, 5)])).await;
    bench.once().await;
    // Listings show new rows late; here so late that a census sees none of them.
    let created = bench.sim.world().mutate(1_150, &[coding_sim::MutationKind::CreateIssue]);
    assert_eq!(created.len(), 1_150);
    bench.once().await;
    bench.sim.world().change_faults(|faults| faults.listing_lag_seconds = 3_600);
    let before = bench.sim.world().counters().of("DescribeIssue");
    let ran = tokio::time::timeout(Duration::from_secs(60), bench.once()).await.unwrap();
    let looked_up = bench.sim.world().counters().of("DescribeIssue") - before;
    assert!((1_150..1_400).contains(&looked_up), "{looked_up} look-ups");
    assert_eq!(deleted(&ran.status), 0);
    assert_equal(&bench).await;
}

async fn one_table_that_is_refused_keeps_no_other_from_being_followed(target: TargetKind) {
    let (bench, following) = following(target).await;
    bench.sim.world().change_faults(|faults| {
        faults.each = [(FaultKind::Http403, 1.0)].into();
        faults.actions = vec!["DescribeIterationList".to_owned()];
    });
    let said = |status: &Status| {
        let notes = status.projects.values().map(|tables| tables["Iterations"].note.as_deref().unwrap_or(""));
        notes.filter(|note| note.contains("CODING-PERMISSION")).count() == 2
    };
    following.until("the refusal to be said", said).await;
    let _ = bench.sim.world().mutate(20, &crate::cost::EDITS);
    let issues = |difference: &String| difference.starts_with("Issues");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while differences(&bench).await.iter().any(issues) {
        assert!(tokio::time::Instant::now() < deadline, "issues are not followed any more");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bench.sim.world().change_faults(|faults| faults.each.clear());
    becomes_equal(&bench, &following).await;
    following.stop().await;
}
