//! The management actions: life of a hook, refusals, the log, sending again.

use coding_sim::{ProjectToken, TokenConfig};
use serde_json::{Value, json};

use crate::client::Bench;
use crate::hooks::receiver::{Answer, Receiver, settle, signature};
use crate::hooks::sending::rename;

async fn project(bench: &Bench) -> Value {
    bench.ok("DescribeProjectByName", json!({"ProjectName": "backend"})).await["Project"]["Id"].clone()
}

/// A request that creates a hook at `url`, with `more` laid over it.
fn form(project: &Value, url: &str, more: Value) -> Value {
    let mut fields = json!({
        "ProjectId": project, "TargetType": "PROJECT", "Name": "同步", "Service": "WebHook",
        "ServiceAction": "webhook_http_post", "Event": ["ISSUE_UPDATED", "ISSUE_DELETED"], "Enabled": true,
        "ActionProperty": json!({"service_url": url, "token": "s3cret"}).to_string(),
    });
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    fields
}

#[tokio::test]
async fn a_hook_lives_and_dies() {
    let bench = Bench::start(|_| {}).await;
    let world = bench.sim.world();
    let (receiver, project) = (Receiver::start().await, project(&bench).await);
    let created =
        bench.ok("CreateServiceHook", form(&project, &receiver.url(), json!({}))).await["ServiceHook"]
            .clone();
    let id = created["Id"].clone();
    assert_eq!(
        (&created["TargetType"], &created["Action"]),
        (&json!("Project"), &json!("webhook_http_post"))
    );
    assert_eq!(created["EventLabel"], json!(["更新事项信息", "删除事项"]));
    assert_eq!((&created["Status"], &created["LastSucceedAt"]), (&json!(0), &json!(0)));

    let one = |more: Value| {
        let mut fields = json!({"ProjectId": project, "TargetType": "PROJECT", "Id": [id]});
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        fields
    };
    let list = async |more: Value| {
        let page = json!({"PageNumber": 1, "PageSize": 20});
        let mut fields = one(page);
        fields.as_object_mut().unwrap().remove("Id");
        fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        bench.ok("DescribeServiceHooks", fields).await["Data"]["TotalCount"].clone()
    };
    assert_eq!(
        list(json!({"Name": "同", "Enabled": "true", "Event": ["ISSUE_DELETED"], "Service": ["WebHook"]}))
            .await,
        1
    );
    for nothing in [
        json!({"Name": "y"}),
        json!({"Enabled": "false"}),
        json!({"Status": "SUCCESS"}),
        json!({"Service": ["Jenkins"]}),
        json!({"CreatorBy": [5]}),
    ] {
        assert_eq!(list(nothing.clone()).await, 0, "{nothing}");
    }

    assert_eq!(bench.ok("PingServiceHook", one(json!({}))).await["Succeed"], true);
    let ping = receiver.all(&world).await.remove(0);
    assert_eq!((ping.event(), &ping.json()["event"]), ("PING", &json!("PING")));
    assert_eq!(ping.header("X-Coding-Signature"), signature(b"s3cret", &ping.bytes));
    assert_eq!(list(json!({"Status": "SUCCESS"})).await, 1);

    let modify = form(
        &project,
        &receiver.url(),
        json!({"Id": id, "Event": ["ISSUE_DELETED"], "FilterProperty": "{}", "Name": null}),
    );
    bench.ok("ModifyServiceHook", modify).await;
    let described = bench.ok("DescribeServiceHook", one(json!({"Id": id}))).await["ServiceHook"].clone();
    assert_eq!((&described["Name"], &described["Event"]), (&json!("同步"), &json!(["ISSUE_DELETED"])));
    assert_eq!(described["Status"], 1);
    let property: Value = serde_json::from_str(described["ActionProperties"].as_str().unwrap()).unwrap();
    assert_eq!(property["service_url"], receiver.url());
    world.apply(&[rename(1, "unheard")]).unwrap();
    assert!(receiver.all(&world).await.is_empty());

    let delete = json!({"op": "delete_issue", "project": "backend", "code": 1});
    assert_eq!(bench.ok("EnabledServiceHook", one(json!({"Enabled": false}))).await["Succeed"], true);
    bench.admin("apply", delete).await;
    assert!(receiver.all(&world).await.is_empty());
    assert!(!world.hooks()[0].enabled);
    assert_eq!(bench.ok("DeleteServiceHook", one(json!({}))).await["Succeed"], true);
    assert_eq!(bench.refused("DescribeServiceHook", one(json!({"Id": id}))).await, "ResourceNotFound");
    assert_eq!(bench.refused("DeleteServiceHook", one(json!({}))).await, "ResourceNotFound");
    assert!(world.hooks().is_empty());
    bench.sim.stop().await;
}

#[tokio::test]
async fn a_hook_that_is_not_right_is_refused() {
    let bench = Bench::start(|_| {}).await;
    let project = project(&bench).await;
    let refused = async |action: &str, more: Value| {
        bench.refused(action, form(&project, "http://127.0.0.1:1/", more)).await
    };
    for key in ["ProjectId", "Service", "ServiceAction", "Event", "Enabled", "ActionProperty"] {
        assert_eq!(refused("CreateServiceHook", json!({ key: null })).await, "MissingParameter", "{key}");
    }
    let unknown =
        form(&project, "http://127.0.0.1:1/", json!({"Event": ["ISSUE_UPDATED", "ISSUE_TELEPORTED"]}));
    let error = bench.body("CreateServiceHook", unknown).await["Response"]["Error"].clone();
    assert_eq!(error["Code"], "InvalidParameter");
    assert!(error["Message"].as_str().unwrap().contains("ISSUE_TELEPORTED"), "{error}");
    for (more, code) in [
        (json!({"Event": ["ITERATION_PLANNED"]}), "InvalidParameter"),
        (json!({"ServiceAction": "wecom_group_chat_robot"}), "InvalidParameterValue"),
        (json!({"ActionProperty": "{}"}), "InvalidParameterValue"),
        (json!({"ActionProperty": "no"}), "InvalidParameterValue"),
        (json!({"FilterProperty": "{\"type\":\"MISSION\"}"}), "InvalidParameterValue"),
        (json!({"TargetType": "Project"}), "InvalidParameterValue"),
        (json!({"TargetType": "PROGRAM"}), "ResourceNotFound"),
        (json!({"ProjectId": 5}), "ResourceNotFound"),
    ] {
        assert_eq!(refused("CreateServiceHook", more.clone()).await, code, "{more}");
    }
    assert_eq!(refused("ModifyServiceHook", json!({"FilterProperty": "{}"})).await, "MissingParameter");
    assert_eq!(
        refused("ModifyServiceHook", json!({"Id": "x", "FilterProperty": "{}"})).await,
        "ResourceNotFound"
    );
    assert_eq!(
        bench
            .refused("DescribeServiceHooks", json!({"ProjectId": project, "PageNumber": 1, "PageSize": 1}))
            .await,
        "MissingParameter"
    );
    assert_eq!(
        bench.refused("ResendServiceHookLog", json!({"ServiceHookLogId": "x"})).await,
        "ResourceNotFound"
    );
    assert!(bench.sim.world().hooks().is_empty());
    bench.sim.stop().await;
}

#[tokio::test]
async fn events_that_are_not_offered_are_in_no_list() {
    let bench = Bench::start(|config| config.unoffered_events = vec!["GIT_PUSHED".to_owned()]).await;
    let events = bench.ok("DescribeEvents", json!({})).await["Event"].clone();
    let names: Vec<&str> =
        events.as_array().unwrap().iter().map(|event| event["Name"].as_str().unwrap()).collect();
    assert!(names.contains(&"ITERATION_PLANNED") && !names.contains(&"GIT_PUSHED"));
    assert_eq!(
        events[0],
        json!({"Name": "ITERATION_CREATED", "Label": "创建迭代", "GroupName": "ITERATION", "GroupLabel": "迭代"})
    );
    let project = project(&bench).await;
    let create = |event: &str| form(&project, "http://127.0.0.1:1/", json!({"Event": [event]}));
    assert_eq!(bench.refused("CreateServiceHook", create("GIT_PUSHED")).await, "InvalidParameter");
    bench.ok("CreateServiceHook", create("ITERATION_PLANNED")).await;
    bench.sim.stop().await;
}

#[tokio::test]
async fn hooks_need_their_scope_and_a_user() {
    let mut bench = Bench::start(|config| {
        let mut scopes = coding_sim::all_scopes();
        config.project_tokens = vec![ProjectToken {
            user: "pt".to_owned(),
            password: "secret".to_owned(),
            project: "backend".to_owned(),
            scopes: scopes.clone(),
        }];
        scopes.retain(|scope| !scope.starts_with("service-hook"));
        config.more_tokens = vec![TokenConfig { token: "narrow".to_owned(), scopes, projects: None }];
    })
    .await;
    let project = project(&bench).await;
    // The second one is pt:secret.
    for credential in ["token narrow", "Basic cHQ6c2VjcmV0"] {
        bench.authorization = credential.to_owned();
        for (action, fields) in [
            ("DescribeEvents", json!({})),
            ("CreateServiceHook", form(&project, "http://127.0.0.1:1/", json!({}))),
            (
                "DescribeServiceHooks",
                json!({"ProjectId": project, "TargetType": "PROJECT", "PageNumber": 1, "PageSize": 1}),
            ),
        ] {
            assert_eq!(bench.refused(action, fields).await, "UnauthorizedOperation", "{credential} {action}");
        }
    }
    bench.sim.stop().await;
}

#[tokio::test]
async fn the_log_has_what_failed_and_sends_it_again() {
    let bench = Bench::start(|config| config.hook_concurrency = 1).await;
    let world = bench.sim.world();
    let (receiver, project) = (Receiver::start().await, project(&bench).await);
    let hook = world.register_hook("backend", &receiver.url(), "s3cret", &["ISSUE_UPDATED"]).unwrap();
    receiver.set_answer(Answer::Status(503));
    world.apply(&[rename(1, "lost")]).unwrap();
    settle(&world).await;
    receiver.set_answer(Answer::Status(200));
    world.apply(&[rename(2, "got")]).unwrap();
    settle(&world).await;
    let logs = async |page: u32, size: u32| {
        let fields = json!({"ProjectId": project, "Id": hook, "PageNumber": page, "PageSize": size});
        bench.ok("DescribeServiceHookLogs", fields).await["Data"].clone()
    };
    let page = logs(2, 1).await;
    assert_eq!((&page["TotalCount"], &page["PageSize"]), (&json!(2), &json!(1)));
    let failed = page["Log"][0].clone();
    let seen = receiver.take();
    assert_eq!((&failed["Status"], &failed["ResponseStatus"]), (&json!(2), &json!(503)));
    assert_eq!((&failed["Event"], &failed["ResponseBody"]), (&json!("ISSUE_UPDATED"), &json!("thanks")));
    assert_eq!(failed["RequestId"], seen[0].id());
    assert_eq!(failed["RequestContent"].as_str().unwrap().as_bytes(), &seen[0].bytes[..]);
    let headers = failed["RequestHeaders"].as_str().unwrap();
    assert!(headers.contains(&format!("x-coding-delivery: {}", seen[0].id())), "{headers}");
    assert_eq!(logs(1, 1).await["Log"][0]["Status"], 1, "newest first");

    let again = json!({"ServiceHookLogId": failed["Id"]});
    assert_eq!(bench.ok("ResendServiceHookLog", again.clone()).await["Data"]["Success"], true);
    let resent = receiver.all(&world).await.remove(0);
    assert_eq!((resent.id(), &resent.bytes), (seen[0].id(), &seen[0].bytes));
    assert_eq!(resent.header("X-Coding-Signature"), signature(b"s3cret", &resent.bytes));
    world.change_hook_faults(|faults| {
        faults.resend_new_id = true;
        faults.log_without_content = true;
    });
    bench.ok("ResendServiceHookLog", again).await;
    let resent = receiver.all(&world).await.remove(0);
    assert_ne!(resent.id(), seen[0].id());
    assert_eq!(resent.bytes, seen[0].bytes);
    let ended = world.hook_deliveries(&hook);
    assert_eq!(ended.iter().map(|one| one.status).collect::<Vec<_>>(), [503, 200, 200, 200]);
    assert_eq!((&ended[2].id, &ended[3].id), (&ended[0].id, &resent.id().to_owned()));
    let newest = logs(1, 10).await;
    assert_eq!(newest["TotalCount"], 4);
    assert_eq!(
        (&newest["Log"][0]["RequestId"], &newest["Log"][0]["RequestContent"]),
        (&json!(resent.id()), &json!(""))
    );
    bench.sim.stop().await;
}

#[tokio::test]
async fn a_receiver_that_is_away_is_a_failure_in_the_log() {
    let bench = Bench::start(|_| {}).await;
    let world = bench.sim.world();
    let receiver = Receiver::start().await;
    let url = receiver.url();
    drop(receiver);
    let hook = world.register_hook("backend", &url, "", &["ISSUE_UPDATED"]).unwrap();
    world.apply(&[rename(1, "nobody hears")]).unwrap();
    settle(&world).await;
    let fields = json!({"ProjectId": project(&bench).await, "Id": hook, "PageNumber": 1, "PageSize": 5});
    let log = bench.ok("DescribeServiceHookLogs", fields).await["Data"]["Log"][0].clone();
    assert_eq!((&log["Status"], &log["ResponseStatus"]), (&json!(2), &json!(0)));
    assert_eq!(world.hook_counters().of("ISSUE_UPDATED").failed, 1);
    assert_eq!(world.hook_counters().missed().count(), 1);
    bench.sim.stop().await;
}
