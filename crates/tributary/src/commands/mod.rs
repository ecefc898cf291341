//! What each command does. One file a command; [`run`] picks it.

mod check;
mod sim;

use std::path::PathBuf;

use crate::cli::{Cli, Command};
use crate::exit::{Done, Failure};
use crate::logging::{self, Talk};
use crate::pipeline::{self, Pipeline};

/// Carries out what was typed.
///
/// # Errors
/// See [`Failure`].
pub(crate) async fn run(cli: Cli) -> Result<Done, Failure> {
    let talk = match &cli.command {
        Command::Sync(_) | Command::Demo(_) | Command::Sim(_) => Talk::Events,
        Command::Check(_) | Command::Discover(_) | Command::Preview(_) | Command::Status(_) => Talk::Warnings,
    };
    let _screen = logging::start(&cli.global, talk)?;
    match cli.command {
        Command::Check(args) => check::run(&args).await,
        Command::Sim(args) => sim::run(&args).await,
        _ => Err(Failure::unexpected("run this command", "it is not wired yet")),
    }
}

/// Loads pipelines with the variables of the environment.
fn load(files: &[PathBuf]) -> Result<Vec<Pipeline>, Failure> {
    pipeline::load(files, &|name| std::env::var(name).ok()).map_err(Failure::Configuration)
}

/// Loads one pipeline.
fn load_one(file: &std::path::Path) -> Result<Pipeline, Failure> {
    let mut pipelines = load(&[file.to_owned()])?;
    pipelines.pop().ok_or_else(|| Failure::Configuration(Vec::new()))
}
