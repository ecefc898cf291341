//! The target itself: one connection, one transaction per call.
//!
//! Each call begins with `BEGIN IMMEDIATE`, so that it waits for another writer at its beginning and never in
//! its middle. After an error the connection is thrown away and the next call makes a new one: SQLite ends some
//! transactions by itself (a full disk), and a connection in doubt is worth nothing.

use std::path::Path;
use std::time::Duration;

use engine::position::{Position, RebuildReason};
use engine::problem::Problem;
use engine::row::RowId;
use engine::target::{
    Batch, Cell, Effect, Opened, Owned, Plan, TableBatch, Target, TargetError, TargetErrorKind, TargetTable,
};
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, Connection, Sqlite, SqliteConnection, Transaction};
use tokio::time::Instant;

use super::config::{BUSY_TIMEOUT, Validated};
use super::encode::{self, Statements, Unstorable, bind_row};
use super::fault::{into_error, is_busy};
use super::{WORDS, bookkeeping, shape};
use crate::definition::{Definition, Fit, Standing};
use crate::fault::Fault;
use crate::sql::{alive, key_json, place_columns, quote, table_at, time};

/// How soon to ask for WAL again: turning a file takes a few milliseconds.
const WAL_RETRY: Duration = Duration::from_millis(10);

/// Writes the tables of one task into a SQLite file.
#[derive(Debug)]
pub struct SqliteTarget {
    file: Validated,
    adjust: fn(SqliteConnectOptions) -> SqliteConnectOptions,
    link: Link,
    session: Option<Session>,
}

/// The connection, and the file it leads to.
#[derive(Debug, Default)]
struct Link {
    connection: Option<SqliteConnection>,
    /// What tells the opened file from another one of the same name.
    identity: Option<(u64, u64)>,
}

/// What `open` found out.
#[derive(Debug)]
struct Session {
    plan: Plan,
    epoch: i64,
    /// For each table of the plan.
    statements: Vec<Statements>,
}

impl SqliteTarget {
    /// A target that has not been opened yet.
    #[must_use]
    pub fn new(file: Validated) -> SqliteTarget {
        SqliteTarget { file, adjust: |options| options, link: Link::default(), session: None }
    }

    /// A target whose connections are made differently: smaller, or read-only.
    #[cfg(test)]
    pub(super) fn adjusted(
        file: Validated,
        adjust: fn(SqliteConnectOptions) -> SqliteConnectOptions,
    ) -> SqliteTarget {
        SqliteTarget { adjust, ..SqliteTarget::new(file) }
    }

    async fn connect(&mut self, create: bool) -> Result<(), Fault> {
        if self.link.connection.is_none() {
            let options = self.file.options().create_if_missing(create);
            self.link.connection = Some((self.adjust)(options).connect().await?);
            self.link.identity = identity(self.file.path()).await;
        }
        Ok(())
    }

    /// The transaction that a call works in, and what `open` found out.
    async fn begin(&mut self) -> Result<(Transaction<'_, Sqlite>, &mut Session), Fault> {
        if self.session.is_none() {
            return Err(WORDS.not_open());
        }
        if self.link.connection.is_some() && identity(self.file.path()).await != self.link.identity {
            self.link.connection = None;
            let problem = Problem::new(
                "SQLITE-REPLACED",
                format!("Cannot go on writing to the SQLite file `{}`", self.file.path().display()),
                "the file was deleted, or another one was put in its place",
                "Start again; what the file lacks is written from the journal.",
            );
            return Err(Fault::refused(TargetErrorKind::Fatal, problem));
        }
        self.connect(false).await?;
        match (&mut self.link.connection, &mut self.session) {
            (Some(connection), Some(session)) => {
                Ok((connection.begin_with("BEGIN IMMEDIATE").await?, session))
            }
            _ => Err(sqlx::Error::WorkerCrashed.into()),
        }
    }

    /// Turns a fault into what the engine gets, and throws away the connection it happened on.
    fn settle<T>(&mut self, doing: &str, result: Result<T, Fault>) -> Result<T, TargetError> {
        result.map_err(|fault| {
            self.link.connection = None;
            into_error(fault, self.file.path(), doing)
        })
    }

    async fn try_open(&mut self, plan: &Plan) -> Result<Opened, Fault> {
        self.session = None;
        self.connect(true).await?;
        let Some(connection) = &mut self.link.connection else {
            return Err(sqlx::Error::WorkerCrashed.into());
        };
        // Looked at before anything is written: a file with a foreign table stays as it is, bit by bit. In one
        // transaction, so that a table another task makes meanwhile is not taken for a foreign one.
        let mut look = connection.begin().await?;
        for table in &plan.tables {
            shape::examine(&mut look, table).await?;
        }
        look.commit().await?;
        let mode = enter_wal(connection).await?;
        if !mode.eq_ignore_ascii_case("wal") {
            let problem = Problem::new(
                "SQLITE-WAL",
                format!("Cannot use the SQLite file `{}`", self.file.path().display()),
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
                    refuse_shared(&mut transaction, &plan.task, table, &points).await?;
                }
                Standing::Missing | Standing::Ours(_, Fit::Same | Fit::Lacks(_)) => {}
            }
        }
        let epoch = bookkeeping::raise_epoch(&mut transaction, &plan.task).await?;
        let position = bookkeeping::position(&mut transaction, &plan.task).await?;
        let owned = bookkeeping::owned(&mut transaction, &plan.task).await?;
        let mut fields = Vec::new();
        for table in &plan.tables {
            fields.extend(bookkeeping::fields(&mut transaction, &table.name).await?);
        }
        transaction.commit().await?;
        let statements = plan.tables.iter().map(|table| Statements::of(table, &[])).collect();
        self.session = Some(Session { plan: plan.clone(), epoch, statements });
        // Without one of its tables the target is not where the position says.
        Ok(Opened { position: position.filter(|_| !lost), owned, fields })
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
            bookkeeping::clear_aside(&mut transaction, &plan.task).await?;
        }
        transaction.commit().await?;
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
        Ok(transaction.commit().await?)
    }

    async fn try_disown(&mut self, projects: &[Owned]) -> Result<(), Fault> {
        let (mut transaction, session) = self.begin().await?;
        bookkeeping::fence(&mut transaction, &session.plan.task, session.epoch).await?;
        for owned in projects {
            bookkeeping::disown(&mut transaction, &session.plan.task, owned).await?;
        }
        Ok(transaction.commit().await?)
    }

    async fn try_write(&mut self, batch: &Batch) -> Result<Vec<Effect>, Fault> {
        let (mut transaction, session) = self.begin().await?;
        let plan = &session.plan;
        bookkeeping::advance(&mut transaction, &plan.task, session.epoch, &batch.position).await?;
        let mut effects = Vec::with_capacity(plan.tables.len());
        for ((table, statements), rows) in plan.tables.iter().zip(&session.statements).zip(&batch.tables) {
            effects.push(write_table(&mut transaction, table, statements, rows).await?);
        }
        transaction.commit().await?;
        Ok(effects)
    }

    async fn try_put_aside(&mut self, table: usize, key: &[Cell], reason: &str) -> Result<(), Fault> {
        let (mut transaction, session) = self.begin().await?;
        let plan = &session.plan;
        bookkeeping::fence(&mut transaction, &plan.task, session.epoch).await?;
        let name = &table_at(plan, table)?.name;
        let key = key_json(key);
        bookkeeping::put_aside(&mut transaction, &plan.task, name, &key, reason).await?;
        Ok(transaction.commit().await?)
    }

    async fn try_ids(
        &mut self,
        table: usize,
        team: &str,
        project: &str,
        after: Option<RowId>,
        limit: u32,
    ) -> Result<Vec<RowId>, Fault> {
        self.connect(false).await?;
        let (Some(connection), Some(session)) = (&mut self.link.connection, &self.session) else {
            return Err(sqlx::Error::WorkerCrashed.into());
        };
        let table = table_at(&session.plan, table)?;
        let [team_column, project_column, id_column] = place_columns(table)?;
        // Without `after` the smallest possible id is the bound, and included.
        let (beyond, bound) = after.map_or((">=", i64::MIN), |id| (">", id.0));
        let sql = format!(
            "SELECT {id_column} FROM {} WHERE {team_column} = ? AND {project_column} = ? AND {id_column} {beyond} ?{} \
             ORDER BY {id_column} LIMIT ?",
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
        self.connect(false).await?;
        let (Some(connection), Some(session)) = (&mut self.link.connection, &self.session) else {
            return Err(sqlx::Error::WorkerCrashed.into());
        };
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

    async fn close(mut self) {
        if let Some(connection) = self.link.connection.take()
            && let Err(error) = connection.close().await
        {
            // Everything was committed before; the next one to open the file tidies up.
            tracing::warn!(%error, "the target file was not closed cleanly");
        }
    }
}

/// Turns the file to WAL and says in which mode it is then. SQLite gives up at once, without the busy time-out,
/// when another task turns the same new file at the same moment.
async fn enter_wal(connection: &mut SqliteConnection) -> Result<String, sqlx::Error> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        let mode = sqlx::query_scalar("PRAGMA journal_mode = WAL").fetch_one(&mut *connection).await;
        match mode {
            Err(error) if is_busy(&error) && Instant::now() < deadline => tokio::time::sleep(WAL_RETRY).await,
            mode => return mode,
        }
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
                sqlx::query(AssertSqlSafe(sql)).execute(&mut *connection).await?;
                stored.columns.push(defined.clone());
            }
            bookkeeping::define(connection, &table.name, &stored).await?;
            return Ok(stored.leftovers(&wanted));
        }
        Standing::Ours(_, Fit::Differs(points)) => {
            refuse_shared(connection, task, table, &points).await?;
            if rebuild.is_none() {
                let why = "the task would fill it in another shape".to_owned();
                return Err(WORDS.shape(&table.name, why, &points));
            }
            let sql = format!("DROP TABLE {}", quote(&table.name));
            sqlx::query(AssertSqlSafe(sql)).execute(&mut *connection).await?;
        }
        Standing::Lost => bookkeeping::restart_others(connection, task, &table.name).await?,
        Standing::Missing => {}
    }
    sqlx::query(AssertSqlSafe(encode::create_table(table))).execute(&mut *connection).await?;
    bookkeeping::define(connection, &table.name, &wanted).await?;
    Ok(Vec::new())
}

/// Refuses a table of another shape if another task has rows in it.
async fn refuse_shared(
    connection: &mut SqliteConnection,
    task: &str,
    table: &TargetTable,
    points: &[String],
) -> Result<(), Fault> {
    match bookkeeping::other_owner(connection, &table.name, task).await? {
        None => Ok(()),
        Some(other) => {
            let why = format!("task `{other}` fills the same table in another shape");
            Err(WORDS.shape(&table.name, why, points))
        }
    }
}

async fn write_table(
    connection: &mut SqliteConnection,
    table: &TargetTable,
    statements: &Statements,
    batch: &TableBatch,
) -> Result<Effect, Fault> {
    let mut effect = Effect::default();
    for (statement, keys) in encode::pieces(&statements.delete, &batch.deletes) {
        let mut arguments = SqliteArguments::default();
        if table.deleted_at.is_some() {
            let now = time(batch.now).ok_or(Unstorable::Time(batch.now))?;
            arguments.add(now.as_str()).map_err(|_| Unstorable::Driver)?;
            arguments.add(now).map_err(|_| Unstorable::Driver)?;
        }
        for key in keys {
            bind_row(&mut arguments, table, table.key_columns, key)?;
        }
        let done =
            sqlx::query_with(AssertSqlSafe(statement.clone()), arguments).execute(&mut *connection).await?;
        effect.deleted = effect.deleted.saturating_add(done.rows_affected());
    }
    if batch.upserts.is_empty() {
        return Ok(effect);
    }
    // New rows get row numbers after the largest one.
    let name = quote(&table.name);
    let largest: i64 =
        sqlx::query_scalar(AssertSqlSafe(format!("SELECT coalesce(max(rowid), 0) FROM {name}")))
            .fetch_one(&mut *connection)
            .await?;
    for (statement, rows) in encode::pieces(&statements.upsert, &batch.upserts) {
        let mut arguments = SqliteArguments::default();
        arguments.reserve(rows.len().saturating_mul(table.columns.len()), 0);
        for row in rows {
            bind_row(&mut arguments, table, table.columns.len(), row)?;
        }
        sqlx::query_with(AssertSqlSafe(statement.clone()), arguments).execute(&mut *connection).await?;
    }
    let inserted: i64 =
        sqlx::query_scalar(AssertSqlSafe(format!("SELECT count(*) FROM {name} WHERE rowid > ?")))
            .bind(largest)
            .fetch_one(&mut *connection)
            .await?;
    effect.inserted = u64::try_from(inserted).unwrap_or(0);
    Ok(effect)
}

/// What tells a file from another one of the same name; `None` where the system cannot say.
async fn identity(path: &Path) -> Option<(u64, u64)> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        let metadata = tokio::fs::metadata(path).await.ok()?;
        Some((metadata.dev(), metadata.ino()))
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        None
    }
}
