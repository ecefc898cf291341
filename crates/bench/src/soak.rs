//! Whether anything grows while changes go on at the full rate: memory, open files, the state directory, the lag.
//!
//! One process keeps a SQLite file and a PostgreSQL schema, told by hooks and by polls, while a share of the requests
//! and of the hooks fails. What is kept is kept for two minutes instead of seven days, so that all of it has come and
//! gone many times. [`lag`] orders changes and sees them arrive, [`sample`] reads the figures, [`verdict`] judges
//! them. In the end both targets are compared with the source, row by row.

mod lag;
mod sample;
mod verdict;

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use test_postgres::Cluster;
use tokio::time::MissedTickBehavior;

use self::lag::{Orders, UnderWay};
use self::sample::{FIGURES, Gauge, Sample};
use self::verdict::Course;
use crate::Result;
use crate::changes::percentile;
use crate::database::Kind;
use crate::hooks::{free_port, hooked};
use crate::pipeline::{Pipeline, since};
use crate::simulator::{Simulator, Wish};
use crate::table::{Figure, Table};

/// Requests a second and action at which the service refuses, by its documentation.
const REFUSED_ABOVE: u32 = 30;
/// Waited before every answer of the simulator.
const LATENCY: Duration = Duration::from_millis(50);
/// Share of the requests, and of the hooks, that meets a fault.
const FAULTS: f64 = 0.01;
/// The first part of a run warms up: caches fill, and what is kept for a while is pruned for the first time.
const WARM_UP: u32 = 6;
/// A shorter run says nothing about growth.
const JUDGED_FROM: Duration = Duration::from_mins(10);
/// How long it may take after the last change until the targets are equal to the source.
const PATIENCE: Duration = Duration::from_mins(10);
/// Wait between two comparisons.
const BETWEEN: Duration = Duration::from_secs(2);
/// How often a run says how it stands.
const TELL: Duration = Duration::from_mins(1);

/// A run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Soak {
    /// Issues of the project; so many there always are.
    pub(crate) issues: u32,
    pub(crate) lasts: Duration,
    /// Time between two readings.
    pub(crate) sampled: Duration,
    /// Changes; each takes two look-ups of which CODING answers 30 a second.
    pub(crate) per_second: u32,
    /// How long changes, tombstones and deliveries are kept.
    pub(crate) retention: &'static str,
    pub(crate) polling: &'static str,
    /// No change may take longer to arrive: a deletion whose hook was lost is found by a census, and where a request of
    /// that fails, by the next one.
    pub(crate) late: Duration,
}

/// The tables.
pub(crate) async fn run(dir: &Path, soak: Soak) -> Result<Vec<Table>> {
    let cluster = Cluster::start(&[]).await;
    let wish = Wish { issues: soak.issues, rate_limit: REFUSED_ABOVE, latency: LATENCY };
    let simulator = Simulator::start(dir, wish).await?;
    let pipelines = pipelines(dir, &simulator, &cluster, soak).await?;
    let [first, second] = &pipelines;
    let mut running = first.follow_with(&[second])?;
    for pipeline in &pipelines {
        pipeline.loaded(&mut running, &simulator).await?;
        pipeline.detailed(&mut running).await?;
    }
    hooked(&simulator, &mut running).await?;
    simulator.break_some(FAULTS, FAULTS).await?;

    let targets = [UnderWay::default(), UnderWay::default()];
    let readers = [first.reader(&mut running).await?, second.reader(&mut running).await?];
    let before = simulator.counters().await?;
    let requests = (Instant::now(), before.total());
    let (began, cpu) = (Instant::now(), running.cpu());
    let mut gauge = Gauge {
        running: &mut running,
        simulator: &simulator,
        state: first.state(),
        targets: &targets,
        requests,
    };
    let [one, other] = readers;
    let [at_one, at_other] = &targets;
    let watching = async { tokio::try_join!(at_one.watch(one), at_other.watch(other)) };
    let orders = Orders::new(&simulator, &targets).make(soak.per_second, soak.lasts);
    let working = async { tokio::try_join!(orders, readings(&mut gauge, soak)) };
    // Both arms only wait and read.
    let (ordered, samples) = tokio::select! {
        worked = Box::pin(working) => worked?,
        watched = Box::pin(watching) => return Err(watched.err().unwrap_or_else(|| "a target is gone".into())),
    };
    let (seconds, missed) = (since(began), gauge.missed_percent()?);
    let cpu = running.cpu().zip(cpu).map(|(after, before)| 100.0 * (after - before) / seconds);
    simulator.break_some(0.0, 0.0).await?;
    let equal = equal(&pipelines).await?;
    let (counters, hooks) = (simulator.counters().await?, simulator.hook_counters().await?);
    running.stop().await?;

    let mut lags = Table::new(
        NAME,
        "Seconds from the moment a change is ordered until a query of the target shows it",
        &["target", "changes", "p50 (s)", "p95 (s)", "longest (s)", "equal to the source after (s)"],
    );
    for ((kind, under_way), equal) in ["SQLite", "PostgreSQL"].into_iter().zip(&targets).zip(equal) {
        let delays = under_way.delays();
        lags.row([
            kind.into(),
            u64::try_from(delays.len())?.into(),
            percentile(&delays, 50).into(),
            percentile(&delays, 95).into(),
            delays.last().copied().into(),
            equal.into(),
        ]);
        if let Some(late) = delays.last().filter(|longest| **longest > soak.late.as_secs_f64()) {
            lags.failure(format!("a change took {late:.0} s to arrive in {kind}"));
        }
    }
    lags.note(format!(
        "New, renamed and deleted issues; what a later change overtook is not counted. Allowed: {} s, two censuses and \
         their retries, for a deletion whose hook was lost. Equal: `tributary verify --deep` after the last change.",
        soak.late.as_secs()
    ));
    let mut whole = Table::new(NAME, "The whole run", &["figure", "value"]);
    let rows: [(&str, Figure); 9] = [
        ("changes ordered", u64::from(ordered).into()),
        ("deliveries answered 2xx", hooks.total.answered_2xx.into()),
        ("deliveries lost on purpose", hooks.total.dropped.into()),
        ("changes that no hook told of (%)", missed.into()),
        ("requests", counters.total().saturating_sub(before.total()).into()),
        ("most requests of an action in any second", counters.peak_per_second.values().max().copied().into()),
        ("requests refused by the limit", counters.throttled.into()),
        ("requests broken on purpose", counters.faults.values().sum::<u64>().into()),
        ("CPU of one core (%)", cpu.into()),
    ];
    for (what, figure) in rows {
        whole.row([what.into(), figure]);
    }
    Ok(vec![judged(&samples, soak), lags, whole])
}

const NAME: &str = "soak";

/// Two pipelines with one state: a task for each target.
async fn pipelines(
    dir: &Path,
    simulator: &Simulator,
    cluster: &Cluster,
    soak: Soak,
) -> Result<[Pipeline; 2]> {
    let port = free_port()?;
    let webhook = format!(
        "webhook: {{ listen: \"127.0.0.1:{port}\", public_url: \"http://127.0.0.1:{port}\", keep: {} }}",
        soak.retention
    );
    let polling = format!("polling: {}", soak.polling);
    let settings = ["incremental: hybrid", &polling, &webhook];
    let more = format!("retention: {}\n", soak.retention);
    let sqlite = Kind::Sqlite.make(dir).await;
    let postgres = Kind::Postgres(cluster).make(dir).await;
    Ok([
        Pipeline::named("sqlite", dir, simulator, sqlite, &settings, &more)?,
        Pipeline::named("postgres", dir, simulator, postgres, &settings, &more)?,
    ])
}

/// Reads the figures as long as the run lasts.
async fn readings(gauge: &mut Gauge<'_>, soak: Soak) -> Result<Vec<Sample>> {
    let (began, mut told) = (Instant::now(), Instant::now());
    let mut turn = tokio::time::interval(soak.sampled);
    turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut samples = Vec::new();
    while began.elapsed() < soak.lasts {
        turn.tick().await;
        let sample = gauge.read().await?;
        samples.push(sample);
        if told.elapsed() >= TELL {
            told = Instant::now();
            let figures =
                FIGURES.iter().zip(sample).filter_map(|(figure, value)| Some((figure.name, value?)));
            let figures: Vec<String> = figures.map(|(name, value)| format!("{name} {value:.1}")).collect();
            let minutes = began.elapsed().as_secs() / 60;
            writeln!(std::io::stderr(), "bench: minute {minutes}: {}", figures.join(", "))?;
        }
    }
    Ok(samples)
}

/// The seconds until each target is equal to the source.
async fn equal(pipelines: &[Pipeline]) -> Result<Vec<f64>> {
    let began = Instant::now();
    let mut seconds = Vec::new();
    for pipeline in pipelines {
        while let Some(different) = Box::pin(pipeline.verify()).await? {
            if began.elapsed() > PATIENCE {
                return Err(format!("a target is not equal to the source: {different}").into());
            }
            tokio::time::sleep(BETWEEN).await;
        }
        seconds.push(since(began));
    }
    Ok(seconds)
}

/// The figures over time, and whether they grew.
fn judged(samples: &[Sample], soak: Soak) -> Table {
    let mut table = Table::new(
        NAME,
        format!(
            "Soak: {:?} of {} changes/s into SQLite and PostgreSQL, {} issues, 1 % of requests and hooks broken",
            soak.lasts, soak.per_second, soak.issues
        ),
        &["figure", "first half", "second half", "highest", "growth", "growth allowed", "verdict"],
    );
    let warm = samples.len().div_ceil(usize::try_from(WARM_UP).unwrap_or(1));
    for (index, figure) in FIGURES.into_iter().enumerate() {
        let values = samples.iter().skip(warm).filter_map(|sample| *sample.get(index)?);
        let course = Course::of(&values.collect::<Vec<_>>(), figure.floor.unwrap_or(0.0));
        let allowed = course.filter(|_| figure.floor.is_some()).map(|course| course.allowed);
        let verdict = match course {
            _ if figure.floor.is_none() => "not judged",
            _ if soak.lasts < JUDGED_FROM => "too short to say",
            Some(course) if course.is_flat() => "flat",
            Some(_) => "grows",
            None => "too few readings",
        };
        if verdict == "grows" {
            table.failure(format!("{} grows", figure.name));
        }
        table.row([
            figure.name.into(),
            course.map(|course| course.first).into(),
            course.map(|course| course.second).into(),
            course.map(|course| course.highest).into(),
            course.map(|course| course.growth).into(),
            allowed.into(),
            verdict.into(),
        ]);
    }
    table.note(format!(
        "Read every {} s; the first sixth warms up and is left out. Halves: their medians. Growth: that of a line \
         through both medians, from the beginning to the end; a tenth of the first half is allowed, or a fixed amount.",
        soak.sampled.as_secs_f64()
    ));
    table.note(format!(
        "One process, hybrid, 25 requests/s and action at most. Changes, tombstones and deliveries are kept for {}.",
        soak.retention
    ));
    table
}
