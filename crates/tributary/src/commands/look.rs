//! A short look at a source: what `check`, `discover` and `preview` share.

use connectors::coding::config::{AuthConfig, Projects};
use connectors::coding::source::CodingSource;
use engine::clock::{Clock, Moment};
use engine::problem::Problem;
use engine::source::{Project, Source, Urgency};
use store::state_dir::StateDir;

use super::vault_key;
use crate::pipeline::Pipeline;
use crate::sync::source::Shared;

/// A source that is open for a look.
pub(super) struct Look {
    pub(super) source: CodingSource,
    /// Held while an OAuth credential may be refreshed: a running sync must not be robbed of its tokens.
    _lock: Option<StateDir>,
}

impl Look {
    /// Opens the source of a pipeline. With an OAuth credential the state directory must not be in use.
    pub(super) fn open(pipeline: &Pipeline) -> Result<Look, Problem> {
        let lock = match pipeline.source.auth {
            AuthConfig::Oauth(_) => Some(StateDir::open(&pipeline.state).map_err(|error| error.problem)?),
            AuthConfig::Token(_) | AuthConfig::ProjectToken(_) => None,
        };
        let clock = Clock::after(Moment::default());
        let source = Shared::new(vault_key()).open(&pipeline.source, &pipeline.state, clock)?;
        Ok(Look { source, _lock: lock })
    }

    /// The projects of the pipeline.
    ///
    /// # Errors
    /// The source does not answer, or does not show a project that is named.
    pub(super) async fn projects(&self) -> Result<Vec<Project>, Problem> {
        let mut roster = self.source.roster(Urgency::Poll).await.map_err(|error| error.problem)?;
        let Projects::Named(names) = &self.source.settings().projects else { return Ok(roster) };
        let missing = names.iter().find(|name| !roster.iter().any(|project| project.name == **name));
        if let Some(name) = missing {
            return Err(Problem::new(
                "CODING-PROJECT",
                format!("Cannot find project `{name}`"),
                "the credential does not see a project with this identifier",
                "Check `source.projects` and that the credential's user is a member of it.",
            ));
        }
        roster.retain(|project| names.contains(&project.name));
        Ok(roster)
    }
}
