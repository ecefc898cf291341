//! What a table of a source looks like: its key, its fields, which parts of it mean nothing.

use serde::{Deserialize, Serialize};

/// A table by its stored number; a source never gives a number to another table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableId(pub u8);

/// What kind of value a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Unicode text without a length limit.
    Text,
    /// A whole number of 64 bits.
    Integer,
    /// A binary floating point number of 64 bits.
    Real,
    /// True or false.
    Boolean,
    /// Anything nested, as JSON.
    Json,
    /// A moment, UTC.
    Timestamp,
    /// A day of the calendar.
    Date,
}

impl Kind {
    /// Its name, in what is stored and shown. Never changes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Integer => "integer",
            Kind::Real => "real",
            Kind::Boolean => "boolean",
            Kind::Json => "json",
            Kind::Timestamp => "timestamp",
            Kind::Date => "date",
        }
    }
}

/// Which shapes of a row carry a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Listings only.
    Listed,
    /// Look-ups only.
    Detail,
    /// Both.
    Both,
}

/// One field of a table.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name as the source spells it.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Where it is seen.
    pub shape: Shape,
}

/// A way to a value inside a row: a field, then keys.
pub type Path = &'static [&'static str];

/// A column of flat mode: one scalar, taken out of a row.
///
/// A unit of the source becomes one of the column's kind: milliseconds become a moment or, at UTC+8, a day.
#[derive(Clone, Copy, Debug)]
pub struct FlatColumn {
    /// Its name, spelled as the source spells its fields.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Where its value comes from.
    pub take: Take,
    /// Whether a zero is a number; else it says "unset".
    pub zero: bool,
}

/// Where a flat column's value comes from.
#[derive(Clone, Copy, Debug)]
pub enum Take {
    /// From the first of these places that the row has, set or not.
    First(&'static [Path]),
    /// `key` of the object, in one of the fields (an object or a list of them), whose `by` stands at the first
    /// place of `id` that the row has: an older copy, of another one, is passed over.
    Named {
        /// The object's key that tells it from others.
        by: &'static str,
        /// Where the id stands.
        id: &'static [Path],
        /// Where the object may stand.
        within: &'static [&'static str],
        /// What of the object.
        key: &'static str,
    },
    /// `key` of every object of a list, joined with `|`.
    Joined {
        /// The field that holds the list.
        list: &'static str,
        /// What of each object.
        key: &'static str,
    },
    /// The word for the number there.
    Word(Path, &'static [&'static str]),
}

/// Where rows carry the values of fields that people of the source defined: a list of objects.
#[derive(Clone, Copy, Debug)]
pub struct CustomValues {
    /// The field that holds the list.
    pub list: &'static str,
    /// Key of the custom field's number.
    pub id: &'static str,
    /// Key of its name.
    pub name: &'static str,
    /// Key of the value, a text.
    pub value: &'static str,
}

/// A table that a source offers.
#[derive(Debug)]
pub struct Table {
    /// Its stored number.
    pub id: TableId,
    /// Its name as the source's users know it.
    pub name: &'static str,
    /// The field that identifies a row within its project.
    pub key_field: &'static str,
    /// All other fields, in the order in which a person wants to see them.
    pub fields: &'static [Field],
    /// The field that holds the time of the last update in milliseconds, where there is one.
    pub updated_field: Option<&'static str>,
    /// Paths of values that differ at every look and mean nothing; lists on the way are passed through.
    pub volatile: &'static [&'static [&'static str]],
    /// Field and key under which a row repeats its project's identifier, where it does. Delivered as the project
    /// is called now; the path belongs among the `volatile` ones.
    pub project_copy: Option<(&'static str, &'static str)>,
    /// Whether a single row can be looked up (and so confirmed gone).
    pub look_up: bool,
    /// Whether listings can be ordered newest updated first.
    pub newest_first: bool,
    /// Whether its rows are the deliveries of the source's hook: they come from the inbox, no listing shows them and
    /// none of them ever goes.
    pub from_inbox: bool,
    /// Whether rows carry the project's id in a column of their own.
    pub project_id_column: bool,
    /// Its columns in flat mode, after the key.
    pub flat: &'static [FlatColumn],
    /// Where rows carry custom fields, where they do.
    pub custom: Option<CustomValues>,
}

impl Table {
    /// The kind of `field`; a field that nobody declared is nested JSON.
    #[must_use]
    pub fn kind(&self, field: &str) -> Kind {
        if field == self.key_field {
            return Kind::Integer;
        }
        self.fields.iter().find(|f| f.name == field).map_or(Kind::Json, |f| f.kind)
    }

    /// Whether what lies at `path` differs at every look and means nothing.
    #[must_use]
    pub fn is_volatile(&self, path: &[&str]) -> bool {
        self.volatile.contains(&path)
    }

    /// Whether the table has anything that only a look-up shows.
    #[must_use]
    pub fn has_detail(&self) -> bool {
        self.fields.iter().any(|field| field.shape == Shape::Detail)
    }
}
