//! What is sent, when, to whom, and with which headers.

use std::time::{Duration, Instant};

use coding_sim::{IssueFields, MutationKind, Operation};
use serde_json::{Value, json};

use crate::client::Bench;
use crate::hooks::receiver::{Answer, Receiver, pair, settle, signature};

pub(crate) fn set(code: u32, fields: IssueFields) -> Operation {
    Operation::SetIssue { project: "backend".to_owned(), code, fields: Box::new(fields), touch: true }
}

pub(crate) fn rename(code: u32, name: &str) -> Operation {
    set(code, IssueFields { name: Some(name.to_owned()), ..IssueFields::default() })
}

#[tokio::test]
async fn a_delivery_is_signed_and_has_the_documented_headers() {
    let bench = Bench::start(|_| {}).await;
    let world = bench.sim.world();
    let receiver = Receiver::start().await;
    let project =
        bench.ok("DescribeProjectByName", json!({"ProjectName": "backend"})).await["Project"]["Id"].clone();
    let property = json!({
        "service_url": receiver.url(), "token": "a token 密", "username": "me", "password": "pass",
        "headers": "X-Second: factor\nX-Third:3", "template": "",
    });
    let hook = bench
        .ok(
            "CreateServiceHook",
            json!({"ProjectId": project, "Service": "WebHook", "ServiceAction": "webhook_http_post",
                "Event": ["ISSUE_UPDATED"], "Enabled": true, "ActionProperty": property.to_string()}),
        )
        .await["ServiceHook"]["Id"]
        .clone();
    world.apply(&[rename(1, "新标题 🚀 \"quoted\"")]).unwrap();
    let all = receiver.all(&world).await;
    let [seen] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!(seen.method, "POST");
    assert_eq!(seen.event(), "ISSUE_UPDATED");
    assert_eq!(seen.header("X-Coding-Service-Hook-Id"), hook);
    assert_eq!(seen.header("X-Coding-Service-Hook-Action"), "webhook_http_post");
    assert_eq!(seen.id().len(), 36);
    assert_eq!(seen.header("User-Agent"), "Coding.net Hook");
    assert_eq!(seen.header("Content-Type"), "application/json");
    assert_eq!(seen.header("Authorization"), "Basic bWU6cGFzcw==");
    assert_eq!((seen.header("X-Second"), seen.header("X-Third")), ("factor", "3"));
    assert_eq!(seen.header("X-Coding-Signature"), signature("a token 密".as_bytes(), &seen.bytes));
    let body = seen.json();
    assert_eq!((&body["hook_id"], &body["event"]), (&hook, &json!("ISSUE_UPDATED")));
    bench.sim.stop().await;
}

#[tokio::test]
async fn every_change_raises_its_event() {
    let bench = Bench::start(|config| config.hook_concurrency = 1).await;
    let world = bench.sim.world();
    let receiver = pair(&bench.sim, &[]).await;
    let user = world.users()[2];
    let outsider = *world.users().last().unwrap();
    let project = || "backend".to_owned();
    let fields = |value: Value| -> IssueFields { serde_json::from_value(value).unwrap() };
    let issue = |value: Value| set(1, fields(value));
    // A state that the changes below differ from.
    world
        .apply(&[issue(json!({"type": null, "status": 52_001, "assignee": 0, "iteration": 0, "parent": 0}))])
        .unwrap();
    receiver.all(&world).await;
    let cases = [
        (Operation::CreateIssue { project: project(), fields: Box::default() }, vec!["ISSUE_CREATED"]),
        (issue(json!({"status": 52_003})), vec!["ISSUE_STATUS_UPDATED"]),
        (issue(json!({"assignee": user})), vec!["ISSUE_ASSIGNEE_CHANGED"]),
        (issue(json!({"iteration": 2})), vec!["ISSUE_ITERATION_CHANGED", "ITERATION_PLANNED"]),
        (issue(json!({"iteration": 0})), vec!["ISSUE_ITERATION_CHANGED"]),
        (rename(1, "another"), vec!["ISSUE_UPDATED"]),
        (issue(json!({"status": 52_005, "name": "both"})), vec!["ISSUE_STATUS_UPDATED", "ISSUE_UPDATED"]),
        (
            Operation::SetIssue {
                project: project(),
                code: 1,
                fields: Box::new(fields(json!({"watchers": [user]}))),
                touch: false,
            },
            vec!["ISSUE_UPDATED"],
        ),
        (
            Operation::CommentIssue { project: project(), code: 1, content: "AAA".to_owned() },
            vec!["ISSUE_COMMENT_CREATED"],
        ),
        (
            Operation::LogWork { project: project(), code: 1, hours: -1.5, remaining: 3.0 },
            vec!["ISSUE_HOUR_RECORD_UPDATED"],
        ),
        (
            Operation::CreateIteration { project: project(), name: "x".to_owned(), goal: String::new() },
            vec!["ITERATION_CREATED"],
        ),
        (
            Operation::RenameIteration { project: project(), code: 6, name: "y".to_owned() },
            vec!["ITERATION_UPDATED"],
        ),
        (Operation::DeleteIteration { project: project(), code: 2 }, vec!["ITERATION_DELETED"]),
        (
            Operation::AddMember { project: project(), user: outsider, roles: Vec::new() },
            vec!["MEMBER_CREATED"],
        ),
        (
            Operation::SetRoles {
                project: project(),
                user: outsider,
                roles: vec!["ProjectAdmin".to_owned()],
            },
            vec!["MEMBER_ROLE_UPDATED"],
        ),
        (Operation::DeleteMember { project: project(), user: outsider }, vec!["MEMBER_DELETED"]),
        (Operation::RenameUser { user, name: "Nobody Else".to_owned() }, vec![]),
        (Operation::DeleteIssue { project: project(), code: 1 }, vec!["ISSUE_DELETED"]),
    ];
    for (operation, expected) in cases {
        world.apply(std::slice::from_ref(&operation)).unwrap();
        assert_eq!(receiver.events(&world).await, expected, "{operation:?}");
    }
    bench.sim.stop().await;
}

#[tokio::test]
async fn actions_of_the_api_raise_one_event_each() {
    let bench = Bench::start(|config| config.hook_concurrency = 1).await;
    let world = bench.sim.world();
    let receiver = pair(&bench.sim, &[]).await;
    let named = |mut fields: Value| {
        fields["ProjectName"] = json!("backend");
        fields
    };
    for (action, fields, expected) in [
        ("CreateIssue", json!({"Type": "MISSION", "Name": "n", "Priority": "1"}), "ISSUE_CREATED"),
        ("ModifyIssue", json!({"IssueCode": 121, "Name": "m"}), "ISSUE_UPDATED"),
        ("DeleteIssue", json!({"IssueCode": 121}), "ISSUE_DELETED"),
        ("CreateIteration", json!({"Name": "i", "Goal": "g", "StartAt": "2025-09-01"}), "ITERATION_CREATED"),
        ("ModifyIteration", json!({"IterationCode": 6, "Name": "j", "Goal": "h"}), "ITERATION_UPDATED"),
        ("DeleteIteration", json!({"IterationCode": 6}), "ITERATION_DELETED"),
    ] {
        bench.ok(action, named(fields)).await;
        assert_eq!(receiver.events(&world).await, [expected], "{action}");
    }
    bench.sim.stop().await;
}

#[tokio::test]
async fn orphans_of_what_is_deleted_send_nothing() {
    let bench = Bench::start(|config| config.hook_concurrency = 1).await;
    let world = bench.sim.world();
    let child =
        IssueFields { kind: Some("SUB_TASK".to_owned()), parent: Some(121), ..IssueFields::default() };
    let planned = IssueFields { iteration: Some(6), ..IssueFields::default() };
    let project = || "backend".to_owned();
    world
        .apply(&[
            Operation::CreateIteration { project: project(), name: "full".to_owned(), goal: String::new() },
            Operation::CreateIssue { project: project(), fields: Box::new(planned) },
            Operation::CreateIssue { project: project(), fields: Box::new(child) },
        ])
        .unwrap();
    let receiver = pair(&bench.sim, &[]).await;
    world
        .apply(&[
            Operation::DeleteIteration { project: project(), code: 6 },
            Operation::DeleteIssue { project: project(), code: 121 },
        ])
        .unwrap();
    assert_eq!(receiver.events(&world).await, ["ITERATION_DELETED", "ISSUE_DELETED"]);
    bench.sim.stop().await;
}

#[tokio::test]
async fn a_change_may_send_the_general_event_too() {
    let bench = Bench::start(|config| {
        config.hook_concurrency = 1;
        config.hook_faults.double_events = true;
    })
    .await;
    let world = bench.sim.world();
    let receiver = pair(&bench.sim, &[]).await;
    world.apply(&[set(3, IssueFields { status: Some(52_006), ..IssueFields::default() })]).unwrap();
    assert_eq!(receiver.events(&world).await, ["ISSUE_STATUS_UPDATED", "ISSUE_UPDATED"]);
    bench.sim.stop().await;
}

#[tokio::test]
async fn only_wanted_events_of_the_own_project_are_sent() {
    let bench = Bench::start(|_| {}).await;
    let world = bench.sim.world();
    let receiver = pair(&bench.sim, &["ISSUE_DELETED"]).await;
    let other = Operation::DeleteIssue { project: "mobile-app".to_owned(), code: 5 };
    let own = Operation::DeleteIssue { project: "backend".to_owned(), code: 7 };
    world.apply(&[rename(2, "quiet"), other, own]).unwrap();
    let all = receiver.all(&world).await;
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].code(), 7);
    let counters = world.hook_counters();
    assert_eq!((counters.total.raised, counters.total.answered_2xx), (1, 1));
    bench.sim.stop().await;
}

#[tokio::test]
async fn deliveries_begin_in_the_order_of_the_events() {
    let bench = Bench::start(|config| config.hook_concurrency = 1).await;
    let world = bench.sim.world();
    let receiver = pair(&bench.sim, &["ISSUE_UPDATED"]).await;
    let names: Vec<String> = (0..200).map(|number| format!("name {number}")).collect();
    let operations: Vec<Operation> = names.iter().map(|name| rename(9, name)).collect();
    world.apply(&operations).unwrap();
    let titles: Vec<Value> =
        receiver.all(&world).await.iter().map(|seen| seen.json()["issue"]["title"].clone()).collect();
    assert_eq!(titles, names);
    bench.sim.stop().await;
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_up_nothing() {
    let bench = Bench::start(|config| {
        config.hook_timeout = Duration::from_millis(300);
        config.hook_concurrency = 4;
    })
    .await;
    let world = bench.sim.world();
    let receiver = pair(&bench.sim, &["ISSUE_UPDATED"]).await;
    receiver.set_answer(Answer::Never);
    let begun = Instant::now();
    for code in 1..=4 {
        bench.ok("ModifyIssue", json!({"ProjectName": "backend", "IssueCode": code, "Name": "hung"})).await;
    }
    assert!(begun.elapsed() < Duration::from_millis(300), "the API waited for the receiver");
    settle(&world).await;
    assert_eq!(receiver.seen().len(), 4);
    assert_eq!(world.hook_counters().total.failed, 4);
    bench.sim.stop().await;
}

#[tokio::test]
async fn events_without_data_are_sent_by_order() {
    let bench = Bench::start(|config| config.hook_concurrency = 1).await;
    let world = bench.sim.world();
    let receiver = pair(&bench.sim, &["GIT_PUSHED", "CI_JOB_FINISHED", "GIT_MR_MERGED"]).await;
    let order = |event: &str, body: Value| json!({"op": "send_event", "project": "backend", "event": event, "body": body});
    for operation in [
        order("GIT_PUSHED", Value::Null),
        order("GIT_MR_MERGED", Value::Null),
        order("CI_JOB_FINISHED", Value::Null),
        order("CI_JOB_STARTED", Value::Null),
        order("SOMETHING_NEW", json!({"thing": {"id": 1}})),
        order("GIT_PUSHED", json!("not json")),
    ] {
        bench.admin("apply", operation).await;
    }
    let all = receiver.all(&world).await;
    let events: Vec<&str> = all.iter().map(|seen| seen.event()).collect();
    assert_eq!(
        events,
        ["GIT_PUSHED", "GIT_MR_MERGED", "CI_JOB_FINISHED", "SOMETHING_NEW", "GIT_PUSHED"],
        "what nobody wants is not sent, what nobody can want is"
    );
    let push = all[0].json();
    assert_eq!(push["after"], push["head_commit"]["id"]);
    assert_eq!(push["after"].as_str().unwrap().len(), 40);
    assert_eq!(push["repository"]["vcs_type"], "git");
    assert_eq!(all[1].json()["mergeRequest"]["merged"], true);
    assert_eq!(all[1].json()["action"], "merge");
    assert!(all[2].json()["ci"]["build"]["status"].is_string());
    assert_eq!(all[3].json()["thing"]["id"], 1);
    assert_eq!(all[3].json()["eventName"], "SOMETHING_NEW");
    assert_eq!(all[4].bytes, "not json");
    assert_eq!(all[4].header("X-Coding-Signature"), signature(b"s3cret", b"not json"));
    bench.sim.stop().await;
}

#[tokio::test]
async fn the_mutator_can_be_accompanied_by_code() {
    let bench = Bench::start(|config| config.hook_faults.code_events = 0.5).await;
    let world = bench.sim.world();
    let receiver = Receiver::start().await;
    for project in ["backend", "mobile-app"] {
        world.register_hook(project, &receiver.url(), "", &[]).unwrap();
    }
    let changes = world.mutate(200, &[MutationKind::EditLabels]);
    let events = receiver.events(&world).await;
    let code = events.iter().filter(|event| event.starts_with("GIT_") || event.starts_with("CI_")).count();
    assert_eq!(events.len() - code, changes.len());
    assert!((70..130).contains(&code), "{code} of 200");
    bench.sim.stop().await;
}

#[tokio::test]
async fn without_a_hook_nothing_is_raised() {
    let bench = Bench::start(|_| {}).await;
    let world = bench.sim.world();
    let _ = world.mutate(100, &[]);
    assert_eq!(world.hook_counters(), coding_sim::HookCounters::default());
    bench.sim.stop().await;
}
