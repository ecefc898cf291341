//! A simulated CODING, a state directory and a target, wired as the binary wires them.
//! Shared by the tests of the connectors and of the binary.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail loudly"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coding_sim::{ProjectConfig, Sim, SimConfig};
use connectors::coding::config::{AuthConfig, CodingSettings, Details, Incremental, Projects};
use connectors::coding::source::CodingSource;
use connectors::coding::tables::TABLES;
use connectors::coding::{BaseUrl, Budgets};
use connectors::postgres::config::PostgresConfig;
use connectors::postgres::target::PostgresTarget;
use connectors::sqlite::config::SqliteConfig;
use connectors::sqlite::target::SqliteTarget;
use engine::capture::runner::Outcome;
use engine::capture::{self, CaptureError, Progress, Until};
use engine::clock::Clock;
use engine::delivery::filter::Filter;
use engine::delivery::shape::{Deletes, Mode, Naming, Task};
use engine::delivery::{self};
use engine::journal::Journal;
use engine::schema::Table;
use engine::status::{Board, State, Status, Written};
use secrecy::SecretString;
use store::journal::SqliteJournal;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::compare::{assert_same, compare};
use crate::place::{Place, TargetKind};

/// The team that the simulator plays.
pub(crate) const TEAM: &str = "demo";

/// A source, a target and what lies between.
pub(crate) struct Bench {
    pub(crate) sim: Sim,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) place: Place,
    pub(crate) settings: CodingSettings,
    pub(crate) task: Task,
    pub(crate) accept_deletes: bool,
    /// Another way to the server of a PostgreSQL target, by URL.
    pub(crate) way: Option<String>,
    /// The source's hook, if a test has one.
    pub(crate) hooks: Option<capture::Hooks>,
    /// The board of the newest run, for whoever asks why it hangs.
    pub(crate) newest: Arc<Mutex<Board>>,
}

/// A capture and a task that follow.
pub(crate) struct Following {
    pub(crate) board: Board,
    pub(crate) journal: Arc<SqliteJournal>,
    pub(crate) capture: JoinHandle<Result<Outcome, CaptureError>>,
    pub(crate) delivery: JoinHandle<Result<(), delivery::runner::DeliveryError>>,
    cancel: CancellationToken,
    source: Arc<CodingSource>,
}

/// What a run left behind.
pub(crate) struct Ran {
    pub(crate) outcome: Outcome,
    pub(crate) status: Status,
}

impl Ran {
    pub(crate) fn written(&self, table: &str) -> Written {
        self.status.tasks["task"].tables.get(table).cloned().unwrap_or_default()
    }

    pub(crate) fn requests(&self, action: &str) -> u64 {
        self.status.requests.get(action).copied().unwrap_or(0)
    }
}

/// The tables that listings show; the one of deliveries needs a hook.
pub(crate) fn listed() -> Vec<&'static Table> {
    TABLES.iter().filter(|table| !table.from_inbox).collect()
}

/// A simulator without limits: figures at the real limit belong to the benchmarks.
pub(crate) fn unlimited(projects: Vec<ProjectConfig>) -> SimConfig {
    SimConfig { projects, rate_limit: 0, ..SimConfig::default() }
}

impl Bench {
    pub(crate) async fn new(target: TargetKind, config: SimConfig) -> Bench {
        let projects = config.projects.iter().map(|project| project.name.clone()).collect();
        let token = config.token.clone();
        let sim = Sim::start(config).await.unwrap();
        let settings = CodingSettings {
            base_url: BaseUrl::parse(&sim.url(), false).unwrap(),
            team: TEAM.to_owned(),
            projects: Projects::Named(projects),
            auth: AuthConfig::Token(SecretString::from(token)),
            incremental: Incremental::Polling,
            webhook: None,
            poll_interval: Duration::from_secs(1),
            census_interval: Duration::from_secs(2),
            look_back: Duration::from_secs(24 * 3_600),
            details: Details::Background,
            rate_limit: None,
            allow_insecure: false,
            ca_file: None,
            proxy: None,
        };
        let task = Task {
            name: "task".to_owned(),
            team: TEAM.to_owned(),
            tables: listed(),
            filter: Filter::default(),
            mode: Mode::Document,
            naming: Naming::Original,
            deletes: Deletes::Hard,
            listed_only: false,
            accept_deletes: false,
        };
        let dir = tempfile::tempdir().unwrap();
        let place = Place::new(target, dir.path()).await;
        let newest = Arc::default();
        Bench { sim, dir, place, settings, task, accept_deletes: false, way: None, hooks: None, newest }
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Runs once, to the end.
    pub(crate) async fn once(&self) -> Ran {
        let following = self.begin(Until::Once).await;
        following.end().await
    }

    /// Begins to follow.
    pub(crate) async fn follow(&self) -> Following {
        self.begin(Until::Cancelled).await
    }

    async fn begin(&self, until: Until) -> Following {
        std::fs::create_dir_all(self.state()).unwrap();
        let journal = Arc::new(SqliteJournal::open(&self.state()).await.unwrap());
        let clock = Clock::after(journal.newest_moment());
        let budgets = Budgets::new();
        let source =
            Arc::new(CodingSource::open(self.settings.clone(), &budgets, None, clock.clone()).unwrap());
        let settings = capture::Settings {
            projects: match &self.settings.projects {
                Projects::All => capture::Projects::All,
                Projects::AllBut(names) => capture::Projects::AllBut(names.clone()),
                Projects::Named(names) => capture::Projects::Named(names.clone()),
            },
            tables: self.task.tables.clone(),
            custom_fields: self.task.mode == Mode::Flat,
            details: match self.settings.details {
                Details::Background => capture::differ::Details::Background,
                Details::Eager => capture::differ::Details::Eager,
                Details::Off => capture::differ::Details::Off,
            },
            poll_interval: self.settings.poll_interval,
            census_interval: self.settings.census_interval,
            look_back: self.settings.look_back,
            retention: Duration::from_hours(7 * 24),
            accept_deletes: self.accept_deletes,
            hooks: self.hooks.clone(),
            until,
        };
        let (board, cancel) = (Board::default(), CancellationToken::new());
        *self.newest.lock().unwrap() = board.clone();
        let (progress, followed) = watch::channel(Progress::default());
        let capture = tokio::spawn(capture::runner::run(
            Arc::clone(&source),
            Arc::clone(&journal),
            clock,
            settings,
            board.clone(),
            progress,
            cancel.clone(),
        ));
        let task = Task { accept_deletes: self.accept_deletes, ..self.task.clone() };
        let (rows, shown, stop) = (Arc::clone(&journal), board.clone(), cancel.clone());
        let delivery = match &self.place {
            Place::Sqlite(file) => {
                tokio::spawn(delivery::runner::run(rows, sqlite(file), task, followed, shown, stop))
            }
            Place::Postgres { database, schema } => {
                let url = self.way.clone().unwrap_or_else(|| database.url().to_string());
                let target = postgres(url, schema);
                tokio::spawn(delivery::runner::run(rows, target, task, followed, shown, stop))
            }
        };
        Following { board, cancel, capture, delivery, journal, source }
    }
}

impl Following {
    /// Stops as SIGTERM does.
    pub(crate) async fn stop(self) -> Ran {
        self.cancel.cancel();
        self.end().await
    }

    /// Waits for the end.
    pub(crate) async fn end(self) -> Ran {
        let outcome = self.capture.await.unwrap().unwrap_or_else(|error| panic!("{error}"));
        self.delivery.await.unwrap().unwrap_or_else(|error| panic!("{error}"));
        self.source.close().await;
        let journal = Arc::into_inner(self.journal).unwrap();
        journal.close().await.unwrap();
        Ran { outcome, status: self.board.read() }
    }

    /// Waits until everything has been read once and is in the target.
    pub(crate) async fn first_reading(&self) {
        self.until("the first reading", settled).await;
        // A task that follows may be taking up what was recorded last.
        let head = self.journal.head().borrow().0;
        self.until("the target to have it", |status| status.tasks["task"].position >= head).await;
    }

    /// Waits until the board says so.
    pub(crate) async fn until(&self, what: &str, condition: impl FnMut(&Status) -> bool) -> Status {
        let mut watch = self.board.watch();
        let waited = tokio::time::timeout(Duration::from_secs(60), watch.wait_for(condition)).await;
        match waited {
            Ok(status) => status.unwrap().clone(),
            Err(_) => panic!("waited in vain for {what}: {:#?}", self.board.read()),
        }
    }
}

/// Whether all has been read, as the board tells it.
pub(crate) fn settled(status: &Status) -> bool {
    let pending = status.projects.values().flat_map(|tables| tables.values()).any(|table| table.pending > 0);
    let following = |state: &State| matches!(state, State::Following { .. });
    following(&status.capture.state)
        && status.tasks.values().all(|task| following(&task.activity.state))
        && !pending
}

/// Everything in which the target differs from the truth, in words.
pub(crate) async fn differences(bench: &Bench) -> Vec<String> {
    compare(&bench.sim.world(), &bench.place, &bench.task).await.differences
}

/// Fails unless every row and field of the target equals the truth.
pub(crate) async fn assert_equal(bench: &Bench) {
    assert_same(&bench.sim.world(), &bench.place, &bench.task).await;
}

/// A SQLite target on `file`.
pub(crate) fn sqlite(file: &Path) -> SqliteTarget {
    let config = SqliteConfig { path: file.to_owned() };
    SqliteTarget::new(config.validate(Path::new("/")).unwrap())
}

/// A PostgreSQL target on a schema.
pub(crate) fn postgres(url: String, schema: &str) -> PostgresTarget {
    let config = PostgresConfig { url: SecretString::from(url), schema: schema.to_owned() };
    PostgresTarget::new(config.validate().unwrap())
}

/// Requests of the actions that list and look issues up.
pub(crate) fn issue_requests(requests: &BTreeMap<String, u64>) -> u64 {
    let of = |action: &str| requests.get(action).copied().unwrap_or(0);
    of("DescribeIssueListWithPage") + of("DescribeIssue")
}
