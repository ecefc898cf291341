//! The two ways of paging, cut page sizes, and the rate limit.

use coding_sim::{OffsetStyle, ProjectConfig};
use serde_json::{Value, json};

use crate::client::Bench;

fn codes(list: &Value) -> Vec<u64> {
    list.as_array().unwrap().iter().map(|row| row["Code"].as_u64().unwrap()).collect()
}

async fn iterations(bench: &Bench, offset: u32, limit: u32) -> Vec<u64> {
    let fields = json!({"ProjectName": "mobile-app", "Offset": offset, "Limit": limit});
    codes(&bench.ok("DescribeIterationList", fields).await["Data"]["List"])
}

#[tokio::test]
async fn an_offset_is_a_page_or_a_row() {
    let bench = Bench::start(|_| {}).await;
    assert_eq!(iterations(&bench, 0, 5).await, [12, 11, 10, 9, 8]);
    assert_eq!(iterations(&bench, 1, 5).await, [7, 6, 5, 4, 3]);
    assert_eq!(iterations(&bench, 3, 5).await, [0; 0]);
    bench.sim.stop().await;
    let bench = Bench::start(|config| config.iteration_offset = OffsetStyle::RowOffset).await;
    assert_eq!(iterations(&bench, 1, 5).await, [11, 10, 9, 8, 7]);
    assert_eq!(iterations(&bench, 10, 5).await, [2, 1]);
    bench.sim.stop().await;
}

#[tokio::test]
async fn the_older_service_says_data_in_lower_case() {
    let bench = Bench::start(|config| config.iteration_lower_case_data = true).await;
    let answer = bench
        .ok("DescribeIterationList", json!({"ProjectName": "mobile-app", "Offset": 1, "Limit": 5}))
        .await;
    assert!(answer.get("Data").is_none());
    let data = &answer["data"];
    assert_eq!((&data["Page"], &data["PageSize"], &data["TotalPage"]), (&json!(2), &json!(5), &json!(3)));
    bench.sim.stop().await;
}

#[tokio::test]
async fn iterations_are_filtered() {
    let bench = Bench::start(|_| {}).await;
    let ask = |more: Value| {
        let mut fields = json!({"ProjectName": "mobile-app", "Limit": 100});
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        async { bench.ok("DescribeIterationList", fields).await["Data"].clone() }
    };
    let done = ask(json!({"Status": ["COMPLETED"]})).await;
    assert_eq!(done["TotalRow"], done["List"].as_array().unwrap().len());
    assert!(done["List"].as_array().unwrap().iter().all(|row| row["Status"] == "COMPLETED"));
    let (scalar, lower) = (ask(json!({"Status": "COMPLETED"})).await, ask(json!({"keywords": " 12"})).await);
    assert_eq!(scalar, done);
    assert_eq!(codes(&lower["List"]), [12]);
    bench.sim.stop().await;
}

#[tokio::test]
async fn a_page_size_is_cut_without_a_word() {
    let bench = Bench::start(|config| {
        config.projects = vec![ProjectConfig::new("mobile-app", 1_200, 30, 1_234)];
        config.max_page_size = 100;
    })
    .await;
    let project =
        bench.ok("DescribeProjectByName", json!({"ProjectName": "mobile-app"})).await["Project"]["Id"]
            .clone();
    let mut members = std::collections::BTreeSet::new();
    for page in 1..=13 {
        let fields = json!({"ProjectId": project, "PageNumber": page, "PageSize": 500});
        let data = bench.ok("DescribeProjectMembers", fields).await["Data"].clone();
        assert_eq!((&data["PageSize"], &data["TotalCount"]), (&json!(100), &json!(1_234)));
        members
            .extend(data["ProjectMembers"].as_array().unwrap().iter().map(|row| row["Id"].as_u64().unwrap()));
    }
    assert_eq!(members.len(), 1_234);
    let ask = json!({"ProjectName": "mobile-app", "IssueType": "ALL", "ShowSubIssues": true, "PageNumber": 2, "PageSize": 500});
    let data = bench.ok("DescribeIssueListWithPage", ask.clone()).await["Data"].clone();
    assert_eq!(codes(&data["List"]), (1_001..=1_100).rev().collect::<Vec<_>>());
    bench.sim.world().change_faults(|faults| faults.max_page_size = 40);
    let data = bench.ok("DescribeIssueListWithPage", ask).await["Data"].clone();
    assert_eq!((data["PageSize"].clone(), codes(&data["List"]).len()), (json!(40), 40));
    bench.sim.stop().await;
}

#[tokio::test]
async fn more_than_thirty_in_a_second_are_refused() {
    let bench = Bench::start(|config| config.rate_limit = 30).await;
    let asks = (0..40).map(|_| bench.body("DescribeTeam", json!({})));
    let answers = futures::future::join_all(asks).await;
    let refused =
        answers.iter().filter(|body| body["Response"]["Error"]["Code"] == "RequestLimitExceeded").count();
    let counters = bench.sim.world().counters();
    assert_eq!(counters.of("DescribeTeam"), 40);
    assert_eq!(counters.throttled, u64::try_from(refused).unwrap());
    // Forty at once pass only if they took longer than the window.
    assert!(refused >= 40 - 30 || counters.peak_per_second["DescribeTeam"] < 40, "{counters:?}");
    assert!(refused > 0);
    // Another action has a window of its own.
    bench.ok("DescribeCodingCurrentUser", json!({})).await;
    bench.admin("counters/reset", json!({})).await;
    assert_eq!(bench.sim.world().counters().total(), 0);
    bench.sim.stop().await;
}
