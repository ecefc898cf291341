//! Custom fields: which there are, and that rows carry a new one.
//!
//! They are read before the first rows, when a row carries an unknown one, and with every census. Only flat mode
//! needs them.

use std::collections::{BTreeMap, HashSet};
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
/// Of the mirror so much is looked at at once.
const PAGE: Limit = Limit { rows: 2_000, bytes: 4 << 20 };

/// What is known of custom fields; shared with the recorder, which sees every row.
#[derive(Debug, Default)]
pub struct Fields {
    known: RwLock<CustomFields>,
    /// Carried by rows and not known: their names.
    unknown: Mutex<BTreeMap<(TableId, i64), String>>,
    /// Projects whose fields have been read by this process.
    read: Mutex<HashSet<ProjectId>>,
    /// Why those of others could not be read.
    failed: Mutex<BTreeMap<ProjectId, Problem>>,
}

impl Fields {
    /// Notes the custom fields of a row that are not known.
    pub(super) fn look_at(&self, table: &Table, row: &Row) {
        let Some(values) = table.custom else { return };
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let list = row.look(values.list);
        for item in list.as_deref().and_then(Value::as_array).into_iter().flatten() {
            let Some(id) = item.get(values.id).and_then(integer) else { continue };
            if !known.knows(table.id, id) {
                let name = item.get(values.name).and_then(Value::as_str).unwrap_or_default();
                let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
                unknown.insert((table.id, id), name.to_owned());
            }
        }
    }

    fn is_due(&self, projects: impl IntoIterator<Item = ProjectId>) -> bool {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let unread = projects.into_iter().any(|project| !read.contains(&project));
        unread || !self.unknown.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Why fields of projects could not be read, while those of others were.
    pub(super) fn unread(&self) -> Vec<Problem> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// What rows carry and nobody knows.
    fn unknown(&self) -> BTreeMap<(TableId, i64), String> {
        self.unknown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes in what was read; of the fields that rows carried before (`carried`), those that no project has any
    /// more are texts.
    fn learn(
        &self,
        found: impl IntoIterator<Item = (TableId, CustomField)>,
        carried: BTreeMap<(TableId, i64), String>,
        projects: impl IntoIterator<Item = ProjectId>,
    ) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for (table, field) in found {
            known.learn(table, field);
        }
        for ((table, id), name) in carried {
            if !known.knows(table, id) {
                known.learn(table, CustomField { id, name, holds: Holds::Text });
            }
        }
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        unknown.retain(|(table, id), _| !known.knows(*table, *id));
        self.read.lock().unwrap_or_else(PoisonError::into_inner).extend(projects);
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
                    fields.look_at(table, row);
                }
            }
        }
    }

    /// Reads the custom fields of the visible projects, unless they are all known.
    pub(super) async fn read_fields_if_due(&self) -> Result<(), CaptureError> {
        let projects = self.access.visible().into_iter().map(|project| project.id);
        match &self.fields {
            Some(fields) if fields.is_due(projects) => self.read_fields(Urgency::Load).await,
            _ => Ok(()),
        }
    }

    /// Reads the custom fields of the visible projects.
    pub(super) async fn read_fields(&self, urgency: Urgency) -> Result<(), CaptureError> {
        let Some(fields) = self.fields.clone() else { return Ok(()) };
        // What rows bring while the source is asked may be newer than its answer: that is for the next time.
        let carried = fields.unknown();
        let projects = self.access.visible();
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
