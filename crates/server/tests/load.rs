//! How many deliveries a second are taken in; run by hand:
//! `cargo test --release -p server -- --ignored --nocapture how_many`.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::house::House;
use crate::wire::Wire;

const SECONDS: u64 = 5;

/// An issue event has some four kB.
fn delivery(number: usize) -> Vec<u8> {
    let body =
        format!(r#"{{"event":"ISSUE_UPDATED","issue":{{"code":{number},"title":"{}"}}}}"#, "x".repeat(4_000));
    House::delivery(&format!("load-{number}"), body.as_bytes())
}

/// Sends over `connections`, each as fast as it is answered, or all together `rate` a second.
async fn storm(house: &House, connections: usize, rate: Option<u32>) -> String {
    let (next, begun) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let end = begun + Duration::from_secs(SECONDS);
    let mut senders = JoinSet::new();
    for _ in 0..connections {
        let (address, next) = (house.address, Arc::clone(&next));
        senders.spawn(async move {
            let mut wire = Wire::to(address).await;
            let mut times = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                // With a rate, the time counts from when it was due: a late one is not excused.
                let mut due = Instant::now();
                if let Some(rate) = rate {
                    due = begun + Duration::from_secs(1) * u32::try_from(number).unwrap() / rate;
                }
                if due >= end {
                    return times;
                }
                sleep_until(due).await;
                let unique = number + connections * 10_000_000 + usize::from(rate.is_some()) * 1_000_000_000;
                assert_eq!(wire.ask(&delivery(unique)).await.status, 200);
                times.push(due.elapsed());
            }
        });
    }
    let mut times = senders.join_all().await.concat();
    times.sort_unstable();
    let at = |per_mille: usize| times[(times.len() - 1) * per_mille / 1000].as_secs_f64() * 1000.0;
    let count = u32::try_from(times.len()).unwrap();
    format!(
        "{connections:>4} connections{}: {:>6.0}/s, p50 {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms",
        rate.map(|rate| format!(" at {rate}/s")).unwrap_or_default(),
        f64::from(count) / begun.elapsed().as_secs_f64(),
        at(500),
        at(990),
        at(999)
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn how_many() {
    let house = House::open().await;
    for (connections, rate) in [(64, Some(1_000)), (64, None), (256, None), (512, None)] {
        let line = storm(&house, connections, rate).await;
        writeln!(std::io::stdout(), "{line}").unwrap();
    }
}
