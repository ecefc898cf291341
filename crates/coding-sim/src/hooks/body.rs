//! The bodies of events: members and their order as recorded ones have them. What no recording shows is
//! sent in each of the possible forms (a person who is not there), or in the API's (days that are unset).

use std::borrow::Cow;

use serde::Serialize;

use crate::hooks::book::Hook;
use crate::hooks::catalog::event_kind;
use crate::world::catalog::{Kind, status};
use crate::world::issue::Issue;
use crate::world::iteration::Iteration;
use crate::world::project::Project;
use crate::world::{User, World};

/// Everything but the block of the hook, which [`finished`] adds.
#[derive(Serialize)]
struct Envelope<'a, E> {
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'static str>,
    event: &'a str,
    #[serde(rename = "eventName")]
    event_name: &'a str,
    sender: UserBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    member: Option<UserBody<'a>>,
    project: ProjectBody<'a>,
    team: TeamBody<'a>,
    #[serde(flatten)]
    entity: &'a E,
}

#[derive(Clone, Default, Serialize)]
pub(crate) struct UserBody<'a> {
    id: u32,
    login: &'a str,
    avatar_url: &'a str,
    url: String,
    html_url: String,
    name: &'a str,
    name_pinyin: &'a str,
}

#[derive(Serialize)]
struct ProjectBody<'a> {
    id: u32,
    icon: &'static str,
    url: String,
    description: &'a str,
    name: &'a str,
    display_name: &'a str,
}

#[derive(Serialize)]
struct TeamBody<'a> {
    id: u32,
    domain: &'a str,
    url: String,
    introduction: &'static str,
    name: &'a str,
    name_pinyin: &'a str,
    avatar: &'static str,
}

/// The entity of an event about an issue.
#[derive(Serialize)]
pub(crate) struct IssueEntity<'a> {
    pub(crate) issue: IssueBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) work_log: Option<WorkLogBody>,
}

/// The entity of an event about an iteration.
#[derive(Serialize)]
pub(crate) struct IterationEntity<'a> {
    pub(crate) iteration: IterationBody<'a>,
}

/// The entity of a comment.
#[derive(Serialize)]
pub(crate) struct CommentEntity<'a> {
    #[serde(rename = "issueComment")]
    pub(crate) comment: CommentBody<'a>,
}

/// The entity of a ping.
#[derive(Serialize)]
pub(crate) struct PingEntity {
    pub(crate) zen: &'static str,
}

/// No entity besides the member.
#[derive(Serialize)]
pub(crate) struct NoEntity {}

#[derive(Serialize)]
pub(crate) struct IssueBody<'a> {
    html_url: String,
    #[serde(rename = "type")]
    kind: &'static str,
    project_id: u32,
    code: u32,
    parent_code: u32,
    title: Cow<'a, str>,
    creator: UserBody<'a>,
    /// The name of the status, not a code.
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    assignee: Option<Option<UserBody<'a>>>,
    priority: Option<u8>,
    start_date: i64,
    due_date: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    iteration: Option<IterationBody<'a>>,
    description: Cow<'a, str>,
    created_at: i64,
    updated_at: i64,
    issue_status: StatusBody,
    watchers: Vec<UserBody<'a>>,
    labels: Vec<LabelBody<'a>>,
}

#[derive(Serialize)]
struct StatusBody {
    id: u32,
    name: &'static str,
    #[serde(rename = "type")]
    phase: &'static str,
}

#[derive(Serialize)]
struct LabelBody<'a> {
    id: u32,
    name: &'a str,
}

#[derive(Serialize)]
pub(crate) struct IterationBody<'a> {
    title: &'a str,
    goal: &'a str,
    html_url: String,
    project_id: u32,
    code: u32,
    creator: UserBody<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assignee: Option<Option<UserBody<'a>>>,
    watchers: Vec<UserBody<'a>>,
    status: &'static str,
    plan_issue_number: i64,
    start_at: i64,
    end_at: i64,
    created_at: i64,
    updated_at: i64,
}

/// A comment. Its number is in the address alone.
#[derive(Serialize)]
pub(crate) struct CommentBody<'a> {
    html_url: String,
    issue: IssueBody<'a>,
    creator: UserBody<'a>,
    content: String,
    created_at: i64,
    updated_at: i64,
}

/// An entry of the work log. Which one it is, nothing says.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct WorkLogBody {
    pub(crate) record_hours: f64,
    pub(crate) remaining_hours: f64,
}

/// The block that says which hook this is.
#[derive(Serialize)]
struct HookBlock<'a> {
    id: &'a str,
    name: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    /// False on hooks that work.
    active: bool,
    events: &'a [String],
    config: HookConfig<'a>,
    created_at: i64,
    updated_at: i64,
}

#[derive(Serialize)]
struct HookConfig<'a> {
    content_type: &'static str,
    url: &'a str,
}

/// An event's body without its end, the same for all hooks: `{"action":…,"event":…,…`.
pub(crate) fn envelope<E: Serialize>(
    world: &World,
    project: &Project,
    event: &str,
    member: Option<u32>,
    entity: &E,
) -> Vec<u8> {
    let known = event_kind(event);
    let base = base(world);
    let body = Envelope {
        action: known.and_then(|known| known.action),
        event,
        event_name: known.map_or(event, |known| known.label),
        sender: user(world, world.owner),
        member: member.map(|id| user(world, id)),
        project: ProjectBody {
            id: project.id,
            icon: "/static/project_icon/scenery-version-2-12.svg",
            url: format!("{base}/p/{}", project.name),
            description: &project.description,
            name: &project.name,
            display_name: &project.display_name,
        },
        team: TeamBody {
            id: world.team_id,
            domain: &world.team,
            url: base,
            introduction: "",
            name: &world.team,
            name_pinyin: &world.team,
            avatar: "https://avatars.example.com/team.png",
        },
        entity,
    };
    let mut bytes = serde_json::to_vec(&body).expect("plain structs always serialise");
    bytes.pop();
    bytes
}

/// The whole body for one hook.
pub(crate) fn finished(envelope: &[u8], hook: &Hook) -> Vec<u8> {
    let block = HookBlock {
        id: &hook.address.hook,
        name: "web",
        kind: "Repository",
        active: false,
        events: &hook.events,
        config: HookConfig { content_type: "application/json", url: &hook.address.url },
        created_at: hook.created_at,
        updated_at: hook.updated_at,
    };
    let mut bytes = envelope.to_vec();
    bytes.extend_from_slice(b",\"hook\":");
    serde_json::to_writer(&mut bytes, &block).expect("plain structs always serialise");
    bytes.extend_from_slice(b",\"hook_id\":");
    serde_json::to_writer(&mut bytes, &hook.address.hook).expect("a text always serialises");
    bytes.push(b'}');
    bytes
}

/// An issue. `at` is the real millisecond of a creation.
pub(crate) fn issue<'a>(
    world: &'a World,
    project: &'a Project,
    issue: &'a Issue,
    at: Option<i64>,
) -> IssueBody<'a> {
    let status = status(issue.status);
    let labels = issue.labels.iter().filter_map(|id| project.labels.iter().find(|label| label.id == *id));
    IssueBody {
        html_url: issue_url(world, project, issue),
        kind: issue.kind.as_str(),
        project_id: project.id,
        code: issue.code,
        parent_code: issue.parent,
        title: issue.name.title(),
        creator: user(world, issue.creator),
        status: status.name,
        assignee: someone(world, issue.assignee, issue.code),
        priority: (issue.priority <= 3).then_some(issue.priority),
        start_date: issue.start_date,
        due_date: issue.due_date,
        iteration: project
            .iterations
            .get(&issue.iteration)
            .map(|known| iteration(world, project, known, None)),
        description: issue.description.description(world.description_bytes),
        created_at: at.unwrap_or(issue.created_at),
        updated_at: at.unwrap_or(issue.updated_at),
        issue_status: StatusBody { id: status.id, name: status.name, phase: status.phase.as_str() },
        watchers: issue.watchers.iter().map(|id| watcher(world, *id)).collect(),
        labels: labels.map(|label| LabelBody { id: label.id, name: &label.name }).collect(),
    }
}

/// An iteration. `at` is the real millisecond of a creation.
pub(crate) fn iteration<'a>(
    world: &'a World,
    project: &Project,
    iteration: &'a Iteration,
    at: Option<i64>,
) -> IterationBody<'a> {
    let tally = iteration.tally;
    IterationBody {
        title: &iteration.name,
        goal: &iteration.goal,
        html_url: format!("{}/p/{}/iterations/{}", base(world), project.name, iteration.code),
        project_id: project.id,
        code: iteration.code,
        creator: user(world, iteration.creator),
        assignee: someone(world, iteration.assignee, iteration.code),
        watchers: vec![watcher(world, iteration.creator)],
        status: iteration.status(),
        plan_issue_number: tally.todo.issues + tally.processing.issues + tally.completed.issues,
        start_at: iteration.start_at,
        end_at: iteration.end_at,
        created_at: at.unwrap_or(iteration.created_at),
        updated_at: at.unwrap_or(iteration.updated_at),
    }
}

/// A comment on an issue, made at this millisecond.
pub(crate) fn comment<'a>(
    world: &'a World,
    project: &'a Project,
    about: &'a Issue,
    number: u64,
    text: &str,
    at: i64,
) -> CommentBody<'a> {
    CommentBody {
        html_url: format!("{}#comment-{number}", issue_url(world, project, about)),
        issue: issue(world, project, about, None),
        creator: user(world, world.owner),
        content: format!("<p>{text}</p>"),
        created_at: at,
        updated_at: at,
    }
}

/// A person, zeroed for one who is gone.
pub(crate) fn user(world: &World, id: u32) -> UserBody<'_> {
    world.users.get(&id).map_or_else(UserBody::default, |user| {
        let (base, login) = (base(world), &user.global_key);
        let pages = (format!("{base}/api/user/key/{login}"), format!("{base}/u/{login}"));
        person(user, pages)
    })
}

/// A watcher, who has no addresses.
fn watcher(world: &World, id: u32) -> UserBody<'_> {
    world.users.get(&id).map_or_else(UserBody::default, |user| person(user, Default::default()))
}

fn person(user: &User, (url, html_url): (String, String)) -> UserBody<'_> {
    UserBody {
        id: user.id,
        login: &user.global_key,
        avatar_url: &user.avatar,
        url,
        html_url,
        name: &user.name,
        name_pinyin: &user.pinyin,
    }
}

/// A person who may not be there: absent, null or zeroed, by the code of the row.
fn someone(world: &World, id: u32, code: u32) -> Option<Option<UserBody<'_>>> {
    match (id, code % 3) {
        (0, 0) => None,
        (0, 1) => Some(None),
        (0, _) => Some(Some(UserBody::default())),
        _ => Some(Some(user(world, id))),
    }
}

fn issue_url(world: &World, project: &Project, issue: &Issue) -> String {
    let part = match issue.kind {
        Kind::Epic => "epics",
        Kind::Requirement => "requirements",
        Kind::Mission => "assignments",
        Kind::Defect => "bug-tracking",
        Kind::SubTask => "subtasks",
    };
    format!("{}/p/{}/{part}/issues/{}/detail", base(world), project.name, issue.code)
}

/// The team's own address, which is not where the simulator listens.
pub(crate) fn base(world: &World) -> String {
    format!("https://{}.coding.net", world.team)
}
