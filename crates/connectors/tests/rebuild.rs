//! Filters, soft deletes, and targets that have to be rebuilt: from the mirror, without calls to the source.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use coding_sim::{IssueFields, MutationKind, Operation, ProjectConfig, Shape, SimConfig, Table};
use connectors::coding::config::Details;
use connectors::coding::tables::{ISSUES, ITERATIONS, TABLES};
use engine::delivery::filter::{Filter, Rule, Test};
use engine::delivery::shape::{Deletes, Naming};
use engine::journal::Journal;
use engine::position::Sequence;
use engine::status::Status;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, SqliteConnection};
use store::journal::SqliteJournal;

use crate::follow::becomes_equal;
use crate::harness::{Bench, Ran, assert_equal, issue_requests, unlimited};
use crate::place::{Place, TargetKind, on_each_target};

on_each_target!(
    a_deleted_state_directory_loses_nothing,
    a_restored_state_directory_is_told_apart,
    another_shape_is_rebuilt_from_the_mirror,
    a_rebuild_ends_beyond_forgotten_deletes,
    rows_enter_and_leave_a_filter,
    soft_deletes_keep_the_row_and_a_return_clears_the_mark,
    a_project_taken_out_of_the_configuration_leaves,
    the_target_is_rebuilt_when_somebody_dropped_a_table,
    a_target_that_is_filled_again_counts_what_it_gets,
    a_fresh_reading_that_sees_less_holds_what_it_would_delete,
);

/// Longer than any rebuild of these tests takes.
const LONG: Duration = Duration::from_secs(60);

fn project() -> Vec<ProjectConfig> {
    project_of(120)
}

fn project_of(issues: u32) -> Vec<ProjectConfig> {
    vec![ProjectConfig::new("backend", issues, 6, 9)]
}

fn only_iteration(code: i64) -> Filter {
    Filter(vec![
        Rule { table: ISSUES, any: vec![Test::Number(&["Iteration", "Code"], code)] },
        Rule { table: ITERATIONS, any: vec![Test::Number(&["Code"], code)] },
    ])
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn cheap(ran: &Ran) {
    let requests = issue_requests(&ran.status.requests);
    assert!(requests < 10, "a rebuild calls the source for nothing: {:?}", ran.status.requests);
}

async fn a_deleted_state_directory_loses_nothing(target: TargetKind) {
    let bench = Bench::new(target, unlimited(project())).await;
    bench.once().await;
    // A row that the source does not have: the rebuild must take it away.
    bench
        .place
        .execute(
            "INSERT INTO \"Issues\" (\"TeamName\", \"ProjectName\", \"Code\", \"Name\") \
         VALUES ('demo', 'backend', 999999, 'stray')",
        )
        .await;
    bench.place.execute("UPDATE \"Issues\" SET \"Name\" = 'spoilt' WHERE \"Code\" % 2 = 0").await;
    std::fs::remove_dir_all(bench.state()).unwrap();
    bench.once().await;
    assert_equal(&bench).await;
}

async fn a_restored_state_directory_is_told_apart(target: TargetKind) {
    let bench = Bench::new(target, unlimited(project())).await;
    bench.once().await;
    let backup = bench.dir.path().join("backup");
    copy(&bench.state(), &backup);
    let _ = bench.sim.world().mutate(60, &[]);
    bench.once().await;
    std::fs::remove_dir_all(bench.state()).unwrap();
    copy(&backup, &bench.state());
    // As many changes again, so that the old position would look like one of this journal's.
    let _ = bench.sim.world().mutate(60, &[]);
    bench.once().await;
    assert_equal(&bench).await;
}

async fn another_shape_is_rebuilt_from_the_mirror(target: TargetKind) {
    let mut bench = Bench::new(target, unlimited(project())).await;
    bench.once().await;
    assert_equal(&bench).await;

    bench.task.deletes = Deletes::Soft;
    cheap(&bench.once().await);
    assert_equal(&bench).await;

    bench.task.filter = only_iteration(2);
    cheap(&bench.once().await);
    assert_equal(&bench).await;

    bench.task.filter = Filter::default();
    bench.task.deletes = Deletes::Hard;
    bench.task.naming = Naming::SnakeCase;
    cheap(&bench.once().await);
    assert_equal(&bench).await;

    bench.task.tables = TABLES.iter().filter(|table| table.id == ISSUES).collect();
    cheap(&bench.once().await);
    assert_equal(&bench).await;
}

/// The newest change is a delete, and it is forgotten: the mirror ends before what may be missing in it.
async fn a_rebuild_ends_beyond_forgotten_deletes(target: TargetKind) {
    let mut bench = Bench::new(target, unlimited(project())).await;
    bench.once().await;
    let world = bench.sim.world();
    let members = world.truth(Table::ProjectMembers, "backend", Shape::List).unwrap();
    let user = u32::try_from(members[3]["Id"].as_u64().unwrap()).unwrap();
    world.apply(&[Operation::DeleteMember { project: "backend".to_owned(), user }]).unwrap();
    bench.once().await;
    let journal = SqliteJournal::open(&bench.state()).await.unwrap();
    journal.prune(Duration::ZERO).await.unwrap();
    let bounds = journal.bounds().await.unwrap();
    journal.close().await.unwrap();
    assert_eq!(bounds.horizon, bounds.head);

    bench.task.naming = Naming::SnakeCase;
    cheap(&tokio::time::timeout(LONG, bench.once()).await.expect("the rebuild ends"));
    assert_equal(&bench).await;
    // Nor does the next run begin another.
    let again = bench.once().await;
    assert_eq!(again.status.tasks["task"].last_write, None);
}

async fn rows_enter_and_leave_a_filter(target: TargetKind) {
    let mut bench = Bench::new(target, unlimited(project())).await;
    bench.task.filter = only_iteration(2);
    bench.once().await;
    assert_equal(&bench).await;
    let world = bench.sim.world();
    let rows = world.truth(Table::Issues, "backend", Shape::List).unwrap();
    let code = |row: &serde_json::Value| u32::try_from(row["Code"].as_u64().unwrap()).unwrap();
    let inside: Vec<u32> = rows.iter().filter(|row| row["Iteration"]["Code"] == 2).map(code).collect();
    let outside: Vec<u32> = rows.iter().filter(|row| row["Iteration"]["Code"] != 2).map(code).collect();
    let to = |code: u32, iteration: u32| Operation::SetIssue {
        project: "backend".to_owned(),
        code,
        fields: Box::new(IssueFields { iteration: Some(iteration), ..IssueFields::default() }),
        touch: true,
    };
    let renamed = IssueFields { name: Some("still inside".to_owned()), ..IssueFields::default() };
    let edit = |code: u32| Operation::SetIssue {
        project: "backend".to_owned(),
        code,
        fields: Box::new(renamed.clone()),
        touch: true,
    };
    world
        .apply(&[to(inside[0], 1), to(inside[1], 3), to(outside[0], 2), edit(inside[2]), edit(outside[1])])
        .unwrap();
    let ran = bench.once().await;
    assert_equal(&bench).await;
    let issues = ran.written("Issues");
    // Parents and sub-tasks of the renamed and moved ones may carry copies: those are updates beside.
    assert_eq!((issues.inserted, issues.deleted), (1, 2), "{issues:?}");
    assert!(issues.updated >= 1, "{issues:?}");

    // A listed iteration that is deleted is no error: its rows leave.
    world.apply(&[Operation::DeleteIteration { project: "backend".to_owned(), code: 2 }]).unwrap();
    bench.accept_deletes = true;
    let ran = bench.once().await;
    assert_equal(&bench).await;
    assert_eq!(ran.written("Issues").rows, 0);
}

async fn soft_deletes_keep_the_row_and_a_return_clears_the_mark(target: TargetKind) {
    let mut bench = Bench::new(target, unlimited(project())).await;
    bench.task.deletes = Deletes::Soft;
    bench.once().await;
    let world = bench.sim.world();
    let members: BTreeSet<u32> = world
        .truth(Table::ProjectMembers, "backend", Shape::Full)
        .unwrap()
        .iter()
        .map(|row| u32::try_from(row["Id"].as_u64().unwrap()).unwrap())
        .collect();
    let user = *members.iter().next().unwrap();
    world.apply(&[Operation::DeleteMember { project: "backend".to_owned(), user }]).unwrap();
    bench.once().await;
    assert_equal(&bench).await;
    let marked = format!(
        "SELECT count(*) FROM \"ProjectMembers\" WHERE \"Id\" = {user} AND \"_deleted_at\" IS NOT NULL"
    );
    assert_eq!(bench.place.number(&marked).await, 1);

    world.apply(&[Operation::AddMember { project: "backend".to_owned(), user, roles: Vec::new() }]).unwrap();
    let ran = bench.once().await;
    assert_equal(&bench).await;
    assert_eq!(bench.place.number(&marked).await, 0);
    assert_eq!(ran.written("ProjectMembers").inserted, 1);
}

async fn a_project_taken_out_of_the_configuration_leaves(target: TargetKind) {
    let two = vec![ProjectConfig::new("backend", 50, 3, 5), ProjectConfig::new("mobile-app", 60, 3, 5)];
    let mut bench = Bench::new(target, unlimited(two)).await;
    bench.once().await;
    let both = bench.settings.projects.clone();
    bench.settings.projects = connectors::coding::config::Projects::Named(vec!["backend".to_owned()]);
    let ran = bench.once().await;
    assert_eq!(ran.written("Issues").rows, 50);
    assert_eq!(
        bench.place.number("SELECT count(*) FROM \"Issues\" WHERE \"ProjectName\" = 'mobile-app'").await,
        0
    );
    let _ = bench.sim.world().mutate(20, &[]);
    bench.settings.projects = both;
    bench.once().await;
    assert_equal(&bench).await;
}

async fn the_target_is_rebuilt_when_somebody_dropped_a_table(target: TargetKind) {
    let bench = Bench::new(target, unlimited(project())).await;
    bench.once().await;
    bench.place.execute("DROP TABLE \"Issues\"").await;
    cheap(&bench.once().await);
    assert_equal(&bench).await;
}

/// In several batches, and rows that changed come after others that were read later.
async fn a_target_that_is_filled_again_counts_what_it_gets(target: TargetKind) {
    let mut bench = Bench::new(target, unlimited(project_of(900))).await;
    bench.once().await;
    let _ = bench.sim.world().mutate(200, &[]);
    bench.once().await;
    // Those that come from here on have no details.
    bench.settings.details = Details::Off;
    let _ = bench.sim.world().mutate(150, &[MutationKind::CreateIssue]);
    bench.once().await;
    for table in ["Issues", "Iterations", "ProjectMembers"] {
        bench.place.execute(&format!("DROP TABLE \"{table}\"")).await;
    }
    let ran = bench.once().await;
    let number = async |count| {
        u64::try_from(bench.place.number(&format!("SELECT {count} FROM \"Issues\"")).await).unwrap()
    };
    let (rows, detailed) = (number("count(*)").await, number("count(_detailed_at)").await);
    assert!(detailed > 0 && detailed < rows, "{detailed} of {rows}");
    let issues = ran.written("Issues");
    assert_eq!(
        (issues.rows, issues.inserted, issues.updated, issues.deleted, issues.detailed),
        (rows, rows, 0, 0, detailed)
    );
}

async fn a_fresh_reading_that_sees_less_holds_what_it_would_delete(target: TargetKind) {
    let mut bench = Bench::new(target, unlimited(project())).await;
    bench.once().await;
    std::fs::remove_dir_all(bench.state()).unwrap();
    bench.sim.world().change_faults(|faults| faults.members_empty = true);
    let ran = bench.once().await;
    let members = ran.written("ProjectMembers");
    assert_eq!((members.rows, members.held, members.deleted), (9, 9, 0));
    assert_equal(&bench).await;
    // Seen again, there is nothing to hold any more.
    bench.sim.world().change_faults(|faults| faults.members_empty = false);
    let ran = bench.once().await;
    assert_eq!(ran.written("ProjectMembers").held, 0);
    assert_equal(&bench).await;

    // Really gone, it takes somebody to say so.
    std::fs::remove_dir_all(bench.state()).unwrap();
    let issues = bench.sim.world().truth(Table::Issues, "backend", Shape::List).unwrap();
    let gone: Vec<Operation> = issues
        .iter()
        .take(50)
        .map(|row| u32::try_from(row["Code"].as_u64().unwrap()).unwrap())
        .map(|code| Operation::DeleteIssue { project: "backend".to_owned(), code })
        .collect();
    bench.sim.world().apply(&gone).unwrap();
    let ran = bench.once().await;
    assert_eq!((ran.written("Issues").rows, ran.written("Issues").held), (120, 50));
    bench.accept_deletes = true;
    let ran = bench.once().await;
    assert_eq!((ran.written("Issues").rows, ran.written("Issues").deleted), (70, 50));
    assert_equal(&bench).await;
}

/// The first fill of a target stands still for longer than deletes are remembered.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_whose_delete_is_forgotten_during_the_first_fill_leaves_the_target() {
    let config = SimConfig { latency: Duration::from_millis(150), ..unlimited(project_of(1_300)) };
    let mut bench = Bench::new(TargetKind::Sqlite, config).await;
    bench.settings.details = Details::Off;
    bench.task.listed_only = true;
    bench.settings.poll_interval = Duration::from_millis(200);
    bench.settings.census_interval = Duration::from_millis(200);
    let Place::Sqlite(file) = &bench.place else { panic!("the place is another") };
    let following = bench.follow().await;
    let has_rows = |status: &Status| {
        status
            .tasks
            .get("task")
            .and_then(|task| task.tables.get("Issues"))
            .is_some_and(|issues| issues.rows > 0)
    };
    following.until("the first rows", has_rows).await;
    let options = SqliteConnectOptions::new().filename(file).busy_timeout(LONG);
    let mut target = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut target).await.unwrap();
    let code: u32 =
        sqlx::query_scalar("SELECT max(\"Code\") FROM \"Issues\"").fetch_one(&mut target).await.unwrap();
    let is_loaded = |status: &Status| status.projects["backend"]["Issues"].loaded;
    assert!(!is_loaded(&following.board.read()), "the fill is over");
    following.until("everything is read", is_loaded).await;
    let delete = Operation::DeleteIssue { project: "backend".to_owned(), code };
    bench.sim.world().apply(&[delete]).unwrap();
    let is_gone = |status: &Status| status.projects["backend"]["Issues"].rows == 1_299;
    following.until("the delete is found", is_gone).await;
    following.journal.prune(Duration::ZERO).await.unwrap();
    let bounds = following.journal.bounds().await.unwrap();
    assert!(bounds.horizon > Sequence(0), "nothing is forgotten");
    sqlx::query("ROLLBACK").execute(&mut target).await.unwrap();
    target.close().await.unwrap();
    becomes_equal(&bench, &following).await;
    following.stop().await;
}
