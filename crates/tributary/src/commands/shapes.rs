//! The shape that a pipeline's rows get in its target: what `discover` and `preview` share.

use std::time::Duration;

use connectors::coding::tables::TABLES;
use connectors::postgres::target::PostgresTarget;
use connectors::sqlite::target::SqliteTarget;
use engine::custom::CustomFields;
use engine::delivery::filter::Filter;
use engine::delivery::shape::{Mode, Shaper, Task};
use engine::target::{Cell, Column, Inspect, Plan, Room, StoredField, Target, TargetError};
use jiff::SignedDuration;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use serde_json::Value;

use crate::pipeline::{Pipeline, TargetSettings};
use crate::sync::plan;

/// How long somebody waits for a target that is asked by the way.
const ANSWER: Duration = Duration::from_secs(10);

/// What a target has for custom fields.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// Which of them have columns there.
    pub(super) fields: Vec<StoredField>,
    /// How many more columns there can be, by table of the plan.
    pub(super) rooms: Vec<Room>,
}

/// A shaper of all tables, as the pipeline names them, in a mode. Custom fields get the columns that the target has for
/// them (`stored`), or will have.
pub(super) fn shaper(pipeline: &Pipeline, mode: Mode, custom: &CustomFields, stored: &Stored) -> Shaper {
    let mut shaper = plain(pipeline, mode);
    shaper.assign(custom, &stored.fields, &stored.rooms);
    shaper
}

fn plain(pipeline: &Pipeline, mode: Mode) -> Shaper {
    let task = plan::task(pipeline, &TABLES, Filter::default(), false);
    of(pipeline, Task { tables: TABLES.iter().collect(), mode, ..task })
}

/// A shaper of a task of the pipeline.
pub(super) fn of(pipeline: &Pipeline, task: Task) -> Shaper {
    let shaper = Shaper::new(task);
    match &pipeline.target {
        TargetSettings::Sqlite(_) => shaper.for_target::<SqliteTarget>(),
        TargetSettings::Postgres(_) => shaper.for_target::<PostgresTarget>(),
    }
}

/// What the target has for the custom fields of a plan; in one that is not there yet none have a column.
///
/// # Errors
/// It cannot be asked: why, in words.
pub(super) async fn stored(pipeline: &Pipeline, plan: &Plan) -> Result<Stored, String> {
    let asked = async {
        match &pipeline.target {
            TargetSettings::Sqlite(sqlite) if matches!(sqlite.path().try_exists(), Ok(false)) => {
                let rooms = vec![Room::of_new(SqliteTarget::COLUMNS); plan.tables.len()];
                Ok(Stored { fields: Vec::new(), rooms })
            }
            TargetSettings::Sqlite(sqlite) => look(SqliteTarget::new(sqlite.clone()), plan).await,
            TargetSettings::Postgres(postgres) => look(PostgresTarget::new(postgres.clone()), plan).await,
        }
    };
    match tokio::time::timeout(ANSWER, asked).await {
        Ok(stored) => stored.map_err(|error| format!("{}: {}", error.problem.what, error.problem.why)),
        Err(_) => Err(format!("it did not answer within {} s", ANSWER.as_secs())),
    }
}

/// As [`stored`], for one who shows what needs no target: says that it is taken for a new one.
pub(super) async fn stored_or_new(pipeline: &Pipeline) -> Stored {
    let plan = plain(pipeline, Mode::Flat).plan();
    stored(pipeline, &plan).await.unwrap_or_else(|why| {
        tracing::warn!("the target cannot be asked ({why}); custom fields have the columns of a new one");
        Stored::default()
    })
}

async fn look<T: Inspect>(mut target: T, plan: &Plan) -> Result<Stored, TargetError> {
    let looked = target.look(plan).await;
    target.close().await;
    looked.map(|looked| Stored { fields: looked.fields, rooms: looked.rooms })
}

/// A column of the target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ColumnReport {
    pub(super) name: String,
    pub(super) r#type: &'static str,
    /// The custom field behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) field_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) field_name: Option<String>,
}

impl From<&Column> for ColumnReport {
    fn from(column: &Column) -> ColumnReport {
        let custom = column.custom.as_ref();
        ColumnReport {
            name: column.name.clone(),
            r#type: column.kind.name(),
            field_id: custom.map(|custom| custom.field_id),
            field_name: custom.map(|custom| custom.field_name.clone()),
        }
    }
}

/// A cell as JSON: moments in RFC 3339, UTC; days as `2026-01-31`.
pub(super) fn value(cell: Cell) -> Value {
    match cell {
        Cell::Null => Value::Null,
        Cell::Boolean(flag) => Value::from(flag),
        Cell::Integer(number) => Value::from(number),
        Cell::Real(number) => Value::from(number),
        Cell::Text(text) => Value::from(&*text),
        Cell::Json(json) => serde_json::from_str(&json).unwrap_or_else(|_| Value::from(&*json)),
        Cell::Timestamp(microseconds) => match Timestamp::from_microsecond(microseconds) {
            Ok(moment) => Value::from(moment.to_string()),
            Err(_) => Value::from(microseconds),
        },
        Cell::Date(days) => match Date::new(1970, 1, 1)
            .and_then(|day| day.checked_add(SignedDuration::from_hours(24 * i64::from(days))))
        {
            Ok(day) => Value::from(day.to_string()),
            Err(_) => Value::from(days),
        },
    }
}

#[cfg(test)]
mod tests {
    use engine::target::Cell;
    use serde_json::json;

    use super::value;

    #[test]
    fn cells_are_shown_as_json() {
        assert_eq!(value(Cell::Null), json!(null));
        assert_eq!(value(Cell::Json("[1, \"a\"]".into())), json!([1, "a"]));
        assert_eq!(value(Cell::Timestamp(1_500_000)), json!("1970-01-01T00:00:01.5Z"));
        assert_eq!(value(Cell::Date(20_484)), json!("2026-01-31"));
        assert_eq!(value(Cell::Date(-1)), json!("1969-12-31"));
        assert_eq!(value(Cell::Date(i32::MAX)), json!(i32::MAX));
    }
}
