//! A project that is renamed while a task takes its target over.

use std::sync::{Arc, Mutex};

use engine::capture::Progress;
use engine::delivery;
use engine::delivery::filter::Filter;
use engine::delivery::shape::{Deletes, Mode, Naming, Shaper, Task};
use engine::journal::Journal;
use engine::position::{Position, RebuildReason, Sequence};
use engine::row::{ProjectId, RowId};
use engine::source::Project;
use engine::status::Board;
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
    progress: watch::Sender<Progress>,
}

fn project(name: &str) -> Project {
    Project { id: ProjectId(1), name: name.to_owned() }
}

impl Target for Witness {
    async fn open(&mut self, _: &Plan) -> Result<Opened, TargetError> {
        Ok(Opened { position: Some(self.position.clone()), owned: self.owned.clone(), fields: Vec::new() })
    }

    async fn prepare(
        &mut self,
        _: &Plan,
        rebuild: Option<RebuildReason>,
        position: &Position,
    ) -> Result<(), TargetError> {
        self.reasons.lock().unwrap().push(rebuild);
        self.position = position.clone();
        self.progress.send_modify(|progress| {
            progress.projects = vec![project("after")];
            progress.finished = true;
        });
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

    async fn close(self) {}
}

/// The session that has begun with the old name must not take the project in under the new one: the next would
/// believe that all rows stand there.
#[tokio::test]
async fn rows_are_written_under_the_new_name_of_a_project() {
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
    let position = Position {
        generation: journal.generation().clone(),
        sequence: Sequence(0),
        fingerprint: Shaper::new(task.clone()).fingerprint(),
        rebuilding: false,
    };
    let owned = vec![Owned { team: TEAM.to_owned(), project_id: 1, project: "before".to_owned() }];
    let progress =
        Progress { projects: vec![project("before")], logging: true, loaded: true, ..Progress::default() };
    let (progress, followed) = watch::channel(progress);
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let target = Witness { position, owned, reasons: Arc::clone(&reasons), progress };
    let (board, cancel) = (Board::default(), CancellationToken::new());
    delivery::runner::run(Arc::clone(&journal), target, task, followed, board, cancel).await.unwrap();
    assert_eq!(*reasons.lock().unwrap(), [None, Some(RebuildReason::Renamed)]);
    Arc::into_inner(journal).unwrap().close().await.unwrap();
}
