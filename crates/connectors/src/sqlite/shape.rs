//! What a table looks like, whether tributary made it, and in what it differs from what it should be.
//!
//! Of every table it makes, the target keeps the definition in `_tributary_tables`. A table without one is
//! foreign, one whose real columns differ from it has been changed by somebody: both are refused, untouched.

use std::fmt::Write as _;

use engine::problem::Problem;
use engine::schema::Kind;
use engine::target::{TargetErrorKind, TargetTable};
use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;

use super::encode::declared_type;
use super::fault::Fault;

/// A table as it was made. Stored as JSON; fields are only ever added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Definition {
    /// Columns in the order of the table.
    pub(super) columns: Vec<DefinedColumn>,
    /// How many of them make the primary key.
    pub(super) key_columns: usize,
    /// The column that marks a deleted row.
    pub(super) deleted_at: Option<String>,
    /// The column that holds the time of writing.
    pub(super) synced_at: Option<String>,
}

/// A column as it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DefinedColumn {
    /// Its name.
    pub(super) name: String,
    /// What it holds, by a stable name.
    pub(super) kind: String,
}

/// How a table stands in the file.
#[derive(Clone, Debug)]
pub(super) enum Standing {
    /// There is none.
    Missing,
    /// tributary made it, and somebody has dropped it since.
    Lost,
    /// It is as tributary made it.
    Ours(Definition, Fit),
}

/// How a definition fits what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It has all that is wanted.
    Same,
    /// It lacks the columns at these places of the wanted table, none of them in the key.
    Lacks(Vec<usize>),
    /// It differs in these points.
    Differs(Vec<String>),
}

pub(super) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Integer => "integer",
        Kind::Real => "real",
        Kind::Boolean => "boolean",
        Kind::Json => "json",
        Kind::Timestamp => "timestamp",
        Kind::Date => "date",
    }
}

/// The declared type behind a stored kind; a kind of a newer version is not known.
fn stored_type(kind: &str) -> &'static str {
    [Kind::Text, Kind::Integer, Kind::Real, Kind::Boolean, Kind::Json, Kind::Timestamp, Kind::Date]
        .into_iter()
        .find(|known| kind_name(*known) == kind)
        .map_or("of an unknown type", declared_type)
}

impl Definition {
    /// The definition of a wanted table.
    pub(super) fn of(table: &TargetTable) -> Definition {
        let name = |at: usize| table.columns.get(at).map(|column| column.name.clone());
        let column = |column: &engine::target::Column| DefinedColumn {
            name: column.name.clone(),
            kind: kind_name(column.kind).to_owned(),
        };
        Definition {
            columns: table.columns.iter().map(column).collect(),
            key_columns: table.key_columns,
            deleted_at: table.deleted_at.and_then(name),
            synced_at: name(table.synced_at),
        }
    }

    /// How this definition fits `wanted`. Columns that are not wanted do no harm outside of the key.
    pub(super) fn fit(&self, wanted: &Definition) -> Fit {
        let (mut lacks, mut differs) = (Vec::new(), Vec::new());
        if self.key() != wanted.key() {
            differs.push(format!(
                "its primary key is ({}) instead of ({})",
                self.key().join(", "),
                wanted.key().join(", ")
            ));
        }
        for (at, column) in wanted.columns.iter().enumerate() {
            match self.columns.iter().find(|own| own.name == column.name) {
                Some(own) if own.kind == column.kind => {}
                Some(own) => differs
                    .push(format!("column `{}` holds {} instead of {}", column.name, own.kind, column.kind)),
                // SQLite does not tell `Code` from `code`.
                None if self.columns.iter().any(|own| own.name.eq_ignore_ascii_case(&column.name)) => {
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
    pub(super) fn leftovers(&self, wanted: &Definition) -> Vec<String> {
        let unwanted = |own: &&DefinedColumn| wanted.columns.iter().all(|column| column.name != own.name);
        self.columns.iter().filter(unwanted).map(|column| column.name.clone()).collect()
    }

    fn key(&self) -> Vec<&str> {
        self.columns.iter().take(self.key_columns).map(|column| column.name.as_str()).collect()
    }

    /// In what the real columns (name, declared type, place in the primary key) differ from this definition.
    fn against(&self, real: &[(String, String, i64)]) -> Vec<String> {
        let mut differs = Vec::new();
        for (at, column) in self.columns.iter().enumerate() {
            let place = if at < self.key_columns { i64::try_from(at).unwrap_or(0) + 1 } else { 0 };
            let declared = stored_type(&column.kind);
            match real.iter().find(|(name, _, _)| *name == column.name) {
                None => differs.push(format!("column `{}` ({declared}) is missing", column.name)),
                Some((name, found, _)) if !found.eq_ignore_ascii_case(declared) => {
                    let found = if found.is_empty() { "of no type" } else { found.as_str() };
                    differs.push(format!("column `{name}` is {found} instead of {declared}"));
                }
                Some((name, _, found)) if *found != place => {
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

/// Looks how `table` stands; refuses one that is not ours or has been changed. Reads only.
pub(super) async fn examine(
    connection: &mut SqliteConnection,
    table: &TargetTable,
) -> Result<Standing, Fault> {
    let wanted = Definition::of(table);
    let stored = stored_definition(connection, &table.name).await?;
    let found: Option<(String, String)> = sqlx::query_as(
        "SELECT type, name FROM sqlite_schema WHERE name = ? COLLATE NOCASE AND type <> 'trigger'",
    )
    .bind(&table.name)
    .fetch_optional(&mut *connection)
    .await?;
    let Some((object, name)) = found else {
        return Ok(if stored.is_some() { Standing::Lost } else { Standing::Missing });
    };
    if object != "table" {
        let why = format!("the file has {object} `{name}`, which tributary did not make");
        return Err(refusal(&table.name, why, &[]));
    }
    let real: Vec<(String, String, i64)> =
        sqlx::query_as("SELECT name, type, pk FROM pragma_table_xinfo(?) ORDER BY cid")
            .bind(&name)
            .fetch_all(&mut *connection)
            .await?;
    let Some(stored) = stored else {
        let why = "there is a table of this name that tributary did not make".to_owned();
        return Err(refusal(&table.name, why, &wanted.against(&real)));
    };
    let differs = stored.against(&real);
    if !differs.is_empty() {
        let why = "somebody has changed the table since tributary made it".to_owned();
        return Err(refusal(&table.name, why, &differs));
    }
    let fit = stored.fit(&wanted);
    Ok(Standing::Ours(stored, fit))
}

async fn stored_definition(
    connection: &mut SqliteConnection,
    table: &str,
) -> Result<Option<Definition>, Fault> {
    let kept = "SELECT count(*) FROM sqlite_schema WHERE name = '_tributary_tables' AND type = 'table'";
    let kept: i64 = sqlx::query_scalar(kept).fetch_one(&mut *connection).await?;
    if kept == 0 {
        return Ok(None);
    }
    let json: Option<String> =
        sqlx::query_scalar("SELECT definition FROM _tributary_tables WHERE table_name = ?")
            .bind(table)
            .fetch_optional(&mut *connection)
            .await?;
    let Some(json) = json else { return Ok(None) };
    serde_json::from_str(&json)
        .map(Some)
        .map_err(|_| refusal(table, "its definition in `_tributary_tables` cannot be read".to_owned(), &[]))
}

/// Differences that a message names.
const POINTS_SHOWN: usize = 10;

/// Refuses a table, with the points in which it differs.
pub(super) fn refusal(table: &str, why: String, differs: &[String]) -> Fault {
    let mut why = differs.iter().take(POINTS_SHOWN).fold(why, |mut why, point| {
        let _ = write!(why, "; {point}");
        why
    });
    if let Some(more) = differs.len().checked_sub(POINTS_SHOWN).filter(|more| *more > 0) {
        let _ = write!(why, "; and {more} more");
    }
    let what = format!("Cannot use table `{table}`");
    let fix = "Nothing was touched. Rename or drop that table, or set another file as the target.";
    Fault::refused(TargetErrorKind::Shape, Problem::new("SQLITE-SHAPE", what, why, fix))
}
