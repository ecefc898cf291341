//! A disk that is really full. The test runs itself again in a namespace of its own, where it may mount a small
//! file system; where the system has no such namespaces it says that it is skipped.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use engine::inbox::{Accepted, Inbox, Standing};
use engine::journal::Journal;
use engine::position::Sequence;
use engine::problem::Remedy;
use store::inbox::SqliteInbox;
use store::journal::SqliteJournal;
use test_faults::Inside;

use super::{ROOM, bulky, settled, take, waiting};
use crate::journal::{put, row};

/// The mounted directory of so many megabytes, if this is the inner run of a test; otherwise starts the inner run.
fn inside(test: &str, megabytes: u32, prepared: &Path) -> Option<PathBuf> {
    let script = format!("mount -t tmpfs -o size={megabytes}m none \"$1\"");
    match test_faults::inside(&format!("inbox::disk::{test}"), &script, prepared) {
        Inside::Mounted(mounted) => Some(mounted),
        Inside::Passed => None,
        Inside::Forbidden => {
            let why = "this system lets no test mount a file system of its own";
            let _ = writeln!(std::io::stderr(), "skipped: {why}");
            None
        }
    }
}

#[tokio::test]
async fn a_full_disk_turns_deliveries_away_and_loses_none() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mounted) = inside("a_full_disk_turns_deliveries_away_and_loses_none", 4, dir.path()) else {
        return;
    };
    let inbox = SqliteInbox::open(&mounted, ROOM).await.unwrap();
    take(&inbox, bulky("first", 10_000)).await;
    let ballast = mounted.join("ballast");
    std::fs::write(&ballast, vec![0; 2_500_000]).unwrap();
    let (mut there, mut refused) = (vec!["first".to_owned()], 0);
    for n in 0..60 {
        let id = format!("d{n}");
        match inbox.accept(bulky(&id, 100_000)).await {
            Ok(accepted) => {
                assert!(matches!(accepted, Accepted::New(_)));
                there.push(id);
            }
            Err(error) => {
                assert_eq!((error.remedy, error.problem.code.as_str()), (Remedy::Wait, "JOURNAL-NO-ROOM"));
                refused += 1;
            }
        }
    }
    assert!(refused >= 20, "{refused} were refused");
    let ids = |deliveries: Vec<engine::inbox::Delivery>| {
        deliveries.into_iter().filter_map(|one| one.entry.delivery_id).collect::<Vec<_>>()
    };
    assert_eq!(ids(waiting(&inbox).await), there, "what was acknowledged is there, and nothing else");
    std::fs::remove_file(ballast).unwrap();
    take(&inbox, bulky("after", 100_000)).await;
    there.push("after".to_owned());
    let done = waiting(&inbox).await.iter().map(|one| settled(&one.entry, Standing::Applied)).collect();
    inbox.settle(done).await.unwrap();
    assert_eq!(inbox.counts().await.unwrap().applied, u64::try_from(there.len()).unwrap());
    inbox.close().await.unwrap();
}

#[tokio::test]
async fn a_journal_goes_on_after_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mounted) = inside("a_journal_goes_on_after_a_full_disk", 4, dir.path()) else { return };
    let journal = SqliteJournal::open(&mounted).await.unwrap();
    let ballast = mounted.join("ballast");
    std::fs::write(&ballast, vec![0; 2_500_000]).unwrap();
    let (mut sequence, mut refused) = (0, 0);
    for _ in 0..200 {
        let mut entry = put(sequence + 1, sequence + 1);
        let text: String = bulky("x", 30_000).body.iter().map(|byte| char::from(b'!' + byte % 90)).collect();
        entry.row.row = Some(row(serde_json::json!({"Text": text})));
        match journal.commit(&[entry]).await {
            Ok(()) => sequence += 1,
            Err(error) => {
                assert_eq!((error.remedy, error.problem.code.as_str()), (Remedy::Wait, "JOURNAL-NO-ROOM"));
                refused += 1;
            }
        }
    }
    assert!(refused > 0 && sequence > 0, "{sequence} went in, {refused} were refused");
    std::fs::remove_file(ballast).unwrap();
    journal.commit(&[put(sequence + 1, sequence + 1)]).await.unwrap();
    assert_eq!(journal.bounds().await.unwrap().head, Sequence(sequence + 1));
}
