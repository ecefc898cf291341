//! Fills the bodies of [`crate::wire`] from the world. Copies of other rows are looked up at this
//! moment, so that they are always current.

use std::borrow::Cow;

use serde::Serialize;

use crate::dice::Dice;
use crate::texts::Text;
use crate::wire::{
    CustomBody, DefectTypeBody, DepartmentBody, EpicBody, FileBody, IssueDetail, IssueRow, IterationBody,
    IterationBrief, LabelBody, LinkBody, MemberBody, NamedBody, ParentBody, ProjectBody, SubTaskBody,
    TypeBody, UserBody,
};
use crate::world::catalog::{
    DEFECT_TYPES, Kind, PROJECT_ROLES, REQUIREMENT_TYPES, Role, TEAM_ROLES, issue_type, status,
};
use crate::world::issue::{Issue, Value};
use crate::world::iteration::Iteration;
use crate::world::project::Project;
use crate::world::{User, World};

/// A user of the team, zeroed for id 0 and for one who is gone.
fn user(world: &World, id: u32) -> UserBody<'_> {
    world.users.get(&id).map_or_else(UserBody::default, |user| UserBody {
        id: user.id,
        status: user.status,
        avatar: &user.avatar,
        name: &user.name,
        ..UserBody::default()
    })
}

fn users<'a>(world: &'a World, ids: &[u32]) -> Vec<UserBody<'a>> {
    ids.iter().map(|id| user(world, *id)).collect()
}

/// An issue type by its id.
pub(crate) fn type_body(id: u32) -> TypeBody {
    issue_type(id).map_or_else(TypeBody::default, |entry| TypeBody {
        id: entry.id,
        name: entry.name,
        issue_type: entry.kind.as_str(),
        description: entry.description,
        is_system: entry.is_system,
    })
}

fn iteration_brief(project: &Project, code: u32, with_id: bool) -> IterationBrief<'_> {
    match project.iterations.get(&code) {
        Some(iteration) => IterationBrief {
            id: with_id.then_some(iteration.id),
            code,
            name: &iteration.name,
            status: iteration.status(),
        },
        None => IterationBrief { id: with_id.then_some(0), code: 0, name: "", status: "" },
    }
}

fn iteration_id(project: &Project, code: u32) -> u32 {
    project.iterations.get(&code).map_or(0, |iteration| iteration.id)
}

fn labels<'a>(project: &'a Project, ids: &[u32]) -> Vec<LabelBody<'a>> {
    ids.iter()
        .filter_map(|id| project.labels.iter().find(|label| label.id == *id))
        .map(|label| LabelBody { id: label.id, name: &label.name, color: label.color })
        .collect()
}

/// A user as the text of a custom field has it.
#[derive(Serialize)]
struct CustomUser<'a> {
    #[serde(rename = "Id")]
    id: u32,
    #[serde(rename = "Status")]
    status: i8,
    #[serde(rename = "GlobalKey")]
    global_key: &'a str,
    #[serde(rename = "Avatar")]
    avatar: &'a str,
    #[serde(rename = "Name")]
    name: &'a str,
    #[serde(rename = "Email")]
    email: &'static str,
    #[serde(rename = "Name_pinyin")]
    name_pinyin: &'a str,
}

fn custom_user(world: &World, id: u32) -> Option<CustomUser<'_>> {
    let user = world.users.get(&id)?;
    Some(CustomUser {
        id,
        status: user.status,
        global_key: &user.global_key,
        avatar: &user.avatar,
        name: &user.name,
        email: "",
        name_pinyin: &user.pinyin,
    })
}

/// The text of a custom field's value.
fn value_string<'a>(world: &'a World, value: &'a Value) -> Cow<'a, str> {
    let json = |text: serde_json::Result<String>| Cow::Owned(text.unwrap_or_default());
    match value {
        Value::Plain(text) => Cow::Borrowed(text),
        Value::Choices(options) => json(serde_json::to_string(options)),
        Value::Member(id) => {
            custom_user(world, *id).map_or(Cow::Borrowed(""), |user| json(serde_json::to_string(&user)))
        }
        Value::Members(ids) => {
            let users: Vec<CustomUser<'_>> = ids.iter().filter_map(|id| custom_user(world, *id)).collect();
            json(serde_json::to_string(&users))
        }
    }
}

/// What an issue shows for a custom field; nothing when it holds none or the field is gone.
pub(crate) fn custom_text<'a>(world: &'a World, issue: &'a Issue, field: u32) -> Option<Cow<'a, str>> {
    let custom = issue.custom.iter().find(|custom| custom.field == field)?;
    world.field(field).map(|_| value_string(world, &custom.value))
}

fn customs<'a>(world: &'a World, issue: &'a Issue) -> Vec<CustomBody<'a>> {
    issue
        .custom
        .iter()
        .filter_map(|custom| {
            let field = world.field(custom.field)?;
            Some(CustomBody {
                id: field.id,
                name: &field.name,
                value_string: value_string(world, &custom.value),
            })
        })
        .collect()
}

/// The type of the parent; for a top-level issue its own.
fn parent_type(project: &Project, issue: &Issue) -> &'static str {
    project.issue(issue.parent).map_or(issue.kind, |parent| parent.kind).as_str()
}

/// The row of an issue in a list.
pub(crate) fn issue_row<'a>(world: &'a World, project: &'a Project, issue: &'a Issue) -> IssueRow<'a> {
    let status = status(issue.status);
    IssueRow {
        code: issue.code,
        kind: issue.kind.as_str(),
        parent_type: parent_type(project, issue),
        name: issue.name.title(),
        description: issue.description.description(world.description_bytes),
        iteration_id: iteration_id(project, issue.iteration),
        iteration: iteration_brief(project, issue.iteration, true),
        issue_status_id: status.id,
        issue_status_name: status.name,
        issue_status_type: status.phase.as_str(),
        issue_type_id: issue.type_id,
        issue_type_detail: type_body(issue.type_id),
        priority: issue.priority_text(),
        assignee_id: issue.assignee,
        assignees: users(world, &issue.assignees),
        creator_id: issue.creator,
        start_date: issue.start_date,
        due_date: issue.due_date,
        working_hours: issue.working_hours,
        story_point: &issue.story_point,
        created_at: issue.created_at,
        updated_at: issue.updated_at,
        completed_at: issue.completed_at,
        parent_id: project.issue(issue.parent).map_or(0, |parent| parent.id),
        parent_code: issue.parent,
        custom_fields: customs(world, issue),
        labels: labels(project, &issue.labels),
    }
}

/// The detail of an issue. `volatile` makes the signatures of temporary URLs.
pub(crate) fn issue_detail<'a>(
    world: &'a World,
    project: &'a Project,
    issue: &'a Issue,
    volatile: &mut Dice,
) -> IssueDetail<'a> {
    let status = status(issue.status);
    IssueDetail {
        epic: epic(world, project, issue.epic),
        parent_type: parent_type(project, issue),
        code: issue.code,
        kind: issue.kind.as_str(),
        name: issue.name.title(),
        description: issue.description.description(world.description_bytes),
        iteration_id: iteration_id(project, issue.iteration),
        iteration: iteration_brief(project, issue.iteration, false),
        issue_status_id: status.id,
        issue_status_name: status.name,
        issue_status_type: status.phase.as_str(),
        issue_type_id: issue.type_id,
        issue_type_detail: type_body(issue.type_id),
        priority: issue.priority_text(),
        assignee: user(world, issue.assignee),
        assignees: users(world, &issue.assignees),
        creator: user(world, issue.creator),
        start_date: issue.start_date,
        due_date: issue.due_date,
        working_hours: issue.working_hours,
        story_point: &issue.story_point,
        created_at: issue.created_at,
        updated_at: issue.updated_at,
        completed_at: issue.completed_at,
        project_module: module(project, issue.module),
        watchers: users(world, &issue.watchers),
        labels: labels(project, &issue.labels),
        files: files(issue, volatile),
        requirement_type: requirement_type(issue.requirement_type),
        defect_type: defect_type(issue.defect_type),
        custom_fields: customs(world, issue),
        third_links: links(issue),
        sub_tasks: sub_tasks(world, project, issue.code),
        parent: parent(world, project, issue.parent),
        project: ProjectBody { id: project.id, name: &project.name, ..ProjectBody::default() },
    }
}

fn epic<'a>(world: &'a World, project: &'a Project, code: u32) -> EpicBody<'a> {
    project.issue(code).map_or_else(EpicBody::default, |epic| EpicBody {
        code: epic.code,
        kind: epic.kind.as_str(),
        name: epic.name.title(),
        issue_status_id: epic.status,
        issue_status_name: status(epic.status).name,
        priority: epic.priority_text(),
        assignee: user(world, epic.assignee),
    })
}

fn parent<'a>(world: &'a World, project: &'a Project, code: u32) -> ParentBody<'a> {
    project.issue(code).map_or_else(ParentBody::default, |parent| ParentBody {
        code: parent.code,
        kind: parent.kind.as_str(),
        name: parent.name.title(),
        issue_status_id: parent.status,
        issue_status_name: status(parent.status).name,
        issue_status_type: parent.phase().as_str(),
        priority: parent.priority_text(),
        assignee: user(world, parent.assignee),
        issue_type_detail: type_body(parent.type_id),
    })
}

fn sub_tasks<'a>(world: &'a World, project: &'a Project, code: u32) -> Vec<SubTaskBody<'a>> {
    project
        .children(code)
        .filter_map(|child| project.issue(child))
        .map(|child| SubTaskBody {
            code: child.code,
            name: child.name.title(),
            kind: child.kind.as_str(),
            priority: child.priority_text(),
            issue_status_id: child.status,
            issue_status_name: status(child.status).name,
            assignee: user(world, child.assignee),
        })
        .collect()
}

fn module(project: &Project, id: u32) -> NamedBody<'_> {
    project
        .modules
        .iter()
        .find(|module| module.id == id)
        .map_or_else(NamedBody::default, |module| NamedBody { id, name: &module.name })
}

fn requirement_type(id: u32) -> NamedBody<'static> {
    REQUIREMENT_TYPES
        .iter()
        .find(|entry| entry.id == id)
        .map_or_else(NamedBody::default, |entry| NamedBody { id, name: entry.name })
}

fn defect_type(id: u32) -> DefectTypeBody {
    DEFECT_TYPES
        .iter()
        .find(|entry| entry.id == id)
        .map_or_else(DefectTypeBody::default, |entry| DefectTypeBody { id, name: entry.name, icon_url: "" })
}

fn files<'a>(issue: &'a Issue, volatile: &mut Dice) -> Vec<FileBody<'a>> {
    issue
        .files
        .iter()
        .map(|file| FileBody {
            file_id: file.id,
            name: &file.name,
            size: file.size,
            kind: file.kind,
            url: format!("https://files.example.com/{}?e=3600&sign={:016x}", file.id, volatile.bits()),
        })
        .collect()
}

fn links(issue: &Issue) -> Vec<LinkBody<'_>> {
    issue
        .links
        .iter()
        .map(|link| LinkBody {
            id: link.id,
            third_type: &link.third_type,
            link: &link.link,
            title: &link.title,
        })
        .collect()
}

/// A project on its own.
pub(crate) fn project_body<'a>(world: &World, project: &'a Project) -> ProjectBody<'a> {
    ProjectBody {
        id: project.id,
        name: &project.name,
        display_name: &project.display_name,
        description: &project.description,
        icon: "https://avatars.example.com/project.png",
        kind: 2,
        status: 1,
        team_id: world.team_id,
        team_owner_id: world.owner,
        created_at: project.created_at,
        updated_at: project.updated_at,
        ..ProjectBody::default()
    }
}

/// An iteration with its tally.
pub(crate) fn iteration_body(iteration: &Iteration) -> IterationBody<'_> {
    let tally = iteration.tally;
    let (todo, processing, completed) =
        (tally.todo.points(), tally.processing.points(), tally.completed.points());
    IterationBody {
        id: iteration.id,
        code: iteration.code,
        name: &iteration.name,
        goal: &iteration.goal,
        status: iteration.status(),
        start_at: iteration.start_at,
        end_at: iteration.end_at,
        assignee: iteration.assignee,
        creator: iteration.creator,
        starter: iteration.starter,
        completer: iteration.completer,
        deleter: 0,
        wait_process_count: tally.todo.issues,
        processing_count: tally.processing.issues,
        completed_count: tally.completed.issues,
        completed_percent: tally.percent(),
        created_at: iteration.created_at,
        updated_at: iteration.updated_at,
        completed_story_point: completed,
        all_story_point: todo + processing + completed,
        todo_story_point: todo,
        process_story_point: processing,
    }
}

/// A user with roles.
pub(crate) fn member_body<'a>(world: &World, user: &'a User, roles: Vec<&'static Role>) -> MemberBody<'a> {
    MemberBody {
        id: user.id,
        team_id: world.team_id,
        name: &user.name,
        name_pinyin: &user.pinyin,
        avatar: &user.avatar,
        email: &user.email,
        phone: &user.phone,
        email_validation: u8::from(!user.email.is_empty()),
        phone_validation: u8::from(!user.phone.is_empty()),
        status: user.status,
        global_key: &user.global_key,
        roles,
        unique_ext_field: "",
        department_member: DepartmentBody::default(),
    }
}

/// The members of a project with their roles, ascending by id.
pub(crate) fn project_members<'a>(
    world: &'a World,
    project: &'a Project,
) -> impl Iterator<Item = MemberBody<'a>> {
    project.members.iter().filter_map(|(id, roles)| {
        let roles = PROJECT_ROLES.iter().filter(|role| roles.contains(&role.role_id)).collect();
        Some(member_body(world, world.users.get(id)?, roles))
    })
}

/// A user's roles in the team.
pub(crate) fn team_roles(world: &World, user: u32) -> Vec<&'static Role> {
    let [owner, member] = &TEAM_ROLES;
    vec![if user == world.owner { owner } else { member }]
}

/// The title of a text that may be derived, for searching.
pub(crate) fn contains(text: &Text, needle: &str) -> bool {
    text.title().to_lowercase().contains(needle)
}

/// True for the kinds that the API lets a list ask for.
pub(crate) const fn is_listable(kind: Kind) -> bool {
    !matches!(kind, Kind::SubTask)
}
