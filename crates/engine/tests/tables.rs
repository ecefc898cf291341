//! The tables of an invented source, with a field of every kind and shape.

use engine::row::{ProjectId, RowId, RowKey};
use engine::schema::{Field, Kind, Shape, Table, TableId};
use proptest::test_runner::Config;

const fn field(name: &'static str, kind: Kind, shape: Shape) -> Field {
    Field { name, kind, shape }
}

/// Rows that can be looked up, and that show more when they are.
pub(crate) static THINGS: Table = Table {
    id: TableId(1),
    name: "ThingList",
    key_field: "Code",
    fields: &[
        field("Name", Kind::Text, Shape::Both),
        field("Count", Kind::Integer, Shape::Both),
        field("Share", Kind::Real, Shape::Both),
        field("Done", Kind::Boolean, Shape::Both),
        field("Owner", Kind::Json, Shape::Both),
        field("Labels", Kind::Json, Shape::Both),
        field("OwnerId", Kind::Integer, Shape::Listed),
        field("UpdatedAt", Kind::Integer, Shape::Both),
        field("Watchers", Kind::Json, Shape::Detail),
        field("Files", Kind::Json, Shape::Detail),
    ],
    updated_field: Some("UpdatedAt"),
    volatile: &[&["Files", "Url"], &["Labels", "Url"]],
    project_copy: None,
    look_up: true,
    newest_first: true,
    from_inbox: false,
    project_id_column: true,
    flat: &[],
    custom: None,
};

/// Rows that are only ever listed, without a time of their own.
pub(crate) static PEOPLE: Table = Table {
    id: TableId(2),
    name: "People",
    key_field: "Id",
    fields: &[field("Name", Kind::Text, Shape::Both), field("Roles", Kind::Json, Shape::Both)],
    updated_field: None,
    volatile: &[],
    project_copy: None,
    look_up: false,
    newest_first: false,
    from_inbox: false,
    project_id_column: true,
    flat: &[],
    custom: None,
};

/// A row of `table`.
pub(crate) fn key(table: &Table) -> RowKey {
    RowKey { table: table.id, project: ProjectId(7), id: RowId(1) }
}

/// So many cases, and no file of failures left behind: a failure prints its input.
pub(crate) fn cases(cases: u32) -> Config {
    Config { cases, failure_persistence: None, ..Config::default() }
}
