//! While nobody listened: what the hook could not deliver is fetched from its log, or sent once more, at the next
//! start. And what waits in the inbox is worked off by whoever comes.

use std::collections::BTreeSet;
use std::net::TcpListener;

use coding_sim::{FaultKind, Faults, HookFaults, IssueFields, Operation};
use engine::inbox::{Arrival, Inbox, StandingKind};
use engine::journal::Journal;
use jiff::Timestamp;
use serde_json::{Value, json};
use store::inbox::SqliteInbox;
use store::journal::SqliteJournal;

use super::{Hooked, PROJECT, team};
use crate::support::until;

/// Changes rows of every kind, and comments on one; returns the ids of the deliveries that failed.
async fn changes_that_nobody_hears(hooked: &Hooked) -> BTreeSet<String> {
    let world = hooked.world();
    let project = || PROJECT.to_owned();
    let fields = |name: &str| Box::new(IssueFields { name: Some(name.to_owned()), ..IssueFields::default() });
    world
        .apply(&[
            Operation::SetIssue { project: project(), code: 3, fields: fields("renamed"), touch: true },
            Operation::CreateIssue { project: project(), fields: fields("a new one") },
            Operation::DeleteIssue { project: project(), code: 5 },
            Operation::CommentIssue { project: project(), code: 4, content: "a word".to_owned() },
            Operation::RenameIteration { project: project(), code: 1, name: "first".to_owned() },
        ])
        .unwrap();
    world.hooks_settled().await;
    let failed = world.hook_deliveries(&hooked.hook().id);
    let failed: BTreeSet<String> = failed.into_iter().filter(|d| d.status == 0).map(|d| d.id).collect();
    assert!(failed.len() >= 5, "{failed:?}");
    failed
}

/// Waits until all of these are in the inbox and worked off.
async fn are_worked_off(hooked: &Hooked, ids: &BTreeSet<String>) {
    until("what failed is in the inbox, worked off", async || {
        let entries = hooked.entries().await;
        let done = entries.iter().filter(|entry| {
            let known = entry.delivery_id.as_ref().is_some_and(|id| ids.contains(id));
            known && matches!(entry.standing.kind(), StandingKind::Applied | StandingKind::Unchanged)
        });
        (done.count() == ids.len()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_that_failed_are_fetched_from_the_log() {
    let hooked = Hooked::new(team(30), "", "").await;
    let running = hooked.start_registered().await;
    hooked.stop(running).await;
    let failed = changes_that_nobody_hears(&hooked).await;
    let running = hooked.start().await;
    are_worked_off(&hooked, &failed).await;
    hooked.becomes_exact().await;
    assert_eq!(hooked.requests("ResendServiceHookLog"), 0);
    let listed = hooked.hooks(&["list", "--limit", "100"]).await;
    let listed: Vec<&Value> = listed["deliveries"].as_array().unwrap().iter().collect();
    for id in &failed {
        let row = listed.iter().find(|row| row["delivery_id"] == json!(id)).unwrap();
        assert!(row["result"] == "applied" || row["result"] == "unchanged", "{row}");
    }
    let all = hooked.entries().await.len();
    hooked.stop(running).await;

    // They are still in the log as failed; fetched once more they are repetitions.
    let running = hooked.start().await;
    hooked.rename(8, "told while it runs");
    hooked.becomes_exact().await;
    assert_eq!(hooked.until_settled(all + 1).await.len(), all + 1);
    hooked.stop(running).await;
    hooked.stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_that_the_log_does_not_show_are_sent_once_more() {
    let hooked = Hooked::new(team(30), "", "").await;
    let running = hooked.start_registered().await;
    hooked.stop(running).await;
    hooked.world().set_hook_faults(HookFaults { log_without_content: true, ..HookFaults::default() });
    let failed = changes_that_nobody_hears(&hooked).await;
    let running = hooked.start().await;
    are_worked_off(&hooked, &failed).await;
    hooked.becomes_exact().await;
    let resent = u64::try_from(failed.len()).unwrap();
    assert_eq!(hooked.requests("ResendServiceHookLog"), resent);
    let came = hooked.world().hook_deliveries(&hooked.hook().id);
    let came: BTreeSet<String> = came.into_iter().filter(|d| d.status == 200).map(|d| d.id).collect();
    assert!(failed.is_subset(&came), "{failed:?} {came:?}");
    hooked.stop(running).await;
    hooked.stage.sim.stop().await;
}

/// Since when the next start will fetch what failed.
async fn fetched_until(hooked: &Hooked) -> Option<Value> {
    let journal = SqliteJournal::open_read_only(&hooked.state()).await.unwrap();
    let documents = journal.recall("hook/fetched").await.unwrap();
    journal.close().await.unwrap();
    documents.into_iter().map(|(_, value)| value).next()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_fetched_is_left_to_the_next_start() {
    let hooked = Hooked::new(team(20), "", "").await;
    let running = hooked.start_registered().await;
    hooked.stop(running).await;
    let fetched = fetched_until(&hooked).await;
    assert!(fetched.is_some());
    let failed = changes_that_nobody_hears(&hooked).await;
    for action in ["DescribeServiceHooks", "DescribeServiceHookLogs"] {
        let faults = Faults { actions: vec![action.to_owned()], ..Faults::only(FaultKind::Http403, 1.0) };
        hooked.world().set_faults(faults);
        hooked.world().reset_counters();
        let running = hooked.start().await;
        until("it has tried", async || (hooked.requests(action) > 0).then_some(())).await;
        let ended = hooked.stop(running).await;
        assert!(ended.stderr.contains("polls"), "{ended:?}");
        assert_eq!(fetched_until(&hooked).await, fetched, "{action}");
    }
    hooked.world().set_faults(Faults::default());
    let running = hooked.start().await;
    are_worked_off(&hooked, &failed).await;
    hooked.stop(running).await;
    assert_ne!(fetched_until(&hooked).await, fetched);
    hooked.stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn once_works_off_what_waits_and_neither_listens_nor_registers() {
    let hooked = Hooked::new(team(20), "", "").await;
    // Whoever listened would find the address taken.
    let taken = TcpListener::bind(("127.0.0.1", hooked.port)).unwrap();
    let once = async || hooked.run("sync", &["--once", "--json"]).await.expect(0);
    once().await;
    hooked.becomes_exact().await;

    let inbox = SqliteInbox::open(&hooked.state(), 1 << 30).await.unwrap();
    let body = json!({"event": "ISSUE_UPDATED", "project": {"name": PROJECT}, "issue": {"code": 3}});
    let arrival = Arrival {
        delivery_id: Some("left-behind".to_owned()),
        received: Timestamp::now(),
        headers: vec![("x-coding-service-hook-event".to_owned(), "ISSUE_UPDATED".to_owned())],
        body: body.to_string().into_bytes().into(),
    };
    inbox.accept(arrival).await.unwrap();
    inbox.close().await.unwrap();
    once().await;
    assert_eq!(hooked.delivery("left-behind").await.entry.standing.kind(), StandingKind::Unchanged);

    let replayed = hooked.run("hooks", &["replay", "left-behind"]).await.expect(0).stdout;
    assert!(replayed.contains("1 delivery will be worked off once more when a sync runs."), "{replayed}");
    assert_eq!(hooked.delivery("left-behind").await.entry.standing.kind(), StandingKind::Waiting);
    once().await;
    let replayed = hooked.delivery("left-behind").await.entry;
    assert_eq!((replayed.standing.kind(), replayed.replays), (StandingKind::Unchanged, 1));
    assert!(hooked.world().hooks().is_empty());
    let requests = hooked.world().counters().requests;
    assert!(!requests.keys().any(|action| action.contains("Hook")), "{requests:?}");
    drop(taken);
    hooked.stage.sim.stop().await;
}
