//! `tributary demo`: a simulated CODING, loaded into SQLite and followed live by its hooks, in `./tributary-demo`.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;

use coding_sim::{DEFAULT_TOKEN, Sim, SimConfig};
use engine::problem::Problem;
use store::state_dir::StateDir;

use super::load;
use super::sim::not_started;
use super::sync::{show, until_stopped};
use crate::cli::DemoArgs;
use crate::exit::{self, Done, Failure};
use crate::present::Screen;
use crate::signals::Stop;
use crate::sync::{self, Options};

/// Where everything lies.
const DIR: &str = "tributary-demo";
/// What a demo leaves there, and the next one clears away: the simulator forgets its changes when it ends.
const FILES: [&str; 4] = ["coding.db", "coding.db-wal", "coding.db-shm", "demo.yaml"];
const STATE: &str = "coding.state";
/// Changes per second that the simulated team makes: enough to watch, not too many to follow by eye.
const CHANGES_PER_SECOND: f64 = 2.0;

/// Runs the demo.
///
/// # Errors
/// The directory cannot be used, or the run fails.
pub(crate) async fn run(args: &DemoArgs, screen: Screen) -> Result<Done, Failure> {
    let dir = Path::new(DIR);
    prepare(dir)?;
    let mut config = SimConfig::default();
    if !args.once {
        config.mutations_per_second = CHANGES_PER_SECOND;
    }
    let team = config.team.clone();
    let sim = Sim::start(config).await.map_err(not_started)?;
    let result = Box::pin(follow(dir, &sim.url(), &team, args.once, screen)).await;
    sim.stop().await;
    result
}

async fn follow(dir: &Path, url: &str, team: &str, once: bool, screen: Screen) -> Result<Done, Failure> {
    let file = dir.join("demo.yaml");
    let port = free_port().map_err(|error| unusable(dir, &error))?;
    std::fs::write(&file, pipeline(url, team, port)).map_err(|error| unusable(dir, &error))?;
    let intro = format!(
        "A simulated CODING is on {url}; the pipeline is {}.\n\
         Look at the target with: sqlite3 {}/coding.db",
        file.display(),
        dir.display()
    );
    exit::print(&intro)?;
    let pipelines = load(&[file])?;
    let stop = Stop::default();
    let options = Options { once, accept_deletes: false, anew: None, vault_key: None };
    let report = until_stopped(stop.clone(), sync::run(pipelines, options, screen, stop)).await?;
    show(&report, true, false)
}

/// Makes the directory, and clears away what an earlier demo left, but nothing else.
fn prepare(dir: &Path) -> Result<(), Failure> {
    let state = dir.join(STATE);
    if StateDir::is_running(&state).map_err(|error| error.problem)? {
        return Err(Failure::from(Problem::new(
            "DEMO-RUNS",
            "Cannot start the demo",
            format!("another one runs in {}", dir.display()),
            "End it with Ctrl-C, or start this one in another directory.",
        )));
    }
    let cleared = FILES.iter().map(|name| std::fs::remove_file(dir.join(name)));
    for removed in cleared.chain([std::fs::remove_dir_all(&state)]) {
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(unusable(dir, &error)),
            _ => {}
        }
    }
    std::fs::create_dir_all(dir).map_err(|error| unusable(dir, &error))
}

fn unusable(dir: &Path, error: &std::io::Error) -> Failure {
    Failure::from(Problem::new(
        "DEMO-DIRECTORY",
        format!("Cannot use {}", dir.display()),
        error.to_string(),
        "Start the demo in a directory that you may write.",
    ))
}

/// A port that nobody listens on. Should somebody take it in the moment until the run does, the run says so.
fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// The demo's pipeline: hooks, and quick rounds, so that there is something to see.
fn pipeline(url: &str, team: &str, port: u16) -> String {
    format!(
        "# Made by `tributary demo`.\n\
         source:\n\
         \x20 team: {team}\n\
         \x20 base_url: {url}\n\
         \x20 projects: [\"*\"]\n\
         \x20 auth: {{ token: \"{DEFAULT_TOKEN}\" }}\n\
         \x20 incremental: hybrid\n\
         \x20 polling: {{ interval: 10s, census_interval: 20s, look_back: 1h }}\n\
         \x20 allow_insecure: true\n\
         \x20 webhook: {{ listen: \"127.0.0.1:{port}\", public_url: \"http://127.0.0.1:{port}\" }}\n\
         target:\n\
         \x20 sqlite: {{ path: coding.db }}\n\
         state: {STATE}\n"
    )
}
