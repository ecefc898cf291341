//! `tributary verify`: whether a target holds what it should. Reads only, also beside a running sync; with
//! `--repair` the delivery writes again what differs.

mod report;
mod telling;

use std::time::Duration;

use connectors::postgres::target::PostgresTarget;
use connectors::sqlite::target::SqliteTarget;
use engine::capture::Progress;
use engine::delivery::rebuild::reason;
use engine::delivery::resync::Scope;
use engine::delivery::shape::{Mode, Task};
use engine::position::RebuildReason;
use engine::problem::Problem;
use engine::row::{RowId, RowKey};
use engine::schema::{Table, TableId};
use engine::source::Project;
use engine::target::{Inspect, Opened, Plan};
use engine::verify::report::KEPT;
use engine::verify::source::{self, Both};
use engine::verify::{PATIENCE, Telling, Verification, VerifyError};
use store::journal::SqliteJournal;
use store::state_dir::StateDir;

use super::look::Look;
use super::sync::until_stopped;
use super::{load_one, vault_key};
use crate::cli::VerifyArgs;
use crate::exit::{self, Done, Failure};
use crate::pipeline::{Pipeline, TargetSettings};
use crate::present::Screen;
use crate::signals::Stop;
use crate::sync::{self, Options, rebuild, team};
use report::{Counted, Report, TableReport};

/// So often is a target compared that was reshaped meanwhile.
const ATTEMPTS: u32 = 3;
/// Wait between two of these.
const BETWEEN: Duration = Duration::from_secs(2);
/// How long the source may take to say how many rows it has.
const COUNTING: Duration = Duration::from_secs(30);
/// A run has said by then which tasks it has.
const STATUS_IS_NEW: Duration = Duration::from_secs(2);
/// However seldom somebody polls, a row is not looked at again for longer.
const LONGEST: Duration = Duration::from_secs(300);

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Failure {
        error.problem().clone().into()
    }
}

/// Compares the target of a file's pipeline with the mirror, and with the source as far as asked.
///
/// # Errors
/// A configuration that is wrong; what cannot be read; with `--repair`, a sync that runs.
pub(crate) async fn run(args: &VerifyArgs, screen: Screen) -> Result<Done, Failure> {
    let pipeline = load_one(&args.file)?;
    if args.repair {
        // Said before anything is compared.
        drop(lock(&pipeline)?);
    }
    let (mut report, broken) = verify(&pipeline, args, &screen).await?;
    if args.repair && report.is_repairable() {
        Box::pin(repair(&pipeline, &report, broken, screen.clone())).await?;
        let found = report.different();
        (report, _) = verify(&pipeline, args, &screen).await?;
        report.repaired = Some(found.saturating_sub(report.different()));
    }
    if args.json {
        exit::print_json(&report)?;
    } else {
        exit::print(&report.to_string())?;
    }
    Ok(if report.equal { Done::All } else { Done::Different })
}

/// The state directory, for this process alone.
fn lock(pipeline: &Pipeline) -> Result<StateDir, Problem> {
    StateDir::open(&pipeline.state).map_err(|error| match error.problem.code.as_str() {
        "STATE-IN-USE" => Problem::new(
            "STATE-IN-USE",
            "Cannot repair the target now",
            format!("a sync runs on its state directory ({})", pipeline.state.display()),
            "Stop the sync, run this again, and start the sync again afterwards; without --repair it works beside it.",
        ),
        _ => error.problem,
    })
}

/// One comparison. Gives also the plan of the target's tables, where some of their columns are broken.
async fn verify(
    pipeline: &Pipeline,
    args: &VerifyArgs,
    screen: &Screen,
) -> Result<(Report, Option<Plan>), Failure> {
    if !pipeline.state.join(store::journal::FILE).exists() {
        return Err(rebuild::never_read(pipeline, "its state directory has no journal yet").into());
    }
    let running = StateDir::is_running(&pipeline.state).map_err(|error| error.problem)?;
    let delivering = running && is_delivered(pipeline).await;
    let journal = SqliteJournal::open_read_only(&pipeline.state).await.map_err(|error| error.problem)?;
    let (telling, told) = Telling::new();
    let comparing = async {
        team::check(pipeline, &journal).await?;
        let (mut task, mut progress) = rebuild::prepare(pipeline, &journal).await?;
        let mut left = ATTEMPTS;
        loop {
            let telling = telling.clone();
            let within = Within {
                pipeline,
                args,
                journal: &journal,
                progress: &progress,
                running,
                delivering,
                telling,
            };
            let (report, plan) = match &pipeline.target {
                TargetSettings::Sqlite(sqlite) => {
                    Box::pin(within.compare(SqliteTarget::new(sqlite.clone()), task)).await?
                }
                TargetSettings::Postgres(postgres) => {
                    Box::pin(within.compare(PostgresTarget::new(postgres.clone()), task)).await?
                }
            };
            left = left.saturating_sub(1);
            if report.equal || !running || left == 0 {
                return Ok((report, plan));
            }
            // A project that was renamed meanwhile, a custom field that came: the target was reshaped under the
            // comparison.
            let known = (progress.projects, progress.custom);
            (task, progress) = rebuild::prepare(pipeline, &journal).await?;
            if known == (progress.projects.clone(), progress.custom.clone()) && plan.is_none() {
                return Ok((report, plan));
            }
            tokio::time::sleep(BETWEEN).await;
        }
    };
    let result = telling::beside(screen, told, comparing).await;
    if let Err(error) = journal.close().await {
        tracing::debug!(problem = %error.problem, "the journal was not closed cleanly");
    }
    result
}

/// Whether whoever runs on the state directory delivers for this pipeline: it may run without it.
async fn is_delivered(pipeline: &Pipeline) -> bool {
    let names_it = || match StateDir::read_status(&pipeline.state) {
        Ok(Some(status)) => status.tasks.contains_key(&pipeline.name),
        // Nobody has said anything yet.
        Ok(None) | Err(_) => true,
    };
    if names_it() {
        return true;
    }
    // What was read may be of the run before.
    tokio::time::sleep(STATUS_IS_NEW).await;
    names_it()
}

/// What a comparison works with.
struct Within<'a> {
    pipeline: &'a Pipeline,
    args: &'a VerifyArgs,
    journal: &'a SqliteJournal,
    progress: &'a Progress,
    /// Whether a sync runs on the state directory.
    running: bool,
    /// Whether it delivers to this target.
    delivering: bool,
    telling: Telling,
}

impl Within<'_> {
    async fn compare<T: Inspect>(
        &self,
        mut target: T,
        task: Task,
    ) -> Result<(Report, Option<Plan>), Failure> {
        let result = self.compare_with(&mut target, task).await;
        target.close().await;
        result
    }

    async fn compare_with<T: Inspect>(
        &self,
        target: &mut T,
        task: Task,
    ) -> Result<(Report, Option<Plan>), Failure> {
        let Within { pipeline, args, journal, progress, running, delivering, .. } = *self;
        let tables = task.tables.clone();
        let custom = progress.custom.as_deref().filter(|_| task.mode == Mode::Flat);
        let telling = self.telling.clone();
        let verification = Verification::begin(journal, target, task, custom, delivering, telling);
        let mut verification = verification.await?;
        verification.pick(args.sample.unwrap_or(0));
        let mut report = Report::new(pipeline, running);
        report.note_state(verification.looked(), self.awaited(&verification).await?, progress);
        for project in &progress.projects {
            for (index, table) in tables.iter().enumerate() {
                let compared = verification.target(index, project).await?;
                let shaped = verification.shaper().tables().get(index);
                let look = verification.looked().tables.get(index);
                let (Some(shaped), Some(look)) = (shaped, look) else { continue };
                // How a table stands is said once, beside its first project.
                let is_first = report.tables.iter().all(|told| told.id != table.id);
                let columns = if is_first { look.differs.clone() } else { Vec::new() };
                report.tables.push(TableReport::new(project, table, shaped, columns, compared));
            }
        }
        let broken = report.tables.iter().any(|table| !table.columns.is_empty());
        let plan = broken.then(|| verification.shaper().plan());
        let picked = verification.picked().to_vec();
        self.ask_source(&mut report, &picked, &tables).await?;
        report.conclude();
        Ok((report, plan))
    }

    /// Why the next sync will rebuild the target, if it will.
    async fn awaited<T: Inspect>(
        &self,
        verification: &Verification<'_, SqliteJournal, T>,
    ) -> Result<Option<RebuildReason>, Failure> {
        let looked = verification.looked();
        let opened = Opened {
            position: looked.position.clone(),
            owned: looked.owned.clone(),
            fields: looked.fields.clone(),
            rooms: looked.rooms.clone(),
        };
        let fingerprint = verification.shaper().fingerprint();
        let reason = reason(self.journal, &opened, &fingerprint, self.progress).await;
        Ok(reason.map_err(|error| error.problem)?)
    }

    /// Asks the source as much as was wished for: at least how many rows it has.
    async fn ask_source(
        &self,
        report: &mut Report,
        picked: &[RowKey],
        tables: &[&'static Table],
    ) -> Result<(), Failure> {
        let listed: Vec<&'static Table> = tables.iter().filter(|table| !table.from_inbox).copied().collect();
        let must = self.args.deep || self.args.sample.is_some();
        let look = match Look::beside(self.pipeline).await {
            Ok(look) => look,
            Err(problem) if must => return Err(problem.into()),
            Err(problem) => {
                report.notes.push(format!("CODING was not asked how many rows it has: {problem}"));
                return Ok(());
            }
        };
        let result = self.ask(report, &look, picked, &listed, must).await;
        look.source.close().await;
        result
    }

    async fn ask(
        &self,
        report: &mut Report,
        look: &Look,
        picked: &[RowKey],
        tables: &[&'static Table],
        must: bool,
    ) -> Result<(), Failure> {
        for project in &self.progress.projects {
            for table in tables.iter().copied() {
                let both = self.both(look, project, table);
                if self.args.deep {
                    let compared = both.compare(&self.telling).await?;
                    report.table(project, table, |own| own.compared_with_source(compared));
                }
                let of_table = picked.iter().filter(|key| key.table == table.id && key.project == project.id);
                let ids: Vec<RowId> = of_table.map(|key| key.id).collect();
                if !ids.is_empty() {
                    let compared = both.check(&ids, &self.telling).await?;
                    report.table(project, table, |own| own.sampled(compared));
                }
            }
        }
        if self.args.deep {
            return Ok(());
        }
        match tokio::time::timeout(COUNTING, self.count(report, look, tables)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if must => Err(error.into()),
            Ok(Err(error)) => {
                let problem = error.problem();
                report.notes.push(format!("CODING was not asked how many rows it has: {problem}"));
                Ok(())
            }
            Err(_) => {
                report.notes.push("CODING took too long to say how many rows it has".to_owned());
                Ok(())
            }
        }
    }

    async fn count(
        &self,
        report: &mut Report,
        look: &Look,
        tables: &[&'static Table],
    ) -> Result<(), VerifyError> {
        use engine::journal::Journal;
        for project in &self.progress.projects {
            for table in tables.iter().copied() {
                let Some(source) = source::count(&look.source, project, table).await? else { continue };
                let mirror = self.journal.counts(table.id, project.id).await?.alive;
                report.table(project, table, |own| own.counted = Some(Counted { source, mirror }));
            }
        }
        Ok(())
    }

    fn both<'b>(
        &'b self,
        look: &'b Look,
        project: &'b Project,
        table: &'static Table,
    ) -> Both<'b, connectors::coding::source::CodingSource, SqliteJournal> {
        let poll = self.pipeline.source.poll_interval;
        let patience = match self.running {
            true => poll.saturating_mul(2).saturating_add(PATIENCE).min(LONGEST),
            false => Duration::ZERO,
        };
        let listed_only = self.pipeline.source.details == connectors::coding::config::Details::Off;
        Both { source: &look.source, journal: self.journal, project, table, listed_only, patience }
    }
}

/// Has what differs written again: from the source through the capture, where that was compared, and from the
/// mirror into the target.
async fn repair(
    pipeline: &Pipeline,
    report: &Report,
    broken: Option<Plan>,
    screen: Screen,
) -> Result<(), Failure> {
    let stale = report.stale_tables();
    if !stale.is_empty() {
        // Read anew, and judged by the one who always judges.
        let options = Options {
            once: true,
            accept_deletes: false,
            anew: Some(Scope::Tables(stale)),
            vault_key: vault_key(),
        };
        let stop = Stop::default();
        let pipelines = vec![pipeline.clone()];
        let ran = until_stopped(stop.clone(), sync::run(pipelines, options, screen.clone(), stop)).await?;
        if !ran.unfinished.is_empty() {
            return Err(Failure::Problems(ran.unfinished));
        }
    }
    let scope = match broken {
        None => scope(report),
        Some(plan) => {
            mend(pipeline, &plan).await?;
            Some(Scope::Everything)
        }
    };
    if let Some(scope) = scope {
        let stop = Stop::default();
        until_stopped(stop.clone(), rebuild::run(pipeline, scope, screen, stop)).await?;
    }
    Ok(())
}

/// What of the target is to be written again.
fn scope(report: &Report) -> Option<Scope> {
    let different = || report.tables.iter().filter(|table| table.target.compared.different() > 0);
    let kept = u64::try_from(KEPT).unwrap_or(u64::MAX);
    if different().any(|table| table.target.compared.different() > kept) {
        let tables: Vec<TableId> = different().map(|table| table.id).collect();
        return Some(Scope::Tables(tables));
    }
    let rows: Vec<RowKey> = different().flat_map(|table| table.target.compared.rows.clone()).collect();
    (!rows.is_empty()).then_some(Scope::Rows(rows))
}

/// Makes columns anew that somebody broke; all rows are written again afterwards.
async fn mend(pipeline: &Pipeline, plan: &Plan) -> Result<(), Failure> {
    async fn by<T: Inspect>(mut target: T, plan: &Plan) -> Result<u64, Problem> {
        let mended = target.mend(plan).await.map_err(|error| error.problem);
        target.close().await;
        mended
    }
    let _lock = lock(pipeline)?;
    let columns = match &pipeline.target {
        TargetSettings::Sqlite(sqlite) => by(SqliteTarget::new(sqlite.clone()), plan).await?,
        TargetSettings::Postgres(postgres) => by(PostgresTarget::new(postgres.clone()), plan).await?,
    };
    if columns > 0 {
        tracing::warn!(columns, "columns of the target were made anew; every row is written again");
    }
    Ok(())
}
