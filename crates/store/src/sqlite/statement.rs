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
        let mut bound = std::iter::from_fn(|| {
            let size = self.sizes.iter().copied().find(|size| *size <= rows.len())?;
            let mut values = Values(SqliteArguments::default());
            Arguments::reserve(&mut values.0, size * self.columns, 0);
            let bound = rows.by_ref().take(size).try_for_each(|row| bind(&mut values, row));
            Some(bound.map(|()| sqlx::query_with(AssertSqlSafe(self.sql(size)), values.0)))
        });
        let mut next = bound.next();
        while let Some(statement) = next {
            // The next rows are bound while the driver's thread writes these.
            let (written, after) =
                futures::join!(statement?.execute(&mut *connection), async { bound.next() });
            written?;
            next = after;
        }
        Ok(())
    }

    /// Rows that may be written twice, the last one repeated until few statements take them all: a statement costs more
    /// than as many rows again.
    pub(crate) fn filled_up<T: Copy>(&self, mut rows: Vec<T>) -> Vec<T> {
        let (mut left, mut length) = (rows.len(), 0_usize);
        while left > 0 {
            let enough = self.sizes.iter().copied().rfind(|size| *size >= left && *size / 2 <= left);
            let size =
                enough.or_else(|| self.sizes.iter().copied().find(|size| *size <= left)).unwrap_or(left);
            length = length.saturating_add(size);
            left = left.saturating_sub(size);
        }
        if let Some(last) = rows.last().copied() {
            rows.resize(length, last);
        }
        rows
    }

    fn sql(&self, rows: usize) -> String {
        let row = format!("({})", vec!["?"; self.columns].join(","));
        format!("{}{}{}", self.before, vec![row; rows].join(","), self.after)
    }
}

#[cfg(test)]
mod tests {
    use super::Statement;

    #[test]
    fn few_statements_take_all_rows_and_few_of_them_twice() {
        let sizes = &[500, 200, 80, 32, 12, 4, 1];
        let statement = Statement { before: "", columns: 1, after: "", sizes };
        assert_eq!(statement.filled_up(Vec::<usize>::new()), [0_usize; 0]);
        for rows in 1..2_000 {
            let filled = statement.filled_up((0..rows).collect());
            let (own, again) = filled.split_at(rows);
            assert!(own.iter().copied().eq(0..rows) && again.iter().all(|row| *row == rows - 1));
            let (mut left, mut statements) = (filled.len(), 0);
            while let Some(size) = sizes.iter().find(|size| **size <= left) {
                (left, statements) = (left - size, statements + 1);
            }
            assert!(statements <= rows / 500 + 4, "{rows} rows take {statements} statements");
            assert!(again.len() <= rows.min(250), "{rows} rows become {}", filled.len());
        }
    }
}
