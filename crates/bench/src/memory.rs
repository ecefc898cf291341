//! How much memory a pipeline takes, and each further task that shares its reading.

use std::path::Path;
use std::time::Duration;

use crate::database::Kind;
use crate::pipeline::Pipeline;
use crate::simulator::{Simulator, Wish};
use crate::table::Table;
use crate::{Result, Sizes, median};

const NAME: &str = "memory";
/// Megabytes at most, for one pipeline.
const ONE: f64 = 110.0;
/// Megabytes at most, for each further task.
const FURTHER: f64 = 5.0;
/// Further tasks in one process.
const TASKS: [usize; 3] = [0, 1, 3];

/// The table.
pub(crate) async fn run(dir: &Path, sizes: &Sizes) -> Result<Vec<Table>> {
    let wish = Wish { issues: sizes.throughput, rate_limit: 0, latency: Duration::ZERO };
    let simulator = Simulator::start(dir, wish).await?;
    simulator.warm().await?;
    let mut table = Table::new(
        NAME,
        format!("Memory: a first load of {} issues into SQLite, listed rows only", wish.issues),
        &[
            "tasks in one process",
            "whole run with census (s)",
            "peak memory (MB)",
            "for each further task (MB)",
            "goal (MB)",
        ],
    );
    let mut alone = None;
    for further in TASKS {
        let (mut peaks, mut seconds) = (Vec::new(), Vec::new());
        for number in 0..sizes.runs {
            let dir = dir.join(format!("{further}-{number}"));
            let make = async |name: &str| {
                let database = Kind::Sqlite.make(&dir.join(name)).await;
                std::fs::create_dir_all(dir.join(name))?;
                Pipeline::named(name, &dir, &simulator, database, &["rate_limit: 0", "details: off"], "")
            };
            let first = make("bench").await?;
            let mut others = Vec::new();
            for at in 0..further {
                others.push(make(&format!("further-{at}")).await?);
            }
            let ended = first.once_whole(&others.iter().collect::<Vec<_>>()).await?;
            first.complete(&simulator).await?;
            for other in &others {
                other.complete(&simulator).await?;
            }
            seconds.push(ended.seconds);
            peaks.extend(ended.summary.peak_mb());
            std::fs::remove_dir_all(&dir)?;
        }
        let peak = median(peaks);
        let count = u32::try_from(further)?;
        let each = peak
            .zip(alone)
            .filter(|_| count > 0)
            .map(|(peak, alone): (f64, f64)| (peak - alone) / f64::from(count));
        let goal = if count == 0 { ONE } else { FURTHER };
        let figure = if count == 0 { peak } else { each };
        if figure.is_some_and(|figure| figure > goal) && wish.issues >= 100_000 {
            table.failure(format!(
                "{} tasks: {:.1} MB where {goal} is the goal",
                further + 1,
                figure.unwrap_or(0.0)
            ));
        }
        alone = alone.or(peak);
        table.row([
            u64::from(count).saturating_add(1).into(),
            median(seconds).into(),
            peak.into(),
            each.into(),
            goal.into(),
        ]);
    }
    table.note(format!(
        "Median of {} runs; the tasks share one reading and one journal, each has a file of its own.",
        sizes.runs
    ));
    Ok(vec![table])
}
