//! Deliveries that are meant to hurt, files that somebody takes away, and locks that somebody holds.

use std::fs::File;
use std::path::PathBuf;
use std::process::Stdio;

use engine::inbox::{Arrival, Inbox, StandingKind, Turn};
use engine::journal::Limit;
use jiff::Timestamp;
use serde_json::json;
use store::inbox::SqliteInbox;

use super::{Hooked, PROJECT, team};
use crate::storm::{SECRET, TOKEN, signature};
use crate::support::{Running, until};

const ROOM: u64 = 1 << 30;
const REPLAYS: usize = 200;

/// A pipeline with a hook that is told of by hand, and whose polls are far apart.
async fn by_hand(rest: &str) -> Hooked {
    let webhook = format!("    register: manual\n    token: {TOKEN}\n    secret: {SECRET}\n");
    let hooked = Hooked::new(team(20), &webhook, rest).await;
    hooked.edit("  rate_limit: 0\n", "  rate_limit: 0\n  polling: { interval: 1h, census_interval: 1h }\n");
    hooked
}

/// What the hook answers to a delivery about an issue; `None` when nobody listens.
async fn deliver(hooked: &Hooked, id: &str, body: &str) -> Option<u16> {
    let request = hooked
        .http
        .post(format!("http://127.0.0.1:{}/hooks/{TOKEN}", hooked.port))
        .header("Content-Type", "application/json")
        .header("X-Coding-Service-Hook-Event", "ISSUE_UPDATED")
        .header("X-Coding-Delivery", id)
        .header("X-Coding-Signature", signature(body.as_bytes()))
        .body(body.to_owned());
    request.send().await.ok().map(|answer| answer.status().as_u16())
}

fn about(code: u32) -> String {
    json!({"event": "ISSUE_UPDATED", "project": {"name": PROJECT}, "issue": {"code": code}}).to_string()
}

/// A sync whose words can be read while it runs.
fn begin_heard(hooked: &Hooked) -> (Running, PathBuf) {
    let said = hooked.stage.path("said.log");
    let mut command = hooked.command("sync", &[]);
    command.stdout(Stdio::null()).stderr(File::create(&said).unwrap());
    let _there_was_none = std::fs::remove_file(hooked.state().join("status.json"));
    (Running::start(command), said)
}

/// Stops one whose words went into a file.
async fn stop_heard(mut running: Running) {
    running.signal("TERM");
    let ended = until("it ends", async || running.0.try_wait().unwrap()).await;
    assert_eq!(ended.code(), Some(0));
}

async fn until_said(file: &PathBuf, words: &str) {
    until(&format!("it says `{words}`"), async || {
        std::fs::read_to_string(file).unwrap().contains(words).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_captured_delivery_under_new_ids_makes_one_row_and_still_a_look() {
    let rest = "task: { tables: [Issues, Iterations, ProjectMembers, Events] }\n";
    let hooked = by_hand(rest).await;
    let running = hooked.start().await;
    assert_eq!(deliver(&hooked, "first", &about(3)).await, Some(200));
    hooked.until_settled(1).await;
    for n in 0..REPLAYS {
        assert_eq!(deliver(&hooked, &format!("replay-{n}"), &about(3)).await, Some(200));
    }
    let entries = hooked.until_settled(1).await;
    assert_eq!(entries.len(), 1, "no second delivery");
    assert_eq!((entries[0].delivery_id.as_deref(), entries[0].replays), (Some("first"), 0));
    assert_eq!(usize::try_from(entries[0].repeats).unwrap(), REPLAYS);
    // One that looks the same and tells of a change: no poll is near, so it is the delivery that brings it.
    hooked.rename(3, "it was changed once more");
    assert_eq!(deliver(&hooked, "a true one", &about(3)).await, Some(200));
    hooked.becomes_exact().await;
    hooked.until_settled(1).await;
    hooked.stop(running).await;
    assert_eq!(hooked.stage.count("app.db", "events").await, 1, "no second row");
    hooked.stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn megabytes_of_the_smallest_values_are_kept_and_not_read() {
    let hooked = by_hand("").await;
    let running = hooked.start().await;
    let body = format!("{{\"event\":\"ISSUE_UPDATED\",\"x\":[{}{{\"a\":1}}]}}", "{\"a\":1},".repeat(975_000));
    assert_eq!(deliver(&hooked, "poison", &body).await, Some(200));
    assert_eq!(deliver(&hooked, "next", &about(3)).await, Some(200));
    let entries = hooked.until_settled(2).await;
    let kinds: Vec<_> = entries.iter().map(|entry| entry.standing.kind()).collect();
    assert_eq!(kinds, [StandingKind::Ignored, StandingKind::Unchanged]);
    let status = std::fs::read_to_string(format!("/proc/{}/status", running.0.id()));
    if let Ok(status) = status {
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        let peak: u64 = peak.trim().trim_end_matches(" kB").trim().parse().unwrap();
        assert!(peak < 350_000, "{peak} kB of memory");
    }
    let shown = hooked.said(&["show", "poison"]).await;
    assert!(
        shown.contains("more values than any event"),
        "{}",
        shown.chars().take(1_000).collect::<String>()
    );
    hooked.stop(running).await;
    hooked.stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_ends_every_start_goes_aside_and_the_others_are_worked_off() {
    let hooked = by_hand("").await;
    hooked.run("sync", &["--once"]).await.expect(0);
    let open = async || SqliteInbox::open(&hooked.state(), ROOM).await.unwrap();
    let inbox = open().await;
    for (id, code) in [("poison", 3), ("next", 4)] {
        let arrival = Arrival {
            delivery_id: Some(id.to_owned()),
            received: Timestamp::now(),
            headers: vec![("x-coding-service-hook-event".to_owned(), "ISSUE_UPDATED".to_owned())],
            body: about(code).into_bytes().into(),
        };
        inbox.accept(arrival).await.unwrap();
    }
    inbox.close().await.unwrap();
    // Processes that read and do not come back: the first one both, the next one what is handed out alone.
    for handed in [2, 1] {
        let inbox = open().await;
        let all = Limit { rows: u32::MAX, bytes: usize::MAX };
        assert_eq!(inbox.waiting(Turn(0), all).await.unwrap().len(), handed);
        inbox.close().await.unwrap();
    }
    hooked.run("sync", &["--once"]).await.expect(0);
    assert_eq!(hooked.delivery("next").await.entry.standing.kind(), StandingKind::Unchanged);
    assert_eq!(hooked.delivery("poison").await.entry.standing.kind(), StandingKind::Dead);
    let dead = hooked.said(&["dead"]).await;
    assert!(dead.contains("began to read it 2 times"), "{dead}");
    // A person may try it once more; it was harmless after all.
    hooked.said(&["replay", "poison"]).await;
    hooked.run("sync", &["--once"]).await.expect(0);
    assert_eq!(hooked.delivery("poison").await.entry.standing.kind(), StandingKind::Unchanged);
    hooked.stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_is_taken_away_ends_the_sync_and_no_delivery_is_acknowledged() {
    for taken in ["", "inbox.db", "journal.db"] {
        let hooked = by_hand("").await;
        let mut running = hooked.start().await;
        assert_eq!(deliver(&hooked, "kept", &about(3)).await, Some(200));
        let path = if taken.is_empty() { hooked.state() } else { hooked.state().join(taken) };
        std::fs::rename(&path, hooked.stage.path("away")).unwrap();
        if taken != "journal.db" {
            assert_ne!(deliver(&hooked, "lost", &about(4)).await, Some(200), "{taken}");
        }
        until("it ends", async || running.0.try_wait().unwrap()).await;
        let ended = running.end().await.0.expect(1);
        assert!(ended.stderr.contains("[STATE-GONE]"), "{ended:?}");
        assert!(!hooked.state().join("status.json").exists() || !taken.is_empty(), "nothing is made anew");
        // The next one begins on what is there.
        hooked.run("sync", &["--once"]).await.expect(0);
        hooked.becomes_exact().await;
        hooked.stage.sim.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_cannot_be_read_again_are_a_warning_and_not_the_end() {
    let hooked = Hooked::new(team(20), "", "").await;
    let running = hooked.start_registered().await;
    hooked.stop(running).await;
    let (mut running, said) = begin_heard(&hooked);
    hooked.until_follows(&mut running).await;
    let (url, vault) = (hooked.url().await, hooked.state().join("vault.json"));
    let good = std::fs::read(&vault).unwrap();
    for round in ["garbage", "nothing"] {
        match round {
            "garbage" => std::fs::write(&vault, "garbage").unwrap(),
            _ => std::fs::remove_file(&vault).unwrap(),
        }
        until_said(&said, "cannot be read; those known so far go on counting").await;
        assert_eq!(hooked.get(&url).await.0, 200, "the URL counts on");
        hooked.rename(3, round);
        hooked.becomes_exact().await;
        std::fs::write(&vault, &good).unwrap();
        until_said(&said, "the hook's keys can be read again").await;
        std::fs::write(&said, "").unwrap();
    }
    assert!(running.0.try_wait().unwrap().is_none());
    hooked.said(&["url", "--rotate"]).await;
    assert_ne!(hooked.url().await, url);
    stop_heard(running).await;
    hooked.stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_that_another_process_holds_is_not_waited_for_in_silence() {
    let hooked = by_hand("").await;
    hooked.run("sync", &["--once"]).await.expect(0);
    let held = File::options().read(true).write(true).open(hooked.state().join("vault.lock")).unwrap();
    held.lock().unwrap();
    let (mut running, said) = begin_heard(&hooked);
    until_said(&said, "vault.lock, which another process holds locked").await;
    assert!(running.0.try_wait().unwrap().is_none());
    held.unlock().unwrap();
    hooked.until_follows(&mut running).await;
    until_said(&said, "vault.lock is free").await;
    stop_heard(running).await;
    hooked.stage.sim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_everybody_may_write_is_refused_by_check_too() {
    use std::os::unix::fs::PermissionsExt;
    let hooked = by_hand("").await;
    hooked.run("sync", &["--once"]).await.expect(0);
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(hooked.state(), open).unwrap();
    for (name, arguments) in [
        ("check", &[][..]),
        ("sync", &["--once"]),
        ("status", &[]),
        ("hooks", &["url"]),
        ("hooks", &["list"]),
    ] {
        let ended = hooked.run(name, arguments).await;
        assert_ne!(ended.code, Some(0), "{name} {arguments:?}");
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(said.contains("everybody may write") && said.contains("chmod go-w"), "{name}: {said}");
    }
    hooked.stage.sim.stop().await;
}
