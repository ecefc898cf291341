//! Copies of rows inside rows, when looks and changes overtake each other: driven look by look.

use std::sync::Arc;

use coding_sim::{IssueFields, Operation, ProjectConfig, Shape, Table};
use connectors::coding::Budgets;
use connectors::coding::source::CodingSource;
use connectors::coding::tables::{ISSUES, TABLES};
use engine::capture::differ;
use engine::capture::recorder::{Onlookers, Recorder, recorder};
use engine::clock::Clock;
use engine::journal::{Journal, JournalError};
use engine::observation::{Channel, LookedUp, Observation, Seen};
use engine::row::{RowId, RowKey};
use engine::source::{Order, Project, Source, Urgency};
use engine::status::Board;
use futures::{TryStreamExt, poll};
use store::journal::SqliteJournal;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::{Bench, assert_equal, unlimited};
use crate::place::TargetKind;

const PROJECT: &str = "mobile-app";

/// A capture whose looks are made, and recorded, when the test says so.
struct Steps {
    bench: Bench,
    source: Arc<CodingSource>,
    journal: Arc<SqliteJournal>,
    project: Project,
    recorder: Recorder,
    recording: JoinHandle<Result<(), Arc<JournalError>>>,
}

impl Steps {
    /// After everything has been read once.
    async fn begin() -> Steps {
        let config = unlimited(vec![ProjectConfig::new(PROJECT, 30, 3, 4)]);
        let bench = Bench::new(TargetKind::Sqlite, config).await;
        bench.once().await;
        let journal = Arc::new(SqliteJournal::open(&bench.state()).await.unwrap());
        let clock = Clock::after(journal.newest_moment());
        let source = CodingSource::open(bench.settings.clone(), &Budgets::new(), None, clock).unwrap();
        let source = Arc::new(source);
        let project = source.roster(Urgency::Poll).await.unwrap().remove(0);
        let (recorder, recording) = recorder(
            Arc::clone(&source),
            Arc::clone(&journal),
            differ::Details::Background,
            true,
            Onlookers::default(),
            Board::default(),
            CancellationToken::new(),
        );
        Steps { bench, source, journal, project, recorder, recording: tokio::spawn(recording.run()) }
    }

    /// Changes the source; returns the code of the last row that was changed.
    fn apply(&self, operation: Operation) -> u32 {
        self.bench.sim.world().apply(&[operation]).unwrap().pop().unwrap().key
    }

    /// A new issue below `parent`.
    fn create_below(&self, parent: u32) -> u32 {
        let fields = IssueFields {
            kind: Some("SUB_TASK".to_owned()),
            name: Some("a child".to_owned()),
            parent: Some(parent),
            ..IssueFields::default()
        };
        self.apply(Operation::CreateIssue { project: PROJECT.to_owned(), fields: Box::new(fields) })
    }

    fn set(&self, code: u32, fields: IssueFields) {
        let (project, fields) = (PROJECT.to_owned(), Box::new(fields));
        self.apply(Operation::SetIssue { project, code, fields, touch: true });
    }

    fn delete(&self, code: u32) {
        self.apply(Operation::DeleteIssue { project: PROJECT.to_owned(), code });
    }

    /// A new issue that may be a parent.
    fn create(&self, kind: &str) -> u32 {
        let fields = IssueFields { kind: Some(kind.to_owned()), ..IssueFields::default() };
        self.apply(Operation::CreateIssue { project: PROJECT.to_owned(), fields: Box::new(fields) })
    }

    /// What a look-up shows now, to be recorded later.
    async fn look_up(&self, code: u32) -> Observation {
        let key = RowKey { table: ISSUES, project: self.project.id, id: RowId(i64::from(code)) };
        let look_up = self.source.look_up(&self.project, key, Urgency::Detail).await.unwrap();
        let seen = LookedUp { row: look_up.row.unwrap(), sent: look_up.sent, settled: true };
        Observation { key, sent: look_up.sent, channel: Channel::Detail, seen: Seen::LookedUp(seen) }
    }

    /// Lists all issues now, and records them.
    async fn list(&self) {
        let table = TABLES.iter().find(|table| table.id == ISSUES).unwrap();
        let pages = self.source.list(&self.project, table, Order::NewestFirst, Urgency::Poll);
        let pages: Vec<_> = pages.try_collect().await.unwrap();
        for page in pages {
            let observe = |(id, row)| Observation {
                key: RowKey { table: ISSUES, project: self.project.id, id },
                sent: page.sent,
                channel: Channel::Poll,
                seen: Seen::Listed(row),
            };
            self.record(page.rows.into_iter().map(observe).collect()).await;
        }
    }

    async fn record(&self, observations: Vec<Observation>) {
        self.recorder.observe(observations).await.unwrap();
    }

    /// Ends the steps. One run afterwards, and the target equals the truth.
    async fn heals(self) {
        let bench = self.end().await;
        bench.once().await;
        assert_equal(&bench).await;
    }

    async fn end(self) -> Bench {
        let Steps { bench, source, journal, recorder, recording, .. } = self;
        drop(recorder);
        recording.await.unwrap().unwrap();
        source.close().await;
        Arc::into_inner(journal).unwrap().close().await.unwrap();
        bench
    }
}

/// No tombstone tells of a row that was never in the mirror, and its parent did not change.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_came_and_went_between_two_looks_leaves_no_copy() {
    let steps = Steps::begin().await;
    let parent = steps.create("MISSION");
    steps.list().await;
    let child = steps.create_below(parent);
    let seen = steps.look_up(parent).await;
    steps.delete(child);
    steps.record(vec![seen]).await;
    steps.heals().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epic_that_came_and_went_between_two_looks_leaves_no_copy() {
    let steps = Steps::begin().await;
    let issue = steps.create("MISSION");
    let epic = steps.create("EPIC");
    steps.set(issue, IssueFields { epic: Some(epic), ..IssueFields::default() });
    // As a hook has it looked up: nothing else is listed.
    let seen = steps.look_up(issue).await;
    steps.record(vec![seen]).await;
    steps.delete(epic);
    steps.heals().await;
}

/// A copy may be true although no listing shows its original. That is asked about once, not at every census.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_row_that_no_listing_shows_is_asked_about_once() {
    let steps = Steps::begin().await;
    let world = steps.bench.sim.world();
    let issues = world.truth(Table::Issues, PROJECT, Shape::Full).unwrap();
    let parent = issues.iter().find(|row| row["Type"] == "MISSION" && row["ParentCode"] == 0).unwrap();
    let parent = u32::try_from(parent["Code"].as_u64().unwrap()).unwrap();
    world.change_faults(|faults| faults.listing_lag_seconds = 3_600);
    steps.create_below(parent);
    let seen = steps.look_up(parent).await;
    steps.record(vec![seen]).await;
    let bench = steps.end().await;
    let look_ups = async || bench.once().await.requests("DescribeIssue");
    assert_eq!(look_ups().await, 1, "the parent");
    assert_eq!(look_ups().await, 0, "what was confirmed is left alone");
    world.change_faults(|faults| faults.listing_lag_seconds = 0);
    bench.once().await;
    assert_equal(&bench).await;
}

/// The parent's look-up was sent first and is recorded last: it knows nothing of the child, the mirror does.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_came_while_its_parent_was_looked_up_is_not_lost() {
    let steps = Steps::begin().await;
    let parent = steps.create("MISSION");
    steps.list().await;
    let seen = steps.look_up(parent).await;
    let child = steps.create_below(parent);
    steps.list().await;
    let child_seen = steps.look_up(child).await;
    steps.record(vec![child_seen]).await;
    steps.record(vec![seen]).await;
    steps.heals().await;
}

/// The mirror never saw it below the parent that it was in between.
#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_went_through_a_parent_leaves_no_copy() {
    for known in [true, false] {
        for back in [true, false] {
            let steps = Steps::begin().await;
            // The moves below are of another second.
            steps.bench.sim.world().change_faults(|faults| faults.updated_at_skew_seconds = -10);
            let parents = [steps.create("MISSION"), steps.create("MISSION"), steps.create("MISSION")];
            let mut child = known.then(|| steps.create_below(parents[0]));
            steps.list().await;
            for code in parents.into_iter().chain(child) {
                let seen = steps.look_up(code).await;
                steps.record(vec![seen]).await;
            }
            steps.bench.sim.world().change_faults(|faults| faults.updated_at_skew_seconds = 0);
            let moved = |parent| IssueFields { parent: Some(parent), ..IssueFields::default() };
            match child {
                Some(child) => steps.set(child, moved(parents[1])),
                None => child = Some(steps.create_below(parents[1])),
            }
            let seen = steps.look_up(parents[1]).await;
            let last = if back { parents[0] } else { parents[2] };
            steps.set(child.unwrap(), moved(last));
            steps.record(vec![seen]).await;
            steps.heals().await;
        }
    }
}

/// Who waits for the recorder, as the end of a run does, has the copies true as well.
#[tokio::test(flavor = "multi_thread")]
async fn the_recorder_is_settled_when_the_copies_are_true() {
    let steps = Steps::begin().await;
    let parent = steps.create("MISSION");
    let child = steps.create_below(parent);
    steps.list().await;
    for code in [parent, child] {
        let seen = steps.look_up(code).await;
        steps.record(vec![seen]).await;
    }
    steps.set(parent, IssueFields { name: Some("renamed".to_owned()), ..IssueFields::default() });
    let seen = steps.look_up(parent).await;
    let recorder = steps.recorder.clone();
    let mut observing = Box::pin(async move { recorder.observe(vec![seen]).await });
    assert!(poll!(&mut observing).is_pending());
    steps.recorder.settled().await.unwrap();
    let key = RowKey { table: ISSUES, project: steps.project.id, id: RowId(i64::from(child)) };
    let rows = steps.journal.rows(&[key]).await.unwrap();
    assert_eq!(rows[0].row.as_ref().unwrap().get("Parent").unwrap()["Name"], "renamed");
    observing.await.unwrap();
    steps.heals().await;
}

/// What changed and changed back is as the mirror knows it; the copy is of what was between.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_changed_and_changed_back_leaves_no_copy_of_the_other() {
    let steps = Steps::begin().await;
    // The edits below are of another second.
    steps.bench.sim.world().change_faults(|faults| faults.updated_at_skew_seconds = -10);
    let parent = steps.create("MISSION");
    let child = steps.create_below(parent);
    let named = |name: &str| IssueFields { name: Some(name.to_owned()), ..IssueFields::default() };
    steps.set(child, named("one"));
    steps.list().await;
    for code in [parent, child] {
        let seen = steps.look_up(code).await;
        steps.record(vec![seen]).await;
    }
    steps.bench.sim.world().change_faults(|faults| faults.updated_at_skew_seconds = 0);
    steps.set(child, named("another"));
    let seen = steps.look_up(parent).await;
    steps.set(child, named("one"));
    steps.record(vec![seen]).await;
    steps.heals().await;
}
