//! What a run costs, counted in requests.

use coding_sim::{MutationKind, ProjectConfig};

use crate::harness::{Bench, assert_equal, issue_requests, unlimited};
use crate::place::{TargetKind, on_each_target};

on_each_target!(a_load_takes_one_look_up_an_issue_and_a_change_little_more,);

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
