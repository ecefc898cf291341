//! What is read every few seconds: of the process, of its state directory, of the changes under way.

use std::path::{Path, PathBuf};
use std::time::Instant;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions};
use store::state_dir::StateDir;

use super::lag::UnderWay;
use crate::Result;
use crate::changes::percentile;
use crate::process::Running;
use crate::simulator::Simulator;

/// A figure that is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figure {
    pub(super) name: &'static str,
    /// So much growth says nothing; `None` where growth is no fault.
    pub(super) floor: Option<f64>,
}

/// Growth that is a fault from `floor` on.
const fn flat(name: &'static str, floor: f64) -> Figure {
    Figure { name, floor: Some(floor) }
}

/// What is read, in the order of a [`Sample`].
pub(super) const FIGURES: [Figure; 14] = [
    flat("memory (MB)", 10.0),
    flat("open files", 4.0),
    flat("threads", 2.0),
    // Eight megabytes of free pages are not given back.
    flat("journal.db (MB)", 8.4),
    // It is cut when it is longer, and overwritten from its beginning otherwise.
    flat("journal.db-wal (MB)", 67.2),
    flat("inbox.db (MB)", 4.2),
    flat("inbox.db-wal (MB)", 67.2),
    flat("changes in the log", 500.0),
    flat("tombstones", 100.0),
    flat("deliveries in the inbox", 300.0),
    flat("changes under way", 20.0),
    flat("lag, median (s)", 1.0),
    Figure { name: "lag, longest (s)", floor: None },
    Figure { name: "requests/s", floor: None },
];

/// One reading; `None` where the system does not say, or nothing arrived.
pub(super) type Sample = [Option<f64>; FIGURES.len()];

/// Reads figures.
pub(super) struct Gauge<'a> {
    pub(super) running: &'a mut Running,
    pub(super) simulator: &'a Simulator,
    pub(super) state: PathBuf,
    pub(super) targets: &'a [UnderWay],
    /// When requests were counted last, and how many they were.
    pub(super) requests: (Instant, u64),
}

impl Gauge<'_> {
    /// Reads all figures.
    ///
    /// # Errors
    /// The process has ended.
    pub(super) async fn read(&mut self) -> Result<Sample> {
        if self.running.has_ended()? {
            return Err(format!("tributary ended: {}", self.running.log()).into());
        }
        let held = self.running.holding();
        let megabytes = |name: &str| Some(millions(file_size(&self.state.join(name))));
        let (journal, inbox) = (self.state.join(store::journal::FILE), self.state.join(store::inbox::FILE));
        let mut lags: Vec<f64> = self.targets.iter().flat_map(UnderWay::take_fresh).collect();
        lags.sort_by(f64::total_cmp);
        let under_way = self.targets.iter().map(UnderWay::count).max().unwrap_or(0);
        Ok([
            held.map(|held| millions(held.memory)),
            held.map(|held| number(held.files)),
            held.map(|held| number(held.threads)),
            megabytes("journal.db"),
            megabytes("journal.db-wal"),
            megabytes("inbox.db"),
            megabytes("inbox.db-wal"),
            Some(count(&journal, "log").await?),
            Some(count(&journal, "mirror WHERE alive = 0").await?),
            Some(count(&inbox, "deliveries").await?),
            u32::try_from(under_way).ok().map(f64::from),
            percentile(&lags, 50),
            lags.last().copied(),
            Some(self.requests_per_second().await?),
        ])
    }

    async fn requests_per_second(&mut self) -> Result<f64> {
        let (now, total) = (Instant::now(), self.simulator.counters().await?.total());
        let (before, known) = std::mem::replace(&mut self.requests, (now, total));
        Ok(number(total.saturating_sub(known)) / now.duration_since(before).as_secs_f64().max(f64::EPSILON))
    }

    /// The share of the changes that no hook told of, in percent, as the process itself says.
    pub(super) fn missed_percent(&self) -> Result<Option<f64>> {
        let status = StateDir::read_status(&self.state)?;
        let rate = status.and_then(|status| status.hooks?.missed_rate());
        Ok(rate.map(|rate| 100.0 * rate))
    }
}

/// How many there are of `what` in a file of the state directory: a table, and which rows of it.
async fn count(file: &Path, what: &str) -> Result<f64> {
    let mut connection = SqliteConnectOptions::new().filename(file).read_only(true).connect().await?;
    let sql = AssertSqlSafe(format!("SELECT count(*) FROM {what}"));
    let rows: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await?;
    sqlx::Connection::close(connection).await?;
    Ok(number(u64::try_from(rows)?))
}

/// Bytes of a file; none when it is not there.
fn file_size(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |metadata| metadata.len())
}

fn number(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::from(u32::MAX), f64::from)
}

fn millions(bytes: u64) -> f64 {
    number(bytes / 1_000) / 1_000.0
}
