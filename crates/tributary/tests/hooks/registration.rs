//! The hook at CODING: made once, found again, put right, removed; or left to a person.

use coding_sim::{Operation, ProjectToken};
use engine::inbox::StandingKind;
use serde_json::json;

use super::{Hooked, PROJECT, is, team};
use crate::support::until;

/// The events of issues, iterations and members that the simulator offers.
const WANTED: [&str; 14] = [
    "ISSUE_ASSIGNEE_CHANGED",
    "ISSUE_COMMENT_CREATED",
    "ISSUE_CREATED",
    "ISSUE_DELETED",
    "ISSUE_ITERATION_CHANGED",
    "ISSUE_RELATIONSHIP_CHANGED",
    "ISSUE_STATUS_UPDATED",
    "ISSUE_UPDATED",
    "ITERATION_CREATED",
    "ITERATION_DELETED",
    "ITERATION_UPDATED",
    "MEMBER_CREATED",
    "MEMBER_DELETED",
    "MEMBER_ROLE_UPDATED",
];

#[tokio::test(flavor = "multi_thread")]
async fn one_hook_is_made_found_again_and_removed() {
    let hooked = Hooked::new(team(30), "", "").await;
    let running = hooked.start_registered().await;
    let hook = hooked.hook();
    let mut events = hook.events.clone();
    events.sort_unstable();
    // What CODING does not offer (the planning of iterations, hours of work) is left out, and nothing fails.
    assert_eq!(events, WANTED);
    assert_eq!((hook.name.as_str(), hook.has_token), ("tributary: app", true));
    assert_eq!(hooked.requests("PingServiceHook"), 1);
    hooked.rename(3, "told by the hook");
    hooked.becomes_exact().await;
    let ended = hooked.stop(running).await;
    assert!(!ended.stderr.contains(&hook.url), "the URL is as secret as its token: {ended:?}");

    hooked.world().reset_counters();
    let running = hooked.start().await;
    until("the hook is looked for", async || (hooked.requests("DescribeServiceHooks") > 0).then_some(()))
        .await;
    hooked.rename(4, "told again");
    hooked.becomes_exact().await;
    assert_eq!(hooked.hook(), hook);
    for action in ["CreateServiceHook", "ModifyServiceHook", "PingServiceHook"] {
        assert_eq!(hooked.requests(action), 0, "{action}");
    }
    hooked.stop(running).await;

    // By hand it is found as well; removed, it is gone, and nothing is left to remove.
    let registered = hooked.hooks(&["register"]).await;
    assert_eq!(
        registered,
        json!({"hooks": [{"project": PROJECT, "id": hook.id, "how": "found", "left_out": []}]})
    );
    assert_eq!(hooked.hooks(&["unregister"]).await, json!({"unregistered": [PROJECT]}));
    assert!(hooked.world().hooks().is_empty());
    assert_eq!(hooked.hooks(&["unregister"]).await, json!({"unregistered": []}));
    assert!(hooked.said(&["unregister"]).await.contains("There is no hook"));
    hooked.stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_is_removed_that_the_file_tells_nothing_of_any_more() {
    let mut config = team(10);
    config.projects.push(coding_sim::ProjectConfig::new("other", 5, 2, 3));
    let hooked = Hooked::new(config, "", "").await;
    let registered = hooked.hooks(&["register"]).await;
    assert_eq!(registered["hooks"].as_array().unwrap().len(), 2, "{registered}");
    assert_eq!(hooked.world().hooks().len(), 2);

    // A project is taken out of the file, then the hook is made by hand, then changes are polled.
    hooked.edit("projects: [app, other]", "projects: [app]");
    hooked.edit("    listen:", "    register: manual\n    listen:");
    let said = hooked.said(&["unregister"]).await;
    assert!(
        said.starts_with("Deleted the hook of ") && said.contains("app") && said.contains("other"),
        "{said}"
    );
    let page = format!("{}/p/app/setting/webhook", hooked.stage.sim.url());
    assert!(said.contains("by hand") && said.contains(&page), "{said}");
    assert!(hooked.world().hooks().is_empty());
    let said = hooked.said(&["unregister"]).await;
    assert!(!said.contains("Deleted") && said.contains(&page), "{said}");

    hooked.edit("    register: manual\n", "");
    hooked.hooks(&["register"]).await;
    let address = format!("127.0.0.1:{}", hooked.port);
    let block = format!(
        "  incremental: hybrid\n  webhook:\n    listen: {address}\n    public_url: http://{address}\n"
    );
    hooked.edit(&block, "");
    assert_eq!(hooked.hooks(&["unregister"]).await["unregistered"], json!([PROJECT]));
    assert!(hooked.world().hooks().is_empty());
    assert!(hooked.said(&["unregister"]).await.contains("There is no hook"));
    hooked.stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_changed_is_put_right_at_the_next_start() {
    let hooked = Hooked::new(team(20), "", "").await;
    let running = hooked.start_registered().await;
    let made = hooked.hook();
    hooked.stop(running).await;

    hooked.act_on_hooks("EnabledServiceHook", json!({"Id": [made.id], "Enabled": false})).await;
    assert!(!hooked.hook().enabled);
    let running = hooked.start().await;
    until("it is switched on", async || hooked.hook().enabled.then_some(())).await;
    let ended = hooked.stop(running).await;
    assert!(ended.stderr.contains("it was switched off"), "{ended:?}");
    assert_eq!(hooked.hook(), made);

    let property = json!({"service_url": made.url, "token": "another secret altogether"}).to_string();
    let changed = json!({
        "Id": made.id, "Name": "renamed by a person", "Service": "WebHook", "ServiceAction": "webhook_http_post",
        "Event": ["ISSUE_UPDATED", "GIT_PUSHED"], "Enabled": true, "ActionProperty": property,
        "FilterProperty": "{}",
    });
    hooked.act_on_hooks("ModifyServiceHook", changed).await;
    let running = hooked.start().await;
    until("its events are right", async || (hooked.hook().events == made.events).then_some(())).await;
    assert_eq!((hooked.hook().id, hooked.hook().name.as_str()), (made.id.clone(), "renamed by a person"));
    // The secret is right again, or this would be refused.
    hooked.rename(5, "told by the hook that was put right");
    hooked.becomes_exact().await;
    assert_eq!(hooked.world().hook_counters().total.answered_other, 0);
    hooked.stop(running).await;

    hooked.act_on_hooks("DeleteServiceHook", json!({"Id": [made.id]})).await;
    let running = hooked.start().await;
    until("it is made again", async || hooked.world().hooks().first().map(drop)).await;
    let again = hooked.hook();
    assert!(again.id != made.id && again.url == made.url && again.events == made.events);
    hooked.rename(6, "told by the new hook");
    hooked.becomes_exact().await;
    hooked.stop(running).await;
    hooked.stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_url_replaces_the_old_one_beside_a_running_sync() {
    let hooked = Hooked::new(team(20), "", "").await;
    let running = hooked.start_registered().await;
    let first = hooked.url().await;
    assert_eq!(hooked.get(&first).await, (200, json!({"hook": "alive", "connection": PROJECT})));

    let rotated = hooked.hooks(&["url", "--rotate"]).await;
    let second = rotated["url"].as_str().unwrap().to_owned();
    assert!(second != first && rotated["older_until"].is_string(), "{rotated}");
    until("the hook has the new URL", async || (hooked.hook().url == second).then_some(())).await;
    for url in [&first, &second] {
        assert_eq!(hooked.get(url).await.0, 200);
    }
    hooked.rename(3, "told at the new URL");
    hooked.becomes_exact().await;
    assert!(hooked.said(&["url"]).await.contains("The URL before it works for another 23 h 59 min."));

    let said = hooked.said(&["url", "--revoke"]).await;
    assert!(said.contains("All older URLs are refused now."), "{said}");
    assert!(said.contains("The running sync gives the new URL to CODING within seconds."), "{said}");
    let third = hooked.url().await;
    until("the hook has the third URL", async || (hooked.hook().url == third).then_some(())).await;
    for url in [&first, &second] {
        assert_eq!(hooked.get(url).await.0, 404);
    }
    hooked.rename(4, "told at the third URL");
    hooked.becomes_exact().await;
    assert_eq!(hooked.world().hooks().len(), 1);
    hooked.stop(running).await;
    let said = hooked.said(&["url", "--rotate"]).await;
    assert!(said.contains("The next `tributary sync` gives the new URL"), "nobody runs: {said}");
    hooked.stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_hand_the_steps_are_printed_and_coding_is_not_asked() {
    let hooked = Hooked::new(team(20), "    register: manual\n", "").await;
    let said = hooked.said(&["register"]).await;
    let url = hooked.url().await;
    let secret = hooked.hooks(&["url"]).await["secret"].as_str().unwrap().to_owned();
    let page = format!("{}/p/app/setting/webhook", hooked.stage.sim.url());
    for part in [&page, &url, &secret, "Service Hook of project app", "新建 Service Hook", "签名令牌"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    let steps = hooked.hooks(&["register"]).await;
    assert!(steps["steps"][0].as_str().unwrap().contains(&url), "{steps}");
    assert!(hooked.world().counters().requests.is_empty(), "{:?}", hooked.world().counters());

    let running = hooked.start().await;
    let id = hooked.world().register_hook(PROJECT, &url, &secret, &[]).unwrap();
    hooked.act_on_hooks("PingServiceHook", json!({"Id": [id]})).await;
    // Deliveries are sent side by side: the ping is to come first.
    hooked.until_settled(1).await;
    hooked.rename(3, "told by the hook made by hand");
    hooked.becomes_exact().await;
    let entries = hooked.until_settled(2).await;
    assert!(is(&entries[0], "PING"), "{entries:?}");
    assert_eq!(entries[1].standing.kind(), StandingKind::Applied, "{entries:?}");
    assert_eq!((hooked.hook().id, hooked.requests("CreateServiceHook")), (id, 0));
    let check = hooked.run("check", &["--json"]).await.expect(0).json();
    assert!(check.to_string().contains("set up by hand"), "{check}");
    hooked.stop(running).await;
    hooked.stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_project_token_it_says_why_it_cannot_and_polls_go_on() {
    let mut config = team(20);
    config.project_tokens = vec![ProjectToken {
        user: "pt".to_owned(),
        password: "project-password".to_owned(),
        project: PROJECT.to_owned(),
        scopes: coding_sim::all_scopes(),
    }];
    let hooked = Hooked::new(config, "", "").await;
    hooked.edit(
        &format!("{{ token: \"{}\" }}", coding_sim::DEFAULT_TOKEN),
        "{ project_token: { user: pt, password: project-password } }",
    );
    hooked.edit("  rate_limit: 0\n", "  rate_limit: 0\n  polling: { interval: 1s, census_interval: 2s }\n");
    let running = hooked.start().await;
    let why = "a project token cannot manage Service Hooks";
    until("the status says why", async || {
        let note = hooked.status()?.hooks?.note?;
        note.contains(why).then_some(())
    })
    .await;
    let shown = hooked.run("status", &[]).await.expect(0).stdout;
    assert!(shown.contains(why) && shown.contains("register: manual"), "{shown}");
    let refused = hooked.run("hooks", &["register"]).await.expect(1);
    assert!(refused.stderr.contains(why) && refused.stderr.contains("[CODING-HOOK]"), "{refused:?}");
    let check = hooked.run("check", &[]).await.expect(1).stdout;
    assert!(check.contains(why), "{check}");

    hooked.rename(3, "found by a poll");
    hooked.world().apply(&[Operation::DeleteIssue { project: PROJECT.to_owned(), code: 7 }]).unwrap();
    hooked.becomes_exact().await;
    let ended = hooked.stop(running).await;
    assert!(ended.stderr.contains(why) && !ended.stderr.contains("project-password"), "{ended:?}");
    assert!(hooked.world().hooks().is_empty());
    hooked.stage.sim.stop().await;
}
