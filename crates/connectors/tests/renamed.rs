//! A project that is renamed while a task takes its target over; sessions that would begin again at once.

use std::sync::{Arc, Mutex};

use engine::capture::Progress;
use engine::delivery;
use engine::delivery::filter::Filter;
use engine::delivery::runner::DeliveryError;
use engine::delivery::shape::{Deletes, Mode, Naming, Shaper, Task};
use engine::journal::Journal;
use engine::position::{Position, RebuildReason, Sequence};
use engine::row::{ProjectId, RowId};
use engine::source::Project;
use engine::status::{Board, State, Status};
use engine::target::{Batch, Cell, Effect, Opened, Owned, Plan, Target, TargetError};
use store::journal::SqliteJournal;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::harness::{TEAM, listed};

/// A target without rows, whose project is renamed while it is prepared for the first time.
struct Witness {
    position: Position,
    owned: Vec<Owned>,
    /// Why each session began as it did.
    reasons: Arc<Mutex<Vec<Option<RebuildReason>>>>,
    /// What the capture tells during the first preparation.
    then: Option<(watch::Sender<Progress>, Progress)>,
}

fn project(name: &str) -> Project {
    Project { id: ProjectId(1), name: name.to_owned() }
}

impl Target for Witness {
    async fn open(&mut self, _: &Plan) -> Result<Opened, TargetError> {
        Ok(Opened {
            position: Some(self.position.clone()),
            owned: self.owned.clone(),
            fields: Vec::new(),
            rooms: Vec::new(),
        })
    }

    async fn prepare(
        &mut self,
        _: &Plan,
        rebuild: Option<RebuildReason>,
        position: &Position,
    ) -> Result<(), TargetError> {
        self.reasons.lock().unwrap().push(rebuild);
        self.position = position.clone();
        if let Some((progress, then)) = self.then.take() {
            progress.send_replace(then);
        }
        Ok(())
    }

    async fn own(&mut self, projects: &[Owned]) -> Result<(), TargetError> {
        self.owned.extend_from_slice(projects);
        Ok(())
    }

    async fn disown(&mut self, projects: &[Owned]) -> Result<(), TargetError> {
        self.owned.retain(|owned| !projects.contains(owned));
        Ok(())
    }

    async fn write(&mut self, batch: &Batch) -> Result<Vec<Effect>, TargetError> {
        self.position = batch.position.clone();
        Ok(vec![Effect::default(); listed().len()])
    }

    async fn ids(
        &mut self,
        _: usize,
        _: &str,
        _: &str,
        _: Option<RowId>,
        _: u32,
    ) -> Result<Vec<RowId>, TargetError> {
        Ok(Vec::new())
    }

    async fn count(&mut self, _: usize, _: &[Owned]) -> Result<u64, TargetError> {
        Ok(0)
    }

    async fn put_aside(&mut self, _: usize, key: &[Cell], reason: &str) -> Result<(), TargetError> {
        panic!("{key:?} was put aside: {reason}")
    }

    async fn aside(&mut self) -> Result<Vec<u64>, TargetError> {
        Ok(Vec::new())
    }

    async fn close(self) {}
}

/// A journal without rows, and a task with a target that stands at its beginning.
struct Stage {
    dir: tempfile::TempDir,
    journal: Arc<SqliteJournal>,
    task: Task,
    reasons: Arc<Mutex<Vec<Option<RebuildReason>>>>,
    board: Board,
}

impl Stage {
    async fn new() -> Stage {
        let dir = tempfile::tempdir().unwrap();
        let journal = Arc::new(SqliteJournal::open(dir.path()).await.unwrap());
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
        Stage { dir, journal, task, reasons: Arc::default(), board: Board::default() }
    }

    /// Runs the task on what the capture tells `first`, and `then`.
    async fn run(&self, first: Progress, then: Option<Progress>) -> Result<(), DeliveryError> {
        let (progress, followed) = watch::channel(first);
        let then = then.map(|then| (progress.clone(), then));
        let _capture = progress;
        self.run_on(followed, then).await
    }

    async fn run_on(
        &self,
        followed: watch::Receiver<Progress>,
        then: Option<(watch::Sender<Progress>, Progress)>,
    ) -> Result<(), DeliveryError> {
        let position = Position {
            generation: self.journal.generation().clone(),
            sequence: Sequence(0),
            fingerprint: Shaper::new(self.task.clone()).fingerprint(),
            rebuilding: false,
        };
        let owned = vec![Owned { team: TEAM.to_owned(), project_id: 1, project: "before".to_owned() }];
        let target = Witness { position, owned, reasons: Arc::clone(&self.reasons), then };
        let (journal, task) = (Arc::clone(&self.journal), self.task.clone());
        let (board, cancel) = (self.board.clone(), CancellationToken::new());
        delivery::runner::run(journal, target, task, followed, board, cancel).await
    }

    async fn close(self) -> Vec<Option<RebuildReason>> {
        Arc::into_inner(self.journal).unwrap().close().await.unwrap();
        self.dir.close().unwrap();
        self.reasons.lock().unwrap().clone()
    }
}

fn told(projects: Vec<Project>) -> Progress {
    Progress { projects, logging: true, loaded: true, ..Progress::default() }
}

/// The session that has begun with the old name must not take the project in under the new one: the next would
/// believe that all rows stand there.
#[tokio::test]
async fn rows_are_written_under_the_new_name_of_a_project() {
    let stage = Stage::new().await;
    let then = Progress { finished: true, ..told(vec![project("after")]) };
    stage.run(told(vec![project("before")]), Some(then)).await.unwrap();
    assert_eq!(stage.close().await, [None, Some(RebuildReason::Renamed)]);
}

/// Two projects of one name: neither session can come further than the one before.
fn impossible() -> Vec<Project> {
    vec![project("before"), Project { id: ProjectId(2), name: "before".to_owned() }]
}

#[tokio::test]
async fn sessions_that_end_where_they_began_pause_and_are_given_up_at_the_end() {
    let stage = Stage::new().await;
    let began = std::time::Instant::now();
    let error = stage.run(Progress { finished: true, ..told(impossible()) }, None).await.unwrap_err();
    assert_eq!(error.problem().code, "DELIVERY-IN-VAIN");
    assert!(error.problem().why.contains("a project's identifier changed"), "{error}");
    assert!(began.elapsed() >= std::time::Duration::from_secs(2), "nobody paused");
    assert_eq!(stage.close().await.len(), 3);
}

#[tokio::test]
async fn a_session_that_ends_where_it_began_says_why_and_goes_on_when_the_projects_change() {
    let stage = Stage::new().await;
    let (progress, followed) = watch::channel(told(impossible()));
    let said = stage.board.clone();
    let waits = async move {
        let mut board = said.watch();
        let waits = |status: &Status| match status.tasks.get("task").map(|task| &task.activity.state) {
            Some(State::Waiting { problem, .. }) => problem.code == "DELIVERY-IN-VAIN",
            _ => false,
        };
        let waited = tokio::time::timeout(std::time::Duration::from_secs(60), board.wait_for(waits)).await;
        waited.expect("the pause is said").unwrap();
        progress.send_replace(Progress { finished: true, ..told(vec![project("before")]) });
        progress
    };
    let (result, _capture) = tokio::join!(stage.run_on(followed, None), waits);
    result.unwrap();
    stage.close().await;
}
