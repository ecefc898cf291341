//! Following: what changes at the source is in the target soon, classified exactly, and nothing else is written.

use std::time::Duration;

use coding_sim::{IssueFields, MutationKind, Operation, ProjectConfig};
use connectors::coding::BaseUrl;
use engine::status::State;
use test_faults::Proxy;

use crate::harness::{Bench, Following, assert_equal, differences, unlimited};
use crate::place::{TargetKind, on_each_target};

on_each_target!(
    every_kind_of_change_arrives,
    each_kind_of_change_alone,
    changes_are_classified_exactly,
    rows_that_did_not_change_are_not_written,
    who_comes_back_under_another_name_is_called_so_everywhere,
);

fn two_projects() -> Vec<ProjectConfig> {
    vec![ProjectConfig::new("mobile-app", 300, 12, 14), ProjectConfig::new("backend", 80, 5, 9)]
}

/// Waits until the target equals the truth.
pub(crate) async fn becomes_equal(bench: &Bench, following: &Following) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let found = differences(bench).await;
        if found.is_empty() {
            return;
        }
        if tokio::time::Instant::now() > deadline {
            let found: Vec<_> = found.into_iter().take(10).collect();
            panic!("still different: {found:#?}\n{:#?}", following.board.read());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn every_kind_of_change_arrives(target: TargetKind) {
    let bench = Bench::new(target, unlimited(two_projects())).await;
    let following = bench.follow().await;
    following.first_reading().await;
    assert_equal(&bench).await;
    for _ in 0..5 {
        let _ = bench.sim.world().mutate(60, &[]);
        becomes_equal(&bench, &following).await;
    }
    following.stop().await;
}

async fn each_kind_of_change_alone(target: TargetKind) {
    let kinds = [
        MutationKind::SilentEdit,
        MutationKind::ChangeParent,
        MutationKind::ChangeEpic,
        MutationKind::DeleteIssue,
        MutationKind::RenameIteration,
        MutationKind::DeleteIteration,
        MutationKind::ChangeRoles,
        MutationKind::MemberJoin,
        MutationKind::MemberLeave,
        MutationKind::RenameUser,
        MutationKind::CreateSubTask,
    ];
    let bench = Bench::new(target, unlimited(two_projects())).await;
    bench.once().await;
    for kind in kinds {
        let changes = bench.sim.world().mutate(3, &[kind]);
        bench.once().await;
        let found = differences(&bench).await;
        assert!(
            found.is_empty(),
            "after {kind:?} {changes:?}: {:#?}",
            found.iter().take(10).collect::<Vec<_>>()
        );
    }
}

async fn changes_are_classified_exactly(target: TargetKind) {
    let bench = Bench::new(target, unlimited(two_projects())).await;
    bench.once().await;
    let world = bench.sim.world();
    let project = "backend".to_owned();
    let name = |name: &str| Box::new(IssueFields { name: Some(name.to_owned()), ..IssueFields::default() });
    let codes: Vec<u32> = world
        .truth(coding_sim::Table::Issues, "backend", coding_sim::Shape::List)
        .unwrap()
        .iter()
        .filter(|row| row["ParentCode"] == 0 && row["Type"] != "EPIC")
        .map(|row| u32::try_from(row["Code"].as_u64().unwrap()).unwrap())
        .collect();
    let childless: Vec<u32> = codes
        .iter()
        .copied()
        .filter(|code| {
            let rows = world.truth(coding_sim::Table::Issues, "backend", coding_sim::Shape::List).unwrap();
            !rows.iter().any(|row| row["ParentCode"] == *code)
        })
        .collect();
    let set = |code, new: &str| Operation::SetIssue {
        project: project.clone(),
        code,
        fields: name(new),
        touch: true,
    };
    let create = |new: &str| Operation::CreateIssue { project: project.clone(), fields: name(new) };
    let delete = |code| Operation::DeleteIssue { project: project.clone(), code };
    world
        .apply(&[
            create("one"),
            create("two"),
            set(childless[0], "three"),
            set(childless[0], "four"),
            set(childless[1], "five"),
            delete(childless[2]),
        ])
        .unwrap();
    let made = world.apply(&[create("gone before anybody looked")]).unwrap();
    world.apply(&[delete(made[0].key)]).unwrap();
    let ran = bench.once().await;
    assert_equal(&bench).await;
    let issues = ran.written("Issues");
    assert_eq!((issues.inserted, issues.updated, issues.deleted), (2, 2, 1), "{issues:?}");
}

/// When each row was written, by project and id.
async fn written_at(bench: &Bench) -> std::collections::BTreeMap<(String, i64), String> {
    let issues = bench.task.tables.iter().position(|table| table.name == "Issues").unwrap();
    let rows = crate::compare::read(&bench.place, &bench.task, issues).await;
    rows.into_iter().map(|(key, row)| (key, row["_synced_at"].as_str().unwrap().to_owned())).collect()
}

async fn rows_that_did_not_change_are_not_written(target: TargetKind) {
    let bench = Bench::new(target, unlimited(two_projects())).await;
    bench.once().await;
    let before = written_at(&bench).await;
    let changes = bench.sim.world().mutate(5, &crate::cost::EDITS);
    let following = bench.follow().await;
    becomes_equal(&bench, &following).await;
    // Several polls and censuses later nothing else has been written.
    let asked = bench.sim.world().counters().total();
    following.until("more rounds", |_| bench.sim.world().counters().total() > asked + 30).await;
    following.stop().await;
    let after = written_at(&bench).await;
    let rewritten = before.iter().filter(|(key, at)| after.get(*key) != Some(*at)).count();
    // The edited rows, and for each at most its parent, its epic's members and its sub-tasks.
    assert!(rewritten >= 1, "{changes:?} wrote nothing");
    assert!(rewritten <= 60, "{changes:?} wrote {rewritten} rows of {}", before.len());
}

async fn who_comes_back_under_another_name_is_called_so_everywhere(target: TargetKind) {
    let bench = Bench::new(target, unlimited(vec![ProjectConfig::new("backend", 40, 3, 6)])).await;
    bench.once().await;
    let world = bench.sim.world();
    let truth = |table| world.truth(table, "backend", coding_sim::Shape::Full).unwrap();
    let issues = truth(coding_sim::Table::Issues);
    let user = truth(coding_sim::Table::ProjectMembers)
        .into_iter()
        .map(|member| member["Id"].clone())
        .find(|id| issues.iter().any(|issue| issue["Creator"]["Id"] == *id))
        .and_then(|id| u32::try_from(id.as_u64()?).ok())
        .unwrap();
    let project = || "backend".to_owned();
    world.apply(&[Operation::DeleteMember { project: project(), user }]).unwrap();
    bench.once().await;
    let rename = Operation::RenameUser { user, name: "somebody else".to_owned() };
    let join = Operation::AddMember { project: project(), user, roles: Vec::new() };
    world.apply(&[rename, join]).unwrap();
    bench.once().await;
    assert_equal(&bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_was_away_at_a_later_start_is_followed_when_it_is_back() {
    let mut bench =
        Bench::new(TargetKind::Sqlite, unlimited(vec![ProjectConfig::new("backend", 30, 3, 5)])).await;
    let proxy = Proxy::to(&bench.sim.url()).await;
    bench.settings.base_url = BaseUrl::parse(proxy.url(), false).unwrap();
    bench.once().await;
    proxy.refuse(true);
    let following = bench.follow().await;
    // Longer than a first start waits for a first answer.
    tokio::time::sleep(Duration::from_secs(27)).await;
    let state = following.board.read().capture.state;
    assert!(matches!(state, State::Waiting { .. }), "{state:?}");
    let _ = bench.sim.world().mutate(5, &crate::cost::EDITS);
    proxy.refuse(false);
    becomes_equal(&bench, &following).await;
    following.stop().await;
}
