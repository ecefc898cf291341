//! A state directory and a target as they were left when their formats were released: today's code goes on from there,
//! without a rebuild and without a reading of the source.
//!
//! A golden file is never changed: it stands for the files that people have. When the bookkeeping of a target changes,
//! raise its version, write the migration, and make golden files of the new one beside the old (`cargo test -p
//! connectors --test main -- --ignored golden::`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use coding_sim::{IssueFields, Operation, ProjectConfig};
use connectors::coding::tables::ISSUES;
use engine::capture::{Progress, Projects, remembered::remembered};
use engine::change::{Change, ChangeKind};
use engine::clock::Moment;
use engine::delivery;
use engine::delivery::shape::{Mode, Naming, Shaper};
use engine::journal::{Entry, Journal};
use engine::observation::Channel;
use engine::position::Sequence;
use engine::row::{ProjectId, RowId, RowKey};
use engine::status::{Board, Written};
use engine::target::{Inspect, Looked, Plan, TargetErrorKind};
use serde_json::json;
use store::journal::{FILE, SqliteJournal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::harness::{Bench, listed, postgres, sqlite, unlimited};
use crate::place::{Place, TargetKind, on_each_target};

on_each_target!(
    todays_code_goes_on_from_version_1,
    what_a_newer_version_made_is_refused_and_left_as_it_is,
    todays_version_has_golden_files,
);

/// Golden files of one version of a target, and the form of their rows.
struct Golden {
    target: TargetKind,
    mode: Mode,
    folder: &'static str,
    /// Rows that were put aside.
    aside: u64,
}

/// Each target in both forms: together they make every table of its bookkeeping.
const VERSION_1: [Golden; 4] = [
    Golden { target: TargetKind::Sqlite, mode: Mode::Document, folder: "sqlite-1", aside: 0 },
    Golden { target: TargetKind::Sqlite, mode: Mode::Flat, folder: "sqlite-1-flat", aside: 1 },
    Golden { target: TargetKind::Postgres, mode: Mode::Document, folder: "postgres-1-document", aside: 1 },
    Golden { target: TargetKind::Postgres, mode: Mode::Flat, folder: "postgres-1", aside: 0 },
];

const PROJECT: &str = "backend";
/// Issues of the golden target.
const LEFT: i64 = 5;

fn folder_of(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// The golden files of today's version.
fn newest(target: TargetKind) -> impl Iterator<Item = &'static Golden> {
    VERSION_1.iter().filter(move |golden| golden.target == target)
}

/// Where the golden files came from.
async fn bench(Golden { target, mode, .. }: &Golden) -> Bench {
    let mut bench = Bench::new(*target, unlimited(vec![ProjectConfig::new(PROJECT, 6, 2, 3)])).await;
    bench.task.mode = *mode;
    bench.task.naming = match mode {
        Mode::Document => Naming::Original,
        Mode::Flat => Naming::SnakeCase,
    };
    bench
}

/// Another name for an issue.
fn named(code: u32, name: &str) -> Operation {
    let fields = IssueFields { name: Some(name.to_owned()), ..IssueFields::default() };
    Operation::SetIssue { project: PROJECT.to_owned(), code, fields: fields.into(), touch: true }
}

/// Makes those that are not there.
async fn make(target: TargetKind) {
    for golden in newest(target) {
        if !folder_of(golden.folder).exists() {
            make_one(golden).await;
        }
    }
}

/// Loads, has a row changed and one deleted, and catches up; then one row cannot be stored.
async fn make_one(golden: &Golden) {
    let bench = bench(golden).await;
    bench.once().await;
    let delete = Operation::DeleteIssue { project: PROJECT.to_owned(), code: 6 };
    bench.sim.world().apply(&[named(2, "renamed"), delete]).unwrap();
    bench.once().await;
    let Names { issues, name, .. } = names(golden.mode);
    let (forbid, allow) = match golden.target {
        TargetKind::Sqlite => (
            format!(
                "CREATE TRIGGER no_poison BEFORE INSERT ON {issues} WHEN NEW.{name} = 'poison' \
                 BEGIN SELECT RAISE(ABORT, 'poison'); END"
            ),
            "DROP TRIGGER no_poison".to_owned(),
        ),
        TargetKind::Postgres => (
            format!("ALTER TABLE {issues} ADD CONSTRAINT no_poison CHECK ({name} <> 'poison')"),
            format!("ALTER TABLE {issues} DROP CONSTRAINT no_poison"),
        ),
    };
    if golden.aside > 0 {
        bench.place.execute(&forbid).await;
        bench.sim.world().apply(&[named(3, "poison")]).unwrap();
        bench.once().await;
        bench.place.execute(&allow).await;
    }
    let folder = folder_of(golden.folder);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(bench.state().join(FILE), folder.join(FILE)).unwrap();
    match &bench.place {
        Place::Sqlite(file) => {
            bench.place.execute("PRAGMA wal_checkpoint(TRUNCATE)").await;
            std::fs::copy(file, folder.join("target.db")).unwrap();
        }
        Place::Postgres { database, schema } => {
            let mut dump = std::process::Command::new("pg_dump");
            dump.args(["--inserts", "--no-owner", "--no-privileges", "--schema", schema]);
            let output = dump.arg("--dbname").arg(database.url().as_str()).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            // Settings of a session come before it, and words for psql around it.
            let text = String::from_utf8(output.stdout).unwrap();
            let words = text.lines().skip_while(|line| !line.starts_with("CREATE SCHEMA"));
            let words: Vec<&str> = words.filter(|line| !line.starts_with('\\')).collect();
            assert!(!words.is_empty(), "a dump without its beginning");
            std::fs::write(folder.join("target.sql"), format!("{}\n", words.join("\n").trim_end())).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "makes the golden files of a new version"]
async fn make_sqlite() {
    make(TargetKind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "makes the golden files of a new version; needs pg_dump"]
async fn make_postgres() {
    make(TargetKind::Postgres).await;
}

/// Puts copies of golden files where the bench has its own.
async fn unpack(bench: &Bench, folder: &str) {
    let folder = folder_of(folder);
    std::fs::create_dir_all(bench.state()).unwrap();
    std::fs::write(bench.state().join(FILE), std::fs::read(folder.join(FILE)).unwrap()).unwrap();
    match &bench.place {
        Place::Sqlite(file) => {
            std::fs::write(file, std::fs::read(folder.join("target.db")).unwrap()).unwrap()
        }
        Place::Postgres { database, .. } => {
            let sql = std::fs::read_to_string(folder.join("target.sql")).unwrap();
            let mut connection = database.connect().await;
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        }
    }
}

/// The names of the table of issues and of its columns that are asked for.
struct Names {
    issues: &'static str,
    code: &'static str,
    name: &'static str,
}

fn names(mode: Mode) -> Names {
    match mode {
        Mode::Document => Names { issues: "\"Issues\"", code: "\"Code\"", name: "\"Name\"" },
        Mode::Flat => Names { issues: "issues", code: "code", name: "name" },
    }
}

/// What whoever only looks finds in the target.
async fn look(bench: &Bench) -> Looked {
    async fn look(mut target: impl Inspect, plan: &Plan) -> Looked {
        let looked = target.look(plan).await.unwrap();
        target.close().await;
        looked
    }
    let plan = Shaper::new(bench.task.clone()).plan();
    match &bench.place {
        Place::Sqlite(file) => look(sqlite(file), &plan).await,
        Place::Postgres { database, schema } => {
            look(postgres(database.url().to_string(), schema), &plan).await
        }
    }
}

/// Renames an issue in the journal, as a poll would have.
async fn rename(journal: &SqliteJournal, project: ProjectId, id: i64, name: &str) -> Sequence {
    let key = RowKey { table: ISSUES, project, id: RowId(id) };
    let mut row = journal.rows(&[key]).await.unwrap().pop().unwrap();
    let before = row.row.clone().unwrap();
    let mut after = before.clone();
    after.fields_mut().insert("Name".to_owned(), json!(name));
    let sequence = Sequence(journal.bounds().await.unwrap().head.0 + 1);
    let observed = Moment(journal.newest_moment().0 + 1);
    (row.version.sequence, row.version.observed, row.row) = (sequence, observed, Some(after.clone()));
    let change = Change {
        sequence,
        key,
        kind: ChangeKind::Update,
        channel: Channel::Poll,
        observed,
        detailed: row.version.detailed(),
        first_detail: false,
        before: Some(before),
        after: Some(after),
    };
    let (new_references, old_references) = (Vec::new(), Vec::new());
    journal.commit(&[Entry { row, change: Some(change), new_references, old_references }]).await.unwrap();
    sequence
}

/// Delivers what the journal has, and ends.
async fn deliver(bench: &Bench, journal: &Arc<SqliteJournal>, progress: Progress) -> Board {
    let (rows, task, board) = (Arc::clone(journal), bench.task.clone(), Board::default());
    let (_told, progress) = watch::channel(Progress { finished: true, ..progress });
    let (shown, cancel) = (board.clone(), CancellationToken::new());
    let delivered = match &bench.place {
        Place::Sqlite(file) => {
            Box::pin(delivery::runner::run(rows, sqlite(file), task, progress, shown, cancel)).await
        }
        Place::Postgres { database, schema } => {
            let target = postgres(database.url().to_string(), schema);
            Box::pin(delivery::runner::run(rows, target, task, progress, shown, cancel)).await
        }
    };
    delivered.unwrap_or_else(|error| panic!("{error}"));
    board
}

async fn todays_code_goes_on_from_version_1(target: TargetKind) {
    for golden in VERSION_1.iter().filter(|golden| golden.target == target) {
        goes_on(golden).await;
    }
}

async fn goes_on(golden: &Golden) {
    let bench = bench(golden).await;
    unpack(&bench, golden.folder).await;
    let Names { issues, code, name } = names(golden.mode);
    let count =
        async |what: &str| bench.place.number(&format!("SELECT count(*) FROM {issues} WHERE {what}")).await;
    assert_eq!(count("1 = 1").await, LEFT);
    assert_eq!(count(&format!("{code} = 2 AND {name} = 'renamed'")).await, 1);
    assert_eq!(look(&bench).await.put_aside, golden.aside);

    // What the capture remembered is understood: nothing would be read anew.
    let journal = Arc::new(SqliteJournal::open(&bench.state()).await.unwrap());
    let projects = Projects::Named(vec![PROJECT.to_owned()]);
    let progress = remembered(&*journal, &projects, &listed()).await.unwrap();
    assert!(progress.loaded && progress.logging, "{progress:?}");
    assert_eq!(progress.custom.is_some(), bench.task.mode == Mode::Flat);
    let project = progress.projects[0].clone();
    assert_eq!(project.name, PROJECT);
    for table in listed() {
        let counts = journal.counts(table.id, project.id).await.unwrap();
        assert!(counts.alive > 0 && counts.pending == 0, "{} {counts:?}", table.name);
    }

    // Only what is new is written.
    let sequence = rename(&journal, project.id, 1, "after the upgrade").await;
    let board = deliver(&bench, &journal, progress).await;
    let status = board.read();
    let task = &status.tasks["task"];
    assert_eq!(task.position, sequence.0);
    let written = task.tables["Issues"].clone();
    // What was put aside then is aside still.
    let put_aside = golden.aside;
    assert_eq!(written, Written { rows: written.rows, updated: 1, put_aside, ..Written::default() });
    for table in ["Iterations", "ProjectMembers"] {
        let written = task.tables.get(table).cloned().unwrap_or_default();
        assert_eq!(written, Written { rows: written.rows, ..Written::default() }, "{table}");
    }
    assert_eq!(count("1 = 1").await, LEFT);
    assert_eq!(count(&format!("{code} = 1 AND {name} = 'after the upgrade'")).await, 1);
    let stored = "SELECT sequence FROM _tributary_tasks WHERE task = 'task'";
    assert_eq!(bench.place.number(stored).await, sequence.0);
    if bench.task.mode == Mode::Flat {
        assert!(bench.place.number("SELECT count(*) FROM _tributary_fields").await > 0);
    }
    assert_eq!(look(&bench).await.put_aside, golden.aside);
    Arc::into_inner(journal).unwrap().close().await.unwrap();
}

async fn what_a_newer_version_made_is_refused_and_left_as_it_is(target: TargetKind) {
    /// By whoever writes, and by whoever only looks.
    async fn refused<T: Inspect>(target: impl Fn() -> T, plan: &Plan) -> [String; 2] {
        let (mut writes, mut looks) = (target(), target());
        let refused = [writes.open(plan).await.map(drop), looks.look(plan).await.map(drop)];
        writes.close().await;
        looks.close().await;
        refused.map(|refused| {
            let error = refused.unwrap_err();
            assert_eq!(error.kind, TargetErrorKind::Fatal);
            assert!(error.problem.code.ends_with("-NEWER"), "{error}");
            error.to_string()
        })
    }
    let golden = newest(target).next().unwrap();
    let bench = bench(golden).await;
    unpack(&bench, golden.folder).await;
    // Bookkeeping of which today's code understands nothing but the version.
    bench.place.execute("UPDATE _tributary_format SET version = 2").await;
    bench.place.execute("UPDATE _tributary_tables SET definition = '{\"another\": \"form\"}'").await;
    bench.place.execute("DROP TABLE _tributary_aside").await;
    let plan = Shaper::new(bench.task.clone()).plan();
    let said = match &bench.place {
        Place::Sqlite(file) => {
            let before = std::fs::read(file).unwrap();
            let said = refused(|| sqlite(file), &plan).await;
            assert!(std::fs::read(file).unwrap() == before);
            said
        }
        Place::Postgres { database, schema } => {
            refused(|| postgres(database.url().to_string(), schema), &plan).await
        }
    };
    for said in said {
        assert!(said.contains("its bookkeeping has version 2, this tributary knows up to 1"), "{said}");
        assert!(said.contains("Use the newer tributary that made it"), "{said}");
    }
    let made = match target {
        TargetKind::Sqlite => "SELECT count(*) FROM sqlite_schema WHERE name = '_tributary_aside'",
        TargetKind::Postgres => "SELECT count(*) FROM pg_tables WHERE tablename = '_tributary_aside'",
    };
    assert_eq!(bench.place.number(made).await, 0, "nothing is made in it");
}

async fn todays_version_has_golden_files(target: TargetKind) {
    let version = "SELECT max(version) FROM _tributary_format";
    let golden = newest(target).next().unwrap();
    let (old, new) = (bench(golden).await, bench(golden).await);
    unpack(&old, golden.folder).await;
    new.once().await;
    let (golden, today) = (old.place.number(version).await, new.place.number(version).await);
    assert_eq!(golden, today, "make some, and never change old ones");
}
