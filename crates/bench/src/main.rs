//! How fast tributary is: benchmarks that one command runs again, `make bench`.
//!
//! Each benchmark is a module that asks one question and hands back tables: [`throughput`], [`growth`], [`limit`],
//! [`throttled`], [`following`], [`hooks`], [`told`], [`projects`], [`transport`], [`memory`]. [`soak`] asks another one,
//! for half an hour: does anything grow? They run the real binary in a process of its own against a simulated CODING in another one, and
//! check that every row arrived. `--tiny` runs the same in seconds, to prove that they still work; its figures mean
//! nothing.

mod acceptance;
mod baseline;
mod changes;
mod database;
mod following;
mod growth;
mod hooks;
mod limit;
mod machine;
mod memory;
mod parts;
mod pipeline;
mod process;
mod projects;
mod simulator;
mod soak;
mod table;
mod throttled;
mod throughput;
mod told;
mod transport;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use serde::Serialize;

use acceptance::Deliveries;
use changes::Changes;
use machine::Machine;
use projects::Quiet;
use soak::Soak;
use table::{Style, Table};
use throttled::Throttling;

/// The exit code when something is not as it must be: as `tributary verify` has it.
const FAILED: u8 = 3;

/// Nobody handles these errors but a reader.
type Error = Box<dyn std::error::Error + Send + Sync>;
type Result<T> = std::result::Result<T, Error>;

/// Runs benchmarks of tributary and prints tables.
#[derive(Debug, Parser)]
struct Args {
    /// Which; all of them but `soak` unless named.
    benchmarks: Vec<Benchmark>,
    /// How long the soak lasts.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    minutes: Option<u64>,
    /// A few rows of each, to see that they work: the figures mean nothing.
    #[arg(long)]
    tiny: bool,
    /// Test this binary instead of the one built beside: an older one, for example.
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Print Markdown.
    #[arg(long)]
    markdown: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Benchmark {
    /// How fast a first load is, and where the time goes.
    Throughput,
    /// Whether time grows with the rows and memory does not.
    Growth,
    /// Loads and changes at CODING's own limit.
    Limit,
    /// What is left of the rate when the service refuses requests at random, and beside a neighbour.
    Throttled,
    /// From a change at the source to the target.
    Following,
    /// From a hook's delivery to the target, and how many deliveries are taken in durably.
    Hooks,
    /// What changes that hooks tell of cost within the budget, and how many it carries.
    Told,
    /// What many quiet projects cost.
    Projects,
    /// PostgreSQL over TCP beside a Unix socket.
    Transport,
    /// Memory of a pipeline, and of each further task.
    Memory,
    /// Whether anything grows while changes go on for half an hour; ends with 3 if so.
    Soak,
}

/// How much of everything.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    /// Issues of the first load.
    throughput: u32,
    /// Times that it is repeated.
    runs: u32,
    /// Issues of loads of growing size.
    growth: [u32; 3],
    /// Issues loaded at the real limit.
    limit: u32,
    /// Issues of which some are changed at the real limit.
    edited: u32,
    edits: Changes,
    /// Time between polls meanwhile.
    edits_polled: &'static str,
    /// Issues of which some are changed fast.
    followed: u32,
    follow: Changes,
    /// Changes that hooks tell of.
    hooked: Changes,
    /// Issues of which changes are told within the budget.
    told_of: u32,
    /// These changes: the first for what one costs, the second for how many are carried.
    told: [Changes; 2],
    throttling: Throttling,
    /// Deliveries taken in.
    accepted: Deliveries,
    quiet: Quiet,
    /// Issues written over each way to PostgreSQL.
    transport: u32,
    soak: Soak,
}

const FULL: Sizes = Sizes {
    throughput: 200_000,
    runs: 3,
    growth: [10_000, 100_000, 1_000_000],
    limit: 100_000,
    edited: 2_000,
    edits: Changes { count: 1_000, per_second: 10 },
    edits_polled: "60s",
    followed: 4_000,
    follow: Changes { count: 3_000, per_second: 50 },
    hooked: Changes { count: 600, per_second: 10 },
    told_of: 1_500,
    told: [Changes { count: 800, per_second: 20 }, Changes { count: 1_440, per_second: 24 }],
    throttling: Throttling {
        issues: 6_000,
        at_random: Duration::from_mins(3),
        beside: Duration::from_mins(4),
    },
    accepted: Deliveries { saturating: 60_000, paced: 20_000, per_second: 1_000 },
    quiet: Quiet { projects: 300, silence: Duration::from_secs(10), watched: Duration::from_mins(5) },
    transport: 30_000,
    soak: Soak {
        issues: 2_000,
        lasts: Duration::from_mins(30),
        sampled: Duration::from_secs(5),
        per_second: 10,
        retention: "2m",
        polling: "{ interval: 30s, census_interval: 2m }",
        late: Duration::from_mins(5),
    },
};

const TINY: Sizes = Sizes {
    throughput: 700,
    runs: 1,
    growth: [50, 200, 800],
    limit: 600,
    edited: 40,
    edits: Changes { count: 10, per_second: 20 },
    edits_polled: "1s",
    followed: 60,
    follow: Changes { count: 40, per_second: 40 },
    hooked: Changes { count: 10, per_second: 10 },
    told_of: 60,
    told: [Changes { count: 40, per_second: 20 }, Changes { count: 48, per_second: 24 }],
    throttling: Throttling { issues: 200, at_random: Duration::from_secs(3), beside: Duration::from_secs(3) },
    accepted: Deliveries { saturating: 300, paced: 100, per_second: 200 },
    quiet: Quiet { projects: 5, silence: Duration::from_secs(1), watched: Duration::from_secs(2) },
    transport: 600,
    soak: Soak {
        issues: 60,
        lasts: Duration::from_secs(6),
        sampled: Duration::from_millis(500),
        per_second: 10,
        retention: "2s",
        polling: "{ interval: 1s, census_interval: 2s }",
        late: Duration::from_mins(5),
    },
};

/// Everything that was measured, and on what.
#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    command: String,
    tables: Vec<Table>,
}

#[tokio::main]
async fn main() -> ExitCode {
    // Cancel-safe: what was started is ended, and what was written removed, when its owner is dropped.
    let result = tokio::select! {
        result = run(Args::parse()) => result,
        _ = tokio::signal::ctrl_c() => Err("stopped before the end".into()),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(error) => {
            // Nobody to tell when the terminal is gone.
            let _gone = writeln!(std::io::stderr(), "bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what is asked for and prints it; says whether all is as it must be.
async fn run(args: Args) -> Result<bool> {
    if let Some(binary) = &args.binary {
        process::test_other(binary)?;
    }
    let mut sizes = if args.tiny { TINY } else { FULL };
    if let Some(minutes) = args.minutes {
        sizes.soak.lasts = Duration::from_mins(minutes);
    }
    let chosen: Vec<Benchmark> = match args.benchmarks.as_slice() {
        [] => Benchmark::value_variants().iter().copied().filter(|known| *known != Benchmark::Soak).collect(),
        named => named.to_vec(),
    };
    let dir = tempfile::tempdir()?;
    let mut report =
        Report { machine: Machine::here(dir.path()), command: command(&args), tables: Vec::new() };
    for benchmark in chosen {
        writeln!(std::io::stderr(), "bench: {benchmark:?} …")?;
        report.tables.extend(benchmark.run(dir.path(), &sizes).await?);
    }
    let text = match (args.json, args.markdown) {
        (true, _) => serde_json::to_string(&report)?,
        (_, true) => report.show(Style::Markdown),
        _ => report.show(Style::Text),
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(report.tables.iter().all(|table| table.failures.is_empty()))
}

impl Benchmark {
    async fn run(self, dir: &Path, sizes: &Sizes) -> Result<Vec<Table>> {
        let dir = dir.join(format!("{self:?}"));
        std::fs::create_dir_all(&dir)?;
        match self {
            Benchmark::Throughput => Box::pin(throughput::run(&dir, sizes)).await,
            Benchmark::Growth => Box::pin(growth::run(&dir, sizes)).await,
            Benchmark::Limit => Box::pin(limit::run(&dir, sizes)).await,
            Benchmark::Throttled => Box::pin(throttled::run(&dir, sizes)).await,
            Benchmark::Following => Box::pin(following::run(&dir, sizes)).await,
            Benchmark::Hooks => Box::pin(hooks::run(&dir, sizes)).await,
            Benchmark::Told => Box::pin(told::run(&dir, sizes)).await,
            Benchmark::Projects => Box::pin(projects::run(&dir, sizes)).await,
            Benchmark::Transport => Box::pin(transport::run(&dir, sizes)).await,
            Benchmark::Memory => Box::pin(memory::run(&dir, sizes)).await,
            Benchmark::Soak => Box::pin(soak::run(&dir, sizes.soak)).await,
        }
    }
}

impl Report {
    fn show(&self, style: Style) -> String {
        let about = match style {
            Style::Text => format!("{}\n{}", self.command, self.machine.show()),
            Style::Markdown => format!("`{}`: {}", self.command, self.machine.show()),
        };
        let tables = self.tables.iter().map(|table| table.show(style));
        [about].into_iter().chain(tables).collect::<Vec<_>>().join("\n\n")
    }
}

/// How these figures are had again.
fn command(args: &Args) -> String {
    let names = args
        .benchmarks
        .iter()
        .filter_map(|benchmark| Some(benchmark.to_possible_value()?.get_name().to_owned()));
    let minutes = args.minutes.map(|minutes| format!("--minutes {minutes}"));
    let tiny = args.tiny.then(|| "--tiny".to_owned());
    let binary = args.binary.as_ref().map(|binary| format!("--binary {}", binary.display()));
    let arguments: Vec<String> = names.chain(minutes).chain(tiny).chain(binary).collect();
    match arguments.as_slice() {
        [] => "make bench".to_owned(),
        [hooks] if hooks == "hooks" => "make bench-hooks".to_owned(),
        [soak] if soak == "soak" => "make soak".to_owned(),
        arguments => format!("make bench ARGS=\"{}\"", arguments.join(" ")),
    }
}

/// The middle one of some values.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}
