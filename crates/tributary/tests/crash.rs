//! The real binary is killed in the middle of everything, again and again, before a hostile source; at the end the
//! target is exact, and so is every step on the way there.
//!
//! Every way of following × every target × both shapes: each scenario has a task in document mode and one in flat mode
//! over one reading. Small in the suite; `make chaos` kills some hundred times and prints what came of it.
//! `TRIBUTARY_CHAOS_ONLY=hybrid-postgres` runs one scenario alone.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod figures;
mod history;
mod life;
mod scenario;

use std::panic::AssertUnwindSafe;

use futures::{FutureExt, StreamExt};

use self::figures::Figures;
use self::scenario::{SCENARIOS, Scenario, Size};
use crate::chaos;

/// Scenarios that run at the same time: most of the time each waits for its moment to kill.
const AT_ONCE: usize = 3;

/// The name of a scenario that is to run alone.
const ONLY: &str = "TRIBUTARY_CHAOS_ONLY";

fn size() -> Size {
    match chaos::is_full() {
        true => Size { kills: 100, longest_ms: 2_000, issues: 900 },
        false => Size { kills: 6, longest_ms: 900, issues: 260 },
    }
}

/// The seed of a scenario, whether it runs alone or beside others.
fn seed_of(seed: u64, index: usize) -> u64 {
    seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(u32::try_from(index).unwrap() * 7) | 1
}

#[expect(
    clippy::print_stdout,
    reason = "the seed of a run that fails repeats it, and the figures are published"
)]
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_it_is_exact_at_the_end() {
    let (size, seed) = (size(), chaos::seed());
    println!("seed {seed}");
    let only = std::env::var(ONLY).ok();
    let wanted = |scenario: &Scenario| only.as_ref().is_none_or(|only| *only == scenario.name);
    let chosen = SCENARIOS.iter().enumerate().filter(|(_, scenario)| wanted(scenario));
    let run = async |(index, scenario): (usize, &'static Scenario)| {
        // One that fails does not keep the others from being seen to their ends.
        let run = AssertUnwindSafe(scenario.run(&size, seed_of(seed, index)).boxed_local()).catch_unwind();
        (index, scenario.name, run.await.ok())
    };
    let began = std::time::Instant::now();
    let ended = futures::stream::iter(chosen).map(run).buffer_unordered(AT_ONCE);
    let mut ended: Vec<(usize, &str, Option<Figures>)> = ended.collect().await;
    ended.sort_unstable_by_key(|(index, ..)| *index);
    assert!(!ended.is_empty(), "{ONLY} names no scenario");
    let (mut survived, mut failed) = (Vec::new(), Vec::new());
    for (_, name, figures) in ended {
        match figures {
            Some(figures) => survived.push((name, figures)),
            None => failed.push(name),
        }
    }
    println!("{}", figures::table(&survived, began.elapsed()));
    let repeat = |name: &&str| format!("{ONLY}={name} {}", chaos::again(seed, "crash::"));
    let repeat: Vec<String> = failed.iter().map(repeat).collect();
    assert!(failed.is_empty(), "{} did not survive; to repeat:\n{}", failed.join(", "), repeat.join("\n"));
}
