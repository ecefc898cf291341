//! Fields that people of the source defined, beside a table's own. In flat mode each has a column.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::schema::{Kind, TableId};

/// A custom field. Its number never changes, its name may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomField {
    /// Its number, the same in all projects of a team.
    pub id: i64,
    /// What people call it now.
    pub name: String,
    /// What its values are.
    pub holds: Holds,
}

/// What the text of a custom field's value spells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Holds {
    /// Itself.
    Text,
    /// A whole number.
    Integer,
    /// A number.
    Real,
    /// `true` or `false`.
    Boolean,
    /// A moment.
    Timestamp,
    /// A day.
    Date,
    /// JSON of a list of texts.
    Texts,
    /// JSON of an object with a `Name`.
    Name,
    /// JSON of a list of objects with a `Name`.
    Names,
}

impl Holds {
    /// The kind of its column.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Holds::Text | Holds::Texts | Holds::Name | Holds::Names => Kind::Text,
            Holds::Integer => Kind::Integer,
            Holds::Real => Kind::Real,
            Holds::Boolean => Kind::Boolean,
            Holds::Timestamp => Kind::Timestamp,
            Holds::Date => Kind::Date,
        }
    }
}

/// The custom fields of each table, by number. Fields are only added: one that the source no longer shows keeps
/// its column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CustomFields(pub BTreeMap<TableId, BTreeMap<i64, CustomField>>);

impl CustomFields {
    /// The custom fields of a table, by number.
    pub fn of(&self, table: TableId) -> impl Iterator<Item = &CustomField> {
        self.0.get(&table).into_iter().flat_map(BTreeMap::values)
    }

    /// Takes in what a newer look showed.
    pub fn learn(&mut self, table: TableId, field: CustomField) {
        self.0.entry(table).or_default().insert(field.id, field);
    }

    /// Whether the field is known.
    #[must_use]
    pub fn knows(&self, table: TableId, id: i64) -> bool {
        self.0.get(&table).is_some_and(|fields| fields.contains_key(&id))
    }
}
