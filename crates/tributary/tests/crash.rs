//! The real binary is killed in the middle of everything, again and again; at the end the target is exact.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use std::path::Path;
use std::time::Duration;

use coding_sim::{ProjectConfig, SimConfig};
use connectors::coding::tables::TABLES;
use engine::delivery::filter::Filter;
use engine::delivery::shape::{Deletes, Mode, Naming, Task};

use crate::compare::assert_same;
use crate::place::{Place, TargetKind, on_each_target};
use crate::support::{Running, Stage, run, tributary, until};

/// Kills in one run of the suite.
const KILLS: u64 = 20;
/// The longest time between start and kill: by then a run has loaded and follows.
const LONGEST_MS: u64 = 1_500;

/// A small generator, so that a seed repeats a run: xorshift.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn task(name: &str) -> Task {
    Task {
        name: name.to_owned(),
        team: "demo".to_owned(),
        tables: TABLES.iter().filter(|table| !table.from_inbox).collect(),
        filter: Filter::default(),
        naming: Naming::SnakeCase,
        deletes: Deletes::Hard,
        mode: Mode::Document,
        listed_only: false,
        accept_deletes: false,
    }
}

fn sync(dir: &Path, file: &Path, arguments: &[&str]) -> std::process::Command {
    let mut command = tributary(dir);
    command.arg("sync").arg(file).args(arguments);
    command
}

on_each_target!(killed_at_random_moments_it_is_exact_at_the_end);

#[expect(clippy::print_stdout, reason = "the seed of a run that fails repeats it")]
async fn killed_at_random_moments_it_is_exact_at_the_end(target: TargetKind) {
    let seed = jiff::Timestamp::now().as_microsecond().unsigned_abs() | 1;
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let stage = Stage::with(SimConfig {
        projects: vec![ProjectConfig::new("app", 1_500, 12, 20)],
        rate_limit: 0,
        latency: Duration::from_millis(1),
        mutations_per_second: 20.0,
        ..SimConfig::default()
    })
    .await;
    let source = "  polling: { interval: 1s, census_interval: 2s, look_back: 1h }\n";
    let place = Place::new(target, stage.dir.path()).await;
    let file = stage.pipeline_into(&place, "app", source, "");
    for _ in 0..KILLS {
        // The pipes must not fill up: nobody reads them until the end.
        let mut command = sync(stage.dir.path(), &file, &[]);
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        let running = Running::start(command);
        let moment = Duration::from_millis(50 + dice.below(LONGEST_MS));
        tokio::time::sleep(moment).await;
        running.signal("KILL");
        drop(running);
    }
    stage.sim.world().set_mutator(0.0);
    let ended = run(sync(stage.dir.path(), &file, &["--once", "--json"])).await.expect(0);
    let summary = ended.json();
    assert_same(&stage.sim.world(), &place, &task("app")).await;
    // A reading from zero would insert every row again.
    let inserted = summary["tables"]["Issues"]["inserted"].as_u64().unwrap();
    assert!(inserted < 700, "the load was not resumed: {summary}");
    until("the state is free", async || store::state_dir::StateDir::open(&stage.path("app.state")).ok())
        .await;
    stage.sim.stop().await;
}
