//! `tributary hooks`, and what `check` and `status` say of the hook.

use coding_sim::{FaultKind, Faults, Operation};
use engine::inbox::StandingKind;
use serde_json::{Value, json};

use super::{Hooked, PROJECT, team};
use crate::support::{Stage, run, tributary, until};

/// The hook's items of `check`: name and outcome.
async fn checked(hooked: &Hooked) -> Vec<(String, String)> {
    let report = hooked.run("check", &["--json"]).await.expect(0).json();
    let text = |item: &Value, key: &str| item[key].as_str().unwrap().to_owned();
    let items = report["items"].as_array().unwrap().iter();
    let items = items.map(|item| (text(item, "name"), text(item, "outcome")));
    items.filter(|(name, _)| name.contains("hook of") || name.contains("deliveries of")).collect()
}

fn items(hook: &str, deliveries: &str) -> Vec<(String, String)> {
    let item = |name: &str, outcome: &str| (format!("source: {name} of {PROJECT}"), outcome.to_owned());
    vec![item("hook", hook), item("deliveries", deliveries)]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_action_works_beside_a_running_sync_with_and_without_json() {
    let hooked = Hooked::new(team(30), "", "").await;
    let url = hooked.said(&["url"]).await;
    assert!(url.starts_with(&format!("URL:     http://127.0.0.1:{}/hooks/", hooked.port)), "{url}");
    let key = hooked.hooks(&["url"]).await;
    assert!(url.contains(key["url"].as_str().unwrap()), "{url} {key}");
    assert!(url.contains(key["secret"].as_str().unwrap()), "{url} {key}");
    assert_eq!(checked(&hooked).await, items("warning", "warning"));

    let running = hooked.start_registered().await;
    assert_eq!(checked(&hooked).await, items("ok", "ok"));
    let pinged = hooked.hooks(&["ping"]).await;
    assert_eq!(pinged["reached"], json!(true));
    let pinged = pinged["number"].to_string();
    assert!(hooked.said(&["ping"]).await.starts_with("The ping arrived after "));
    assert!(hooked.said(&["register"]).await.contains("app: the hook is as it should be"));

    hooked.rename(3, "told by the hook");
    hooked.becomes_exact().await;
    hooked.world().hooks_settled().await;
    let told = hooked.world().hook_deliveries(&hooked.hook().id).last().unwrap().id.clone();
    until("it is in the target", async || hooked.delivery(&told).await.entry.delivered).await;
    let list = hooked.hooks(&["list"]).await;
    let row = list["deliveries"][0].clone();
    assert_eq!((&row["delivery_id"], &row["event"]), (&json!(told), &json!("ISSUE_UPDATED")), "{list}");
    assert_eq!((&row["entity"], &row["project"]), (&json!("issue 3"), &json!(PROJECT)), "{row}");
    assert_eq!((&row["verified"], &row["result"]), (&json!(true), &json!("applied")), "{row}");
    assert!((1..60_000).contains(&row["to_target_ms"].as_i64().unwrap()), "{row}");
    assert_eq!(list["counts"]["applied"], json!(1));
    assert_eq!(
        list["deliveries"].as_array().unwrap().len(),
        2,
        "a ping, which came three times, and a change: {list}"
    );
    assert_eq!(list["deliveries"][1]["repeats"], json!(2), "{list}");
    let only = hooked.hooks(&["list", "--result", "ignored", "--limit", "2"]).await;
    let only = only["deliveries"].as_array().unwrap().clone();
    assert_eq!(only.len(), 1);
    assert!(only.iter().all(|row| row["result"] == "ignored" && row["event"] == "PING"), "{only:?}");
    let listed = hooked.said(&["list"]).await;
    assert!(listed.starts_with("RECEIVED (UTC) "), "{listed}");
    assert!(listed.contains("ISSUE_UPDATED  issue 3  app      yes"), "{listed}");
    assert!(listed.contains("2 deliveries in the inbox: 1 applied, 0 unchanged, 1 ignored"), "{listed}");

    // One delivery, by its id and by its number; nothing of what proved it is kept.
    let number = row["number"].to_string();
    let shown = hooked.hooks(&["show", &told]).await;
    assert_eq!(shown, hooked.hooks(&["show", &number]).await);
    assert_eq!(shown["body"]["issue"]["title"], json!("told by the hook"), "{shown}");
    assert_eq!(shown["headers"]["x-coding-service-hook-event"], json!("ISSUE_UPDATED"));
    let door = format!("http://127.0.0.1:{}/hooks/…", hooked.port);
    assert_eq!(shown["body"]["hook"]["config"]["url"], json!(door), "the token is not shown: {shown}");
    assert!(shown["headers"].get("x-coding-signature").is_none(), "{shown}");
    let said = hooked.said(&["show", &told]).await;
    assert!(said.contains("result:       applied") && said.contains("told by the hook"), "{said}");
    let token = key["url"].as_str().unwrap().rsplit_once('/').unwrap().1.to_owned();
    assert!(said.contains(&door) && !said.contains(&token), "{said}");
    assert!(hooked.said(&["show", &pinged]).await.contains("event:        PING"));
    let unknown = hooked.run("hooks", &["show", "nobody"]).await.expect(1);
    assert!(unknown.stderr.contains("[HOOKS-UNKNOWN]"), "{unknown:?}");

    // Replayed, it tells nothing new: twice.
    for (times, said) in
        [(1, hooked.said(&["replay", &told]).await), (2, hooked.said(&["replay", &number]).await)]
    {
        assert!(said.contains("1 delivery will be worked off once more now."), "{said}");
        until("it was looked at again", async || {
            let entry = hooked.delivery(&told).await.entry;
            (entry.standing.kind() == StandingKind::Unchanged && entry.replays >= times).then_some(())
        })
        .await;
    }
    assert_eq!(hooked.hooks(&["replay", &told, &pinged]).await, json!({"replayed": 2}));
    hooked.until_settled(2).await;
    let nobody = hooked.run("hooks", &["replay", "nobody"]).await.expect(1);
    assert!(nobody.stderr.contains("[HOOKS-UNKNOWN]"), "{nobody:?}");
    assert_eq!(hooked.hooks(&["replay", "--dead"]).await, json!({"replayed": 0}));
    assert_eq!(hooked.hooks(&["dead"]).await["deliveries"], json!([]));
    assert_eq!(hooked.said(&["dead"]).await.trim(), "Nothing was given up.");
    assert_eq!(hooked.said(&["replay", "--dead"]).await.trim(), "Nothing was given up.");

    until("the status counts it", async || {
        let hooks = hooked.status()?.hooks?;
        (hooks.received == 2 && hooks.repeated == 2 && hooks.waiting == 0 && hooks.changes == 1).then_some(())
    })
    .await;
    let status = hooked.run("status", &[]).await.expect(0).stdout;
    assert!(status.contains("hook: last delivery ") && status.contains(", 2 received"), "{status}");
    let rate = "missed-hook rate of the last 24 h, as far as polls have looked: 0.0 % (0 of 1 changes)";
    assert!(status.contains(rate), "{status}");
    let status = hooked.run("status", &["--json"]).await.expect(0).json();
    assert_eq!(status["status"]["hooks"]["received"], json!(2), "{status}");
    hooked.stop(running).await;

    // Nobody listens any more: that it was reached is still known, and a ping is not waited for.
    assert_eq!(checked(&hooked).await, items("ok", "ok"));
    let refused = hooked.run("hooks", &["ping"]).await.expect(1);
    assert!(refused.stderr.contains("no sync is running that could receive it"), "{refused:?}");
    assert!(refused.stderr.contains("[HOOKS-PING]"), "{refused:?}");
    assert_eq!(hooked.requests("PingServiceHook"), 3, "nobody was asked to send one in vain");
    hooked.stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_looked_at_goes_aside_and_can_be_replayed() {
    let hooked = Hooked::new(team(20), "    give_up_after: 1s\n", "").await;
    let running = hooked.start_registered().await;
    let faults =
        Faults { actions: vec!["DescribeIssue".to_owned()], ..Faults::only(FaultKind::DetailNotFound, 1.0) };
    hooked.world().set_faults(faults);
    hooked.rename(3, "nobody can look at it");
    hooked.world().hooks_settled().await;
    let id = hooked.world().hook_deliveries(&hooked.hook().id).last().unwrap().id.clone();
    // Others can be looked at: it is not CODING that is in trouble.
    let rename =
        Operation::RenameIteration { project: PROJECT.to_owned(), code: 2, name: "another".to_owned() };
    until("it is given up", async || {
        hooked.world().apply(std::slice::from_ref(&rename)).unwrap();
        (hooked.delivery(&id).await.entry.standing.kind() == StandingKind::Dead).then_some(())
    })
    .await;
    let dead = hooked.hooks(&["dead"]).await;
    assert_eq!(dead["deliveries"][0]["delivery_id"], json!(id));
    assert!(dead["deliveries"][0]["reason"].as_str().unwrap().len() > 20, "{dead}");
    assert!(hooked.said(&["dead"]).await.contains("dead: "));
    until("the status says so", async || (hooked.status()?.hooks?.dead == 1).then_some(())).await;
    let status = hooked.run("status", &[]).await.expect(0).stdout;
    assert!(status.contains("1 given up"), "{status}");
    hooked.world().set_faults(Faults::default());
    assert_eq!(hooked.hooks(&["replay", "--dead"]).await, json!({"replayed": 1}));
    hooked.until_stands(&id, StandingKind::Applied).await;
    hooked.becomes_exact().await;
    hooked.stop(running).await;
    hooked.stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_first_sync_there_is_no_inbox_and_a_file_that_polls_has_no_hook() {
    let hooked = Hooked::new(team(5), "", "").await;
    for (arguments, code) in [
        (&["list"][..], "[HOOKS-EMPTY]"),
        (&["dead"], "[HOOKS-EMPTY]"),
        (&["show", "1"], "[HOOKS-EMPTY]"),
        (&["replay", "1"], "[HOOKS-EMPTY]"),
        (&["ping"], "[HOOKS-PING]"),
    ] {
        let ended = hooked.run("hooks", arguments).await.expect(1);
        assert!(ended.stderr.contains(code), "{arguments:?}: {ended:?}");
    }
    hooked.stage.sim.stop().await;

    let stage = Stage::new(5).await;
    let file = stage.pipeline("polls", "", "");
    for arguments in [&["list"][..], &["url"], &["register"], &["ping", "--json"]] {
        let mut command = tributary(stage.dir.path());
        command.arg("hooks").arg(&file).args(arguments);
        let ended = run(command).await.expect(1);
        assert!(ended.stderr.contains("has no hook") && ended.stderr.contains("[HOOKS-NONE]"), "{ended:?}");
        assert!(ended.stdout.is_empty(), "{ended:?}");
    }
    let mut command = tributary(stage.dir.path());
    command.arg("hooks").arg(&file).arg("unregister");
    let ended = run(command).await.expect(0);
    assert_eq!(ended.stdout.trim(), "There is no hook of this pipeline at CODING.");
    assert!(!stage.path("coding.state").exists());
    stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tries_the_address_that_nobody_listens_on() {
    let hooked = Hooked::new(team(5), "", "").await;
    let free = hooked.run("check", &[]).await.expect(0).stdout;
    let item = format!("source: listen 127.0.0.1:{}", hooked.port);
    assert!(free.lines().any(|line| line.starts_with("ok ") && line.contains(&item)), "{free}");
    // Nothing is registered, nothing came yet.
    assert!(free.trim_end().ends_with("Everything needed is there; 2 warnings."), "{free}");
    let other = std::net::TcpListener::bind(("127.0.0.1", hooked.port)).unwrap();
    let taken = hooked.run("check", &[]).await.expect(1).stdout;
    assert!(taken.lines().any(|line| line.starts_with("FAILED") && line.contains(&item)), "{taken}");
    assert!(taken.contains("another process listens there") && taken.contains("another `listen`"), "{taken}");
    drop(other);

    // Who runs listens there, and is not disturbed.
    let running = hooked.start_registered().await;
    let beside = hooked.run("check", &[]).await.expect(0).stdout;
    assert!(!beside.contains("source: listen"), "{beside}");
    hooked.stop(running).await;
    hooked.stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_the_file_are_used_and_not_rotated() {
    let (token, secret) = ("a-token-of-more-than-thirty-two-characters", "a secret of the file");
    let hooked = Hooked::new(team(10), &format!("    token: {token}\n    secret: {secret}\n"), "").await;
    let keys = hooked.hooks(&["url"]).await;
    let url = format!("http://127.0.0.1:{}/hooks/{token}", hooked.port);
    assert_eq!(keys, json!({"url": url, "secret": secret, "older_until": null}));
    for flag in ["--rotate", "--revoke"] {
        let refused = hooked.run("hooks", &["url", flag]).await.expect(1);
        assert!(refused.stderr.contains("[HOOKS-TOKEN]"), "{refused:?}");
    }
    let running = hooked.start_registered().await;
    assert_eq!(hooked.hook().url, url);
    hooked.rename(3, "signed with the file's secret");
    hooked.becomes_exact().await;
    let ended = hooked.stop(running).await;
    assert!(!ended.stderr.contains(token) && !ended.stderr.contains(secret), "{ended:?}");
    hooked.stage.sim.stop().await;
}
