//! Statements as every call sends them: unnamed, with the names of our tables in full.
//!
//! A named statement belongs to the session that prepared it, and behind a pooler each transaction may have another
//! session: the name is missing there, or stands for what somebody else prepared. Unnamed ones cost a round trip more.
//! A name without its schema would be looked for in the search path, where whoever may make a function in the schema
//! decides what is found; so the path is PostgreSQL's own catalog, and nothing else (see `link`).

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::{Query, QueryAs, QueryScalar};
use sqlx::{AssertSqlSafe, FromRow, Postgres, SqlSafeStr};

use super::config::Validated;
use crate::sql::quote;

/// What the names of the bookkeeping begin with.
const OURS: &str = "_tributary_";

impl Validated {
    /// The name of a table of the schema, quoted.
    pub(super) fn name(&self, table: &str) -> String {
        format!("{}.{}", quote(self.schema()), quote(table))
    }

    /// A statement of ours in which the bookkeeping is named without its schema: with it.
    pub(super) fn sql(&self, statement: &'static str) -> AssertSqlSafe<String> {
        AssertSqlSafe(statement.replace(OURS, &format!("{}.{OURS}", quote(self.schema()))))
    }
}

/// A statement.
pub(super) fn query<'q>(sql: impl SqlSafeStr) -> Query<'q, Postgres, PgArguments> {
    sqlx::query(sql).persistent(false)
}

/// A statement whose rows have one column.
pub(super) fn query_scalar<'q, O>(sql: impl SqlSafeStr) -> QueryScalar<'q, Postgres, O, PgArguments>
where
    (O,): for<'r> FromRow<'r, PgRow>,
{
    sqlx::query_scalar(sql).persistent(false)
}

/// A statement whose rows are tuples.
pub(super) fn query_as<'q, O>(sql: impl SqlSafeStr) -> QueryAs<'q, Postgres, O, PgArguments>
where
    O: for<'r> FromRow<'r, PgRow>,
{
    sqlx::query_as(sql).persistent(false)
}
