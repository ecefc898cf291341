//! The table Events: a row for each delivery, and only one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coding_sim::{HookFaults, IssueFields, Operation};
use connectors::coding::tables::{EVENTS, TABLES};
use engine::delivery::shape::{Mode, Naming, Shaper, Task};
use engine::status::State;
use serde_json::{Map, Value, json};

use super::{Hooked, PROJECT, task, team};
use crate::chaos::Dice;
use crate::support::{Running, run, tributary, until};

const KILLS: u32 = 5;

/// The rows of the table, by delivery id. Fails when one is there twice.
async fn rows(hooked: &Hooked, mode: Mode) -> BTreeMap<String, Map<String, Value>> {
    let tables = TABLES.iter().filter(|table| table.id == EVENTS).collect();
    let shaper = Shaper::new(Task { tables, naming: Naming::SnakeCase, mode, ..task() });
    let mut found = BTreeMap::new();
    for row in hooked.place().rows(&shaper.tables()[0]).await {
        let id = row["delivery_id"].as_str().unwrap().to_owned();
        let twice = found.insert(id, row);
        assert!(twice.is_none(), "a delivery is there twice: {twice:?}");
    }
    found
}

/// All deliveries that CODING tried, pings aside: the fingerprints of their bodies by id.
fn sent(hooked: &Hooked) -> BTreeMap<String, u64> {
    let deliveries = hooked.world().hook_deliveries(&hooked.hook().id);
    let tried = deliveries.into_iter().filter(|delivery| delivery.event != "PING");
    tried.map(|delivery| (delivery.id, delivery.body)).collect()
}

async fn become_complete(hooked: &Hooked, mode: Mode) -> BTreeMap<String, Map<String, Value>> {
    hooked.world().hooks_settled().await;
    let sent = sent(hooked);
    until("every delivery is a row", async || {
        let rows = rows(hooked, mode).await;
        // What looks the same, to the byte, is one row.
        let bodies: BTreeSet<u64> = rows.keys().map(|id| sent[id]).collect();
        assert_eq!(bodies.len(), rows.len(), "a body is there twice");
        (bodies == sent.values().copied().collect()).then_some(rows)
    })
    .await
}

fn event(name: &str) -> Operation {
    Operation::SendEvent { project: PROJECT.to_owned(), event: name.to_owned(), body: Value::Null }
}

/// Events of every kind: of rows, of code, and one that nobody has heard of.
fn everything(hooked: &Hooked) {
    hooked.rename(3, "renamed");
    hooked
        .world()
        .apply(&[
            event("GIT_PUSHED"),
            event("GIT_MR_CREATED"),
            event("CI_JOB_FINISHED"),
            event("MOON_LANDED"),
            Operation::CommentIssue { project: PROJECT.to_owned(), code: 4, content: "a word".to_owned() },
        ])
        .unwrap();
}

fn of<'a>(rows: &'a BTreeMap<String, Map<String, Value>>, event: &str) -> &'a Map<String, Value> {
    let mut found = rows.values().filter(|row| row["event"] == event);
    let row = found.next().unwrap_or_else(|| panic!("there is no {event}"));
    assert!(found.next().is_none(), "{event} is there twice");
    row
}

const WITH_EVENTS: &str = "task: { tables: [Issues, Iterations, ProjectMembers, Events] }\n";

#[tokio::test(flavor = "multi_thread")]
async fn each_delivery_becomes_a_row_that_says_what_it_was() {
    let hooked = Hooked::new(team(20), "", WITH_EVENTS).await;
    let running = hooked.start_registered().await;
    // The hook has the events of code too.
    for name in ["GIT_PUSHED", "GIT_MR_CREATED", "CI_JOB_FINISHED", "ISSUE_UPDATED"] {
        assert!(hooked.hook().events.iter().any(|event| event == name), "{name}: {:?}", hooked.hook());
    }
    let began = jiff::Timestamp::now().as_millisecond();
    everything(&hooked);
    let rows = become_complete(&hooked, Mode::Document).await;
    assert_eq!(rows.len(), 6);
    for row in rows.values() {
        assert_eq!((&row["team_name"], &row["project_name"]), (&json!("demo"), &json!(PROJECT)), "{row:?}");
        assert!(row["sender_id"].is_i64() && row["sender"].is_string(), "{row:?}");
        assert!(row["received_at"].as_i64().unwrap() >= began, "{row:?}");
        assert_eq!(row["payload"]["event"], row["event"]);
        assert_eq!(row["payload"]["eventName"], row["event_name"]);
    }
    let changed = of(&rows, "ISSUE_UPDATED");
    assert_eq!((&changed["entity"], &changed["entity_type"]), (&json!("issue 3"), &json!("issue")));
    assert_eq!(changed["entity_id"], json!(3));
    assert_eq!(changed["event_at"], changed["payload"]["issue"]["updated_at"]);
    assert_eq!(changed["payload"]["issue"]["title"], json!("renamed"));
    let comment = of(&rows, "ISSUE_COMMENT_CREATED");
    assert_eq!((&comment["entity"], &comment["entity_id"]), (&json!("issue 4"), &json!(4)));
    let push = of(&rows, "GIT_PUSHED");
    assert_eq!((&push["entity_type"], &push["entity_id"]), (&json!("push"), &Value::Null));
    assert!(push["entity"].as_str().unwrap().starts_with("push refs/heads/"), "{push:?}");
    let request = of(&rows, "GIT_MR_CREATED");
    assert_eq!(request["entity_type"], json!("merge_request"));
    assert_eq!(request["entity_id"], request["payload"]["mergeRequest"]["number"]);
    let build = of(&rows, "CI_JOB_FINISHED");
    assert_eq!(build["entity_type"], json!("build"));
    assert_eq!(build["entity_id"], build["payload"]["ci"]["build"]["number"]);
    let unknown = of(&rows, "MOON_LANDED");
    assert_eq!((&unknown["entity_type"], &unknown["entity"]), (&Value::Null, &Value::Null));

    // Replayed, a delivery stays one row, and the row stays as it is.
    let id = changed["delivery_id"].as_str().unwrap().to_owned();
    assert_eq!(hooked.hooks(&["replay", &id]).await, json!({"replayed": 1}));
    until("it was worked off again", async || {
        let entry = hooked.delivery(&id).await.entry;
        (entry.settled.is_some() && entry.replays == 1).then_some(())
    })
    .await;
    hooked.rename(5, "after the replay");
    let after = become_complete(&hooked, Mode::Document).await;
    assert_eq!((after.len(), &after[&id]), (7, &rows[&id]));
    hooked.becomes_exact().await;
    // What has no row to miss does not count: two issues were changed.
    until("the changes are counted", async || hooked.status()?.hooks.filter(|hooks| hooks.changes > 1)).await;
    hooked.stop(running).await;
    let hooks = hooked.status().unwrap().hooks.unwrap();
    assert_eq!((hooks.changes, hooks.missed), (2, 0), "{hooks:?}");
    hooked.stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flat_mode_has_them_too_without_the_payload() {
    let rest = "task: { tables: [Issues, Events], mode: flat }\n";
    let hooked = Hooked::new(team(10), "", rest).await;
    let running = hooked.start_registered().await;
    everything(&hooked);
    let rows = become_complete(&hooked, Mode::Flat).await;
    assert_eq!(rows.len(), 6);
    let changed = of(&rows, "ISSUE_UPDATED");
    assert_eq!((&changed["entity"], &changed["entity_id"]), (&json!("issue 3"), &json!(3)));
    // Times are times: the rows were read as such.
    assert!(changed["received_at"].as_str().unwrap().ends_with('Z'), "{changed:?}");
    assert!(changed["event_at"].as_str().unwrap().ends_with('Z'), "{changed:?}");
    assert!(!changed.contains_key("payload"), "{changed:?}");
    assert_eq!(of(&rows, "MOON_LANDED")["event_at"], Value::Null);
    hooked.stop(running).await;
    hooked.stage.sim.stop().await;
}

/// Killed again and again while deliveries come in, some of them twice: what came is taken in, what failed is fetched
/// from the log, and each is one row.
#[expect(clippy::print_stdout, reason = "the seed of a run that fails repeats it")]
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_each_delivery_is_one_row() {
    let seed = jiff::Timestamp::now().as_microsecond().unsigned_abs() | 1;
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let hooked = Hooked::new(team(60), "", WITH_EVENTS).await;
    // What no event tells, polls are to bring soon: the sums of an iteration when story points change, for one.
    hooked.edit("  rate_limit: 0\n", "  rate_limit: 0\n  polling: { interval: 3s, census_interval: 3s }\n");
    let running = hooked.start_registered().await;
    hooked.stop(running).await;
    hooked.world().set_hook_faults(HookFaults {
        duplicate_same_id: 0.3,
        swap: 0.1,
        code_events: 0.5,
        ..HookFaults::default()
    });
    hooked.world().set_mutator(25.0);
    for _ in 0..KILLS {
        let running = hooked.begin_unheard();
        tokio::time::sleep(Duration::from_millis(100 + dice.below(1_600))).await;
        running.signal("KILL");
        drop(running);
    }
    let mut running = hooked.begin();
    tokio::time::sleep(Duration::from_millis(1_000 + dice.below(500))).await;
    hooked.world().set_mutator(0.0);
    hooked.until_follows(&mut running).await;
    let fields = IssueFields { name: Some("the last one".to_owned()), ..IssueFields::default() };
    hooked
        .world()
        .apply(&[Operation::CreateIssue { project: PROJECT.to_owned(), fields: Box::new(fields) }])
        .unwrap();
    let rows = become_complete(&hooked, Mode::Document).await;
    let counters = hooked.world().hook_counters();
    println!("{} rows; {:?}", rows.len(), counters.total);
    assert!(counters.total.failed > 0 && counters.total.answered_2xx > 0, "{:?}", counters.total);
    for row in rows.values() {
        assert_eq!(row["payload"]["event"], row["event"], "{row:?}");
    }
    hooked.becomes_exact().await;
    hooked.until_settled(rows.len()).await;
    hooked.stop(running).await;
    hooked.stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_once_told_outlives_the_state_directory() {
    let hooked = Hooked::new(team(20), "", WITH_EVENTS).await;
    let running = hooked.start_registered().await;
    everything(&hooked);
    let before = become_complete(&hooked, Mode::Document).await;
    hooked.stop(running).await;
    std::fs::remove_dir_all(hooked.state()).unwrap();
    let running = hooked.start_registered().await;
    hooked.rename(5, "after the loss");
    let after = become_complete(&hooked, Mode::Document).await;
    assert_eq!(after.len(), before.len() + 1);
    let ended = hooked.stop(running).await;
    assert!(!ended.stderr.contains("held"), "nothing of it is up for deletion: {ended:?}");
    // Nor is it for whoever compares: the mirror has only what came since.
    for arguments in [&["--repair"][..], &[]] {
        hooked.run("verify", arguments).await.expect(0);
        assert_eq!(rows(&hooked, Mode::Document).await.len(), after.len());
    }
    hooked.stage.sim.stop().await;
}

/// Two pipelines share a state directory, and only one keeps the table: while the other runs alone nothing is lost to it.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_runs_alone_keeps_the_table_for_the_others() {
    let hooked = Hooked::new(team(20), "", WITH_EVENTS).await;
    let text = std::fs::read_to_string(&hooked.file).unwrap();
    let other = text.replace(WITH_EVENTS, "").replace("app.db", "other.db");
    assert_ne!(text, other);
    std::fs::write(hooked.stage.path("other.yaml"), &other).unwrap();
    let alone = |name: &str, arguments: &[&str]| {
        let mut command = tributary(hooked.stage.dir.path());
        command.args([name, "other.yaml"]).args(arguments);
        command
    };
    let wants_pushes = || hooked.hook().events.iter().any(|event| event == "GIT_PUSHED");

    let running = hooked.start_registered().await;
    hooked.rename(3, "while it runs");
    assert_eq!(become_complete(&hooked, Mode::Document).await.len(), 1);
    hooked.stop(running).await;

    let _of_the_other = std::fs::remove_file(hooked.state().join("status.json"));
    let running = Running::start(alone("sync", &[]));
    until("the other one follows", async || {
        let status = hooked.status()?;
        let position = status.tasks.get("other")?.position;
        (matches!(status.capture.state, State::Following { .. }) && position >= status.head).then_some(())
    })
    .await;
    run(alone("hooks", &["register"])).await.expect(0);
    assert!(wants_pushes());
    everything(&hooked);
    hooked.world().hooks_settled().await;
    hooked.until_settled(sent(&hooked).len()).await;
    hooked.stop(running).await;
    assert!(wants_pushes());

    let running = hooked.start().await;
    assert_eq!(become_complete(&hooked, Mode::Document).await.len(), 7);
    hooked.stop(running).await;

    // Once it keeps the table no more, nobody does.
    hooked.edit(WITH_EVENTS, "");
    let running = hooked.start().await;
    until("the events of code are off the hook", async || (!wants_pushes()).then_some(())).await;
    hooked.stop(running).await;
    hooked.stage.sim.stop().await;
}
