//! What changes that hooks tell of cost within the budget of the real service, and how many a second it carries.

use std::path::Path;
use std::time::Duration;

use crate::changes::{Changes, percentile};
use crate::database::Kind;
use crate::hooks::{free_port, hooked};
use crate::pipeline::Pipeline;
use crate::simulator::{Simulator, Wish};
use crate::table::Table;
use crate::throttled::met;
use crate::{Result, Sizes};

/// Requests a second and action at which the service refuses, by its documentation.
const REFUSED_ABOVE: u32 = 30;
/// Waited before every answer: a slot of the budget is held for so much longer than a second.
const LATENCY: Duration = Duration::from_millis(10);

/// The table.
pub(crate) async fn run(dir: &Path, sizes: &Sizes) -> Result<Vec<Table>> {
    let mut table = Table::new(
        "told",
        "Changes told by hooks within the default budget of 25 requests/s and action, 10 ms latency",
        &[
            "changes/s",
            "changes",
            "requests/change",
            "carried/s",
            "p50 (s)",
            "p95 (s)",
            "longest (s)",
            "refused",
            "goal",
            "met",
        ],
    );
    for (number, changes) in sizes.told.into_iter().enumerate() {
        let dir = dir.join(number.to_string());
        std::fs::create_dir_all(&dir)?;
        let wish = Wish { issues: sizes.told_of, rate_limit: REFUSED_ABOVE, latency: LATENCY };
        let simulator = Simulator::start(&dir, wish).await?;
        let port = free_port()?;
        let webhook =
            format!("webhook: {{ listen: \"127.0.0.1:{port}\", public_url: \"http://127.0.0.1:{port}\" }}");
        let settings = [
            "incremental: hybrid",
            "polling: { interval: 1h, census_interval: 1h }",
            "allow_insecure: true",
            webhook.as_str(),
        ];
        let pipeline = Pipeline::new(&dir, &simulator, Kind::Sqlite.make(&dir).await, &settings)?;
        let mut running = pipeline.follow()?;
        pipeline.loaded(&mut running, &simulator).await?;
        pipeline.detailed(&mut running).await?;
        hooked(&simulator, &mut running).await?;

        let before = simulator.counters().await?;
        let target = pipeline.reader(&mut running).await?;
        let delays = changes.make(&simulator, &mut running, target).await?;
        let after = simulator.counters().await?;
        pipeline.complete(&simulator).await?;
        running.stop().await?;

        let Changes { count, per_second } = changes;
        let requests = f64::from(u32::try_from(after.total().saturating_sub(before.total()))?);
        let per_change = requests / f64::from(count.max(1));
        let carried = delays.carried(changes);
        // The last goal is about what can be carried, the others about what it costs.
        let (goal, is_met) = match number {
            0 => ("at most 1.3 requests/change", per_change <= 1.3),
            // Rows come together once a second: those of one may lie on either side of the end.
            _ => ("all are carried", carried >= f64::from(per_second.saturating_sub(1))),
        };
        table.row([
            u64::from(per_second).into(),
            u64::from(count).into(),
            per_change.into(),
            carried.into(),
            percentile(&delays.listed, 50).into(),
            percentile(&delays.listed, 95).into(),
            delays.listed.last().copied().into(),
            after.throttled.saturating_sub(before.throttled).into(),
            goal.into(),
            met(is_met),
        ]);
    }
    table.note(
        "From the moment a change is ordered at the source, which sends its hook at once, until a query of the target \
         shows it. Carried: arrivals a second in the second half of the time in which changes are made. Polls are an \
         hour apart.",
    );
    Ok(vec![table])
}
