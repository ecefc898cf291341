//! Compares a target, row by row and field by field, with the simulator's truth.
//! Shared by the tests of the connectors and of the binary.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::collections::BTreeMap;

use coding_sim::{Shape, Table as SimTable, WorldHandle};
use connectors::coding::tables::TABLES;
use engine::delivery::shape::{Naming, Shaper, Task};
use serde_json::{Map, Value};

use crate::place::Place;

/// Differences worth reading; more of them say nothing more.
const SHOWN: usize = 10;

/// Rows of a table by project and id, as they stand in the target.
pub(crate) type Rows = BTreeMap<(String, i64), Map<String, Value>>;

/// A target compared with the truth.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    /// Rows of the truth that were looked for.
    pub(crate) rows: usize,
    /// Their fields.
    pub(crate) fields: usize,
    /// Everything that differs, in words.
    pub(crate) differences: Vec<String>,
}

impl Compared {
    /// Fails where something differs.
    pub(crate) fn assert_equal(self) -> Compared {
        let Compared { rows, fields, differences } = &self;
        assert!(
            differences.is_empty(),
            "{} differences in {fields} fields of {rows} rows, among them:\n{}",
            differences.len(),
            differences.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("\n")
        );
        self
    }
}

/// Fails unless every row and field of the target equals the truth.
pub(crate) async fn assert_same(world: &WorldHandle, place: &Place, task: &Task) {
    compare(world, place, task).await.assert_equal();
}

/// Compares every row and field of the target with the truth.
pub(crate) async fn compare(world: &WorldHandle, place: &Place, task: &Task) -> Compared {
    let (mut found, mut rows, mut fields) = (Vec::new(), 0, 0);
    for (index, table) in task.tables.iter().enumerate() {
        let mut actual = read(place, task, index).await;
        for project in world.projects() {
            for mut truth in truth(world, task, table.name, &project) {
                let id = truth[table.key_field].as_i64().unwrap();
                let row: engine::row::Row = serde_json::from_value(truth.clone()).unwrap();
                if !task.filter.admits(table.id, &row) {
                    continue;
                }
                rows += 1;
                let place = format!("{} {project}/{id}", table.name);
                let Some(row) = actual.remove(&(project.clone(), id)) else {
                    found.push(format!("{place} is missing"));
                    continue;
                };
                mask(&mut truth);
                for (field, value) in truth.as_object().unwrap() {
                    fields += 1;
                    let known = field == table.key_field
                        || ["TeamName", "ProjectName", "ProjectId"].contains(&field.as_str())
                        || table.fields.iter().any(|known| known.name == field);
                    let actual = match known {
                        true => row.get(field),
                        false => row.get("_extra").and_then(|extra| extra.get(field)),
                    };
                    let actual = actual.cloned().unwrap_or_default();
                    if !same(&actual, value) {
                        found.push(format!("{place} {field}: target {actual}, truth {value}"));
                    }
                }
            }
        }
        found.extend(actual.keys().map(|(project, id)| format!("{} {project}/{id} is too many", table.name)));
    }
    Compared { rows, fields, differences: found }
}

/// The truth in the shape that the task delivers.
fn truth(world: &WorldHandle, task: &Task, table: &str, project: &str) -> Vec<Value> {
    let (table, shape) = match table {
        "Issues" => (SimTable::Issues, if task.listed_only { Shape::List } else { Shape::Full }),
        "Iterations" => (SimTable::Iterations, Shape::Full),
        _ => (SimTable::ProjectMembers, Shape::Full),
    };
    world.truth(table, project, shape).unwrap()
}

/// Temporary URLs differ at every look.
fn mask(row: &mut Value) {
    for file in row.get_mut("Files").and_then(Value::as_array_mut).into_iter().flatten() {
        file.as_object_mut().unwrap().remove("Url");
    }
}

/// Equal, but for the spelling of numbers and for keys that the truth was masked of.
fn same(actual: &Value, truth: &Value) -> bool {
    match (actual, truth) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            b.iter().all(|(key, truth)| a.get(key).is_some_and(|actual| same(actual, truth)))
        }
        _ => actual == truth,
    }
}

/// Reads a table of a task from the target; soft-deleted rows are left out.
pub(crate) async fn read(place: &Place, task: &Task, index: usize) -> Rows {
    let shaper = Shaper::new(task.clone());
    let originals = Shaper::new(Task { naming: Naming::Original, ..task.clone() });
    let (table, original) = (&shaper.tables()[index], &originals.tables()[index]);
    let key = TABLES.iter().find(|t| t.id == task.tables[index].id).unwrap().key_field;
    let mut found = Rows::new();
    for row in place.rows(table).await {
        if table.deleted_at.is_some_and(|at| !row[&table.columns[at].name].is_null()) {
            continue;
        }
        let names = table.columns.iter().zip(&original.columns);
        let fields: Map<String, Value> =
            names.map(|(column, original)| (original.name.clone(), row[&column.name].clone())).collect();
        let project = fields["ProjectName"].as_str().unwrap().to_owned();
        let id = fields[key].as_i64().unwrap();
        assert!(found.insert((project, id), fields).is_none(), "a key stands there once");
    }
    found
}
