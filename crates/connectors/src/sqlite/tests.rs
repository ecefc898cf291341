//! The SQLite target against real files. Tables that are not ours or not as they should be
//! are in `tables`, values of every kind in `values`, full and read-only disks in `disk`, a
//! killed writer in `killed`.

mod disk;
mod killed;
mod tables;
mod values;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use engine::position::{Fingerprint, Generation, Position, RebuildReason, Sequence};
use engine::row::RowId;
use engine::schema::Kind;
use engine::target::{
    Batch, Cell, Column, Opened, Owned, Plan, TableBatch, Target, TargetError, TargetErrorKind, TargetTable,
};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row, SqliteConnection};
use tempfile::TempDir;

use super::config::{SqliteConfig, Validated, check};
use super::target::SqliteTarget;
use crate::check::Outcome;

const NOW: i64 = 1_700_000_000_123_456;
const NOW_TEXT: &str = "2023-11-14T22:13:20.123456Z";

fn file_in(dir: &TempDir) -> Validated {
    SqliteConfig { path: "t.db".into() }.validate(dir.path()).unwrap()
}

fn column(name: &str, kind: Kind) -> Column {
    Column { name: name.to_owned(), kind, custom: None }
}

/// A table with a column of every kind, with soft deletes or hard ones.
fn issues(deletes: Deletes) -> TargetTable {
    let mut columns = vec![
        column("team_name", Kind::Text),
        column("project_name", Kind::Text),
        column("code", Kind::Integer),
        column("name", Kind::Text),
        column("hours", Kind::Real),
        column("done", Kind::Boolean),
        column("labels", Kind::Json),
        column("_synced_at", Kind::Timestamp),
    ];
    let deleted_at = (deletes == Deletes::Soft).then(|| {
        columns.push(column("_deleted_at", Kind::Timestamp));
        columns.len() - 1
    });
    TargetTable { name: "issues".to_owned(), columns, key_columns: 3, deleted_at, synced_at: 7 }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Deletes {
    Hard,
    Soft,
}

fn plan(task: &str, table: TargetTable) -> Plan {
    Plan { task: task.to_owned(), tables: vec![table] }
}

fn at(sequence: i64) -> Position {
    Position {
        generation: Generation("g".to_owned()),
        sequence: Sequence(sequence),
        fingerprint: Fingerprint("f".to_owned()),
        rebuilding: false,
    }
}

fn key(project: &str, code: i64) -> Vec<Cell> {
    vec![Cell::Text("acme".to_owned()), Cell::Text(project.to_owned()), Cell::Integer(code)]
}

fn row(table: &TargetTable, project: &str, code: i64, name: &str) -> Vec<Cell> {
    let mut cells = key(project, code);
    cells.extend([
        Cell::Text(name.to_owned()),
        Cell::Real(0.1),
        Cell::Boolean(true),
        Cell::Json("[1]".to_owned()),
        Cell::Timestamp(NOW),
    ]);
    cells.resize(table.columns.len(), Cell::Null);
    cells
}

fn batch(sequence: i64, upserts: Vec<Vec<Cell>>, deletes: Vec<Vec<Cell>>) -> Batch {
    Batch { tables: vec![TableBatch { upserts, deletes, now: NOW, new: false }], position: at(sequence) }
}

fn owned(project_id: i64, project: &str) -> Owned {
    Owned { team: "acme".to_owned(), project_id, project: project.to_owned() }
}

/// Opens and prepares, as for a task that comes for the first time.
async fn ready(file: &Validated, plan: &Plan) -> SqliteTarget {
    let mut target = SqliteTarget::new(file.clone());
    target.open(plan).await.unwrap();
    target.prepare(plan, Some(RebuildReason::New), &at(0)).await.unwrap();
    target
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

const CODES: &str = "SELECT CAST(code AS TEXT), name FROM issues ORDER BY project_name, code";

fn assert_kind<T: std::fmt::Debug>(result: Result<T, TargetError>, kind: TargetErrorKind) -> String {
    let error = result.expect_err("an error");
    assert_eq!(error.kind, kind, "{error}");
    assert!(!error.problem.fix.is_empty());
    error.to_string()
}

#[tokio::test]
async fn rows_and_position_are_there_together() {
    let dir = TempDir::new().unwrap();
    let (file, plan) = (file_in(&dir), plan("a", issues(Deletes::Hard)));
    let mut target = SqliteTarget::new(file.clone());
    let Opened { position, owned, .. } = target.open(&plan).await.unwrap();
    assert_eq!((position, owned), (None, vec![]));
    let rebuilding = Position { rebuilding: true, ..at(0) };
    target.prepare(&plan, Some(RebuildReason::New), &rebuilding).await.unwrap();
    target.own(&[self::owned(7, "p")]).await.unwrap();
    target.write(&batch(5, vec![row(&plan.tables[0], "p", 1, "one")], vec![])).await.unwrap();
    target.close().await;
    assert_eq!(
        dump(&file, "SELECT code || '', name, hours || '', done || '', labels, _synced_at FROM issues").await,
        [format!("1|one|0.1|1|[1]|{NOW_TEXT}")]
    );
    let opened = SqliteTarget::new(file).open(&plan).await.unwrap();
    assert_eq!(opened.position, Some(at(5)));
    assert_eq!(opened.owned, [self::owned(7, "p")]);
}

#[tokio::test]
async fn a_repeated_batch_leaves_the_same() {
    let dir = TempDir::new().unwrap();
    let (file, plan) = (file_in(&dir), plan("a", issues(Deletes::Hard)));
    let mut target = ready(&file, &plan).await;
    let rows: Vec<_> = (0..150).map(|code| row(&plan.tables[0], "p", code, "old")).collect();
    target.write(&batch(1, rows, vec![])).await.unwrap();
    let changes: Vec<_> = (100..230).map(|code| row(&plan.tables[0], "p", code, "new")).collect();
    let change = batch(2, changes, (0..90).map(|code| key("p", code)).collect());
    target.write(&change).await.unwrap();
    let once = dump(&file, CODES).await;
    assert_eq!(once.len(), 140);
    assert_eq!((once[0].as_str(), once[10].as_str(), once[139].as_str()), ("90|old", "100|new", "229|new"));
    target.write(&change).await.unwrap();
    assert_eq!(dump(&file, CODES).await, once);
}

#[tokio::test]
async fn invariant_6_a_later_opener_fences_the_earlier_one() {
    let dir = TempDir::new().unwrap();
    let (file, plan) = (file_in(&dir), plan("a", issues(Deletes::Hard)));
    let mut stale = ready(&file, &plan).await;
    let mut current = SqliteTarget::new(file.clone());
    assert_eq!(current.open(&plan).await.unwrap().position, Some(at(0)));
    let rows = batch(9, vec![row(&plan.tables[0], "p", 1, "stale")], vec![]);
    let fenced = TargetErrorKind::Fenced;
    assert_kind(stale.write(&rows).await, fenced);
    assert_kind(stale.own(&[owned(1, "p")]).await, fenced);
    assert_kind(stale.disown(&[owned(1, "p")]).await, fenced);
    assert_kind(stale.put_aside(0, &key("p", 1), "x").await, fenced);
    assert_kind(stale.prepare(&plan, Some(RebuildReason::Asked), &at(9)).await, fenced);
    assert!(dump(&file, CODES).await.is_empty());
    assert!(dump(&file, "SELECT task FROM _tributary_owners").await.is_empty());
    current.prepare(&plan, None, &at(0)).await.unwrap();
    current.write(&batch(1, vec![row(&plan.tables[0], "p", 1, "current")], vec![])).await.unwrap();
    assert_eq!(dump(&file, CODES).await, ["1|current"]);
    // Another task on the same file fences nobody.
    let other = Plan { task: "b".to_owned(), ..plan };
    ready(&file, &other).await;
    current.write(&batch(2, vec![], vec![key("p", 1)])).await.unwrap();
    assert!(dump(&file, CODES).await.is_empty());
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
async fn soft_deletes_mark_once_and_a_new_insert_clears() {
    let dir = TempDir::new().unwrap();
    let (file, plan) = (file_in(&dir), plan("a", issues(Deletes::Soft)));
    let mut target = ready(&file, &plan).await;
    let rows = (1..=3).map(|code| row(&plan.tables[0], "p", code, "x")).collect();
    target.write(&batch(1, rows, vec![])).await.unwrap();
    let mut delete = batch(2, vec![], vec![key("p", 2), key("p", 99)]);
    delete.tables[0].now = NOW + 1_000_000;
    target.write(&delete).await.unwrap();
    let marked = "SELECT code || '', _deleted_at, _synced_at FROM issues ORDER BY code";
    let alive = |code| format!("{code}|NULL|{NOW_TEXT}");
    let deleted = "2|2023-11-14T22:13:21.123456Z|2023-11-14T22:13:21.123456Z".to_owned();
    assert_eq!(dump(&file, marked).await, [alive(1), deleted.clone(), alive(3)]);
    delete.tables[0].now += 5_000_000;
    target.write(&delete).await.unwrap();
    assert_eq!(dump(&file, marked).await, [alive(1), deleted, alive(3)]);
    assert_eq!(target.ids(0, "acme", "p", None, 10).await.unwrap(), [RowId(1), RowId(3)]);
    assert_eq!(target.count(0, &[owned(1, "p")]).await.unwrap(), 2);
    target.write(&batch(3, vec![row(&plan.tables[0], "p", 2, "back")], vec![])).await.unwrap();
    assert_eq!(dump(&file, marked).await, [alive(1), alive(2), alive(3)]);
}

#[tokio::test]
async fn ids_come_in_pages_and_counts_by_project() {
    let dir = TempDir::new().unwrap();
    let (file, plan) = (file_in(&dir), plan("a", issues(Deletes::Hard)));
    let mut target = ready(&file, &plan).await;
    let mut rows: Vec<_> = (0..25).map(|n| row(&plan.tables[0], "p", n * 3 - 9, "x")).collect();
    rows.extend((0..4).map(|code| row(&plan.tables[0], "q", code, "x")));
    rows.push(row(&plan.tables[0], "p", i64::MIN, "x"));
    target.write(&batch(1, rows, vec![])).await.unwrap();
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = target.ids(0, "acme", "p", after, 10).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(*last);
        all.extend(page);
    }
    let expected: Vec<_> = [i64::MIN].into_iter().chain((0..25).map(|n| n * 3 - 9)).map(RowId).collect();
    assert_eq!(all, expected);
    assert_eq!(target.ids(0, "other", "p", None, 10).await.unwrap(), []);
    assert_eq!(target.count(0, &[owned(1, "p")]).await.unwrap(), 26);
    let both = [owned(1, "p"), owned(2, "q"), owned(3, "q"), owned(4, "none")];
    assert_eq!(target.count(0, &both).await.unwrap(), 30);
}

#[tokio::test]
async fn a_row_that_does_not_fit_is_data_and_can_be_put_aside() {
    let dir = TempDir::new().unwrap();
    let (file, plan) = (file_in(&dir), plan("a", issues(Deletes::Hard)));
    let mut target = ready(&file, &plan).await;
    let good = row(&plan.tables[0], "p", 1, "good");
    let spoilt = |at: usize, cell: Cell| {
        let mut row = row(&plan.tables[0], "p", 2, "bad");
        row[at] = cell;
        row
    };
    let bad = [
        spoilt(1, Cell::Null),
        spoilt(2, Cell::Text("007".to_owned())),
        spoilt(3, Cell::Integer(7)),
        spoilt(4, Cell::Real(f64::NAN)),
        spoilt(4, Cell::Integer(1)),
        spoilt(5, Cell::Real(1.0)),
        spoilt(7, Cell::Timestamp(i64::MAX)),
        key("p", 2),
    ];
    for bad in bad {
        let result = target.write(&batch(1, vec![good.clone(), bad], vec![])).await;
        assert_kind(result, TargetErrorKind::Data);
    }
    assert!(dump(&file, CODES).await.is_empty());
    target.put_aside(0, &key("p", 2), "too odd").await.unwrap();
    target.put_aside(0, &key("p", 2), "still too odd").await.unwrap();
    target.write(&batch(1, vec![good], vec![])).await.unwrap();
    assert_eq!(dump(&file, CODES).await, ["1|good"]);
    let aside = "SELECT task, table_name, key, reason FROM _tributary_aside";
    assert_eq!(dump(&file, aside).await, [r#"a|issues|["acme","p",2]|still too odd"#]);
    target.prepare(&plan, Some(RebuildReason::Asked), &at(1)).await.unwrap();
    assert!(dump(&file, aside).await.is_empty());
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
async fn a_write_that_is_given_up_leaves_all_or_nothing() {
    let dir = TempDir::new().unwrap();
    let (file, plan) = (file_in(&dir), plan("a", issues(Deletes::Hard)));
    let mut target = ready(&file, &plan).await;
    let mut unfinished = 0;
    for patience in 0..40 {
        let rows = (0..200).map(|code| row(&plan.tables[0], "p", code, &patience.to_string())).collect();
        let write = batch(patience, rows, vec![]);
        let written = tokio::select! {
            biased;
            () = async { for _ in 0..patience { tokio::task::yield_now().await } } => false,
            written = target.write(&write) => { written.unwrap(); true }
        };
        unfinished += i32::from(!written);
        // In one look: what was given up may still be committed.
        let stored: BTreeSet<_> = dump(&file, "SELECT name, sequence || '' FROM issues, _tributary_tasks")
            .await
            .into_iter()
            .collect();
        assert!(stored.len() <= 1, "{stored:?}");
        for stored in stored {
            let (name, sequence) = stored.split_once('|').unwrap();
            assert_eq!(name, sequence);
        }
    }
    assert!(unfinished > 0);
    target.write(&batch(99, vec![row(&plan.tables[0], "p", 0, "99")], vec![])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_share_a_file() {
    let dir = TempDir::new().unwrap();
    let file = file_in(&dir);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..4_i64 {
        let (file, plan) = (file.clone(), plan(&format!("task {task}"), issues(Deletes::Hard)));
        tasks.spawn(async move {
            let project = format!("p{task}");
            let mut target = ready(&file, &plan).await;
            target.own(&[owned(task, &project)]).await.unwrap();
            for step in 0..10 {
                let rows = (0..30).map(|n| row(&plan.tables[0], &project, step * 30 + n, "x")).collect();
                target.write(&batch(step, rows, vec![])).await.unwrap();
            }
            assert_eq!(target.count(0, &[owned(task, &project)]).await.unwrap(), 300);
            target.close().await;
        });
    }
    tasks.join_all().await;
    assert_eq!(dump(&file, CODES).await.len(), 1200);
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(left, ["t.db"], "the log is written back at close");
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
    let names = |items: &[crate::check::CheckItem], outcome: Outcome| {
        items.iter().filter(|item| item.outcome == outcome).map(|item| item.name.clone()).collect::<Vec<_>>()
    };
    let items = check(&file).await;
    assert_eq!(names(&items, Outcome::Failed), [""; 0], "{items:?}");
    for tried in ["target: open", "target: write", "target: WAL", "target: room"] {
        assert!(items.iter().any(|item| item.name == tried), "{tried}: {items:?}");
    }
    assert_eq!(dump(&file, "SELECT name FROM sqlite_schema").await, ["mine"]);
    assert_eq!(dump(&file, "PRAGMA journal_mode").await, ["delete"]);
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(left, ["t.db"]);
    let missing = SqliteConfig { path: "missing/t.db".into() }.validate(dir.path()).unwrap();
    let items = check(&missing).await;
    assert_eq!(names(&items, Outcome::Failed), ["target: open"]);
    assert!(items[0].fix.as_ref().unwrap().contains("missing/t.db"), "{items:?}");
    let garbage = SqliteConfig { path: "garbage".into() }.validate(dir.path()).unwrap();
    std::fs::write(garbage.path(), "x".repeat(5000)).unwrap();
    assert_eq!(names(&check(&garbage).await, Outcome::Failed), ["target: open"]);
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
