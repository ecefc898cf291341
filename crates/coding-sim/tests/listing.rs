//! The issue list: conditions, sort orders, sub-issues, pages.

use coding_sim::{IssueFields, Operation, Shape, Table};
use serde_json::{Value, json};

use crate::client::Bench;

async fn list(bench: &Bench, more: Value) -> Value {
    let mut fields = json!({"ProjectName": "mobile-app", "IssueType": "ALL", "PageNumber": 1, "PageSize": 500, "ShowSubIssues": true});
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    bench.ok("DescribeIssueListWithPage", fields).await["Data"].clone()
}

fn codes(data: &Value) -> Vec<u64> {
    data["List"].as_array().unwrap().iter().map(|row| row["Code"].as_u64().unwrap()).collect()
}

/// The codes that a list gives for a condition, ascending, against those of the truth that fit.
async fn check(bench: &Bench, condition: Value, fits: impl Fn(&Value) -> bool) {
    let data = list(bench, json!({"Conditions": [condition], "SortValue": "ASC"})).await;
    let truth = bench.sim.world().truth(Table::Issues, "mobile-app", Shape::Full).unwrap();
    let expected: Vec<u64> =
        truth.iter().filter(|row| fits(row)).map(|row| row["Code"].as_u64().unwrap()).collect();
    assert!(
        !expected.is_empty() && expected.len() < truth.len(),
        "the condition tells rows apart: {condition}"
    );
    assert_eq!(codes(&data), expected, "{condition}");
    assert_eq!(data["TotalCount"], expected.len(), "{condition}");
}

fn number(value: &Value) -> i64 {
    value.as_i64().unwrap()
}

#[tokio::test]
async fn conditions_choose_the_rows_that_fit() {
    let bench = Bench::start(|_| {}).await;
    let truth = bench.sim.world().truth(Table::Issues, "mobile-app", Shape::Full).unwrap();
    let first = |key: &str| truth.iter().map(|row| number(&row[key])).find(|id| *id != 0).unwrap();
    let (assignee, creator, status) = (first("AssigneeId"), first("CreatorId"), first("IssueStatusId"));
    let text = |number: i64| number.to_string();
    check(&bench, json!({"Key": "ISSUE_TYPE", "Value": "DEFECT,SUB_TASK"}), |row| {
        row["Type"] == "DEFECT" || row["Type"] == "SUB_TASK"
    })
    .await;
    check(&bench, json!({"Key": "ISSUE_TYPE_ID", "Value": "31101"}), |row| row["IssueTypeId"] == 31_101)
        .await;
    check(&bench, json!({"Key": "STATUS_TYPE", "Value": "TODO,PROCESSING"}), |row| {
        row["IssueStatusType"] != "COMPLETED"
    })
    .await;
    check(&bench, json!({"Key": "STATUS", "Value": text(status)}), |row| row["IssueStatusId"] == status)
        .await;
    check(&bench, json!({"Key": "PRIORITY", "Value": "0,3"}), |row| {
        row["Priority"] == "0" || row["Priority"] == "3"
    })
    .await;
    check(&bench, json!({"Key": "PRIORITY", "ConstValue": "UNSPECIFIC"}), |row| row["Priority"] == "").await;
    check(&bench, json!({"Key": "ASSIGNEE", "Value": text(assignee)}), |row| {
        row["Assignees"].as_array().unwrap().iter().any(|user| user["Id"] == assignee)
    })
    .await;
    check(&bench, json!({"Key": "ASSIGNEE", "ConstValue": "UNSPECIFIC"}), |row| row["AssigneeId"] == 0).await;
    check(&bench, json!({"Key": "CREATOR", "Value": text(creator)}), |row| row["CreatorId"] == creator).await;
    check(&bench, json!({"Key": "WATCHER", "Value": text(creator)}), |row| {
        row["Watchers"].as_array().unwrap().iter().any(|user| user["Id"] == creator)
    })
    .await;
    check(&bench, json!({"Key": "LABEL", "ConstValue": "UNSPECIFIC"}), |row| row["Labels"] == json!([]))
        .await;
    check(&bench, json!({"Key": "MODULE", "ConstValue": "UNSPECIFIC"}), |row| {
        row["ProjectModule"]["Id"] == 0
    })
    .await;
    check(&bench, json!({"Key": "ITERATION", "Value": "2,3"}), |row| {
        row["Iteration"]["Code"] == 2 || row["Iteration"]["Code"] == 3
    })
    .await;
    check(&bench, json!({"Key": "ITERATION", "ConstValue": "UNSPECIFIC"}), |row| row["IterationId"] == 0)
        .await;
    let parent = first("ParentCode");
    check(&bench, json!({"Key": "PARENT", "Value": text(parent)}), |row| row["ParentCode"] == parent).await;
    check(&bench, json!({"Key": "WORKING_HOURS", "Value": "0.1_5.0"}), |row| {
        (0.1..=5.0).contains(&row["WorkingHours"].as_f64().unwrap())
    })
    .await;
    check(&bench, json!({"Key": "KEYWORD", "Value": "api"}), |row| {
        row["Name"].as_str().unwrap().to_lowercase().contains("api")
    })
    .await;
    check(&bench, json!({"Key": "CUSTOM", "CustomFieldId": 81_005, "Value": "是"}), |row| {
        row["CustomFields"].as_array().unwrap().iter().any(|f| f["Id"] == 81_005 && f["ValueString"] == "是")
    })
    .await;
    check(&bench, json!({"Key": "DUE_DATE", "ConstValue": "UNSPECIFIC"}), |row| row["DueDate"] == 0).await;
    // 2025-08-01 00:00 to 2025-08-31 24:00 at UTC+8.
    let august = 1_753_977_600_000..1_756_656_000_000;
    for key in ["CREATED_AT", "UPDATED_AT", "DUE_DATE", "START_DATE"] {
        let field = match key {
            "CREATED_AT" => "CreatedAt",
            "UPDATED_AT" => "UpdatedAt",
            "DUE_DATE" => "DueDate",
            _ => "StartDate",
        };
        let condition = json!({"Key": key, "Value": "2025-08-01_2025-08-31"});
        check(&bench, condition, |row| august.contains(&number(&row[field]))).await;
    }
    let both = json!([{"Key": "PRIORITY", "Value": "1"}, {"Key": "ISSUE_TYPE", "Value": "MISSION"}]);
    let data = list(&bench, json!({"Conditions": both})).await;
    let rows = data["List"].as_array().unwrap();
    assert!(!rows.is_empty() && rows.iter().all(|row| row["Priority"] == "1" && row["Type"] == "MISSION"));
    bench.sim.stop().await;
}

#[tokio::test]
async fn a_window_ends_at_the_second_at_utc8() {
    let bench = Bench::start(|_| {}).await;
    let due = |day: &str| IssueFields { due_date: Some(day.to_owned()), ..IssueFields::default() };
    let set = |code, day: &str| Operation::SetIssue {
        project: "mobile-app".to_owned(),
        code,
        fields: Box::new(due(day)),
        touch: false,
    };
    bench.sim.world().apply(&[set(1, "2031-05-05"), set(2, "2031-05-06")]).unwrap();
    let found = |value: &'static str| {
        let bench = &bench;
        async move { codes(&list(bench, json!({"Conditions": [{"Key": "DUE_DATE", "Value": value}]})).await) }
    };
    assert_eq!(found("2031-05-05_2031-05-05").await, [1]);
    assert_eq!(found("2031-05-05_2031-05-06").await, [2, 1]);
    assert_eq!(found("2031-05-05 23:59:59_2031-05-06 23:59:58").await, [1]);
    assert_eq!(found("2031-05-06 00:00:00_2031-05-06 23:59:58").await, [0; 0]);
    bench.sim.stop().await;
}

#[tokio::test]
async fn rows_are_sorted_by_every_key() {
    let bench = Bench::start(|_| {}).await;
    for (key, field) in [
        ("CODE", "Code"),
        ("CREATED_AT", "CreatedAt"),
        ("UPDATED_AT", "UpdatedAt"),
        ("DUE_DATE", "DueDate"),
        ("COMPLETED_AT", "CompletedAt"),
        ("STATUS", "IssueStatusId"),
        ("ISSUE_STATUS_ID", "IssueStatusId"),
        ("ASSIGNEE", "AssigneeId"),
        ("PARENT_ID", "ParentCode"),
        ("JOIN_ITERATION_AT", "IterationId"),
    ] {
        let data = list(&bench, json!({"SortKey": key, "SortValue": "ASC"})).await;
        let values: Vec<i64> =
            data["List"].as_array().unwrap().iter().map(|row| number(&row[field])).collect();
        assert!(values.is_sorted() && values.len() == 400, "{key}");
        let mut ascending = codes(&data);
        ascending.reverse();
        assert_eq!(codes(&list(&bench, json!({"SortKey": key})).await), ascending, "{key} descending");
    }
    let data = list(&bench, json!({"SortKey": "PRIORITY", "SortValue": "ASC"})).await;
    let values: Vec<String> =
        data["List"].as_array().unwrap().iter().map(|row| row["Priority"].to_string()).collect();
    assert!(values.is_sorted());
    bench.sim.stop().await;
}

#[tokio::test]
async fn sub_issues_are_listed_on_demand() {
    let bench = Bench::start(|_| {}).await;
    let without = list(&bench, json!({"ShowSubIssues": false})).await;
    assert!(
        without["List"]
            .as_array()
            .unwrap()
            .iter()
            .all(|row| row["ParentCode"] == 0 && row["Type"] != "SUB_TASK")
    );
    assert!(number(&without["TotalCount"]) < 400);
    let default = bench
        .ok(
            "DescribeIssueListWithPage",
            json!({"ProjectName": "mobile-app", "IssueType": "ALL", "PageNumber": 1, "PageSize": 500}),
        )
        .await;
    assert_eq!(default["Data"], without);
    let parent = list(&bench, json!({})).await["List"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["ParentCode"].clone())
        .find(|code| *code != 0)
        .unwrap();
    let children =
        bench.ok("DescribeSubIssueList", json!({"ProjectName": "mobile-app", "IssueCode": parent})).await;
    assert!(children["SubIssueList"].as_array().unwrap().iter().all(|row| row["ParentCode"] == parent));
    bench.sim.stop().await;
}

#[tokio::test]
async fn pages_cover_all_rows_and_end() {
    let bench = Bench::start(|_| {}).await;
    for more in [json!({}), json!({"SortKey": "PRIORITY"}), json!({"IssueType": "DEFECT"})] {
        let whole = list(&bench, more.clone()).await;
        let mut all = Vec::new();
        for page in 1..=60 {
            let mut fields = more.clone();
            fields["PageNumber"] = json!(page);
            fields["PageSize"] = json!("7");
            let data = list(&bench, fields).await;
            assert_eq!(data["PageNumber"], page);
            assert_eq!(data["PageSize"], 7);
            assert_eq!(data["TotalCount"], whole["TotalCount"]);
            assert_eq!(number(&data["TotalPage"]), (number(&whole["TotalCount"]) + 6) / 7);
            all.extend(codes(&data));
        }
        assert_eq!(all, codes(&whole));
    }
    bench.sim.stop().await;
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused() {
    let bench = Bench::start(|_| {}).await;
    let ask = |more: Value| {
        let mut fields =
            json!({"ProjectName": "mobile-app", "IssueType": "ALL", "PageNumber": 1, "PageSize": 10});
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        bench.refused("DescribeIssueListWithPage", fields)
    };
    assert_eq!(ask(json!({"Conditions": [{"Key": "ITERATION", "Value": "1,99"}]})).await, "ResourceNotFound");
    assert_eq!(ask(json!({"Conditions": [{"Key": "COLOUR", "Value": "1"}]})).await, "InvalidParameter");
    assert_eq!(
        ask(json!({"Conditions": [{"Key": "UPDATED_AT", "Value": "yesterday"}]})).await,
        "InvalidParameterValue"
    );
    assert_eq!(ask(json!({"IssueType": "STORY"})).await, "InvalidParameterValue");
    assert_eq!(ask(json!({"SortKey": "MOOD"})).await, "InvalidParameterValue");
    assert_eq!(ask(json!({"ProjectName": null})).await, "MissingParameter");
    assert_eq!(ask(json!({"ProjectName": "nowhere"})).await, "ResourceNotFound");
    let code = json!({"ProjectName": "mobile-app", "IssueCode": 4_000});
    assert_eq!(bench.refused("DescribeIssue", code).await, "ResourceNotFound");
    bench.sim.stop().await;
}
