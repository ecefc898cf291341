//! A short look at a source: what `check`, `discover` and `preview` share.

use std::path::Path;

use connectors::coding::config::{AuthConfig, CodingSettings, Projects};
use connectors::coding::source::CodingSource;
use engine::capture::remembered::renamed;
use engine::clock::{Clock, Moment};
use engine::custom::CustomFields;
use engine::journal::JournalError;
use engine::problem::Problem;
use engine::row::ProjectId;
use engine::source::{Project, Source, Urgency};
use store::journal::{FILE, SqliteJournal};
use store::state_dir::StateDir;

use super::vault_key;
use crate::pipeline::Pipeline;
use crate::sync::events::Keepers;
use crate::sync::source::Shared;

/// A source that is open for a look.
pub(super) struct Look {
    pub(super) source: CodingSource,
    pub(super) clock: Clock,
    /// Projects that are called otherwise than in the file, as an earlier run found out.
    pub(super) renamed: Vec<(String, Project)>,
    /// Held while an OAuth credential may be refreshed: a running sync must not be robbed of its tokens.
    _lock: Option<StateDir>,
}

impl Look {
    /// Opens the source of a pipeline. With an OAuth credential the state directory must not be in use.
    pub(super) async fn open(pipeline: &Pipeline) -> Result<Look, Problem> {
        let mut settings = pipeline.source.clone();
        let renamed = follow_names(&mut settings, &pipeline.state).await;
        let lock = match pipeline.source.auth {
            AuthConfig::Oauth(_) => Some(StateDir::open(&pipeline.state).map_err(|error| error.problem)?),
            AuthConfig::Token(_) | AuthConfig::ProjectToken(_) => None,
        };
        let clock = Clock::after(Moment::default());
        let source = Shared::new(vault_key()).open(&settings, &pipeline.state, clock.clone())?;
        Ok(Look { source, clock, renamed, _lock: lock })
    }

    /// Opens the source of a pipeline beside whatever runs: tokens that rotate are read where they are kept, and
    /// left to whoever runs to renew.
    pub(super) async fn beside(pipeline: &Pipeline) -> Result<Look, Problem> {
        if !StateDir::is_running(&pipeline.state).map_err(|error| error.problem)? {
            return Look::open(pipeline).await;
        }
        let mut settings = pipeline.source.clone();
        let renamed = follow_names(&mut settings, &pipeline.state).await;
        let clock = Clock::after(Moment::default());
        let shared = Shared::new(vault_key());
        let source = shared.open_beside(&settings, &pipeline.state, clock.clone()).await?;
        Ok(Look { source, clock, renamed, _lock: None })
    }

    /// The projects of the pipeline.
    ///
    /// # Errors
    /// The source does not answer, or does not show a project that is named.
    pub(super) async fn projects(&self) -> Result<Vec<Project>, Problem> {
        let mut roster = self.source.roster(Urgency::Poll).await.map_err(|error| error.problem)?;
        let wanted = &self.source.settings().projects;
        let Projects::Named(names) = wanted else {
            roster.retain(|project| !wanted.excludes(&project.name));
            return Ok(roster);
        };
        // As a sync finds them.
        let find = |name: &String| {
            let exact = roster.iter().find(|project| project.name == *name);
            exact.or_else(|| roster.iter().find(|project| project.name.eq_ignore_ascii_case(name)))
        };
        let missing = names.iter().find(|name| find(name).is_none());
        if let Some(name) = missing {
            return Err(Problem::new(
                "CODING-PROJECT",
                format!("Cannot find project `{name}`"),
                "the credential does not see a project with this identifier",
                "Check `source.projects` and that the credential's user is a member of it.",
            ));
        }
        let named: Vec<ProjectId> = names.iter().filter_map(find).map(|project| project.id).collect();
        roster.retain(|project| named.contains(&project.id));
        Ok(roster)
    }

    /// The custom fields of all tables.
    ///
    /// # Errors
    /// The source does not answer.
    pub(super) async fn custom_fields(&self, projects: &[Project]) -> Result<CustomFields, Problem> {
        let mut custom = CustomFields::default();
        for project in projects {
            for table in self.source.tables().iter().filter(|table| table.custom.is_some()) {
                let found = self.source.custom_fields(project, table, Urgency::Poll).await;
                for field in found.map_err(|error| error.problem)? {
                    custom.learn(table.id, field);
                }
            }
        }
        Ok(custom)
    }
}

/// Who of a state directory keeps the table of deliveries.
///
/// # Errors
/// The journal is there and cannot be read.
pub(super) async fn keepers(state: &Path) -> Result<Keepers, Problem> {
    let keepers = peek(state, async |journal| Keepers::remembered(journal).await).await;
    keepers.map_err(|error| error.problem)
}

/// Reads from a journal beside whoever runs. A state directory without one knows nothing.
async fn peek<T: Default>(
    state: &Path,
    read: impl AsyncFnOnce(&SqliteJournal) -> Result<T, JournalError>,
) -> Result<T, JournalError> {
    if !state.join(FILE).exists() {
        return Ok(T::default());
    }
    let journal = SqliteJournal::open_read_only(state).await?;
    let known = read(&journal).await;
    if let Err(error) = journal.close().await {
        tracing::debug!(problem = %error.problem, "the journal was not closed cleanly");
    }
    known
}

/// Puts the present identifiers of projects in the place of those in the file, where an earlier run has followed a
/// new one. A journal that cannot be read knows none.
async fn follow_names(settings: &mut CodingSettings, state: &Path) -> Vec<(String, Project)> {
    let Projects::Named(names) = &mut settings.projects else { return Vec::new() };
    let mut known = peek(state, async |journal| renamed(journal).await).await.unwrap_or_default();
    known.retain(|(asked, _)| names.contains(asked));
    // Each once: the new identifier of one may be the old one of another.
    for name in names {
        if let Some((_, project)) = known.iter().find(|(asked, _)| asked == name) {
            name.clone_from(&project.name);
        }
    }
    known
}
