//! Keeps the planner informed while a table grows.
//!
//! PostgreSQL gathers statistics by itself, but only a minute or more after a load. Until then it plans as if for an
//! empty table: keys that are looked for among 200,000 rows took a hundred times as long. So the columns of the key are
//! analysed when a table has grown to some sizes; the other columns are left to the server.

use engine::target::{Effect, Plan};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::fault::Fault;
use crate::sql::{join, keys, quote};

/// Rows written newly by a session at which a table is analysed.
const SIZES: [u64; 3] = [1_000, 10_000, 100_000];

/// How many rows a session has added to each table of its plan.
#[derive(Debug, Default)]
pub(super) struct Growth {
    added: Vec<u64>,
    /// Tables that have reached a size since they were analysed.
    due: Vec<usize>,
}

impl Growth {
    /// Notes what a batch did.
    pub(super) fn note(&mut self, effects: &[Effect]) {
        self.added.resize(self.added.len().max(effects.len()), 0);
        for (table, (added, effect)) in self.added.iter_mut().zip(effects).enumerate() {
            let before = *added;
            *added = before.saturating_add(effect.inserted);
            let reached = SIZES.iter().any(|size| (before..*added).contains(&size.saturating_sub(1)));
            if reached && !self.due.contains(&table) {
                self.due.push(table);
            }
        }
    }

    /// Analyses what is due. A table that cannot be analysed now is left alone: that is slower, and nothing else.
    pub(super) async fn analyse(
        &mut self,
        connection: &mut PgConnection,
        schema: &str,
        plan: &Plan,
    ) -> Result<(), Fault> {
        if self.due.is_empty() {
            return Ok(());
        }
        let tables = self.due.iter().filter_map(|at| plan.tables.get(*at));
        let tables =
            tables.map(|table| format!("{}.{} ({})", quote(schema), quote(&table.name), keys(table)));
        let sql = format!(
            "SET LOCAL client_min_messages = error; SET LOCAL statement_timeout = '1min'; \
             ANALYZE (SKIP_LOCKED) {}",
            join(tables)
        );
        self.due.clear();
        match sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await {
            Err(error) if error.as_database_error().is_some() => {
                tracing::debug!(%error, "a table that grew was not analysed");
                Ok(())
            }
            Err(error) => Err(error.into()),
            Ok(_) => Ok(()),
        }
    }
}
