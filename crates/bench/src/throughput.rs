//! How fast a first load is, beside what the database alone can do, and where the CPU time goes.

use std::path::Path;
use std::time::Duration;

use connectors::postgres::config::PostgresConfig;
use connectors::postgres::target::PostgresTarget;
use connectors::sqlite::config::SqliteConfig;
use connectors::sqlite::target::SqliteTarget;
use secrecy::SecretString;
use test_postgres::Cluster;

use crate::database::{Database, Kind, SCHEMA};
use crate::parts::Parts;
use crate::pipeline::Pipeline;
use crate::simulator::{Simulator, Wish};
use crate::table::Table;
use crate::{Result, Sizes, baseline, median, parts};

const NAME: &str = "throughput";
/// No limit, and nothing but listed rows.
const SETTINGS: [&str; 2] = ["rate_limit: 0", "details: off"];

/// One run.
struct Run {
    rows: u64,
    /// Seconds until all issues could be queried.
    loaded: f64,
    /// Seconds until the process had ended.
    ended: f64,
    /// Seconds of the plain insert of the same rows.
    plain: f64,
    simulator_cpu: Option<f64>,
    tributary_cpu: Option<f64>,
    database_cpu: Option<f64>,
    peak_mb: Option<f64>,
}

/// The tables.
pub(crate) async fn run(dir: &Path, sizes: &Sizes) -> Result<Vec<Table>> {
    let wish = Wish { issues: sizes.throughput, rate_limit: 0, latency: Duration::ZERO };
    let simulator = Simulator::start(dir, wish).await?;
    let bytes = simulator.warm().await?;
    let mut speed = Table::new(
        NAME,
        format!("Throughput: {} issues of about {bytes} bytes, listed only", wish.issues),
        &[
            "target",
            "issues",
            "rows in target",
            "until all are queryable (s)",
            "issues/s",
            "whole run with census (s)",
            "plain bulk insert (issues/s)",
            "ratio",
            "peak memory (MB)",
        ],
    );
    speed.note(format!(
        "Median of {} runs; simulator, tributary and database share the machine. `rows in target` counts all \
         three tables.",
        sizes.runs
    ));
    speed.note(
        "Plain bulk insert: the same rows once more, in one transaction, into an empty table with the same \
         primary key; COPY in PostgreSQL, prepared inserts of 64 rows in SQLite.",
    );
    speed.note("The whole run reads every issue a second time: its census proves that nothing was missed.");
    let mut cpu = Table::new(
        NAME,
        "CPU seconds of the same runs, and of each part alone over the same issues",
        &[
            "target",
            "simulator",
            "tributary",
            "database",
            "alone: receive and read",
            "judge and record",
            "journal, reading",
            "shape and write",
        ],
    );
    cpu.note(
        "Simulator, tributary and database: by process, over the whole run, census included. The parts: each \
         alone, one after the other in one process, over one reading of the same issues, without a server's \
         share. What is in no part is the census and the hand-over between tasks.",
    );
    let server = Cluster::start(&[]).await;
    for kind in [Kind::Sqlite, Kind::Postgres(&server)] {
        let mut runs = Vec::new();
        for number in 0..sizes.runs {
            runs.push(once(&dir.join(format!("{}-{number}", kind.name())), kind, &simulator).await?);
        }
        let parts = Box::pin(alone(&dir.join(format!("{}-parts", kind.name())), kind, &simulator)).await?;
        let middle = |of: fn(&Run) -> Option<f64>| median(runs.iter().filter_map(of).collect());
        let per_second =
            |seconds: Option<f64>| seconds.map(|seconds| (f64::from(wish.issues) / seconds).round());
        let (loaded, plain) = (middle(|run| Some(run.loaded)), middle(|run| Some(run.plain)));
        speed.row([
            kind.name().into(),
            u64::from(wish.issues).into(),
            runs.last().map(|run| run.rows).into(),
            loaded.into(),
            per_second(loaded).into(),
            middle(|run| Some(run.ended)).into(),
            per_second(plain).into(),
            plain.zip(loaded).map(|(plain, loaded)| plain / loaded).into(),
            middle(|run| run.peak_mb).into(),
        ]);
        cpu.row([
            kind.name().into(),
            middle(|run| run.simulator_cpu).into(),
            middle(|run| run.tributary_cpu).into(),
            match kind {
                Kind::Sqlite => "in tributary".into(),
                Kind::Postgres(_) => middle(|run| run.database_cpu).into(),
            },
            parts.parse.into(),
            parts.record.into(),
            parts.read.into(),
            parts.deliver.into(),
        ]);
    }
    Ok(vec![speed, cpu])
}

/// One run, and what the database alone does with the same rows.
async fn once(dir: &Path, kind: Kind<'_>, simulator: &Simulator) -> Result<Run> {
    let pipeline = Pipeline::new(dir, simulator, kind.make(dir).await, &SETTINGS)?;
    let before = (simulator.cpu(), kind.cpu());
    let (ended, loaded) = pipeline.once(simulator).await?;
    let spent = |before: Option<f64>, after: Option<f64>| Some(after? - before?);
    let (simulator_cpu, database_cpu) = (spent(before.0, simulator.cpu()), spent(before.1, kind.cpu()));
    let rows = pipeline.complete(simulator).await?;
    let plain = match &pipeline.database {
        Database::Sqlite(file) => baseline::sqlite(file, dir).await?,
        Database::Postgres(database) => baseline::postgres(database).await?,
    };
    std::fs::remove_dir_all(dir)?;
    Ok(Run {
        rows,
        loaded,
        ended: ended.seconds,
        plain,
        simulator_cpu,
        tributary_cpu: ended.cpu,
        database_cpu,
        peak_mb: ended.summary.peak_mb(),
    })
}

/// The parts, one after the other.
async fn alone(dir: &Path, kind: Kind<'_>, simulator: &Simulator) -> Result<Parts> {
    std::fs::create_dir_all(dir)?;
    let parts = match kind.make(dir).await {
        Database::Sqlite(path) => {
            let config = SqliteConfig { path }.validate(dir).map_err(|findings| format!("{findings:?}"))?;
            parts::measure(dir, simulator, SqliteTarget::new(config)).await?
        }
        Database::Postgres(database) => {
            let url = SecretString::from(database.url().to_string());
            let config = PostgresConfig { url, schema: SCHEMA.to_owned() };
            let config = config.validate().map_err(|findings| format!("{findings:?}"))?;
            Box::pin(parts::measure(dir, simulator, PostgresTarget::new(config))).await?
        }
    };
    std::fs::remove_dir_all(dir)?;
    Ok(parts)
}
