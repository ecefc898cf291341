//! After a run to the end every row and field equals the truth.

use coding_sim::ProjectConfig;
use connectors::coding::config::Details;
use engine::delivery::shape::{Deletes, Naming};

use crate::harness::{Bench, assert_equal, issue_requests, unlimited};
use crate::place::{TargetKind, on_each_target};

on_each_target!(details_in_the_background, details_before_the_row_is_written, listed_fields_only,);

fn small() -> Vec<ProjectConfig> {
    vec![ProjectConfig::new("mobile-app", 300, 12, 14), ProjectConfig::new("backend", 80, 5, 9)]
}

async fn check(target: TargetKind, details: Details, naming: Naming, deletes: Deletes) {
    let mut bench = Bench::new(target, unlimited(small())).await;
    bench.settings.details = details;
    bench.task.naming = naming;
    bench.task.deletes = deletes;
    bench.task.listed_only = details == Details::Off;
    let first = bench.once().await;
    assert_equal(&bench).await;
    let issues = first.written("Issues");
    assert_eq!((issues.rows, issues.inserted, issues.updated, issues.deleted), (380, 380, 0, 0));
    assert_eq!(issues.detailed, if details == Details::Off { 0 } else { 380 });

    let second = bench.once().await;
    assert_equal(&bench).await;
    let issues = second.written("Issues");
    assert_eq!(
        (issues.rows, issues.inserted, issues.updated, issues.deleted, issues.detailed),
        (380, 0, 0, 0, 0),
        "what did not change is not written"
    );
    assert_eq!(second.requests("DescribeIssue"), 0, "what did not change is not looked up");
    assert!(issue_requests(&second.status.requests) < 10);
}

async fn details_in_the_background(target: TargetKind) {
    check(target, Details::Background, Naming::Original, Deletes::Hard).await;
}

async fn details_before_the_row_is_written(target: TargetKind) {
    check(target, Details::Eager, Naming::SnakeCase, Deletes::Hard).await;
}

async fn listed_fields_only(target: TargetKind) {
    check(target, Details::Off, Naming::SnakeCase, Deletes::Soft).await;
}
