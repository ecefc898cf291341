//! Which projects are captured, and whether the credential still sees them.
//!
//! The roster is the proof of access: a listing that comes back empty says nothing as long as the project is
//! not in it. A renamed project is followed by its id; one that is merely no longer visible is "no access",
//! never "gone". Only where another project has its identifier by now, it yields: targets know rows by the identifier.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Capture, CaptureError, Progress, Projects, recall};
use crate::journal::{Journal, JournalError};
use crate::problem::Problem;
use crate::row::ProjectId;
use crate::source::{Project, Source, SourceError, SourceErrorKind, Urgency};

/// Document with the projects of the configuration.
const DOCUMENT: &str = "projects";

/// A project as the journal remembers it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Remembered {
    id: ProjectId,
    name: String,
    /// The identifier in the configuration that led to it.
    asked: String,
    /// Whether the mirror had rows of it when it came into the configuration.
    #[serde(default)]
    returned: bool,
}

impl Remembered {
    /// Whether it is left out: known so that it stays left out when its identifier changes.
    fn is_excluded(&self) -> bool {
        self.asked.starts_with(EXCLUDED)
    }
}

/// What stands before the identifier that a project is left out under.
const EXCLUDED: char = '!';

fn exclusion(name: &str) -> String {
    format!("{EXCLUDED}{name}")
}

/// The projects in view.
#[derive(Debug, Default)]
pub(super) struct Access(Mutex<Vec<(Project, bool)>>);

impl Access {
    /// Projects that the roster showed last time.
    pub(super) fn visible(&self) -> Vec<Project> {
        let projects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        projects.iter().filter(|(_, visible)| *visible).map(|(project, _)| project.clone()).collect()
    }

    /// Projects that are configured but that the roster did not show last time.
    pub(super) fn lost(&self) -> Vec<Project> {
        let projects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        projects.iter().filter(|(_, visible)| !visible).map(|(project, _)| project.clone()).collect()
    }

    /// Whether the roster showed the project last time.
    pub(super) fn sees(&self, id: ProjectId) -> bool {
        let projects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        projects.iter().any(|(project, visible)| *visible && project.id == id)
    }

    pub(super) fn find(&self, id: ProjectId) -> Option<Project> {
        let projects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        projects.iter().find(|(project, _)| project.id == id).map(|(project, _)| project.clone())
    }
}

impl<S: Source, J: Journal> Capture<S, J> {
    /// Reads the roster and works out which projects are captured; tells the tasks.
    pub(super) async fn look_around(&self) -> Result<(), CaptureError> {
        let roster = self.roster(Urgency::Poll).await?;
        let remembered: Vec<Remembered> = self.recall(DOCUMENT).await?.unwrap_or_default();
        let mut found = match &self.settings.projects {
            Projects::Named(names) => named(names, &roster, &remembered)?,
            Projects::All | Projects::AllBut(_) => all(&roster, &remembered, &self.settings.projects),
        };
        // Of two with one identifier the visible one has it.
        found.sort_by_key(|(.., visible)| !visible);
        let taken: HashSet<String> =
            found.iter().filter(|(.., visible)| *visible).map(|(project, ..)| project.name.clone()).collect();
        let mut documents: Vec<Remembered> = Vec::with_capacity(found.len());
        for (project, asked, visible) in &found {
            let yields = !visible && taken.contains(&project.name);
            let returned = match remembered.iter().find(|known| known.id == project.id) {
                // Should it come back, its rows are to be written from the beginning.
                Some(known) if !known.is_excluded() => known.returned || yields,
                _ => self.has_rows(project.id).await?,
            };
            let is_new = self.access.find(project.id).is_none_or(|known| known.name != project.name);
            if asked != "*" && !asked.eq_ignore_ascii_case(&project.name) && is_new {
                tracing::warn!(
                    project = %project.name,
                    "project `{asked}` is called `{}` now; it is still followed. Correct `source.projects`",
                    project.name
                );
            }
            let (name, asked) = (project.name.clone(), asked.clone());
            documents.push(Remembered { id: project.id, name, asked, returned });
        }
        documents.extend(excluded(&roster, &remembered, &self.settings.projects));
        if self.access.visible().is_empty() {
            self.settings.projects.excluded().iter().for_each(|name| {
                if !documents.iter().any(|known| known.asked == exclusion(name)) {
                    tracing::warn!(
                        "`source.exclude` names `{name}`, and the credential sees no such project"
                    );
                }
            });
        }
        let (new, old) = (json!(documents), json!(remembered));
        if new != old {
            self.remember(DOCUMENT, &new).await?;
        }
        self.publish(&documents);
        let seen = found.into_iter().map(|(project, _, visible)| (project, visible)).collect();
        *self.access.0.lock().unwrap_or_else(PoisonError::into_inner) = seen;
        Ok(())
    }

    /// A look around, which fails where no project that was asked for is visible.
    pub(super) async fn look_around_once(&self) -> Result<(), CaptureError> {
        self.look_around().await?;
        self.complain_of_no_access()
    }

    /// Fails while none of the projects that were asked for is visible.
    pub(super) fn complain_of_no_access(&self) -> Result<(), CaptureError> {
        match self.access.lost().first() {
            Some(project) if self.access.visible().is_empty() => Err(no_access(project).into()),
            _ => Ok(()),
        }
    }

    /// What to say of a project that was asked for by name and is not visible. Of all that the credential sees, one that
    /// it sees no more is not missed, but its rows stay.
    pub(super) fn lost_access(&self) -> Option<Problem> {
        let lost = self.access.lost();
        let first = lost.first().filter(|_| !self.settings.projects.is_everything())?;
        let mut problem = no_access(first).problem;
        if lost.len() > 1 {
            let names: Vec<String> = lost.iter().map(|project| format!("`{}`", project.name)).collect();
            problem.what = format!("Cannot read projects {}", names.join(", "));
            problem.why = "the credential no longer sees them; nothing is deleted because of that".to_owned();
        }
        Some(problem)
    }

    fn publish(&self, documents: &[Remembered]) {
        let before = self.progress.borrow().projects.clone();
        self.progress.send_if_modified(|progress| progress.see(documents, &self.settings.projects));
        let now = self.progress.borrow().projects.clone();
        let is_left = |old: &&Project| !now.iter().any(|project| project.id == old.id);
        for old in before.iter().filter(is_left) {
            if let Some(new) = now.iter().find(|project| project.name == old.name) {
                tracing::warn!(
                    project = %old.name, was = old.id.0, is = new.id.0,
                    "another project is called `{}` now: the rows of the earlier one leave the targets", old.name
                );
            }
        }
    }

    /// Whether the mirror has rows of a project.
    async fn has_rows(&self, project: ProjectId) -> Result<bool, CaptureError> {
        for table in self.source.tables() {
            if self.journal.counts(table.id, project).await?.alive > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Progress {
    /// Takes projects in, of those with the same identifier the first; says whether they are others than before.
    pub(super) fn see(&mut self, documents: &[Remembered], wanted: &Projects) -> bool {
        let project = |known: &Remembered| Project { id: known.id, name: known.name.clone() };
        let mut names = HashSet::new();
        let wanted_ones = documents.iter().filter(|known| !known.is_excluded());
        let named = wanted_ones.filter(|known| names.insert(known.name.as_str()));
        let projects: Vec<Project> = named.map(project).collect();
        let returned: Vec<ProjectId> =
            documents.iter().filter(|known| known.returned).map(|known| known.id).collect();
        let changed = self.projects != projects || self.returned != returned;
        (self.projects, self.returned) = (projects, returned);
        (self.everything, self.excluded) = (wanted.is_everything(), wanted.excluded().to_vec());
        changed
    }
}

/// Named projects whose identifiers have changed: the one that was asked for, and the project.
pub(super) async fn renamed<J: Journal>(journal: &J) -> Result<Vec<(String, Project)>, JournalError> {
    let known: Vec<Remembered> = recall(journal, DOCUMENT).await?.unwrap_or_default();
    let renamed = known.into_iter().filter(|known| known.asked != "*" && !known.is_excluded());
    let renamed = renamed.filter(|known| !known.asked.eq_ignore_ascii_case(&known.name));
    Ok(renamed.map(|known| (known.asked, Project { id: known.id, name: known.name })).collect())
}

/// The projects that are `wanted`, as the journal remembers them. None at all where one of them was never seen:
/// half of the truth would lead the tasks astray.
pub(super) async fn remembered<J: Journal>(
    journal: &J,
    wanted: &Projects,
) -> Result<Vec<Remembered>, JournalError> {
    let mut known: Vec<Remembered> = recall(journal, DOCUMENT).await?.unwrap_or_default();
    known.retain(|known| match wanted {
        Projects::Named(names) => names.contains(&known.asked),
        Projects::All | Projects::AllBut(_) => known.asked == "*" && !wanted.excludes(&known.name),
    });
    let complete = match wanted {
        Projects::Named(names) => names.iter().all(|name| known.iter().any(|known| known.asked == *name)),
        Projects::All | Projects::AllBut(_) => true,
    };
    Ok(if complete { known } else { Vec::new() })
}

/// The credential does not see a project that is captured.
pub(super) fn no_access(project: &Project) -> SourceError {
    SourceError {
        kind: SourceErrorKind::AccessLost,
        problem: Problem::new(
            "SOURCE-ACCESS",
            format!("Cannot read project `{}`", project.name),
            "the credential no longer sees it; nothing is deleted because of that",
            "Give the credential's user access to the project again, or take the project out of \
             `source.projects`. tributary goes on by itself as soon as the project is visible.",
        ),
        source: None,
    }
}

/// A project of the configuration.
struct Followed<'a> {
    /// The identifier that was asked for.
    asked: &'a str,
    project: Project,
    visible: bool,
    /// Whether it has that identifier, or is known from when it had.
    by_name: bool,
}

fn named(
    names: &[String],
    roster: &[Project],
    remembered: &[Remembered],
) -> Result<Vec<(Project, String, bool)>, CaptureError> {
    let known = |asked: &str| {
        let known = remembered.iter().find(|known| known.asked == asked)?;
        Some(match roster.iter().find(|project| project.id == known.id) {
            Some(project) => (project.clone(), true),
            None => (Project { id: known.id, name: known.name.clone() }, false),
        })
    };
    let mut found: Vec<Followed<'_>> = Vec::new();
    let mut unknown = Vec::new();
    for name in names {
        let exact = roster.iter().find(|project| project.name == *name);
        let has_it = exact.or_else(|| roster.iter().find(|p| p.name.eq_ignore_ascii_case(name)));
        match has_it.map(|project| (project.clone(), true)).or_else(|| known(name)) {
            Some((project, visible)) => {
                found.push(Followed { asked: name, project, visible, by_name: has_it.is_some() });
            }
            None => unknown.push(format!("`{name}`")),
        }
    }
    // A project that is followed since it had another identifier of the list may have taken over this one: what had it
    // before is followed too, and may have taken over the next.
    while let Some((at, project)) = found.iter().enumerate().find_map(|(at, one)| {
        let taken_over = |other: &Followed<'_>| !other.by_name && other.project.id == one.project.id;
        let (project, visible) = known(one.asked)?;
        let is_other = visible && project.id != one.project.id;
        (one.by_name && is_other && found.iter().any(taken_over)).then_some((at, project))
    }) {
        let Some(one) = found.get_mut(at) else { break };
        (one.project, one.by_name) = (project, false);
    }
    if unknown.is_empty() {
        let mut ids = HashSet::new();
        found.retain(|one| ids.insert(one.project.id));
        return Ok(found.into_iter().map(|one| (one.project, one.asked.to_owned(), one.visible)).collect());
    }
    let seen: Vec<String> = roster.iter().take(20).map(|project| format!("`{}`", project.name)).collect();
    let seen = if seen.is_empty() { "no project at all".to_owned() } else { seen.join(", ") };
    Err(CaptureError::Source(SourceError {
        kind: SourceErrorKind::Refused,
        problem: Problem::new(
            "SOURCE-PROJECT",
            format!("Cannot find project {}", unknown.join(", ")),
            format!("the credential sees {seen}"),
            "Correct `source.projects` (identifiers, as in the address of the project's page), or add the \
             credential's user to the project.",
        ),
        source: None,
    }))
}

fn all(roster: &[Project], remembered: &[Remembered], wanted: &Projects) -> Vec<(Project, String, bool)> {
    let out = excluded(roster, remembered, wanted);
    let visible = roster.iter().map(|project| (project.clone(), "*".to_owned(), true));
    let gone = remembered
        .iter()
        .filter(|known| known.asked == "*")
        .filter(|known| !roster.iter().any(|project| project.id == known.id || project.name == known.name))
        .map(|known| (Project { id: known.id, name: known.name.clone() }, "*".to_owned(), false));
    let is_in = |project: &Project| !out.iter().any(|known| known.id == project.id);
    visible.chain(gone).filter(|(project, ..)| is_in(project)).collect()
}

/// The projects that are left out: those that have an excluded identifier, and those that had one that nobody has now.
fn excluded(roster: &[Project], remembered: &[Remembered], wanted: &Projects) -> Vec<Remembered> {
    let mut found: Vec<Remembered> = Vec::new();
    let mut add = |id, name: &str, excluded: &str| {
        if !found.iter().any(|known| known.id == id) {
            let (name, asked) = (name.to_owned(), exclusion(excluded));
            found.push(Remembered { id, name, asked, returned: false });
        }
    };
    for excluded in wanted.excluded() {
        let mut held = false;
        for project in roster.iter().filter(|project| project.name.eq_ignore_ascii_case(excluded)) {
            held = true;
            add(project.id, &project.name, excluded);
        }
        for known in remembered.iter().filter(|_| !held) {
            let seen = roster.iter().find(|project| project.id == known.id);
            let was_out = known.asked == exclusion(excluded);
            // One that is not visible goes by the identifier that it had last.
            if was_out || (seen.is_none() && known.name.eq_ignore_ascii_case(excluded)) {
                add(known.id, seen.map_or(&known.name, |project| &project.name), excluded);
            }
        }
    }
    found
}
