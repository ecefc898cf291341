//! How long a change takes from the source to the target while it is followed, and what following costs.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::changes::{Changes, percentile};
use crate::database::Kind;
use crate::pipeline::{Pipeline, since};
use crate::simulator::{Simulator, Wish};
use crate::table::Table;
use crate::{Result, Sizes};

/// The table.
pub(crate) async fn run(dir: &Path, sizes: &Sizes) -> Result<Vec<Table>> {
    let wish = Wish { issues: sizes.followed, rate_limit: 0, latency: Duration::from_millis(50) };
    let simulator = Simulator::start(dir, wish).await?;
    let settings = ["rate_limit: 0", "polling: { interval: 2s }"];
    let pipeline = Pipeline::new(dir, &simulator, Kind::Sqlite.make(dir).await, &settings)?;
    let mut running = pipeline.follow()?;
    pipeline.loaded(&mut running, &simulator).await?;
    pipeline.detailed(&mut running).await?;

    let before = simulator.counters().await?.total();
    let (cpu, began) = (running.cpu(), Instant::now());
    let target = pipeline.reader(&mut running).await?;
    let delays = sizes.follow.make(&simulator, &mut running, target).await?;
    let (seconds, cpu) = (since(began), running.cpu().zip(cpu).map(|(after, before)| after - before));
    let requests = simulator.counters().await?.total().saturating_sub(before);
    let rows = pipeline.complete(&simulator).await?;
    let ended = running.stop().await?;

    let Changes { count, per_second } = sizes.follow;
    let mut table = Table::new(
        "following",
        format!("Following {} issues: {per_second} changes/s, polled every 2 s, 50 ms latency", wish.issues),
        &[
            "what",
            "changes",
            "p50 (s)",
            "p95 (s)",
            "longest (s)",
            "CPU of one core (%)",
            "requests",
            "requests/change",
            "peak memory (MB)",
            "rows in target",
        ],
    );
    let per_change = f64::from(u32::try_from(requests)?) / f64::from(count.max(1));
    for (what, delays) in [("listed columns", &delays.listed), ("with details", &delays.detailed)] {
        table.row([
            what.into(),
            u64::try_from(delays.len())?.into(),
            percentile(delays, 50).into(),
            percentile(delays, 95).into(),
            delays.last().copied().into(),
            cpu.map(|cpu| 100.0 * cpu / seconds).into(),
            requests.into(),
            per_change.into(),
            ended.summary.peak_mb().into(),
            rows.into(),
        ]);
    }
    table.note(
        "From the moment a change is ordered at the source until a query of the target shows it. CPU, requests and \
         memory are those of the whole run. No limit at the source: 50 look-ups a second are more than CODING allows.",
    );
    Ok(vec![table])
}
