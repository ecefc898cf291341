//! `tributary sync`: loads the tables of pipelines and follows their changes.

use std::future::Future;
use std::path::PathBuf;

use super::{load, vault_key};
use crate::cli::SyncArgs;
use crate::exit::{self, Done, Failure};
use crate::present::Screen;
use crate::signals::{self, Stop};
use crate::sync::{self, Options, Report};

/// Runs the pipelines of the files.
///
/// # Errors
/// A configuration that is wrong; whatever needs a person.
pub(crate) async fn run(args: SyncArgs, screen: Screen) -> Result<Done, Failure> {
    let SyncArgs { files, once, json, accept_deletes } = args;
    let report =
        Box::pin(follow(files, Options { once, accept_deletes, anew: None, vault_key: vault_key() }, screen))
            .await?;
    show(&report, once, json)
}

async fn follow(files: Vec<PathBuf>, options: Options, screen: Screen) -> Result<Report, Failure> {
    let pipelines = load(&files)?;
    let stop = Stop::default();
    until_stopped(stop.clone(), sync::run(pipelines, options, screen, stop)).await
}

/// Runs `work` beside the watch for signals, which sets off `stop`.
///
/// # Errors
/// Those of `work`, or when signals cannot be listened for.
pub(super) async fn until_stopped<T>(
    stop: Stop,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let signals = async {
        signals::watch(stop).await?;
        // Twice asked: whoever waits for the work ends with it.
        std::future::pending::<Result<T, Failure>>().await
    };
    // The watch may be dropped: it has nothing to finish. The work is never dropped before its end, unless
    // signals cannot be listened for, and then it has barely begun.
    tokio::select! {
        result = work => result,
        failure = signals => failure,
    }
}

/// Shows what a run did.
///
/// # Errors
/// The standard output is full; or something could not be read, while everything else was.
pub(super) fn show(report: &Report, once: bool, json: bool) -> Result<Done, Failure> {
    for note in &report.notes {
        tracing::warn!("{note}");
    }
    if json {
        exit::print_json(&report.summary)?;
    } else if once {
        exit::print(&report.summary.to_string())?;
    }
    let held = report.summary.held();
    if held > 0 {
        say_held(held);
    }
    if !report.unfinished.is_empty() {
        return Err(Failure::Problems(report.unfinished.clone()));
    }
    // Who follows is told meanwhile; a stop is no result.
    Ok(match held {
        1.. if once => Done::Held,
        // The notes name them.
        _ if once && report.summary.unreadable > 0 => Done::Unreadable,
        _ => Done::All,
    })
}

fn say_held(held: u64) {
    tracing::warn!(
        held,
        "{} held because too many rows vanished at once; if the source is right, run `tributary sync` with --accept-deletes",
        if held == 1 { "1 delete is".to_owned() } else { format!("{held} deletes are") }
    );
}
