//! Looking into the target without taking it over: nothing but `mend` writes.

use engine::failpoint::Step;
use engine::journal::Limit;
use engine::row::RowId;
use engine::schema::Kind;
use engine::target::{Cell, Found, FoundRow, Inspect, Looked, Plan, TableLook, TargetError, TargetTable};
use futures::TryStreamExt;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{AssertSqlSafe, PgConnection, Row, ValueRef};

use super::config::Validated;
use super::encode::{add_column, cell_of, declared_type};
use super::link::within;
use super::shape;
use super::statement::query;
use super::target::{PostgresTarget, committed};
use super::{WORDS, aside, bookkeeping, demands};
use crate::definition::{self, Object};
use crate::fault::Fault;
use crate::sql::{alive, place_columns, quote, read_columns, size, table_at};

const MEND: Step = Step::named("postgres::mend");

/// What `look` found out.
#[derive(Debug)]
pub(super) struct Inspection {
    plan: Plan,
    tables: Vec<TableLook>,
}

impl Inspection {
    /// The table number `at`, and the beginning of a statement that reads its rows of a project; `None` where they
    /// cannot be read. It takes the team and the project.
    fn select(&self, place: &Validated, at: usize) -> Result<Option<(&TargetTable, String)>, Fault> {
        let table = table_at(&self.plan, at)?;
        let look = self.tables.get(at).filter(|look| look.readable);
        let Some(look) = look else { return Ok(None) };
        let [team, project, _] = place_columns(table)?;
        let as_text = |kind: Kind, column: String| match kind {
            Kind::Json => format!("{column}::text"),
            _ => column,
        };
        let sql = format!(
            "SELECT {} FROM {} WHERE {team} = $1 AND {project} = $2{}",
            read_columns(table, &look.unreadable, as_text),
            place.name(&table.name),
            alive(table)
        );
        Ok(Some((table, sql)))
    }
}

impl PostgresTarget {
    fn inspection(&self) -> Result<&Inspection, Fault> {
        self.inspection.as_ref().ok_or_else(|| WORDS.not_open())
    }

    async fn try_look(&mut self, plan: &Plan) -> Result<(Looked, PgConnection), Fault> {
        self.inspection = None;
        let mut connection = self.link.take().await?;
        let place = self.link.place();
        let mut transaction = self.link.begin(&mut connection).await?;
        demands::refuse_foreign(&mut transaction, place, &plan.tables).await?;
        bookkeeping::refuse_newer(&mut transaction, place).await?;
        let mut tables = Vec::with_capacity(plan.tables.len());
        for table in &plan.tables {
            tables.push(shape::look(&mut transaction, place, table).await?);
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
            looked.rooms.push(shape::room(&mut transaction, place, table).await?);
        }
        if shape::exists(&mut transaction, place, "_tributary_tasks").await? {
            looked.position = bookkeeping::position(&mut transaction, place, &plan.task).await?;
            looked.owned = bookkeeping::owned(&mut transaction, place, &plan.task).await?;
            looked.put_aside = aside::count(&mut transaction, place, &plan.task).await?;
            for table in &plan.tables {
                looked.fields.extend(bookkeeping::fields(&mut transaction, place, &table.name).await?);
            }
        }
        transaction.commit().await?;
        self.inspection = Some(Inspection { plan: plan.clone(), tables });
        Ok((looked, connection))
    }

    async fn try_read(
        &mut self,
        table: usize,
        of: (&str, &str),
        after: Option<RowId>,
        limit: Limit,
    ) -> Result<(Found, PgConnection), Fault> {
        let mut connection = self.link.take().await?;
        let inspection = self.inspection()?;
        let place = self.link.place();
        let Some((table, sql)) = inspection.select(place, table)? else { return Ok((nothing(), connection)) };
        let [_, _, id] = place_columns(table)?;
        let (beyond, bound) = after.map_or((">=", i64::MIN), |id| (">", id.0));
        let sql = format!("{sql} AND {id} {beyond} $3 ORDER BY {id} LIMIT $4");
        let mut transaction = self.link.begin(&mut connection).await?;
        let position = position(&mut transaction, place, &inspection.plan.task).await?;
        let query = query(AssertSqlSafe(sql)).bind(of.0).bind(of.1);
        let query = query.bind(bound).bind(i64::from(limit.rows));
        let rows = rows(&mut transaction, query, table, limit.bytes).await?;
        transaction.commit().await?;
        Ok((Found { position, rows }, connection))
    }

    async fn try_read_some(
        &mut self,
        table: usize,
        of: (&str, &str),
        ids: &[RowId],
    ) -> Result<(Found, PgConnection), Fault> {
        let mut connection = self.link.take().await?;
        let inspection = self.inspection()?;
        let place = self.link.place();
        let Some((table, sql)) = inspection.select(place, table)? else { return Ok((nothing(), connection)) };
        let [_, _, id] = place_columns(table)?;
        let sql = format!("{sql} AND {id} = ANY($3) ORDER BY {id}");
        let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
        let mut transaction = self.link.begin(&mut connection).await?;
        let position = position(&mut transaction, place, &inspection.plan.task).await?;
        let query = query(AssertSqlSafe(sql)).bind(of.0).bind(of.1).bind(ids);
        let rows = rows(&mut transaction, query, table, usize::MAX).await?;
        transaction.commit().await?;
        Ok((Found { position, rows }, connection))
    }

    async fn try_mend(&mut self, plan: &Plan) -> Result<(u64, PgConnection), Fault> {
        let mut connection = self.link.take().await?;
        let place = self.link.place();
        let mut transaction = self.link.begin(&mut connection).await?;
        bookkeeping::lock(&mut transaction, place).await?;
        demands::refuse_foreign(&mut transaction, place, &plan.tables).await?;
        let mut mended = 0_u64;
        for table in &plan.tables {
            let stored = shape::stored_definition(&mut transaction, place, &table.name).await?;
            let object = shape::object(&mut transaction, place, &table.name).await?;
            let (Some(stored), Some(Object::Table(real))) = (stored, object) else { continue };
            let broken = definition::broken(&stored, &real, declared_type);
            for (column, kind, is_there) in &broken {
                if *is_there {
                    let sql =
                        format!("ALTER TABLE {} DROP COLUMN {}", place.name(&table.name), quote(column));
                    query(AssertSqlSafe(sql)).execute(&mut *transaction).await?;
                }
                let sql = add_column(place, &table.name, column, *kind);
                query(AssertSqlSafe(sql)).execute(&mut *transaction).await?;
                mended = mended.saturating_add(1);
            }
            if !broken.is_empty() {
                bookkeeping::restart_all(&mut transaction, place, &table.name).await?;
            }
        }
        // Beside what was mended there may be what cannot be: then all of it is taken back.
        for table in &plan.tables {
            shape::examine(&mut transaction, place, table).await?;
        }
        committed(transaction, MEND).await?;
        Ok((mended, connection))
    }
}

impl Inspect for PostgresTarget {
    async fn look(&mut self, plan: &Plan) -> Result<Looked, TargetError> {
        let result = within(self.link.patience(), self.try_look(plan)).await;
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
        let patience = self.link.patience();
        let result = within(patience, self.try_read(table, (team, project), after, limit)).await;
        self.settle("read", result)
    }

    async fn read_some(
        &mut self,
        table: usize,
        team: &str,
        project: &str,
        ids: &[RowId],
    ) -> Result<Found, TargetError> {
        let result = within(self.link.patience(), self.try_read_some(table, (team, project), ids)).await;
        self.settle("read", result)
    }

    async fn mend(&mut self, plan: &Plan) -> Result<u64, TargetError> {
        let result = within(self.link.patience(), self.try_mend(plan)).await;
        self.settle("mend the tables in", result)
    }
}

fn nothing() -> Found {
    Found { position: None, rows: Vec::new() }
}

async fn position(
    connection: &mut PgConnection,
    place: &Validated,
    task: &str,
) -> Result<Option<engine::position::Position>, Fault> {
    if !shape::exists(connection, place, "_tributary_tasks").await? {
        return Ok(None);
    }
    bookkeeping::position(connection, place, task).await
}

/// The rows of a query, up to so many bytes; one at least.
async fn rows(
    connection: &mut PgConnection,
    query: sqlx::query::Query<'_, sqlx::Postgres, PgArguments>,
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

/// A value as the cell it was written from.
fn cell(row: &PgRow, at: usize, kind: Kind) -> Result<Cell, Fault> {
    let raw = row.try_get_raw(at)?;
    if raw.is_null() {
        return Ok(Cell::Null);
    }
    let bytes = raw.as_bytes().map_err(sqlx::Error::Decode)?;
    cell_of(kind, bytes).ok_or_else(|| sqlx::Error::Decode("a value is cut short".into()).into())
}
