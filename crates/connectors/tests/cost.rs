//! What a run costs, counted in requests.

use coding_sim::{MutationKind, Operation, ProjectConfig};
use connectors::coding::config::Projects;

use crate::harness::{Bench, assert_equal, issue_requests, unlimited};
use crate::place::{TargetKind, on_each_target};

on_each_target!(
    a_load_takes_one_look_up_an_issue_and_a_change_little_more,
    hundreds_of_quiet_projects_share_their_proofs_of_access,
);

/// Kinds that change one issue as the vendor's users do; each shows in a new `UpdatedAt`.
pub(crate) const EDITS: [MutationKind; 6] = [
    MutationKind::EditIssue,
    MutationKind::EditCustomField,
    MutationKind::EditLabels,
    MutationKind::EditWatchers,
    MutationKind::ChangeStatus,
    MutationKind::MoveIteration,
];

async fn a_load_takes_one_look_up_an_issue_and_a_change_little_more(target: TargetKind) {
    let bench = Bench::new(target, unlimited(vec![ProjectConfig::new("mobile-app", 10_000, 30, 40)])).await;
    let first = bench.once().await;
    assert_equal(&bench).await;
    let requests = issue_requests(&first.status.requests);
    assert!(requests <= 10_200, "{requests} requests for 10,000 issues: {:?}", first.status.requests);

    let idle = bench.once().await;
    let fixed: u64 = idle.status.requests.values().sum();
    let changes = bench.sim.world().mutate(100, &EDITS);
    let changed: std::collections::BTreeSet<u32> = changes.iter().map(|change| change.key).collect();
    let third = bench.once().await;
    assert_equal(&bench).await;
    let issues = third.written("Issues");
    let changed = u64::try_from(changed.len()).unwrap();
    assert!(issues.updated >= changed, "{issues:?} after {changed} changes");
    let spent: u64 = third.status.requests.values().sum::<u64>() - fixed;
    assert!(
        spent * 10 <= changed * 11,
        "{spent} requests for {changed} changes: {:?}",
        third.status.requests
    );
}

async fn hundreds_of_quiet_projects_share_their_proofs_of_access(target: TargetKind) {
    let projects = (0..300).map(|number| ProjectConfig::new(&format!("p{number}"), 2, 1, 1)).collect();
    let mut bench = Bench::new(target, unlimited(projects)).await;
    bench.settings.projects = Projects::All;
    bench.once().await;
    let idle = bench.once().await;
    let requests: u64 = idle.status.requests.values().sum();
    assert!(requests <= 1_250, "{requests} requests: {:?}", idle.status.requests);
    // One deletion in each of some: their proofs are shared too.
    let deletes: Vec<Operation> =
        (0..40).map(|number| Operation::DeleteIssue { project: format!("p{number}"), code: 1 }).collect();
    bench.sim.world().apply(&deletes).unwrap();
    let third = bench.once().await;
    assert_equal(&bench).await;
    assert_eq!(third.written("Issues").deleted, 40);
    let rosters = third.requests("DescribeCodingProjects") - idle.requests("DescribeCodingProjects");
    assert!(rosters < 40 * 3 * 2, "{rosters} requests for rosters");
}
