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
    /// Whether rows carry the project's id in a column of their own.
    pub project_id_column: bool,
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
