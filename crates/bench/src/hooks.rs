//! How long it takes from a hook's delivery to the row in the target, and how many deliveries are taken in durably.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use test_postgres::Cluster;

use crate::acceptance;
use crate::changes::percentile;
use crate::database::Kind;
use crate::pipeline::{Pipeline, since};
use crate::process::Running;
use crate::simulator::{Simulator, Wish};
use crate::table::Table;
use crate::{Result, Sizes};

/// Waited before every answer of the simulator.
const LATENCY: Duration = Duration::from_millis(50);
/// How often it is looked whether the hook is there.
const LOOK: Duration = Duration::from_millis(50);
/// It is there soon after the start, or never.
const PATIENCE: Duration = Duration::from_secs(60);

/// Both tables.
pub(crate) async fn run(dir: &Path, sizes: &Sizes) -> Result<Vec<Table>> {
    Ok(vec![delays(dir, sizes).await?, acceptance::run(dir, sizes.accepted).await?])
}

/// From the moment something happens at the source to the row.
async fn delays(dir: &Path, sizes: &Sizes) -> Result<Table> {
    let wish = Wish { issues: sizes.followed, rate_limit: 0, latency: LATENCY };
    let mut table = Table::new(
        "hooks",
        format!(
            "From delivery to row: {} issues, {} changes/s told by clean hooks, 50 ms latency",
            wish.issues, sizes.hooked.per_second
        ),
        &[
            "target",
            "changes",
            "p50 (s)",
            "p95 (s)",
            "longest (s)",
            "requests/change",
            "CPU of one core (%)",
            "peak memory (MB)",
        ],
    );
    let cluster = Cluster::start(&[]).await;
    for kind in [Kind::Sqlite, Kind::Postgres(&cluster)] {
        let dir = dir.join(kind.name());
        std::fs::create_dir_all(&dir)?;
        let simulator = Simulator::start(&dir, wish).await?;
        let port = free_port()?;
        let webhook =
            format!("webhook: {{ listen: \"127.0.0.1:{port}\", public_url: \"http://127.0.0.1:{port}\" }}");
        let settings = [
            "rate_limit: 0",
            "incremental: hybrid",
            "polling: { interval: 1h, census_interval: 1h }",
            "allow_insecure: true",
            webhook.as_str(),
        ];
        let pipeline = Pipeline::new(&dir, &simulator, kind.make(&dir).await, &settings)?;
        let mut running = pipeline.follow()?;
        pipeline.loaded(&mut running, &simulator).await?;
        pipeline.detailed(&mut running).await?;
        hooked(&simulator, &mut running).await?;

        let before = simulator.counters().await?.total();
        let (cpu, began) = (running.cpu(), Instant::now());
        let target = pipeline.reader(&mut running).await?;
        let delays = sizes.hooked.make(&simulator, &mut running, target).await?;
        let (seconds, cpu) = (since(began), running.cpu().zip(cpu).map(|(after, before)| after - before));
        let requests = simulator.counters().await?.total().saturating_sub(before);
        let per_change = f64::from(u32::try_from(requests)?) / f64::from(sizes.hooked.count.max(1));
        pipeline.complete(&simulator).await?;
        let ended = running.stop().await?;
        table.row([
            kind.name().into(),
            u64::try_from(delays.listed.len())?.into(),
            percentile(&delays.listed, 50).into(),
            percentile(&delays.listed, 95).into(),
            delays.listed.last().copied().into(),
            per_change.into(),
            cpu.map(|cpu| 100.0 * cpu / seconds).into(),
            ended.summary.peak_mb().into(),
        ]);
    }
    table.note(
        "From the moment a change is ordered at the source, which sends its hook at once, until a query of the target \
         shows it; the target is asked every 20 ms. A look is a listing and a look-up, 50 ms each at least. Polls are \
         an hour apart. Requests include the second look-up that follows when the second of the update is over.",
    );
    Ok(table)
}

/// Waits until the hook is registered and has been pinged.
pub(crate) async fn hooked(simulator: &Simulator, running: &mut Running) -> Result<()> {
    let began = Instant::now();
    while !simulator.counters().await?.requests.contains_key("PingServiceHook") {
        if began.elapsed() > PATIENCE || running.has_ended()? {
            return Err(format!("the hook was not registered: {}", running.log()).into());
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
