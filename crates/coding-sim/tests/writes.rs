//! Writing through the API and by order.

use coding_sim::{Shape, Table};
use serde_json::json;

use crate::client::Bench;

#[tokio::test]
async fn an_issue_lives_and_dies() {
    let bench = Bench::start(|_| {}).await;
    let world = bench.sim.world();
    let user = world.users()[1];
    let created = bench
        .ok(
            "CreateIssue",
            json!({
                "ProjectName": "mobile-app", "Type": "REQUIREMENT", "Name": "新需求 🚀", "Priority": "2",
                "AssigneeId": user, "IterationCode": 3, "StartDate": "2025-09-01", "DueDate": "2025-09-01",
                "WorkingHours": 6, "StoryPoint": "1.0", "LabelIds": [9_000_101], "WatcherIds": [user],
                "CustomFieldValues": [{"Id": 81_007, "Content": user.to_string()}, {"Id": 81_004, "Content": "iOS,Web"}],
                "ThirdLinks": [{"ThirdType": "CODESIGN", "Link": "https://example.com/s", "Title": "设计稿"}],
            }),
        )
        .await["Issue"]
        .clone();
    let code = created["Code"].clone();
    assert_eq!(code, 401);
    assert_eq!(
        (&created["StartDate"], &created["DueDate"]),
        (&json!(1_756_656_000_000_i64), &json!(1_756_742_399_000_i64))
    );
    assert_eq!(created["CustomFields"][0]["ValueString"], "[\"iOS\",\"Web\"]");
    let named = |more: serde_json::Value| {
        let mut fields = more;
        fields["ProjectName"] = json!("mobile-app");
        fields["IssueCode"] = code.clone();
        fields
    };
    let read = bench.ok("DescribeIssue", named(json!({}))).await["Issue"].clone();
    let millis = created["CreatedAt"].as_i64().unwrap();
    assert_eq!(read["CreatedAt"], millis - millis % 1_000, "later reads are floored to the second");
    assert_eq!(read["Assignee"]["Id"], user);
    assert_eq!(read["Labels"][0]["Id"], 9_000_101);

    let sub = json!({"ProjectName": "mobile-app", "Type": "SUB_TASK", "Name": "child", "Priority": "1", "ParentCode": code});
    let child = bench.ok("CreateIssue", sub).await["Issue"]["Code"].clone();
    let modified = bench
        .ok(
            "ModifyIssue",
            named(json!({"StatusId": 52_005, "DelLabelIds": [9_000_101], "LabelIds": [9_000_102]})),
        )
        .await["Issue"]
        .clone();
    assert_eq!(modified["IssueStatusType"], "COMPLETED");
    assert_ne!(modified["CompletedAt"], 0);
    assert_eq!(modified["Labels"][0]["Id"], 9_000_102);
    assert_eq!(modified["SubTasks"][0]["Code"], child);

    let answer = bench.ok("DeleteIssue", named(json!({}))).await;
    assert_eq!(answer.as_object().unwrap().len(), 1, "the request id alone");
    assert_eq!(bench.refused("DescribeIssue", named(json!({}))).await, "ResourceNotFound");
    assert_eq!(bench.refused("DeleteIssue", named(json!({}))).await, "ResourceNotFound");
    let orphan = bench.ok("DescribeIssue", json!({"ProjectName": "mobile-app", "IssueCode": child})).await;
    assert_eq!(orphan["Issue"]["Parent"]["Code"], 0);
    bench.sim.stop().await;
}

#[tokio::test]
async fn what_cannot_be_written_is_refused() {
    let bench = Bench::start(|_| {}).await;
    let create = |more: serde_json::Value| {
        let mut fields =
            json!({"ProjectName": "mobile-app", "Type": "MISSION", "Name": "n", "Priority": "1"});
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        bench.refused("CreateIssue", fields)
    };
    assert_eq!(create(json!({"Type": "SUB_TASK"})).await, "MissingParameter");
    assert_eq!(create(json!({"Name": ""})).await, "MissingParameter");
    assert_eq!(create(json!({"Type": "STORY"})).await, "InvalidParameterValue");
    assert_eq!(create(json!({"IterationCode": 99})).await, "ResourceNotFound");
    assert_eq!(create(json!({"AssigneeId": 5})).await, "InvalidParameterValue");
    assert_eq!(create(json!({"DueDate": "soon"})).await, "InvalidParameterValue");
    assert_eq!(create(json!({"ProjectName": "nowhere"})).await, "ResourceNotFound");
    assert_eq!(bench.sim.world().count(Table::Issues, "mobile-app").unwrap(), 400);
    bench.sim.stop().await;
}

#[tokio::test]
async fn an_iteration_lives_and_dies() {
    let bench = Bench::start(|_| {}).await;
    let create = json!({"ProjectName": "backend", "Name": "sprint x", "Goal": "g", "StartAt": "2025-09-01", "EndAt": "2025-09-14"});
    let made = bench.ok("CreateIteration", create.clone()).await["Iteration"].clone();
    assert_eq!(
        (&made["Code"], &made["StartAt"], &made["EndAt"]),
        (&json!(6), &json!(1_756_656_000_000_i64), &json!(1_757_865_599_000_i64))
    );
    assert_eq!(bench.refused("CreateIteration", create).await, "InvalidParameterValue");
    let unset =
        bench.ok("CreateIteration", json!({"ProjectName": "backend", "Name": "y"})).await["Iteration"]
            .clone();
    assert_eq!(unset["EndAt"], -28_800_000);
    let modify = json!({"ProjectName": "backend", "IterationCode": 6, "Name": "sprint z"});
    let modified = bench.ok("ModifyIteration", modify).await["Iteration"].clone();
    assert_eq!((&modified["Name"], &modified["Goal"]), (&json!("sprint z"), &json!("g")));
    let code = json!({"ProjectName": "backend", "IterationCode": 6});
    bench.ok("DeleteIteration", code.clone()).await;
    assert_eq!(bench.refused("DescribeIteration", code).await, "ResourceNotFound");
    bench.sim.stop().await;
}

#[tokio::test]
async fn operations_come_by_order() {
    let bench = Bench::start(|_| {}).await;
    let world = bench.sim.world();
    let users = world.users();
    let (member, outsider) = (users[2], *users.last().unwrap());
    let operations = json!([
        {"op": "create_issue", "project": "backend", "fields": {"type": "DEFECT", "name": "by order"}},
        {"op": "set_issue", "project": "backend", "code": 1, "fields": {"name": "silent"}, "touch": false},
        {"op": "delete_issue", "project": "backend", "code": 2},
        {"op": "create_iteration", "project": "backend", "name": "one more"},
        {"op": "rename_iteration", "project": "backend", "code": 1, "name": "first"},
        {"op": "delete_iteration", "project": "backend", "code": 2},
        {"op": "add_member", "project": "backend", "user": outsider},
        {"op": "set_roles", "project": "backend", "user": member, "roles": ["ProjectGuest", "ProductManager"]},
        {"op": "rename_user", "user": member, "name": "新名字"},
        {"op": "delete_member", "project": "backend", "user": users[3]},
        {"op": "rename_project", "project": "backend", "name": "server"},
    ]);
    let done = bench.admin("apply", operations).await;
    assert_eq!(done.as_array().unwrap().len(), 11, "{done}");
    assert_eq!(done[0]["key"], 121);
    let issues = world.truth(Table::Issues, "server", Shape::Full).unwrap();
    assert_eq!((issues.len(), &issues[0]["Name"], &issues[1]["Code"]), (120, &json!("silent"), &json!(3)));
    let members = world.truth(Table::ProjectMembers, "server", Shape::Full).unwrap();
    let renamed = members.iter().find(|row| row["Id"] == member).unwrap();
    assert_eq!((renamed["Name"].as_str(), renamed["Roles"].as_array().unwrap().len()), (Some("新名字"), 2));
    assert!(members.iter().any(|row| row["Id"] == outsider));
    assert_eq!(
        bench.refused("DescribeProjectByName", json!({"ProjectName": "backend"})).await,
        "ResourceNotFound"
    );
    let wrong = bench.admin("apply", json!({"op": "delete_issue", "project": "server", "code": 2})).await;
    assert!(wrong["error"].as_str().unwrap().contains("ResourceNotFound"), "{wrong}");
    bench.sim.stop().await;
}
