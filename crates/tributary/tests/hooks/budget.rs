//! What changes that hooks tell of cost within a budget, and what they leave to others.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use crate::hooks::{Hooked, PROJECT, team};
use crate::storm::{SECRET, TOKEN, signature};
use crate::support::until;

/// The budget in place of none, and no polls.
const BUDGET: [&str; 2] = ["rate_limit: 0", "rate_limit: 25"];
const POLLED_RARELY: &str = "  polling: { interval: 1h, census_interval: 1h }\n";

/// Changes, each of another issue.
const CHANGES: u32 = 160;

#[tokio::test(flavor = "multi_thread")]
async fn twenty_changes_a_second_told_by_hooks_cost_little_more_than_a_request_each() {
    let hooked = Hooked::new(team(CHANGES), POLLED_RARELY, "").await;
    hooked.edit(BUDGET[0], BUDGET[1]);
    let running = hooked.start_registered().await;
    let before = hooked.world().counters().total();
    let mut turn = tokio::time::interval(Duration::from_secs(1) / 20);
    for code in 1..=CHANGES {
        turn.tick().await;
        hooked.rename(code, &format!("renamed {code}"));
    }
    hooked.becomes_exact().await;
    let requests = hooked.world().counters().total() - before;
    let per_change = f64::from(u32::try_from(requests).unwrap()) / f64::from(CHANGES);
    assert!(per_change <= 1.3, "{per_change} requests a change");
    hooked.stop(running).await;
}

/// Details fetched so far, as the sync says.
fn detailed(hooked: &Hooked) -> u64 {
    hooked
        .status()
        .map_or(0, |status| status.projects.values().flatten().map(|(_, table)| table.detailed).sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_without_end_leave_details_their_share() {
    const A_SECOND: u32 = 60;
    let webhook = format!("    register: manual\n    token: {TOKEN}\n    secret: {SECRET}\n{POLLED_RARELY}");
    let hooked = Hooked::new(team(3_000), &webhook, "").await;
    hooked.edit(BUDGET[0], BUDGET[1]);
    let running = hooked.begin();
    until("details are fetched", async || (detailed(&hooked) > 0).then_some(())).await;

    let url = format!("http://127.0.0.1:{}/hooks/{TOKEN}", hooked.port);
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let (mut sent, mut before) = (JoinSet::new(), 0);
    let mut turn = tokio::time::interval(Duration::from_secs(1) / A_SECOND);
    for number in 0..12 * A_SECOND {
        turn.tick().await;
        // More rows than can be looked at: each is named every four seconds.
        let code = number % (4 * A_SECOND) + 1;
        let body = json!({
            "event": "ISSUE_UPDATED", "project": {"name": PROJECT}, "issue": {"code": code}, "number": number,
        });
        let body = body.to_string().into_bytes();
        let request = http
            .post(&url)
            .header("Content-Type", "application/json")
            .header("X-Coding-Service-Hook-Event", "ISSUE_UPDATED")
            .header("X-Coding-Delivery", format!("again-{number}"))
            .header("X-Coding-Signature", signature(&body))
            .body(body);
        sent.spawn(async move { request.send().await.unwrap().error_for_status().unwrap() });
        if number == 4 * A_SECOND {
            before = detailed(&hooked);
        }
    }
    let fetched = detailed(&hooked) - before;
    // A fifth of 25, in the eight seconds after the first four.
    assert!(fetched >= 24, "{fetched} details beside {A_SECOND} deliveries a second");
    sent.join_all().await;
    hooked.stop(running).await;
}
