//! Flat mode from source to target: each cell against what the source's truth makes of it.

use std::collections::BTreeMap;
use std::time::Duration;

use coding_sim::{
    CustomContent, FaultKind, Faults, IssueFields, MutationKind, Operation, ProjectConfig, Shape, SimConfig,
    Table,
};
use connectors::coding::config::{Details, Projects};
use engine::delivery::shape::{Deletes, Mode, Naming};
use engine::schema::Kind;
use engine::status::{State, Status};
use jiff::Timestamp;
use serde_json::Value;

use crate::cells::{self, COMPONENTS, FIRST, Made, Noted, first, noted};
use crate::compare::Compared;
use crate::harness::{Bench, Following, assert_equal, unlimited};
use crate::place::{Place, TargetKind, on_each_target};

on_each_target!(
    every_cell_is_what_the_truth_makes_of_it,
    without_details_what_only_they_know_is_null,
    a_hostile_source_loses_no_cell,
    a_new_field_costs_no_request_for_rows,
    a_new_field_is_filled_while_following,
    a_renamed_field_keeps_its_column,
    fields_of_one_name_and_of_taken_names_have_columns_of_their_own,
    a_removed_field_keeps_its_column_empty,
    a_field_without_a_definition_is_a_text,
    fields_that_cannot_be_asked_for_keep_their_columns_and_values,
    a_fresh_reading_of_fewer_fields_deletes_nothing_unasked,
    stopped_at_any_moment_it_goes_on,
    a_document_and_a_flat_task_share_one_reading,
    modes_are_changed_without_a_request_for_rows,
    two_tasks_share_a_table,
    two_teams_share_a_table,
);

/// The projects that the task delivers.
fn projects(bench: &Bench) -> Vec<String> {
    match &bench.settings.projects {
        Projects::All | Projects::AllBut(_) => bench.sim.world().projects(),
        Projects::Named(names) => names.clone(),
    }
}

/// Compares the target with the truth. `made`: the custom fields that there are.
async fn compare(bench: &Bench, made: &Made) -> Compared {
    let world = bench.sim.world();
    cells::compare(&world, &bench.place, &bench.task, &projects(bench), made).await
}

async fn assert_flat(bench: &Bench, made: &Made) {
    compare(bench, made).await.assert_equal();
}

async fn becomes_flat(bench: &Bench, following: &Following, made: &Made) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let found = compare(bench, made).await.differences;
        if found.is_empty() {
            return;
        }
        if tokio::time::Instant::now() > deadline {
            panic!("still different: {:#?}\n{:#?}", &found[..found.len().min(10)], following.board.read());
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn flat(target: TargetKind, config: SimConfig) -> Bench {
    let mut bench = Bench::new(target, config).await;
    bench.task.mode = Mode::Flat;
    bench.task.naming = Naming::SnakeCase;
    bench
}

fn small() -> SimConfig {
    unlimited(vec![ProjectConfig::new("mobile-app", 150, 8, 12), ProjectConfig::new("backend", 60, 5, 9)])
}

/// Adds a custom field.
fn add(bench: &Bench, made: &mut Made, name: &str, component: &'static str, options: &[&str]) -> i64 {
    let options = options.iter().map(|option| (*option).to_owned()).collect();
    let added = Operation::AddField { name: name.to_owned(), component: component.to_owned(), options };
    let id = i64::from(bench.sim.world().apply(&[added]).unwrap()[0].key);
    made.insert(id, (name.to_owned(), component));
    id
}

/// Gives the first issues of a project a value each, without a trace in `UpdatedAt`.
fn give(bench: &Bench, project: &str, field: i64, values: &[&str]) {
    let world = bench.sim.world();
    let issues = world.truth(Table::Issues, project, Shape::List).unwrap();
    let set = |(row, content): (&Value, &&str)| {
        let custom = CustomContent { id: field.try_into().unwrap(), content: (*content).to_owned() };
        Operation::SetIssue {
            project: project.to_owned(),
            code: row["Code"].as_u64().unwrap().try_into().unwrap(),
            fields: Box::new(IssueFields { custom: vec![custom], ..IssueFields::default() }),
            touch: false,
        }
    };
    world.apply(&issues.iter().zip(values).map(set).collect::<Vec<_>>()).unwrap();
}

async fn every_cell_is_what_the_truth_makes_of_it(target: TargetKind) {
    let mut bench = flat(target, small()).await;
    for (naming, details) in [(Naming::SnakeCase, Details::Background), (Naming::Original, Details::Eager)] {
        bench.task.naming = naming;
        bench.settings.details = details;
        bench.once().await;
        assert_flat(&bench, &first()).await;
        let again = bench.once().await.written("Issues");
        assert_eq!((again.inserted, again.updated, again.deleted, again.detailed), (0, 0, 0, 0));
        let _ = bench.sim.world().mutate(80, &[]);
        bench.once().await;
        assert_flat(&bench, &first()).await;
    }
    let fields = noted(&bench.place, &bench.task.team).await;
    let columns: Vec<&str> = fields.values().map(|field| field.column.as_str()).collect();
    assert_eq!(columns, COMPONENTS.map(|(column, _)| column), "called after the fields");
}

async fn without_details_what_only_they_know_is_null(target: TargetKind) {
    let mut bench = flat(target, small()).await;
    bench.settings.details = Details::Off;
    bench.task.listed_only = true;
    bench.task.deletes = Deletes::Soft;
    bench.once().await;
    assert_flat(&bench, &first()).await;

    let _ = bench.sim.world().mutate(5, &[MutationKind::DeleteIssue]);
    bench.once().await;
    assert_flat(&bench, &first()).await;
    let texts = [("name".to_owned(), Kind::Text), ("priority".to_owned(), Kind::Integer)];
    let deleted =
        cells::read(&bench.place, &bench.task, &projects(&bench), ("Issues", "Code"), texts.into_iter())
            .await
            .deleted;
    assert!(!deleted.is_empty());
    assert!(
        deleted.values().all(|row| row["name"].is_string()),
        "a deleted row keeps its cells: {deleted:?}"
    );
    assert_eq!(bench.place.number("SELECT count(*) FROM issues WHERE watchers IS NOT NULL").await, 0);

    // With details on again, the same table has them.
    bench.settings.details = Details::Background;
    bench.task.listed_only = false;
    bench.once().await;
    assert_flat(&bench, &first()).await;
    assert_ne!(bench.place.number("SELECT count(*) FROM issues WHERE watchers IS NOT NULL").await, 0);
}

async fn a_hostile_source_loses_no_cell(target: TargetKind) {
    let config = SimConfig {
        broken_text_one_in: 50,
        mutations_per_second: 20.0,
        faults: Faults { hang_ms: 50, trickle_ms: 50, ..Faults::transient(0.05) },
        ..unlimited(vec![
            ProjectConfig::new("mobile-app", 1_500, 20, 30),
            ProjectConfig::new("backend", 80, 5, 9),
        ])
    };
    let bench = flat(target, config).await;
    bench.once().await;
    bench.sim.world().set_mutator(0.0);
    bench.once().await;
    let counters = bench.sim.world().counters();
    assert!(counters.faults.values().sum::<u64>() > 10, "hardly any fault struck: {counters:#?}");
    assert_flat(&bench, &first()).await;
}

/// Requests by action, but for those that ask for custom fields.
fn rows_asked(requests: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let mut requests = requests.clone();
    requests.remove("DescribeProjectIssueFieldList");
    requests.remove("DescribeProjectIssueTypeList");
    requests
}

async fn a_new_field_costs_no_request_for_rows(target: TargetKind) {
    let bench = flat(target, small()).await;
    bench.once().await;
    let idle = rows_asked(&bench.once().await.status.requests);
    let mut made = first();
    let field = add(&bench, &mut made, "故障时长 (min)", "TEXT_INTEGER", &[]);
    let ran = bench.once().await;
    assert_eq!(rows_asked(&ran.status.requests), idle);
    assert_flat(&bench, &made).await;

    give(&bench, "backend", field, &["7", "0", "-3"]);
    let ran = bench.once().await;
    let mut wanted = idle.clone();
    *wanted.entry("DescribeIssue".to_owned()).or_default() += 3;
    assert_eq!(rows_asked(&ran.status.requests), wanted, "three rows changed, three are looked up");
    assert_flat(&bench, &made).await;
    assert_eq!(bench.place.number("SELECT CAST(sum(\"故障时长_min\") AS BIGINT) FROM issues").await, 4);
}

async fn a_new_field_is_filled_while_following(target: TargetKind) {
    let bench = flat(target, small()).await;
    let following = bench.follow().await;
    following.first_reading().await;
    let mut made = first();
    becomes_flat(&bench, &following, &made).await;
    bench.sim.world().reset_counters();
    let field = add(&bench, &mut made, "风险", "SELECT_MULTI", &["a|b", "c"]);
    give(&bench, "mobile-app", field, &["a|b,c", "c"]);
    becomes_flat(&bench, &following, &made).await;
    let looked_up = bench.sim.world().counters().of("DescribeIssue");
    assert!(looked_up <= 4, "two rows changed, {looked_up} look-ups");
    let sql = "SELECT count(*) FROM issues WHERE \"风险\" = 'a\\|b|c'";
    assert_eq!(bench.place.number(sql).await, 1);

    let _ = bench.sim.world().mutate(40, &[]);
    becomes_flat(&bench, &following, &made).await;
    following.stop().await;
}

async fn a_renamed_field_keeps_its_column(target: TargetKind) {
    let bench = flat(target, small()).await;
    let mut made = first();
    let field = add(&bench, &mut made, "Root Cause", "TEXT_SINGLE_LINE", &[]);
    give(&bench, "backend", field, &["one", "two"]);
    bench.once().await;
    assert_flat(&bench, &made).await;
    let before = noted(&bench.place, &bench.task.team).await;
    assert_eq!((before[&field].column.as_str(), before[&field].kind.as_str()), ("root_cause", "text"));
    assert_eq!(before[&field].added_at, before[&field].named_at);

    let rename = Operation::RenameField { field: field.try_into().unwrap(), name: "Reason".to_owned() };
    bench.sim.world().apply(&[rename]).unwrap();
    made.get_mut(&field).unwrap().0 = "Reason".to_owned();
    let idle = bench.once().await;
    assert_eq!(
        idle.written("Issues").updated,
        2,
        "only rows that show the name: {:?}",
        idle.written("Issues")
    );
    assert_flat(&bench, &made).await;
    let after = noted(&bench.place, &bench.task.team).await;
    let Noted { column, name, added_at, named_at, .. } = after[&field].clone();
    assert_eq!((column.as_str(), name.as_str()), ("root_cause", "Reason"));
    assert_eq!(added_at, before[&field].added_at);
    let time = |text: &str| text.parse::<Timestamp>().unwrap();
    assert!(time(&named_at) > time(&before[&field].named_at));
    let others = |fields: &BTreeMap<i64, Noted>| {
        let mut fields = fields.clone();
        fields.remove(&field);
        fields
    };
    assert_eq!(others(&after), others(&before), "nothing is said anew of the other fields");

    // Another field may have the name that became free, and gets a column of its own.
    let second = add(&bench, &mut made, "Root Cause", "TEXT_INTEGER", &[]);
    give(&bench, "backend", second, &["1"]);
    bench.once().await;
    assert_flat(&bench, &made).await;
    assert_eq!(noted(&bench.place, &bench.task.team).await[&second].column, format!("root_cause_{second}"));
}

async fn fields_of_one_name_and_of_taken_names_have_columns_of_their_own(target: TargetKind) {
    let bench = flat(target, small()).await;
    let mut made = first();
    let names = [
        "Name",
        "priority",
        "_extra",
        "_synced_at",
        "故障",
        "故障",
        "IssueStatusName",
        "!?",
        "select",
        "rowid",
    ];
    let fields = names.map(|name| add(&bench, &mut made, name, "TEXT_SINGLE_LINE", &[]));
    for field in fields {
        give(&bench, "backend", field, &[&format!("value of {field}")]);
    }
    bench.once().await;
    assert_flat(&bench, &made).await;
    let noted = noted(&bench.place, &bench.task.team).await;
    let wanted = [
        "name_",
        "priority_",
        "extra",
        "synced_at",
        "故障",
        "故障_",
        "issue_status_name_",
        "field_",
        "select",
        "rowid_",
    ];
    for (field, wanted) in fields.into_iter().zip(wanted) {
        let wanted = if wanted.ends_with('_') { format!("{wanted}{field}") } else { wanted.to_owned() };
        assert_eq!(noted[&field].column, wanted);
    }
}

async fn a_removed_field_keeps_its_column_empty(target: TargetKind) {
    let bench = flat(target, small()).await;
    bench.once().await;
    let mut made = first();
    let field = FIRST;
    assert_ne!(bench.place.number("SELECT count(\"客户名称\") FROM issues").await, 0);
    bench.sim.world().apply(&[Operation::RemoveField { field: field.try_into().unwrap() }]).unwrap();
    made.remove(&field);
    bench.once().await;
    assert_flat(&bench, &made).await;
    assert_eq!(noted(&bench.place, &bench.task.team).await[&field].column, "客户名称");
    assert_eq!(bench.place.number("SELECT count(\"客户名称\") FROM issues").await, 0);

    // One of the same name is another field, also where the state begins anew.
    std::fs::remove_dir_all(bench.state()).unwrap();
    let second = add(&bench, &mut made, "客户名称", "TEXT_INTEGER", &[]);
    bench.once().await;
    assert_flat(&bench, &made).await;
    assert_eq!(noted(&bench.place, &bench.task.team).await[&second].column, format!("客户名称_{second}"));
}

async fn a_field_without_a_definition_is_a_text(target: TargetKind) {
    let mut bench = flat(target, small()).await;
    let mut made = first();
    let field = add(&bench, &mut made, "old", "TEXT_INTEGER", &[]);
    give(&bench, "backend", field, &["12", "13"]);
    bench.task.mode = Mode::Document;
    bench.once().await;
    // The rows of the mirror still have it, the source does not list it any more.
    let world = bench.sim.world();
    world.apply(&[Operation::RemoveField { field: field.try_into().unwrap() }]).unwrap();
    let each = BTreeMap::from([(FaultKind::Http500, 1.0)]);
    let actions = vec!["DescribeIssueListWithPage".to_owned()];
    world.set_faults(Faults { each, actions, ..Faults::default() });
    bench.task.mode = Mode::Flat;
    let following = bench.follow().await;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !noted(&bench.place, &bench.task.team).await.contains_key(&field) {
        assert!(tokio::time::Instant::now() < deadline, "{:#?}", following.board.read());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let sql = "SELECT count(*) FROM issues WHERE old IN ('12', '13')";
    while bench.place.number(sql).await != 2 {
        assert!(tokio::time::Instant::now() < deadline, "{:#?}", following.board.read());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    world.set_faults(Faults::default());
    made.remove(&field);
    becomes_flat(&bench, &following, &made).await;
    following.stop().await;
}

/// That a fresh reading knows other fields is no reason to believe that rows which it lacks are gone.
/// While the source refuses to name the fields, those that are known stay as they are, rows go on, and it is said.
async fn fields_that_cannot_be_asked_for_keep_their_columns_and_values(target: TargetKind) {
    let bench = flat(target, small()).await;
    bench.once().await;
    let mut made = first();
    assert_flat(&bench, &made).await;
    let before = noted(&bench.place, &bench.task.team).await;
    let refused = Faults {
        actions: vec!["DescribeProjectIssueFieldList".to_owned()],
        ..Faults::only(FaultKind::Http403, 1.0)
    };
    let is_said = |status: &Status| {
        let said = status.capture.last_problem.as_ref();
        said.is_some_and(|(_, problem)| {
            problem.what.starts_with("Cannot read the custom fields of project `")
        })
    };

    // Refused while it follows, and from a start on.
    let mut following = bench.follow().await;
    following.until("it follows", |status| matches!(status.capture.state, State::Following { .. })).await;
    bench.sim.world().set_faults(refused);
    for _ in 0..2 {
        following.until("it is said", is_said).await;
        let _ = bench.sim.world().mutate(20, &[]);
        becomes_flat(&bench, &following, &made).await;
        assert_eq!(noted(&bench.place, &bench.task.team).await, before);
        following.stop().await;
        following = bench.follow().await;
    }

    let field = add(&bench, &mut made, "Root Cause", "TEXT_SINGLE_LINE", &[]);
    give(&bench, "backend", field, &["one", "two"]);
    bench.sim.world().set_faults(Faults::default());
    becomes_flat(&bench, &following, &made).await;
    following.stop().await;
}

async fn a_fresh_reading_of_fewer_fields_deletes_nothing_unasked(target: TargetKind) {
    let bench = flat(target, small()).await;
    bench.once().await;
    std::fs::remove_dir_all(bench.state()).unwrap();
    let world = bench.sim.world();
    world.apply(&[Operation::RemoveField { field: FIRST.try_into().unwrap() }]).unwrap();
    world.change_faults(|faults| faults.members_empty = true);
    let members = bench.once().await.written("ProjectMembers");
    assert_eq!((members.rows, members.held, members.deleted), (21, 21, 0));
    world.change_faults(|faults| faults.members_empty = false);
    bench.once().await;
    let mut made = first();
    made.remove(&FIRST);
    assert_flat(&bench, &made).await;
}

async fn stopped_at_any_moment_it_goes_on(target: TargetKind) {
    let bench = flat(target, small()).await;
    bench.once().await;
    let mut made = first();
    for (round, component) in ["TEXT_INTEGER", "TEXT_DATE", "SELECT_MULTI"].into_iter().enumerate() {
        let field = add(&bench, &mut made, &format!("round {round}"), component, &["1"]);
        let content = if component == "TEXT_DATE" { "2026-02-28" } else { "1" };
        give(&bench, "mobile-app", field, &[content, content]);
        let following = bench.follow().await;
        // Before the fields are known; when they are known to the source's side; when the target has the column.
        match round {
            0 => {}
            1 => drop(following.until("a start", |status| status.tasks.contains_key("task")).await),
            _ => {
                let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
                while !noted(&bench.place, &bench.task.team).await.contains_key(&field) {
                    assert!(tokio::time::Instant::now() < deadline, "{:#?}", following.board.read());
                    tokio::task::yield_now().await;
                }
            }
        }
        following.stop().await;
        bench.once().await;
        assert_flat(&bench, &made).await;
    }
}

async fn a_document_and_a_flat_task_share_one_reading(target: TargetKind) {
    let mut bench = flat(target, small()).await;
    bench.once().await;
    let idle = rows_asked(&bench.once().await.status.requests);
    let elsewhere = tempfile::tempdir().unwrap();
    let mut place = Place::new(target, elsewhere.path()).await;
    let mut task = bench.task.clone();
    task.name = "document".to_owned();
    task.mode = Mode::Document;
    for _ in 0..2 {
        std::mem::swap(&mut bench.place, &mut place);
        std::mem::swap(&mut bench.task, &mut task);
        let ran = bench.once().await;
        assert_eq!(rows_asked(&ran.status.requests), idle, "what is in the mirror is not asked for");
        assert_equal(&bench).await;
        let _ = bench.sim.world().mutate(30, &[]);
        bench.once().await;
        assert_equal(&bench).await;

        std::mem::swap(&mut bench.place, &mut place);
        std::mem::swap(&mut bench.task, &mut task);
        let ran = bench.once().await;
        assert_eq!(rows_asked(&ran.status.requests), idle);
        assert_flat(&bench, &first()).await;
    }
}

async fn modes_are_changed_without_a_request_for_rows(target: TargetKind) {
    let mut bench = flat(target, small()).await;
    bench.once().await;
    let idle = rows_asked(&bench.once().await.status.requests);
    let before = noted(&bench.place, &bench.task.team).await;
    for (mode, deletes) in [
        (Mode::Document, Deletes::Hard),
        (Mode::Flat, Deletes::Soft),
        (Mode::Document, Deletes::Soft),
        (Mode::Flat, Deletes::Hard),
    ] {
        bench.task.mode = mode;
        bench.task.deletes = deletes;
        let ran = bench.once().await;
        assert_eq!(rows_asked(&ran.status.requests), idle);
        match mode {
            Mode::Document => assert_equal(&bench).await,
            Mode::Flat => assert_flat(&bench, &first()).await,
        }
    }
    assert_eq!(noted(&bench.place, &bench.task.team).await, before, "columns are remembered");
}

/// Two tasks, each with a state and a project of its own.
async fn two_tasks_share_a_table(target: TargetKind) {
    let mut bench = flat(target, small()).await;
    let mut made = first();
    let (mut dir, mut task, mut settings) =
        (tempfile::tempdir().unwrap(), bench.task.clone(), bench.settings.clone());
    task.name = "other".to_owned();
    settings.projects = Projects::Named(vec!["backend".to_owned()]);
    bench.settings.projects = Projects::Named(vec!["mobile-app".to_owned()]);
    let mut turn = |bench: &mut Bench| {
        std::mem::swap(&mut bench.dir, &mut dir);
        std::mem::swap(&mut bench.task, &mut task);
        std::mem::swap(&mut bench.settings, &mut settings);
    };
    bench.once().await;
    turn(&mut bench);
    bench.once().await;
    assert_flat(&bench, &made).await;

    // The second task sees it first, and both have it.
    let field = add(&bench, &mut made, "later", "TEXT_INTEGER", &[]);
    give(&bench, "mobile-app", field, &["5"]);
    give(&bench, "backend", field, &["6"]);
    bench.once().await;
    assert_flat(&bench, &made).await;
    assert_eq!(bench.place.number("SELECT CAST(sum(later) AS BIGINT) FROM issues").await, 6);
    turn(&mut bench);
    bench.once().await;
    assert_flat(&bench, &made).await;
    assert_eq!(bench.place.number("SELECT CAST(sum(later) AS BIGINT) FROM issues").await, 11);
    assert_eq!(noted(&bench.place, &bench.task.team).await.len(), COMPONENTS.len() + 1);
    turn(&mut bench);
    assert_flat(&bench, &made).await;
}

/// Fields of another team are others, whatever their numbers and names.
async fn two_teams_share_a_table(target: TargetKind) {
    let other = SimConfig { team: "other".to_owned(), ..small() };
    let (mut one, mut two) = (flat(target, small()).await, flat(target, other).await);
    two.task.team = "other".to_owned();
    two.settings.team = "other".to_owned();
    two.task.name = "other".to_owned();
    let (ours, mut theirs) = (first(), first());
    add(&two, &mut theirs, "later", "TEXT_DATE", &[]);
    one.once().await;
    std::mem::swap(&mut one.place, &mut two.place);
    two.once().await;
    assert_flat(&two, &theirs).await;
    let columns = noted(&two.place, "other").await;
    assert_eq!(columns[&FIRST].column, format!("客户名称_{FIRST}"));
    let _ = two.sim.world().mutate(30, &[]);
    two.once().await;
    assert_flat(&two, &theirs).await;
    std::mem::swap(&mut one.place, &mut two.place);
    assert_flat(&one, &ours).await;
    let _ = one.sim.world().mutate(30, &[]);
    one.once().await;
    assert_flat(&one, &ours).await;
}
