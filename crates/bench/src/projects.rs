//! What many projects cost in which nothing happens.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::database::Kind;
use crate::pipeline::Pipeline;
use crate::simulator::{PROJECT, Simulator, Wish};
use crate::table::{Figure, Table};
use crate::{Result, Sizes};

const NAME: &str = "projects";
/// Issues of each project.
const ISSUES: u32 = 4;
/// Seconds between two censuses with default settings: each asks once for every project.
const CENSUS: f64 = 900.0;
/// Requests of a `--once` with nothing to do, for 300 projects.
const ONCE: u64 = 1_250;
/// Requests a second while following, for as many.
const FOLLOWING: f64 = 2.0;

/// How many, and how long they are watched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quiet {
    pub(crate) projects: u32,
    /// Without a request for so long the first round is over.
    pub(crate) silence: Duration,
    pub(crate) watched: Duration,
}

/// The table.
pub(crate) async fn run(dir: &Path, sizes: &Sizes) -> Result<Vec<Table>> {
    let Quiet { projects, silence, watched } = sizes.quiet;
    let wish =
        Wish { issues: projects.saturating_mul(ISSUES), rate_limit: 30, latency: Duration::from_millis(20) };
    let simulator = Simulator::of_projects(dir, wish, projects).await?;
    let pipeline = Pipeline::new(dir, &simulator, Kind::Sqlite.make(dir).await, &[])?;
    pipeline.replace(&format!("[{PROJECT}]"), "[\"*\"]")?;
    let mut table = Table::new(
        NAME,
        format!("{projects} projects, all that the credential sees, default settings"),
        &["run", "requests", "seconds", "requests a second", "goal for 300 projects"],
    );
    let asked = async || Ok::<_, crate::Error>(simulator.counters().await?.total());
    let mut before = asked().await?;
    for (run, goal) in [("first `--once`", None), ("`--once` with nothing to do", Some(ONCE))] {
        let ended = pipeline.once_whole(&[]).await?;
        let after = asked().await?;
        let requests = after.saturating_sub(before);
        before = after;
        if goal.is_some_and(|goal| requests > goal) && projects == 300 {
            table.failure(format!("{run}: {requests} requests"));
        }
        let goal = goal.map(|goal| format!("≤ {goal} requests"));
        let goal = Figure::from(goal.as_deref());
        table.row([run.into(), requests.into(), ended.seconds.into(), Figure::None(()), goal]);
    }

    let running = pipeline.follow()?;
    let (mut last, mut since) = (before, Instant::now());
    // The first round asks for everything once.
    while last == before || since.elapsed() < silence {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let now = asked().await?;
        if now != last {
            (last, since) = (now, Instant::now());
        }
    }
    let began = Instant::now();
    tokio::time::sleep(watched).await;
    let requests = asked().await?.saturating_sub(last);
    let seconds = began.elapsed().as_secs_f64();
    running.stop().await?;
    let rate = f64::from(u32::try_from(requests)?) / seconds;
    let with_census = rate + f64::from(projects) / CENSUS;
    if with_census > FOLLOWING && projects == 300 {
        table.failure(format!("following quietly: {with_census:.2} requests a second"));
    }
    let goal = format!("≤ {FOLLOWING} a second, with the census");
    table.row([
        "following, nothing happens".into(),
        requests.into(),
        seconds.into(),
        rate.into(),
        goal.as_str().into(),
    ]);
    table.row([
        "… with its share of a census".into(),
        Figure::None(()),
        Figure::None(()),
        with_census.into(),
        Figure::None(()),
    ]);
    table.note(format!(
        "{ISSUES} issues, some iterations and members a project. Following is watched from the end of its first round."
    ));
    Ok(vec![table])
}
