//! The target itself: one connection, one transaction per call.
//!
//! Each call begins with `BEGIN IMMEDIATE`, so that it waits for another writer at its beginning and never in
//! its middle. After an error the connection is thrown away and the next call makes a new one: SQLite ends some
//! transactions by itself (a full disk), and a connection in doubt is worth nothing.

use engine::failpoint::Step;
use engine::position::{Position, RebuildReason};
use engine::problem::Problem;
use engine::row::RowId;
use engine::target::{
    Batch, Cell, Effect, Opened, Owned, Plan, Target, TargetError, TargetErrorKind, TargetTable,
};
#[cfg(test)]
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, Connection, Sqlite, SqliteConnection, Transaction};

use super::config::Validated;
use super::encode::{self, MAX_COLUMNS, Statements};
use super::fault::{COMFORTABLE_ROOM, into_error, room};
use super::inspect::Inspection;
use super::link::{Link, enter_wal};
use super::write::write_table;
use super::{WORDS, aside, bookkeeping, shape};
use crate::definition::{Definition, Fit, Standing};
use crate::fault::Fault;
use crate::sql::{alive, by_table, key_json, place_columns, quote, table_at};

const OPEN: Step = Step::named("sqlite::open");
const PREPARE: Step = Step::named("sqlite::prepare");
const OWN: Step = Step::named("sqlite::own");
const DISOWN: Step = Step::named("sqlite::disown");
const WRITE: Step = Step::named("sqlite::write");
const PUT_ASIDE: Step = Step::named("sqlite::aside");
const SHAPE: Step = Step::named("sqlite::shape");

/// Writes the tables of one task into a SQLite file.
#[derive(Debug)]
pub struct SqliteTarget {
    pub(super) link: Link,
    session: Option<Session>,
    pub(super) inspection: Option<Inspection>,
}

/// What `open` found out.
#[derive(Debug)]
struct Session {
    plan: Plan,
    epoch: i64,
    /// For each table of the plan.
    statements: Vec<Statements>,
    /// Whether rows of the task may be aside.
    aside: bool,
}

impl SqliteTarget {
    /// A target that has not been opened yet.
    #[must_use]
    pub fn new(file: Validated) -> SqliteTarget {
        SqliteTarget { link: Link::new(file, |options| options), session: None, inspection: None }
    }

    /// A target whose connections are made differently: smaller, or read-only.
    #[cfg(test)]
    pub(super) fn adjusted(
        file: Validated,
        adjust: fn(SqliteConnectOptions) -> SqliteConnectOptions,
    ) -> SqliteTarget {
        SqliteTarget { link: Link::new(file, adjust), session: None, inspection: None }
    }

    /// The transaction that a call works in, and what `open` found out.
    async fn begin(&mut self) -> Result<(Transaction<'_, Sqlite>, &mut Session), Fault> {
        if self.session.is_none() {
            return Err(WORDS.not_open());
        }
        self.link.same_file().await?;
        let connection = self.link.connection(false).await?;
        let session = self.session.as_mut().ok_or_else(|| WORDS.not_open())?;
        Ok((connection.begin_with("BEGIN IMMEDIATE").await?, session))
    }

    /// Turns a fault into what the engine gets, and throws away the connection it happened on.
    pub(super) fn settle<T>(&mut self, doing: &str, result: Result<T, Fault>) -> Result<T, TargetError> {
        result.map_err(|fault| {
            self.link.drop_connection();
            into_error(fault, self.link.path(), doing)
        })
    }

    async fn try_open(&mut self, plan: &Plan) -> Result<Opened, Fault> {
        self.session = None;
        let path = self.link.path().to_owned();
        if let Some(left) = room(&path).filter(|left| *left < COMFORTABLE_ROOM) {
            tracing::warn!(file = %path.display(), left_mb = left >> 20, "the disk of the target has little room left");
        }
        let connection = self.link.connection(true).await?;
        // Looked at before anything is written: a file with a foreign table stays as it is, bit by bit. In one
        // transaction, so that a table another task makes meanwhile is not taken for a foreign one.
        let mut look = connection.begin().await?;
        bookkeeping::refuse_newer(&mut look).await?;
        for table in &plan.tables {
            shape::examine(&mut look, table).await?;
        }
        look.commit().await?;
        let mode = enter_wal(connection).await?;
        if !mode.eq_ignore_ascii_case("wal") {
            let problem = Problem::new(
                "SQLITE-WAL",
                format!("Cannot use the SQLite file `{}`", path.display()),
                format!(
                    "its file system allows journal mode `{mode}` only, in which readers stop the writer"
                ),
                "Put the file on a local disk; network shares cannot do it.",
            );
            return Err(Fault::refused(TargetErrorKind::Fatal, problem));
        }
        let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
        bookkeeping::create(&mut transaction).await?;
        let mut lost = false;
        for table in &plan.tables {
            match shape::examine(&mut transaction, table).await? {
                Standing::Lost => {
                    tracing::warn!(table = %table.name, "a table of the target is gone; it is made anew");
                    lost = true;
                }
                Standing::Ours(_, Fit::Differs(points)) => {
                    shape::refuse_shared(&mut transaction, &plan.task, table, &points).await?;
                }
                Standing::Missing | Standing::Ours(_, Fit::Same | Fit::Lacks(_)) => {}
            }
        }
        let epoch = bookkeeping::raise_epoch(&mut transaction, &plan.task).await?;
        let position = bookkeeping::position(&mut transaction, &plan.task).await?;
        let owned = bookkeeping::owned(&mut transaction, &plan.task).await?;
        let (mut fields, mut rooms) = (Vec::new(), Vec::new());
        for table in &plan.tables {
            fields.extend(bookkeeping::fields(&mut transaction, &table.name).await?);
            rooms.push(shape::room(&mut transaction, table).await?);
        }
        let aside = aside::count(&mut transaction, &plan.task).await? > 0;
        committed(transaction, OPEN).await?;
        let statements = plan.tables.iter().map(|table| Statements::of(table, &[])).collect();
        self.session = Some(Session { plan: plan.clone(), epoch, statements, aside });
        // Without one of its tables the target is not where the position says.
        Ok(Opened { position: position.filter(|_| !lost), owned, fields, rooms })
    }

    async fn try_prepare(
        &mut self,
        plan: &Plan,
        rebuild: Option<RebuildReason>,
        position: &Position,
    ) -> Result<(), Fault> {
        let (mut transaction, session) = self.begin().await?;
        bookkeeping::advance(&mut transaction, &plan.task, session.epoch, position).await?;
        let mut statements = Vec::with_capacity(plan.tables.len());
        for table in &plan.tables {
            let leftovers = prepare_table(&mut transaction, &plan.task, table, rebuild).await?;
            statements.push(Statements::of(table, &leftovers));
            bookkeeping::note_fields(&mut transaction, table).await?;
        }
        let names: Vec<&str> = plan.tables.iter().map(|table| table.name.as_str()).collect();
        // Read before tables are given up: a project known from one of them is written into the new ones as well.
        let projects = bookkeeping::owned(&mut transaction, &plan.task).await?;
        bookkeeping::release(&mut transaction, &plan.task, &names).await?;
        for owned in &projects {
            for name in &names {
                bookkeeping::own(&mut transaction, &plan.task, name, owned).await?;
            }
        }
        if rebuild.is_some() {
            aside::clear(&mut transaction, &plan.task).await?;
        }
        committed(transaction, PREPARE).await?;
        session.plan = plan.clone();
        session.statements = statements;
        Ok(())
    }

    async fn try_own(&mut self, projects: &[Owned]) -> Result<(), Fault> {
        let (mut transaction, session) = self.begin().await?;
        let plan = &session.plan;
        bookkeeping::fence(&mut transaction, &plan.task, session.epoch).await?;
        for owned in projects {
            for table in &plan.tables {
                bookkeeping::own(&mut transaction, &plan.task, &table.name, owned).await?;
            }
        }
        committed(transaction, OWN).await
    }

    async fn try_disown(&mut self, projects: &[Owned]) -> Result<(), Fault> {
        let (mut transaction, session) = self.begin().await?;
        bookkeeping::fence(&mut transaction, &session.plan.task, session.epoch).await?;
        for owned in projects {
            bookkeeping::disown(&mut transaction, &session.plan.task, owned).await?;
        }
        committed(transaction, DISOWN).await
    }

    async fn try_write(&mut self, batch: &Batch) -> Result<Vec<Effect>, Fault> {
        let (mut transaction, session) = self.begin().await?;
        let plan = &session.plan;
        bookkeeping::advance(&mut transaction, &plan.task, session.epoch, &batch.position).await?;
        let mut effects = Vec::with_capacity(plan.tables.len());
        for ((table, statements), rows) in plan.tables.iter().zip(&session.statements).zip(&batch.tables) {
            let written = write_table(&mut transaction, table, statements, rows).await;
            effects.push(written.map_err(Fault::of_rows)?);
            if session.aside {
                aside::settle(&mut transaction, &plan.task, &table.name, table.key_columns, rows).await?;
            }
        }
        // What is checked late is still a matter of the rows.
        committed(transaction, WRITE).await.map_err(Fault::of_rows)?;
        Ok(effects)
    }

    async fn try_put_aside(&mut self, table: usize, key: &[Cell], reason: &str) -> Result<(), Fault> {
        let (mut transaction, session) = self.begin().await?;
        session.aside = true;
        let plan = &session.plan;
        bookkeeping::fence(&mut transaction, &plan.task, session.epoch).await?;
        let name = &table_at(plan, table)?.name;
        let key = key_json(key);
        aside::put(&mut transaction, &plan.task, name, &key, reason).await?;
        committed(transaction, PUT_ASIDE).await
    }

    async fn try_aside(&mut self) -> Result<Vec<u64>, Fault> {
        let plan = &self.session.as_ref().ok_or_else(|| WORDS.not_open())?.plan;
        let connection = self.link.connection(false).await?;
        Ok(by_table(plan, &aside::counts(connection, &plan.task).await?))
    }

    async fn try_ids(
        &mut self,
        table: usize,
        team: &str,
        project: &str,
        after: Option<RowId>,
        limit: u32,
    ) -> Result<Vec<RowId>, Fault> {
        let session = self.session.as_ref().ok_or_else(|| WORDS.not_open())?;
        let connection = self.link.connection(false).await?;
        let table = table_at(&session.plan, table)?;
        let [team_column, project_column, id_column] = place_columns(table)?;
        // Without `after` the smallest possible id is the bound, and included.
        let (beyond, bound) = after.map_or((">=", i64::MIN), |id| (">", id.0));
        // What somebody put there under another kind of key is none of ours; `verify` names it.
        let sql = format!(
            "SELECT {id_column} FROM {} WHERE {team_column} = ? AND {project_column} = ? AND {id_column} {beyond} ? \
             AND typeof({id_column}) = 'integer'{} ORDER BY {id_column} LIMIT ?",
            quote(&table.name),
            alive(table)
        );
        let ids: Vec<i64> = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(team)
            .bind(project)
            .bind(bound)
            .bind(limit)
            .fetch_all(connection)
            .await?;
        Ok(ids.into_iter().map(RowId).collect())
    }

    async fn try_count(&mut self, table: usize, projects: &[Owned]) -> Result<u64, Fault> {
        let session = self.session.as_ref().ok_or_else(|| WORDS.not_open())?;
        let connection = self.link.connection(false).await?;
        let table = table_at(&session.plan, table)?;
        let [team_column, project_column, _] = place_columns(table)?;
        let sql = format!(
            "SELECT count(*) FROM {} WHERE {team_column} = ? AND {project_column} = ?{}",
            quote(&table.name),
            alive(table)
        );
        let mut places: Vec<(&str, &str)> =
            projects.iter().map(|owned| (owned.team.as_str(), owned.project.as_str())).collect();
        places.sort_unstable();
        places.dedup();
        let mut total = 0_u64;
        for (team, project) in places {
            let count: i64 = sqlx::query_scalar(AssertSqlSafe(sql.as_str()))
                .bind(team)
                .bind(project)
                .fetch_one(&mut *connection)
                .await?;
            total = total.saturating_add(u64::try_from(count).unwrap_or(0));
        }
        Ok(total)
    }
}

impl Target for SqliteTarget {
    const COLUMNS: usize = MAX_COLUMNS;

    async fn open(&mut self, plan: &Plan) -> Result<Opened, TargetError> {
        let result = self.try_open(plan).await;
        self.settle("open", result)
    }

    async fn prepare(
        &mut self,
        plan: &Plan,
        rebuild: Option<RebuildReason>,
        position: &Position,
    ) -> Result<(), TargetError> {
        let result = self.try_prepare(plan, rebuild, position).await;
        self.settle("prepare the tables of", result)
    }

    async fn own(&mut self, projects: &[Owned]) -> Result<(), TargetError> {
        let result = self.try_own(projects).await;
        self.settle("write to", result)
    }

    async fn disown(&mut self, projects: &[Owned]) -> Result<(), TargetError> {
        let result = self.try_disown(projects).await;
        self.settle("write to", result)
    }

    async fn write(&mut self, batch: &Batch) -> Result<Vec<Effect>, TargetError> {
        let result = self.try_write(batch).await;
        self.settle("write to", result)
    }

    async fn ids(
        &mut self,
        table: usize,
        team: &str,
        project: &str,
        after: Option<RowId>,
        limit: u32,
    ) -> Result<Vec<RowId>, TargetError> {
        let result = self.try_ids(table, team, project, after, limit).await;
        self.settle("read", result)
    }

    async fn count(&mut self, table: usize, projects: &[Owned]) -> Result<u64, TargetError> {
        let result = self.try_count(table, projects).await;
        self.settle("read", result)
    }

    async fn put_aside(&mut self, table: usize, key: &[Cell], reason: &str) -> Result<(), TargetError> {
        let result = self.try_put_aside(table, key, reason).await;
        self.settle("write to", result)
    }

    async fn aside(&mut self) -> Result<Vec<u64>, TargetError> {
        let result = self.try_aside().await;
        self.settle("read", result)
    }

    async fn close(self) {
        self.link.close().await;
    }
}

/// Makes one table fit; gives the columns it has beyond the plan.
async fn prepare_table(
    connection: &mut SqliteConnection,
    task: &str,
    table: &TargetTable,
    rebuild: Option<RebuildReason>,
) -> Result<Vec<String>, Fault> {
    let wanted = Definition::of(table);
    match shape::examine(connection, table).await? {
        Standing::Ours(stored, Fit::Same) => return Ok(stored.leftovers(&wanted)),
        Standing::Ours(mut stored, Fit::Lacks(places)) => {
            for at in places {
                let (Some(column), Some(defined)) = (table.columns.get(at), wanted.columns.get(at)) else {
                    continue;
                };
                let sql = encode::add_column(&table.name, &column.name, column.kind);
                change_shape(&mut *connection, sql).await?;
                stored.columns.push(defined.clone());
            }
            bookkeeping::define(connection, &table.name, &stored).await?;
            return Ok(stored.leftovers(&wanted));
        }
        Standing::Ours(_, Fit::Differs(points)) => {
            shape::refuse_shared(connection, task, table, &points).await?;
            if rebuild.is_none() {
                let why = "the task would fill it in another shape".to_owned();
                return Err(WORDS.shape(&table.name, why, &points));
            }
            let sql = format!("DROP TABLE {}", quote(&table.name));
            change_shape(&mut *connection, sql).await?;
        }
        Standing::Lost => bookkeeping::restart_others(connection, task, &table.name).await?,
        Standing::Missing => {}
    }
    change_shape(&mut *connection, encode::create_table(table)).await?;
    bookkeeping::define(connection, &table.name, &wanted).await?;
    Ok(Vec::new())
}

/// Commits the transaction of a step.
pub(super) async fn committed(transaction: Transaction<'_, Sqlite>, step: Step) -> Result<(), Fault> {
    step.before()?;
    transaction.commit().await?;
    Ok(step.after()?)
}

/// Makes a table, or changes it.
async fn change_shape(connection: &mut SqliteConnection, sql: String) -> Result<(), Fault> {
    SHAPE.before()?;
    sqlx::query(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(SHAPE.after()?)
}
