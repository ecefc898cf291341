//! Copies of other rows inside an issue: its parent, its epic, its sub-tasks, names of its iteration and of
//! people. When the original changes, CODING shows the copies anew without a new `UpdatedAt`; here they are
//! made true from the mirror, so that no request is spent on them.
//!
//! The newer observation wins: a copy is renewed only from an original that was observed after the look that
//! brought the copy.

use engine::clock::Moment;
use engine::journal::{MirrorRow, Reference};
use engine::row::{Row, RowId, RowKey};
use engine::schema::{Table, TableId};
use engine::source::{Holders, Originals};
use serde_json::{Map, Value};

use super::tables::{ISSUES, ITERATIONS, PROJECT_MEMBERS};

/// What copies of an issue carry.
const ISSUE_COPY: [&str; 8] = [
    "Type",
    "Name",
    "IssueStatusId",
    "IssueStatusName",
    "IssueStatusType",
    "Priority",
    "Assignee",
    "IssueTypeDetail",
];
/// What an entry of `SubTasks` carries.
const SUB_TASK: [&str; 7] =
    ["Code", "Name", "Type", "Priority", "IssueStatusId", "IssueStatusName", "Assignee"];
/// What copies of an iteration carry.
const ITERATION_COPY: [&str; 3] = ["Id", "Name", "Status"];
/// What copies of a person carry, as far as members show it too.
const PERSON_COPY: [&str; 3] = ["Name", "Avatar", "Status"];

/// The rows that `row` names, for finding it when they change.
pub(super) fn references(table: &Table, row: &Row) -> Vec<Reference> {
    if table.id != ISSUES {
        return Vec::new();
    }
    let named =
        [(ITERATIONS, code_of(row, "Iteration")), (ISSUES, parent_code(row)), (ISSUES, code_of(row, "Epic"))];
    let sub_tasks = row.ids("SubTasks", &["Code"]).into_iter().map(|code| (ISSUES, Some(code)));
    let mut references: Vec<Reference> = named
        .into_iter()
        .chain(sub_tasks)
        .filter_map(|(table, code)| Some(Reference { table, id: RowId(code?) }))
        .collect();
    references.sort_unstable();
    references.dedup();
    references
}

/// Which rows may hold copies of a row that changed.
pub(super) fn holders(key: RowKey, before: Option<&Row>, after: Option<&Row>) -> Holders {
    let changed = |fields: &[&str]| match (before, after) {
        (Some(before), Some(after)) => fields.iter().any(|field| before.get(field) != after.get(field)),
        _ => true,
    };
    let referrers = Some(Reference { table: key.table, id: key.id });
    match key.table {
        // An issue that changed and changed back has another time of update: a copy may be of what was between.
        ISSUES
            if changed(&ISSUE_COPY)
                || changed(&["UpdatedAt"])
                || before.and_then(parent_code) != after.and_then(parent_code) =>
        {
            let parents = [before.and_then(parent_code), after.and_then(parent_code)];
            let mut keys: Vec<RowKey> = parents.into_iter().flatten().map(|code| issue(key, code)).collect();
            keys.dedup();
            Holders { keys, referrers, scan: Vec::new() }
        }
        ITERATIONS if changed(&ITERATION_COPY) => Holders { keys: Vec::new(), referrers, scan: Vec::new() },
        // Who leaves a project keeps the name. Who joins it may have been called otherwise when copies were made: what
        // people are called while they are away, nobody shows.
        PROJECT_MEMBERS if after.is_some() && changed(&PERSON_COPY) => {
            Holders { keys: Vec::new(), referrers: None, scan: vec![ISSUES] }
        }
        _ => Holders::default(),
    }
}

/// Which rows `row` holds copies of: those that it shows, and children that it may lack.
pub(super) fn relatives(key: RowKey, row: &Row) -> Originals {
    let is_epic = row.look("Type").is_some_and(|kind| *kind == "EPIC");
    let may_have_children = row.raw("SubTasks").is_some() && !is_epic;
    let referrers = Reference { table: key.table, id: key.id };
    Originals { keys: shown(key, row), referrers: may_have_children.then_some(referrers) }
}

/// Rows whose copies `row` may show: where it is of another shape than the API's, it may name some for nothing.
fn shown(key: RowKey, row: &Row) -> Vec<RowKey> {
    if key.table != ISSUES {
        return Vec::new();
    }
    let copies: [(TableId, &str, &[&str]); 10] = [
        (ITERATIONS, "Iteration", &["Code"]),
        (ISSUES, "Epic", &["Code"]),
        (ISSUES, "SubTasks", &["Code"]),
        (PROJECT_MEMBERS, "SubTasks", &["Assignee", "Id"]),
        (PROJECT_MEMBERS, "Epic", &["Assignee", "Id"]),
        (PROJECT_MEMBERS, "Parent", &["Assignee", "Id"]),
        (PROJECT_MEMBERS, "Assignee", &["Id"]),
        (PROJECT_MEMBERS, "Creator", &["Id"]),
        (PROJECT_MEMBERS, "Watchers", &["Id"]),
        (PROJECT_MEMBERS, "Assignees", &["Id"]),
    ];
    let copies = copies.into_iter().flat_map(|(table, field, path)| {
        let ids = row.ids(field, path).into_iter();
        ids.map(move |id| RowKey { table, project: key.project, id: RowId(id) })
    });
    parent_code(row).map(|code| issue(key, code)).into_iter().chain(copies).collect()
}

/// `holder` with its copies of `other` made true; `None` when they are.
pub(super) fn renew(holder: &MirrorRow, other: &MirrorRow) -> Option<Row> {
    let before = holder.row.as_ref()?;
    if holder.key.table != ISSUES || holder.key.project != other.key.project || holder.key == other.key {
        return None;
    }
    // Each copy is renewed only by what is newer than one of the looks.
    if !newer_than_all(holder, other) && !newer_than_detail(holder, other) {
        return None;
    }
    // Most pairs of a scan have nothing to do with each other; copying the row is the dear part.
    if !shown(holder.key, before).contains(&other.key) && !has_child(before, other) {
        return None;
    }
    let mut row = before.clone();
    match other.key.table {
        ITERATIONS => renew_iteration(&mut row, holder, other),
        ISSUES => renew_issue(&mut row, holder, other),
        PROJECT_MEMBERS => renew_person(&mut row, holder, other),
        _ => {}
    }
    (row != *before).then_some(row)
}

/// Whether `other` says that it is a child of the row.
fn has_child(row: &Row, other: &MirrorRow) -> bool {
    let code = other.row.as_ref().and_then(parent_code);
    other.key.table == ISSUES && code.is_some() && code == row.integer("Code")
}

/// Whether `other` was observed after the look-up that brought the holder's copies.
fn newer_than_detail(holder: &MirrorRow, other: &MirrorRow) -> bool {
    holder.version.looked_up > Moment(0) && other.version.observed > holder.version.looked_up
}

/// Whether `other` was observed after every look at the holder.
fn newer_than_all(holder: &MirrorRow, other: &MirrorRow) -> bool {
    other.version.observed > holder.version.listed.max(holder.version.looked_up)
}

fn renew_iteration(row: &mut Row, holder: &MirrorRow, other: &MirrorRow) {
    if code_of(row, "Iteration") != Some(other.key.id.0) || !newer_than_all(holder, other) {
        return;
    }
    let Some(copy) = row.fields_mut().get_mut("Iteration").and_then(Value::as_object_mut) else { return };
    match &other.row {
        Some(iteration) => patch(copy, iteration.fields(), &ITERATION_COPY),
        None => {
            copy.values_mut().for_each(unset);
            row.fields_mut().insert("IterationId".to_owned(), Value::from(0));
        }
    }
}

fn renew_issue(row: &mut Row, holder: &MirrorRow, other: &MirrorRow) {
    let id = other.key.id.0;
    let is_parent = parent_code(row) == Some(id);
    if is_parent && newer_than_all(holder, other) {
        match &other.row {
            Some(parent) => {
                if let (true, Some(parent_type)) =
                    (row.fields().contains_key("ParentType"), parent.get("Type"))
                {
                    row.fields_mut().insert("ParentType".to_owned(), parent_type.clone());
                }
            }
            None => {
                // An issue without a parent has its own type there.
                let own = row.get("Type").cloned().unwrap_or_default();
                for (field, value) in
                    [("ParentCode", Value::from(0)), ("ParentId", Value::from(0)), ("ParentType", own)]
                {
                    if let Some(slot) = row.fields_mut().get_mut(field) {
                        *slot = value;
                    }
                }
            }
        }
    }
    if !newer_than_detail(holder, other) {
        return;
    }
    for field in ["Parent", "Epic"] {
        if code_of(row, field) != Some(id) {
            continue;
        }
        let Some(copy) = row.fields_mut().get_mut(field).and_then(Value::as_object_mut) else { continue };
        match &other.row {
            Some(original) => patch(copy, original.fields(), &ISSUE_COPY),
            None => copy.values_mut().for_each(unset),
        }
    }
    renew_sub_task(row, holder, other);
}

fn renew_sub_task(row: &mut Row, holder: &MirrorRow, other: &MirrorRow) {
    let id = other.key.id.0;
    let child = other.row.as_ref().filter(|child| parent_code(child) == Some(holder.key.id.0));
    let Some(sub_tasks) = row.fields_mut().get_mut("SubTasks").and_then(Value::as_array_mut) else { return };
    let place = sub_tasks.iter().position(|entry| number(entry.get("Code")) == Some(id));
    match (child, place) {
        (Some(child), Some(place)) => {
            if let Some(entry) = sub_tasks.get_mut(place).and_then(Value::as_object_mut) {
                patch(entry, child.fields(), &ISSUE_COPY);
            }
        }
        // Until the child was looked up its assignee is not known in full; then it comes by again.
        (Some(child), None) if child.get("Assignee").is_some_and(Value::is_object) => {
            let fields = SUB_TASK.iter();
            let entry: Map<String, Value> =
                fields.filter_map(|field| Some(((*field).to_owned(), child.get(field)?.clone()))).collect();
            let place = sub_tasks.iter().take_while(|entry| number(entry.get("Code")) < Some(id)).count();
            sub_tasks.insert(place, Value::Object(entry));
        }
        (None, Some(place)) => {
            sub_tasks.remove(place);
        }
        _ => {}
    }
}

fn renew_person(row: &mut Row, holder: &MirrorRow, other: &MirrorRow) {
    let Some(person) = &other.row else { return };
    let id = other.key.id.0;
    let renew = |value: &mut Value| {
        if let Some(copy) = value.as_object_mut()
            && number(copy.get("Id")) == Some(id)
        {
            patch(copy, person.fields(), &PERSON_COPY);
        }
    };
    if newer_than_all(holder, other)
        && let Some(people) = row.fields_mut().get_mut("Assignees").and_then(Value::as_array_mut)
    {
        people.iter_mut().for_each(renew);
    }
    if !newer_than_detail(holder, other) {
        return;
    }
    for field in ["Assignee", "Creator"] {
        row.fields_mut().get_mut(field).into_iter().for_each(renew);
    }
    for field in ["Epic", "Parent"] {
        row.fields_mut().get_mut(field).and_then(|copy| copy.get_mut("Assignee")).into_iter().for_each(renew);
    }
    for (field, inside) in [("Watchers", None), ("SubTasks", Some("Assignee"))] {
        let Some(list) = row.fields_mut().get_mut(field).and_then(Value::as_array_mut) else { continue };
        for entry in list {
            match inside {
                None => renew(entry),
                Some(inside) => entry.get_mut(inside).into_iter().for_each(renew),
            }
        }
    }
}

/// Takes over the fields that both sides carry.
fn patch(copy: &mut Map<String, Value>, original: &Map<String, Value>, fields: &[&str]) {
    for field in fields {
        if let (Some(slot), Some(value)) = (copy.get_mut(*field), original.get(*field)) {
            match (slot, value) {
                // A person inside a copy: its own keys stay as they are where the original lacks them.
                (Value::Object(slot), Value::Object(value)) if slot.len() > value.len() => {
                    for (key, value) in value {
                        slot.insert(key.clone(), value.clone());
                    }
                }
                (slot, value) => *slot = value.clone(),
            }
        }
    }
}

/// The value in the API's spelling of "unset", whatever it was.
fn unset(value: &mut Value) {
    match value {
        Value::Null => {}
        Value::Bool(flag) => *flag = false,
        Value::Number(_) => *value = Value::from(0),
        Value::String(text) => text.clear(),
        Value::Array(items) => items.clear(),
        Value::Object(map) => map.values_mut().for_each(unset),
    }
}

fn number(value: Option<&Value>) -> Option<i64> {
    value.and_then(engine::row::integer).filter(|number| *number != 0)
}

pub(super) fn code_of(row: &Row, field: &str) -> Option<i64> {
    row.ids(field, &["Code"]).first().copied()
}

/// The code of an issue's parent, from whichever shape says it.
pub(super) fn parent_code(row: &Row) -> Option<i64> {
    match row.integer("ParentCode") {
        Some(code) => (code != 0).then_some(code),
        None => code_of(row, "Parent"),
    }
}

fn issue(of: RowKey, code: i64) -> RowKey {
    RowKey { table: ISSUES, project: of.project, id: RowId(code) }
}

#[cfg(test)]
mod tests;
