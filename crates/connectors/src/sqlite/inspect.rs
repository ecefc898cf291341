//! Looking into the target without taking it over: nothing but `mend` writes.

use engine::failpoint::Step;
use engine::journal::Limit;
use engine::problem::Problem;
use engine::row::RowId;
use engine::schema::Kind;
use engine::target::{
    Cell, Found, FoundRow, Inspect, Looked, Plan, TableLook, TargetError, TargetErrorKind, TargetTable,
};
use futures::TryStreamExt;
use jiff::Timestamp;
use jiff::civil::Date;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection, TypeInfo, ValueRef};

use super::encode::{add_column, declared_type};
use super::shape;
use super::target::{SqliteTarget, committed};
use super::{WORDS, aside, bookkeeping};
use crate::definition::{self, Object};
use crate::fault::Fault;
use crate::sql::{alive, day, place_columns, quote, read_columns, size, table_at, time};

const MEND: Step = Step::named("sqlite::mend");

/// What `look` found out.
#[derive(Debug)]
pub(super) struct Inspection {
    plan: Plan,
    tables: Vec<TableLook>,
}

impl Inspection {
    /// The table number `at`, and the beginning of a statement that reads its rows of a project; `None` where they
    /// cannot be read. It takes the team and the project.
    fn select(&self, at: usize) -> Result<Option<(&TargetTable, String)>, Fault> {
        let table = table_at(&self.plan, at)?;
        let look = self.tables.get(at).filter(|look| look.readable);
        let Some(look) = look else { return Ok(None) };
        let [team, project, id] = place_columns(table)?;
        // An id that is none cannot be one of ours; SQLite would sort it behind all others.
        let sql = format!(
            "SELECT {} FROM {} WHERE {team} = ? AND {project} = ? AND typeof({id}) = 'integer'{}",
            read_columns(table, &look.unreadable, |_, column| column),
            quote(&table.name),
            alive(table)
        );
        Ok(Some((table, sql)))
    }
}

impl SqliteTarget {
    async fn try_look(&mut self, plan: &Plan) -> Result<Looked, Fault> {
        self.inspection = None;
        if !tokio::fs::try_exists(self.link.path()).await.unwrap_or(true) {
            return Err(Fault::refused(TargetErrorKind::Fatal, nothing_there(self.link.path())));
        }
        let mut snapshot = self.link.connection(false).await?.begin().await?;
        bookkeeping::refuse_newer(&mut snapshot).await?;
        let mut tables = Vec::with_capacity(plan.tables.len());
        for table in &plan.tables {
            let mut look = shape::look(&mut snapshot, table).await?;
            if look.readable {
                look.differs.extend(strangers(&mut snapshot, table).await?);
            }
            tables.push(look);
        }
        let mut looked = Looked {
            position: None,
            owned: Vec::new(),
            fields: Vec::new(),
            rooms: Vec::new(),
            put_aside: 0,
            tables: tables.clone(),
        };
        for table in &plan.tables {
            looked.rooms.push(shape::room(&mut snapshot, table).await?);
        }
        if shape::exists(&mut snapshot, "_tributary_tasks").await? {
            looked.position = bookkeeping::position(&mut snapshot, &plan.task).await?;
            looked.owned = bookkeeping::owned(&mut snapshot, &plan.task).await?;
            looked.put_aside = aside::count(&mut snapshot, &plan.task).await?;
            for table in &plan.tables {
                looked.fields.extend(bookkeeping::fields(&mut snapshot, &table.name).await?);
            }
        }
        snapshot.rollback().await?;
        self.inspection = Some(Inspection { plan: plan.clone(), tables });
        Ok(looked)
    }

    async fn try_read(
        &mut self,
        table: usize,
        place: (&str, &str),
        after: Option<RowId>,
        limit: Limit,
    ) -> Result<Found, Fault> {
        let inspection = self.inspection.as_ref().ok_or_else(|| WORDS.not_open())?;
        let Some((table, sql)) = inspection.select(table)? else { return Ok(nothing()) };
        let [_, _, id] = place_columns(table)?;
        let (beyond, bound) = after.map_or((">=", i64::MIN), |id| (">", id.0));
        let sql = format!("{sql} AND {id} {beyond} ? ORDER BY {id} LIMIT ?");
        let mut snapshot = self.link.connection(false).await?.begin().await?;
        let position = position(&mut snapshot, &inspection.plan.task).await?;
        let query = sqlx::query(AssertSqlSafe(sql)).bind(place.0).bind(place.1).bind(bound).bind(limit.rows);
        let rows = rows(&mut snapshot, query, table, limit.bytes).await?;
        snapshot.rollback().await?;
        Ok(Found { position, rows })
    }

    async fn try_read_some(
        &mut self,
        table: usize,
        place: (&str, &str),
        ids: &[RowId],
    ) -> Result<Found, Fault> {
        let inspection = self.inspection.as_ref().ok_or_else(|| WORDS.not_open())?;
        let Some((table, sql)) = inspection.select(table)? else { return Ok(nothing()) };
        let [_, _, id] = place_columns(table)?;
        let sql = format!("{sql} AND {id} IN (SELECT value FROM json_each(?)) ORDER BY {id}");
        let ids = serde_json::to_string(&ids.iter().map(|id| id.0).collect::<Vec<_>>());
        let ids = ids.map_err(|error| sqlx::Error::Encode(error.into()))?;
        let mut snapshot = self.link.connection(false).await?.begin().await?;
        let position = position(&mut snapshot, &inspection.plan.task).await?;
        let query = sqlx::query(AssertSqlSafe(sql)).bind(place.0).bind(place.1).bind(ids);
        let rows = rows(&mut snapshot, query, table, usize::MAX).await?;
        snapshot.rollback().await?;
        Ok(Found { position, rows })
    }

    async fn try_mend(&mut self, plan: &Plan) -> Result<u64, Fault> {
        let connection = self.link.connection(false).await?;
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        let mut mended = 0_u64;
        for table in &plan.tables {
            let stored = shape::stored_definition(&mut transaction, &table.name).await?;
            let object = shape::object(&mut transaction, &table.name).await?;
            let (Some(stored), Some(Object::Table(real))) = (stored, object) else { continue };
            let broken = definition::broken(&stored, &real, declared_type);
            for (column, kind, is_there) in &broken {
                if *is_there {
                    let sql = format!("ALTER TABLE {} DROP COLUMN {}", quote(&table.name), quote(column));
                    sqlx::query(AssertSqlSafe(sql)).execute(&mut *transaction).await?;
                }
                let sql = add_column(&table.name, column, *kind);
                sqlx::query(AssertSqlSafe(sql)).execute(&mut *transaction).await?;
                mended = mended.saturating_add(1);
            }
            if !broken.is_empty() {
                bookkeeping::restart_all(&mut transaction, &table.name).await?;
            }
        }
        // Beside what was mended there may be what cannot be: then all of it is taken back.
        for table in &plan.tables {
            shape::examine(&mut transaction, table).await?;
        }
        committed(transaction, MEND).await?;
        Ok(mended)
    }
}

impl Inspect for SqliteTarget {
    async fn look(&mut self, plan: &Plan) -> Result<Looked, TargetError> {
        let result = self.try_look(plan).await;
        self.settle("look into", result)
    }

    async fn read(
        &mut self,
        table: usize,
        team: &str,
        project: &str,
        after: Option<RowId>,
        limit: Limit,
    ) -> Result<Found, TargetError> {
        let result = self.try_read(table, (team, project), after, limit).await;
        self.settle("read", result)
    }

    async fn read_some(
        &mut self,
        table: usize,
        team: &str,
        project: &str,
        ids: &[RowId],
    ) -> Result<Found, TargetError> {
        let result = self.try_read_some(table, (team, project), ids).await;
        self.settle("read", result)
    }

    async fn mend(&mut self, plan: &Plan) -> Result<u64, TargetError> {
        let result = self.try_mend(plan).await;
        self.settle("mend the tables of", result)
    }
}

/// Rows that cannot be told by their ids, in words: SQLite takes any value into any column.
async fn strangers(connection: &mut SqliteConnection, table: &TargetTable) -> Result<Option<String>, Fault> {
    let [_, _, id] = place_columns(table)?;
    let is_strange = format!("typeof({id}) <> 'integer'");
    let sql = format!("SELECT count(*) FROM {} WHERE {is_strange}", quote(&table.name));
    let rows: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await?;
    Ok((rows > 0).then(|| {
        format!("{rows} of its rows have no integer as {id} and are not tributary's: delete them (WHERE {is_strange})")
    }))
}

fn nothing_there(path: &std::path::Path) -> Problem {
    Problem::new(
        "SQLITE-MISSING",
        format!("Cannot look into the SQLite file `{}`", path.display()),
        "there is no such file",
        "Check `target.sqlite.path`; `tributary sync` makes the file and fills it.",
    )
}

fn nothing() -> Found {
    Found { position: None, rows: Vec::new() }
}

async fn position(
    connection: &mut SqliteConnection,
    task: &str,
) -> Result<Option<engine::position::Position>, Fault> {
    if !shape::exists(connection, "_tributary_tasks").await? {
        return Ok(None);
    }
    bookkeeping::position(connection, task).await
}

/// The rows of a query, up to so many bytes; one at least.
async fn rows(
    connection: &mut SqliteConnection,
    query: sqlx::query::Query<'_, sqlx::Sqlite, SqliteArguments>,
    table: &TargetTable,
    bytes: usize,
) -> Result<Vec<FoundRow>, Fault> {
    let (mut found, mut read) = (Vec::new(), 0_usize);
    let mut rows = query.fetch(connection);
    while let Some(row) = rows.try_next().await? {
        let cells = table.columns.iter().enumerate().map(|(at, column)| cell(&row, at, column.kind));
        let cells = cells.collect::<Result<Vec<Cell>, Fault>>()?;
        read = cells.iter().fold(read, |sum, cell| sum.saturating_add(size(cell)));
        if let Some(Cell::Integer(id)) = cells.get(2) {
            found.push((RowId(*id), cells));
        }
        if read >= bytes {
            break;
        }
    }
    Ok(found)
}

/// A value as the cell it was written from; as what it is, where it cannot be from a cell of `kind`.
fn cell(row: &SqliteRow, at: usize, kind: Kind) -> Result<Cell, Fault> {
    let raw = row.try_get_raw(at)?;
    if raw.is_null() {
        return Ok(Cell::Null);
    }
    let stored = raw.type_info().name().to_owned();
    Ok(match stored.as_str() {
        "INTEGER" => match (kind, row.try_get_unchecked(at)?) {
            (Kind::Boolean, 0_i64) => Cell::Boolean(false),
            (Kind::Boolean, 1) => Cell::Boolean(true),
            (_, number) => Cell::Integer(number),
        },
        "REAL" => Cell::Real(row.try_get_unchecked(at)?),
        "TEXT" => {
            let bytes: Vec<u8> = row.try_get_unchecked(at)?;
            text(kind, String::from_utf8_lossy(&bytes).into_owned())
        }
        other => Cell::Text(format!("({other})").into()),
    })
}

fn text(kind: Kind, text: String) -> Cell {
    let found = match kind {
        Kind::Timestamp => text.parse::<Timestamp>().ok().map(|at| Cell::Timestamp(at.as_microsecond())),
        Kind::Date => text
            .parse::<Date>()
            .ok()
            .and_then(|day| Some(Cell::Date(Date::constant(1970, 1, 1).until(day).ok()?.get_days()))),
        Kind::Json => Some(Cell::Json(text.as_str().into())),
        Kind::Text | Kind::Integer | Kind::Real | Kind::Boolean => None,
    };
    // Another spelling of the same moment is not what was written.
    let spelled = |cell: &Cell| match cell {
        Cell::Timestamp(micros) => time(*micros),
        Cell::Date(days) => day(*days),
        _ => Some(text.clone()),
    };
    found.filter(|cell| spelled(cell).as_ref() == Some(&text)).unwrap_or_else(|| Cell::Text(text.into()))
}
