//! What is left after a process was killed: the test runs itself as the victim.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use engine::journal::Journal;
use engine::position::Sequence;
use store::journal::SqliteJournal;

use super::{ALL, logged, put};

const VICTIM: &str = "STORE_TEST_VICTIM";

/// Commits batches and names each head once `commit` has returned, until it is killed.
#[tokio::test]
#[ignore = "runs as the victim of the test below"]
async fn victim() {
    use std::io::Write;

    let Some(dir) = std::env::var_os(VICTIM) else { return };
    let journal = SqliteJournal::open(dir.as_ref()).await.unwrap();
    let mut sequence = journal.bounds().await.unwrap().head.0;
    loop {
        let entry = |n: i64| logged(put((sequence + n) % 1_000, sequence + n), None);
        journal.commit(&(1..=50).map(entry).collect::<Vec<_>>()).await.unwrap();
        sequence += 50;
        // Straight to the pipe: the test harness must not keep it back.
        let mut out = std::fs::OpenOptions::new().write(true).open("/dev/stdout").unwrap();
        writeln!(out, "head {sequence}").unwrap();
    }
}

#[tokio::test]
async fn what_was_committed_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let mut expected = 0;
    for round in 1..=5_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "journal::crash::victim", "--ignored", "--nocapture"])
            .env(VICTIM, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut heads = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let Some((_, head)) = line.split_once("head ") else { continue };
            expected = head.parse::<i64>().unwrap();
            heads += 1;
            if heads == round * 3 {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        let journal = SqliteJournal::open(dir.path()).await.unwrap();
        let head = journal.bounds().await.unwrap().head.0;
        assert!(head >= expected, "{head} is behind {expected}, which was promised");
        assert_eq!(head % 50, 0, "whole batches only");
        let log = journal.log_after(Sequence(0), ALL).await.unwrap();
        assert!(log.iter().map(|change| change.sequence.0).eq(1..=head));
        let mirror = journal.mirror_after(Sequence(0), ALL).await.unwrap();
        assert!(mirror.iter().map(|row| row.version.sequence.0).eq((head - 1_000).max(0) + 1..=head));
        assert_eq!(journal.newest_moment().0, head * 10);
    }
}

#[tokio::test]
async fn a_journal_that_was_dropped_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    for sequence in 1..=3 {
        let journal = SqliteJournal::open(dir.path()).await.unwrap();
        assert_eq!(*journal.head().borrow(), Sequence(sequence - 1));
        journal.commit(&[put(sequence, sequence)]).await.unwrap();
        drop(journal);
    }
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    assert_eq!(journal.mirror_after(Sequence(0), ALL).await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_commit_that_is_dropped_half_way_leaves_all_or_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    for polls in 0..60 {
        let head = journal.bounds().await.unwrap().head.0;
        let entries: Vec<_> = (1..=100).map(|n| logged(put(n, head + n), None)).collect();
        let mut commit = Box::pin(journal.commit(&entries));
        let mut left = polls;
        let done = std::future::poll_fn(|context| match commit.as_mut().poll(context) {
            std::task::Poll::Ready(done) => std::task::Poll::Ready(Some(done)),
            std::task::Poll::Pending if left == 0 => std::task::Poll::Ready(None),
            std::task::Poll::Pending => {
                left -= 1;
                std::task::Poll::Pending
            }
        });
        let done = done.await;
        drop(commit);
        // The next writer waits until the dropped transaction is rolled back.
        journal.remember("next", &serde_json::json!(polls)).await.unwrap();
        let after = journal.bounds().await.unwrap().head.0;
        let log = journal.log_after(Sequence(head), ALL).await.unwrap().len();
        match done {
            Some(done) => {
                done.unwrap();
                assert_eq!((after, log), (head + 100, 100));
            }
            None => assert!((after, log) == (head, 0) || (after, log) == (head + 100, 100)),
        }
        // Repeating is safe.
        journal.commit(&entries).await.unwrap();
        assert_eq!(*journal.head().borrow(), Sequence(head + 100));
        assert_eq!(journal.log_after(Sequence(head), ALL).await.unwrap().len(), 100);
    }
}
