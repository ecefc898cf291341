//! The SQLite target against real files, as every target and in what only it has: tables that only SQLite takes for
//! ours are in `tables`, what codes mean in `codes`, values of every kind in `values`, full and read-only disks in `disk`.

mod codes;
mod disk;
mod tables;
mod values;

use std::path::Path;
use std::time::Duration;

use engine::target::{Cell, Plan, Target, TargetErrorKind, TargetTable};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row, SqliteConnection};
use tempfile::TempDir;

use super::config::{SqliteConfig, Validated, check};
use super::target::SqliteTarget;
use crate::check::{CheckItem, Outcome};
use crate::contract::{self, CODES, Deletes, Site, assert_kind, at, batch, issues, owned, plan, row};

contract::contract!(File);

/// A file in a directory of its own.
struct File {
    file: Validated,
    dir: Option<TempDir>,
}

impl Site for File {
    type Target = SqliteTarget;
    const TYPES: [&str; 3] = ["TEXT", "INTEGER", "REAL"];
    const MODULE: &str = "sqlite";

    async fn new() -> File {
        let dir = TempDir::new().unwrap();
        File { file: file_in(&dir), dir: Some(dir) }
    }

    fn at(address: &str) -> File {
        File { file: SqliteConfig { path: address.into() }.validate(Path::new("")).unwrap(), dir: None }
    }

    fn address(&self) -> String {
        self.file.path().to_str().unwrap().to_owned()
    }

    fn target(&self) -> SqliteTarget {
        SqliteTarget::new(self.file.clone())
    }

    async fn run(&self, sql: &str) {
        run(&self.file, sql).await;
    }

    async fn dump(&self, select: &str) -> Vec<String> {
        dump(&self.file, select).await
    }

    fn create_table(table: &TargetTable) -> String {
        super::encode::create_table(table)
    }

    fn moment(micros: i64) -> String {
        crate::sql::time(micros).unwrap()
    }

    /// The log is written back at close.
    fn assert_tidy(&self) {
        let dir = self.dir.as_ref().unwrap();
        let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
        assert_eq!(left, ["t.db"]);
    }
}

fn file_in(dir: &TempDir) -> Validated {
    SqliteConfig { path: "t.db".into() }.validate(dir.path()).unwrap()
}

async fn ready(file: &Validated, plan: &Plan) -> SqliteTarget {
    contract::ready(&File { file: file.clone(), dir: None }, plan).await
}

/// Another program that reads and writes the file.
async fn other(file: &Validated) -> SqliteConnection {
    SqliteConnectOptions::new().filename(file.path()).create_if_missing(true).connect().await.unwrap()
}

async fn run(file: &Validated, sql: &str) {
    let mut connection = other(file).await;
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// All rows of a query, as SQLite itself writes them down.
async fn dump(file: &Validated, select: &str) -> Vec<String> {
    let mut connection = other(file).await;
    let columns = sqlx::query(AssertSqlSafe(select)).fetch_all(&mut connection).await.unwrap();
    let lines = columns.iter().map(|row| {
        let cell = |at| row.try_get_unchecked::<Option<String>, _>(at).unwrap().unwrap_or("NULL".to_owned());
        (0..row.len()).map(cell).collect::<Vec<_>>().join("|")
    });
    let lines = lines.collect();
    connection.close().await.unwrap();
    lines
}

#[tokio::test]
async fn others_read_while_it_writes() {
    let dir = TempDir::new().unwrap();
    let (file, plan) = (file_in(&dir), plan("a", issues(Deletes::Hard)));
    let mut target = ready(&file, &plan).await;
    target.write(&batch(1, vec![row(&plan.tables[0], "p", 1, "one")], vec![])).await.unwrap();
    let mut reader = other(&file).await;
    let mut reading = reader.begin().await.unwrap();
    let count = "SELECT count(*) FROM issues";
    let before: i64 = sqlx::query_scalar(count).fetch_one(&mut *reading).await.unwrap();
    target.write(&batch(2, vec![row(&plan.tables[0], "p", 2, "two")], vec![])).await.unwrap();
    let during: i64 = sqlx::query_scalar(count).fetch_one(&mut *reading).await.unwrap();
    reading.commit().await.unwrap();
    let after: i64 = sqlx::query_scalar(count).fetch_one(&mut reader).await.unwrap();
    assert_eq!((before, during, after), (1, 1, 2));
}

#[tokio::test]
async fn a_full_disk_is_said_and_survived() {
    let dir = TempDir::new().unwrap();
    let (file, plan) = (file_in(&dir), plan("a", issues(Deletes::Hard)));
    ready(&file, &plan).await.close().await;
    let small = |options: SqliteConnectOptions| options.pragma("max_page_count", "40");
    let mut target = SqliteTarget::adjusted(file.clone(), small);
    target.open(&plan).await.unwrap();
    target.prepare(&plan, None, &at(0)).await.unwrap();
    let large = |code| row(&plan.tables[0], "p", code, &"x".repeat(2_000));
    let rows: Vec<_> = (0..500).map(large).collect();
    assert_kind(target.write(&batch(1, rows.clone(), vec![])).await, TargetErrorKind::Full);
    assert!(dump(&file, CODES).await.is_empty());
    target.write(&batch(2, vec![large(1)], vec![])).await.unwrap();
    assert_eq!(target.count(0, &[owned(1, "p")]).await.unwrap(), 1);
    target.close().await;
    let mut target = SqliteTarget::new(file.clone());
    assert_eq!(target.open(&plan).await.unwrap().position, Some(at(2)));
    target.prepare(&plan, None, &at(2)).await.unwrap();
    target.write(&batch(3, rows, vec![])).await.unwrap();
    assert_eq!(target.count(0, &[owned(1, "p")]).await.unwrap(), 500);
}

#[tokio::test]
async fn what_cannot_be_written_is_read_only() {
    let dir = TempDir::new().unwrap();
    let (file, plan) = (file_in(&dir), plan("a", issues(Deletes::Hard)));
    ready(&file, &plan).await.close().await;
    let mut target = SqliteTarget::adjusted(file.clone(), |options| options.read_only(true));
    assert_kind(target.open(&plan).await, TargetErrorKind::ReadOnly);
    std::fs::create_dir(dir.path().join("dir")).unwrap();
    for place in ["dir", "missing/t.db", "t.db/t.db"] {
        let file = SqliteConfig { path: place.into() }.validate(dir.path()).unwrap();
        let text = assert_kind(SqliteTarget::new(file).open(&plan).await, TargetErrorKind::ReadOnly);
        assert!(text.contains(place), "{text}");
    }
}

#[tokio::test]
async fn a_corrupt_file_and_one_of_a_newer_version_need_a_person() {
    let dir = TempDir::new().unwrap();
    let (file, plan) = (file_in(&dir), plan("a", issues(Deletes::Hard)));
    std::fs::write(file.path(), "no database at all, but long enough to look like one".repeat(100)).unwrap();
    let text = assert_kind(SqliteTarget::new(file.clone()).open(&plan).await, TargetErrorKind::Fatal);
    assert!(text.contains("not a SQLite database"), "{text}");
    std::fs::remove_file(file.path()).unwrap();
    ready(&file, &plan).await.close().await;
    run(&file, "UPDATE _tributary_format SET version = 1000").await;
    let text = assert_kind(SqliteTarget::new(file.clone()).open(&plan).await, TargetErrorKind::Fatal);
    assert!(text.contains("version 1000"), "{text}");
    // The second half of the file overwritten.
    let mut bytes = std::fs::read(file.path()).unwrap();
    let half = 4096;
    bytes[half..].fill(0xAA);
    std::fs::write(file.path(), bytes).unwrap();
    let text = assert_kind(SqliteTarget::new(file).open(&plan).await, TargetErrorKind::Fatal);
    assert!(text.contains("damaged"), "{text}");
}

#[tokio::test]
async fn a_file_that_vanished_is_noticed() {
    let dir = TempDir::new().unwrap();
    let (file, plan) = (file_in(&dir), plan("a", issues(Deletes::Hard)));
    let mut target = ready(&file, &plan).await;
    for name in ["t.db", "t.db-wal", "t.db-shm"] {
        std::fs::remove_file(dir.path().join(name)).unwrap();
    }
    let rows = batch(1, vec![row(&plan.tables[0], "p", 1, "x")], vec![]);
    let text = assert_kind(target.write(&rows).await, TargetErrorKind::Fatal);
    assert!(text.contains("SQLITE-REPLACED"), "{text}");
    assert_eq!(target.open(&plan).await.unwrap().position, None);
}

#[tokio::test]
async fn a_busy_file_is_transient_and_the_repetition_succeeds() {
    let dir = TempDir::new().unwrap();
    let (file, plan) = (file_in(&dir), plan("a", issues(Deletes::Hard)));
    ready(&file, &plan).await.close().await;
    let impatient = |options: SqliteConnectOptions| options.busy_timeout(Duration::from_millis(20));
    let mut target = SqliteTarget::adjusted(file.clone(), impatient);
    target.open(&plan).await.unwrap();
    target.prepare(&plan, None, &at(0)).await.unwrap();
    let mut writer = other(&file).await;
    let lock = writer.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let rows = batch(1, vec![row(&plan.tables[0], "p", 1, "x")], vec![]);
    assert_kind(target.write(&rows).await, TargetErrorKind::Transient);
    assert_eq!(target.ids(0, "acme", "p", None, 1).await.unwrap(), []);
    lock.rollback().await.unwrap();
    target.write(&rows).await.unwrap();
    assert_eq!(dump(&file, CODES).await, ["1|x"]);
}

#[tokio::test]
async fn what_is_no_number_is_not_stored() {
    let dir = TempDir::new().unwrap();
    let (file, plan) = (file_in(&dir), plan("a", issues(Deletes::Hard)));
    let mut target = ready(&file, &plan).await;
    for (at, cell) in [(4, Cell::Real(f64::NAN)), (7, Cell::Timestamp(i64::MAX))] {
        let mut bad = row(&plan.tables[0], "p", 2, "bad");
        bad[at] = cell;
        assert_kind(target.write(&batch(1, vec![bad], vec![])).await, TargetErrorKind::Data);
    }
    assert!(dump(&file, CODES).await.is_empty());
}

#[test]
fn the_configuration_is_judged_without_touching_a_file() {
    let base = Path::new("/nowhere/at/all");
    let good = SqliteConfig { path: "coding.db".into() }.validate(base).unwrap();
    assert_eq!(good.path(), Path::new("/nowhere/at/all/coding.db"));
    assert_eq!(SqliteConfig { path: "/x.db".into() }.validate(base).unwrap().path(), Path::new("/x.db"));
    for bad in ["", "  ", ":memory:", "file:x.db?mode=memory", "sqlite://x.db", "dir/", "..", "a\0b"] {
        let findings = SqliteConfig { path: bad.into() }.validate(base).unwrap_err();
        assert_eq!(findings.len(), 1, "{bad:?}");
        assert_eq!(findings[0].path, "target.sqlite.path");
    }
    assert!(serde_json::from_str::<SqliteConfig>(r#"{"path": "x", "mode": 1}"#).is_err());
}

#[tokio::test]
async fn check_tries_everything_and_leaves_nothing() {
    let dir = TempDir::new().unwrap();
    let file = file_in(&dir);
    run(&file, "CREATE TABLE mine (x)").await;
    let names = |items: &[CheckItem], outcome: Outcome| {
        items.iter().filter(|item| item.outcome == outcome).map(|item| item.name.clone()).collect::<Vec<_>>()
    };
    let items = check(&file, "a", &[], &[]).await;
    assert_eq!(names(&items, Outcome::Failed), [""; 0], "{items:?}");
    for tried in ["target: open", "target: write", "target: WAL", "target: room"] {
        assert!(items.iter().any(|item| item.name == tried), "{tried}: {items:?}");
    }
    assert_eq!(dump(&file, "SELECT name FROM sqlite_schema").await, ["mine"]);
    assert_eq!(dump(&file, "PRAGMA journal_mode").await, ["delete"]);
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(left, ["t.db"]);
    let missing = SqliteConfig { path: "missing/t.db".into() }.validate(dir.path()).unwrap();
    let items = check(&missing, "a", &[], &[]).await;
    assert_eq!(names(&items, Outcome::Failed), ["target: open"]);
    assert!(items[0].fix.as_ref().unwrap().contains("missing/t.db"), "{items:?}");
    let garbage = SqliteConfig { path: "garbage".into() }.validate(dir.path()).unwrap();
    std::fs::write(garbage.path(), "x".repeat(5000)).unwrap();
    assert_eq!(names(&check(&garbage, "a", &[], &[]).await, Outcome::Failed), ["target: open"]);
}

#[tokio::test]
async fn check_says_what_the_next_start_makes_anew() {
    let (site, hard, soft) =
        (File::new().await, plan("a", issues(Deletes::Hard)), plan("a", issues(Deletes::Soft)));
    let tables = async |task, plan: &Plan| {
        let items = check(&site.file, task, &plan.tables, &[owned(1, "p")]).await;
        items.into_iter().find(|item| item.name == "target: tables").unwrap()
    };
    let mut target = ready(&site.file, &hard).await;
    target.own(&[owned(1, "p")]).await.unwrap();
    target.close().await;
    assert_eq!(tables("a", &hard).await, CheckItem::ok("target: tables", "issues can be filled"));
    let item = tables("a", &soft).await;
    assert_eq!(item.outcome, Outcome::Warning, "{item:?}");
    assert!(item.detail.contains("anew") && item.detail.contains("hard deletes"), "{item:?}");
    let item = tables("b", &hard).await;
    assert!(item.outcome == Outcome::Failed && item.detail.contains("task `a` fills"), "{item:?}");
    let item = tables("b", &soft).await;
    assert_eq!(item.outcome, Outcome::Failed, "{item:?}");
    assert!(item.detail.contains("task `a` fills the same table"), "{item:?}");
    assert!(item.fix.unwrap().contains("the same `mode`"));
}

#[tokio::test]
async fn keys_are_looked_up_and_never_searched_for() {
    let dir = TempDir::new().unwrap();
    let file = file_in(&dir);
    for deletes in [Deletes::Hard, Deletes::Soft] {
        let table = issues(deletes);
        run(&file, &format!("DROP TABLE IF EXISTS issues; {}", super::encode::create_table(&table))).await;
        let statements = super::encode::Statements::of(&table, &[]);
        let sizes: Vec<_> = statements.delete.iter().map(|(rows, _)| *rows).collect();
        assert_eq!(sizes, [64, 16, 4, 1]);
        for (_, statement) in &statements.delete {
            let plan = dump(&file, &format!("EXPLAIN QUERY PLAN {statement}")).await;
            assert!(!plan.is_empty() && plan.iter().all(|step| !step.contains("SCAN")), "{plan:?}");
        }
    }
}
