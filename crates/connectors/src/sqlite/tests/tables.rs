//! Tables that only SQLite takes for ours.

use engine::target::{Target, TargetErrorKind};
use tempfile::TempDir;

use super::super::target::SqliteTarget;
use super::{Deletes, assert_kind, file_in, issues, plan, run};

#[tokio::test]
async fn a_file_with_a_foreign_table_stays_as_it_is() {
    let dir = TempDir::new().unwrap();
    let (file, plan) = (file_in(&dir), plan("a", issues(Deletes::Hard)));
    // SQLite does not tell the case of names.
    run(&file, "CREATE TABLE Issues (code TEXT PRIMARY KEY, mine BLOB)").await;
    let before = std::fs::read(file.path()).unwrap();
    let mut target = SqliteTarget::new(file.clone());
    assert_kind(target.open(&plan).await, TargetErrorKind::Shape);
    target.close().await;
    assert_eq!(std::fs::read(file.path()).unwrap(), before);
}
