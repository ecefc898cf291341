//! What a run did, at its end: one JSON object, or a table for people.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use engine::status::{Status, Written};
use serde::Serialize;

use super::text::{count, plural, span};

/// Width of a column: all of them stand on a terminal of 80 columns, up to 99,999,999 rows.
const COLUMN: usize = 10;

/// The numbers of a run. Several tasks are added up, table by table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Summary {
    /// By table, as CODING names it.
    pub(crate) tables: BTreeMap<String, TableSummary>,
    /// Rows of the mirror that a rebuild wrote, where somebody asked for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rebuilt: Option<u64>,
    /// Rows that CODING lists and that cannot be read, where there are any.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) unreadable: u64,
    /// Requests sent, by action.
    pub(crate) requests: BTreeMap<String, u64>,
    /// How long it took, in milliseconds.
    pub(crate) duration_ms: u64,
    /// The most memory that was in use, in bytes; `None` where the system does not say.
    pub(crate) peak_rss_bytes: Option<u64>,
}

/// The numbers of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct TableSummary {
    /// Rows in the target.
    pub(crate) rows: u64,
    pub(crate) inserted: u64,
    pub(crate) updated: u64,
    pub(crate) deleted: u64,
    /// First details.
    pub(crate) detailed: u64,
    /// Deletes that are held.
    pub(crate) held: u64,
    /// Rows that are aside: the target cannot hold them, or does not let them go.
    pub(crate) put_aside: u64,
}

impl Summary {
    /// Adds up what the boards say at the end.
    pub(crate) fn of(boards: &[Status], took: Duration) -> Summary {
        let mut summary = Summary {
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            peak_rss_bytes: peak_rss_bytes(),
            ..Summary::default()
        };
        for status in boards {
            for (table, written) in status.tasks.values().flat_map(|task| &task.tables) {
                summary.tables.entry(table.clone()).or_default().add(written);
            }
            let tables = status.projects.values().flat_map(BTreeMap::values);
            summary.unreadable += tables.map(|table| table.unreadable).sum::<u64>();
            for rebuild in status.tasks.values().filter_map(|task| task.rebuild) {
                *summary.rebuilt.get_or_insert_default() += rebuild.done;
            }
            for (action, number) in &status.requests {
                *summary.requests.entry(action.clone()).or_default() += number;
            }
        }
        summary
    }

    /// Deletes that are held, in all tables.
    pub(crate) fn held(&self) -> u64 {
        self.tables.values().map(|table| table.held).sum()
    }

    /// Rows that are aside, in all tables.
    pub(crate) fn put_aside(&self) -> u64 {
        self.tables.values().map(|table| table.put_aside).sum()
    }
}

/// For serde, which hands a reference.
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl TableSummary {
    fn add(&mut self, written: &Written) {
        self.rows += written.rows;
        self.inserted += written.inserted;
        self.updated += written.updated;
        self.deleted += written.deleted;
        self.detailed += written.detailed;
        self.held += written.held;
        self.put_aside += written.put_aside;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.tables.keys().map(String::len).max().unwrap_or(0).max("table".len());
        let heads = ["rows", "inserted", "updated", "deleted", "detailed", "held"];
        write!(f, "{:width$}", "table")?;
        for head in heads {
            write!(f, " {head:>COLUMN$}")?;
        }
        writeln!(f)?;
        for (name, t) in &self.tables {
            write!(f, "{name:width$}")?;
            for number in [t.rows, t.inserted, t.updated, t.deleted, t.detailed, t.held] {
                write!(f, " {:>COLUMN$}", count(number))?;
            }
            writeln!(f)?;
        }
        for (name, table) in self.tables.iter().filter(|(_, table)| table.put_aside > 0) {
            let rows = plural(table.put_aside, "row");
            writeln!(
                f,
                "{rows} of {name} put aside: `_tributary_aside` in the target names them and says why"
            )?;
        }
        if let Some(rebuilt) = self.rebuilt {
            writeln!(f, "rebuilt from {} of the mirror", plural(rebuilt, "row"))?;
        }
        let requests = self.requests.values().sum();
        write!(f, "{} in {}", plural(requests, "request"), span(Duration::from_millis(self.duration_ms)))?;
        if let Some(bytes) = self.peak_rss_bytes {
            write!(f, ", at most {} MB of memory", count(bytes / 1_000_000))?;
        }
        Ok(())
    }
}

/// The most memory this process ever had in use, where the system says.
fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use engine::status::{Status, TaskStatus, Written};

    use super::Summary;

    fn board(inserted: u64, held: u64) -> Status {
        let mut status = Status::default();
        let mut task = TaskStatus::default();
        let issues =
            Written { rows: 1_200, inserted, updated: 3, deleted: 2, detailed: 7, held, put_aside: 0 };
        task.tables.insert("Issues".to_owned(), issues);
        status.tasks.insert("t".to_owned(), task);
        status.requests.insert("DescribeIssue".to_owned(), 7);
        status
    }

    #[test]
    fn boards_are_added_up_and_shown_in_a_table() {
        let mut summary = Summary::of(&[board(1_200, 0), board(5, 4)], Duration::from_millis(2_345));
        assert!(!cfg!(target_os = "linux") || summary.peak_rss_bytes.is_some_and(|bytes| bytes > 1_000_000));
        summary.peak_rss_bytes = Some(50_400_000);
        assert_eq!(summary.held(), 4);
        assert_eq!(
            summary.to_string(),
            "table        rows   inserted    updated    deleted   detailed       held\n\
             Issues      2,400      1,205          6          4         14          4\n\
             14 requests in 2.3 s, at most 50 MB of memory"
        );
        assert_eq!(
            serde_json::to_string(&summary).unwrap(),
            "{\"tables\":{\"Issues\":{\"rows\":2400,\"inserted\":1205,\"updated\":6,\"deleted\":4,\
             \"detailed\":14,\"held\":4,\"put_aside\":0}},\"requests\":{\"DescribeIssue\":14},\"duration_ms\":2345,\
             \"peak_rss_bytes\":50400000}"
        );
    }

    #[test]
    fn rows_that_are_aside_have_a_number_of_their_own() {
        let mut board = board(1_199, 0);
        board.tasks.get_mut("t").unwrap().tables.get_mut("Issues").unwrap().put_aside = 1;
        let summary = Summary::of(&[board], Duration::from_millis(1));
        assert_eq!((summary.put_aside(), summary.tables["Issues"].inserted), (1, 1_199));
        let said = "1 row of Issues put aside: `_tributary_aside` in the target names them and says why";
        assert!(summary.to_string().lines().any(|line| line == said), "{summary}");
        assert_eq!(serde_json::to_value(&summary).unwrap()["tables"]["Issues"]["put_aside"], 1);
    }
}
