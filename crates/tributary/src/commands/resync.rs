//! `tributary resync`: rebuilds tables of a target, from the mirror or from the source.

use connectors::coding::tables::TABLES;
use engine::delivery::resync::Scope;
use engine::problem::Problem;
use engine::schema::TableId;
use tokio::time::Instant;

use super::sync::{show, until_stopped};
use super::{load_one, vault_key};
use crate::cli::ResyncArgs;
use crate::exit::{Done, Failure};
use crate::pipeline::Pipeline;
use crate::present::Screen;
use crate::present::summary::Summary;
use crate::signals::Stop;
use crate::sync::{self, Options, Report, rebuild};

/// Rebuilds the target of a file's pipeline.
///
/// # Errors
/// A configuration that is wrong, a sync that runs on the state; whatever needs a person.
pub(crate) async fn run(args: &ResyncArgs, screen: Screen) -> Result<Done, Failure> {
    let pipeline = load_one(&args.file)?;
    let scope = scope(&pipeline, &args.tables)?;
    let stop = Stop::default();
    let report = if args.from_source {
        // Said in the words of a rebuild, before the sync would say it in its own.
        drop(rebuild::open(&pipeline)?);
        let options =
            Options { once: true, accept_deletes: false, anew: Some(scope), vault_key: vault_key() };
        until_stopped(stop.clone(), sync::run(vec![pipeline], options, screen, stop)).await?
    } else {
        until_stopped(stop.clone(), from_mirror(&pipeline, scope, screen, stop)).await?
    };
    show(&report, true, args.json)
}

async fn from_mirror(
    pipeline: &Pipeline,
    scope: Scope,
    screen: Screen,
    stop: Stop,
) -> Result<Report, Failure> {
    let started = Instant::now();
    let rebuilt = rebuild::run(pipeline, scope, screen, stop).await?;
    let unfinished = (!rebuilt.complete).then(|| {
        format!(
            "not everything has been read yet, so nothing was deleted from the target; \
             `tributary sync {} --once` reads the rest and ends the rebuild",
            pipeline.file.display()
        )
    });
    let summary = Summary::of(&[rebuilt.status], started.elapsed());
    Ok(Report { summary, notes: unfinished.into_iter().collect(), unfinished: Vec::new() })
}

/// Which tables are meant.
fn scope(pipeline: &Pipeline, names: &[String]) -> Result<Scope, Failure> {
    if names.is_empty() {
        return Ok(Scope::Everything);
    }
    let own = |name: &String| pipeline.task.tables.iter().any(|table| table.as_str() == name);
    if let Some(name) = names.iter().find(|name| !own(name)) {
        return Err(Failure::Usage(Problem::new(
            "USAGE-TABLE",
            format!("Cannot rebuild `{name}`"),
            format!("it is not among the tables of {}", pipeline.file.display()),
            "Name one of `task.tables`, or add it there.",
        )));
    }
    let tables = TABLES.iter().filter(|table| names.iter().any(|name| name == table.name));
    Ok(Scope::Tables(tables.map(|table| table.id).collect::<Vec<TableId>>()))
}
