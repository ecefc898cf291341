//! Whether time grows with the rows and memory does not.

use std::path::Path;
use std::time::Duration;

use crate::database::Kind;
use crate::pipeline::Pipeline;
use crate::simulator::{Simulator, Wish};
use crate::table::Table;
use crate::{Result, Sizes};

/// The table.
pub(crate) async fn run(dir: &Path, sizes: &Sizes) -> Result<Vec<Table>> {
    let mut table = Table::new(
        "growth",
        "Growth: a first load into SQLite, listed rows only",
        &[
            "issues",
            "rows in target",
            "until all are queryable (s)",
            "µs an issue",
            "whole run with census (s)",
            "µs an issue, whole",
            "CPU (s)",
            "peak memory (MB)",
        ],
    );
    for issues in sizes.growth {
        let dir = dir.join(issues.to_string());
        let wish = Wish { issues, rate_limit: 0, latency: Duration::ZERO };
        std::fs::create_dir_all(&dir)?;
        let simulator = Simulator::start(&dir, wish).await?;
        let pipeline = Pipeline::new(
            &dir,
            &simulator,
            Kind::Sqlite.make(&dir).await,
            &["rate_limit: 0", "details: off"],
        )?;
        let (ended, loaded) = pipeline.once(&simulator).await?;
        let each = |seconds: f64| seconds * 1e6 / f64::from(issues);
        table.row([
            u64::from(issues).into(),
            pipeline.complete(&simulator).await?.into(),
            loaded.into(),
            each(loaded).into(),
            ended.seconds.into(),
            each(ended.seconds).into(),
            ended.cpu.into(),
            ended.summary.peak_mb().into(),
        ]);
        drop(simulator);
        std::fs::remove_dir_all(&dir)?;
    }
    table.note("One run each. Linear: the time an issue takes stays; flat: the memory stays, ±20 %.");
    Ok(vec![table])
}
