//! How fast deliveries are taken in: run by hand with `--run-ignored all` and the release profile.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::inbox::{Arrival, Inbox, Settled, Standing, Summary, Turn};
use engine::journal::Limit;
use jiff::Timestamp;
use store::inbox::SqliteInbox;

/// A delivery of 4 kB with a body as compressible as CODING's.
fn arrival(n: u64) -> Arrival {
    let mut body = String::from(r#"{"event":"ISSUE_UPDATED","issue":{"description":""#);
    let mut state = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while body.len() < 4_000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let _ = write!(body, r#"word {state:x} "updated_at": 16{}, "#, state % 100_000_000);
    }
    body.push_str("\"}}");
    let id = format!("{:016x}-{:016x}", state, n);
    let headers =
        [("user-agent", "CODING.net Hook"), ("x-coding-event", "ISSUE_UPDATED"), ("x-coding-delivery", &id)];
    Arrival {
        delivery_id: Some(id.clone()),
        received: Timestamp::now(),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: Bytes::from(body),
    }
}

/// Flushes of an appended page a second.
fn flush_rate(dir: &std::path::Path) -> f64 {
    let mut file = std::fs::File::create(dir.join("flushed")).unwrap();
    let start = Instant::now();
    let mut flushes = 0_u32;
    while start.elapsed() < Duration::from_secs(2) {
        file.write_all(&[0x5a; 4_096]).unwrap();
        file.sync_data().unwrap();
        flushes += 1;
    }
    f64::from(flushes) / start.elapsed().as_secs_f64()
}

fn percentiles(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |per_mille: usize| *times.get((times.len() * per_mille / 1_000).min(times.len() - 1)).unwrap();
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    format!(
        "p50 {:.1} p99 {:.1} p99.9 {:.1} max {:.1} ms",
        ms(at(500)),
        ms(at(990)),
        ms(at(999)),
        ms(at(1_000))
    )
}

/// Settles everything that arrives, as the capture does: ten times a second.
async fn work_off(inbox: Arc<SqliteInbox>) {
    let mut after = Turn(0);
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        loop {
            let waiting = inbox.waiting(after, Limit { rows: 1_000, bytes: 8 << 20 }).await.unwrap();
            let Some(last) = waiting.last() else { break };
            after = last.entry.turn;
            let settled = |delivery: &engine::inbox::Delivery| Settled {
                number: delivery.entry.number,
                turn: delivery.entry.turn,
                summary: Some(Summary { event: "ISSUE_UPDATED".to_owned(), ..Summary::default() }),
                standing: Standing::Applied,
            };
            inbox.settle(waiting.iter().map(settled).collect()).await.unwrap();
            inbox.counts().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn how_fast() {
    let dir = tempfile::tempdir_in(".").unwrap();
    let mut report = format!("flushes/s: {:.0}\n", flush_rate(dir.path()));
    let inbox = Arc::new(SqliteInbox::open(dir.path(), u64::MAX).await.unwrap());
    let next = Arc::new(AtomicU64::new(0));
    for (callers, working) in [(1, false), (64, false), (128, false), (256, false), (512, false), (256, true)]
    {
        let worker = working.then(|| tokio::spawn(work_off(Arc::clone(&inbox))));
        let (start, groups) = (Instant::now(), inbox.groups());
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..callers {
            let (inbox, next) = (Arc::clone(&inbox), Arc::clone(&next));
            tasks.spawn(async move {
                let mut times = Vec::new();
                while start.elapsed() < Duration::from_secs(5) {
                    let arrival = arrival(next.fetch_add(1, Ordering::Relaxed));
                    let begun = Instant::now();
                    inbox.accept(arrival).await.unwrap();
                    times.push(begun.elapsed());
                }
                times
            });
        }
        let times = tasks.join_all().await.concat();
        let rate = f64::from(u32::try_from(times.len()).unwrap()) / start.elapsed().as_secs_f64();
        let groups = inbox.groups() - groups;
        let _ = writeln!(
            report,
            "{callers} callers{}: {rate:.0}/s in {:.0} groups/s, {}",
            if working { " while settling" } else { "" },
            f64::from(u32::try_from(groups).unwrap()) / start.elapsed().as_secs_f64(),
            percentiles(times)
        );
        if let Some(worker) = worker {
            worker.abort();
        }
    }
    let worker = tokio::spawn(work_off(Arc::clone(&inbox)));
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..10_000 {
        tick.tick().await;
        let (inbox, arrival) = (Arc::clone(&inbox), arrival(next.fetch_add(1, Ordering::Relaxed)));
        tasks.spawn(async move {
            let begun = Instant::now();
            inbox.accept(arrival).await.unwrap();
            begun.elapsed()
        });
    }
    let _ = writeln!(report, "1,000/s while settling: {}", percentiles(tasks.join_all().await));
    worker.abort();
    let start = Instant::now();
    inbox.prune(Duration::ZERO, 0).await.unwrap();
    let _ = writeln!(
        report,
        "pruned in {:.1} s: {:?}",
        start.elapsed().as_secs_f64(),
        inbox.counts().await.unwrap()
    );
    inbox.close().await.unwrap();
    std::io::stderr().write_all(report.as_bytes()).unwrap();
}
