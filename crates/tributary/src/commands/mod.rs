//! What each command does. One file a command; [`run`] picks it.

mod check;
mod demo;
mod discover;
mod hooks;
mod look;
mod preview;
mod resync;
mod shapes;
mod sim;
mod status;
mod sync;
mod verify;

use std::path::{Path, PathBuf};

use secrecy::SecretString;

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
        Command::Sync(_) | Command::Resync(_) | Command::Verify(_) | Command::Demo(_) | Command::Sim(_) => {
            Talk::Events
        }
        Command::Check(_)
        | Command::Discover(_)
        | Command::Preview(_)
        | Command::Status(_)
        | Command::Hooks(_) => Talk::Warnings,
    };
    let screen = logging::start(&cli.global, talk)?;
    match cli.command {
        Command::Sync(args) => Box::pin(sync::run(args, screen)).await,
        Command::Resync(args) => Box::pin(resync::run(&args, screen)).await,
        Command::Verify(args) => Box::pin(verify::run(&args, screen)).await,
        Command::Check(args) => check::run(&args).await,
        Command::Discover(args) => discover::run(&args).await,
        Command::Preview(args) => preview::run(&args).await,
        Command::Status(args) => status::run(&args).await,
        Command::Hooks(args) => hooks::run(&args).await,
        Command::Sim(args) => sim::run(&args).await,
        Command::Demo(args) => Box::pin(demo::run(&args, screen)).await,
    }
}

/// Loads pipelines with the variables of the environment.
fn load(files: &[PathBuf]) -> Result<Vec<Pipeline>, Failure> {
    pipeline::load(files, &|name| std::env::var(name).ok()).map_err(Failure::Configuration)
}

/// Loads one pipeline.
fn load_one(file: &Path) -> Result<Pipeline, Failure> {
    let mut pipelines = load(&[file.to_owned()])?;
    pipelines.pop().ok_or_else(|| Failure::Configuration(Vec::new()))
}

/// The operator's key for tokens at rest, if there is one.
fn vault_key() -> Option<SecretString> {
    let key = std::env::var("TRIBUTARY_VAULT_KEY").ok().filter(|key| !key.trim().is_empty())?;
    engine::words::guard(&key);
    Some(SecretString::from(key))
}
