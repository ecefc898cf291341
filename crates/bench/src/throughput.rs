//! How fast a first load is, beside what the database alone can do, and where the CPU time goes.

use std::path::Path;
use std::time::Duration;

use connectors::sqlite::config::SqliteConfig;
use connectors::sqlite::target::SqliteTarget;

use crate::database::Database;
use crate::pipeline::Pipeline;
use crate::simulator::{Simulator, Wish};
use crate::table::{Figure, Table};
use crate::{Result, Sizes, baseline, median, parts};

const NAME: &str = "throughput";
/// No limit, and nothing but listed rows.
const SETTINGS: [&str; 2] = ["rate_limit: 0", "details: off"];

/// One run.
struct Run {
    loaded: f64,
    ended: f64,
    baseline: f64,
    simulator: Option<f64>,
    tributary: Option<f64>,
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
            "rows",
            "rows in target",
            "until all are queryable (s)",
            "rows/s",
            "whole run with census (s)",
            "plain bulk insert (rows/s)",
            "ratio",
            "peak memory (MB)",
        ],
    );
    let mut cpu = Table::new(
        NAME,
        "CPU seconds of the same runs, and of each part alone over the same rows",
        &[
            "target",
            "simulator",
            "tributary",
            "alone: receive and parse",
            "differ",
            "journal, writing",
            "journal, reading",
            "shape and write",
        ],
    );
    for database in [Database::sqlite] {
        let name = database(dir).name();
        let mut runs = Vec::new();
        let mut rows = 0;
        for number in 0..sizes.runs {
            let dir = dir.join(format!("{name}-{number}"));
            let pipeline = Pipeline::new(&dir, &simulator, database(&dir), &SETTINGS)?;
            let before = simulator.cpu();
            let (ended, loaded) = pipeline.once(&simulator).await?;
            let used = simulator.cpu().zip(before).map(|(after, before)| after - before);
            rows = pipeline.complete(&simulator).await?;
            let baseline = match &pipeline.database {
                Database::Sqlite(file) => baseline::sqlite(file, &dir).await?,
            };
            runs.push(Run {
                loaded,
                ended: ended.seconds,
                baseline,
                simulator: used,
                tributary: ended.cpu,
                peak_mb: ended.summary.peak_mb(),
            });
            std::fs::remove_dir_all(&dir)?;
        }
        let all = |of: fn(&Run) -> Option<f64>| median(runs.iter().filter_map(of).collect());
        let issues = f64::from(wish.issues);
        let loaded = all(|run| Some(run.loaded)).unwrap_or(f64::NAN);
        let plain = all(|run| Some(run.baseline)).unwrap_or(f64::NAN);
        speed.row([
            name.into(),
            u64::from(wish.issues).into(),
            rows.into(),
            loaded.into(),
            Figure::Count(whole(issues / loaded)),
            all(|run| Some(run.ended)).into(),
            Figure::Count(whole(issues / plain)),
            (plain / loaded).into(),
            all(|run| run.peak_mb).into(),
        ]);
        let dir = dir.join(format!("{name}-parts"));
        std::fs::create_dir_all(&dir)?;
        let config = SqliteConfig { path: dir.join("target.db") };
        let target = SqliteTarget::new(config.validate(&dir).map_err(|findings| format!("{findings:?}"))?);
        let parts = parts::measure(&dir, &simulator, target).await?;
        std::fs::remove_dir_all(&dir)?;
        cpu.row([
            name.into(),
            all(|run| run.simulator).into(),
            all(|run| run.tributary).into(),
            parts.parse.into(),
            parts.differ.into(),
            parts.record.into(),
            parts.read.into(),
            parts.deliver.into(),
        ]);
    }
    speed
        .note(format!("Median of {} runs; simulator, tributary and database share the machine.", sizes.runs));
    speed.note(
        "`rows in target` counts all three tables. The whole run reads every issue a second time: its census \
         proves that nothing was missed.",
    );
    cpu.note(
        "Simulator and tributary: by process, over the whole run, census included. The parts: each alone, \
         in this program, over one reading of the same issues; what is in no part is HTTP of the census, \
         the hand-over between tasks and the program itself.",
    );
    Ok(vec![speed, cpu])
}

#[expect(clippy::as_conversions, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate")]
fn whole(rate: f64) -> u64 {
    rate as u64
}
