//! The real binary is killed in the middle of a storm of deliveries, again and again: what was answered 200 is in the
//! inbox afterwards, and is worked off, each delivery once.
//!
//! Small in the suite; `make chaos` makes it a storm of some minutes.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "tests fail by panicking, and show their figures"
)]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::inbox::StandingKind;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha1::Sha1;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::chaos::{self, Dice};
use crate::hooks::{Hooked, PROJECT, team};
use crate::support::until;

pub(crate) const TOKEN: &str = "a-token-of-more-than-thirty-two-characters";
pub(crate) const SECRET: &str = "the key of the signatures";
/// Issues of the project that the storm is about.
const ISSUES: u32 = 60;
/// Connections of the sender.
const SENDERS: u64 = 32;
/// How long CODING waits for an answer.
const ANSWER: Duration = Duration::from_secs(5);

/// How large it is.
struct Size {
    kills: u32,
    per_second: u64,
    /// The longest time between a start and its kill.
    longest_ms: u64,
}

impl Size {
    fn chosen() -> Size {
        match chaos::is_full() {
            true => Size { kills: 50, per_second: 500, longest_ms: 3_000 },
            false => Size { kills: 3, per_second: 150, longest_ms: 1_500 },
        }
    }
}

/// What the sender knows.
#[derive(Default)]
struct Sent {
    tried: AtomicU64,
    acknowledged: Mutex<Vec<String>>,
}

impl Sent {
    fn acknowledged(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }
}

pub(crate) fn signature(body: &[u8]) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body);
    let mut text = "sha1=".to_owned();
    for byte in mac.finalize().into_bytes() {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

/// The event and the body of a delivery: mostly changes of issues, now and then a push.
fn delivery(number: u64) -> (&'static str, Vec<u8>) {
    let project = json!({"name": PROJECT});
    let code = number % u64::from(ISSUES) + 1;
    let (event, body) = match number % 5 {
        0 => (
            "GIT_PUSHED",
            json!({"event": "GIT_PUSHED", "project": project, "ref": "refs/heads/master", "after": number}),
        ),
        _ => {
            let issue = json!({"code": code, "updated_at": number});
            ("ISSUE_UPDATED", json!({"event": "ISSUE_UPDATED", "project": project, "issue": issue}))
        }
    };
    (event, body.to_string().into_bytes())
}

/// Sends its share of the deliveries, each once, whatever becomes of it.
async fn send(url: String, first: u64, pause: Duration, sent: Arc<Sent>, cancel: CancellationToken) {
    let http = reqwest::Client::builder().no_proxy().timeout(ANSWER).build().unwrap();
    let mut due = tokio::time::interval(pause);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = first;
    loop {
        tokio::select! {
            () = cancel.cancelled() => return,
            _ = due.tick() => {}
        }
        let (event, body) = delivery(number);
        let id = format!("storm-{number}");
        number += SENDERS;
        sent.tried.fetch_add(1, Ordering::Relaxed);
        let request = http
            .post(&url)
            .header("Content-Type", "application/json")
            .header("X-Coding-Service-Hook-Event", event)
            .header("X-Coding-Delivery", &id)
            .header("X-Coding-Signature", signature(&body))
            .body(body);
        // The status alone is the receipt, as it is to CODING.
        if request.send().await.is_ok_and(|answer| answer.status().is_success()) {
            sent.acknowledged.lock().unwrap().push(id);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_a_storm_it_has_every_delivery_that_it_acknowledged() {
    let (size, seed) = (Size::chosen(), chaos::seed());
    println!("seed {seed}; to repeat: {}", chaos::again(seed, "storm::"));
    let mut dice = Dice(seed);
    let webhook = format!("    register: manual\n    token: {TOKEN}\n    secret: {SECRET}\n");
    let hooked = Hooked::new(team(ISSUES), &webhook, "task: { tables: [Issues, Events] }\n").await;
    let url = format!("http://127.0.0.1:{}/hooks/{TOKEN}", hooked.port);
    let (sent, storm_ends) = (Arc::new(Sent::default()), CancellationToken::new());
    let mut senders = JoinSet::new();
    let pause = Duration::from_micros(1_000_000 * SENDERS / size.per_second);
    for first in 0..SENDERS {
        senders.spawn(send(url.clone(), first, pause, Arc::clone(&sent), storm_ends.clone()));
    }
    let flows = async || {
        let before = sent.acknowledged();
        until("deliveries are taken in", async || (sent.acknowledged() > before).then_some(())).await;
    };
    for kill in 0..size.kills {
        let running = hooked.begin_unheard();
        // Half of the kills strike whatever a start is at, the others a storm that has broken.
        if kill % 2 == 0 {
            flows().await;
        }
        tokio::time::sleep(Duration::from_millis(dice.below(size.longest_ms))).await;
        running.signal("KILL");
        drop(running);
    }
    let running = hooked.begin();
    flows().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    storm_ends.cancel();
    senders.join_all().await;

    let acknowledged: BTreeSet<String> = sent.acknowledged.lock().unwrap().iter().cloned().collect();
    let entries = hooked.until_settled(acknowledged.len()).await;
    let found: BTreeSet<String> = entries.iter().filter_map(|entry| entry.delivery_id.clone()).collect();
    let missing: Vec<&String> = acknowledged.difference(&found).collect();
    println!(
        "storm: {} kills; {} deliveries sent, {} acknowledged, {} of them found, {} in the inbox",
        size.kills,
        sent.tried.load(Ordering::Relaxed),
        acknowledged.len(),
        acknowledged.len() - missing.len(),
        entries.len()
    );
    assert!(missing.is_empty(), "{} were acknowledged and are lost: {missing:?}", missing.len());
    assert!(acknowledged.len() > usize::try_from(size.kills).unwrap() * 5, "the storm was a breeze");
    assert_eq!(found.len(), entries.len(), "a delivery is there twice");
    let dead: Vec<_> = entries.iter().filter(|entry| entry.standing.kind() == StandingKind::Dead).collect();
    assert!(dead.is_empty(), "{dead:?}");
    // Each is a row of the table Events as well.
    let all = i64::try_from(entries.len()).unwrap();
    until("every delivery is a row", async || {
        (hooked.stage.count("app.db", "events").await == all).then_some(())
    })
    .await;
    hooked.stop(running).await;
    hooked.stage.sim.stop().await;
}
