//! Listed rows as the engine keeps them: read from the page's text once, digest included.

use std::hash::{Hash, Hasher};

use coding_api::RowForm;
use engine::row::{Row, RowReader};
use engine::schema::Table;
use serde::Deserializer;

/// Rows of a table.
#[derive(Clone, Debug)]
pub(super) struct Listed(RowReader);

impl Listed {
    pub(super) fn of(table: &'static Table) -> Listed {
        Listed(RowReader::of(table))
    }
}

impl RowForm for Listed {
    type Row = Row;

    fn read<'de, D: Deserializer<'de>>(&mut self, deserializer: D) -> Result<Row, D::Error> {
        self.0.read(deserializer)
    }

    fn mark<H: Hasher>(&self, row: &Row, key: &str, hasher: &mut H) {
        match row.integer(key) {
            Some(number) => number.hash(hasher),
            None => row.json().hash(hasher),
        }
    }
}
