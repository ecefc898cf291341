//! What cannot be read while other things can: one table of one project keeps nobody else waiting.
//!
//! Each round does its work table by table. Where some can be read and some cannot, those that cannot are set aside:
//! said, looked at again by themselves (`retries`), and left out by the rounds meanwhile. Where nothing can be read
//! it is the source that is in trouble, and everything waits ([`super::patience`]). With `once`, a table is tried
//! some times, and then left out until the end, which names it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::access::no_access;
use super::patience::{ONCE_PATIENCE, ONCE_PAUSE, REFUSALS, look_again};
use super::runner::PROJECTS_AT_ONCE;
use super::{Capture, CaptureError};
use crate::journal::Journal;
use crate::problem::{Problem, Remedy};
use crate::row::ProjectId;
use crate::schema::{Table, TableId};
use crate::source::{Project, Source, SourceErrorKind};

/// How the note of a table begins that is set aside.
const WAITS: &str = "cannot be read, and is looked at again by itself";
/// How often it is looked whether something is set aside that nobody announced.
const RETRIES_IDLE: Duration = Duration::from_mins(1);

/// A table of a project.
pub(super) type Part = (Project, &'static Table);

/// What is done with a table of a project; it says whether it asked the source anything.
pub(super) type Work<'a> =
    dyn Fn(Project, &'static Table) -> BoxFuture<'a, Result<bool, CaptureError>> + Send + Sync + 'a;

/// Tables of projects that are set aside.
#[derive(Debug, Default)]
pub(super) struct Aside {
    parts: Mutex<HashMap<(ProjectId, TableId), Trouble>>,
    /// Another one was set aside.
    more: Notify,
}

/// What is wrong with a table of a project.
#[derive(Clone, Debug)]
struct Trouble {
    project: Project,
    table: &'static Table,
    problem: Problem,
    began: Instant,
    /// When it is looked at again; never with `once`.
    next: Option<Instant>,
    /// Whether a census is due, too.
    census: bool,
}

impl Aside {
    fn parts(&self) -> MutexGuard<'_, HashMap<(ProjectId, TableId), Trouble>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has(&self, project: ProjectId, table: TableId) -> bool {
        self.parts().contains_key(&(project, table))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts().is_empty()
    }

    /// What is wrong, each once, in the order of the projects.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let mut found: Vec<(String, TableId, Problem)> = self
            .parts()
            .iter()
            .map(|((_, table), trouble)| (trouble.project.name.clone(), *table, trouble.problem.clone()))
            .collect();
        found.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        let mut problems: Vec<Problem> = Vec::new();
        for (.., problem) in found {
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
        problems
    }

    /// A round of censuses is over: what is set aside missed it, and makes up for it.
    pub(super) fn owe_censuses(&self) {
        self.parts().values_mut().for_each(|trouble| trouble.census = true);
    }

    /// Those whose time has come, and when the next one's comes.
    fn due(&self) -> (Vec<Trouble>, Option<Instant>) {
        let now = Instant::now();
        let parts = self.parts();
        let is_due = |trouble: &&Trouble| trouble.next.is_some_and(|next| next <= now);
        let due = parts.values().filter(is_due).cloned().collect();
        (due, parts.values().filter_map(|trouble| trouble.next).filter(|next| *next > now).min())
    }
}

/// What a round did.
#[derive(Default)]
pub(super) struct Round {
    /// Whether the source answered anybody.
    answered: bool,
    failed: Vec<(Part, CaptureError)>,
}

impl CaptureError {
    /// Whether the source said no.
    fn is_refusal(&self) -> bool {
        matches!(self, CaptureError::Source(error) if !matches!(
            error.kind,
            SourceErrorKind::Unreachable | SourceErrorKind::Transient
        ))
    }
}

impl<S: Source, J: Journal> Capture<S, J> {
    /// All tables of these projects, those that are set aside left out.
    fn parts(&self, projects: Vec<Project>) -> Vec<Part> {
        let tables = &self.settings.tables;
        let all = projects
            .into_iter()
            .flat_map(|project| tables.iter().map(move |table| (project.clone(), *table)));
        all.filter(|(project, table)| !self.aside.has(project.id, table.id)).collect()
    }

    /// Does `work` for these tables; what fails keeps no other from being read.
    async fn each(&self, parts: Vec<Part>, work: &Work<'_>) -> Round {
        let mut by_project: Vec<Vec<Part>> = Vec::new();
        for part in parts {
            match by_project.last_mut() {
                Some(last) if last.first().is_some_and(|(project, _)| *project == part.0) => last.push(part),
                _ => by_project.push(vec![part]),
            }
        }
        let (mut waiting, mut all) = (by_project.into_iter(), Round::default());
        let mut under_way: FuturesUnordered<BoxFuture<'_, Round>> = FuturesUnordered::new();
        loop {
            let room = PROJECTS_AT_ONCE.saturating_sub(under_way.len());
            for parts in waiting.by_ref().take(room) {
                under_way.push(self.one_after_the_other(parts, work).boxed());
            }
            let Some(round) = under_way.next().await else { return all };
            all.answered |= round.answered;
            all.failed.extend(round.failed);
        }
    }

    async fn one_after_the_other(&self, parts: Vec<Part>, work: &Work<'_>) -> Round {
        let mut round = Round::default();
        for (project, table) in parts {
            // It answers with errors, or with nothing at all, which is not to be believed.
            if !self.access.sees(project.id) {
                let error = no_access(&project).into();
                round.failed.push(((project, table), error));
                continue;
            }
            match work(project.clone(), table).await {
                Ok(asked) => round.answered |= asked,
                Err(error) => round.failed.push(((project, table), error)),
            }
        }
        round
    }

    /// A round over all that is visible and not set aside. What cannot be read while something else can is set aside;
    /// a `first` reading leaves a table that is refused in every project to whoever started it.
    ///
    /// # Errors
    /// Of trouble that is everybody's.
    pub(super) async fn round(&self, first: bool, work: &Work<'_>) -> Result<(), CaptureError> {
        let parts = self.parts(self.access.visible());
        let projects = |table: TableId| parts.iter().filter(|(_, other)| other.id == table).count();
        let asked: HashMap<TableId, usize> =
            self.settings.tables.iter().map(|table| (table.id, projects(table.id))).collect();
        let Round { answered, failed } = self.each(parts, work).await;
        let refused = |table: TableId| {
            let refused = failed.iter().filter(|((_, other), error)| other.id == table && error.is_refusal());
            first && asked.get(&table) == Some(&refused.count())
        };
        let is_everybodys = |((_, table), error): &(Part, CaptureError)| {
            !answered || matches!(error, CaptureError::Journal(_)) || refused(table.id)
        };
        let everybodys = failed.iter().position(is_everybodys);
        let mut failed = failed;
        if let Some(at) = everybodys {
            return Err(failed.swap_remove(at).1);
        }
        for ((project, table), error) in failed {
            self.set_aside(project, table, &error, true);
        }
        Ok(())
    }

    /// Leaves a table of a project out of the rounds, and says so; for good where nobody looks `again`.
    fn set_aside(&self, project: Project, table: &'static Table, error: &CaptureError, again: bool) {
        let (key, problem) = ((project.id, table.id), error.problem().clone());
        let now = Instant::now();
        let known = self.aside.parts().get(&key).cloned();
        let (began, census) = known.as_ref().map_or((now, false), |known| (known.began, known.census));
        let pause = look_again(began.elapsed(), self.settings.poll_interval);
        let next = now.checked_add(pause).filter(|_| again);
        if known.is_none_or(|known| known.problem != problem) {
            if again {
                let note = Some(format!("{WAITS}. {problem}"));
                self.board.table(&project.name, table.name, |status| status.note = note);
            }
            self.board.update(|status| {
                status.capture.last_problem = Some((Timestamp::now(), problem.clone()));
            });
        }
        let trouble = Trouble { project, table, problem, began, next, census };
        self.aside.parts().insert(key, trouble);
        self.aside.more.notify_one();
    }

    /// Looks again at what is set aside, for ever, and takes it in again where it can be read.
    pub(super) async fn retries(&self) -> Result<(), CaptureError> {
        loop {
            let (due, next) = self.aside.due();
            if due.is_empty() {
                let next = next.unwrap_or_else(|| after(Instant::now(), RETRIES_IDLE));
                // Both arms only wait.
                tokio::select! {
                    () = tokio::time::sleep_until(next) => {}
                    () = self.aside.more.notified() => {}
                }
                continue;
            }
            // How many requests that makes at once is the budget's business.
            let mut retries: FuturesUnordered<BoxFuture<'_, Result<(), CaptureError>>> =
                FuturesUnordered::new();
            for trouble in due {
                retries.push(self.retry(trouble).boxed());
            }
            while let Some(retried) = retries.next().await {
                retried?;
            }
            if self.aside.is_empty() {
                super::bearable(self.end_anew().await)?;
            }
        }
    }

    async fn retry(&self, trouble: Trouble) -> Result<(), CaptureError> {
        let Trouble { table, census, .. } = trouble;
        // Under the name that it has now; one that is out of view is another matter.
        let seen = self.access.visible().into_iter().find(|project| project.id == trouble.project.id);
        let Some(project) = seen else {
            self.aside.parts().remove(&(trouble.project.id, table.id));
            self.unsay(&trouble.project, table);
            return Ok(());
        };
        match self.catch_up(&project, table, census).await {
            Ok(()) => {
                self.aside.parts().remove(&(project.id, table.id));
                self.unsay(&project, table);
                tracing::info!(project = %project.name, table = table.name, "can be read again");
                super::bearable(self.note_loaded().await).map(drop)
            }
            Err(CaptureError::Journal(error)) if error.remedy == Remedy::NeedsHuman => {
                Err(CaptureError::Journal(error))
            }
            Err(error) => {
                self.set_aside(project, table, &error, true);
                Ok(())
            }
        }
    }

    /// Takes back the note that a table waits.
    fn unsay(&self, project: &Project, table: &'static Table) {
        let note = self.with_unreadable(table, project.id, None);
        self.board.table(&project.name, table.name, |status| {
            if status.note.as_ref().is_some_and(|note| note.starts_with(WAITS)) {
                status.note = note;
            }
        });
    }

    /// Does what the rounds did without the table.
    async fn catch_up(
        &self,
        project: &Project,
        table: &'static Table,
        census: bool,
    ) -> Result<(), CaptureError> {
        self.load(project, table).await?;
        self.poll(project, table).await?;
        if census && table.newest_first {
            self.compare(project, table).await?;
        }
        Ok(())
    }

    /// A step of `once` for all that is to be read. What is refused again and again, and what fails for too long, is
    /// set aside for good.
    ///
    /// # Errors
    /// Of trouble that is everybody's.
    pub(super) async fn thoroughly(&self, work: &Work<'_>) -> Result<(), CaptureError> {
        let (deadline, since) = (Instant::now().checked_add(ONCE_PATIENCE), Timestamp::now());
        let mut refusals: HashMap<(ProjectId, TableId), u32> = HashMap::new();
        let mut wanted = self.access.visible();
        if !self.settings.projects.is_everything() {
            // Left out in silence they would pass for done.
            wanted.extend(self.access.lost());
        }
        let mut left = self.parts(wanted);
        loop {
            let Round { failed, .. } = self.each(left, work).await;
            let Some((_, first)) = failed.first() else { return Ok(()) };
            let is_over = deadline.is_none_or(|deadline| Instant::now() >= deadline);
            let journals = failed.iter().position(|(_, error)| matches!(error, CaptureError::Journal(_)));
            let looked = self.look_around().await;
            if let Err(error) = &looked
                && error.remedy() == Remedy::NeedsHuman
            {
                return looked;
            }
            self.wait(first, ONCE_PAUSE, since).await;
            let mut failed = failed;
            if let Some(at) = journals
                && (is_over || failed.get(at).is_some_and(|(_, error)| error.remedy() == Remedy::NeedsHuman))
            {
                return Err(failed.swap_remove(at).1);
            }
            left = Vec::new();
            for ((project, table), error) in failed {
                let project = self.access.find(project.id).unwrap_or(project);
                let count = refusals.entry((project.id, table.id)).or_default();
                *count = if looked.is_ok() && error.is_refusal() { count.saturating_add(1) } else { 0 };
                if *count >= REFUSALS || (is_over && !matches!(error, CaptureError::Journal(_))) {
                    self.set_aside(project, table, &error, false);
                } else {
                    left.push((project, table));
                }
            }
        }
    }
}

fn after(now: Instant, pause: Duration) -> Instant {
    now.checked_add(pause).unwrap_or(now)
}
