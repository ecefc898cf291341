//! What changes that hooks tell of cost within a budget.

use std::time::Duration;

use crate::hooks::{Hooked, team};

/// Changes, each of another issue.
const CHANGES: u32 = 160;

#[tokio::test(flavor = "multi_thread")]
async fn twenty_changes_a_second_told_by_hooks_cost_little_more_than_a_request_each() {
    let polled_rarely = "  polling: { interval: 1h, census_interval: 1h }\n";
    let hooked = Hooked::new(team(CHANGES), polled_rarely, "").await;
    hooked.edit("rate_limit: 0", "rate_limit: 25");
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
