//! What a hook can meet on its way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use coding_sim::{HookFaults, Operation};
use serde_json::{Value, json};

use crate::client::Bench;
use crate::hooks::receiver::{Seen, pair, settle, signature};
use crate::hooks::sending::rename;

/// One change of every issue of `backend`.
fn one_each() -> Vec<Operation> {
    (1..=600).map(|code| rename(code, &format!("changed {code}"))).collect()
}

/// What 600 changes bring under these faults, one at a time.
async fn under(faults: HookFaults) -> (Bench, Vec<Seen>) {
    let bench = Bench::start(|config| {
        config.projects = vec![coding_sim::ProjectConfig::new("backend", 600, 5, 9)];
        config.hook_concurrency = 1;
        config.hook_faults = faults;
    })
    .await;
    let receiver = pair(&bench.sim, &["ISSUE_UPDATED"]).await;
    bench.sim.world().apply(&one_each()).unwrap();
    let all = receiver.all(&bench.sim.world()).await;
    (bench, all)
}

#[tokio::test]
async fn shares_are_kept_and_the_missed_rows_are_named() {
    let faults = HookFaults {
        drop: 0.3,
        duplicate_same_id: 0.15,
        duplicate_new_id: 0.15,
        swap: 0.1,
        delay: 0.2,
        delay_max_ms: 300,
        ..HookFaults::default()
    };
    let (bench, all) = under(faults).await;
    let counters = bench.sim.world().hook_counters();
    let total = counters.total;
    assert_eq!((total.raised, total.deliveries), (600, 600));
    let near = |count: u64, share: f64, of: f64| {
        let found = f64::from(u32::try_from(count).unwrap()) / of;
        assert!((found - share).abs() < 0.05, "{found} of {share}");
    };
    near(total.dropped, 0.3, 600.0);
    near(total.duplicated, 0.3, 420.0);
    near(total.delayed, 0.2, 546.0);
    assert!(total.swapped > 10);
    assert_eq!(total.attempted, 600 - total.dropped + total.duplicated);
    assert_eq!(total.answered_2xx, total.attempted);
    assert_eq!(u64::try_from(all.len()).unwrap(), total.attempted);
    assert_eq!(counters.of("ISSUE_UPDATED"), total);

    let arrived: BTreeSet<u64> = all.iter().map(Seen::code).collect();
    let missed: BTreeSet<u64> = counters.missed().map(|row| u64::from(row.key)).collect();
    assert_eq!(missed, (1..=600).filter(|code| !arrived.contains(code)).collect());
    assert_eq!(u64::try_from(missed.len()).unwrap(), total.dropped);

    let mut ids: BTreeMap<&str, u64> = BTreeMap::new();
    for seen in &all {
        *ids.entry(seen.id()).or_default() += 1;
    }
    let repeated = ids.values().filter(|count| **count == 2).count();
    assert_eq!(counters.faults["duplicate_same_id"], u64::try_from(repeated).unwrap());
    bench.sim.stop().await;
}

#[tokio::test]
async fn the_same_seed_strikes_the_same_deliveries() {
    let faults = || HookFaults { drop: 0.5, duplicate_new_id: 0.2, ..HookFaults::default() };
    let codes = |all: Vec<Seen>| all.iter().map(Seen::code).collect::<Vec<_>>();
    let ((one, first), (two, second)) = (under(faults()).await, under(faults()).await);
    assert_eq!(first.len(), second.len());
    assert!(first.iter().zip(&second).all(|(one, two)| one.id() != two.id()), "ids are never used again");
    assert_eq!(codes(first), codes(second));
    one.sim.stop().await;
    two.sim.stop().await;
}

#[tokio::test]
async fn a_swap_changes_places_and_loses_nothing() {
    let (bench, all) = under(HookFaults { swap: 0.3, ..HookFaults::default() }).await;
    let codes: Vec<u64> = all.iter().map(Seen::code).collect();
    assert!(!codes.is_sorted());
    let moved = codes.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert_eq!(u64::try_from(moved).unwrap(), bench.sim.world().hook_counters().total.swapped);
    let sorted: BTreeSet<u64> = codes.iter().copied().collect();
    assert_eq!((codes.len(), sorted.len()), (600, 600));
    bench.sim.stop().await;
}

#[tokio::test]
async fn what_is_late_comes_late_and_lets_others_pass() {
    let bench = Bench::start(|config| config.hook_concurrency = 1).await;
    let world = bench.sim.world();
    let receiver = pair(&bench.sim, &["ISSUE_UPDATED"]).await;
    world.set_hook_faults(HookFaults { late: 1.0, late_ms: 400, ..HookFaults::default() });
    let begun = Instant::now();
    world.apply(&[rename(1, "late")]).unwrap();
    world.set_hook_faults(HookFaults::default());
    world.apply(&[rename(2, "in time")]).unwrap();
    let codes: Vec<u64> = receiver.all(&world).await.iter().map(Seen::code).collect();
    assert_eq!(codes, [2, 1]);
    assert!(begun.elapsed() >= Duration::from_millis(400));
    assert_eq!(world.hook_counters().faults["late"], 1);
    bench.sim.stop().await;
}

#[tokio::test]
async fn a_burst_comes_together_and_in_order() {
    let (bench, all) = under(HookFaults { burst_ms: 200, ..HookFaults::default() }).await;
    let codes: Vec<u64> = all.iter().map(Seen::code).collect();
    assert_eq!(codes, (1..=600).collect::<Vec<u64>>());
    bench.sim.stop().await;
}

/// What one change of one issue brings under these faults.
async fn one(faults: HookFaults) -> Seen {
    let bench = Bench::start(|config| config.hook_faults = faults).await;
    let world = bench.sim.world();
    let receiver = pair(&bench.sim, &["ISSUE_UPDATED"]).await;
    world.apply(&[rename(1, "spoiled")]).unwrap();
    let mut all = receiver.all(&world).await;
    assert_eq!(all.len(), 1);
    let counters = world.hook_counters();
    assert_eq!(counters.total.answered_2xx, 1);
    assert_eq!(counters.missed().count(), 1, "nobody could make use of it: {counters:?}");
    bench.sim.stop().await;
    all.remove(0)
}

#[tokio::test]
async fn bodies_can_be_something_else() {
    let all = 1.0;
    let seen = one(HookFaults { template_body: all, ..HookFaults::default() }).await;
    assert!(seen.json()["text"].as_str().unwrap().starts_with("更新事项信息: "), "{seen:?}");
    let seen = one(HookFaults { non_json: all, ..HookFaults::default() }).await;
    assert!(serde_json::from_slice::<Value>(&seen.bytes).is_err());
    let seen = one(HookFaults { chat_message: all, ..HookFaults::default() }).await;
    assert_eq!(seen.json()["msgtype"], "markdown");
    let seen = one(HookFaults { unknown_event: all, ..HookFaults::default() }).await;
    assert_eq!((seen.event(), &seen.json()["event"]), ("ISSUE_TELEPORTED", &json!("ISSUE_TELEPORTED")));
    assert_eq!(seen.header("X-Coding-Signature"), signature(b"s3cret", &seen.bytes));
}

#[tokio::test]
async fn the_older_product_can_be_heard() {
    let seen = one(HookFaults { legacy_json: 1.0, ..HookFaults::default() }).await;
    assert_eq!((seen.header("X-Coding-Event"), seen.event()), ("task", ""));
    assert_eq!(seen.header("X-Coding-WebHook-Version"), "v2");
    let body = seen.json();
    assert_eq!((&body["action"], &body["issue"]["code"]), (&json!("edited"), &json!(1)));
    assert_eq!(body["repository"]["name"], "backend");
    assert!(body["event"].is_null());

    let seen = one(HookFaults { legacy_form: 1.0, ..HookFaults::default() }).await;
    assert_eq!(seen.header("Content-Type"), "application/x-www-form-urlencoded");
    assert_eq!(seen.header("X-Coding-Signature"), signature(b"s3cret", &seen.bytes));
    let url = format!("http://x/?{}", std::str::from_utf8(&seen.bytes).unwrap());
    let form = reqwest::Url::parse(&url).unwrap();
    let (name, payload) = form.query_pairs().next().unwrap();
    assert_eq!(name, "payload");
    let body: Value = serde_json::from_str(&payload).unwrap();
    assert_eq!(body["issue"]["title"], "spoiled");
}

#[tokio::test]
async fn signatures_can_be_wrong_or_cut() {
    let seen = one(HookFaults { wrong_signature: 1.0, ..HookFaults::default() }).await;
    let right = signature(b"s3cret", &seen.bytes);
    assert_eq!(seen.header("X-Coding-Signature").len(), right.len());
    assert_ne!(seen.header("X-Coding-Signature"), right);
    let seen = one(HookFaults { truncated_signature: 1.0, ..HookFaults::default() }).await;
    let right = signature(b"s3cret", &seen.bytes);
    let cut = seen.header("X-Coding-Signature");
    assert!(cut.len() < right.len() && right.starts_with(cut));
}

#[tokio::test]
async fn the_admin_api_has_hooks_and_their_faults() {
    let bench = Bench::start(|_| {}).await;
    let world = bench.sim.world();
    let receiver = crate::hooks::receiver::Receiver::start().await;
    let order =
        json!({"project": "backend", "url": receiver.url(), "token": "t", "events": ["ISSUE_UPDATED"]});
    let hook = bench.admin("hooks", order).await["id"].clone();
    assert_eq!(world.hooks()[0].id, hook);
    assert!(world.hooks()[0].has_token);
    assert_eq!(bench.admin("hook_faults", json!({"drop": 1.0})).await["drop"], 1.0);
    world.apply(&[rename(1, "dropped")]).unwrap();
    settle(&world).await;
    assert!(receiver.seen().is_empty());
    let answer = bench.http.get(format!("{}/_sim/hook_counters", bench.sim.url())).send().await.unwrap();
    let counters: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(counters["total"]["dropped"], 1);
    assert_eq!(
        counters["rows"],
        json!([{"table": "Issues", "project": "backend", "key": 1, "deliveries": 1, "dropped": 1, "arrived": 0}])
    );
    assert!(bench.admin("hook_faults", json!({"dorp": 1.0})).await["error"].is_string());
    bench.admin("hook_counters/reset", json!({})).await;
    assert_eq!(world.hook_counters().total.raised, 0);
    bench.sim.stop().await;
}
