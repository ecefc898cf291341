//! Compares a flat target, row by row and cell by cell, with what the simulator's truth makes of each cell, computed
//! here anew. Shared by the tests of the connectors and of the binary.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::collections::BTreeMap;

use coding_sim::{Shape, Table, WorldHandle};
use engine::delivery::shape::{Deletes, Naming, Task};
use engine::schema::Kind;
use engine::target::{Column, TargetTable};
use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};
use serde_json::{Map, Value, json};

use crate::compare::Compared;
use crate::place::Place;

/// A column as it is expected: its name as CODING would spell it, what it holds, and its value in a row.
type Expected = (String, Kind, Value);

/// Custom fields that there are, by number: name and component.
pub(crate) type Made = BTreeMap<i64, (String, &'static str)>;

/// The fields that the simulated team begins with: numbers ascend from here, each with its column (snake case).
pub(crate) const FIRST: i64 = 81_001;
pub(crate) const COMPONENTS: [(&str, &str); 14] = [
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

/// The fields that the simulated team begins with.
pub(crate) fn first() -> Made {
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

/// A column to be read.
pub(crate) fn column(name: &str, kind: Kind) -> Column {
    Column { name: name.to_owned(), kind, custom: None }
}

/// A table to be read, of which only names and kinds matter.
pub(crate) fn table(name: &str, columns: Vec<Column>) -> TargetTable {
    TargetTable { name: name.to_owned(), columns, key_columns: 3, deleted_at: None, synced_at: 0 }
}

/// What the target says about a custom field.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Noted {
    pub(crate) column: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) added_at: String,
    pub(crate) named_at: String,
}

/// `_tributary_fields` of a team, by the field's number.
pub(crate) async fn noted(place: &Place, team: &str) -> BTreeMap<i64, Noted> {
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
pub(crate) struct Rows {
    pub(crate) alive: BTreeMap<(String, i64), Map<String, Value>>,
    pub(crate) deleted: BTreeMap<(String, i64), Map<String, Value>>,
}

/// Reads columns of a table of a flat task, those that every table has among them.
pub(crate) async fn read(
    place: &Place,
    task: &Task,
    projects: &[String],
    (name, key): (&str, &str),
    columns: impl Iterator<Item = (String, Kind)>,
) -> Rows {
    let naming = task.naming;
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
    let soft = task.deletes == Deletes::Soft;
    all.extend(soft.then(|| column("_deleted_at", Kind::Timestamp)));
    all.extend(columns.map(|(name, kind)| column(&name, kind)));
    let mut rows = Rows::default();
    for row in place.rows(&table(&called(name), all)).await {
        let id = row[&called(key)].as_i64().unwrap();
        let at = (row[&called("ProjectName")].as_str().unwrap().to_owned(), id);
        // Other rows are another task's.
        if row[&called("TeamName")] != task.team.as_str() || !projects.contains(&at.0) {
            continue;
        }
        let deleted = row.get("_deleted_at").is_some_and(|at| !at.is_null());
        let known = if deleted { &mut rows.deleted } else { &mut rows.alive };
        assert!(known.insert(at, row).is_none(), "a key stands there once");
    }
    rows
}

/// Compares every row and cell of a flat target with the truth. `made`: the custom fields that there are.
pub(crate) async fn compare(
    world: &WorldHandle,
    place: &Place,
    task: &Task,
    projects: &[String],
    made: &Made,
) -> Compared {
    let mut compared = Compared::default();
    let found = &mut compared.differences;
    let fields = noted(place, &task.team).await;
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
        return compared;
    }
    for (kept, of) in [
        ("Issues", Table::Issues),
        ("Iterations", Table::Iterations),
        ("ProjectMembers", Table::ProjectMembers),
    ]
    .into_iter()
    .filter_map(|(name, of)| Some((task.tables.iter().find(|table| table.name == name)?, of)))
    {
        let (name, key) = (kept.name, kept.key_field);
        let mut expected = BTreeMap::new();
        for project in projects {
            for (id, row) in truth(world, task, of, project, key) {
                if !task.filter.admits(kept.id, &serde_json::from_value(row.clone()).unwrap()) {
                    continue;
                }
                let mut cells: Vec<Expected> = match of {
                    Table::Issues => issue(&row, project_id(world, project)),
                    Table::Iterations => iteration(&row),
                    Table::ProjectMembers => member(&row),
                };
                for cell in &mut cells {
                    cell.0 = called(task.naming, &cell.0);
                }
                if of == Table::Issues {
                    cells.extend(customs(&row, made, &fields));
                }
                expected.insert((project.clone(), id), cells);
            }
        }
        let columns = expected.values().next().unwrap();
        let columns = columns.iter().map(|(name, kind, _)| (name.clone(), *kind));
        let Rows { mut alive, deleted } = read(place, task, projects, (name, key), columns).await;
        for (at, cells) in expected {
            compared.rows += 1;
            let Some(row) = alive.remove(&at) else {
                let so = if deleted.contains_key(&at) { "marked as deleted" } else { "missing" };
                found.push(format!("{name} {at:?} is {so}"));
                continue;
            };
            for (column, _, value) in cells {
                compared.fields += 1;
                if !same(&row[&column], &value) {
                    found.push(format!("{name} {at:?} {column}: target {}, truth {value}", row[&column]));
                }
            }
            if !row["_extra"].is_null() {
                found.push(format!("{name} {at:?} has something over: {}", row["_extra"]));
            }
        }
        found.extend(alive.keys().map(|at| format!("{name} {at:?} is too many")));
    }
    compared
}

/// A float may be spelled without its fraction.
fn same(target: &Value, truth: &Value) -> bool {
    target == truth || truth.is_f64() && target.as_f64() == truth.as_f64()
}

fn truth(world: &WorldHandle, task: &Task, table: Table, project: &str, key: &str) -> Vec<(i64, Value)> {
    let listed = table == Table::Issues && task.listed_only;
    let rows = world.truth(table, project, if listed { Shape::List } else { Shape::Full }).unwrap();
    rows.into_iter().map(|row| (row[key].as_i64().unwrap(), row)).collect()
}

/// The number of a project.
pub(crate) fn project_id(world: &WorldHandle, project: &str) -> i64 {
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
