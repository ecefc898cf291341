//! A delivery of the older product, WebHook v1 or v2: recognised, and read as far as it can be.
//!
//! Its `repository` stands for the project, or for a repository in it; there is no `project`, no `team` and no
//! event code.

use serde_json::{Map, Value};

use super::event::thing;
use super::mark::{IssueMark, ProjectMark, Sender, positive, shown, text};

/// A delivery of the older WebHook product. It is of use where it names a project and an issue.
#[derive(Clone, Debug, PartialEq)]
pub struct Legacy {
    /// `push`, `merge request`, `task`, `document`, `member`, `ci`, `artifact`: the header's, where one came.
    pub event: Option<String>,
    /// What was done, for example `opened`.
    pub action: Option<String>,
    /// The project, as far as the repository tells it.
    pub project: Option<ProjectMark>,
    /// The number of the issue.
    pub issue: Option<i64>,
    /// What it is about, for people.
    pub entity: Option<String>,
    /// Who did it.
    pub sender: Option<Sender>,
    /// The body, without the `token` that v1 puts into it.
    pub body: Map<String, Value>,
}

impl Legacy {
    pub(super) fn of(event: Option<String>, mut body: Map<String, Value>) -> Self {
        body.remove("token");
        let issue = issue(&body);
        let member = || {
            let target = body.get("member").or_else(|| body.get("user"))?;
            positive(target.get("id")).map(|id| format!("member {id}"))
        };
        let entity = issue.map(|code| format!("issue {code}")).or_else(|| thing(&body)).or_else(member);
        Self {
            event: event.map(|event| shown(&event)),
            action: text(body.get("action")).map(|action| shown(&action)),
            project: project(&body),
            issue,
            entity,
            sender: Sender::of(body.get("sender")),
            body,
        }
    }
}

/// The code of the issue. A task's `id` is another number; its page ends in the code.
fn issue(body: &Map<String, Value>) -> Option<i64> {
    ["issue", "task"].into_iter().filter_map(|name| body.get(name)).find_map(|issue| {
        let page = || after(issue.get("html_url")?.as_str()?, "/issues/")?.parse().ok();
        IssueMark::of(Some(issue)).filter(|_| issue.is_object()).map(|issue| issue.code).or_else(page)
    })
}

/// The project's identifier stands in the address of its page (`…/p/demo`), else in the repository's full name
/// (`team/demo/repository`, or `team/demo` where the project stands for itself). `repository.id` may be either's,
/// so the number is only taken from a field that says so.
fn project(body: &Map<String, Value>) -> Option<ProjectMark> {
    let repository = body.get("repository");
    let field = |name: &str| repository.and_then(|repository| repository.get(name)).and_then(Value::as_str);
    let by_page = field("html_url").and_then(|page| after(page, "/p/"));
    let by_name = || field("full_name").and_then(|name| name.split('/').nth(1));
    let name = by_page.or_else(by_name).map(str::to_owned).filter(|name| !name.is_empty());
    let id = ["ci", "task", "issue", "artifact"]
        .into_iter()
        .filter_map(|thing| body.get(thing))
        .find_map(|thing| positive(thing.get("project_id").or_else(|| thing.get("projectId"))));
    (name.is_some() || id.is_some()).then_some(ProjectMark { id, name })
}

/// The segment of an address that follows `marker`.
fn after<'a>(address: &'a str, marker: &str) -> Option<&'a str> {
    let (_, rest) = address.split_once(marker)?;
    rest.split(['/', '?', '#']).next().filter(|segment| !segment.is_empty())
}
