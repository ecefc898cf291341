//! Every action answers.

use serde_json::json;

use crate::client::Bench;

#[tokio::test]
async fn every_reading_action_answers() {
    let bench = Bench::start(|_| {}).await;
    let user = bench.ok("DescribeCodingCurrentUser", json!({})).await["User"]["Id"].clone();
    let project =
        bench.ok("DescribeProjectByName", json!({"ProjectName": "mobile-app"})).await["Project"].clone();
    assert_eq!(project["Name"], "mobile-app");
    bench.ok("DescribeTeam", json!({})).await;
    let by_id = bench.ok("DescribeOneProject", json!({"ProjectId": project["Id"]})).await;
    assert_eq!(by_id["Project"], project);
    let listed = bench.ok("DescribeUserProjects", json!({"UserId": user})).await;
    assert_eq!(listed["ProjectList"].as_array().unwrap().len(), 2);
    let page = json!({"PageNumber": 1, "PageSize": 100, "ProjectId": project["Id"]});
    let projects = bench.ok("DescribeCodingProjects", page.clone()).await;
    assert_eq!(projects["Data"]["TotalCount"], 2);
    let members = bench.ok("DescribeProjectMembers", page.clone()).await;
    assert_eq!(members["Data"]["ProjectMembers"].as_array().unwrap().len(), 14);
    assert_eq!(bench.ok("DescribeTeamMembers", page.clone()).await["Data"]["TotalCount"], 19);
    assert!(!bench.ok("DescribeProjectRoles", page).await["Roles"].as_array().unwrap().is_empty());
    let named = |extra: serde_json::Value| {
        let mut fields = json!({"ProjectName": "mobile-app", "IssueType": "DEFECT"});
        fields.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        fields
    };
    assert_eq!(
        bench.ok("DescribeProjectIssueFieldList", named(json!({}))).await["ProjectIssueFieldList"][2]["IssueField"]
            ["Type"],
        "CUSTOM"
    );
    assert_eq!(
        bench.ok("DescribeProjectIssueTypeList", named(json!({}))).await["IssueTypes"]
            .as_array()
            .unwrap()
            .len(),
        7
    );
    assert_eq!(
        bench.ok("DescribeTeamIssueTypeList", json!({})).await["IssueTypes"].as_array().unwrap().len(),
        7
    );
    assert_eq!(
        bench.ok("DescribeProjectIssueStatusList", named(json!({}))).await["ProjectIssueStatusList"][0]["IsDefault"],
        true
    );
    let all = json!({"IssueType": "ALL", "ShowSubIssues": true, "PageNumber": 1, "PageSize": 500});
    let issues = bench.ok("DescribeIssueListWithPage", named(all)).await;
    assert_eq!(issues["Data"]["TotalCount"], 400);
    assert_eq!(issues["Data"]["List"].as_array().unwrap().len(), 400);
    assert_eq!(bench.ok("DescribeIssue", named(json!({"IssueCode": 7}))).await["Issue"]["Code"], 7);
    bench.ok("DescribeSubIssueList", named(json!({"IssueCode": 7}))).await;
    assert_eq!(bench.ok("DescribeIterationList", named(json!({"Limit": 500}))).await["Data"]["TotalRow"], 12);
    assert_eq!(
        bench.ok("DescribeIteration", named(json!({"IterationCode": 3}))).await["Iteration"]["Code"],
        3
    );
    assert_eq!(bench.refused("DescribeNothing", json!({})).await, "InvalidParameter");
    bench.sim.stop().await;
}
