//! Changing the world, and the rules that every change keeps.
//!
//! The write actions, the admin API and the mutator all come through here. Deleting an issue orphans
//! its children and empties the epic of its issues, deleting an iteration takes its issues out of it;
//! none of this touches `UpdatedAt` of the other rows, and none of these sends a hook: who deletes an issue
//! is told of that issue alone.

use crate::calendar::{UNSET_DAY, floor_second, now_ms, parse_day};
use crate::failure::Failure;
use crate::hooks::body::WorkLogBody;
use crate::operation::{Applied, IssueFields, Operation};
use crate::texts::Text;
use crate::world::World;
use crate::world::catalog::{Kind, PROJECT_ROLES, Phase, STATUSES, issue_type, status, system_type};
use crate::world::field::{Component, Field};
use crate::world::issue::{Custom, Issue, Link, Value};
use crate::world::iteration::{Iteration, Tally};
use crate::world::project::Project;

/// A finished change of a table.
pub(crate) fn applied(kind: &str, table: &str, project: &str, key: u32) -> Applied {
    Applied { kind: kind.to_owned(), table: table.to_owned(), project: project.to_owned(), key }
}

impl World {
    /// The server's present, in milliseconds.
    pub(crate) fn now(&self) -> i64 {
        now_ms().saturating_add(self.clock_skew_ms)
    }

    /// The project, or that it is not there.
    pub(crate) fn need(&self, project: &str) -> Result<&Project, Failure> {
        self.project(project).ok_or_else(Failure::not_found)
    }

    fn need_mut(&mut self, project: &str) -> Result<&mut Project, Failure> {
        self.project_mut(project).ok_or_else(Failure::not_found)
    }

    /// Stores a version of an issue, remembers the one before, and tells the hooks.
    pub(crate) fn write(&mut self, project: &str, issue: Issue) -> Result<(), Failure> {
        let code = issue.code;
        let place = self.need_mut(project)?;
        let (id, before) = (place.id, place.put(issue));
        self.raise_changed(id, before.as_ref(), code);
        self.remember(id, code, before);
        Ok(())
    }

    /// Stores a version of an issue that no hook hears of.
    fn write_quietly(&mut self, project: &str, issue: Issue) -> Result<u32, Failure> {
        let code = issue.code;
        let place = self.need_mut(project)?;
        let (id, before) = (place.id, place.put(issue));
        self.remember(id, code, before);
        Ok(id)
    }

    /// Creates an issue and answers its code and the real millisecond of its creation.
    pub(crate) fn create_issue(
        &mut self,
        project: &str,
        fields: &IssueFields,
    ) -> Result<(u32, i64), Failure> {
        let now = self.now();
        let kind_text = fields.kind.as_deref().unwrap_or("MISSION");
        let kind =
            Kind::parse(kind_text).ok_or_else(|| Failure::invalid(format!("`{kind_text}` is no type")))?;
        let code = self.need(project)?.next_code();
        self.last_issue_id += 1;
        let mut issue = Issue {
            id: self.last_issue_id,
            code,
            kind,
            type_id: system_type(kind).id,
            status: STATUSES[0].id,
            priority: 4,
            name: Text::Derived(u64::from(self.last_issue_id)),
            description: Text::from(String::new()),
            iteration: 0,
            assignee: 0,
            assignees: Box::default(),
            creator: self.owner,
            start_date: 0,
            due_date: 0,
            working_hours: 0.0,
            story_point: Box::default(),
            created_at: floor_second(now),
            updated_at: floor_second(now),
            completed_at: 0,
            parent: 0,
            epic: 0,
            module: 0,
            requirement_type: 0,
            defect_type: 0,
            labels: Box::default(),
            watchers: Box::default(),
            files: Box::default(),
            links: Box::default(),
            custom: Box::default(),
        };
        if kind == Kind::SubTask && fields.parent.unwrap_or(0) == 0 {
            return Err(Failure::missing("ParentCode"));
        }
        self.fill_in(project, &mut issue, fields)?;
        let id = self.write_quietly(project, issue)?;
        self.raise_created(id, code, now);
        Ok((code, now))
    }

    /// Sets fields of an issue.
    pub(crate) fn set_issue(
        &mut self,
        project: &str,
        code: u32,
        fields: &IssueFields,
        touch: bool,
    ) -> Result<(), Failure> {
        let mut issue = self.need(project)?.issue(code).ok_or_else(Failure::not_found)?.clone();
        self.fill_in(project, &mut issue, fields)?;
        if touch {
            issue.updated_at = floor_second(self.now());
        }
        self.write(project, issue)
    }

    /// Deletes an issue; children lose their parent, issues of an epic their epic.
    pub(crate) fn delete_issue(&mut self, project: &str, code: u32) -> Result<(), Failure> {
        let place = self.need_mut(project)?;
        let id = place.id;
        let gone = place.take(code).ok_or_else(Failure::not_found)?;
        let mut orphans: Vec<u32> = place.children(code).collect();
        orphans.extend(place.of_epic(code));
        self.raise_deleted(id, &gone);
        self.remember(id, code, Some(gone));
        for orphan in orphans {
            let Some(mut issue) = self.need(project)?.issue(orphan).cloned() else { continue };
            if issue.parent == code {
                issue.parent = 0;
            }
            if issue.epic == code {
                issue.epic = 0;
            }
            self.write_quietly(project, issue)?;
        }
        Ok(())
    }

    fn fill_in(&self, project: &str, issue: &mut Issue, fields: &IssueFields) -> Result<(), Failure> {
        let place = self.need(project)?;
        let copy = |from: &Option<u32>, to: &mut u32| {
            if let Some(value) = from {
                *to = *value;
            }
        };
        if let Some(id) = fields.type_id {
            let known = issue_type(id).filter(|entry| entry.kind == issue.kind);
            issue.type_id = known.ok_or_else(|| Failure::invalid("issue_type_not_match"))?.id;
        }
        if let Some(name) = &fields.name {
            issue.name = Text::from(name.clone());
        }
        if let Some(description) = &fields.description {
            issue.description = Text::from(description.clone());
        }
        if let Some(id) = fields.status {
            let known = STATUSES.iter().find(|entry| entry.id == id);
            issue.status = known.ok_or_else(|| Failure::invalid("issue_status_not_exist"))?.id;
            let done = status(id).phase == Phase::Completed;
            issue.completed_at = if done { floor_second(self.now()) } else { 0 };
        }
        if let Some(priority) = &fields.priority {
            issue.priority = priority.parse::<u8>().ok().filter(|number| *number <= 3).unwrap_or(4);
        }
        if let Some(user) = fields.assignee {
            if user != 0 && !self.users.contains_key(&user) {
                return Err(Failure::invalid("assignee_not_exist"));
            }
            issue.assignee = user;
            issue.assignees = (user != 0).then_some(user).into_iter().collect();
        }
        if let Some(code) = fields.iteration {
            if code != 0 && !place.iterations.contains_key(&code) {
                return Err(Failure::not_found());
            }
            issue.iteration = code;
        }
        if let Some(code) = fields.parent {
            may_be_parent(place, issue.code, code)?;
            issue.parent = code;
        }
        if let Some(code) = fields.epic {
            if code != 0 && place.issue(code).is_none_or(|epic| epic.kind != Kind::Epic) {
                return Err(Failure::invalid("epic_not_exist"));
            }
            issue.epic = code;
        }
        if let Some(day) = &fields.start_date {
            issue.start_date = day_field(day, 0)?;
        }
        if let Some(day) = &fields.due_date {
            issue.due_date = day_field(day, crate::calendar::DAY_MS - 1_000)?;
        }
        if let Some(hours) = fields.working_hours {
            issue.working_hours = hours;
        }
        if let Some(points) = &fields.story_point {
            issue.story_point = points.as_str().into();
        }
        copy(&fields.module, &mut issue.module);
        copy(&fields.requirement_type, &mut issue.requirement_type);
        copy(&fields.defect_type, &mut issue.defect_type);
        if let Some(labels) = &fields.labels {
            issue.labels = labels.as_slice().into();
        }
        if let Some(watchers) = &fields.watchers {
            issue.watchers = watchers.as_slice().into();
        }
        for content in &fields.custom {
            let field = self.field(content.id).ok_or_else(|| Failure::invalid("custom_field_not_exist"))?;
            put_custom(issue, field.id, custom_value(field.component, &content.content));
        }
        if !fields.third_links.is_empty() {
            let mut links = std::mem::take(&mut issue.links).into_vec();
            for link in &fields.third_links {
                let id =
                    1 + links.iter().map(|known| known.id).max().unwrap_or(issue.code.saturating_mul(100));
                links.push(Link {
                    id,
                    link: link.link.as_str().into(),
                    third_type: link.third_type.as_str().into(),
                    title: link.title.as_str().into(),
                });
            }
            issue.links = links.into();
        }
        Ok(())
    }

    /// Creates an iteration and answers its code and the real millisecond of its creation.
    pub(crate) fn create_iteration(
        &mut self,
        project: &str,
        name: &str,
        goal: &str,
        edit: impl FnOnce(&mut Iteration),
    ) -> Result<(u32, i64), Failure> {
        let now = self.now();
        let (id, owner) = (self.last_iteration_id + 1, self.owner);
        let place = self.need_mut(project)?;
        free_title(place, 0, name)?;
        place.last_iteration += 1;
        let code = place.last_iteration;
        let mut iteration = Iteration {
            id,
            code,
            name: name.to_owned(),
            goal: goal.to_owned(),
            phase: Phase::Todo,
            start_at: UNSET_DAY,
            end_at: UNSET_DAY,
            assignee: 0,
            creator: owner,
            starter: 0,
            completer: 0,
            created_at: floor_second(now),
            updated_at: floor_second(now),
            tally: Tally::default(),
        };
        edit(&mut iteration);
        place.iterations.insert(code, iteration);
        self.last_iteration_id = id;
        self.raise_about_iteration(project, "ITERATION_CREATED", code, Some(now));
        Ok((code, now))
    }

    /// Edits an iteration and stamps it.
    pub(crate) fn edit_iteration(
        &mut self,
        project: &str,
        code: u32,
        edit: impl FnOnce(&mut Iteration),
    ) -> Result<(), Failure> {
        let now = floor_second(self.now());
        let place = self.need_mut(project)?;
        let iteration = place.iterations.get_mut(&code).ok_or_else(Failure::not_found)?;
        edit(iteration);
        iteration.updated_at = now;
        self.raise_about_iteration(project, "ITERATION_UPDATED", code, None);
        Ok(())
    }

    /// Gives an iteration another name, which must be free, and edits it otherwise.
    pub(crate) fn rename_iteration(
        &mut self,
        project: &str,
        code: u32,
        name: &str,
        edit: impl FnOnce(&mut Iteration),
    ) -> Result<(), Failure> {
        free_title(self.need(project)?, code, name)?;
        self.edit_iteration(project, code, |iteration| {
            name.clone_into(&mut iteration.name);
            edit(iteration);
        })
    }

    /// Deletes an iteration; its issues are in none afterwards.
    pub(crate) fn delete_iteration(&mut self, project: &str, code: u32) -> Result<(), Failure> {
        let place = self.need_mut(project)?;
        if !place.iterations.contains_key(&code) {
            return Err(Failure::not_found());
        }
        let issues: Vec<u32> = place.of_iteration(code).collect();
        self.raise_about_iteration(project, "ITERATION_DELETED", code, None);
        for issue in issues {
            let Some(mut issue) = self.need(project)?.issue(issue).cloned() else { continue };
            issue.iteration = 0;
            self.write_quietly(project, issue)?;
        }
        self.need_mut(project)?.iterations.remove(&code);
        Ok(())
    }

    /// Sets the roles of a member; `join` says whether the user is one already.
    pub(crate) fn set_roles(
        &mut self,
        project: &str,
        user: u32,
        roles: &[String],
        join: bool,
    ) -> Result<(), Failure> {
        if !self.users.contains_key(&user) {
            return Err(Failure::not_found());
        }
        let mut ids = Vec::new();
        for name in roles {
            let role = PROJECT_ROLES.iter().find(|role| role.role_type == name);
            ids.push(
                role.ok_or_else(|| Failure::invalid(format!("`{name}` is no role of a project")))?.role_id,
            );
        }
        if ids.is_empty() && join {
            ids.push(PROJECT_ROLES[1].role_id);
        }
        let place = self.need_mut(project)?;
        if place.members.contains_key(&user) == join {
            return Err(Failure::invalid(if join { "is a member already" } else { "is not a member" }));
        }
        place.members.insert(user, ids);
        let event = if join { "MEMBER_CREATED" } else { "MEMBER_ROLE_UPDATED" };
        self.raise_about_member(project, event, user);
        Ok(())
    }

    /// Adds a custom field, which no issue has a value of, and answers its id.
    pub(crate) fn add_field(
        &mut self,
        name: &str,
        component: &str,
        options: &[String],
    ) -> Result<u32, Failure> {
        let component = Component::parse(component)
            .ok_or_else(|| Failure::invalid(format!("`{component}` is no component")))?;
        let now = floor_second(self.now());
        self.last_field_id += 1;
        self.fields.push(Field {
            id: self.last_field_id,
            name: name.to_owned(),
            component,
            options: options.to_vec(),
            unit: String::new(),
            created_at: now,
            updated_at: now,
        });
        Ok(self.last_field_id)
    }

    /// Gives a custom field another name; issues show it and are not stamped.
    pub(crate) fn rename_field(&mut self, field: u32, name: &str) -> Result<(), Failure> {
        let now = floor_second(self.now());
        let field = self.field_mut(field).ok_or_else(Failure::not_found)?;
        name.clone_into(&mut field.name);
        field.updated_at = now;
        Ok(())
    }

    /// Removes a custom field; issues no longer show it and are not stamped.
    pub(crate) fn remove_field(&mut self, field: u32) -> Result<(), Failure> {
        self.field(field).ok_or_else(Failure::not_found)?;
        self.fields.retain(|known| known.id != field);
        Ok(())
    }

    /// Applies one operation, except those about access, which belong to the faults.
    pub(crate) fn apply(&mut self, operation: &Operation) -> Result<Applied, Failure> {
        match operation {
            Operation::CreateIssue { project, fields } => {
                let (code, _) = self.create_issue(project, fields)?;
                Ok(applied("create_issue", "Issues", project, code))
            }
            Operation::SetIssue { project, code, fields, touch } => {
                self.set_issue(project, *code, fields, *touch)?;
                Ok(applied("set_issue", "Issues", project, *code))
            }
            Operation::DeleteIssue { project, code } => {
                self.delete_issue(project, *code)?;
                Ok(applied("delete_issue", "Issues", project, *code))
            }
            Operation::CreateIteration { project, name, goal } => {
                let (code, _) = self.create_iteration(project, name, goal, |_| {})?;
                Ok(applied("create_iteration", "Iterations", project, code))
            }
            Operation::RenameIteration { project, code, name } => {
                self.rename_iteration(project, *code, name, |_| {})?;
                Ok(applied("rename_iteration", "Iterations", project, *code))
            }
            Operation::DeleteIteration { project, code } => {
                self.delete_iteration(project, *code)?;
                Ok(applied("delete_iteration", "Iterations", project, *code))
            }
            Operation::AddMember { project, user, roles } => {
                self.set_roles(project, *user, roles, true)?;
                Ok(applied("add_member", "ProjectMembers", project, *user))
            }
            Operation::SetRoles { project, user, roles } => {
                self.set_roles(project, *user, roles, false)?;
                Ok(applied("set_roles", "ProjectMembers", project, *user))
            }
            Operation::DeleteMember { project, user } => {
                self.need_mut(project)?.members.remove(user).ok_or_else(Failure::not_found)?;
                self.raise_about_member(project, "MEMBER_DELETED", *user);
                Ok(applied("delete_member", "ProjectMembers", project, *user))
            }
            Operation::RenameUser { user, name } => {
                let known = self.users.get_mut(user).ok_or_else(Failure::not_found)?;
                name.clone_into(&mut known.name);
                Ok(applied("rename_user", "Users", "", *user))
            }
            Operation::RenameProject { project, name } => {
                if self.project(name).is_some() {
                    return Err(Failure::invalid("the identifier is taken"));
                }
                let place = self.need_mut(project)?;
                name.clone_into(&mut place.name);
                Ok(applied("rename_project", "Projects", name, place.id))
            }
            Operation::AddField { name, component, options } => {
                let field = self.add_field(name, component, options)?;
                Ok(applied("add_field", "Fields", "", field))
            }
            Operation::RenameField { field, name } => {
                self.rename_field(*field, name)?;
                Ok(applied("rename_field", "Fields", "", *field))
            }
            Operation::RemoveField { field } => {
                self.remove_field(*field)?;
                Ok(applied("remove_field", "Fields", "", *field))
            }
            Operation::CommentIssue { project, code, content } => {
                self.raise_comment(project, *code, content)?;
                Ok(applied("comment_issue", "Issues", project, *code))
            }
            Operation::LogWork { project, code, hours, remaining } => {
                let work_log = WorkLogBody { record_hours: *hours, remaining_hours: *remaining };
                self.raise_work_log(project, *code, work_log)?;
                Ok(applied("log_work", "Issues", project, *code))
            }
            Operation::SendEvent { project, event, body } => {
                self.raise_by_order(project, event, body)?;
                Ok(applied("send_event", "Events", project, 0))
            }
            Operation::LoseAccess { project, .. } | Operation::RestoreAccess { project } => {
                Ok(applied("access", "Projects", project, self.need(project)?.id))
            }
        }
    }
}

/// Two levels, no epic as parent, nobody their own.
fn may_be_parent(project: &Project, child: u32, parent: u32) -> Result<(), Failure> {
    if parent == 0 {
        return Ok(());
    }
    let known = project.issue(parent).ok_or_else(Failure::not_found)?;
    let legal = parent != child
        && known.parent == 0
        && !matches!(known.kind, Kind::Epic | Kind::SubTask)
        && project.children(child).next().is_none();
    if legal { Ok(()) } else { Err(Failure::invalid("parent_not_allowed")) }
}

fn free_title(project: &Project, except: u32, name: &str) -> Result<(), Failure> {
    let taken = project.iterations.values().any(|other| other.code != except && other.name == name);
    if taken { Err(Failure::invalid("Title Duplicated")) } else { Ok(()) }
}

fn day_field(day: &str, offset: i64) -> Result<i64, Failure> {
    if day.is_empty() {
        return Ok(0);
    }
    let start = parse_day(day).ok_or_else(|| Failure::invalid(format!("`{day}` is no day")))?;
    Ok(start.saturating_add(offset))
}

/// The value that a caller's text means for a component.
fn custom_value(component: Component, content: &str) -> Value {
    let parts = || content.split(',').map(str::trim).filter(|part| !part.is_empty());
    let ids = || parts().filter_map(|part| part.parse::<u32>().ok());
    match component {
        _ if content.is_empty() => Value::Plain(Box::default()),
        Component::MemberSingle => Value::Member(ids().next().unwrap_or(0)),
        Component::MemberMulti => Value::Members(ids().collect()),
        Component::SelectMulti => Value::Choices(parts().map(Box::from).collect()),
        _ => Value::Plain(content.into()),
    }
}

/// Sets the value of a custom field, in the order of the fields.
pub(crate) fn put_custom(issue: &mut Issue, field: u32, value: Value) {
    let mut values = std::mem::take(&mut issue.custom).into_vec();
    values.retain(|known| known.field != field);
    values.push(Custom { field, value });
    values.sort_by_key(|known| known.field);
    issue.custom = values.into();
}
