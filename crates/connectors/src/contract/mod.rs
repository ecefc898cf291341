//! What every target does, whichever database it writes to: the same tests for each of them.
//!
//! A target says in a [`Site`] where it is tried and how that is looked into; `contract!` makes a test of each of
//! their functions. Rows and positions are in `rows`, tables that are not as they should be in `tables`, looking
//! without taking over in `looks`, a killed writer in `killed`. What only
//! one database has is tested in its own folder.

pub(crate) mod killed;
pub(crate) mod looks;
pub(crate) mod rows;
pub(crate) mod tables;

use engine::position::{Fingerprint, Generation, Position, RebuildReason, Sequence};
use engine::schema::Kind;
use engine::target::{
    Batch, Cell, Column, Inspect, Owned, Plan, TableBatch, Target, TargetError, TargetErrorKind, TargetTable,
};

/// Makes a test of each of these functions, on a [`Site`].
macro_rules! contract {
    ($site:ty) => {
        crate::contract::contract! {
            $site;
            rows {
                rows_and_position_are_there_together,
                a_repeated_batch_leaves_the_same,
                a_hint_that_rows_are_new_may_be_wrong,
                invariant_6_a_later_opener_fences_the_earlier_one,
                soft_deletes_mark_once_and_a_new_insert_clears,
                ids_come_in_pages_and_counts_by_project,
                a_row_that_does_not_fit_is_data_and_can_be_put_aside,
                a_write_that_is_given_up_leaves_all_or_nothing,
                tasks_share_a_place,
            }
            tables {
                a_foreign_table_is_refused_and_untouched,
                a_table_that_somebody_changed_is_refused_and_a_dropped_one_made_anew,
                another_shape_is_made_only_in_a_rebuild_of_the_only_owner,
                new_columns_are_added_and_unknown_ones_emptied,
                a_project_of_a_table_belongs_to_one_task,
            }
            looks {
                what_was_written_is_read_back_as_it_was,
                rows_are_read_in_pages_and_by_key_without_taking_over,
                a_changed_table_is_told_and_read_as_far_as_it_can_be,
                broken_columns_are_mended_and_their_rows_asked_for_again,
            }
            killed { invariant_6_rows_and_position_survive_a_kill_together }
        }
    };
    ($site:ty; $($module:ident { $($test:ident),+ $(,)? })+) => {
        $($(
            #[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                Box::pin(crate::contract::$module::$test::<$site>()).await;
            }
        )+)+
    };
}
pub(crate) use contract;

/// A place of its own for one test, gone when it is dropped.
pub(crate) trait Site: Sized + Send + Sync + 'static {
    type Target: Target + Inspect;
    /// What the types of `issues` are called: text, integer and real.
    const TYPES: [&str; 3];
    /// The module of the target: `sqlite`.
    const MODULE: &str;

    fn new() -> impl Future<Output = Self> + Send;
    /// The place of another process, by what [`Site::address`] said.
    fn at(address: &str) -> Self;
    fn address(&self) -> String;
    /// A target there that has not been opened.
    fn target(&self) -> Self::Target;
    /// Another program that changes something.
    fn run(&self, sql: &str) -> impl Future<Output = ()> + Send;
    /// All rows of a query, as the database itself writes them down, with `|` between columns.
    fn dump(&self, select: &str) -> impl Future<Output = Vec<String>> + Send;
    /// The statement that a target makes this table with.
    fn create_table(table: &TargetTable) -> String;
    /// How the database writes a moment down.
    fn moment(micros: i64) -> String;
    /// After all have closed: nothing is left but what was asked for.
    fn assert_tidy(&self) {}
}

pub(crate) const NOW: i64 = 1_700_000_000_123_456;

pub(crate) fn column(name: &str, kind: Kind) -> Column {
    Column { name: name.to_owned(), kind, custom: None }
}

/// A table with a column of every kind, with soft deletes or hard ones.
pub(crate) fn issues(deletes: Deletes) -> TargetTable {
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
pub(crate) enum Deletes {
    Hard,
    Soft,
}

pub(crate) fn plan(task: &str, table: TargetTable) -> Plan {
    Plan { task: task.to_owned(), tables: vec![table] }
}

pub(crate) fn at(sequence: i64) -> Position {
    Position {
        generation: Generation("g".to_owned()),
        sequence: Sequence(sequence),
        fingerprint: Fingerprint("f".to_owned()),
        rebuilding: false,
    }
}

pub(crate) fn key(project: &str, code: i64) -> Vec<Cell> {
    vec![Cell::Text("acme".into()), Cell::Text(project.into()), Cell::Integer(code)]
}

pub(crate) fn row(table: &TargetTable, project: &str, code: i64, name: &str) -> Vec<Cell> {
    let mut cells = key(project, code);
    cells.extend([
        Cell::Text(name.into()),
        Cell::Real(0.1),
        Cell::Boolean(true),
        Cell::Json("[1]".into()),
        Cell::Timestamp(NOW),
    ]);
    cells.resize(table.columns.len(), Cell::Null);
    cells
}

pub(crate) fn batch(sequence: i64, upserts: Vec<Vec<Cell>>, deletes: Vec<Vec<Cell>>) -> Batch {
    Batch { tables: vec![TableBatch { upserts, deletes, now: NOW, new: false }], position: at(sequence) }
}

pub(crate) fn owned(project_id: i64, project: &str) -> Owned {
    Owned { team: "acme".to_owned(), project_id, project: project.to_owned() }
}

/// Opens and prepares, as for a task that comes for the first time.
pub(crate) async fn ready<S: Site>(site: &S, plan: &Plan) -> S::Target {
    let mut target = site.target();
    target.open(plan).await.unwrap();
    target.prepare(plan, Some(RebuildReason::New), &at(0)).await.unwrap();
    target
}

pub(crate) const CODES: &str = "SELECT code || '', name FROM issues ORDER BY project_name, code";

pub(crate) fn assert_kind<T: std::fmt::Debug>(
    result: Result<T, TargetError>,
    kind: TargetErrorKind,
) -> String {
    let error = result.expect_err("an error");
    assert_eq!(error.kind, kind, "{error}");
    assert!(!error.problem.fix.is_empty());
    error.to_string()
}
