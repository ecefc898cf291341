//! The budget under paused time, against an ideal server that counts arrivals in every sliding second.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::{ProptestConfig, Strategy, any, prop, proptest};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::{Budget, Budgets, Priority};
use crate::base_url::BaseUrl;

mod throttled;

const SECOND: Duration = Duration::from_secs(1);

fn share(rate: u32) -> Budget {
    Budgets::new().share(&BaseUrl::for_team("acme").unwrap(), "acme", rate)
}

fn paused<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(future)
}

/// The most arrivals within any second that ends with an arrival.
fn peak(mut arrivals: Vec<Instant>) -> usize {
    arrivals.sort_unstable();
    let mut window = VecDeque::new();
    let mut peak = 0;
    for arrival in arrivals {
        window.push_back(arrival);
        while window.front().is_some_and(|first| *first + SECOND <= arrival) {
            window.pop_front();
        }
        peak = peak.max(window.len());
    }
    peak
}

/// One request of the model: on its way, then on the way back; or given up while on its way back.
#[derive(Clone, Copy, Debug)]
struct Trip {
    there: Duration,
    back: Duration,
    given_up: bool,
}

fn trips() -> impl Strategy<Value = Vec<Trip>> {
    let leg = || prop_oneof_durations();
    let trip =
        (leg(), leg(), any::<bool>()).prop_map(|(there, back, given_up)| Trip { there, back, given_up });
    prop::collection::vec(trip, 1..150)
}

fn prop_oneof_durations() -> impl Strategy<Value = Duration> {
    (0_u64..3, 0_u64..400).prop_map(|(scale, number)| {
        Duration::from_millis([number / 100, number, number * 5][usize::try_from(scale).unwrap()])
    })
}

/// Runs the trips in `tasks` tasks that share two shares, and gives the arrivals and how long it took.
async fn run(rate: u32, trips: Vec<Trip>, tasks: usize) -> (Vec<Instant>, Duration) {
    let budgets = Budgets::new();
    let base = BaseUrl::for_team("acme").unwrap();
    let shares = [budgets.share(&base, "acme", rate), budgets.share(&base, "ACME", rate + 3)];
    let trips = Arc::new(Mutex::new(trips));
    let arrivals = Arc::new(Mutex::new(Vec::new()));
    let begin = Instant::now();
    let mut set = JoinSet::new();
    for task in 0..tasks {
        let (budget, trips, arrivals) = (shares[task % 2].clone(), Arc::clone(&trips), Arc::clone(&arrivals));
        set.spawn(async move {
            loop {
                let Some(trip) = trips.lock().unwrap().pop() else { break };
                let mut permit = budget.acquire("Any", Priority::Load).await;
                permit.sent();
                sleep(trip.there).await;
                arrivals.lock().unwrap().push(Instant::now());
                if !trip.given_up {
                    sleep(trip.back).await;
                }
                drop(permit);
            }
        });
    }
    while let Some(done) = set.join_next().await {
        done.unwrap();
    }
    let arrivals = std::mem::take(&mut *arrivals.lock().unwrap());
    (arrivals, begin.elapsed())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    #[test]
    fn never_more_than_the_rate_arrive_in_any_sliding_second(
        rate in 1_u32..40, trips in trips(), tasks in 1_usize..60,
    ) {
        let sent = trips.len();
        let (arrivals, _) = paused(run(rate, trips, tasks));
        assert_eq!(arrivals.len(), sent);
        assert!(peak(arrivals) <= usize::try_from(rate).unwrap());
    }
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_used_and_spread_evenly() {
    let trip = Trip { there: Duration::from_millis(10), back: Duration::from_millis(10), given_up: false };
    let (arrivals, took) = run(25, vec![trip; 250], 50).await;
    let begin = *arrivals.iter().min().unwrap();
    let first_second = arrivals.iter().filter(|arrival| **arrival < begin + SECOND).count();
    assert!((22..=25).contains(&first_second), "{first_second}");
    let first_fifth = arrivals.iter().filter(|arrival| **arrival < begin + SECOND / 5).count();
    assert!(first_fifth <= 6, "no burst: {first_fifth}");
    assert!(took < Duration::from_millis(10_700), "250 requests at 25/s took {took:?}");
}

#[tokio::test(start_paused = true)]
async fn zero_lifts_the_limit_until_somebody_sets_one() {
    let budgets = Budgets::new();
    let base = BaseUrl::for_team("acme").unwrap();
    let free = budgets.share(&base, "acme", 0);
    let begin = Instant::now();
    for _ in 0..1_000 {
        free.acquire("Any", Priority::Poll).await.sent();
    }
    assert_eq!((begin.elapsed(), free.rate(), free.effective_rate("Any")), (Duration::ZERO, 0, None));
    let bound = budgets.share(&base, "acme", 5);
    assert_eq!(free.rate(), 5);
    free.acquire("Any", Priority::Poll).await.sent();
    assert!(begin.elapsed() >= SECOND, "what was sent before counts");
    let other = budgets.share(&base, "other", 0);
    assert_eq!(other.rate(), 0);
    drop(bound);
    assert_eq!(free.rate(), 0);
}

#[tokio::test(start_paused = true)]
async fn higher_priorities_go_first_and_equals_in_order() {
    let budget = share(2);
    budget.acquire("Any", Priority::Poll).await.sent();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut set = JoinSet::new();
    let asked = [Priority::Detail, Priority::Load, Priority::Hook, Priority::Load, Priority::Poll];
    for (place, priority) in asked.into_iter().enumerate() {
        let (budget, order) = (budget.clone(), Arc::clone(&order));
        set.spawn(async move {
            let mut permit = budget.acquire("Any", priority).await;
            order.lock().unwrap().push((priority, place));
            permit.sent();
        });
        tokio::task::yield_now().await;
    }
    while let Some(done) = set.join_next().await {
        done.unwrap();
    }
    let mut sorted = order.lock().unwrap().clone();
    sorted.sort_unstable();
    assert_eq!(*order.lock().unwrap(), sorted);
}

#[tokio::test(start_paused = true)]
async fn actions_have_budgets_of_their_own() {
    let budget = share(1);
    let begin = Instant::now();
    budget.acquire("One", Priority::Poll).await.sent();
    budget.acquire("Two", Priority::Poll).await.sent();
    assert_eq!(begin.elapsed(), Duration::ZERO);
    budget.acquire("One", Priority::Poll).await.sent();
    assert!(begin.elapsed() >= SECOND);
}

#[tokio::test(start_paused = true)]
async fn lower_priorities_keep_a_fifth_beside_hooks_without_end() {
    let budget = share(25);
    let sent = Arc::new(Mutex::new(Vec::new()));
    let mut set = JoinSet::new();
    // As many as may be under way of each: all of them always wait.
    for (tasks, priority) in [(32, Priority::Hook), (16, Priority::Detail), (1, Priority::Census)] {
        for _ in 0..tasks {
            let (budget, sent) = (budget.clone(), Arc::clone(&sent));
            set.spawn(async move {
                loop {
                    let mut permit = budget.acquire("Any", priority).await;
                    permit.sent();
                    sent.lock().unwrap().push(priority);
                }
            });
        }
    }
    sleep(SECOND * 60).await;
    drop(set);
    let sent = sent.lock().unwrap();
    let of = |priority: Priority| sent.iter().filter(|one| **one == priority).count();
    let (hooks, details, census) = (of(Priority::Hook), of(Priority::Detail), of(Priority::Census));
    assert!(details + census >= sent.len() / 5 - 1, "{details} details and {census} pages of {}", sent.len());
    assert!(details >= 250 && census >= 10, "{details} details, {census} pages in a minute");
    assert!(hooks >= 1_100, "{hooks} hooks in a minute");
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_in_the_last_second_is_known() {
    let budgets = Budgets::new();
    let base = BaseUrl::for_team("acme").unwrap();
    let free = budgets.share(&base, "acme", 0);
    free.acquire("Any", Priority::Poll).await.sent();
    assert_eq!(free.usage("Any"), 0.0, "no limit, no part of it");
    sleep(SECOND * 2).await;
    let budget = budgets.share(&base, "acme", 10);
    for _ in 0..6 {
        budget.acquire("Any", Priority::Poll).await.sent();
    }
    assert_eq!((budget.usage("Any"), budget.usage("Other")), (0.6, 0.0));
    sleep(SECOND * 2).await;
    assert_eq!(budget.usage("Any"), 0.0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_waiter_or_permit_gives_way() {
    let budget = share(1);
    budget.acquire("Any", Priority::Poll).await.sent();
    // A waiter at the head of the queue that gives up.
    let given_up = timeout(Duration::from_millis(100), budget.acquire("Any", Priority::Hook)).await;
    assert!(given_up.is_err());
    // A permit that is never used gives its slot back at once; only the even pace has moved on.
    let begin = Instant::now();
    drop(budget.acquire("Any", Priority::Poll).await);
    drop(budget.acquire("Any", Priority::Poll).await);
    assert!(begin.elapsed() < Duration::from_millis(2_100), "{:?}", begin.elapsed());
    // A waiter behind one that gives up is woken.
    let held = budget.acquire("Any", Priority::Poll).await;
    let mut set = JoinSet::new();
    let first = budget.clone();
    let head = set.spawn(async move {
        first.acquire("Any", Priority::Hook).await.sent();
    });
    let second = budget.clone();
    set.spawn(async move {
        second.acquire("Any", Priority::Detail).await.sent();
    });
    sleep(Duration::from_millis(1)).await;
    head.abort();
    drop(held);
    let mut ended = Vec::new();
    while let Some(done) = timeout(Duration::from_secs(10), set.join_next()).await.unwrap() {
        ended.push(done.is_ok());
    }
    ended.sort_unstable();
    assert_eq!(ended, [false, true]);
}
