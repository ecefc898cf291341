//! Whatever changes, the world stays legal.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coding_sim::{MutationKind, Shape, Sim, Table, WorldHandle};
use serde_json::{Value, json};

use crate::client::Bench;

const ALL: [MutationKind; 20] = [
    MutationKind::CreateIssue,
    MutationKind::CreateSubTask,
    MutationKind::EditIssue,
    MutationKind::EditCustomField,
    MutationKind::EditLabels,
    MutationKind::EditWatchers,
    MutationKind::SilentEdit,
    MutationKind::ChangeStatus,
    MutationKind::MoveIteration,
    MutationKind::ChangeParent,
    MutationKind::ChangeEpic,
    MutationKind::DeleteIssue,
    MutationKind::CreateIteration,
    MutationKind::EditIteration,
    MutationKind::RenameIteration,
    MutationKind::DeleteIteration,
    MutationKind::ChangeRoles,
    MutationKind::MemberJoin,
    MutationKind::MemberLeave,
    MutationKind::RenameUser,
];

fn by_code(world: &WorldHandle, table: Table, project: &str) -> BTreeMap<u64, Value> {
    let rows = world.truth(table, project, Shape::Full).unwrap();
    rows.into_iter().map(|row| (row["Code"].as_u64().unwrap(), row)).collect()
}

/// Every copy agrees with the row it copies, and every reference leads somewhere.
fn check(world: &WorldHandle) {
    for project in world.projects() {
        let issues = by_code(world, Table::Issues, &project);
        let iterations = by_code(world, Table::Iterations, &project);
        let mut children: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        let mut tallies: BTreeMap<u64, [i64; 3]> = BTreeMap::new();
        for (code, issue) in &issues {
            let parent = issue["ParentCode"].as_u64().unwrap();
            if parent != 0 {
                children.entry(parent).or_default().push(*code);
                let other = &issues[&parent];
                assert_eq!(other["ParentCode"], 0, "two levels");
                for key in ["Name", "Type", "IssueStatusId", "Priority", "Assignee"] {
                    assert_eq!(issue["Parent"][key], other[key]);
                }
                assert_eq!(issue["ParentType"], other["Type"]);
            }
            let epic = issue["Epic"]["Code"].as_u64().unwrap();
            if epic != 0 {
                assert_eq!(issues[&epic]["Type"], "EPIC");
                assert_eq!(issue["Epic"]["Name"], issues[&epic]["Name"]);
            }
            let iteration = issue["Iteration"]["Code"].as_u64().unwrap();
            if iteration == 0 {
                assert_eq!(issue["IterationId"], 0);
            } else {
                assert_eq!(issue["Iteration"]["Name"], iterations[&iteration]["Name"]);
                assert_eq!(issue["IterationId"], iterations[&iteration]["Id"]);
                let place = match issue["IssueStatusType"].as_str().unwrap() {
                    "TODO" => 0,
                    "PROCESSING" => 1,
                    _ => 2,
                };
                tallies.entry(iteration).or_default()[place] += 1;
            }
            assert_eq!(issue["CompletedAt"] == 0, issue["IssueStatusType"] != "COMPLETED");
        }
        for (code, issue) in &issues {
            let listed =
                issue["SubTasks"].as_array().unwrap().iter().map(|task| task["Code"].as_u64().unwrap());
            assert_eq!(listed.collect::<Vec<_>>(), children.remove(code).unwrap_or_default());
        }
        for (code, iteration) in &iterations {
            let counts = ["WaitProcessCount", "ProcessingCount", "CompletedCount"]
                .map(|key| iteration[key].as_i64().unwrap());
            assert_eq!(counts, tallies.remove(code).unwrap_or_default(), "iteration {code}");
        }
    }
}

#[tokio::test]
async fn thousands_of_changes_leave_a_legal_world() {
    let bench = Bench::start(|_| {}).await;
    let world = bench.sim.world();
    check(&world);
    let mut kinds = BTreeSet::new();
    for _ in 0..20 {
        kinds.extend(world.mutate(150, &[]).into_iter().map(|change| change.kind));
        check(&world);
    }
    for kind in ALL {
        let name = serde_json::to_value(kind).unwrap();
        let done = world.mutate(3, &[kind]);
        assert!(done.iter().any(|change| name == json!(change.kind)), "{kind:?}: {done:?}");
        kinds.extend(done.into_iter().map(|change| change.kind));
    }
    check(&world);
    assert_eq!(kinds.len(), ALL.len());
    bench.sim.stop().await;
}

#[tokio::test]
async fn a_touch_moves_updated_at_and_a_silent_edit_does_not() {
    let bench = Bench::start(|_| {}).await;
    let world = bench.sim.world();
    let all = |world: &WorldHandle| {
        let projects = world.projects().into_iter();
        projects.map(|name| (name.clone(), by_code(world, Table::Issues, &name))).collect::<BTreeMap<_, _>>()
    };
    for (kind, touches) in [
        (MutationKind::EditIssue, true),
        (MutationKind::EditCustomField, true),
        (MutationKind::ChangeStatus, true),
        (MutationKind::SilentEdit, false),
    ] {
        for _ in 0..10 {
            let before = all(&world);
            let start = jiff::Timestamp::now().as_second() * 1_000;
            let done = world.mutate(1, &[kind]);
            let after = all(&world);
            let (old, new) = (
                &before[&done[0].project][&u64::from(done[0].key)],
                &after[&done[0].project][&u64::from(done[0].key)],
            );
            assert_ne!(old, new, "{kind:?}");
            let updated = new["UpdatedAt"].as_i64().unwrap();
            if touches {
                assert!(updated >= start && updated % 1_000 == 0);
            } else {
                assert_eq!(new["UpdatedAt"], old["UpdatedAt"]);
            }
        }
    }
    bench.sim.stop().await;
}

#[tokio::test]
async fn the_same_seed_changes_the_same_rows() {
    let changes = || async {
        let sim = Sim::start(coding_sim::SimConfig::default()).await.unwrap();
        let done = sim.world().mutate(200, &[]);
        sim.stop().await;
        done
    };
    assert_eq!(changes().await, changes().await);
}

#[tokio::test]
async fn the_mutator_runs_at_its_rate_until_it_is_stopped() {
    let bench = Bench::start(|_| {}).await;
    let world = bench.sim.world();
    let before = world.truth(Table::Issues, "mobile-app", Shape::List).unwrap();
    bench.admin("mutator", json!({"rate": 200.0})).await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while world.truth(Table::Issues, "mobile-app", Shape::List).unwrap() == before {
        assert!(tokio::time::Instant::now() < deadline, "nothing changed");
        tokio::task::yield_now().await;
    }
    bench.admin("mutator", json!({"rate": 0.0})).await;
    let mutated = bench.admin("mutate", json!({"count": 4, "kinds": ["create_issue"]})).await;
    assert_eq!(mutated.as_array().unwrap().len(), 4);
    check(&world);
    bench.sim.stop().await;
}
