//! What is left of the rate when the service refuses requests: for reasons of its own, and because of a neighbour.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use coding_sim::{FaultKind, Faults};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use crate::database::Kind;
use crate::pipeline::{Pipeline, since};
use crate::process::Running;
use crate::simulator::{Simulator, Wish};
use crate::table::{Figure, Table};
use crate::{Result, Sizes};

/// Requests a second and action at which the service refuses, by its documentation.
const REFUSED_ABOVE: u32 = 30;
/// The requests that are measured: those for details.
const ACTION: &str = "DescribeIssue";
/// Of these the service refuses so many at random, in each of two ways.
const AT_RANDOM: f64 = 0.03;
/// Requests a second of the neighbour, whatever is answered.
const NEIGHBOUR: u32 = 20;

/// How long each is measured, and how many issues are there to fetch details of: more than can be had in this time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Throttling {
    pub(crate) issues: u32,
    pub(crate) at_random: Duration,
    pub(crate) beside: Duration,
}

/// Requests, and how many of them were refused for too many requests.
#[derive(Clone, Copy, Debug, Default)]
struct Sent {
    requests: u64,
    refused: u64,
}

/// The tables.
pub(crate) async fn run(dir: &Path, sizes: &Sizes) -> Result<Vec<Table>> {
    Ok(vec![at_random(dir, sizes.throttling).await?, beside(dir, sizes.throttling).await?])
}

/// A pipeline that has loaded and now fetches details.
async fn detailing(dir: &Path, issues: u32) -> Result<(Simulator, Running)> {
    std::fs::create_dir_all(dir)?;
    let wish = Wish { issues, rate_limit: REFUSED_ABOVE, latency: Duration::from_millis(50) };
    let simulator = Simulator::start(dir, wish).await?;
    let pipeline = Pipeline::new(dir, &simulator, Kind::Sqlite.make(dir).await, &[])?;
    let mut running = pipeline.follow()?;
    pipeline.loaded(&mut running, &simulator).await?;
    Ok((simulator, running))
}

async fn at_random(dir: &Path, sizes: Throttling) -> Result<Table> {
    let (simulator, running) = detailing(&dir.join("at-random"), sizes.issues).await?;
    let each =
        BTreeMap::from([(FaultKind::Http429, AT_RANDOM), (FaultKind::RequestLimitExceeded, AT_RANDOM)]);
    let faults = Faults { each, actions: vec![ACTION.to_owned()], ..Faults::default() };
    simulator.break_so(&faults).await?;
    let (before, began) = (simulator.counters().await?, Instant::now());
    tokio::time::sleep(sizes.at_random).await;
    let (after, seconds) = (simulator.counters().await?, since(began));
    running.stop().await?;
    let struck: u64 = after.faults.values().sum();
    let sent = Sent {
        requests: after.of(ACTION).saturating_sub(before.of(ACTION)),
        refused: struck.saturating_add(after.throttled.saturating_sub(before.throttled)),
    };
    let mut table = Table::new(
        "throttled",
        format!(
            "Details while the service refuses 6 % at random: half with HTTP 429, half with `RequestLimitExceeded`; \
             {seconds:.0} s from the first refusal on"
        ),
        &["figure", "measured", "goal", "met"],
    );
    let rate = sent.rate(seconds);
    table.row(["requests/s".into(), rate.into(), "at least 20".into(), met(rate >= 20.0)]);
    table.row(["of these refused (%)".into(), sent.share().into(), "–".into(), "–".into()]);
    table.row(["details/s".into(), sent.succeeded(seconds).into(), "–".into(), "–".into()]);
    table.note("25 requests/s and action as by default, 50 ms latency.");
    Ok(table)
}

async fn beside(dir: &Path, sizes: Throttling) -> Result<Table> {
    let (simulator, running) = detailing(&dir.join("beside"), sizes.issues).await?;
    let (before, began) = (simulator.counters().await?, Instant::now());
    let neighbour = ask_along(&simulator, sizes.beside).await?;
    let (after, seconds) = (simulator.counters().await?, since(began));
    running.stop().await?;
    let ours = Sent {
        requests: after.of(ACTION).saturating_sub(before.of(ACTION)).saturating_sub(neighbour.requests),
        refused: after.throttled.saturating_sub(before.throttled).saturating_sub(neighbour.refused),
    };
    let mut table = Table::new(
        "throttled",
        format!(
            "Details beside a neighbour who takes {NEIGHBOUR} of {REFUSED_ABOVE} requests/s; {seconds:.0} s from its \
             first request on"
        ),
        &["figure", "measured", "goal", "met"],
    );
    let (share, rate) = (ours.share(), ours.rate(seconds));
    table.row(["own requests/s".into(), rate.into(), "at least 8".into(), met(rate >= 8.0)]);
    table.row(["of these refused (%)".into(), share.into(), "at most 2".into(), met(share <= 2.0)]);
    table.row(["the neighbour's requests/s".into(), neighbour.rate(seconds).into(), "–".into(), "–".into()]);
    table.row(["of these refused (%)".into(), neighbour.share().into(), "–".into(), "–".into()]);
    table.note("25 requests/s and action as by default, 50 ms latency. The time of finding out is included.");
    Ok(table)
}

/// Asks for issues evenly for so long, as another program of the team would that does not heed refusals.
async fn ask_along(simulator: &Simulator, lasts: Duration) -> Result<Sent> {
    let mut turn = tokio::time::interval(Duration::from_secs(1) / NEIGHBOUR);
    // On average as many as it says, also on a machine that is late now and then.
    turn.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (began, mut asked, mut sent) = (Instant::now(), JoinSet::new(), Sent::default());
    while began.elapsed() < lasts {
        turn.tick().await;
        asked.spawn(simulator.ask_issue(1));
        while let Some(answer) = asked.try_join_next() {
            sent.note(answer??);
        }
    }
    while let Some(answer) = asked.join_next().await {
        sent.note(answer??);
    }
    Ok(sent)
}

impl Sent {
    fn note(&mut self, admitted: bool) {
        self.requests = self.requests.saturating_add(1);
        self.refused = self.refused.saturating_add(u64::from(!admitted));
    }

    fn rate(self, seconds: f64) -> f64 {
        number(self.requests) / seconds
    }

    fn succeeded(self, seconds: f64) -> f64 {
        number(self.requests.saturating_sub(self.refused)) / seconds
    }

    /// Per cent.
    fn share(self) -> f64 {
        100.0 * number(self.refused) / number(self.requests.max(1))
    }
}

fn number(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// Whether a goal is met, in words.
pub(crate) fn met(is_met: bool) -> Figure {
    if is_met { "yes" } else { "no" }.into()
}
