//! What a delivery means: from an event to the rows to look at, and to its own row in the table Events. Pure.

use std::collections::HashMap;

use coding_api::hook::{self, Event, Group, IssueMark, Legacy, Reading, Sender};
use engine::inbox::{Delivery, Summary};
use engine::row::{ProjectId, Row, RowId, RowKey, integer};
use engine::schema::TableId;
use engine::source::{Heard, Hint, Meaning, ProjectMark};
use serde_json::{Map, Value};

use super::super::relation;
use super::super::tables::{ISSUES, ITERATIONS, PROJECT_MEMBERS};

/// Issue events that move more than the issue: what the parent lists and what the iteration counts.
pub(super) const MOVING: [&str; 6] = [
    "ISSUE_CREATED",
    "ISSUE_DELETED",
    "ISSUE_STATUS_UPDATED",
    "ISSUE_ITERATION_CHANGED",
    "ISSUE_RELATIONSHIP_CHANGED",
    "ISSUE_HOUR_RECORD_UPDATED",
];
/// What is shown of a text that somebody else wrote.
const SHOWN_CHARS: usize = 120;

/// What a delivery means.
pub(in crate::coding) fn hear(delivery: &Delivery) -> Heard {
    match hook::read(&delivery.headers, &delivery.body) {
        Reading::Ping { .. } => Heard {
            summary: Summary { event: "PING".to_owned(), ..Summary::default() },
            project: ProjectMark::default(),
            meaning: Meaning::Ping,
            row: None,
        },
        Reading::Event(event) => of_event(delivery, *event),
        Reading::Legacy(legacy) => of_legacy(delivery, *legacy),
        Reading::Unusable { why } => Heard {
            summary: Summary { event: named_by_header(delivery), ..Summary::default() },
            project: ProjectMark::default(),
            meaning: Meaning::Nothing { reason: why.to_owned() },
            row: None,
        },
    }
}

/// What of an issue is summed up in its iteration.
const SUMMED_UP: [&str; 3] = ["IssueStatusId", "StoryPoint", "WorkingHours"];

/// Rows that CODING works out anew when an issue comes, goes or moves, and those that sum up what changed of it: no
/// event tells of them.
pub(in crate::coding) fn touched(key: RowKey, before: Option<&Row>, after: Option<&Row>) -> Vec<RowKey> {
    let near = |row: Option<&Row>| row.map(|row| neighbours(key, row)).unwrap_or_default();
    let (old, new) = (near(before), near(after));
    let field = |row: Option<&Row>, name: &str| row.and_then(|row| row.fields().get(name).cloned());
    let summed = SUMMED_UP.iter().any(|name| field(before, name) != field(after, name));
    let is_touched = |near: &&RowKey| {
        let stays = old.contains(near) && new.contains(near);
        !stays || (summed && near.table == ITERATIONS)
    };
    let mut touched: Vec<RowKey> = old.iter().chain(&new).filter(is_touched).copied().collect();
    touched.sort_unstable();
    touched.dedup();
    touched
}

/// What lists an issue or counts it: its parent and its iteration.
fn neighbours(key: RowKey, row: &Row) -> Vec<RowKey> {
    if key.table != ISSUES {
        return Vec::new();
    }
    let near = |table: TableId, code: Option<i64>| {
        code.map(|code| RowKey { table, project: key.project, id: RowId(code) })
    };
    let parent = near(ISSUES, relation::parent_code(row)).filter(|parent| parent.id != key.id);
    parent.into_iter().chain(near(ITERATIONS, relation::code_of(row, "Iteration"))).collect()
}

fn of_event(delivery: &Delivery, event: Event) -> Heard {
    let project = project_mark(event.project.as_ref());
    let summary = summary(&event.code, event.entity.as_deref(), &project, event.sender.as_ref());
    let meaning = meaning(&event);
    let (entity_type, entity_id) = entity(&event);
    // What is gone carries the time of its last update, which may be years ago.
    let happened_ms = event.happened_ms.filter(|_| !event.code.ends_with("_DELETED"));
    let row = Entry {
        event: event.code,
        name: event.name,
        entity: event.entity,
        entity_type,
        entity_id,
        sender: event.sender,
        happened_ms,
        body: event.body,
    };
    Heard { summary, project, meaning, row: Some(row.into_row(delivery)) }
}

fn of_legacy(delivery: &Delivery, legacy: Legacy) -> Heard {
    let project = project_mark(legacy.project.as_ref());
    let event = legacy.event.unwrap_or_default();
    let summary = summary(&event, legacy.entity.as_deref(), &project, legacy.sender.as_ref());
    let known = project.id.is_some() || project.name.is_some();
    let meaning = match legacy.issue.filter(|_| known) {
        Some(code) => Meaning::Hints(vec![Hint {
            table: ISSUES,
            id: RowId(code),
            updated_ms: 0,
            gone: legacy.action.as_deref() == Some("deleted"),
            beside: false,
        }]),
        None => Meaning::Nothing {
            reason: "it comes from CODING's older WebHook and names no issue; use a Service Hook".to_owned(),
        },
    };
    let row = Entry {
        event,
        name: None,
        entity: legacy.entity,
        entity_type: legacy.issue.map(|_| "issue"),
        entity_id: legacy.issue,
        sender: legacy.sender,
        happened_ms: None,
        body: legacy.body,
    };
    Heard { summary, project, meaning, row: Some(row.into_row(delivery)) }
}

/// The rows that an event is about.
fn meaning(event: &Event) -> Meaning {
    let mut hints = Hints::default();
    match event.group() {
        Group::Issue => {
            // A comment's issue stands in the comment; a list of issues is not known of these, but would be read.
            for issue in event.issue.iter().chain(&event.issues) {
                hints.add(Hint { gone: event.code == "ISSUE_DELETED", ..of_issue(issue) });
                if MOVING.contains(&event.code.as_str()) {
                    hints.add_beside(ISSUES, (issue.parent_code > 0).then_some(issue.parent_code));
                    hints.add_beside(ITERATIONS, issue.iteration_code);
                }
            }
        }
        Group::Iteration => {
            if let Some(iteration) = &event.iteration {
                hints.add(Hint {
                    updated_ms: iteration.updated_ms.unwrap_or(0),
                    gone: event.code == "ITERATION_DELETED",
                    ..hint(ITERATIONS, iteration.code)
                });
            }
            for issue in event.issue.iter().chain(&event.issues) {
                hints.add(of_issue(issue));
                hints.add_beside(ITERATIONS, issue.iteration_code);
            }
        }
        Group::Member => {
            if let Some(member) = event.member {
                hints.add(Hint { gone: event.code == "MEMBER_DELETED", ..hint(PROJECT_MEMBERS, member) });
            }
        }
        other => return Meaning::Nothing { reason: unused(other).to_owned() },
    }
    match hints.found {
        hints if hints.is_empty() => {
            Meaning::Nothing { reason: "it does not say which row it is about".to_owned() }
        }
        hints => Meaning::Hints(hints),
    }
}

/// Why an event of this kind causes no look at a row.
fn unused(group: Group) -> &'static str {
    match group {
        Group::Code => "no table is made of pushes yet",
        Group::MergeRequest => "no table is made of merge requests yet",
        Group::Build => "no table is made of builds yet",
        Group::Artifact => "no table is made of artifacts yet",
        Group::Wiki => "no table is made of wiki pages yet",
        Group::File => "no table is made of files yet",
        _ => "no table is made of what this event is about yet",
    }
}

/// Rows that one delivery may name: an iteration that many issues were planned into. The rest is left to the next poll.
const HINTS_MOST: usize = 1_000;

/// Hints, each row once: what is meant before what is merely touched.
#[derive(Default)]
struct Hints {
    found: Vec<Hint>,
    /// Where each row's hint stands.
    places: HashMap<(TableId, RowId), usize>,
}

impl Hints {
    fn add(&mut self, hint: Hint) {
        let (row, end) = ((hint.table, hint.id), self.found.len());
        let place = self.places.get(&row).copied();
        match place.and_then(|place| self.found.get_mut(place)) {
            Some(known) if known.beside && !hint.beside => *known = hint,
            Some(_) => {}
            None if end >= HINTS_MOST => {}
            None => {
                self.places.insert(row, end);
                self.found.push(hint);
            }
        }
    }

    fn add_beside(&mut self, table: TableId, code: Option<i64>) {
        if let Some(code) = code {
            self.add(Hint { beside: true, ..hint(table, code) });
        }
    }
}

fn hint(table: TableId, id: i64) -> Hint {
    Hint { table, id: RowId(id), updated_ms: 0, gone: false, beside: false }
}

fn of_issue(issue: &IssueMark) -> Hint {
    Hint { updated_ms: issue.updated_ms.unwrap_or(0), ..hint(ISSUES, issue.code) }
}

/// What kind of thing an event is about, and the number by which people or the API know it.
fn entity(event: &Event) -> (Option<&'static str>, Option<i64>) {
    let at = |path: &[&str]| {
        let (first, rest) = path.split_first()?;
        rest.iter().try_fold(event.body.get(*first)?, |value, key| value.get(*key)).and_then(integer)
    };
    let issue = event.issue.as_ref().map(|issue| issue.code);
    let iteration = event.iteration.as_ref().map(|iteration| iteration.code);
    match event.group() {
        Group::Iteration if iteration.is_none() && issue.is_some() => (Some("issue"), issue),
        Group::Issue => (Some("issue"), issue),
        Group::Iteration => (Some("iteration"), iteration),
        Group::Member => (Some("member"), event.member),
        Group::Code => (Some("push"), None),
        Group::MergeRequest => (Some("merge_request"), at(&["mergeRequest", "number"])),
        Group::Build => match at(&["ci", "build", "number"]) {
            Some(number) => (Some("build"), Some(number)),
            None => (Some("build_plan"), at(&["ci", "id"])),
        },
        Group::Artifact => match at(&["artifact", "artifactVersionId"]) {
            Some(version) => (Some("artifact"), Some(version)),
            None => (Some("artifact_repository"), at(&["artifact", "artifactRepoId"])),
        },
        Group::Wiki => (Some("wiki_page"), None),
        Group::File => (Some("file"), at(&["content", "file", "id"])),
        _ => (None, None),
    }
}

/// What a delivery's row in the table Events is made of.
struct Entry {
    event: String,
    name: Option<String>,
    entity: Option<String>,
    entity_type: Option<&'static str>,
    entity_id: Option<i64>,
    sender: Option<Sender>,
    happened_ms: Option<i64>,
    body: Map<String, Value>,
}

impl Entry {
    fn into_row(mut self, delivery: &Delivery) -> Row {
        // How the hook is set up is the same in every delivery, and nobody else's business.
        self.body.remove("hook");
        let sender = self.sender.unwrap_or_default();
        let fields = [
            ("Id", delivery.entry.number.0.into()),
            ("DeliveryId", delivery.entry.delivery_id.clone().into()),
            ("Event", self.event.into()),
            ("EventName", self.name.into()),
            ("Entity", self.entity.into()),
            ("EntityType", self.entity_type.into()),
            ("EntityId", self.entity_id.into()),
            ("SenderId", sender.id.into()),
            ("Sender", sender.login.or(sender.name).into()),
            ("EventAt", self.happened_ms.into()),
            ("ReceivedAt", delivery.entry.received.as_millisecond().into()),
            ("Payload", Value::Object(self.body)),
        ];
        fields.into_iter().map(|(name, value): (&str, Value)| (name.to_owned(), value)).collect()
    }
}

fn project_mark(mark: Option<&hook::ProjectMark>) -> ProjectMark {
    ProjectMark {
        id: mark.and_then(|mark| mark.id).map(ProjectId),
        name: mark.and_then(|mark| mark.name.clone()),
    }
}

fn summary(event: &str, entity: Option<&str>, project: &ProjectMark, sender: Option<&Sender>) -> Summary {
    let sender = sender.and_then(|sender| sender.name.as_deref().or(sender.login.as_deref()));
    Summary {
        event: shown(event),
        entity: entity.map(shown),
        project: project.name.as_deref().map(shown),
        sender: sender.map(shown),
    }
}

/// The event that a body without one was sent for.
fn named_by_header(delivery: &Delivery) -> String {
    let header = |name: &str| {
        let found = delivery.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| shown(value))
    };
    header("x-coding-service-hook-event").or_else(|| header("x-coding-event")).unwrap_or_default()
}

/// A text of a body made fit for one line.
fn shown(text: &str) -> String {
    text.trim().chars().take(SHOWN_CHARS).map(|char| if char.is_control() { ' ' } else { char }).collect()
}
