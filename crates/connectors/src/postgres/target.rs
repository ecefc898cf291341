//! The target itself: one connection, one transaction per call.

use engine::failpoint::Step;
use engine::position::{Position, RebuildReason};
use engine::row::RowId;
use engine::target::{Batch, Cell, Effect, Opened, Owned, Plan, Target, TargetError, TargetTable};
use sqlx::{AssertSqlSafe, PgConnection, Postgres, Transaction};

use super::bookkeeping::Claim;
use super::config::Validated;
use super::encode::{MAX_COLUMNS, Statements, add_column, declared_type};
use super::fault::into_error;
use super::growth::Growth;
use super::inspect::Inspection;
#[cfg(test)]
use super::link::Patience;
use super::link::{Link, within};
use super::statement::{query, query_scalar};
use super::write::write_table;
use super::{WORDS, aside, bookkeeping, demands, page, shape};
use crate::definition::{Definition, Fit, Standing};
use crate::fault::Fault;
use crate::sql::{alive, by_table, create_table, key_json, place_columns, table_at};

const OPEN: Step = Step::named("postgres::open");
const PREPARE: Step = Step::named("postgres::prepare");
const OWN: Step = Step::named("postgres::own");
const DISOWN: Step = Step::named("postgres::disown");
const WRITE: Step = Step::named("postgres::write");
const PUT_ASIDE: Step = Step::named("postgres::aside");
const SHAPE: Step = Step::named("postgres::shape");

/// Writes the tables of one task into a schema of a PostgreSQL database.
#[derive(Debug)]
pub struct PostgresTarget {
    pub(super) link: Link,
    session: Option<Session>,
    pub(super) inspection: Option<Inspection>,
}

/// What `open` found out.
#[derive(Debug)]
struct Session {
    plan: Plan,
    claim: Claim,
    /// For each table of the plan.
    statements: Vec<Statements>,
    /// Whether rows of the task may be aside.
    aside: bool,
    growth: Growth,
}

impl PostgresTarget {
    /// A target that has not been opened yet.
    #[must_use]
    pub fn new(place: Validated) -> PostgresTarget {
        PostgresTarget { link: Link::new(place), session: None, inspection: None }
    }

    /// A target that waits less.
    #[cfg(test)]
    pub(super) fn impatient(place: Validated, patience: Patience) -> PostgresTarget {
        PostgresTarget { link: Link::new(place).with(patience), session: None, inspection: None }
    }

    /// Ends a call: keeps the connection after a good one, and turns a fault into what the engine gets.
    pub(super) fn settle<T>(
        &mut self,
        doing: &str,
        result: Result<(T, PgConnection), Fault>,
    ) -> Result<T, TargetError> {
        match result {
            Ok((done, connection)) => {
                self.link.give(connection);
                Ok(done)
            }
            Err(fault) => Err(into_error(fault, self.link.place(), doing)),
        }
    }

    fn session(&self) -> Result<&Session, Fault> {
        self.session.as_ref().ok_or_else(|| WORDS.not_open())
    }

    /// Notes that a transaction of the session was committed.
    fn wrote(&mut self) {
        if let Some(session) = &mut self.session {
            session.claim = session.claim.next();
        }
    }

    async fn try_open(&mut self, plan: &Plan) -> Result<(Opened, PgConnection), Fault> {
        self.session = None;
        let mut connection = self.link.take().await?;
        let place = self.link.place();
        let mut transaction = self.link.begin(&mut connection).await?;
        let standings = standings(&mut transaction, place, &plan.task, &plan.tables).await?;
        demands::refuse_lacking(&mut transaction, place, &kept(&plan.tables, &standings)).await?;
        let mut lost = false;
        for (table, standing) in plan.tables.iter().zip(standings) {
            if matches!(standing, Standing::Lost) {
                tracing::warn!(table = %table.name, "a table of the target is gone; it is made anew");
                lost = true;
            }
        }
        let claim = bookkeeping::raise_epoch(&mut transaction, place, &plan.task).await?;
        let position = bookkeeping::position(&mut transaction, place, &plan.task).await?;
        let owned = bookkeeping::owned(&mut transaction, place, &plan.task).await?;
        let (mut fields, mut rooms) = (Vec::new(), Vec::new());
        for table in &plan.tables {
            fields.extend(bookkeeping::fields(&mut transaction, place, &table.name).await?);
            rooms.push(shape::room(&mut transaction, place, table).await?);
        }
        let aside = aside::count(&mut transaction, place, &plan.task).await? > 0;
        committed(transaction, OPEN).await?;
        let statements = plan.tables.iter().map(|table| Statements::of(place, table, &[])).collect();
        let growth = Growth::default();
        self.session = Some(Session { plan: plan.clone(), claim, statements, aside, growth });
        // Without one of its tables the target is not where the position says.
        Ok((Opened { position: position.filter(|_| !lost), owned, fields, rooms }, connection))
    }

    async fn try_prepare(
        &mut self,
        plan: &Plan,
        rebuild: Option<RebuildReason>,
        position: &Position,
    ) -> Result<((), PgConnection), Fault> {
        let Session { claim, aside, .. } = *self.session()?;
        let mut connection = self.link.take().await?;
        let place = self.link.place();
        let mut transaction = self.link.begin(&mut connection).await?;
        bookkeeping::lock(&mut transaction, place).await?;
        bookkeeping::advance(&mut transaction, place, &plan.task, claim, position).await?;
        let mut statements = Vec::with_capacity(plan.tables.len());
        for table in &plan.tables {
            let leftovers = prepare_table(&mut transaction, place, &plan.task, table, rebuild).await?;
            statements.push(Statements::of(place, table, &leftovers));
            bookkeeping::note_fields(&mut transaction, place, table).await?;
        }
        let names: Vec<&str> = plan.tables.iter().map(|table| table.name.as_str()).collect();
        // Read before tables are given up: a project known from one of them is written into the new ones as well.
        let projects = bookkeeping::owned(&mut transaction, place, &plan.task).await?;
        bookkeeping::release(&mut transaction, place, &plan.task, &names).await?;
        for owned in &projects {
            for name in &names {
                bookkeeping::own(&mut transaction, place, &plan.task, name, owned).await?;
            }
        }
        if rebuild.is_some() {
            aside::clear(&mut transaction, place, &plan.task).await?;
        }
        committed(transaction, PREPARE).await?;
        let growth = Growth::default();
        self.session = Some(Session { plan: plan.clone(), claim: claim.next(), statements, aside, growth });
        Ok(((), connection))
    }

    async fn try_own(&mut self, projects: &[Owned]) -> Result<((), PgConnection), Fault> {
        let mut connection = self.link.take().await?;
        let Session { plan, claim, .. } = self.session()?;
        let place = self.link.place();
        let mut transaction = self.link.begin(&mut connection).await?;
        bookkeeping::lock(&mut transaction, place).await?;
        bookkeeping::fence(&mut transaction, place, &plan.task, *claim).await?;
        for owned in projects {
            for table in &plan.tables {
                bookkeeping::own(&mut transaction, place, &plan.task, &table.name, owned).await?;
            }
        }
        committed(transaction, OWN).await?;
        self.wrote();
        Ok(((), connection))
    }

    async fn try_disown(&mut self, projects: &[Owned]) -> Result<((), PgConnection), Fault> {
        let mut connection = self.link.take().await?;
        let Session { plan, claim, .. } = self.session()?;
        let place = self.link.place();
        let mut transaction = self.link.begin(&mut connection).await?;
        bookkeeping::fence(&mut transaction, place, &plan.task, *claim).await?;
        for owned in projects {
            bookkeeping::disown(&mut transaction, place, &plan.task, owned).await?;
        }
        committed(transaction, DISOWN).await?;
        self.wrote();
        Ok(((), connection))
    }

    async fn try_write(&mut self, batch: &Batch) -> Result<(Vec<Effect>, PgConnection), Fault> {
        let mut connection = self.link.take().await?;
        if let Some(session) = &mut self.session {
            let schema = self.link.place().schema();
            Box::pin(session.growth.analyse(&mut connection, schema, &session.plan)).await?;
        }
        let Session { plan, claim, statements, aside, .. } = self.session()?;
        let (place, is_prompt) = (self.link.place(), self.link.is_prompt());
        let mut transaction = self.link.begin(&mut connection).await?;
        bookkeeping::advance(&mut transaction, place, &plan.task, *claim, &batch.position).await?;
        let mut effects = Vec::with_capacity(plan.tables.len());
        for ((table, statements), rows) in plan.tables.iter().zip(statements).zip(&batch.tables) {
            let written = write_table(&mut transaction, table, statements, rows, is_prompt).await;
            effects.push(written.map_err(Fault::of_rows)?);
            if *aside {
                aside::settle(&mut transaction, place, &plan.task, &table.name, table.key_columns, rows)
                    .await?;
            }
        }
        // What is checked late is still a matter of the rows.
        committed(transaction, WRITE).await.map_err(Fault::of_rows)?;
        self.wrote();
        if let Some(session) = &mut self.session {
            session.growth.note(&effects);
        }
        Ok((effects, connection))
    }

    async fn try_put_aside(
        &mut self,
        table: usize,
        key: &[Cell],
        reason: &str,
    ) -> Result<((), PgConnection), Fault> {
        if let Some(session) = &mut self.session {
            session.aside = true;
        }
        let mut connection = self.link.take().await?;
        let Session { plan, claim, .. } = self.session()?;
        let place = self.link.place();
        let mut transaction = self.link.begin(&mut connection).await?;
        bookkeeping::fence(&mut transaction, place, &plan.task, *claim).await?;
        let name = &table_at(plan, table)?.name;
        aside::put(&mut transaction, place, &plan.task, name, &key_json(key), reason).await?;
        committed(transaction, PUT_ASIDE).await?;
        self.wrote();
        Ok(((), connection))
    }

    async fn try_aside(&mut self) -> Result<(Vec<u64>, PgConnection), Fault> {
        let mut connection = self.link.take().await?;
        let plan = &self.session()?.plan;
        let place = self.link.place();
        let mut transaction = self.link.begin(&mut connection).await?;
        let counts = aside::counts(&mut transaction, place, &plan.task).await?;
        transaction.commit().await?;
        Ok((by_table(plan, &counts), connection))
    }

    async fn try_ids(
        &mut self,
        table: usize,
        team: &str,
        project: &str,
        after: Option<RowId>,
        limit: u32,
    ) -> Result<(Vec<RowId>, PgConnection), Fault> {
        let mut connection = self.link.take().await?;
        let table = table_at(&self.session()?.plan, table)?;
        let [team_column, project_column, id_column] = place_columns(table)?;
        // Without `after` the smallest possible id is the bound, and included.
        let (beyond, bound) = after.map_or((">=", i64::MIN), |id| (">", id.0));
        let sql = format!(
            "SELECT {id_column} FROM {} WHERE {team_column} = $1 AND {project_column} = $2 \
             AND {id_column} {beyond} $3{} ORDER BY {id_column} LIMIT $4",
            self.link.place().name(&table.name),
            alive(table)
        );
        let mut transaction = self.link.begin(&mut connection).await?;
        let ids: Vec<i64> = query_scalar(AssertSqlSafe(sql))
            .bind(team)
            .bind(project)
            .bind(bound)
            .bind(i64::from(limit))
            .fetch_all(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok((ids.into_iter().map(RowId).collect(), connection))
    }

    async fn try_count(&mut self, table: usize, projects: &[Owned]) -> Result<(u64, PgConnection), Fault> {
        let mut connection = self.link.take().await?;
        let table = table_at(&self.session()?.plan, table)?;
        let [team_column, project_column, _] = place_columns(table)?;
        // Two projects of one name have the same rows.
        let sql = format!(
            "SELECT count(*) FROM {} WHERE ({team_column}, {project_column}) IN \
             (SELECT * FROM unnest($1::text[], $2::text[])){}",
            self.link.place().name(&table.name),
            alive(table)
        );
        let (teams, names): (Vec<&str>, Vec<&str>) =
            projects.iter().map(|owned| (owned.team.as_str(), owned.project.as_str())).unzip();
        let mut transaction = self.link.begin(&mut connection).await?;
        let count: i64 =
            query_scalar(AssertSqlSafe(sql)).bind(teams).bind(names).fetch_one(&mut *transaction).await?;
        transaction.commit().await?;
        Ok((u64::try_from(count).unwrap_or(0), connection))
    }
}

impl Target for PostgresTarget {
    const COLUMNS: usize = MAX_COLUMNS;

    fn fits(row: &[Cell]) -> bool {
        page::fits(row)
    }

    async fn open(&mut self, plan: &Plan) -> Result<Opened, TargetError> {
        let result = within(self.link.patience(), self.try_open(plan)).await;
        self.settle("open", result)
    }

    async fn prepare(
        &mut self,
        plan: &Plan,
        rebuild: Option<RebuildReason>,
        position: &Position,
    ) -> Result<(), TargetError> {
        let result = within(self.link.patience(), self.try_prepare(plan, rebuild, position)).await;
        self.settle("prepare the tables in", result)
    }

    async fn own(&mut self, projects: &[Owned]) -> Result<(), TargetError> {
        let result = within(self.link.patience(), self.try_own(projects)).await;
        self.settle("write to", result)
    }

    async fn disown(&mut self, projects: &[Owned]) -> Result<(), TargetError> {
        let result = within(self.link.patience(), self.try_disown(projects)).await;
        self.settle("write to", result)
    }

    async fn write(&mut self, batch: &Batch) -> Result<Vec<Effect>, TargetError> {
        let result = within(self.link.patience(), self.try_write(batch)).await;
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
        let result = within(self.link.patience(), self.try_ids(table, team, project, after, limit)).await;
        self.settle("read", result)
    }

    async fn count(&mut self, table: usize, projects: &[Owned]) -> Result<u64, TargetError> {
        let result = within(self.link.patience(), self.try_count(table, projects)).await;
        self.settle("read", result)
    }

    async fn put_aside(&mut self, table: usize, key: &[Cell], reason: &str) -> Result<(), TargetError> {
        let result = within(self.link.patience(), self.try_put_aside(table, key, reason)).await;
        self.settle("write to", result)
    }

    async fn aside(&mut self) -> Result<Vec<u64>, TargetError> {
        let result = within(self.link.patience(), self.try_aside()).await;
        self.settle("read", result)
    }

    async fn close(self) {
        self.link.close().await;
    }
}

/// Makes the bookkeeping, and looks how the tables of a task stand; refuses what the task cannot use.
async fn standings(
    connection: &mut PgConnection,
    place: &Validated,
    task: &str,
    tables: &[TargetTable],
) -> Result<Vec<Standing>, Fault> {
    bookkeeping::lock(connection, place).await?;
    demands::ask(connection, place, tables).await?;
    bookkeeping::refuse_newer(connection, place).await?;
    // All tables are looked at before anything is made.
    let mut standings = Vec::with_capacity(tables.len());
    for table in tables {
        standings.push(shape::examine(connection, place, table).await?);
    }
    bookkeeping::create(connection, place).await?;
    for (table, standing) in tables.iter().zip(&standings) {
        if let Standing::Ours(_, Fit::Differs(points)) = standing {
            shape::refuse_shared(connection, place, task, table, points).await?;
        }
    }
    Ok(standings)
}

/// The tables that stay as they are, but for columns that are added.
pub(super) fn kept<'t>(tables: &'t [TargetTable], standings: &[Standing]) -> Vec<&'t str> {
    let stays = |standing: &Standing| matches!(standing, Standing::Ours(_, Fit::Same | Fit::Lacks(_)));
    let kept = tables.iter().zip(standings).filter(|(_, standing)| stays(standing));
    kept.map(|(table, _)| table.name.as_str()).collect()
}

/// Does with the tables of a task what its next start does, in the transaction of one who takes it back. Gives how they
/// stood. Who reads a table is not kept waiting for longer than that table takes.
pub(super) async fn rehearse(
    connection: &mut PgConnection,
    place: &Validated,
    task: &str,
    tables: &[TargetTable],
    projects: &[Owned],
) -> Result<Vec<Standing>, Fault> {
    let standings = standings(connection, place, task, tables).await?;
    for table in tables {
        for owned in projects {
            bookkeeping::own(connection, place, task, &table.name, owned).await?;
        }
    }
    query("SET LOCAL lock_timeout = '1s'").execute(&mut *connection).await?;
    for table in tables {
        let mut savepoint = sqlx::Connection::begin(&mut *connection).await?;
        prepare_table(&mut savepoint, place, task, table, Some(RebuildReason::Reshaped)).await?;
        bookkeeping::note_fields(&mut savepoint, place, table).await?;
        savepoint.rollback().await?;
    }
    Ok(standings)
}

/// Makes `table` fit the plan; gives the columns it has beyond it.
async fn prepare_table(
    connection: &mut PgConnection,
    place: &Validated,
    task: &str,
    table: &TargetTable,
    rebuild: Option<RebuildReason>,
) -> Result<Vec<String>, Fault> {
    let wanted = Definition::of(table);
    match shape::examine(connection, place, table).await? {
        Standing::Ours(stored, Fit::Same) => return Ok(stored.leftovers(&wanted)),
        Standing::Ours(mut stored, Fit::Lacks(columns)) => {
            for at in columns {
                let (Some(column), Some(defined)) = (table.columns.get(at), wanted.columns.get(at)) else {
                    continue;
                };
                let sql = add_column(place, &table.name, &column.name, column.kind);
                change_shape(&mut *connection, sql).await?;
                stored.columns.push(defined.clone());
            }
            bookkeeping::define(connection, place, &table.name, &stored).await?;
            return Ok(stored.leftovers(&wanted));
        }
        Standing::Ours(_, Fit::Differs(points)) => {
            shape::refuse_shared(connection, place, task, table, &points).await?;
            if rebuild.is_none() {
                let why = "the task would fill it in another shape".to_owned();
                return Err(WORDS.shape(&table.name, why, &points));
            }
            let sql = format!("DROP TABLE {}", place.name(&table.name));
            change_shape(&mut *connection, sql).await?;
        }
        Standing::Lost => bookkeeping::restart_others(connection, place, task, &table.name).await?,
        Standing::Missing => {}
    }
    change_shape(&mut *connection, create_table(&place.name(&table.name), table, declared_type)).await?;
    bookkeeping::define(connection, place, &table.name, &wanted).await?;
    Ok(Vec::new())
}

/// Commits the transaction of a step.
pub(super) async fn committed(transaction: Transaction<'_, Postgres>, step: Step) -> Result<(), Fault> {
    step.before()?;
    transaction.commit().await?;
    Ok(step.after()?)
}

/// Makes a table, or changes it.
async fn change_shape(connection: &mut PgConnection, sql: String) -> Result<(), Fault> {
    SHAPE.before()?;
    query(AssertSqlSafe(sql)).execute(connection).await?;
    Ok(SHAPE.after()?)
}
