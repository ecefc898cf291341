//! The `_tributary_*` tables: where each task stands, which tables are ours, whose rows are whose.
//!
//! Every function works inside a transaction of its caller; none commits. Whoever writes anything calls
//! [`fence`] or [`advance`] in the same transaction.

mod owners;

use engine::failpoint::Step;
use engine::position::{Fingerprint, Generation, Position, Sequence};
use engine::problem::Problem;
use engine::target::{CustomColumn, StoredField, TargetErrorKind, TargetTable};
use sqlx::{AssertSqlSafe, PgConnection};

pub(super) use self::owners::{disown, other_owner, own, owned, release, restart_all, restart_others};
use super::WORDS;
use super::config::Validated;
use super::fault::{NO_RIGHT, code};
use super::shape::exists;
use super::statement::{query, query_as, query_scalar};
use crate::definition::{Definition, Names, has_other_use};
use crate::fault::Fault;
use crate::sql::quote;

/// The version of these tables. A schema with a greater one was made by a newer tributary.
const FORMAT: i64 = 1;

const ADVANCE: Step = Step::named("postgres::position");

/// What locks out other tasks while something is looked at and then made: tributary's number, and one for the schema.
const LOCK: &str = "SELECT pg_advisory_xact_lock(1953655138, hashtext(quote_ident($1)))";

/// Each with its name: making one that is there needs a right that a schema need not give any more.
const TABLES: [(&str, &str); 6] = [
    ("_tributary_format", "CREATE TABLE _tributary_format (version bigint NOT NULL)"),
    (
        "_tributary_tasks",
        "CREATE TABLE _tributary_tasks (
            task text NOT NULL PRIMARY KEY,
            epoch bigint NOT NULL,
            writes bigint NOT NULL DEFAULT 0,
            generation text,
            sequence bigint,
            fingerprint text,
            rebuilding boolean NOT NULL DEFAULT false,
            updated_at timestamptz NOT NULL
        )",
    ),
    (
        "_tributary_tables",
        "CREATE TABLE _tributary_tables (
            table_name text NOT NULL PRIMARY KEY,
            definition jsonb NOT NULL,
            made_by text NOT NULL
        )",
    ),
    (
        "_tributary_owners",
        "CREATE TABLE _tributary_owners (
            table_name text NOT NULL,
            team text NOT NULL,
            project_id bigint NOT NULL,
            project text NOT NULL,
            task text NOT NULL,
            PRIMARY KEY (table_name, team, project_id, project)
        )",
    ),
    (
        "_tributary_aside",
        "CREATE TABLE _tributary_aside (
            task text NOT NULL,
            table_name text NOT NULL,
            key text NOT NULL,
            reason text NOT NULL,
            at timestamptz NOT NULL,
            PRIMARY KEY (task, table_name, key)
        )",
    ),
    // For people too: which custom field stands behind which column.
    (
        "_tributary_fields",
        "CREATE TABLE _tributary_fields (
            table_name text NOT NULL,
            column_name text NOT NULL,
            team text NOT NULL,
            field_id bigint NOT NULL,
            field_name text NOT NULL,
            type text NOT NULL,
            added_at timestamptz NOT NULL,
            named_at timestamptz NOT NULL,
            PRIMARY KEY (table_name, column_name),
            UNIQUE (table_name, team, field_id)
        )",
    ),
];

/// Their names.
pub(super) fn names() -> [&'static str; TABLES.len()] {
    TABLES.map(|(name, _)| name)
}

/// Waits until no other task makes tables or takes projects in the schema; none does until the transaction ends.
/// Comes before the task's own row is locked, so that no two wait for each other.
pub(super) async fn lock(connection: &mut PgConnection, place: &Validated) -> Result<(), Fault> {
    query(LOCK).bind(place.schema()).execute(connection).await?;
    Ok(())
}

/// Makes the schema if it is missing; says whether it was there.
pub(super) async fn create_schema(connection: &mut PgConnection, place: &Validated) -> Result<bool, Fault> {
    let there: bool = query_scalar("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)")
        .bind(place.schema())
        .fetch_one(&mut *connection)
        .await?;
    if there {
        return Ok(true);
    }
    let schema = quote(place.schema());
    match query(AssertSqlSafe(format!("CREATE SCHEMA {schema}"))).execute(connection).await {
        Ok(_) => Ok(false),
        Err(error) if code(&error).as_deref() == Some(NO_RIGHT) => {
            let problem = Problem::new(
                "POSTGRES-GRANT",
                format!("Cannot make schema `{}` in PostgreSQL, {}", place.schema(), place.place()),
                error.as_database_error().map_or_else(String::new, |error| error.message().to_owned()),
                format!(
                    "Let the owner of the database run: CREATE SCHEMA {schema} AUTHORIZATION {};",
                    place.user()
                ),
            );
            Err(Fault::refused(TargetErrorKind::ReadOnly, problem))
        }
        Err(error) => Err(error.into()),
    }
}

/// Refuses what a newer version made. Comes before anything else is read: what is in it may mean something else.
pub(super) async fn refuse_newer(connection: &mut PgConnection, place: &Validated) -> Result<(), Fault> {
    if !exists(connection, place, "_tributary_format").await? {
        return Ok(());
    }
    let version: Option<i64> =
        query_scalar(place.sql("SELECT max(version) FROM _tributary_format")).fetch_one(connection).await?;
    match version {
        Some(version) if version > FORMAT => Err(WORDS.newer(version, FORMAT)),
        _ => Ok(()),
    }
}

/// Makes what is missing, the schema as well; refuses what a newer version made. Needs [`lock`].
pub(super) async fn create(connection: &mut PgConnection, place: &Validated) -> Result<(), Fault> {
    refuse_newer(connection, place).await?;
    create_schema(connection, place).await?;
    for (name, sql) in TABLES {
        if !exists(connection, place, name).await? {
            query(place.sql(sql)).execute(&mut *connection).await?;
        }
    }
    query(place.sql(
        "INSERT INTO _tributary_format (version) SELECT $1 WHERE NOT EXISTS (SELECT 1 FROM \
             _tributary_format)",
    ))
    .bind(FORMAT)
    .execute(connection)
    .await?;
    Ok(())
}

/// What a session knows of its task's row: no other is let in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim {
    /// How often the task has been opened.
    pub(super) epoch: i64,
    /// How many transactions have been committed for it, as far as the session knows: of one more, the answer may
    /// have been lost. A server with fewer is not the one that they were committed on.
    pub(super) writes: i64,
}

impl Claim {
    /// After one more transaction.
    pub(super) fn next(self) -> Claim {
        Claim { writes: self.writes.saturating_add(1), ..self }
    }
}

/// Takes the task over.
pub(super) async fn raise_epoch(
    connection: &mut PgConnection,
    place: &Validated,
    task: &str,
) -> Result<Claim, Fault> {
    let raise = "INSERT INTO _tributary_tasks AS t (task, epoch, updated_at) VALUES ($1, 1, now()) \
                 ON CONFLICT (task) DO UPDATE SET epoch = t.epoch + 1 RETURNING epoch, writes";
    let (epoch, writes) = query_as(place.sql(raise)).bind(task).fetch_one(connection).await?;
    Ok(Claim { epoch, writes })
}

/// Fails unless the task's row is as the session left it.
pub(super) async fn fence(
    connection: &mut PgConnection,
    place: &Validated,
    task: &str,
    claim: Claim,
) -> Result<(), Fault> {
    let fence = "UPDATE _tributary_tasks SET writes = $4, updated_at = now() \
                 WHERE task = $1 AND epoch = $2 AND writes IN ($3, $4)";
    let hit = query(place.sql(fence))
        .bind(task)
        .bind(claim.epoch)
        .bind(claim.writes)
        .bind(claim.next().writes)
        .execute(&mut *connection)
        .await?;
    judge(connection, place, hit.rows_affected(), task, claim).await
}

/// Stores where the task stands; fails as [`fence`] does.
pub(super) async fn advance(
    connection: &mut PgConnection,
    place: &Validated,
    task: &str,
    claim: Claim,
    position: &Position,
) -> Result<(), Fault> {
    ADVANCE.before()?;
    let advance = "UPDATE _tributary_tasks SET writes = $4, updated_at = now(), \
                   generation = $5, sequence = $6, fingerprint = $7, rebuilding = $8 \
                   WHERE task = $1 AND epoch = $2 AND writes IN ($3, $4)";
    let hit = query(place.sql(advance))
        .bind(task)
        .bind(claim.epoch)
        .bind(claim.writes)
        .bind(claim.next().writes)
        .bind(&position.generation.0)
        .bind(position.sequence.0)
        .bind(&position.fingerprint.0)
        .bind(position.rebuilding)
        .execute(&mut *connection)
        .await?;
    judge(connection, place, hit.rows_affected(), task, claim).await?;
    Ok(ADVANCE.after()?)
}

/// Fails unless the task's row was hit, and says why it is not as the session left it.
async fn judge(
    connection: &mut PgConnection,
    place: &Validated,
    hit: u64,
    task: &str,
    claim: Claim,
) -> Result<(), Fault> {
    if hit == 1 {
        return Ok(());
    }
    let found: Option<i64> = query_scalar(place.sql("SELECT epoch FROM _tributary_tasks WHERE task = $1"))
        .bind(task)
        .fetch_optional(connection)
        .await?;
    if found.is_some_and(|epoch| epoch > claim.epoch) {
        return WORDS.fenced(hit, task);
    }
    let problem = Problem::new(
        "POSTGRES-REPLACED",
        format!("Cannot write for task `{task}` any more"),
        "the server lacks what it had committed before: it failed over to a standby that was behind, or its data were \
         restored",
        "Start again: what is missing is written from the journal.",
    );
    Err(Fault::refused(TargetErrorKind::Fenced, problem))
}

/// Where the task stands, if it ever stood anywhere.
pub(super) async fn position(
    connection: &mut PgConnection,
    place: &Validated,
    task: &str,
) -> Result<Option<Position>, Fault> {
    type Stored = (Option<String>, Option<i64>, Option<String>, bool);
    let stored: Option<Stored> =
        query_as(place.sql(
            "SELECT generation, sequence, fingerprint, rebuilding FROM _tributary_tasks WHERE task = $1",
        ))
        .bind(task)
        .fetch_optional(connection)
        .await?;
    Ok(match stored {
        Some((Some(generation), Some(sequence), Some(fingerprint), rebuilding)) => Some(Position {
            generation: Generation(generation),
            sequence: Sequence(sequence),
            fingerprint: Fingerprint(fingerprint),
            rebuilding,
        }),
        _ => None,
    })
}

/// Stores the definition of a table that was made or extended.
pub(super) async fn define(
    connection: &mut PgConnection,
    place: &Validated,
    table: &str,
    definition: &Definition,
) -> Result<(), Fault> {
    let json = serde_json::to_string(definition).map_err(|error| sqlx::Error::Encode(error.into()))?;
    query(place.sql(
        "INSERT INTO _tributary_tables (table_name, definition, made_by) VALUES ($1, $2::jsonb, $3) \
         ON CONFLICT (table_name) DO UPDATE SET definition = excluded.definition, made_by = excluded.made_by",
    ))
    .bind(table)
    .bind(json)
    .bind(env!("CARGO_PKG_VERSION"))
    .execute(connection)
    .await?;
    Ok(())
}

/// The columns of `table` that stand for custom fields.
pub(super) async fn fields(
    connection: &mut PgConnection,
    place: &Validated,
    table: &str,
) -> Result<Vec<StoredField>, Fault> {
    let fields: Vec<(String, String, i64)> = query_as(place.sql(
        "SELECT column_name, team, field_id FROM _tributary_fields WHERE table_name = $1 ORDER BY \
             added_at, field_id",
    ))
    .bind(table)
    .fetch_all(connection)
    .await?;
    let stored = |(column, team, field_id)| StoredField { table: table.to_owned(), column, team, field_id };
    Ok(fields.into_iter().map(stored).collect())
}

/// Notes which custom fields stand behind which columns of `table`, and how they are called now. Other teams'
/// fields stay; a column that another task has just given to one of them is refused.
pub(super) async fn note_fields(
    connection: &mut PgConnection,
    place: &Validated,
    table: &TargetTable,
) -> Result<(), Fault> {
    for stored in fields(connection, place, &table.name).await? {
        if has_other_use(table, &stored, Names::Exact) {
            query(place.sql("DELETE FROM _tributary_fields WHERE table_name = $1 AND column_name = $2"))
                .bind(&table.name)
                .bind(&stored.column)
                .execute(&mut *connection)
                .await?;
        }
    }
    for column in &table.columns {
        let Some(CustomColumn { team, field_id, field_name }) = &column.custom else { continue };
        let noted = query(place.sql(
            "INSERT INTO _tributary_fields AS t (table_name, column_name, team, field_id, field_name, \
             type, added_at, named_at) VALUES ($1, $2, $3, $4, $5, $6, now(), now()) ON CONFLICT \
             (table_name, column_name) DO UPDATE SET named_at = CASE WHEN t.field_name = \
             excluded.field_name THEN t.named_at ELSE excluded.named_at END, field_name = \
             excluded.field_name, type = excluded.type WHERE t.team = excluded.team AND t.field_id = \
             excluded.field_id",
        ))
        .bind(&table.name)
        .bind(&column.name)
        .bind(team)
        .bind(field_id)
        .bind(field_name)
        .bind(column.kind.name())
        .execute(&mut *connection)
        .await?;
        if noted.rows_affected() == 0 {
            return Err(WORDS.field_taken(&column.name, &table.name, field_name));
        }
    }
    Ok(())
}
