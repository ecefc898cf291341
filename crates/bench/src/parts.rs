//! What each part of a first load costs by itself: the issues go through the same code as in the real program, but
//! one step after the other and in this process, so that its CPU time can be told apart.

use std::path::Path;
use std::sync::Arc;

use coding_api::{BaseUrl, Budgets};
use coding_sim::DEFAULT_TOKEN;
use connectors::coding::config::{
    AuthConfig, CodingSettings, Details as CodingDetails, Incremental, Projects,
};
use connectors::coding::source::CodingSource;
use connectors::coding::tables::{ISSUES, TABLES};
use engine::capture::Progress;
use engine::capture::differ::Details;
use engine::capture::recorder::{Onlookers, recorder};
use engine::clock::Clock;
use engine::delivery;
use engine::delivery::filter::Filter;
use engine::delivery::shape::{Deletes, Mode, Naming, Task};
use engine::journal::{Journal, Limit};
use engine::observation::{Channel, Observation, Seen};
use engine::position::Sequence;
use engine::row::RowKey;
use engine::schema::Table;
use engine::source::{Order, Page, Project, Source, SourceError, Urgency};
use engine::status::Board;
use engine::target::Target;
use futures::{Stream, TryStreamExt};
use secrecy::SecretString;
use store::journal::SqliteJournal;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Result;
use crate::process::own_cpu;
use crate::simulator::{PROJECT, Simulator, TEAM};

/// CPU seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Parts {
    /// Receiving the pages, reading their rows, digests included.
    pub(crate) parse: f64,
    /// Judging and recording: all that the journal's one writer does.
    pub(crate) record: f64,
    /// Reading everything back.
    pub(crate) read: f64,
    /// Shaping and writing, without a server's share.
    pub(crate) deliver: f64,
}

/// Rows and bytes read at once, as a delivery does.
const READ: Limit = Limit { rows: 2_000, bytes: 4 << 20 };

/// Takes all issues of the simulator through every part; state lies in `dir`.
pub(crate) async fn measure<T: Target>(dir: &Path, simulator: &Simulator, target: T) -> Result<Parts> {
    let state = dir.join("state");
    std::fs::create_dir_all(&state)?;
    let journal = Arc::new(SqliteJournal::open(&state).await?);
    let clock = Clock::after(journal.newest_moment());
    let source = CodingSource::open(settings(simulator)?, &Budgets::new(), None, clock.clone())?;
    let source = Arc::new(source);
    let table = source.table(ISSUES).ok_or("there is no table of issues")?;
    let roster = source.roster(Urgency::Load).await?;
    let project = roster.into_iter().find(|project| project.name == PROJECT).ok_or("there is no project")?;

    let mut parts = Parts { parse: parse(&source, table, &project).await?, ..Parts::default() };
    let before = own_cpu();
    record(&source, &journal, table, &project).await?;
    // Whoever records reads pages, too.
    parts.record = (own_cpu() - before - parts.parse).max(0.0);
    parts.read = read(&*journal).await?;
    let before = own_cpu();
    deliver(Arc::clone(&journal), target, project).await?;
    // A delivery reads the journal itself.
    parts.deliver = (own_cpu() - before - parts.read).max(0.0);
    source.close().await;
    Arc::into_inner(journal).ok_or("the journal is still in use")?.close().await?;
    Ok(parts)
}

/// The listing that a load reads.
fn listing(
    source: &CodingSource,
    table: &'static Table,
    project: &Project,
) -> impl Stream<Item = std::result::Result<Page, SourceError>> {
    source.list(project, table, Order::Stable { skip: 0 }, Urgency::Load)
}

/// Receives and reads all pages, and throws them away.
async fn parse(source: &CodingSource, table: &'static Table, project: &Project) -> Result<f64> {
    let before = own_cpu();
    let mut pages = std::pin::pin!(listing(source, table, project));
    while pages.try_next().await?.is_some() {}
    Ok(own_cpu() - before)
}

/// Reads, judges and records page after page.
async fn record(
    source: &Arc<CodingSource>,
    journal: &Arc<SqliteJournal>,
    table: &'static Table,
    project: &Project,
) -> Result<()> {
    let cancel = CancellationToken::new();
    let (details, board) = (Details::Off, Board::default());
    let (to, recording) = recorder(
        Arc::clone(source),
        Arc::clone(journal),
        details,
        false,
        Onlookers::default(),
        board,
        cancel.clone(),
    );
    let recording = tokio::spawn(recording.run());
    let mut pages = std::pin::pin!(listing(source, table, project));
    while let Some(Page { rows, sent, .. }) = pages.try_next().await? {
        let observe = |(id, row)| {
            let key = RowKey { table: table.id, project: project.id, id };
            Observation { key, sent, channel: Channel::Load, seen: Seen::Listed(row) }
        };
        let wanted = u64::try_from(rows.len())?;
        let recorded = to.observe(rows.into_iter().map(observe).collect()).await?;
        if recorded.inserted != wanted {
            return Err("an issue that nobody had seen before is no insert".into());
        }
    }
    cancel.cancel();
    recording.await??;
    Ok(())
}

/// Reads the whole mirror.
async fn read(journal: &impl Journal) -> Result<f64> {
    let before = own_cpu();
    let mut after = Sequence(0);
    while let Some(last) = journal.mirror_after(after, READ).await?.last() {
        after = last.version.sequence;
    }
    Ok(own_cpu() - before)
}

/// Delivers the whole mirror into an empty target.
async fn deliver<T: Target>(journal: Arc<SqliteJournal>, target: T, project: Project) -> Result<()> {
    let task = Task {
        name: "bench".to_owned(),
        team: TEAM.to_owned(),
        tables: TABLES.iter().collect(),
        filter: Filter::default(),
        mode: Mode::Document,
        naming: Naming::SnakeCase,
        deletes: Deletes::Hard,
        listed_only: true,
        accept_deletes: false,
    };
    let finished = Progress { projects: vec![project], loaded: true, finished: true, ..Progress::default() };
    // The sender lives until the delivery has ended.
    let (_capture, progress) = watch::channel(finished);
    delivery::runner::run(journal, target, task, progress, Board::default(), CancellationToken::new())
        .await?;
    Ok(())
}

fn settings(simulator: &Simulator) -> Result<CodingSettings> {
    Ok(CodingSettings {
        base_url: BaseUrl::parse(simulator.url(), false)?,
        team: TEAM.to_owned(),
        projects: Projects::Named(vec![PROJECT.to_owned()]),
        auth: AuthConfig::Token(SecretString::from(DEFAULT_TOKEN)),
        incremental: Incremental::Polling,
        webhook: None,
        poll_interval: std::time::Duration::from_secs(60),
        census_interval: std::time::Duration::from_secs(900),
        look_back: std::time::Duration::from_secs(0),
        details: CodingDetails::Off,
        rate_limit: None,
        allow_insecure: false,
        ca_file: None,
        proxy: None,
    })
}
