//! What a target gets of a row: every value, in a cell that can hold it or aside; and what a task wants.

use engine::clock::Moment;
use engine::delivery::filter::{Filter, Rule, Test};
use engine::delivery::shape::{Deletes, Delivered, Mode, Naming, Shaper, Task};
use engine::row::{Row, RowId};
use engine::schema::{Kind, Shape};
use engine::target::Cell;
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::tables::{PEOPLE, THINGS, cases};
use crate::values::{any_row, row};

fn task() -> Task {
    Task {
        name: "task".to_owned(),
        team: "acme".to_owned(),
        tables: vec![&PEOPLE, &THINGS],
        filter: Filter::default(),
        naming: Naming::Original,
        deletes: Deletes::Hard,
        mode: Mode::Document,
        listed_only: false,
        accept_deletes: false,
    }
}

/// Cells of a row of `THINGS`, by column.
fn cells(task: Task, row: &Row) -> Vec<(String, Kind, Cell)> {
    let shaper = Shaper::new(task);
    let delivered = Delivered {
        project: "mobile",
        row,
        id: RowId(5),
        project_id: 7,
        observed: Moment(10),
        detailed: None,
    };
    let cells = shaper.row(1, delivered, Timestamp::UNIX_EPOCH);
    let columns = &shaper.tables()[1].columns;
    assert_eq!(columns.len(), cells.len());
    columns.iter().zip(cells).map(|(column, cell)| (column.name.clone(), column.kind, cell)).collect()
}

/// What a cell says, as a JSON value.
fn read(kind: Kind, cell: &Cell) -> Value {
    match (kind, cell) {
        (_, Cell::Null) => Value::Null,
        (Kind::Boolean, Cell::Boolean(flag)) => json!(flag),
        (Kind::Integer, Cell::Integer(number)) => json!(number),
        (Kind::Real, Cell::Real(number)) => json!(number),
        (Kind::Text, Cell::Text(text)) => json!(&**text),
        (Kind::Json, Cell::Json(text)) => serde_json::from_str(text).unwrap(),
        (Kind::Timestamp, Cell::Timestamp(micros)) => json!(micros),
        (kind, cell) => panic!("a column of {kind:?} got {cell:?}"),
    }
}

/// Whether a cell of `kind` that reads `read` says what the source said.
fn says(kind: Kind, read: &Value, source: &Value) -> bool {
    let number = |value: &Value| match value {
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_f64(),
    };
    match (kind, source) {
        (Kind::Json, _) | (_, Value::Null) => read == source,
        (Kind::Text, Value::String(_)) => read == source,
        (Kind::Text, source) => *read == json!(source.to_string()),
        // "Unset", spelled as text.
        (_, Value::String(text)) if text.is_empty() => read.is_null(),
        (_, Value::Number(source)) if source.is_i64() && read.is_i64() => read.as_i64() == source.as_i64(),
        (_, Value::Number(source)) if !source.is_f64() && read.is_f64() => {
            format!("{:.0}", read.as_f64().unwrap()) == source.to_string()
        }
        (_, source) => number(read).is_some() && number(read) == number(source),
    }
}

proptest! {
    #![proptest_config(cases(400))]

    /// Every value of a row is in its cell, or in `_extra` where the cell cannot hold it.
    #[test]
    fn no_value_is_lost(row in any_row(), listed_only: bool) {
        let cells = cells(Task { listed_only, ..task() }, &row);
        let cell = |name: &str| cells.iter().find(|(column, ..)| column == name).unwrap();
        let extra: Map<String, Value> = match &cell("_extra").2 {
            Cell::Json(text) => serde_json::from_str(text).unwrap(),
            other => { prop_assert_eq!(other, &Cell::Null); Map::new() }
        };
        for (name, value) in row.fields() {
            let Some(field) = THINGS.fields.iter().find(|field| field.name == name) else {
                prop_assert_eq!(extra.get(name), Some(value).filter(|_| name != "Code"));
                continue;
            };
            let (_, kind, cell) = cell(name);
            if listed_only && field.shape == Shape::Detail {
                prop_assert_eq!((cell, extra.get(name)), (&Cell::Null, None));
            } else if let Some(aside) = extra.get(name) {
                prop_assert_eq!((cell, aside), (&Cell::Null, value));
            } else {
                prop_assert!(says(*kind, &read(*kind, cell), value), "{} as {:?} became {:?}", value, kind, cell);
            }
        }
        for field in THINGS.fields.iter().filter(|field| row.get(field.name).is_none()) {
            prop_assert_eq!(&cell(field.name).2, &Cell::Null);
        }
    }
}

#[test]
fn a_row_begins_with_its_key_and_ends_with_the_bookkeeping() {
    let row = row(json!({"Code": 5, "Name": "n", "Undeclared": [1]}));
    let cells = cells(Task { deletes: Deletes::Soft, naming: Naming::SnakeCase, ..task() }, &row);
    let find = |name: &str| cells.iter().find(|(column, ..)| column == name).unwrap().2.clone();
    assert_eq!(
        cells.iter().take(4).map(|(name, _, cell)| (name.as_str(), cell.clone())).collect::<Vec<_>>(),
        [
            ("team_name", Cell::Text("acme".into())),
            ("project_name", Cell::Text("mobile".into())),
            ("code", Cell::Integer(5)),
            ("project_id", Cell::Integer(7)),
        ]
    );
    assert_eq!(find("_observed_at"), Cell::Timestamp(10));
    assert_eq!(find("_synced_at"), Cell::Timestamp(0));
    assert_eq!(find("_detailed_at"), Cell::Null, "its look-up is pending");
    assert_eq!(find("_deleted_at"), Cell::Null, "it is alive");
    assert_eq!(find("_extra"), Cell::Json(r#"{"Undeclared":[1]}"#.into()));
}

#[test]
fn columns_are_called_as_the_task_wants() {
    let names = |task: Task| -> Vec<(String, Vec<String>)> {
        let shaper = Shaper::new(task);
        let columns =
            |table: &engine::target::TargetTable| table.columns.iter().map(|c| c.name.clone()).collect();
        shaper.tables().iter().map(|table| (table.name.clone(), columns(table))).collect()
    };
    let own = |columns: &[&str]| columns.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>();
    let snake = names(Task { naming: Naming::SnakeCase, deletes: Deletes::Soft, ..task() });
    assert_eq!(snake[0].0, "people");
    assert_eq!(snake[1].0, "thing_list");
    assert_eq!(
        snake[1].1,
        own(&[
            "team_name",
            "project_name",
            "code",
            "project_id",
            "name",
            "count",
            "share",
            "done",
            "owner",
            "labels",
            "owner_id",
            "updated_at",
            "watchers",
            "files",
            "_observed_at",
            "_synced_at",
            "_detailed_at",
            "_deleted_at",
            "_extra",
        ])
    );
    let original = names(task());
    assert_eq!(original[1].0, "ThingList");
    assert_eq!(
        original[0].1,
        own(&[
            "TeamName",
            "ProjectName",
            "Id",
            "ProjectId",
            "Name",
            "Roles",
            "_observed_at",
            "_synced_at",
            "_detailed_at",
            "_extra",
        ])
    );
    let shaper = Shaper::new(Task { deletes: Deletes::Soft, ..task() });
    let table = &shaper.tables()[1];
    assert_eq!(table.columns[table.deleted_at.unwrap()].name, "_deleted_at");
    assert_eq!(table.columns[table.synced_at].name, "_synced_at");
}

/// Invariant 7: whatever shapes the target is in the fingerprint, and nothing else.
#[test]
fn a_fingerprint_covers_what_shapes_the_target() {
    let print = |task: Task| Shaper::new(task).fingerprint();
    let same = print(task());
    assert_eq!(print(Task { name: "other".to_owned(), ..task() }), same);
    let rule = Rule { table: THINGS.id, any: vec![Test::Number(&["Count"], 1)] };
    let different = [
        Task { team: "other".to_owned(), ..task() },
        Task { tables: vec![&THINGS], ..task() },
        Task { tables: vec![&THINGS, &PEOPLE], ..task() },
        Task { filter: Filter(vec![rule]), ..task() },
        Task { naming: Naming::SnakeCase, ..task() },
        Task { deletes: Deletes::Soft, ..task() },
        Task { listed_only: true, ..task() },
    ];
    for (index, task) in different.into_iter().enumerate() {
        assert_ne!(print(task), same, "number {index}");
    }
}

#[test]
fn a_row_must_pass_every_rule_about_its_table() {
    let rule = |any| Rule { table: THINGS.id, any };
    let filter = Filter(vec![
        rule(vec![Test::Number(&["Owner", "Id"], 3), Test::Number(&["Owner", "Id"], 4)]),
        rule(vec![Test::Text(&["Name"], "a".to_owned())]),
    ]);
    let check = |value: Value, expected| assert_eq!(filter.admits(THINGS.id, &row(value)), expected);
    check(json!({"Owner": {"Id": "4"}, "Name": "a"}), true);
    check(json!({"Owner": {"Id": 34}, "Name": "a"}), false);
    check(json!({"Owner": {"Id": 3}, "Name": "b"}), false);
    assert!(filter.admits(PEOPLE.id, &row(json!({}))), "it says nothing of other tables");
    assert!(
        !Filter(vec![rule(vec![])]).admits(THINGS.id, &row(json!({}))),
        "nothing passes a rule without tests"
    );
}
