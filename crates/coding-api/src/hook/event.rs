//! An event of the Service Hook: whom and what it is about.

use serde_json::{Map, Value};

use super::code::Group;
use super::mark::{IssueMark, IterationMark, ProjectMark, Sender, changed, positive, shown, text, time};

/// An event. All of it is CODING's word: look at the row before believing any.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// For example `ISSUE_UPDATED`. Where header and body disagree, the body's.
    pub code: String,
    /// What people call it, in the language of the team.
    pub name: Option<String>,
    /// The hook that sent it.
    pub hook_id: Option<String>,
    /// Where it happened.
    pub project: Option<ProjectMark>,
    /// The team's sub-domain.
    pub team: Option<String>,
    /// Who did it.
    pub sender: Option<Sender>,
    /// The issue; of a comment, the issue that was commented on.
    pub issue: Option<IssueMark>,
    /// More issues, where the event lists several.
    pub issues: Vec<IssueMark>,
    /// The iteration, where the event is about one. That of an issue is in its mark.
    pub iteration: Option<IterationMark>,
    /// The user id of the member.
    pub member: Option<i64>,
    /// When it happened, in milliseconds since the epoch: the time of the thing that it is about.
    pub happened_ms: Option<i64>,
    /// What it is about, for people: `issue 71`, `push refs/heads/master`.
    pub entity: Option<String>,
    /// The whole body, but for `hook.config`, which holds the receiver's URL.
    pub body: Map<String, Value>,
}

impl Event {
    /// What it is about.
    #[must_use]
    pub fn group(&self) -> Group {
        Group::of(&self.code)
    }

    /// Reads a body whose event code is `code`; `hook_id` is the header's.
    pub(super) fn of(code: String, hook_id: Option<String>, mut body: Map<String, Value>) -> Self {
        let hook_id = super::read::hook_id(&body).or(hook_id);
        if let Some(hook) = body.get_mut("hook").and_then(Value::as_object_mut) {
            // Its URL holds the token of whoever receives it.
            hook.remove("config");
        }
        let object = |name: &str| body.get(name).and_then(Value::as_object);
        let comment = object("issueComment");
        let issue = body
            .get("issue")
            .filter(|value| !value.is_array())
            .or_else(|| comment.and_then(|comment| comment.get("issue")));
        let issue = IssueMark::of(issue);
        let iteration = IterationMark::of(body.get("iteration"));
        let member = body.get("member").and_then(|member| match member {
            Value::Object(user) => positive(user.get("id")),
            bare => positive(Some(bare)),
        });
        let issues = issues(&body);
        Self {
            name: text(body.get("eventName")),
            hook_id,
            project: ProjectMark::of(body.get("project")),
            team: object("team").and_then(|team| text(team.get("domain"))),
            sender: Sender::of(body.get("sender")),
            happened_ms: happened(&body),
            entity: entity(&code, &body, issue.as_ref(), iteration.as_ref(), member),
            issue,
            issues,
            iteration,
            member,
            code,
            body,
        }
    }
}

/// The issues that are listed, each once. No documented event lists any; where the list would stand is guessed
/// from how CODING names lists elsewhere.
fn issues(body: &Map<String, Value>) -> Vec<IssueMark> {
    let inside = body.get("iteration").and_then(|iteration| iteration.get("issues"));
    let lists = [body.get("issues"), body.get("issue"), inside];
    let mut found: Vec<IssueMark> =
        lists.into_iter().flatten().filter_map(Value::as_array).flatten().filter_map(mark).collect();
    found.sort_by_key(|issue| issue.code);
    found.dedup_by_key(|issue| issue.code);
    found
}

fn mark(value: &Value) -> Option<IssueMark> {
    IssueMark::of(Some(value))
}

/// The time of the thing that the event is about, the innermost one: a comment before its issue, a build before
/// its plan.
pub(super) fn happened(body: &Map<String, Value>) -> Option<i64> {
    let object = |name: &str| body.get(name).and_then(Value::as_object);
    let build = object("ci").and_then(|ci| ci.get("build")).and_then(Value::as_object);
    let things = [
        object("issueComment"),
        object("issue"),
        object("iteration"),
        object("mergeRequest"),
        build,
        object("ci"),
        object("task"),
    ];
    let newest_commit = || {
        let commits = body.get("commits").and_then(Value::as_array).into_iter().flatten();
        commits.filter_map(|commit| time(commit.get("timestamp"))).max()
    };
    things
        .into_iter()
        .flatten()
        .find_map(changed)
        .or_else(|| time(object("head_commit").and_then(|commit| commit.get("timestamp"))))
        .or_else(newest_commit)
}

/// What the event is about, for people.
fn entity(
    code: &str,
    body: &Map<String, Value>,
    issue: Option<&IssueMark>,
    iteration: Option<&IterationMark>,
    member: Option<i64>,
) -> Option<String> {
    let issue = || issue.map(|issue| format!("issue {}", issue.code));
    let iteration = || iteration.map(|iteration| format!("iteration {}", iteration.code));
    let member = || member.map(|member| format!("member {member}"));
    let named = match Group::of(code) {
        Group::Iteration => iteration().or_else(issue),
        Group::Member => member(),
        Group::Issue => issue(),
        _ => None,
    };
    named.or_else(|| thing(body)).or_else(issue).or_else(iteration).or_else(member)
}

/// What a push, merge request, build, artifact, page or file is called. The older product names them alike.
pub(super) fn thing(body: &Map<String, Value>) -> Option<String> {
    let object = |name: &str| body.get(name).and_then(Value::as_object);
    let named = |kind: &str, name: Option<&Value>| text(name).map(|name| format!("{kind} {}", shown(&name)));
    let merge_request = || {
        let number = positive(object("mergeRequest").and_then(|request| request.get("number")));
        number.map(|number| format!("merge request {number}"))
    };
    let build = || {
        let ci = object("ci")?;
        let number = positive(ci.get("build").and_then(|build| build.get("number")));
        number.map(|number| format!("build {number}")).or_else(|| named("build plan", ci.get("name")))
    };
    let artifact = || {
        let artifact = object("artifact")?;
        let field = |name: &str| text(artifact.get(name)).map(|text| shown(&text));
        let package = field("artifactPkgName").map(|package| match field("artifactVersionName") {
            Some(version) => format!("artifact {package} {version}"),
            None => format!("artifact {package}"),
        });
        package.or_else(|| named("artifact repository", artifact.get("artifactRepoName")))
    };
    let content = || {
        let content = object("content")?;
        let files = content.get("files").and_then(Value::as_array);
        let file = content.get("file").and_then(|file| file.get("name"));
        let only = || match files.map(Vec::as_slice) {
            Some([file]) => named("file", file.get("name")),
            Some([_, _, ..]) => files.map(|files| format!("{} files", files.len())),
            _ => None,
        };
        named("page", content.get("title")).or_else(|| named("file", file)).or_else(only)
    };
    let push = || body.get("ref").filter(|_| body.contains_key("before") || body.contains_key("after"));
    merge_request().or_else(build).or_else(artifact).or_else(content).or_else(|| named("push", push()))
}
