//! What is left after a process was killed: the test runs itself as the victim.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::inbox::Inbox;
use store::inbox::SqliteInbox;

use super::{ROOM, arrival, take, waiting};

const VICTIM: &str = "STORE_TEST_ACCEPTING_VICTIM";

/// Accepts as fast as it can and names each delivery once `accept` has returned, until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "runs as the victim of the test below"]
async fn victim() {
    let Some(dir) = std::env::var_os(VICTIM) else { return };
    let inbox = Arc::new(SqliteInbox::open(dir.as_ref(), ROOM).await.unwrap());
    let next = Arc::new(AtomicU64::new(0));
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let (inbox, next) = (Arc::clone(&inbox), Arc::clone(&next));
        senders.spawn(async move {
            // Straight to the pipe: the test harness must not keep it back.
            let mut out = std::fs::OpenOptions::new().write(true).open("/dev/stdout").unwrap();
            loop {
                let id = format!("{}-{}", std::process::id(), next.fetch_add(1, Ordering::Relaxed));
                take(&inbox, arrival(&id)).await;
                // One call: lines of several senders must not mix.
                out.write_all(format!("ack {id}\n").as_bytes()).unwrap();
            }
        });
    }
    senders.join_all().await;
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeSet::new();
    for round in 1..=4_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "inbox::crash::victim", "--ignored", "--nocapture"])
            .env(VICTIM, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut acks = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let Some((_, id)) = line.split_once("ack ") else { continue };
            acknowledged.insert(id.to_owned());
            acks += 1;
            if acks == round * 150 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(acks >= round * 150, "the victim ended by itself after {acks}");
        let inbox = SqliteInbox::open(dir.path(), ROOM).await.unwrap();
        let there = waiting(&inbox).await;
        let ids: BTreeSet<_> = there.iter().filter_map(|one| one.entry.delivery_id.clone()).collect();
        let lost: Vec<_> = acknowledged.difference(&ids).collect();
        assert!(lost.is_empty(), "{lost:?}");
        inbox.heard(there.iter().map(|one| one.entry.number).collect()).await.unwrap();
        for delivery in &there {
            assert_eq!(delivery.body, arrival(delivery.entry.delivery_id.as_deref().unwrap()).body);
        }
        assert_eq!(inbox.counts().await.unwrap().waiting, u64::try_from(there.len()).unwrap());
        // Dropped, not closed: the next one begins from what a crash leaves.
        drop(inbox);
    }
}
