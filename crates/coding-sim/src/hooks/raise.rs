//! Raising events: what a change means in events, told only where a hook wants to hear it.

use bytes::Bytes;
use serde_json::Value;

use crate::failure::Failure;
use crate::hooks::body::{
    self, CommentEntity, IssueEntity, IterationEntity, NoEntity, PingEntity, WorkLogBody,
};
use crate::hooks::book::Hook;
use crate::hooks::code;
use crate::hooks::counters::RowKey;
use crate::hooks::post::Parcel;
use crate::world::World;
use crate::world::issue::Issue;
use crate::world::iteration::Iteration;
use crate::world::project::Project;

impl World {
    /// An issue was created at this millisecond.
    pub(crate) fn raise_created(&self, project: u32, code: u32, at: i64) {
        let Some(place) = self.listened(project) else { return };
        let Some(issue) = place.issue(code) else { return };
        self.raise_issue(place, "ISSUE_CREATED", issue, Some(at), None);
    }

    /// An issue was changed; says in which respects. An issue as it was raises nothing.
    pub(crate) fn raise_changed(&self, project: u32, before: Option<&Issue>, code: u32) {
        let Some(place) = self.listened(project) else { return };
        let (Some(before), Some(now)) = (before, place.issue(code)) else { return };
        if before == now {
            return;
        }
        let mut told = false;
        let mut tell = |event: &str, differs: bool| {
            if differs {
                told = true;
                self.raise_issue(place, event, now, None, None);
            }
        };
        tell("ISSUE_STATUS_UPDATED", before.status != now.status);
        tell("ISSUE_ASSIGNEE_CHANGED", before.assignee != now.assignee);
        tell("ISSUE_ITERATION_CHANGED", before.iteration != now.iteration);
        tell("ISSUE_RELATIONSHIP_CHANGED", before.parent != now.parent);
        if !told || self.hooks.post.faults().double_events || differs_otherwise(before, now) {
            self.raise_issue(place, "ISSUE_UPDATED", now, None, None);
        }
        if before.iteration != now.iteration
            && let Some(iteration) = place.iterations.get(&now.iteration)
        {
            self.raise_iteration(place, "ITERATION_PLANNED", iteration, None);
        }
    }

    /// An issue is gone; this is its last state.
    pub(crate) fn raise_deleted(&self, project: u32, last: &Issue) {
        let Some(place) = self.listened(project) else { return };
        self.raise_issue(place, "ISSUE_DELETED", last, None, None);
    }

    /// Something happened to an iteration; `at` is the real millisecond of a creation.
    pub(crate) fn raise_about_iteration(&self, project: &str, event: &str, code: u32, at: Option<i64>) {
        let Some(place) = self.project(project).filter(|place| self.hooks.listens(place.id)) else { return };
        if let Some(iteration) = place.iterations.get(&code) {
            self.raise_iteration(place, event, iteration, at);
        }
    }

    /// Something happened to a member.
    pub(crate) fn raise_about_member(&self, project: &str, event: &str, user: u32) {
        let Some(place) = self.project(project).filter(|place| self.hooks.listens(place.id)) else { return };
        self.raise(place, event, Some(("ProjectMembers", user)), || {
            body::envelope(self, place, event, Some(user), &NoEntity {})
        });
    }

    /// Somebody commented on an issue, which leaves the row as it is.
    pub(crate) fn raise_comment(&self, project: &str, code: u32, text: &str) -> Result<(), Failure> {
        let place = self.need(project)?;
        let issue = place.issue(code).ok_or_else(Failure::not_found)?;
        const EVENT: &str = "ISSUE_COMMENT_CREATED";
        self.raise(place, EVENT, Some(("Issues", code)), || {
            let number = self.hooks.post.next_comment();
            let comment = body::comment(self, place, issue, number, text, self.now());
            body::envelope(self, place, EVENT, None, &CommentEntity { comment })
        });
        Ok(())
    }

    /// Somebody booked hours on an issue, which leaves the row as it is.
    pub(crate) fn raise_work_log(
        &self,
        project: &str,
        code: u32,
        work_log: WorkLogBody,
    ) -> Result<(), Failure> {
        let place = self.need(project)?;
        let issue = place.issue(code).ok_or_else(Failure::not_found)?;
        self.raise_issue(place, "ISSUE_HOUR_RECORD_UPDATED", issue, None, Some(work_log));
        Ok(())
    }

    /// An event by order: an object is laid into the envelope, a text is the whole body as it stands, and
    /// nothing is made up where the event is one of code.
    pub(crate) fn raise_by_order(&self, project: &str, event: &str, body: &Value) -> Result<(), Failure> {
        let place = self.need(project)?;
        match body {
            Value::Null => {
                let entity = code::entity(self, place, event, &mut self.hooks.post.code_dice());
                self.raise(place, event, None, || body::envelope(self, place, event, None, &entity));
            }
            Value::Object(entity) => {
                self.raise(place, event, None, || body::envelope(self, place, event, None, entity));
            }
            other => {
                let bytes = other.as_str().map_or_else(|| other.to_string(), str::to_owned).into_bytes();
                let raw = Bytes::from(bytes);
                self.send(event, None, self.hooks.wanting(place.id, event).map(|hook| (hook, raw.clone())));
            }
        }
        Ok(())
    }

    /// A push, a merge request or a build, now and then, as the faults say.
    pub(crate) fn raise_code_by_chance(&self) {
        if self.hooks.hooks.is_empty() {
            return;
        }
        let share = self.hooks.post.faults().code_events;
        let mut dice = self.hooks.post.code_dice();
        if share <= 0.0 || !dice.chance(share) {
            return;
        }
        let Some(place) = dice.pick(&self.projects) else { return };
        let event = code::some_event(&mut dice);
        let entity = code::entity(self, place, event, &mut dice);
        self.raise(place, event, None, || body::envelope(self, place, event, None, &entity));
    }

    /// Sends a ping to one hook, be it on or off.
    pub(crate) fn ping(&self, hook: &Hook) {
        let Some(place) = self.project_by_id(hook.project) else { return };
        const ZEN: &str = "Coding! 让开发更简单";
        let envelope = body::envelope(self, place, "PING", None, &PingEntity { zen: ZEN });
        let bytes = self.hooks.post.spelled(body::finished(&envelope, hook));
        self.hooks.post.send_now("PING", hook.address.clone(), bytes);
    }

    /// The project, if one of its hooks is on.
    fn listened(&self, project: u32) -> Option<&Project> {
        if self.hooks.listens(project) { self.project_by_id(project) } else { None }
    }

    fn raise_issue(
        &self,
        place: &Project,
        event: &str,
        issue: &Issue,
        at: Option<i64>,
        work_log: Option<WorkLogBody>,
    ) {
        self.raise(place, event, Some(("Issues", issue.code)), || {
            let issue = body::issue(self, place, issue, at);
            body::envelope(self, place, event, None, &IssueEntity { issue, work_log })
        });
    }

    fn raise_iteration(&self, place: &Project, event: &str, iteration: &Iteration, at: Option<i64>) {
        self.raise(place, event, Some(("Iterations", iteration.code)), || {
            let iteration = body::iteration(self, place, iteration, at);
            body::envelope(self, place, event, None, &IterationEntity { iteration })
        });
    }

    /// Writes the body if anybody wants it, and gives it to the post.
    fn raise(
        &self,
        place: &Project,
        event: &str,
        row: Option<(&'static str, u32)>,
        write: impl FnOnce() -> Vec<u8>,
    ) {
        let mut wanting = self.hooks.wanting(place.id, event).peekable();
        if wanting.peek().is_none() {
            return;
        }
        let envelope = write();
        let row = row.map(|(table, key)| RowKey { table, project: place.name.clone(), key });
        let post = &self.hooks.post;
        self.send(event, row, wanting.map(|hook| (hook, post.spelled(body::finished(&envelope, hook)))));
    }

    fn send<'a>(&self, event: &str, row: Option<RowKey>, to: impl Iterator<Item = (&'a Hook, Bytes)>) {
        let parcels: Vec<Parcel> =
            to.map(|(hook, body)| Parcel { address: hook.address.clone(), body }).collect();
        if !parcels.is_empty() {
            self.hooks.post.raise(event, row, parcels);
        }
    }
}

/// True when the issue changed in what no event of its own tells.
fn differs_otherwise(before: &Issue, now: &Issue) -> bool {
    let mut same = before.clone();
    same.status = now.status;
    same.completed_at = now.completed_at;
    same.assignee = now.assignee;
    same.assignees.clone_from(&now.assignees);
    same.iteration = now.iteration;
    same.parent = now.parent;
    same.updated_at = now.updated_at;
    same != *now
}
