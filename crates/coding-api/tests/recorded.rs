//! Recorded and documented bodies go through the client. They lie in the reference folder beside the checkout;
//! without it the test says that it is skipped.

use std::path::PathBuf;

use coding_api::{Client, Error, HookSettings, IssueQuery, IssueType, Page, Reply, Row, ServiceHook};
use futures::TryStreamExt as _;
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
        "CreateServiceHook" => hook(client.create_service_hook(450, &settings()).await),
        "ModifyServiceHook" => hook(client.modify_service_hook(450, "h", &settings()).await),
        "DescribeServiceHook" => hook(client.service_hook(3, "h").await),
        "DescribeServiceHooks" => client
            .service_hooks(450, None)
            .await
            .map(|hooks| hooks.into_iter().map(|hook| Value::Object(hook.raw)).collect()),
        "DescribeServiceHookLogs" => client
            .service_hook_logs(450, "h")
            .try_collect::<Vec<_>>()
            .await
            .map(|logs| logs.into_iter().map(|log| Value::String(log.id)).collect()),
        "DeleteServiceHook" => done(client.delete_service_hook(450, "h").await),
        "EnabledServiceHook" => done(client.enable_service_hook(450, "h", true).await),
        "PingServiceHook" => done(client.ping_service_hook(450, "h").await),
        "ResendServiceHookLog" => done(client.resend_service_hook_log("l").await),
        "DescribeEvents" => client.events().await.map(|_| Value::String(REQUEST_ID.to_owned())),
        _ => return None,
    })
}

/// Of answers without a row the test asks only that they are taken; their request id stands for them.
const REQUEST_ID: &str = "00000000-0000-0000-0000-000000000000";

fn done(done: Result<(), Error>) -> Result<Value, Error> {
    done.map(|()| Value::String(REQUEST_ID.to_owned()))
}

fn hook(hook: Result<ServiceHook, Error>) -> Result<Value, Error> {
    hook.map(|hook| Value::Object(hook.raw))
}

fn settings() -> HookSettings {
    let (name, url) = ("tributary".to_owned(), "https://hooks.example.com".to_owned());
    HookSettings { name, url, secret: None, basic: None, events: vec!["ISSUE_CREATED".to_owned()] }
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
            let held = match &value {
                // Pages that are read as typed entries, by their ids.
                Value::Array(ids) if ids.iter().all(Value::is_string) => {
                    ids.iter().all(|id| holds(&body, id))
                }
                value => holds(&body, value),
            };
            assert!(held, "{name} gave something else than it holds");
            assert!(!matches!(&value, Value::Array(rows) if rows.is_empty()), "{name} gave no rows");
        }
    }
    assert!(read >= 40, "only {read} bodies were read");
}
