//! Rounds over a source that lies, fails and moves, with the real journal between it and a target: no row that
//! lives is ever deleted, no unchanged row is ever written, and once the lies stop all is equal again.

mod source;
mod target;
mod world;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use engine::capture::differ::Details;
use engine::capture::runner::Outcome;
use engine::capture::{self, Progress, Projects, Settings, Until};
use engine::change::{Change, ChangeKind};
use engine::clock::Clock;
use engine::delivery;
use engine::delivery::filter::{Filter, Rule, Test};
use engine::delivery::shape::{Deletes, Mode, Naming, Task};
use engine::journal::{Journal, Limit, MirrorRow};
use engine::position::Sequence;
use engine::row::{ProjectId, Row, RowKey};
use engine::status::{Board, Status};
use store::journal::SqliteJournal;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::source::Memory;
use self::target::{Shelf, Stock};
use self::world::{PROJECTS, Shared, TABLES, THINGS, World};

/// Cases; each waits out its faults, so they wait side by side.
const CASES: u64 = 24;
/// Runs under faults before the faults stop.
const FAULTY_RUNS: usize = 3;
/// The longest that a run may take, its waits for faults to pass included.
const PATIENCE: Duration = Duration::from_secs(60);
/// Everything at once: tests are small.
const ALL: Limit = Limit { rows: 1_000_000, bytes: usize::MAX };

/// One case: a world, its journal, two targets, and what the log has said so far.
struct Case {
    seed: u64,
    dir: tempfile::TempDir,
    world: Shared,
    details: Details,
    narrow: Stock,
    wide: Stock,
    read: Sequence,
    last: HashMap<RowKey, Option<Row>>,
}

/// What a run left behind.
struct Ran {
    outcome: Outcome,
    status: Status,
    head: Sequence,
    changes: Vec<Change>,
    /// Whether every change of the run was logged, and the task began in the log.
    logged: bool,
}

impl Case {
    fn new(seed: u64) -> Case {
        Case {
            seed,
            dir: tempfile::tempdir().unwrap(),
            world: World::new(seed),
            details: [Details::Background, Details::Eager, Details::Off][usize::try_from(seed % 3).unwrap()],
            narrow: Stock::default(),
            wide: Stock::default(),
            read: Sequence(0),
            last: HashMap::new(),
        }
    }

    fn settings(&self, accept_deletes: bool) -> Settings {
        Settings {
            projects: Projects::Named(PROJECTS.iter().map(|(_, name)| (*name).to_owned()).collect()),
            tables: TABLES.iter().collect(),
            custom_fields: false,
            details: self.details,
            poll_interval: Duration::from_secs(1),
            census_interval: Duration::from_secs(1),
            look_back: Duration::from_secs(24 * 3_600),
            retention: Duration::from_hours(7 * 24),
            accept_deletes,
            hooks: None,
            until: Until::Once,
        }
    }

    /// Runs once to the end: the capture and a task for each target.
    async fn run(&mut self, accept_deletes: bool) -> Ran {
        let journal = Arc::new(SqliteJournal::open(self.dir.path()).await.unwrap());
        let floor = journal.bounds().await.unwrap();
        let begun = !journal.recall("log").await.unwrap().is_empty();
        let began = begun && self.narrow.position().is_some_and(|at| at >= floor.log_floor);
        let clock = Clock::after(journal.newest_moment());
        let source = Arc::new(Memory { world: Arc::clone(&self.world), clock: clock.clone() });
        let (board, cancel) = (Board::default(), CancellationToken::new());
        let (progress, followed) = watch::channel(Progress::default());
        let mut tasks = JoinSet::new();
        for (task, stock) in [(narrow(), &self.narrow), (wide(), &self.wide)] {
            tasks.spawn(delivery::runner::run(
                Arc::clone(&journal),
                Shelf::of(stock),
                task,
                followed.clone(),
                board.clone(),
                cancel.clone(),
            ));
        }
        drop(followed);
        let settings = self.settings(accept_deletes);
        let run = capture::runner::run(
            source,
            Arc::clone(&journal),
            clock,
            settings,
            board.clone(),
            progress,
            cancel,
        );
        let ended = tokio::time::timeout(PATIENCE, Box::pin(run)).await;
        let ended = ended.unwrap_or_else(|_| panic!("seed {} hangs: {:#?}", self.seed, board.read()));
        let outcome = ended.unwrap_or_else(|error| panic!("seed {}: {error}", self.seed));
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap().unwrap_or_else(|error| panic!("seed {}: {error}", self.seed));
        }
        let complete = self.narrow.position().is_some() && self.wide.position().is_some();
        assert!(complete, "seed {}: a run that ends well has read every project", self.seed);
        let changes = self.check_log(&journal).await;
        let head = journal.bounds().await.unwrap().head;
        Arc::into_inner(journal).unwrap().close().await.unwrap();
        Ran { outcome, status: board.read(), head, changes, logged: began }
    }

    /// Reads what is new in the log; each change must follow from the one before it, and from the source.
    async fn check_log(&mut self, journal: &SqliteJournal) -> Vec<Change> {
        let seed = self.seed;
        let from = self.read.max(journal.bounds().await.unwrap().log_floor);
        let changes = journal.log_after(from, ALL).await.unwrap();
        let world = self.world.lock().unwrap();
        for change in &changes {
            let Change { sequence, key, kind, before, after, .. } = change;
            assert!(*sequence > self.read, "seed {seed}: the log goes forward");
            self.read = *sequence;
            if let Some(last) = self.last.insert(*key, after.clone()) {
                assert_eq!(&last, before, "seed {seed}: {key:?} goes on from where it was");
            }
            match kind {
                ChangeKind::Insert => {
                    assert!(before.is_none() && after.is_some(), "seed {seed}: {change:?}");
                    assert!(world.ever(*key), "seed {seed}: {key:?} was never there");
                }
                ChangeKind::Update => {
                    assert!(
                        before.is_some() && after.is_some() && before != after,
                        "seed {seed}: {change:?}"
                    );
                    assert!(world.edited(*key), "seed {seed}: {key:?} was never edited: {change:#?}");
                }
                ChangeKind::Detail => assert!(before.is_some() && after.is_some(), "seed {seed}: {change:?}"),
                ChangeKind::Delete => {
                    assert!(before.is_some() && after.is_none(), "seed {seed}: {change:?}");
                    assert!(world.died(*key), "seed {seed}: {key:?} lives and was deleted");
                }
            }
        }
        changes
    }

    async fn mirror(&self) -> Vec<MirrorRow> {
        let journal = SqliteJournal::open_read_only(self.dir.path()).await.unwrap();
        let mut rows = Vec::new();
        for table in &TABLES {
            for (project, _) in PROJECTS {
                rows.extend(journal.scan(table.id, ProjectId(project), None, ALL).await.unwrap());
            }
        }
        journal.close().await.unwrap();
        rows
    }

    /// Mirror and targets equal the source.
    async fn assert_equal(&self) {
        let mirror = self.mirror().await;
        let differences = self.world.lock().unwrap().differences(&mirror, self.details != Details::Off);
        assert!(differences.is_empty(), "seed {}: {differences:#?}", self.seed);
        for (task, stock) in [(narrow(), &self.narrow), (wide(), &self.wide)] {
            let differences = stock.differences(task, &mirror);
            assert!(differences.is_empty(), "seed {}: {differences:#?}", self.seed);
        }
    }

    /// What the narrow task delivered is what its filter makes of the log.
    fn assert_counts(&self, ran: &Ran) {
        if !ran.logged {
            return;
        }
        let filter = narrow().filter;
        let (mut inserted, mut updated, mut deleted) = (0, 0, 0);
        for change in ran.changes.iter().filter(|change| change.key.table == THINGS) {
            let wanted = |row: &Option<Row>| row.as_ref().is_some_and(|row| filter.admits(THINGS, row));
            match (wanted(&change.before), wanted(&change.after)) {
                (true, true) => updated += u64::from(change.kind != ChangeKind::Detail),
                (false, true) => inserted += 1,
                (true, false) => deleted += 1,
                (false, false) => {}
            }
        }
        let written = ran.status.tasks["narrow"].tables.get("Things").cloned().unwrap_or_default();
        let actual = (written.inserted, written.updated, written.deleted);
        assert_eq!(actual, (inserted, updated, deleted), "seed {}", self.seed);
    }
}

/// A task that wants things of two owners only: rows move in and out of it.
fn narrow() -> Task {
    let owner = |id| Test::Number(&["Owner", "Id"], id);
    let rule = Rule { table: THINGS, any: vec![owner(1), owner(2)] };
    Task { name: "narrow".to_owned(), filter: Filter(vec![rule]), ..wide() }
}

/// A task that wants everything.
fn wide() -> Task {
    Task {
        name: "wide".to_owned(),
        team: "acme".to_owned(),
        tables: TABLES.iter().collect(),
        filter: Filter::default(),
        naming: Naming::Original,
        deletes: Deletes::Hard,
        mode: Mode::Document,
        listed_only: false,
        accept_deletes: false,
    }
}

async fn case(seed: u64) {
    let mut case = Case::new(seed);
    for _ in 0..FAULTY_RUNS {
        case.world.lock().unwrap().misbehave(true);
        let ran = case.run(false).await;
        case.assert_counts(&ran);
    }
    case.world.lock().unwrap().misbehave(false);
    let ran = case.run(false).await;
    assert!(ran.outcome.held.is_empty() && ran.outcome.pending == 0, "seed {seed}: {:?}", ran.outcome);
    case.assert_counts(&ran);
    case.assert_equal().await;

    let written = (case.narrow.writes(), case.wide.writes());
    let quiet = case.run(false).await;
    assert_eq!(
        quiet.head, ran.head,
        "seed {seed}: nothing changed, so nothing is committed: {:#?}",
        quiet.changes
    );
    assert_eq!((case.narrow.writes(), case.wide.writes()), written, "seed {seed}: nor written");

    if seed.is_multiple_of(4) {
        let vanished = case.world.lock().unwrap().delete_most();
        let held = case.run(false).await;
        assert_eq!(held.outcome.held.values().map(|held| held.rows).sum::<u64>(), vanished, "seed {seed}");
        assert_eq!(held.head, ran.head, "seed {seed}: held deletes are not carried out");
        let accepted = case.run(true).await;
        assert!(accepted.outcome.held.is_empty(), "seed {seed}");
        case.assert_equal().await;
    }
    assert_eq!(
        (case.narrow.idle(), case.wide.idle()),
        (0, 0),
        "seed {seed}: rows were written that had not changed"
    );
}

/// Invariants 1, 2, 3, 8 and 9, over rounds.
#[tokio::test(flavor = "multi_thread")]
async fn rounds_over_a_lying_source_end_equal_and_delete_nothing_that_lives() {
    let mut cases = JoinSet::new();
    for seed in 0..CASES {
        cases.spawn(case(seed));
    }
    while let Some(ended) = cases.join_next().await {
        ended.unwrap();
    }
}
