//! What a table looks like, and in what it differs from what it should be.
//!
//! Of every table it makes, a target keeps the [`Definition`] in `_tributary_tables`. A table without one is
//! foreign, one whose real columns differ from it has been changed by somebody: both are refused, untouched.

use engine::schema::Kind;
use engine::target::{CustomColumn, Room, StoredField, TableLook, TargetTable};
use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Words};

/// A table as it was made. Stored as JSON; fields are only ever added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Definition {
    /// Columns in the order of the table.
    pub(crate) columns: Vec<DefinedColumn>,
    /// How many of them make the primary key.
    pub(crate) key_columns: usize,
    /// The column that marks a deleted row.
    pub(crate) deleted_at: Option<String>,
    /// The column that holds the time of writing.
    pub(crate) synced_at: Option<String>,
}

/// A column as it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DefinedColumn {
    /// Its name.
    pub(crate) name: String,
    /// What it holds, by a stable name.
    pub(crate) kind: String,
}

/// A column as the database has it: its name, its declared type, its place in the primary key from 1 (0 when it is
/// not in it).
pub(crate) type RealColumn = (String, String, i64);

/// What stands under a table's name.
pub(crate) enum Object {
    /// A table with these columns.
    Table(Vec<RealColumn>),
    /// Something else, in words.
    Other(String),
}

/// How a table stands in the target.
#[derive(Clone, Debug)]
pub(crate) enum Standing {
    /// There is none.
    Missing,
    /// tributary made it, and somebody has dropped it since.
    Lost,
    /// It is as tributary made it.
    Ours(Definition, Fit),
}

/// How a definition fits what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It has all that is wanted.
    Same,
    /// It lacks the columns at these places of the wanted table, none of them in the key.
    Lacks(Vec<usize>),
    /// It differs in these points.
    Differs(Vec<String>),
}

/// When two names mean one column to a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Names {
    /// When they are the same.
    Exact,
    /// When they are the same but for the case of ASCII letters.
    AnyCase,
}

impl Names {
    /// Whether both mean one column.
    fn alike(self, one: &str, other: &str) -> bool {
        match self {
            Names::Exact => one == other,
            Names::AnyCase => one.eq_ignore_ascii_case(other),
        }
    }
}

impl Standing {
    /// How a table stands whose name has this `object`; refuses one that is not ours or that somebody has changed since
    /// it was made as `stored` says.
    pub(crate) fn judge(
        table: &TargetTable,
        stored: Option<Definition>,
        object: Option<Object>,
        declared: fn(Kind) -> &'static str,
        names: Names,
        words: &Words,
    ) -> Result<Standing, Fault> {
        let real = &match object {
            None if stored.is_some() => return Ok(Standing::Lost),
            None => return Ok(Standing::Missing),
            Some(Object::Other(why)) => return Err(words.shape(&table.name, why, &[])),
            Some(Object::Table(real)) => real,
        };
        let wanted = Definition::of(table);
        let Some(stored) = stored else {
            let why = "there is a table of this name that tributary did not make".to_owned();
            return Err(words.shape(&table.name, why, &wanted.against(real, declared)));
        };
        let differs = stored.against(real, declared);
        if !differs.is_empty() {
            let why = "somebody has changed the table since tributary made it".to_owned();
            return Err(words.shape(&table.name, why, &differs));
        }
        let fit = stored.fit(&wanted, names);
        Ok(Standing::Ours(stored, fit))
    }
}

/// How a table stands whose name has this `object`, for one who only looks: nothing is refused.
pub(crate) fn look(
    table: &TargetTable,
    stored: Option<Definition>,
    object: Option<Object>,
    declared: fn(Kind) -> &'static str,
    names: Names,
) -> TableLook {
    let nothing = |why: String| TableLook { differs: vec![why], ..TableLook::default() };
    let real = &match object {
        None => return nothing("it is not there".to_owned()),
        Some(Object::Other(why)) => return nothing(why),
        Some(Object::Table(real)) => real,
    };
    let wanted = Definition::of(table);
    let differs = match stored {
        None => std::iter::once("tributary did not make it".to_owned())
            .chain(wanted.against(real, declared))
            .collect(),
        Some(stored) => {
            let mut differs = stored.against(real, declared);
            match stored.fit(&wanted, names) {
                Fit::Same => {}
                Fit::Differs(points) => differs.extend(points),
                Fit::Lacks(places) => {
                    let lacking = places.iter().filter_map(|at| table.columns.get(*at));
                    differs.extend(
                        lacking.map(|column| format!("column `{}` is new and not there yet", column.name)),
                    );
                }
            }
            differs
        }
    };
    let is_there = |column: &engine::target::Column| {
        real.iter()
            .any(|(name, found, _)| *name == column.name && found.eq_ignore_ascii_case(declared(column.kind)))
    };
    let unreadable: Vec<usize> =
        table.columns.iter().enumerate().filter(|(_, column)| !is_there(column)).map(|(at, _)| at).collect();
    let needed = |at: &usize| *at < table.key_columns || Some(*at) == table.deleted_at;
    TableLook { differs, readable: !unreadable.iter().any(needed), unreadable }
}

/// The room for columns in a table that was made as `stored` says and uses up so many of them, whether for columns that
/// are there or for some that were; `most` are possible.
pub(crate) fn room(
    table: &TargetTable,
    stored: Option<Definition>,
    used: usize,
    most: usize,
    names: Names,
) -> Room {
    let stays = |stored: &Definition| !matches!(stored.fit(&Definition::of(table), names), Fit::Differs(_));
    match stored.filter(stays) {
        Some(stored) if used > 0 => Room {
            columns: stored.columns.into_iter().map(|column| column.name).collect(),
            left: most.saturating_sub(used),
        },
        _ => Room::of_new(most),
    }
}

/// The columns outside of the key that are not as they were made, and whether they are there at all.
pub(crate) fn broken<'d>(
    stored: &'d Definition,
    real: &[RealColumn],
    declared: fn(Kind) -> &'static str,
) -> Vec<(&'d str, Kind, bool)> {
    let mut broken = Vec::new();
    for column in stored.columns.iter().skip(stored.key_columns) {
        let Some(kind) = named_kind(&column.kind) else { continue };
        let found = real.iter().find(|(name, _, _)| *name == column.name);
        if !found.is_some_and(|(_, found, _)| found.eq_ignore_ascii_case(declared(kind))) {
            broken.push((column.name.as_str(), kind, found.is_some()));
        }
    }
    broken
}

/// Whether the column that stood for a custom field is wanted for something else now, or the field has another one.
pub(crate) fn has_other_use(table: &TargetTable, stored: &StoredField, names: Names) -> bool {
    let column = table.columns.iter().find(|column| names.alike(&column.name, &stored.column));
    let is_plain = column.is_some_and(|column| column.custom.is_none());
    let has_moved = table.columns.iter().any(|column| {
        let is_it = |custom: &CustomColumn| custom.team == stored.team && custom.field_id == stored.field_id;
        column.custom.as_ref().is_some_and(is_it) && column.name != stored.column
    });
    is_plain || has_moved
}

/// The kind of a stable name; a kind of a newer version is not known.
fn named_kind(name: &str) -> Option<Kind> {
    [Kind::Text, Kind::Integer, Kind::Real, Kind::Boolean, Kind::Json, Kind::Timestamp, Kind::Date]
        .into_iter()
        .find(|known| known.name() == name)
}

impl Definition {
    /// The definition of a wanted table.
    pub(crate) fn of(table: &TargetTable) -> Definition {
        let name = |at: usize| table.columns.get(at).map(|column| column.name.clone());
        let column = |column: &engine::target::Column| DefinedColumn {
            name: column.name.clone(),
            kind: column.kind.name().to_owned(),
        };
        Definition {
            columns: table.columns.iter().map(column).collect(),
            key_columns: table.key_columns,
            deleted_at: table.deleted_at.and_then(name),
            synced_at: name(table.synced_at),
        }
    }

    /// How this definition fits `wanted`. Columns that are not wanted do no harm outside of the key.
    pub(crate) fn fit(&self, wanted: &Definition, names: Names) -> Fit {
        let (mut lacks, mut differs) = (Vec::new(), Vec::new());
        if self.key() != wanted.key() {
            differs.push(format!(
                "its primary key is ({}) instead of ({})",
                self.key().join(", "),
                wanted.key().join(", ")
            ));
        }
        let taken = |name: &str| self.columns.iter().any(|own| names.alike(&own.name, name));
        for (at, column) in wanted.columns.iter().enumerate() {
            match self.columns.iter().find(|own| own.name == column.name) {
                Some(own) if own.kind == column.kind => {}
                Some(own) => differs
                    .push(format!("column `{}` holds {} instead of {}", column.name, own.kind, column.kind)),
                None if taken(&column.name) => {
                    differs.push(format!("column `{}` is spelled in another case", column.name));
                }
                None => lacks.push(at),
            }
        }
        if self.deleted_at != wanted.deleted_at {
            let word = |column: &Option<String>| if column.is_some() { "soft" } else { "hard" };
            differs.push(format!(
                "it is made for {} deletes instead of {} ones",
                word(&self.deleted_at),
                word(&wanted.deleted_at)
            ));
        }
        match (differs.is_empty(), lacks.is_empty()) {
            (true, true) => Fit::Same,
            (true, false) => Fit::Lacks(lacks),
            (false, _) => Fit::Differs(differs),
        }
    }

    /// Columns that `wanted` does not have.
    pub(crate) fn leftovers(&self, wanted: &Definition) -> Vec<String> {
        let unwanted = |own: &&DefinedColumn| wanted.columns.iter().all(|column| column.name != own.name);
        self.columns.iter().filter(unwanted).map(|column| column.name.clone()).collect()
    }

    fn key(&self) -> Vec<&str> {
        self.columns.iter().take(self.key_columns).map(|column| column.name.as_str()).collect()
    }

    /// In what the real columns differ from this definition; `declared` gives the type behind a kind.
    pub(crate) fn against(&self, real: &[RealColumn], declared: fn(Kind) -> &'static str) -> Vec<String> {
        let mut differs = Vec::new();
        for (at, column) in self.columns.iter().enumerate() {
            let place = if at < self.key_columns { i64::try_from(at).unwrap_or(0) + 1 } else { 0 };
            let declared = named_kind(&column.kind).map_or("of an unknown type", declared);
            let name = &column.name;
            match real.iter().find(|(real, _, _)| real == name) {
                None => differs.push(format!("column `{name}` ({declared}) is missing")),
                Some((_, found, _)) if !found.eq_ignore_ascii_case(declared) => {
                    let found = if found.is_empty() { "of no type" } else { found.as_str() };
                    differs.push(format!("column `{name}` is {found} instead of {declared}"));
                }
                Some((_, _, found)) if *found != place => {
                    let word = |place: i64| match place {
                        0 => "not in the primary key".to_owned(),
                        place => format!("number {place} of the primary key"),
                    };
                    differs.push(format!("column `{name}` is {} instead of {}", word(*found), word(place)));
                }
                Some(_) => {}
            }
        }
        let known = |name: &str| self.columns.iter().any(|column| column.name == name);
        for (name, found, _) in real.iter().filter(|(name, _, _)| !known(name)) {
            differs.push(format!("column `{name}` ({found}) is not one of tributary's"));
        }
        differs
    }
}
