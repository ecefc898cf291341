//! Recorded and documented bodies go through the client. They lie in the reference folder beside the checkout;
//! without it the test says that it is skipped.

use std::path::PathBuf;

use coding_api::{Client, Error, IssueQuery, IssueType, Page, Reply, Row};
use serde_json::Value;

use crate::server::{Server, json};

/// What a call gave, as the JSON that it must be equal to.
async fn call(client: &Client, action: &str) -> Option<Result<Value, Error>> {
    let one = |reply: Result<Reply<Row>, Error>| reply.map(|reply| Value::Object(reply.value));
    let many = |reply: Result<Reply<Vec<Row>>, Error>| reply.map(|reply| rows(reply.value));
    let page = |page: Result<Page, Error>| page.map(|page| rows(page.rows));
    Some(match action {
        "DescribeCodingCurrentUser" => one(client.current_user().await),
        "DescribeTeam" => one(client.team().await),
        "DescribeProjectByName" => one(client.project_by_name("p").await),
        "DescribeOneProject" => one(client.project(1).await),
        "DescribeUserProjects" => many(client.user_projects(1).await),
        "DescribeCodingProjects" => page(client.projects().page(1).await),
        "DescribeIssueListWithPage" => page(client.issues(IssueQuery::new("p")).page(1).await),
        "DescribeIssue" => one(client.issue("p", 1).await),
        "DescribeSubIssueList" => many(client.sub_issues("p", 1).await),
        "DescribeIterationList" => page(client.iterations("p").page(1).await),
        "DescribeIteration" => one(client.iteration("p", 1).await),
        "DescribeProjectMembers" => page(client.project_members(1).page(1).await),
        "DescribeTeamMembers" => page(client.team_members().page(1).await),
        "DescribeProjectRoles" => many(client.project_roles(1).await),
        "DescribeProjectIssueFieldList" => many(client.issue_fields("p", IssueType::Defect, None).await),
        "DescribeProjectIssueTypeList" => many(client.project_issue_types("p").await),
        "DescribeTeamIssueTypeList" => many(client.team_issue_types().await),
        "DescribeProjectIssueStatusList" => {
            many(client.issue_statuses("p", IssueType::Defect, Some(3)).await)
        }
        _ => return None,
    })
}

fn rows(rows: Vec<Row>) -> Value {
    rows.into_iter().map(Value::Object).collect()
}

/// Whether `wanted` occurs somewhere in `body`, whole.
fn holds(body: &Value, wanted: &Value) -> bool {
    body == wanted
        || match body {
            Value::Object(fields) => fields.values().any(|field| holds(field, wanted)),
            Value::Array(items) => items.iter().any(|item| holds(item, wanted)),
            _ => false,
        }
}

#[tokio::test]
async fn every_recorded_body_is_read_whole() {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/coding/samples"));
    let Ok(files) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: the reference folder beside the checkout is missing");
        return;
    };
    let mut read = 0;
    for file in files {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap();
        let Some(action) = name.split('.').next().filter(|_| name.ends_with(".json")) else { continue };
        let whole: Value = serde_json::from_slice(&std::fs::read(file.path()).unwrap()).unwrap();
        let body = match (whole.get("request"), whole.get("response")) {
            (Some(_), Some(response)) => response.clone(),
            _ => whole,
        };
        let text = body.to_string();
        let server = Server::start(move |_| json(&text)).await;
        let Some(result) = call(&server.personal(), action).await else { continue };
        read += 1;
        if name.contains("captured-error") {
            assert!(result.is_err(), "{name}");
        } else {
            let value = result.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(holds(&body, &value), "{name} gave something else than it holds");
            assert!(!matches!(&value, Value::Array(rows) if rows.is_empty()), "{name} gave no rows");
        }
    }
    assert!(read >= 30, "only {read} bodies were read");
}
