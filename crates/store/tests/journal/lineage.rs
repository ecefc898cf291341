//! Which positions a journal recognises, also after its files were copied or restored.

use std::path::Path;

use engine::journal::Journal;
use engine::position::{Fingerprint, Generation, Position, Sequence};
use store::journal::SqliteJournal;

use super::put;

fn position(generation: &Generation, sequence: i64) -> Position {
    Position {
        generation: generation.clone(),
        sequence: Sequence(sequence),
        fingerprint: Fingerprint("f".to_owned()),
        rebuilding: false,
    }
}

fn copy(from: &Path, to: &Path) {
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

#[tokio::test]
async fn positions_of_earlier_openings_stay_known() {
    let dir = tempfile::tempdir().unwrap();
    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    let first = journal.generation().clone();
    journal.commit(&[put(1, 1), put(2, 2)]).await.unwrap();
    assert!(journal.knows(&position(&first, 2)).await.unwrap());
    assert!(!journal.knows(&position(&first, 3)).await.unwrap(), "ahead of the head");
    journal.close().await.unwrap();

    let journal = SqliteJournal::open(dir.path()).await.unwrap();
    let second = journal.generation().clone();
    assert_ne!(first, second);
    journal.commit(&[put(3, 3)]).await.unwrap();
    assert!(journal.knows(&position(&first, 0)).await.unwrap());
    assert!(journal.knows(&position(&first, 2)).await.unwrap());
    assert!(!journal.knows(&position(&first, 3)).await.unwrap(), "the first opening never reached it");
    assert!(journal.knows(&position(&second, 3)).await.unwrap());
    assert!(journal.knows(&position(&second, 1)).await.unwrap(), "a task may lag behind the opening");
    assert!(!journal.knows(&position(&Generation("another".to_owned()), 0)).await.unwrap());
}

#[tokio::test]
async fn a_copy_knows_only_the_common_past() {
    let (original, restored) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let journal = SqliteJournal::open(original.path()).await.unwrap();
    let first = journal.generation().clone();
    journal.commit(&[put(1, 1), put(2, 2)]).await.unwrap();
    journal.close().await.unwrap();
    copy(original.path(), restored.path());

    // Both go on, each its own way.
    let journal = SqliteJournal::open(original.path()).await.unwrap();
    let second = journal.generation().clone();
    journal.commit(&[put(3, 3)]).await.unwrap();
    let copy = SqliteJournal::open(restored.path()).await.unwrap();
    copy.commit(&[put(4, 3), put(5, 4)]).await.unwrap();
    assert!(copy.knows(&position(&first, 2)).await.unwrap());
    assert!(!copy.knows(&position(&second, 3)).await.unwrap());
    assert!(!copy.knows(&position(&second, 2)).await.unwrap());
    assert!(!journal.knows(&position(copy.generation(), 3)).await.unwrap());
}

#[tokio::test]
async fn a_copy_of_a_running_journal_does_not_know_what_came_after() {
    let (original, restored) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let journal = SqliteJournal::open(original.path()).await.unwrap();
    journal.commit(&[put(1, 1), put(2, 2)]).await.unwrap();
    copy(original.path(), restored.path());
    journal.commit(&[put(3, 3)]).await.unwrap();
    let reached = position(journal.generation(), 3);
    assert!(journal.knows(&reached).await.unwrap());

    let copy = SqliteJournal::open(restored.path()).await.unwrap();
    assert!(!copy.knows(&reached).await.unwrap());
    copy.commit(&[put(9, 3), put(9, 4)]).await.unwrap();
    assert!(!copy.knows(&reached).await.unwrap(), "not even when the copy has as many changes");
    assert!(copy.knows(&position(journal.generation(), 2)).await.unwrap());
}
