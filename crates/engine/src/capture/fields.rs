//! Custom fields: which there are, and that rows carry a new one.
//!
//! A project's are read before its first rows, when one of its rows carries an unknown one, and with every start and
//! census: there in turn, where the projects are many. Only flat mode needs them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use futures::{FutureExt, StreamExt};
use serde_json::{Value, json};

use super::runner::PROJECTS_AT_ONCE;
use super::{Capture, CaptureError};
use crate::custom::{CustomField, CustomFields, Holds};
use crate::journal::{Journal, Limit, MirrorRow};
use crate::position::Sequence;
use crate::problem::Problem;
use crate::row::{ProjectId, Row, integer};
use crate::schema::{Table, TableId};
use crate::source::{Project, Source, Urgency};

/// Document with the custom fields.
pub(super) const DOCUMENT: &str = "custom_fields";
/// Document with the projects whose fields have been read, longest ago first.
const READ: &str = "custom_fields_read";
/// Projects whose fields a start or a census reads again: a request for each of their types of issue. Those are all, where
/// there are no more; the others get their turn later, for a new field also shows in the rows that have it.
const TURN: usize = 20;
/// Of the mirror so much is looked at at once.
const PAGE: Limit = Limit { rows: 2_000, bytes: 4 << 20 };

/// What is known of custom fields; shared with the recorder, which sees every row.
#[derive(Debug, Default)]
pub struct Fields {
    known: RwLock<CustomFields>,
    /// Carried by rows and not known: their names, and whose rows.
    unknown: Mutex<Unknown>,
    /// Projects whose fields have been read and need not be, longest ago first.
    read: Mutex<Vec<ProjectId>>,
    /// Why those of others could not be read.
    failed: Mutex<BTreeMap<ProjectId, Problem>>,
}

type Unknown = BTreeMap<(TableId, i64), (String, BTreeSet<ProjectId>)>;

impl Fields {
    /// Notes the custom fields of a row of `project` that are not known.
    pub(super) fn look_at(&self, table: &Table, project: ProjectId, row: &Row) {
        let Some(values) = table.custom else { return };
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let list = row.look(values.list);
        for item in list.as_deref().and_then(Value::as_array).into_iter().flatten() {
            let Some(id) = item.get(values.id).and_then(integer) else { continue };
            if !known.knows(table.id, id) {
                let name = item.get(values.name).and_then(Value::as_str).unwrap_or_default();
                let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
                let (known_as, projects) = unknown.entry((table.id, id)).or_default();
                name.clone_into(known_as);
                projects.insert(project);
            }
        }
    }

    /// Those of the `projects` whose fields have to be read; `None` when there is nothing to be learned.
    fn due(&self, projects: Vec<Project>) -> Option<Vec<Project>> {
        let (read, unknown) = (self.read.lock().unwrap_or_else(PoisonError::into_inner), self.unknown());
        let carries = |id: &ProjectId| unknown.values().any(|(_, projects)| projects.contains(id));
        let is_due = |project: &Project| !read.contains(&project.id) || carries(&project.id);
        let due: Vec<Project> = projects.into_iter().filter(is_due).collect();
        (!due.is_empty() || !unknown.is_empty()).then_some(due)
    }

    /// It is the turn of the projects whose fields were read longest ago.
    fn next_turn(&self) {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = read.len().min(TURN);
        read.drain(..turn);
    }

    /// Why fields of projects could not be read, while those of others were.
    pub(super) fn unread(&self) -> Vec<Problem> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// What rows carry and nobody knows.
    fn unknown(&self) -> Unknown {
        self.unknown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes in what was read; of the fields that rows carried before (`carried`), those that no project has any
    /// more are texts.
    fn learn(
        &self,
        found: impl IntoIterator<Item = (TableId, CustomField)>,
        carried: Unknown,
        projects: impl IntoIterator<Item = ProjectId>,
    ) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for (table, field) in found {
            known.learn(table, field);
        }
        for ((table, id), (name, _)) in carried {
            if !known.knows(table, id) {
                known.learn(table, CustomField { id, name, holds: Holds::Text });
            }
        }
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        unknown.retain(|(table, id), _| !known.knows(*table, *id));
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        for project in projects {
            read.retain(|known| *known != project);
            read.push(project);
        }
    }
}

impl<S: Source, J: Journal> Capture<S, J> {
    /// Tells the tasks which custom fields are known from earlier runs.
    pub(super) async fn remembered_fields(&self) -> Result<(), CaptureError> {
        let Some(fields) = self.fields.clone() else { return Ok(()) };
        let Some(known) = self.recall::<CustomFields>(DOCUMENT).await? else {
            return self.look_at_mirror(&fields).await;
        };
        fields.known.write().unwrap_or_else(PoisonError::into_inner).clone_from(&known);
        *fields.read.lock().unwrap_or_else(PoisonError::into_inner) =
            self.recall(READ).await?.unwrap_or_default();
        fields.next_turn();
        self.publish_fields(known);
        Ok(())
    }

    /// Notes the custom fields of all rows: those that were read before anybody wanted to know.
    async fn look_at_mirror(&self, fields: &Fields) -> Result<(), CaptureError> {
        let mut after = Sequence(0);
        loop {
            let rows = self.journal.mirror_after(after, PAGE).await?;
            let Some(last) = rows.last() else { return Ok(()) };
            after = last.version.sequence;
            for MirrorRow { key, row, .. } in &rows {
                if let (Some(table), Some(row)) = (self.source.table(key.table), row) {
                    fields.look_at(table, key.project, row);
                }
            }
        }
    }

    /// Reads the custom fields of visible projects where they are not known.
    pub(super) async fn read_fields_if_due(&self) -> Result<(), CaptureError> {
        self.read_due_fields(Urgency::Load).await
    }

    /// Reads the custom fields of the visible projects whose turn it is, and of those where they are not known.
    pub(super) async fn read_fields(&self, urgency: Urgency) -> Result<(), CaptureError> {
        if let Some(fields) = &self.fields {
            fields.next_turn();
        }
        self.read_due_fields(urgency).await
    }

    async fn read_due_fields(&self, urgency: Urgency) -> Result<(), CaptureError> {
        let Some(fields) = self.fields.clone() else { return Ok(()) };
        let Some(projects) = fields.due(self.access.visible()) else {
            fields.failed.lock().unwrap_or_else(PoisonError::into_inner).clear();
            return Ok(());
        };
        // What rows bring while the source is asked may be newer than its answer: that is for the next time.
        let carried = fields.unknown();
        let found: Vec<_> = futures::stream::iter(projects)
            .map(|project| self.fields_of(project, urgency).boxed())
            .buffered(PROJECTS_AT_ONCE)
            .collect()
            .await;
        let (mut read, mut learned, mut failed) = (Vec::new(), Vec::new(), BTreeMap::new());
        let mut first = None;
        for (project, fields) in found {
            match fields {
                Ok(fields) => {
                    read.push(project);
                    learned.extend(fields);
                }
                Err(error) => {
                    failed.insert(project, error.problem().clone());
                    first.get_or_insert(error);
                }
            }
        }
        match first {
            // One that cannot be read keeps no other from being known.
            Some(CaptureError::Source(error)) if !read.is_empty() => self.say_failed(error.problem),
            Some(error) => return Err(error),
            None => {}
        }
        // Whether a project has a field is known when all of them have been asked.
        let carried = if failed.is_empty() { carried } else { BTreeMap::new() };
        *fields.failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
        fields.learn(learned, carried, read);
        let read = fields.read.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.remember(READ, &json!(read)).await?;
        // Until what is told is what is known: poll and census may both be here, and what could not be remembered
        // the last time is still to be told.
        loop {
            let known = fields.known.read().unwrap_or_else(PoisonError::into_inner).clone();
            if self.progress.borrow().custom.as_deref() == Some(&known) {
                return Ok(());
            }
            self.remember(DOCUMENT, &json!(known)).await?;
            self.publish_fields(known);
        }
    }

    async fn fields_of(
        &self,
        project: Project,
        urgency: Urgency,
    ) -> (ProjectId, Result<Vec<(TableId, CustomField)>, CaptureError>) {
        let mut found = Vec::new();
        for table in self.settings.tables.iter().filter(|table| table.custom.is_some()) {
            match self.source.custom_fields(&project, table, urgency).await {
                Ok(fields) => found.extend(fields.into_iter().map(|field| (table.id, field))),
                Err(error) => return (project.id, Err(error.into())),
            }
        }
        (project.id, Ok(found))
    }

    fn publish_fields(&self, known: CustomFields) {
        let known = Some(Arc::new(known));
        self.progress.send_if_modified(|progress| {
            let changed = progress.custom != known;
            progress.custom = known;
            changed
        });
    }
}
