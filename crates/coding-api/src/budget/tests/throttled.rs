//! What throttling makes of the rate, against a server that refuses for reasons of its own.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;
use tokio::time::{Instant, advance, sleep};

use super::{SECOND, paused, share};
use crate::budget::Priority;

/// Requests of one action that the server takes in any second, from all together.
const LIMIT: usize = 30;

/// A server that holds a team to its limit, and refuses some requests for no reason.
struct Server {
    admitted: VecDeque<Instant>,
    at_random: f64,
    dice: StdRng,
    /// Requests of ours.
    arrived: u32,
    refused: u32,
}

impl Server {
    fn new(seed: u64, at_random: f64) -> Arc<Mutex<Server>> {
        let dice = StdRng::seed_from_u64(seed);
        Arc::new(Mutex::new(Server { admitted: VecDeque::new(), at_random, dice, arrived: 0, refused: 0 }))
    }

    fn admits(&mut self) -> bool {
        let now = Instant::now();
        while self.admitted.front().is_some_and(|first| *first + SECOND <= now) {
            self.admitted.pop_front();
        }
        let room = self.admitted.len() < LIMIT;
        if room {
            self.admitted.push_back(now);
        }
        room
    }

    fn answers_us(&mut self) -> bool {
        self.arrived += 1;
        let admitted = self.admits() && !self.dice.random_bool(self.at_random);
        self.refused += u32::from(!admitted);
        admitted
    }
}

/// Asks with the default rate for so many seconds, as often as it may, beside a neighbour who asks `neighbour` times a
/// second whatever happens; requests a second that succeeded, and the share of all that was refused.
fn ask(seed: u64, seconds: u32, at_random: f64, neighbour: u32) -> (f64, f64) {
    paused(async {
        let server = Server::new(seed, at_random);
        let budget = share(25);
        let mut set = JoinSet::new();
        if neighbour > 0 {
            let server = Arc::clone(&server);
            set.spawn(async move {
                let jitter = |server: &Mutex<Server>| server.lock().unwrap().dice.random_range(0.9..1.1);
                loop {
                    sleep((SECOND / neighbour).mul_f64(jitter(&server))).await;
                    server.lock().unwrap().admits();
                }
            });
        }
        for _ in 0..16 {
            let (server, budget) = (Arc::clone(&server), budget.clone());
            set.spawn(async move {
                loop {
                    let mut permit = budget.acquire("Any", Priority::Detail).await;
                    permit.sent();
                    sleep(Duration::from_millis(25)).await;
                    let admitted = server.lock().unwrap().answers_us();
                    sleep(Duration::from_millis(25)).await;
                    drop(permit);
                    if !admitted {
                        budget.throttled("Any");
                        sleep(Duration::from_millis(150)).await;
                    }
                }
            });
        }
        sleep(SECOND * seconds).await;
        drop(set);
        let server = server.lock().unwrap();
        let succeeded = f64::from(server.arrived - server.refused) / f64::from(seconds);
        (succeeded, f64::from(server.refused) / f64::from(server.arrived))
    })
}

/// The middle of several runs.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

const SEEDS: std::ops::Range<u64> = 0..15;

#[test]
fn refusals_at_random_do_not_keep_the_rate_down() {
    let rates: Vec<f64> = SEEDS.map(|seed| ask(seed, 240, 0.06, 0).0).collect();
    assert!(median(rates.clone()) >= 20.0 && rates.iter().all(|rate| *rate >= 17.0), "{rates:.1?}");
    let rates: Vec<f64> = SEEDS.map(|seed| ask(seed, 240, 0.01, 0).0).collect();
    assert!(median(rates.clone()) >= 21.0, "{rates:.1?}");
}

#[test]
fn a_neighbour_who_takes_the_limit_gets_room() {
    let runs: Vec<(f64, f64)> = SEEDS.map(|seed| ask(seed, 240, 0.0, 20)).collect();
    let (rates, refused): (Vec<f64>, Vec<f64>) = runs.into_iter().unzip();
    assert!(rates.iter().all(|rate| *rate >= 8.0), "{rates:.1?}");
    assert!(median(refused.clone()) <= 0.02 && refused.iter().all(|share| *share <= 0.03), "{refused:.4?}");
}

#[test]
fn without_a_neighbour_nothing_is_refused() {
    let (rate, refused) = ask(1, 60, 0.0, 0);
    assert!(rate >= 23.0 && refused == 0.0, "{rate} {refused}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_everything_is_asked_less_and_less_down_to_twice_a_second() {
    let budget = share(24);
    let rate = || budget.effective_rate("Any").unwrap();
    budget.throttled("Any");
    budget.throttled("Any");
    assert_eq!(rate(), 24.0, "now and then one is refused");
    budget.throttled("Any");
    assert_eq!(rate(), 12.0);
    assert_eq!(budget.effective_rate("Other"), Some(24.0));
    advance(Duration::from_secs(1)).await;
    for _ in 0..20 {
        budget.throttled("Any");
    }
    assert_eq!(rate(), 12.0, "these were sent before the cut");
    for lower in [6.0, 3.0, 2.0, 2.0] {
        advance(Duration::from_millis(1_200)).await;
        for _ in 0..5 {
            budget.throttled("Any");
        }
        assert_eq!(rate(), lower);
    }
    // Nothing is refused any more: after the trial it rises.
    advance(Duration::from_millis(9_100)).await;
    assert_eq!(rate(), 2.0);
    advance(Duration::from_secs(15)).await;
    assert!((rate() - 13.0).abs() < 1e-6, "half-way after half the time: {}", rate());
    advance(Duration::from_secs(15)).await;
    assert_eq!(rate(), 24.0);
    assert_eq!(budget.rate(), 24);
}

#[tokio::test(start_paused = true)]
async fn a_rate_below_the_floor_is_not_raised_by_throttling() {
    let budget = share(1);
    for _ in 0..3 {
        budget.throttled("Any");
    }
    assert_eq!(budget.effective_rate("Any"), Some(1.0));
}
