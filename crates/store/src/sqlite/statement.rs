//! Statements that write many rows at once: one trip to the driver costs more than a row.

use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, AssertSqlSafe, Encode, Sqlite, SqliteConnection, Type};

use super::fault::Fault;

/// A statement that writes many rows: what stands before and after the list of rows.
pub(crate) struct Statement {
    pub(crate) before: &'static str,
    pub(crate) columns: usize,
    pub(crate) after: &'static str,
    /// Rows a statement, largest first, one last: a handful of sizes, so that prepared statements are found again;
    /// the largest times the columns stays below SQLite's 32,766 variables.
    pub(crate) sizes: &'static [usize],
}

/// The values of a statement in the making.
pub(crate) struct Values(SqliteArguments);

impl Values {
    pub(crate) fn add<'t, T: Encode<'t, Sqlite> + Type<Sqlite>>(&mut self, value: T) -> Result<(), Fault> {
        self.0.add(value).map_err(|error| Fault::Sql(sqlx::Error::Encode(error)))
    }
}

impl Statement {
    /// Writes rows, each with as many values as the statement has columns.
    pub(crate) async fn write<T>(
        &self,
        connection: &mut SqliteConnection,
        rows: impl ExactSizeIterator<Item = T>,
        bind: impl Fn(&mut Values, T) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let mut rows = rows;
        while let Some(size) = self.sizes.iter().copied().find(|size| *size <= rows.len()) {
            let mut values = Values(SqliteArguments::default());
            Arguments::reserve(&mut values.0, size * self.columns, 0);
            for row in rows.by_ref().take(size) {
                bind(&mut values, row)?;
            }
            sqlx::query_with(AssertSqlSafe(self.sql(size)), values.0).execute(&mut *connection).await?;
        }
        Ok(())
    }

    fn sql(&self, rows: usize) -> String {
        let row = format!("({})", vec!["?"; self.columns].join(","));
        format!("{}{}{}", self.before, vec![row; rows].join(","), self.after)
    }
}
