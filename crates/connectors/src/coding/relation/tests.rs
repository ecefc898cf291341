//! Copies of other rows, when the originals change: which rows are looked at, and what becomes of them.

use engine::journal::{Detail, Version};
use engine::position::Sequence;
use engine::row::ProjectId;
use serde_json::json;

use super::super::tables::TABLES;
use super::*;

/// When the original of a test was observed; holders were seen before or after.
const ORIGINAL: i64 = 100;
const BEFORE: i64 = 50;
const AFTER: i64 = 150;

fn key(table: TableId, id: i64) -> RowKey {
    RowKey { table, project: ProjectId(1), id: RowId(id) }
}

fn row(value: Value) -> Row {
    serde_json::from_value(value).unwrap()
}

fn mirrored(key: RowKey, listed: i64, looked_up: i64, row: Option<Value>) -> MirrorRow {
    let version = Version {
        sequence: Sequence(1),
        inserted: Sequence(1),
        first_detail: Sequence(0),
        listed_digest: None,
        listed: Moment(listed),
        looked_up: Moment(looked_up),
        observed: Moment(listed.max(looked_up)),
        updated_ms: 0,
        detail: Detail::Done,
    };
    MirrorRow { key, version, row: row.map(self::row) }
}

/// Issue 1, looked up before the originals changed.
fn holder(row: Value) -> MirrorRow {
    mirrored(key(ISSUES, 1), BEFORE, BEFORE, Some(row))
}

/// A row as it was observed later than the holder.
fn original(table: TableId, id: i64, row: Value) -> MirrorRow {
    mirrored(key(table, id), ORIGINAL, 0, Some(row))
}

fn deleted(table: TableId, id: i64) -> MirrorRow {
    mirrored(key(table, id), ORIGINAL, 0, None)
}

/// Asks for the holder's row after `other` changed, and whether that is stable.
fn check(holder: &MirrorRow, other: &MirrorRow, expected: Option<Value>) {
    let renewed = renew(holder, other);
    assert_eq!(renewed.as_ref().map(|row| json!(row)), expected);
    if let Some(renewed) = renewed {
        let again = MirrorRow { row: Some(renewed), ..holder.clone() };
        assert_eq!(renew(&again, other), None, "once is enough");
    }
}

fn person(id: i64, name: &str) -> Value {
    json!({"Id": id, "Name": name, "Avatar": "/a", "Status": 1, "Email": ""})
}

fn parent_copy(code: i64, name: &str) -> Value {
    json!({
        "Code": code, "Type": "REQUIREMENT", "Name": name, "IssueStatusId": 3, "IssueStatusName": "todo",
        "IssueStatusType": "TODO", "Priority": "1", "Assignee": person(7, "Li"),
        "IssueTypeDetail": {"Id": 2, "Name": "Story", "IssueType": "REQUIREMENT"},
    })
}

fn child_of(code: i64) -> Value {
    json!({
        "Code": 1, "Type": "SUB_TASK", "ParentCode": code, "ParentId": 900, "ParentType": "REQUIREMENT",
        "Parent": parent_copy(code, "old"),
    })
}

fn sub_task(code: i64, name: &str) -> Value {
    json!({
        "Code": code, "Name": name, "Type": "SUB_TASK", "Priority": "1", "IssueStatusId": 3,
        "IssueStatusName": "todo", "Assignee": person(7, "Li"),
    })
}

/// An issue as the mirror has it, child of `parent`.
fn issue_row(code: i64, name: &str, parent: i64) -> Value {
    let mut row = sub_task(code, name);
    for (field, value) in
        [("ParentCode", json!(parent)), ("Description", json!("long")), ("IssueStatusType", json!("TODO"))]
    {
        row.as_object_mut().unwrap().insert(field.to_owned(), value);
    }
    row
}

fn with(mut row: Value, changes: Value) -> Value {
    for (field, value) in changes.as_object().unwrap() {
        row.as_object_mut().unwrap().insert(field.clone(), value.clone());
    }
    row
}

#[test]
fn a_parent_is_renamed() {
    let holder = holder(child_of(5));
    let parent = |changes| original(ISSUES, 5, with(issue_row(5, "new", 0), changes));
    let mut copy = with(parent_copy(5, "new"), json!({"Type": "REQUIREMENT"}));
    check(&holder, &parent(json!({"Type": "REQUIREMENT"})), Some(with(child_of(5), json!({"Parent": copy}))));
    // Its type shows in two places.
    copy = with(copy, json!({"Type": "EPIC"}));
    let expected = with(child_of(5), json!({"Parent": copy, "ParentType": "EPIC"}));
    check(&holder, &parent(json!({"Type": "EPIC"})), Some(expected));
}

#[test]
fn a_person_in_a_parent_is_replaced_by_another() {
    let parent = original(ISSUES, 5, json!({"Code": 5, "Name": "old", "Assignee": person(8, "Wu")}));
    let copy = with(parent_copy(5, "old"), json!({"Assignee": person(8, "Wu")}));
    check(&holder(child_of(5)), &parent, Some(with(child_of(5), json!({"Parent": copy}))));
}

#[test]
fn a_parent_is_deleted() {
    let expected = json!({
        "Code": 1, "Type": "SUB_TASK", "ParentCode": 0, "ParentId": 0, "ParentType": "SUB_TASK",
        "Parent": {
            "Code": 0, "Type": "", "Name": "", "IssueStatusId": 0, "IssueStatusName": "", "IssueStatusType": "",
            "Priority": "", "Assignee": {"Id": 0, "Name": "", "Avatar": "", "Status": 0, "Email": ""},
            "IssueTypeDetail": {"Id": 0, "Name": "", "IssueType": ""},
        },
    });
    check(&holder(child_of(5)), &deleted(ISSUES, 5), Some(expected));
    check(&holder(child_of(5)), &deleted(ISSUES, 6), None);
}

#[test]
fn an_epic_is_renamed_or_deleted() {
    let row =
        json!({"Code": 1, "Epic": {"Code": 9, "Type": "EPIC", "Name": "old", "Assignee": person(7, "Li")}});
    let epic = original(ISSUES, 9, issue_row(9, "new", 0));
    let renamed = json!({"Code": 9, "Type": "SUB_TASK", "Name": "new", "Assignee": person(7, "Li")});
    check(&holder(row.clone()), &epic, Some(json!({"Code": 1, "Epic": renamed})));
    let nobody = json!({"Id": 0, "Name": "", "Avatar": "", "Status": 0, "Email": ""});
    let unset = json!({"Code": 0, "Type": "", "Name": "", "Assignee": nobody});
    check(&holder(row), &deleted(ISSUES, 9), Some(json!({"Code": 1, "Epic": unset})));
}

#[test]
fn sub_tasks_come_go_and_stay_in_order() {
    let parent = |codes: &[i64]| {
        let entries: Vec<Value> = codes.iter().map(|code| sub_task(*code, "s")).collect();
        json!({"Code": 1, "SubTasks": entries})
    };
    for (before, after) in [(&[2, 8][..], &[2, 5, 8][..]), (&[], &[5]), (&[6], &[5, 6]), (&[2], &[2, 5])] {
        check(&holder(parent(before)), &original(ISSUES, 5, issue_row(5, "s", 1)), Some(parent(after)));
        // It was deleted, or belongs to another parent now.
        check(&holder(parent(after)), &deleted(ISSUES, 5), Some(parent(before)));
        check(&holder(parent(after)), &original(ISSUES, 5, issue_row(5, "s", 3)), Some(parent(before)));
        check(&holder(parent(before)), &original(ISSUES, 5, issue_row(5, "s", 3)), None);
    }
    let mut renamed = parent(&[2, 5]);
    renamed["SubTasks"][1]["Name"] = json!("new");
    check(&holder(parent(&[2, 5])), &original(ISSUES, 5, issue_row(5, "new", 1)), Some(renamed));
}

/// Listings say only the assignee's id: the entry waits for the child's look-up.
#[test]
fn a_sub_task_is_not_entered_before_it_was_looked_up() {
    let mut listed = issue_row(5, "s", 1);
    listed.as_object_mut().unwrap().remove("Assignee");
    check(&holder(json!({"Code": 1, "SubTasks": []})), &original(ISSUES, 5, listed), None);
}

#[test]
fn an_iteration_is_renamed_or_deleted() {
    let row = json!({"Code": 1, "IterationId": 40, "Iteration": {"Id": 40, "Code": 4, "Name": "old", "Status": "PROCESSING"}});
    let iteration = original(
        ITERATIONS,
        4,
        json!({"Code": 4, "Id": 40, "Name": "new", "Status": "COMPLETED", "Goal": "g"}),
    );
    let renamed = json!({"Id": 40, "Code": 4, "Name": "new", "Status": "COMPLETED"});
    check(&holder(row.clone()), &iteration, Some(with(row.clone(), json!({"Iteration": renamed}))));
    let unset =
        json!({"Code": 1, "IterationId": 0, "Iteration": {"Id": 0, "Code": 0, "Name": "", "Status": ""}});
    check(&holder(row.clone()), &deleted(ITERATIONS, 4), Some(unset));
    check(&holder(row), &deleted(ITERATIONS, 40), None);
}

#[test]
fn a_person_is_renamed_in_every_place() {
    let everywhere = |name: &str| {
        json!({
            "Code": 1,
            "Assignee": person(7, name), "Creator": person(7, name), "Assignees": [person(7, name), person(8, "Wu")],
            "Watchers": [person(8, "Wu"), person(7, name)],
            "Parent": with(parent_copy(5, "p"), json!({"Assignee": person(7, name)})),
            "Epic": {"Code": 9, "Assignee": person(7, name)},
            "SubTasks": [with(sub_task(3, "s"), json!({"Assignee": person(7, name)}))],
        })
    };
    let member = original(
        PROJECT_MEMBERS,
        7,
        json!({"Id": 7, "Name": "Zhang", "Avatar": "/a", "Status": 1, "Email": "z@x"}),
    );
    // What members show beyond that (the address) is not part of the copies.
    check(&holder(everywhere("Li")), &member, Some(everywhere("Zhang")));
    check(&holder(everywhere("Li")), &deleted(PROJECT_MEMBERS, 7), None);
}

/// A copy that was seen after the original stays: it is the newer observation.
#[test]
fn the_newer_copy_stays() {
    let originals = [
        original(ISSUES, 5, issue_row(5, "new", 0)),
        deleted(ISSUES, 5),
        original(ITERATIONS, 4, json!({"Code": 4, "Name": "new"})),
        deleted(ITERATIONS, 4),
        original(PROJECT_MEMBERS, 7, person(7, "Zhang")),
        original(ISSUES, 3, issue_row(3, "new", 1)),
    ];
    let row = with(
        child_of(5),
        json!({"Iteration": {"Code": 4, "Name": "old"}, "Assignee": person(7, "Li"), "SubTasks": [sub_task(3, "old")]}),
    );
    for other in &originals {
        check(&mirrored(key(ISSUES, 1), BEFORE, AFTER, Some(row.clone())), other, None);
        assert!(renew(&holder(row.clone()), other).is_some(), "an older one does not: {other:?}");
    }
    // A listing shows the iteration, so a later one wins; parents in full come with look-ups only.
    let listed_later = mirrored(key(ISSUES, 1), AFTER, BEFORE, Some(row.clone()));
    check(&listed_later, &originals[2], None);
    assert!(renew(&listed_later, &originals[0]).is_some());
}

/// What only look-ups show is not invented for a row that was never looked up.
#[test]
fn rows_without_detail_stay_without_it() {
    let listed = |row: Value| mirrored(key(ISSUES, 1), BEFORE, 0, Some(row));
    let bare =
        json!({"Code": 1, "Type": "SUB_TASK", "ParentCode": 5, "ParentId": 9, "ParentType": "MISSION"});
    check(&listed(bare.clone()), &original(ISSUES, 3, issue_row(3, "s", 1)), None);
    check(&listed(bare.clone()), &original(PROJECT_MEMBERS, 7, person(7, "Zhang")), None);
    // What listings show of the parent is made true all the same.
    let parent = original(ISSUES, 5, issue_row(5, "p", 0));
    check(&listed(bare.clone()), &parent, Some(with(bare.clone(), json!({"ParentType": "SUB_TASK"}))));
    let orphan = json!({"ParentCode": 0, "ParentId": 0, "ParentType": "SUB_TASK"});
    check(&listed(bare.clone()), &deleted(ISSUES, 5), Some(with(bare, orphan)));
    let iteration = json!({"Code": 1, "Iteration": {"Code": 4, "Name": "old"}});
    let renamed = original(ITERATIONS, 4, json!({"Code": 4, "Id": 40, "Name": "new"}));
    check(&listed(iteration), &renamed, Some(json!({"Code": 1, "Iteration": {"Code": 4, "Name": "new"}})));
}

#[test]
fn only_rows_of_the_same_project_hold_copies() {
    let holder = holder(child_of(5));
    let mut other = deleted(ISSUES, 5);
    other.key.project = ProjectId(2);
    check(&holder, &other, None);
    check(&holder, &holder, None);
    let tombstone = MirrorRow { row: None, ..holder };
    check(&tombstone, &deleted(ISSUES, 5), None);
}

fn asked(key: RowKey, before: Option<Value>, after: Option<Value>) -> (Vec<i64>, bool, Vec<TableId>) {
    let found = holders(key, before.map(row).as_ref(), after.map(row).as_ref());
    (found.keys.iter().map(|key| key.id.0).collect(), found.referrers.is_some(), found.scan)
}

/// Who moves from one parent to another leaves the old one's sub-tasks and enters the new one's.
#[test]
fn both_parents_hold_copies_of_a_row_that_moves() {
    let child = |parent| Some(issue_row(5, "s", parent));
    assert_eq!(asked(key(ISSUES, 5), child(1), child(2)), (vec![1, 2], true, vec![]));
    assert_eq!(asked(key(ISSUES, 5), None, child(2)), (vec![2], true, vec![]));
    assert_eq!(asked(key(ISSUES, 5), child(1), None), (vec![1], true, vec![]));
    assert_eq!(asked(key(ISSUES, 5), child(0), child(2)), (vec![2], true, vec![]));
    let parents = |code| json!({"Code": 1, "SubTasks": [sub_task(code, "s")]});
    let moved = original(ISSUES, 5, issue_row(5, "s", 2));
    check(&holder(parents(5)), &moved, Some(json!({"Code": 1, "SubTasks": []})));
    let new_parent = mirrored(key(ISSUES, 2), BEFORE, BEFORE, Some(json!({"Code": 2, "SubTasks": []})));
    check(&new_parent, &moved, Some(json!({"Code": 2, "SubTasks": [sub_task(5, "s")]})));
}

/// Nothing is searched for when nothing that is copied changed.
#[test]
fn changes_that_no_copy_shows_concern_nobody() {
    let nobody = (vec![], false, vec![]);
    let issue = |text: &str| Some(with(issue_row(5, "s", 1), json!({"Description": text})));
    assert_eq!(asked(key(ISSUES, 5), issue("a"), issue("b")), nobody);
    // Unless it was another in between: then it has another time of update.
    let again = |at: i64| Some(with(issue_row(5, "s", 1), json!({"UpdatedAt": at})));
    assert_eq!(asked(key(ISSUES, 5), again(1), again(2)), (vec![1], true, vec![]));
    let iteration = |goal: &str| Some(json!({"Code": 4, "Id": 40, "Name": "n", "Goal": goal}));
    assert_eq!(asked(key(ITERATIONS, 4), iteration("a"), iteration("b")), nobody);
    assert_eq!(asked(key(ITERATIONS, 4), iteration("a"), None), (vec![], true, vec![]));
    let member = |name: &str, roles: i64| Some(json!({"Id": 7, "Name": name, "Roles": [roles]}));
    assert_eq!(asked(key(PROJECT_MEMBERS, 7), member("Li", 1), member("Li", 2)), nobody);
    assert_eq!(asked(key(PROJECT_MEMBERS, 7), member("Li", 1), None), nobody);
    for before in [member("Li", 1), None] {
        let after = member("Wu", 1);
        assert_eq!(asked(key(PROJECT_MEMBERS, 7), before, after), (vec![], false, vec![ISSUES]));
    }
}

#[test]
fn a_row_names_those_whose_copies_it_holds() {
    let issues = TABLES.iter().find(|table| table.id == ISSUES).unwrap();
    let issue = row(json!({
        "Code": 1, "Iteration": {"Code": 4}, "ParentCode": 5, "Parent": {"Code": 5}, "Epic": {"Code": 9},
        "SubTasks": [sub_task(3, "s")], "Assignee": person(7, "Li"), "Creator": person(8, "Wu"),
        "Watchers": [person(6, "Xu")], "Assignees": [person(7, "Li")],
    }));
    let reference = |table, id| Reference { table, id: RowId(id) };
    let named = [reference(ISSUES, 3), reference(ISSUES, 5), reference(ISSUES, 9), reference(ITERATIONS, 4)];
    assert_eq!(references(issues, &issue), named);
    let Originals { keys: related, referrers } = relatives(key(ISSUES, 1), &issue);
    assert_eq!(referrers, Some(reference(ISSUES, 1)), "a child may be missing");
    for (table, id) in [
        (ITERATIONS, 4),
        (ISSUES, 5),
        (ISSUES, 9),
        (ISSUES, 3),
        (PROJECT_MEMBERS, 7),
        (PROJECT_MEMBERS, 8),
        (PROJECT_MEMBERS, 6),
    ] {
        assert!(related.contains(&key(table, id)), "{table:?} {id}");
    }
    let unset = row(
        json!({"Code": 1, "Iteration": {"Code": 0}, "ParentCode": 0, "Epic": {"Code": 0}, "Assignee": {"Id": 0}}),
    );
    let nobody = Originals::default();
    assert_eq!((references(issues, &unset), relatives(key(ISSUES, 1), &unset)), (vec![], nobody));
    assert_eq!(references(&TABLES[0], &issue), vec![], "only issues hold copies");
}
