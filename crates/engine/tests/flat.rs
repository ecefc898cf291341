//! Flat mode: what each column takes out of a row, that nothing is lost or invented on the way, and that a custom
//! field keeps the column it once had.

use std::collections::{BTreeMap, BTreeSet};

use engine::clock::Moment;
use engine::custom::{CustomField, CustomFields, Holds};
use engine::delivery::filter::Filter;
use engine::delivery::shape::{Deletes, Delivered, Mode, Naming, Shaper, Task};
use engine::row::{Row, RowId};
use engine::schema::{CustomValues, Field, FlatColumn, Kind, Path, Shape, Table, TableId, Take};
use engine::target::{Cell, StoredField};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::tables::cases;
use crate::values::{any_row, row, value};

const fn field(name: &'static str, kind: Kind, shape: Shape) -> Field {
    Field { name, kind, shape }
}

const fn column(name: &'static str, kind: Kind, from: &'static [Path], zero: bool) -> FlatColumn {
    FlatColumn { name, kind, take: Take::First(from), zero }
}

const fn text(name: &'static str, take: Take) -> FlatColumn {
    FlatColumn { name, kind: Kind::Text, take, zero: false }
}

const OWNER: &[Path] = &[&["OwnerId"], &["Owner", "Id"]];
const PARENT: &[Path] = &[&["ParentCode"], &["Parent", "Code"]];

/// A table with a column of every sort.
static SHEET: Table = Table {
    id: TableId(1),
    name: "SheetRows",
    key_field: "Code",
    fields: &[
        field("Name", Kind::Text, Shape::Both),
        field("Count", Kind::Integer, Shape::Both),
        field("Share", Kind::Text, Shape::Both),
        field("Level", Kind::Text, Shape::Both),
        field("OwnerId", Kind::Integer, Shape::Listed),
        field("Owner", Kind::Json, Shape::Detail),
        field("Owners", Kind::Json, Shape::Both),
        field("ParentCode", Kind::Integer, Shape::Listed),
        field("Parent", Kind::Json, Shape::Detail),
        field("Box", Kind::Json, Shape::Both),
        field("Labels", Kind::Json, Shape::Both),
        field("Watchers", Kind::Json, Shape::Detail),
        field("At", Kind::Integer, Shape::Both),
        field("Day", Kind::Integer, Shape::Both),
        field("Done", Kind::Integer, Shape::Both),
        field("More", Kind::Json, Shape::Both),
    ],
    updated_field: None,
    volatile: &[],
    project_copy: None,
    look_up: true,
    newest_first: true,
    from_inbox: false,
    project_id_column: false,
    flat: &[
        column("Name", Kind::Text, &[&["Name"]], false),
        column("Count", Kind::Integer, &[&["Count"]], false),
        column("Share", Kind::Real, &[&["Share"]], true),
        column("Level", Kind::Integer, &[&["Level"]], true),
        text("LevelName", Take::Word(&["Level"], &["Low", "High"])),
        column("OwnerId", Kind::Integer, OWNER, false),
        text("OwnerName", Take::Named { by: "Id", id: OWNER, within: &["Owner", "Owners"], key: "Name" }),
        text("Owners", Take::Joined { list: "Owners", key: "Name" }),
        column("ParentCode", Kind::Integer, PARENT, false),
        text("ParentName", Take::Named { by: "Code", id: PARENT, within: &["Parent"], key: "Name" }),
        column("BoxCode", Kind::Integer, &[&["Box", "Code"]], false),
        text("Labels", Take::Joined { list: "Labels", key: "Name" }),
        text("Watchers", Take::Joined { list: "Watchers", key: "Name" }),
        column("At", Kind::Timestamp, &[&["At"]], false),
        column("Day", Kind::Date, &[&["Day"]], false),
        column("Done", Kind::Boolean, &[&["Done"]], true),
    ],
    custom: Some(CustomValues { list: "More", id: "Id", name: "Name", value: "ValueString" }),
};

fn task() -> Task {
    Task {
        name: "task".to_owned(),
        team: "acme".to_owned(),
        tables: vec![&SHEET],
        filter: Filter::default(),
        mode: Mode::Flat,
        naming: Naming::Original,
        deletes: Deletes::Hard,
        listed_only: false,
        accept_deletes: false,
    }
}

fn fields(of: impl IntoIterator<Item = CustomField>) -> CustomFields {
    let mut fields = CustomFields::default();
    of.into_iter().for_each(|field| fields.learn(SHEET.id, field));
    fields
}

fn custom(id: i64, name: &str, holds: Holds) -> CustomField {
    CustomField { id, name: name.to_owned(), holds }
}

/// A shaped row: cells by column, and what stands in `_extra`.
struct Shaped {
    kinds: BTreeMap<String, Kind>,
    cells: BTreeMap<String, Cell>,
    extra: Map<String, Value>,
}

fn shaped(task: Task, custom: &CustomFields, row: &Row) -> Shaped {
    let mut shaper = Shaper::new(task);
    shaper.assign(custom, &[], &[]);
    let delivered = Delivered {
        project: "mobile",
        row,
        id: RowId(5),
        project_id: 7,
        observed: Moment(10),
        detailed: None,
    };
    let cells = shaper.row(0, delivered, Timestamp::UNIX_EPOCH);
    let columns = &shaper.tables()[0].columns;
    assert_eq!(columns.len(), cells.len(), "a cell for each column");
    let kinds: BTreeMap<_, _> = columns.iter().map(|column| (column.name.clone(), column.kind)).collect();
    assert_eq!(kinds.len(), columns.len(), "each column has a name of its own");
    let mut cells: BTreeMap<_, _> = columns.iter().map(|column| column.name.clone()).zip(cells).collect();
    let extra = match cells.remove("_extra").unwrap() {
        Cell::Text(text) => serde_json::from_str(&text).unwrap(),
        other => {
            assert_eq!(other, Cell::Null);
            Map::new()
        }
    };
    Shaped { kinds, cells, extra }
}

/// What one column takes out of a row, which leaves nothing over.
fn takes(column: &str, from: Value, expected: Cell) {
    let shaped = shaped(task(), &CustomFields::default(), &row(from.clone()));
    assert_eq!(shaped.cells[column], expected, "{column} of {from}");
    assert_eq!(shaped.extra, Map::new(), "{from}");
}

fn words(text: &str) -> Cell {
    Cell::Text(text.into())
}

#[test]
fn a_scalar_is_taken_from_the_first_place_that_has_it() {
    takes("Name", json!({"Name": " a|b\\ "}), words(" a|b\\ "));
    takes("Name", json!({"Name": 7}), words("7"));
    takes("Count", json!({"Count": "12"}), Cell::Integer(12));
    takes("Share", json!({"Share": "0.5"}), Cell::Real(0.5));
    takes("Share", json!({"Share": 1}), Cell::Real(1.0));
    takes("Done", json!({"Done": 1}), Cell::Boolean(true));
    takes("Done", json!({"Done": 0}), Cell::Boolean(false));
    takes("Done", json!({"Done": "true"}), Cell::Boolean(true));
    takes("OwnerId", json!({"OwnerId": 3, "Owner": {"Id": 4}}), Cell::Integer(3));
    takes("OwnerId", json!({"Owner": {"Id": 4}}), Cell::Integer(4));
    takes("OwnerId", json!({"OwnerId": null, "Owner": {"Id": 4}}), Cell::Integer(4));
    takes("OwnerId", json!({"OwnerId": 0, "Owner": {"Id": 4}}), Cell::Null);
    takes("BoxCode", json!({"Box": {"Code": 9, "Name": "b"}}), Cell::Integer(9));
    takes("ProjectId", json!({}), Cell::Integer(7));
}

#[test]
fn every_spelling_of_unset_is_null() {
    for unset in [json!(null), json!(""), json!(0), json!("0"), json!(0.0)] {
        takes("Count", json!({"Count": unset}), Cell::Null);
        takes("At", json!({"At": unset}), Cell::Null);
        takes("Day", json!({"Day": unset}), Cell::Null);
        takes("BoxCode", json!({"Box": {"Code": unset}}), Cell::Null);
    }
    for unset in [json!(-28_800_000), json!("-28800000"), json!(-28_800_000.0), json!([]), json!({})] {
        takes("Day", json!({"Day": unset}), Cell::Null);
        takes("At", json!({"At": unset}), Cell::Null);
    }
    takes("Count", json!({}), Cell::Null);
    takes("Name", json!({"Name": ""}), Cell::Null);
    for unset in [json!(null), json!({}), json!({"Code": 0, "Name": ""}), json!(""), json!(0), json!([])] {
        takes("BoxCode", json!({"Box": unset}), Cell::Null);
    }
    for unset in
        [json!(null), json!([]), json!(""), json!(0), json!({}), json!([null]), json!([{"Name": ""}])]
    {
        takes("Labels", json!({"Labels": unset}), Cell::Null);
    }
    // Where zero is a number, only the text and the absence are unset.
    takes("Share", json!({"Share": ""}), Cell::Null);
    takes("Share", json!({"Share": "0"}), Cell::Real(0.0));
    takes("Share", json!({"Share": "0.0"}), Cell::Real(0.0));
    takes("Level", json!({"Level": "0"}), Cell::Integer(0));
    takes("Level", json!({"Level": ""}), Cell::Null);
}

#[test]
fn a_number_that_means_a_word_is_both() {
    takes("LevelName", json!({"Level": "0"}), words("Low"));
    takes("LevelName", json!({"Level": 1}), words("High"));
    takes("LevelName", json!({"Level": "7"}), words("7"));
    takes("LevelName", json!({"Level": "-1"}), words("-1"));
    takes("LevelName", json!({"Level": ""}), Cell::Null);
    takes("LevelName", json!({"Level": null}), Cell::Null);
}

#[test]
fn a_name_is_that_of_the_present_one() {
    let owner = |name: &str| json!({"Id": 3, "Name": name});
    takes("OwnerName", json!({"OwnerId": 3, "Owner": owner("Li")}), words("Li"));
    takes("OwnerName", json!({"OwnerId": "3", "Owner": owner("Li")}), words("Li"));
    takes("OwnerName", json!({"Owner": owner("Li")}), words("Li"));
    takes("OwnerName", json!({"OwnerId": 3, "Owners": [{"Id": 2, "Name": "Wu"}, owner("Li")]}), words("Li"));
    takes(
        "OwnerName",
        json!({"OwnerId": 3, "Owner": {"Id": 2, "Name": "Wu"}, "Owners": [owner("Li")]}),
        words("Li"),
    );
    takes("OwnerName", json!({"OwnerId": 3, "Owner": owner("")}), Cell::Null);
    takes("OwnerName", json!({"OwnerId": 3}), Cell::Null);
    takes("OwnerName", json!({"OwnerId": 0, "Owner": {"Id": 0, "Name": "nobody"}}), Cell::Null);
    // The listing is newer than the look-up: an older parent's name is none of this one.
    takes("ParentName", json!({"ParentCode": 8, "Parent": {"Code": 8, "Name": "p"}}), words("p"));
    takes("ParentName", json!({"ParentCode": 9, "Parent": {"Code": 8, "Name": "p"}}), Cell::Null);
    takes("ParentName", json!({"Parent": {"Code": 8, "Name": "p"}}), words("p"));
    takes("ParentCode", json!({"ParentCode": 9, "Parent": {"Code": 8, "Name": "p"}}), Cell::Integer(9));
}

#[test]
fn names_of_a_list_are_joined_so_that_they_can_be_told_apart() {
    let labels = |names: &[&str]| json!({"Labels": names.iter().map(|name| json!({"Id": 1, "Name": name})).collect::<Vec<_>>()});
    takes("Labels", labels(&["a"]), words("a"));
    takes("Labels", labels(&["a", "b"]), words("a|b"));
    takes("Labels", labels(&["a|b", "c"]), words("a\\|b|c"));
    takes("Labels", labels(&["a\\", "b"]), words("a\\\\|b"));
    takes("Labels", labels(&["", "b"]), words("b"));
    takes("Labels", json!({"Labels": [{"Name": 7}, {"Name": null}, {"Id": 1}]}), words("7"));
    takes("Labels", json!({"Labels": ["a", 2]}), words("a|2"));
}

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;

#[test]
fn a_day_is_one_of_utc_plus_8() {
    let day = |ms: i64, expected: i32| takes("Day", json!({"Day": ms}), Cell::Date(expected));
    day(1_664_380_799_000, 19_263); // The end of 2022-09-28, an issue's last day.
    day(1_664_294_400_000, 19_263); // Its beginning.
    day(1_664_380_800_000, 19_264);
    day(DAY_MS - 8 * HOUR_MS - 1, 0);
    day(DAY_MS - 8 * HOUR_MS, 1);
    day(-8 * HOUR_MS - 1, -1);
    day(1, 0);
    takes("Day", json!({"Day": "2022-09-28"}), Cell::Date(19_263));
    takes("Day", json!({"Day": " 2022-09-28 "}), Cell::Date(19_263));
    takes("Day", json!({"Day": "2022-09-28 23:59:59"}), Cell::Date(19_263));
    takes("Day", json!({"Day": "2022-09-28T16:00:00Z"}), Cell::Date(19_264));
    takes("Day", json!({"Day": "1664380799000"}), Cell::Date(19_263));
    // The last day of the calendar: its last moment at UTC+8 is no moment any more.
    let last = Cell::Date(2_932_896);
    for day in [253_402_185_600_000_i64, 253_402_271_999_999] {
        takes("Day", json!({"Day": day}), last.clone());
        takes("Day", json!({"Day": day.to_string()}), last.clone());
    }
    for day in ["9999-12-31", "9999-12-31 23:59:59"] {
        takes("Day", json!({"Day": day}), last.clone());
    }
}

#[test]
fn a_moment_is_one_of_utc() {
    let at =
        |value: Value, seconds: i64| takes("At", json!({"At": value}), Cell::Timestamp(seconds * 1_000_000));
    at(json!(1_664_380_799_000_i64), 1_664_380_799);
    at(json!("1664380799000"), 1_664_380_799);
    at(json!(1_664_380_799_000.0), 1_664_380_799);
    at(json!(-1_000), -1);
    at(json!("2020-08-06 02:02:00"), 1_596_650_520);
    at(json!("2020-08-06T02:02:00"), 1_596_650_520);
    at(json!("2020-08-05T18:02:00Z"), 1_596_650_520);
    at(json!("2020-08-06 02:02:00+08:00"), 1_596_650_520);
    at(json!("2020-08-06 02:02"), 1_596_650_520);
    at(json!("2020-08-06"), 1_596_643_200);
    takes("At", json!({"At": 1_664_380_799_123_i64}), Cell::Timestamp(1_664_380_799_123_000));
}

#[test]
fn what_does_not_fit_its_column_is_kept() {
    let misfit = |name: &str, from: Value, aside: Value| {
        let shaped = shaped(task(), &CustomFields::default(), &row(from.clone()));
        assert_eq!(shaped.extra.get(name), Some(&aside), "{from}");
        assert_eq!(shaped.cells[name], Cell::Null, "{from}");
    };
    misfit("Name", json!({"Name": {"a": 1}}), json!({"a": 1}));
    misfit("Count", json!({"Count": "twelve"}), json!("twelve"));
    misfit("Count", json!({"Count": 1.5}), json!(1.5));
    misfit("Share", json!({"Share": "half"}), json!("half"));
    misfit("Level", json!({"Level": "P0"}), json!("P0"));
    misfit("Done", json!({"Done": 2}), json!(2));
    misfit("At", json!({"At": "tomorrow"}), json!("tomorrow"));
    misfit("At", json!({"At": i64::MAX}), json!(i64::MAX));
    misfit("Day", json!({"Day": true}), json!(true));
    misfit("Day", json!({"Day": i64::MIN}), json!(i64::MIN));
    misfit("OwnerId", json!({"OwnerId": "Li"}), json!("Li"));
    misfit("BoxCode", json!({"Box": "b"}), json!("b"));
    misfit("BoxCode", json!({"Box": [{"Code": 1}]}), json!([{"Code": 1}]));
    misfit("Labels", json!({"Labels": "l"}), json!("l"));
    misfit("Labels", json!({"Labels": {"Name": "l"}}), json!({"Name": "l"}));
    misfit("OwnerName", json!({"OwnerId": 3, "Owner": "Li"}), json!("Li"));
    let unknown = shaped(task(), &CustomFields::default(), &row(json!({"New": [1], "Level": ""})));
    assert_eq!(Value::Object(unknown.extra), json!({"New": [1]}));
}

#[test]
fn without_details_nothing_is_taken_from_them() {
    let from = json!({
        "Name": "n", "OwnerId": 3, "Owner": {"Id": 3, "Name": "old"}, "Owners": [{"Id": 3, "Name": "Li"}],
        "Parent": {"Code": 8, "Name": "p"}, "Watchers": [{"Name": "w"}],
    });
    let row = row(from);
    let shaped = shaped(Task { listed_only: true, ..task() }, &CustomFields::default(), &row);
    assert_eq!(shaped.cells["OwnerName"], words("Li"));
    for column in ["ParentCode", "ParentName", "Watchers"] {
        assert_eq!(shaped.cells[column], Cell::Null, "{column}");
    }
    assert_eq!(shaped.extra, Map::new());
}

/// One custom field's value: its cell, and whether it is kept beside.
fn holds(holds: Holds, value: Value, expected: Option<Cell>) {
    let entry = json!({"Id": 5, "Name": "Field", "ValueString": value});
    let shaped = shaped(task(), &fields([custom(5, "Field", holds)]), &row(json!({"More": [entry]})));
    let aside = expected.is_none().then(|| json!({"More": [entry]})).unwrap_or(json!({}));
    assert_eq!(shaped.cells["Field"], expected.unwrap_or(Cell::Null), "{holds:?} {value}");
    assert_eq!(Value::Object(shaped.extra), aside, "{holds:?} {value}");
    assert_eq!(shaped.kinds["Field"], holds.kind());
}

#[test]
fn a_custom_field_has_a_column_of_what_it_holds() {
    for any in [
        Holds::Text,
        Holds::Integer,
        Holds::Real,
        Holds::Boolean,
        Holds::Timestamp,
        Holds::Date,
        Holds::Texts,
        Holds::Name,
        Holds::Names,
    ] {
        holds(any, json!(""), Some(Cell::Null));
        holds(any, json!(null), Some(Cell::Null));
    }
    holds(Holds::Text, json!(" a|b "), Some(words(" a|b ")));
    holds(Holds::Text, json!("{\"Name\":\"x\"}"), Some(words("{\"Name\":\"x\"}")));
    holds(Holds::Text, json!("0"), Some(words("0")));
    holds(Holds::Text, json!(7), Some(words("7")));
    holds(Holds::Integer, json!("12"), Some(Cell::Integer(12)));
    holds(Holds::Integer, json!(" 12 "), Some(Cell::Integer(12)));
    holds(Holds::Integer, json!("12.0"), Some(Cell::Integer(12)));
    holds(Holds::Integer, json!("0"), Some(Cell::Integer(0)));
    holds(Holds::Integer, json!(12), Some(Cell::Integer(12)));
    holds(Holds::Integer, json!("12.5"), None);
    holds(Holds::Integer, json!("99999999999999999999"), None);
    holds(Holds::Integer, json!("a dozen"), None);
    holds(Holds::Real, json!("12.50"), Some(Cell::Real(12.5)));
    holds(Holds::Real, json!("0"), Some(Cell::Real(0.0)));
    holds(Holds::Real, json!("NaN"), None);
    holds(Holds::Real, json!("1e999"), None);
    holds(Holds::Boolean, json!("true"), Some(Cell::Boolean(true)));
    holds(Holds::Boolean, json!("0"), Some(Cell::Boolean(false)));
    holds(Holds::Boolean, json!("perhaps"), None);
    holds(Holds::Timestamp, json!("2020-08-06 02:02:00"), Some(Cell::Timestamp(1_596_650_520_000_000)));
    holds(Holds::Timestamp, json!("1596650520000"), Some(Cell::Timestamp(1_596_650_520_000_000)));
    holds(Holds::Timestamp, json!("soon"), None);
    holds(Holds::Date, json!("2022-09-28"), Some(Cell::Date(19_263)));
    holds(Holds::Date, json!("1664380799000"), Some(Cell::Date(19_263)));
    holds(Holds::Date, json!("-28800000"), Some(Cell::Null));
    holds(Holds::Date, json!("2022-09-31"), None);
    holds(Holds::Date, json!("9999-12-31"), Some(Cell::Date(2_932_896)));
    holds(Holds::Date, json!("253402272000000"), None);
    holds(Holds::Texts, json!(r#"["a","b|c"]"#), Some(words("a|b\\|c")));
    holds(Holds::Texts, json!("[]"), Some(Cell::Null));
    holds(Holds::Texts, json!("a,b"), Some(words("a,b")));
    holds(Holds::Name, json!(r#"{"Id":3,"Name":"Li"}"#), Some(words("Li")));
    holds(Holds::Name, json!(r#"{"Id":0,"Name":""}"#), Some(Cell::Null));
    holds(Holds::Name, json!(r#"{"Id":3}"#), Some(words(r#"{"Id":3}"#)));
    holds(Holds::Name, json!("{}"), Some(Cell::Null));
    holds(Holds::Name, json!("null"), Some(Cell::Null));
    holds(Holds::Name, json!("Li"), Some(words("Li")));
    holds(Holds::Names, json!(r#"[{"Id":3,"Name":"Li"},{"Id":4,"Name":"Wu"}]"#), Some(words("Li|Wu")));
    holds(Holds::Names, json!(r#"[{"Id":3},"Wu"]"#), Some(words(r#"{"Id":3}|Wu"#)));
    holds(Holds::Names, json!(r#"[{"Id":3,"Na"#), Some(words(r#"[{"Id":3,"Na"#)));
}

#[test]
fn an_entry_without_a_column_is_kept_whole() {
    let aside = |more: Value, expected: Value| {
        let known = fields([custom(5, "Field", Holds::Text), custom(6, "Field", Holds::Integer)]);
        let shaped = shaped(task(), &known, &row(json!({"More": more})));
        assert_eq!(Value::Object(shaped.extra), expected, "{more}");
    };
    let unknown = json!({"Id": 9, "Name": "later", "ValueString": "v"});
    aside(json!([{"Id": 5, "Name": "Field", "ValueString": "v"}, unknown]), json!({"More": [unknown]}));
    let (nameless, odd) = (json!({"Name": "n", "ValueString": "v"}), json!("v"));
    aside(json!([nameless, odd, {"Id": 9, "ValueString": ""}, {"Id": 9}]), json!({"More": [nameless, odd]}));
    aside(json!("odd"), json!({"More": "odd"}));
    aside(json!(null), json!({}));
    // Two of the same name do not stand in each other's way.
    let both = json!([{"Id": 5, "Name": "Field", "ValueString": "v"}, {"Id": 6, "Name": "Field", "ValueString": "w"}]);
    aside(both, json!({"More": [{"Id": 6, "Name": "Field", "ValueString": "w"}]}));
}

/// Columns of custom fields by their number.
fn columns(task: &Task, custom: &CustomFields, stored: &[StoredField]) -> BTreeMap<i64, String> {
    let mut shaper = Shaper::new(task.clone());
    shaper.assign(custom, stored, &[]);
    let columns = &shaper.tables()[0].columns;
    let names: BTreeSet<String> = columns.iter().map(|column| column.name.to_lowercase()).collect();
    assert_eq!(names.len(), columns.len(), "two columns of one name: {columns:?}");
    assert!(columns.iter().all(|column| !column.name.is_empty() && column.name.len() <= 63));
    let of = |column: &engine::target::Column| Some((column.custom.as_ref()?.field_id, column.name.clone()));
    columns.iter().filter_map(of).collect()
}

/// What a target remembers of them.
fn stored(task: &Task, columns: &BTreeMap<i64, String>) -> Vec<StoredField> {
    let table = Shaper::new(task.clone()).tables()[0].name.clone();
    let stored = |(field_id, column): (&i64, &String)| StoredField {
        table: table.clone(),
        column: column.clone(),
        team: task.team.clone(),
        field_id: *field_id,
    };
    columns.iter().map(stored).collect()
}

#[test]
fn a_field_is_called_after_itself_unless_somebody_has_the_name() {
    let known = fields([
        custom(1, "客户名称", Holds::Text),
        custom(2, "客户名称", Holds::Integer),
        custom(3, "Name", Holds::Text),
        custom(4, "owner-id", Holds::Text),
        custom(5, "_extra", Holds::Text),
        custom(6, "rowid", Holds::Text),
        custom(7, "", Holds::Text),
        custom(8, "预算 (万元)", Holds::Real),
        custom(9, "Team_Name", Holds::Text),
    ]);
    let named = |naming, expected: [&str; 9]| {
        let columns = columns(&Task { naming, ..task() }, &known, &[]);
        assert_eq!(columns.into_values().collect::<Vec<_>>(), expected);
    };
    named(
        Naming::SnakeCase,
        [
            "客户名称",
            "客户名称_2",
            "name_3",
            "owner_id_4",
            "extra",
            "rowid_6",
            "field_7",
            "预算_万元",
            "team_name_9",
        ],
    );
    named(
        Naming::Original,
        [
            "客户名称",
            "客户名称_2",
            "Name_3",
            "owner_id",
            "extra",
            "rowid_6",
            "field_7",
            "预算_万元",
            "Team_Name",
        ],
    );
}

#[test]
fn another_team_has_columns_of_its_own_in_the_same_table() {
    let known = fields([custom(1, "Field", Holds::Text)]);
    let (ours, theirs) = (task(), Task { team: "other".to_owned(), ..task() });
    let first = columns(&ours, &known, &[]);
    let second = columns(&theirs, &known, &stored(&ours, &first));
    assert_eq!((first[&1].as_str(), second[&1].as_str()), ("Field", "Field_1"));
    // A field that is gone keeps its column from being given to another.
    let later = columns(&ours, &fields([custom(2, "Field", Holds::Text)]), &stored(&ours, &first));
    assert_eq!(later[&2], "Field_2");
}

#[test]
fn document_mode_has_no_custom_columns() {
    let known = fields([custom(1, "Field", Holds::Text)]);
    assert!(columns(&Task { mode: Mode::Document, ..task() }, &known, &[]).is_empty());
}

/// A new field is filled in, one that was only renamed is not.
#[test]
fn the_fingerprint_covers_which_fields_there_are() {
    let print = |fields: &CustomFields| {
        let mut shaper = Shaper::new(task());
        shaper.assign(fields, &[], &[]);
        shaper.fingerprint()
    };
    let one = print(&fields([custom(1, "Field", Holds::Text)]));
    assert_eq!(print(&fields([custom(1, "Other", Holds::Text)])), one);
    assert_ne!(print(&fields([custom(1, "Field", Holds::Integer)])), one);
    assert_ne!(print(&fields([custom(2, "Field", Holds::Text)])), one);
    assert_ne!(print(&CustomFields::default()), one);
    assert_ne!(
        Shaper::new(Task { mode: Mode::Document, ..task() }).fingerprint(),
        print(&CustomFields::default())
    );
}

fn any_holds() -> impl Strategy<Value = Holds> {
    prop::sample::select(vec![
        Holds::Text,
        Holds::Integer,
        Holds::Real,
        Holds::Boolean,
        Holds::Timestamp,
        Holds::Date,
        Holds::Texts,
        Holds::Name,
        Holds::Names,
    ])
}

fn any_name() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-zA-Z_ ]{0,6}",
        "[客户名称İẞﬃ|]{0,40}",
        prop::sample::select(vec![
            "Name",
            "OwnerId",
            "_extra",
            "_synced_at",
            "xmin",
            "Field",
            "field_1",
            "名"
        ])
        .prop_map(str::to_owned),
    ]
}

fn any_fields() -> impl Strategy<Value = Vec<CustomField>> {
    prop::collection::btree_map(-3_i64..12, (any_name(), any_holds()), 0..8).prop_map(|fields| {
        fields.into_iter().map(|(id, (name, holds))| CustomField { id, name, holds }).collect()
    })
}

/// A row of the sheet: each field with something that it might hold, or anything at all.
fn any_sheet_row() -> impl Strategy<Value = Row> {
    let scalar = prop_oneof![
        Just(json!(null)),
        Just(json!("")),
        Just(json!(0)),
        any::<i64>().prop_map(|n| json!(n)),
        (-4_000_000_000_000_i64..4_000_000_000_000).prop_map(|n| json!(n.to_string())),
        any::<f64>().prop_map(|n| json!(n)),
        "[0-9]{4}-[0-9]{2}-[0-9]{2}( [0-9]{2}:[0-9]{2}:[0-9]{2})?".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let object = (scalar.clone(), scalar.clone(), scalar.clone())
        .prop_map(|(id, code, name)| json!({"Id": id, "Code": code, "Name": name}));
    let list = prop::collection::vec(prop_oneof![object.clone(), scalar.clone()], 0..4).prop_map(Value::from);
    let text = prop_oneof![
        scalar.clone(),
        object.clone().prop_map(|object| object.to_string().into()),
        list.clone().prop_map(|list| list.to_string().into()),
    ];
    let entry =
        (-3_i64..14, text).prop_map(|(id, text)| json!({"Id": id, "Name": "Field", "ValueString": text}));
    let more = prop::collection::vec(entry, 0..4).prop_map(Value::from);
    let names: Vec<&str> = SHEET.fields.iter().map(|field| field.name).collect();
    let held = prop_oneof![3 => scalar, 2 => object, 2 => list, 2 => more, 1 => value()];
    (prop::collection::vec((prop::sample::select(names), held), 0..12), any_row()).prop_map(
        |(fields, other)| {
            let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
            other.fields().clone().into_iter().chain(fields).collect()
        },
    )
}

fn fits(kind: Kind, cell: &Cell) -> bool {
    match cell {
        Cell::Null => true,
        Cell::Boolean(_) => kind == Kind::Boolean,
        Cell::Integer(_) => kind == Kind::Integer,
        Cell::Real(number) => kind == Kind::Real && number.is_finite(),
        Cell::Text(text) => kind == Kind::Text && !text.is_empty(),
        Cell::Json(_) => false,
        Cell::Timestamp(micros) => kind == Kind::Timestamp && Timestamp::from_microsecond(*micros).is_ok(),
        Cell::Date(days) => kind == Kind::Date && (-4_400_000..2_940_000).contains(days),
    }
}

proptest! {
    #![proptest_config(cases(400))]

    /// Whatever a row holds, each cell is a scalar of its column's kind.
    #[test]
    fn any_row_has_cells_that_fit(row in any_sheet_row(), known in any_fields(), listed_only: bool) {
        let known = fields(known);
        let shaped = shaped(Task { listed_only, ..task() }, &known, &row);
        for (name, cell) in &shaped.cells {
            prop_assert!(fits(shaped.kinds[name], cell), "{name}: {cell:?}");
        }
        // A value is in its column, or beside it, and never in both.
        for name in SHEET.flat.iter().map(|column| column.name).filter(|name| shaped.extra.contains_key(*name)) {
            prop_assert_eq!(&shaped.cells[name], &Cell::Null);
        }
        for (name, value) in row.fields() {
            let is_known = name == "Code" || SHEET.fields.iter().any(|field| field.name == name);
            prop_assert!(is_known || shaped.extra.get(name) == Some(value));
        }
        // So with the entries of custom fields, unless another entry of the same field took the column.
        let entries: Vec<&Value> = row.get("More").and_then(Value::as_array).into_iter().flatten().collect();
        let aside = shaped.extra.get("More").and_then(Value::as_array).cloned().unwrap_or_default();
        for entry in entries.iter().filter(|entry| entry.is_object() && !engine::row::is_unset(&entry["ValueString"])) {
            let is_known = entry["Id"].as_i64().is_some_and(|id| known.knows(SHEET.id, id));
            prop_assert!(is_known || aside.contains(entry));
        }
    }

    /// Columns never collide, whatever fields are called and in whatever order they come; and once given, a
    /// field's column is its own for good.
    #[test]
    fn a_field_keeps_its_column(
        known in any_fields(),
        order in any::<prop::sample::Index>(),
        names in prop::collection::vec(any_name(), 8),
        original: bool,
    ) {
        let naming = if original { Naming::Original } else { Naming::SnakeCase };
        let task = Task { naming, ..task() };
        // Some come first, in an order of their own, the others later.
        let mut coming = known.clone();
        if !coming.is_empty() {
            let by = order.index(coming.len());
            coming.rotate_left(by);
        }
        let (mut so_far, mut given) = (Vec::new(), BTreeMap::new());
        for field in coming {
            so_far.push(field);
            let now = columns(&task, &fields(so_far.clone()), &stored(&task, &given));
            for (id, column) in &given {
                prop_assert_eq!(now.get(id), Some(column));
            }
            given = now;
        }
        let renamed = known.iter().zip(names).map(|(field, name)| CustomField { name, ..field.clone() });
        let after = columns(&task, &fields(renamed), &stored(&task, &given));
        prop_assert_eq!(after, given);
    }
}
