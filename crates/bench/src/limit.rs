//! What it takes at the limit of the real service: time for a first load, requests for a change.

use std::path::Path;
use std::time::Duration;

use crate::changes::Changes;
use crate::database::Kind;
use crate::pipeline::Pipeline;
use crate::simulator::{Simulator, Wish};
use crate::table::Table;
use crate::{Result, Sizes};

const NAME: &str = "limit";
/// Requests a second and action at which the service refuses, by its documentation.
const REFUSED_ABOVE: u32 = 30;
/// Requests a second and action that a pipeline sends at most, unless it is told otherwise.
const SENT: f64 = 25.0;
/// Rows a page, at most.
const PAGE: u32 = 500;

/// The tables.
pub(crate) async fn run(dir: &Path, sizes: &Sizes) -> Result<Vec<Table>> {
    Ok(vec![load(dir, sizes).await?, changes(dir, sizes).await?])
}

fn wish(issues: u32) -> Wish {
    Wish { issues, rate_limit: REFUSED_ABOVE, latency: Duration::from_millis(50) }
}

async fn load(dir: &Path, sizes: &Sizes) -> Result<Table> {
    let dir = dir.join("load");
    std::fs::create_dir_all(&dir)?;
    let simulator = Simulator::start(&dir, wish(sizes.limit)).await?;
    let pipeline = Pipeline::new(&dir, &simulator, Kind::Sqlite.make(&dir).await, &[])?;
    let mut running = pipeline.follow()?;
    let loaded = pipeline.loaded(&mut running, &simulator).await?;
    let rows = pipeline.complete(&simulator).await?;
    let counters = simulator.counters().await?;
    running.stop().await?;
    let pages = sizes.limit.div_ceil(PAGE);
    let dictated = f64::from(pages) / SENT;
    let mut table = Table::new(
        NAME,
        "A first load at the real limit: 25 requests/s and action, 50 ms latency, default settings",
        &[
            "issues",
            "rows in target",
            "pages of issues",
            "the limit dictates (s)",
            "until all are queryable (s)",
            "ratio",
            "requests refused",
            "most in any second",
        ],
    );
    table.row([
        u64::from(sizes.limit).into(),
        rows.into(),
        u64::from(pages).into(),
        dictated.into(),
        loaded.into(),
        (loaded / dictated).into(),
        counters.throttled.into(),
        counters.peak_per_second.values().max().copied().into(),
    ]);
    table.note(
        "From the start of the process until the listed columns of all three tables are there; details follow in \
         the background. The limit dictates: 500 issues a page, 25 pages a second.",
    );
    Ok(table)
}

async fn changes(dir: &Path, sizes: &Sizes) -> Result<Table> {
    let dir = dir.join("changes");
    std::fs::create_dir_all(&dir)?;
    let simulator = Simulator::start(&dir, wish(sizes.edited)).await?;
    let polling = format!("polling: {{ interval: {} }}", sizes.edits_polled);
    let pipeline = Pipeline::new(&dir, &simulator, Kind::Sqlite.make(&dir).await, &[&polling])?;
    let mut running = pipeline.follow()?;
    pipeline.loaded(&mut running, &simulator).await?;
    pipeline.detailed(&mut running).await?;

    let before = simulator.counters().await?;
    let target = pipeline.reader(&mut running).await?;
    sizes.edits.make(&simulator, &mut running, target).await?;
    let after = simulator.counters().await?;
    let rows = pipeline.complete(&simulator).await?;
    running.stop().await?;

    let Changes { count, per_second } = sizes.edits;
    let mut table = Table::new(
        NAME,
        format!(
            "Requests for {count} changed issues, {per_second} a second, polled every {}",
            sizes.edits_polled
        ),
        &["action", "requests", "per changed issue", "rows in target"],
    );
    let mut total = 0_u64;
    for (action, requests) in &after.requests {
        let requests = requests.saturating_sub(before.of(action));
        if requests > 0 {
            total = total.saturating_add(requests);
            table.row([action.as_str().into(), requests.into(), share(requests, count).into(), rows.into()]);
        }
    }
    table.row(["all".into(), total.into(), share(total, count).into(), rows.into()]);
    table.note(format!("{} requests were refused.", after.throttled));
    Ok(table)
}

fn share(requests: u64, changes: u32) -> f64 {
    f64::from(u32::try_from(requests).unwrap_or(u32::MAX)) / f64::from(changes.max(1))
}
