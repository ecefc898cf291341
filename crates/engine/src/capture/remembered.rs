//! What captures leave in the journal for those who come later: a capture tells the tasks before the source has
//! answered, and a target is rebuilt without asking the source at all.

use std::sync::Arc;

use serde_json::Value;

use super::{Progress, Projects, access, fields, load, recall};
use crate::custom::CustomFields;
use crate::journal::{Journal, JournalError};
use crate::schema::Table;
use crate::source::Project;

/// Document that is there once the log has begun.
pub(super) const LOG_BEGAN: &str = "log";

/// Projects of the configuration that are called otherwise now: the identifier that was asked for, and the project.
///
/// # Errors
/// What the journal says.
pub async fn renamed<J: Journal>(journal: &J) -> Result<Vec<(String, Project)>, JournalError> {
    access::renamed(journal).await
}

/// What is known of a configuration from earlier captures. Without `projects`, when one of them was never seen;
/// `loaded` says whether each of `tables` was read completely in every project, and `finished` nothing.
///
/// # Errors
/// What the journal says.
pub async fn remembered<J: Journal>(
    journal: &J,
    projects: &Projects,
    tables: &[&'static Table],
) -> Result<Progress, JournalError> {
    let mut progress = Progress {
        custom: recall::<CustomFields>(journal, fields::DOCUMENT).await?.map(Arc::new),
        logging: recall::<Value>(journal, LOG_BEGAN).await?.is_some(),
        ..Progress::default()
    };
    progress.see(&access::remembered(journal, projects).await?, projects);
    progress.loaded = !progress.projects.is_empty();
    for project in &progress.projects {
        for table in tables.iter().filter(|table| !table.from_inbox) {
            progress.loaded = progress.loaded && load::is_loaded(journal, project, table).await?;
        }
    }
    Ok(progress)
}
