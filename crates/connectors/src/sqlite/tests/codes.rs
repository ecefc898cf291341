//! What SQLite's codes mean: who refuses a row, and what is damage.

use engine::target::{Target, TargetErrorKind as Kind};
use tempfile::TempDir;

use super::{CODES, Deletes, assert_kind, batch, dump, file_in, issues, plan, ready, row, run};
use crate::contract::key;

#[tokio::test]
async fn what_a_trigger_raises_is_a_matter_of_the_row() {
    let dir = TempDir::new().unwrap();
    let (file, plan) = (file_in(&dir), plan("a", issues(Deletes::Hard)));
    let mut target = ready(&file, &plan).await;
    let write = |name| batch(1, vec![row(&plan.tables[0], "p", 1, name)], vec![]);
    target.write(&write("x")).await.unwrap();
    for how in ["ABORT", "FAIL", "ROLLBACK"] {
        for what in ["INSERT", "UPDATE", "DELETE"] {
            let trigger = format!(
                "CREATE TRIGGER refuses_{what} BEFORE {what} ON issues BEGIN SELECT RAISE({how}, 'said no'); END"
            );
            run(&file, &trigger).await;
        }
        for batch in [write("y"), batch(1, vec![], vec![key("p", 1)])] {
            let text = assert_kind(target.write(&batch).await, Kind::Data);
            assert!(text.contains("SQLITE-DATA") && text.contains("said no"), "{text}");
        }
        run(&file, "DROP TRIGGER refuses_INSERT; DROP TRIGGER refuses_UPDATE; DROP TRIGGER refuses_DELETE")
            .await;
    }
    // A foreign key that is looked at when the transaction ends.
    run(
        &file,
        "CREATE TABLE mine (a TEXT, b TEXT, c INTEGER, FOREIGN KEY (a, b, c) REFERENCES issues \
         (team_name, project_name, code) DEFERRABLE INITIALLY DEFERRED); INSERT INTO mine VALUES ('acme', 'p', 1)",
    )
    .await;
    assert_kind(target.write(&batch(2, vec![], vec![key("p", 1)])).await, Kind::Data);
    assert_eq!(dump(&file, CODES).await, ["1|x"]);
}

#[tokio::test]
async fn a_broken_full_text_index_is_no_damaged_file() {
    let dir = TempDir::new().unwrap();
    let (file, plan) = (file_in(&dir), plan("a", issues(Deletes::Hard)));
    let mut target = ready(&file, &plan).await;
    target.write(&batch(1, vec![row(&plan.tables[0], "p", 1, "old")], vec![])).await.unwrap();
    // Its triggers believe that the row is in it.
    run(
        &file,
        "CREATE VIRTUAL TABLE found USING fts5(name, content='issues'); \
         CREATE TRIGGER finds AFTER UPDATE ON issues BEGIN \
         INSERT INTO found(found, rowid, name) VALUES ('delete', old.rowid, old.name); \
         INSERT INTO found(rowid, name) VALUES (new.rowid, new.name); END",
    )
    .await;
    let write = batch(2, vec![row(&plan.tables[0], "p", 1, "new")], vec![]);
    let text = assert_kind(target.write(&write).await, Kind::NotReady);
    assert!(text.contains("SQLITE-INDEX") && text.contains("'rebuild'"), "{text}");
    // What it says helps.
    run(&file, "INSERT INTO found(found) VALUES ('rebuild')").await;
    target.write(&write).await.unwrap();
    assert_eq!(dump(&file, "SELECT name FROM found WHERE found MATCH 'new'").await, ["new"]);
}
