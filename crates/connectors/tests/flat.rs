//! Flat mode from source to target: each cell against what the source's truth makes of it, computed here anew.

use std::collections::BTreeMap;
use std::time::Duration;

use coding_sim::{
    CustomContent, FaultKind, Faults, IssueFields, MutationKind, Operation, ProjectConfig, Shape, SimConfig,
    Table, WorldHandle,
};
use connectors::coding::config::{Details, Projects};
use engine::delivery::shape::{Deletes, Mode, Naming};
use engine::schema::Kind;
use engine::target::{Column, TargetTable};
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use serde_json::{Map, Value, json};

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
    a_fresh_reading_of_fewer_fields_deletes_nothing_unasked,
    stopped_at_any_moment_it_goes_on,
    a_document_and_a_flat_task_share_one_reading,
    modes_are_changed_without_a_request_for_rows,
    two_tasks_share_a_table,
    two_teams_share_a_table,
);

/// A column as it is expected: its name as CODING would spell it, what it holds, and its value in a row.
type Expected = (String, Kind, Value);

/// Custom fields that the test made, by number: name and component.
type Made = BTreeMap<i64, (String, &'static str)>;

/// The fields that the simulated team begins with: numbers ascend from here, each with its column (snake case).
const FIRST: i64 = 81_001;
const COMPONENTS: [(&str, &str); 14] = [
    ("客户名称", "TEXT_SINGLE_LINE"),
    ("复现步骤", "TEXT_MULTI_LINE"),
    ("严重程度", "SELECT_SINGLE"),
    ("影响平台", "SELECT_MULTI"),
    ("是否回归", "RADIO"),
    ("已确认", "CHECKBOX"),
    ("测试负责人", "SELECT_MEMBER_SINGLE"),
    ("评审人", "SELECT_MEMBER_MULTI"),
    ("上线时间", "TEXT_DATETIME"),
    ("客户期望日期", "TEXT_DATE"),
    ("影响用户数", "TEXT_INTEGER"),
    ("预算_万元", "TEXT_DECIMAL"),
    ("计划迭代", "SELECT_ITERATION_SINGLE"),
    ("涉及迭代", "SELECT_ITERATION_MULTI"),
];

fn first() -> Made {
    (FIRST..).zip(COMPONENTS).map(|(id, (name, component))| (id, (name.to_owned(), component))).collect()
}

fn at<'a>(row: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().fold(row, |value, key| value.get(*key).unwrap_or(&Value::Null))
}

fn text(value: &Value) -> Value {
    match value.as_str() {
        None | Some("") => Value::Null,
        Some(text) => text.into(),
    }
}

fn id(value: &Value) -> Value {
    if *value == json!(0) { Value::Null } else { value.clone() }
}

fn number(value: &Value) -> Value {
    match value {
        Value::String(text) => text.parse::<f64>().map_or(Value::Null, Value::from),
        value => value.as_f64().map_or(Value::Null, Value::from),
    }
}

fn joined<'a>(names: impl Iterator<Item = &'a Value>) -> Value {
    let plain = |name: &Value| name.as_str().map_or_else(|| name.to_string(), str::to_owned);
    let names: Vec<String> = names
        .filter(|name| !name.is_null() && **name != json!(""))
        .map(|name| plain(name).replace('\\', "\\\\").replace('|', "\\|"))
        .collect();
    if names.is_empty() { Value::Null } else { names.join("|").into() }
}

fn list<'a>(value: &'a Value, key: &'static str) -> impl Iterator<Item = &'a Value> {
    value.as_array().into_iter().flatten().map(move |item| &item[key])
}

fn set(ms: &Value) -> Option<Timestamp> {
    let ms = ms.as_i64().filter(|ms| ![0, -28_800_000].contains(ms))?;
    Some(Timestamp::from_millisecond(ms).unwrap())
}

fn moment(ms: &Value) -> Value {
    set(ms).map_or(Value::Null, |moment| moment.to_string().into())
}

fn day(ms: &Value) -> Value {
    let east = TimeZone::fixed(Offset::constant(8));
    set(ms).map_or(Value::Null, |moment| moment.to_zoned(east).date().to_string().into())
}

/// An issue, from its truth with (`Shape::Full`) or without (`Shape::List`) what only look-ups show.
fn issue(row: &Value, project_id: i64) -> Vec<Expected> {
    let priority = row["Priority"].as_str().unwrap();
    let assignee = match row.get("Assignee") {
        Some(assignee) => text(&assignee["Name"]),
        None => {
            let is_it = |person: &&Value| person["Id"] == row["AssigneeId"];
            let people = row["Assignees"].as_array().unwrap();
            people.iter().find(is_it).map_or(Value::Null, |person| text(&person["Name"]))
        }
    };
    let columns = [
        ("ProjectId", Kind::Integer, json!(project_id)),
        ("Type", Kind::Text, text(&row["Type"])),
        ("Name", Kind::Text, text(&row["Name"])),
        ("Description", Kind::Text, text(&row["Description"])),
        ("IssueTypeId", Kind::Integer, id(&row["IssueTypeId"])),
        ("IssueTypeName", Kind::Text, text(at(row, &["IssueTypeDetail", "Name"]))),
        ("IssueStatusId", Kind::Integer, id(&row["IssueStatusId"])),
        ("IssueStatusName", Kind::Text, text(&row["IssueStatusName"])),
        ("IssueStatusType", Kind::Text, text(&row["IssueStatusType"])),
        ("Priority", Kind::Integer, priority.parse::<i64>().map_or(Value::Null, Value::from)),
        (
            "PriorityName",
            Kind::Text,
            match priority {
                "0" => json!("Low"),
                "1" => json!("Medium"),
                "2" => json!("High"),
                "3" => json!("Urgent"),
                other => text(&json!(other)),
            },
        ),
        ("AssigneeId", Kind::Integer, id(&row["AssigneeId"])),
        ("AssigneeName", Kind::Text, assignee),
        ("Assignees", Kind::Text, joined(list(&row["Assignees"], "Name"))),
        ("CreatorId", Kind::Integer, id(&row["CreatorId"])),
        ("CreatorName", Kind::Text, text(at(row, &["Creator", "Name"]))),
        ("Watchers", Kind::Text, joined(list(&row["Watchers"], "Name"))),
        ("IterationId", Kind::Integer, id(&row["IterationId"])),
        ("IterationCode", Kind::Integer, id(at(row, &["Iteration", "Code"]))),
        ("IterationName", Kind::Text, text(at(row, &["Iteration", "Name"]))),
        ("IterationStatus", Kind::Text, text(at(row, &["Iteration", "Status"]))),
        ("ParentId", Kind::Integer, id(&row["ParentId"])),
        ("ParentCode", Kind::Integer, id(&row["ParentCode"])),
        ("ParentType", Kind::Text, text(at(row, &["Parent", "Type"]))),
        ("ParentName", Kind::Text, text(at(row, &["Parent", "Name"]))),
        ("EpicCode", Kind::Integer, id(at(row, &["Epic", "Code"]))),
        ("EpicName", Kind::Text, text(at(row, &["Epic", "Name"]))),
        ("SubTasks", Kind::Text, joined(list(&row["SubTasks"], "Name"))),
        ("SubTaskCodes", Kind::Text, joined(list(&row["SubTasks"], "Code"))),
        ("StartDate", Kind::Date, day(&row["StartDate"])),
        ("DueDate", Kind::Date, day(&row["DueDate"])),
        ("WorkingHours", Kind::Real, Some(number(&row["WorkingHours"])).filter(|hours| *hours != 0.0).into()),
        ("StoryPoint", Kind::Real, number(&row["StoryPoint"])),
        ("CreatedAt", Kind::Timestamp, moment(&row["CreatedAt"])),
        ("UpdatedAt", Kind::Timestamp, moment(&row["UpdatedAt"])),
        ("CompletedAt", Kind::Timestamp, moment(&row["CompletedAt"])),
        ("Labels", Kind::Text, joined(list(&row["Labels"], "Name"))),
        ("ProjectModuleId", Kind::Integer, id(at(row, &["ProjectModule", "Id"]))),
        ("ProjectModuleName", Kind::Text, text(at(row, &["ProjectModule", "Name"]))),
        ("RequirementTypeId", Kind::Integer, id(at(row, &["RequirementType", "Id"]))),
        ("RequirementTypeName", Kind::Text, text(at(row, &["RequirementType", "Name"]))),
        ("DefectTypeId", Kind::Integer, id(at(row, &["DefectType", "Id"]))),
        ("DefectTypeName", Kind::Text, text(at(row, &["DefectType", "Name"]))),
        ("Files", Kind::Text, joined(list(&row["Files"], "Name"))),
        ("ThirdLinks", Kind::Text, joined(list(&row["ThirdLinks"], "Title"))),
    ];
    columns.map(|(name, kind, value)| (name.to_owned(), kind, value)).into()
}

fn iteration(row: &Value) -> Vec<Expected> {
    let same = |name: &str, kind, value: fn(&Value) -> Value| (name.to_owned(), kind, value(&row[name]));
    let person = |field: &str| (format!("{field}Id"), Kind::Integer, id(&row[field]));
    vec![
        same("ProjectId", Kind::Integer, Value::clone),
        same("Id", Kind::Integer, id),
        same("Name", Kind::Text, text),
        same("Goal", Kind::Text, text),
        same("Status", Kind::Text, text),
        same("StartAt", Kind::Date, day),
        same("EndAt", Kind::Date, day),
        person("Assignee"),
        person("Creator"),
        person("Starter"),
        person("Completer"),
        person("Deleter"),
        same("WaitProcessCount", Kind::Integer, Value::clone),
        same("ProcessingCount", Kind::Integer, Value::clone),
        same("CompletedCount", Kind::Integer, Value::clone),
        same("CompletedPercent", Kind::Real, number),
        same("CompletedStoryPoint", Kind::Real, number),
        same("AllStoryPoint", Kind::Real, number),
        same("TodoStoryPoint", Kind::Real, number),
        same("ProcessStoryPoint", Kind::Real, number),
        same("CreatedAt", Kind::Timestamp, moment),
        same("UpdatedAt", Kind::Timestamp, moment),
    ]
}

fn member(row: &Value) -> Vec<Expected> {
    let same = |name: &str, kind, value: fn(&Value) -> Value| (name.to_owned(), kind, value(&row[name]));
    vec![
        same("ProjectId", Kind::Integer, Value::clone),
        same("Name", Kind::Text, text),
        same("NamePinYin", Kind::Text, text),
        same("GlobalKey", Kind::Text, text),
        same("Status", Kind::Integer, Value::clone),
        same("Email", Kind::Text, text),
        same("EmailValidation", Kind::Boolean, |flag| (*flag == json!(1)).into()),
        same("Phone", Kind::Text, text),
        same("PhoneValidation", Kind::Boolean, |flag| (*flag == json!(1)).into()),
        same("Avatar", Kind::Text, text),
        same("TeamId", Kind::Integer, id),
        ("Roles".to_owned(), Kind::Text, joined(list(&row["Roles"], "RoleTypeName"))),
        same("UniqueExtField", Kind::Text, text),
        ("DepartmentMemberId".to_owned(), Kind::Integer, id(at(row, &["DepartmentMember", "RefId"]))),
        (
            "DepartmentMemberName".to_owned(),
            Kind::Text,
            text(at(row, &["DepartmentMember", "ThirdPartyName"])),
        ),
    ]
}

fn custom_kind(component: &str) -> Kind {
    match component {
        "TEXT_INTEGER" => Kind::Integer,
        "TEXT_DECIMAL" => Kind::Real,
        "TEXT_DATE" => Kind::Date,
        "TEXT_DATETIME" => Kind::Timestamp,
        _ => Kind::Text,
    }
}

fn custom_value(component: &str, value: &str) -> Value {
    if value.is_empty() {
        return Value::Null;
    }
    let json = || serde_json::from_str::<Value>(value).unwrap();
    match component {
        "TEXT_INTEGER" => value.parse::<i64>().unwrap().into(),
        "TEXT_DECIMAL" => value.parse::<f64>().unwrap().into(),
        "TEXT_DATETIME" => moment(&value.parse::<i64>().unwrap().into()),
        "SELECT_MULTI" => joined(json().as_array().unwrap().iter()),
        "SELECT_MEMBER_SINGLE" => text(&json()["Name"]),
        "SELECT_MEMBER_MULTI" => joined(list(&json(), "Name")),
        _ => value.into(),
    }
}

fn called(naming: Naming, name: &str) -> String {
    match naming {
        Naming::Original => name.to_owned(),
        Naming::SnakeCase => {
            let letters = name.chars().enumerate().flat_map(|(place, letter)| {
                let between = (place > 0 && letter.is_uppercase()).then_some('_');
                between.into_iter().chain(letter.to_lowercase())
            });
            letters.collect()
        }
    }
}

fn column(name: &str, kind: Kind) -> Column {
    Column { name: name.to_owned(), kind, custom: None }
}

/// A table to be read, of which only names and kinds matter.
fn table(name: &str, columns: Vec<Column>) -> TargetTable {
    TargetTable { name: name.to_owned(), columns, key_columns: 3, deleted_at: None, synced_at: 0 }
}

/// What the target says about a custom field.
#[derive(Clone, Debug, PartialEq)]
struct Noted {
    column: String,
    name: String,
    kind: String,
    added_at: String,
    named_at: String,
}

/// `_tributary_fields` of a team, by the field's number.
async fn noted(place: &Place, team: &str) -> BTreeMap<i64, Noted> {
    let texts = ["table_name", "column_name", "team", "field_name", "type"];
    let times = ["added_at", "named_at"].map(|name| column(name, Kind::Timestamp));
    let columns = texts.map(|name| column(name, Kind::Text)).into_iter().chain(times);
    let fields = table("_tributary_fields", columns.chain([column("field_id", Kind::Integer)]).collect());
    let rows = place.rows(&fields).await;
    let rows = rows.iter().filter(|row| row["team"] == team);
    rows.map(|row| {
        assert!(row["table_name"].as_str().unwrap().eq_ignore_ascii_case("issues"));
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        let noted = Noted {
            column: text("column_name"),
            name: text("field_name"),
            kind: text("type"),
            added_at: text("added_at"),
            named_at: text("named_at"),
        };
        (row["field_id"].as_i64().unwrap(), noted)
    })
    .collect()
}

/// Rows of a table by project and number, soft-deleted ones apart.
#[derive(Debug, Default)]
struct Rows {
    alive: BTreeMap<(String, i64), Map<String, Value>>,
    deleted: BTreeMap<(String, i64), Map<String, Value>>,
}

async fn read(bench: &Bench, name: &str, key: &str, columns: impl Iterator<Item = (String, Kind)>) -> Rows {
    let naming = bench.task.naming;
    let called = |name: &str| called(naming, name);
    let mut all = vec![
        column(&called("TeamName"), Kind::Text),
        column(&called("ProjectName"), Kind::Text),
        column(&called(key), Kind::Integer),
        column("_observed_at", Kind::Timestamp),
        column("_synced_at", Kind::Timestamp),
        column("_detailed_at", Kind::Timestamp),
        column("_extra", Kind::Text),
    ];
    let soft = bench.task.deletes == Deletes::Soft;
    all.extend(soft.then(|| column("_deleted_at", Kind::Timestamp)));
    all.extend(columns.map(|(name, kind)| column(&name, kind)));
    let mut rows = Rows::default();
    for row in bench.place.rows(&table(&called(name), all)).await {
        let id = row[&called(key)].as_i64().unwrap();
        let place = (row[&called("ProjectName")].as_str().unwrap().to_owned(), id);
        // Other rows are another task's.
        if row[&called("TeamName")] != bench.task.team.as_str() || !projects(bench).contains(&place.0) {
            continue;
        }
        let deleted = row.get("_deleted_at").is_some_and(|at| !at.is_null());
        let known = if deleted { &mut rows.deleted } else { &mut rows.alive };
        assert!(known.insert(place, row).is_none(), "a key stands there once");
    }
    rows
}

/// Everything in which a flat target differs from the truth, in words. `made`: the custom fields that there are.
async fn differences(bench: &Bench, made: &Made) -> Vec<String> {
    let world = bench.sim.world();
    let mut found = Vec::new();
    let fields = noted(&bench.place, &bench.task.team).await;
    for (id, (name, component)) in made {
        match fields.get(id) {
            None => found.push(format!("field {id} {name} has no column")),
            Some(noted) if *name != noted.name.replace(" (万元)", "_万元") => {
                found.push(format!("field {id} is {name}: {noted:?}"));
            }
            Some(noted) if noted.kind != format!("{:?}", custom_kind(component)).to_lowercase() => {
                found.push(format!("field {id} is a {component}: {noted:?}"));
            }
            Some(_) => {}
        }
    }
    if !found.is_empty() {
        return found;
    }
    for (name, key, of) in [
        ("Issues", "Code", Table::Issues),
        ("Iterations", "Code", Table::Iterations),
        ("ProjectMembers", "Id", Table::ProjectMembers),
    ] {
        let mut expected = BTreeMap::new();
        for project in &projects(bench) {
            for (id, row) in truth(bench, &world, of, project, key) {
                let mut cells: Vec<Expected> = match of {
                    Table::Issues => issue(&row, project_id(&world, project)),
                    Table::Iterations => iteration(&row),
                    Table::ProjectMembers => member(&row),
                };
                for cell in &mut cells {
                    cell.0 = called(bench.task.naming, &cell.0);
                }
                if of == Table::Issues {
                    cells.extend(customs(&row, made, &fields));
                }
                expected.insert((project.clone(), id), cells);
            }
        }
        let columns = expected.values().next().unwrap();
        let columns = columns.iter().map(|(name, kind, _)| (name.clone(), *kind));
        let mut rows = read(bench, name, key, columns).await.alive;
        for (place, cells) in expected {
            let Some(row) = rows.remove(&place) else {
                found.push(format!("{name} {place:?} is missing"));
                continue;
            };
            for (column, _, value) in cells {
                if !same(&row[&column], &value) {
                    found.push(format!("{name} {place:?} {column}: target {}, truth {value}", row[&column]));
                }
            }
            if !row["_extra"].is_null() {
                found.push(format!("{name} {place:?} has something over: {}", row["_extra"]));
            }
        }
        found.extend(rows.keys().map(|place| format!("{name} {place:?} is too many")));
    }
    found
}

/// A float may be spelled without its fraction.
fn same(target: &Value, truth: &Value) -> bool {
    target == truth || truth.is_f64() && target.as_f64() == truth.as_f64()
}

/// The projects that the task delivers.
fn projects(bench: &Bench) -> Vec<String> {
    match &bench.settings.projects {
        Projects::All => bench.sim.world().projects(),
        Projects::Named(names) => names.clone(),
    }
}

fn truth(bench: &Bench, world: &WorldHandle, table: Table, project: &str, key: &str) -> Vec<(i64, Value)> {
    let listed = table == Table::Issues && bench.task.listed_only;
    let rows = world.truth(table, project, if listed { Shape::List } else { Shape::Full }).unwrap();
    rows.into_iter().map(|row| (row[key].as_i64().unwrap(), row)).collect()
}

fn project_id(world: &WorldHandle, project: &str) -> i64 {
    world.truth(Table::ProjectMembers, project, Shape::Full).unwrap()[0]["ProjectId"].as_i64().unwrap()
}

/// Cells of custom fields; of those that are gone (`fields` but not `made`) all are NULL.
fn customs(row: &Value, made: &Made, fields: &BTreeMap<i64, Noted>) -> Vec<Expected> {
    let value = |id: i64| {
        let entries = row["CustomFields"].as_array().unwrap();
        let entry = entries.iter().find(|entry| entry["Id"] == id);
        entry.map_or("", |entry| entry["ValueString"].as_str().unwrap())
    };
    let cell = |(id, noted): (&i64, &Noted)| match made.get(id) {
        Some((_, component)) => {
            (noted.column.clone(), custom_kind(component), custom_value(component, value(*id)))
        }
        None => {
            let kinds = [Kind::Text, Kind::Integer, Kind::Real, Kind::Timestamp, Kind::Date];
            let kind = kinds.into_iter().find(|kind| format!("{kind:?}").to_lowercase() == noted.kind);
            (noted.column.clone(), kind.unwrap(), Value::Null)
        }
    };
    fields.iter().map(cell).collect()
}

async fn assert_flat(bench: &Bench, made: &Made) {
    let found = differences(bench, made).await;
    assert!(
        found.is_empty(),
        "{} differences, among them: {:#?}",
        found.len(),
        &found[..found.len().min(10)]
    );
}

async fn becomes_flat(bench: &Bench, following: &Following, made: &Made) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let found = differences(bench, made).await;
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
    let deleted = read(&bench, "Issues", "Code", texts.into_iter()).await.deleted;
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
    following.until("the first reading", crate::follow::settled).await;
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
