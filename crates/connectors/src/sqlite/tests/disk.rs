//! A disk that is really full, and one that really cannot be written.
//!
//! Each test runs itself again in a namespace of its own, where it may mount a small file system; where the
//! system has no such namespaces it says that it is skipped.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use engine::position::RebuildReason;
use engine::target::{Target, TargetErrorKind};
use tempfile::TempDir;
use test_faults::{Inside, is_inside};

use super::super::config::{SqliteConfig, Validated, check};
use super::super::target::SqliteTarget;
use super::{CODES, Deletes, assert_kind, at, batch, dump, file_in, issues, owned, plan, ready, row, run};
use crate::check::Outcome;

/// The mounted directory, if this is the inner run of a test; otherwise starts the inner run after `script`,
/// which mounts `$1`.
fn inside(test: &str, script: &str, prepared: &Path) -> Option<PathBuf> {
    match test_faults::inside(&format!("sqlite::tests::disk::{test}"), script, prepared) {
        Inside::Mounted(mounted) => Some(mounted),
        Inside::Passed => None,
        Inside::Forbidden => {
            let why = "this system lets no test mount a file system of its own";
            let _ = writeln!(std::io::stderr(), "skipped: {why}");
            None
        }
    }
}

fn at_mount(mounted: &Path) -> Validated {
    SqliteConfig { path: "t.db".into() }.validate(mounted).unwrap()
}

#[tokio::test]
async fn a_full_disk_is_waited_out() {
    let dir = TempDir::new().unwrap();
    let script = "mount -t tmpfs -o size=4m none \"$1\"";
    let Some(mounted) = inside("a_full_disk_is_waited_out", script, dir.path()) else { return };
    let ballast = mounted.join("ballast");
    std::fs::write(&ballast, vec![0; 3_200_000]).unwrap();
    let (file, plan) = (at_mount(&mounted), plan("a", issues(Deletes::Hard)));
    let mut target = ready(&file, &plan).await;
    target.write(&batch(1, vec![row(&plan.tables[0], "p", 1, "one")], vec![])).await.unwrap();
    let large = |code| row(&plan.tables[0], "p", code, &"x".repeat(2_000));
    let load = batch(2, (0..300).map(large).collect(), vec![]);
    for _ in 0..3 {
        assert_kind(target.write(&load).await, TargetErrorKind::Full);
    }
    assert_eq!(dump(&file, CODES).await, ["1|one"]);

    // Not a byte left: neither this task nor another one gets in, and nobody takes it for anything else.
    let mut filler = std::fs::File::create(mounted.join("filler")).unwrap();
    while filler.write(&[0; 4096]).is_ok_and(|written| written > 0) {}
    assert_kind(target.write(&load).await, TargetErrorKind::Full);
    let other = SqliteConfig { path: "other.db".into() }.validate(&mounted).unwrap();
    assert_kind(SqliteTarget::new(other).open(&plan).await, TargetErrorKind::Full);
    let room =
        check(&file, "a", &[], &[]).await.into_iter().find(|item| item.name == "target: room").unwrap();
    assert_eq!(room.outcome, Outcome::Warning, "{room:?}");

    std::fs::remove_file(ballast).unwrap();
    std::fs::remove_file(mounted.join("filler")).unwrap();
    target.write(&load).await.unwrap();
    assert_eq!(target.count(0, &[owned(1, "p")]).await.unwrap(), 300);
    target.close().await;
    assert_eq!(SqliteTarget::new(file).open(&plan).await.unwrap().position, Some(at(2)));
}

#[tokio::test]
async fn a_read_only_disk_is_named() {
    let dir = TempDir::new().unwrap();
    let (file, plan) = (file_in(&dir), plan("a", issues(Deletes::Hard)));
    if !is_inside() {
        let mut target = ready(&file, &plan).await;
        target.prepare(&plan, Some(RebuildReason::Asked), &at(1)).await.unwrap();
        target.close().await;
    }
    let script = "mount --bind \"$1\" \"$1\"; mount -o remount,bind,ro \"$1\"";
    let Some(mounted) = inside("a_read_only_disk_is_named", script, dir.path()) else { return };
    let file = at_mount(&mounted);
    assert_kind(SqliteTarget::new(file.clone()).open(&plan).await, TargetErrorKind::ReadOnly);
    let items = check(&file, "a", &[], &[]).await;
    assert!(items.iter().any(|item| item.outcome == Outcome::Failed && item.fix.is_some()), "{items:?}");
    let new = SqliteConfig { path: "new.db".into() }.validate(&mounted).unwrap();
    assert_kind(SqliteTarget::new(new).open(&plan).await, TargetErrorKind::ReadOnly);
}

#[tokio::test]
async fn a_file_of_another_journal_mode_that_cannot_be_written_is_read_only() {
    let dir = TempDir::new().unwrap();
    let (file, plan) = (file_in(&dir), plan("a", issues(Deletes::Hard)));
    run(&file, "CREATE TABLE mine (x)").await;
    let mut target = SqliteTarget::adjusted(file, |options| options.read_only(true));
    assert_kind(target.open(&plan).await, TargetErrorKind::ReadOnly);
}
