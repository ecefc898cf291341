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

/// Runs `work` while signals set off `stop`.
///
/// # Errors
/// Those of `work`, or when signals cannot be listened for.
pub(super) async fn until_stopped<T>(
    stop: Stop,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let _watching = signals::watch(stop)?;
    work.await
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
    let (held, put_aside) = (report.summary.held(), report.summary.put_aside());
    if held > 0 {
        tracing::warn!(
            held,
            "{} held because too many rows vanished at once; if the source is right, run `tributary sync` with --accept-deletes",
            are(held, "delete", "deletes")
        );
    }
    if put_aside > 0 {
        tracing::warn!(
            put_aside,
            "{} put aside because the target cannot hold them, or does not let them go; `_tributary_aside` in the target \
             names them and says why",
            are(put_aside, "row", "rows")
        );
    }
    if !report.unfinished.is_empty() {
        return Err(Failure::Problems(report.unfinished.clone()));
    }
    // The notes name rows that cannot be read. Who follows is told meanwhile; a stop is no result.
    let all = held + put_aside + report.summary.unreadable == 0;
    Ok(if once && !all { Done::NotAll } else { Done::All })
}

fn are(number: u64, one: &str, many: &str) -> String {
    if number == 1 { format!("1 {one} is") } else { format!("{number} {many} are") }
}
