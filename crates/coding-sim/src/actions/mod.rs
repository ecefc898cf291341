//! The actions of the Open API: who may call them, what they answer.
//!
//! [`read`] and [`write()`] are the ways in; one module per family. An action answers a [`Payload`], the envelope
//! without its end, written straight to bytes.

mod account;
mod hooks;
mod issues;
mod iterations;
mod members;
mod metadata;
mod paging;
mod projects;

use serde::Serialize;

use crate::config::SimConfig;
use crate::credentials::Caller;
use crate::dice::Dice;
use crate::failure::Failure;
use crate::faults::{AccessLoss, FaultKind, Faults};
use crate::operation::Operation;
use crate::request::Fields;
use crate::world::World;
use crate::world::project::Project;

/// One request that passed the door.
pub(crate) struct Call<'a> {
    pub(crate) action: &'a str,
    pub(crate) fields: Fields<'a>,
    pub(crate) caller: &'a Caller,
    pub(crate) config: &'a SimConfig,
    pub(crate) faults: &'a Faults,
    pub(crate) fault: Option<FaultKind>,
    /// Chance of this one answer: signatures of URLs, wrong totals.
    pub(crate) dice: Dice,
}

/// Whether rows of a project are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    Full,
    /// Lists are empty, look-ups find nothing.
    Hollow,
}

/// The start of an answer: `{"Response":{` and the members written so far.
pub(crate) struct Payload(Vec<u8>);

impl Payload {
    /// An answer without payload.
    pub(crate) fn empty() -> Self {
        Self(b"{\"Response\":{".to_vec())
    }

    /// An answer with one payload key.
    pub(crate) fn of(key: &str, value: &impl Serialize) -> Self {
        let mut bytes = Self::empty().0;
        bytes.push(b'"');
        bytes.extend_from_slice(key.as_bytes());
        bytes.extend_from_slice(b"\":");
        serde_json::to_writer(&mut bytes, value).expect("plain structs always serialise into memory");
        bytes.push(b',');
        Self(bytes)
    }

    /// The finished body.
    pub(crate) fn finish(self, request_id: &str) -> Vec<u8> {
        let mut bytes = self.0;
        bytes.extend_from_slice(b"\"RequestId\":\"");
        bytes.extend_from_slice(request_id.as_bytes());
        bytes.extend_from_slice(b"\"}}");
        bytes
    }
}

/// What an action needs: a scope, and whether it writes. `None` for an unknown action.
pub(crate) fn requirement(action: &str) -> Option<(&'static str, bool)> {
    Some(match action {
        "DescribeCodingCurrentUser" => ("user:profile:ro", false),
        "DescribeTeam" => ("team:profile:ro", false),
        "DescribeTeamMembers" => ("team:member:ro", false),
        "DescribeProjectByName"
        | "DescribeOneProject"
        | "DescribeUserProjects"
        | "DescribeCodingProjects" => ("project:profile:ro", false),
        "DescribeProjectMembers" | "DescribeProjectRoles" => ("project:member:ro", false),
        "DescribeIssueListWithPage"
        | "DescribeIssue"
        | "DescribeSubIssueList"
        | "DescribeIterationList"
        | "DescribeIteration"
        | "DescribeProjectIssueFieldList"
        | "DescribeProjectIssueTypeList"
        | "DescribeTeamIssueTypeList"
        | "DescribeProjectIssueStatusList" => ("collaboration:issue:ro", false),
        "CreateIssue" | "ModifyIssue" | "DeleteIssue" | "CreateIteration" | "ModifyIteration"
        | "DeleteIteration" => ("collaboration:issue:rw", true),
        // Reading a hook takes the right to write it: what it answers has secrets.
        "DescribeServiceHooks"
        | "DescribeServiceHook"
        | "DescribeServiceHookLogs"
        | "DescribeEvents"
        | "PingServiceHook"
        | "ResendServiceHookLog" => (HOOK_SCOPE, false),
        "CreateServiceHook" | "ModifyServiceHook" | "DeleteServiceHook" | "EnabledServiceHook" => {
            (HOOK_SCOPE, true)
        }
        _ => return None,
    })
}

/// What every action about hooks needs.
const HOOK_SCOPE: &str = "service-hook:profile:rw";

/// True for what a project token is refused, whatever its scopes say: nobody stands behind it.
pub(crate) fn needs_user(scope: &str) -> bool {
    scope == HOOK_SCOPE
}

/// Answers a reading action.
pub(crate) fn read(world: &World, call: &mut Call<'_>) -> Result<Payload, Failure> {
    match call.action {
        "DescribeCodingCurrentUser" => account::current_user(world, call),
        "DescribeTeam" => Ok(account::team(world)),
        "DescribeTeamMembers" => members::team_members(world, call),
        "DescribeProjectByName" => projects::by_name(world, call),
        "DescribeOneProject" => projects::by_id(world, call),
        "DescribeUserProjects" => projects::of_user(world, call),
        "DescribeCodingProjects" => projects::all(world, call),
        "DescribeProjectMembers" => members::project_members(world, call),
        "DescribeProjectRoles" => members::roles(world, call),
        "DescribeIssueListWithPage" => issues::list(world, call),
        "DescribeIssue" => issues::detail(world, call),
        "DescribeSubIssueList" => issues::sub_issues(world, call),
        "DescribeIterationList" => iterations::list(world, call),
        "DescribeIteration" => iterations::detail(world, call),
        "DescribeProjectIssueFieldList" => metadata::fields(world, call),
        "DescribeProjectIssueTypeList" => metadata::project_types(world, call),
        "DescribeTeamIssueTypeList" => Ok(metadata::team_types()),
        "DescribeProjectIssueStatusList" => metadata::statuses(world, call),
        "DescribeEvents" => hooks::events(call),
        "DescribeServiceHooks" => hooks::list(world, call),
        "DescribeServiceHook" => hooks::detail(world, call),
        "DescribeServiceHookLogs" => hooks::logs(world, call),
        "PingServiceHook" => hooks::ping(world, call),
        "ResendServiceHookLog" => hooks::resend(world, call),
        _ => Err(unknown_action(call.action)),
    }
}

/// Carries out a writing action.
pub(crate) fn write(world: &mut World, call: &mut Call<'_>) -> Result<Payload, Failure> {
    match call.action {
        "CreateServiceHook" => return hooks::create(world, call),
        "ModifyServiceHook" => return hooks::modify(world, call),
        "DeleteServiceHook" => return hooks::delete(world, call),
        "EnabledServiceHook" => return hooks::enable(world, call),
        _ => {}
    }
    let name = call.fields.need_text("ProjectName")?;
    if call.reach(name)? == Reach::Hollow {
        return Err(Failure::unauthorized());
    }
    match call.action {
        "CreateIssue" => issues::create(world, call, name),
        "ModifyIssue" => issues::modify(world, call, name),
        "DeleteIssue" => {
            world.apply(&Operation::DeleteIssue {
                project: name.to_owned(),
                code: call.fields.need_id("IssueCode")?,
            })?;
            Ok(Payload::empty())
        }
        "CreateIteration" => iterations::create(world, call, name),
        "ModifyIteration" => iterations::modify(world, call, name),
        "DeleteIteration" => {
            world.delete_iteration(name, call.fields.need_id("IterationCode")?)?;
            Ok(Payload::empty())
        }
        _ => Err(unknown_action(call.action)),
    }
}

/// The error for an action that does not exist.
pub(crate) fn unknown_action(action: &str) -> Failure {
    Failure::new("InvalidParameter", format!("The action `{action}` is not valid."))
}

impl<'a> Call<'a> {
    /// The project that the request names, and whether its rows are shown.
    fn project<'w>(&self, world: &'w World) -> Result<(&'w Project, Reach), Failure> {
        let name = self.fields.need_text("ProjectName")?;
        self.reachable(world.need(name)?)
    }

    /// The project that the request gives the id of.
    fn project_by_id<'w>(&self, world: &'w World) -> Result<(&'w Project, Reach), Failure> {
        let id = self.fields.need_id("ProjectId")?;
        self.reachable(world.project_by_id(id).ok_or_else(Failure::not_found)?)
    }

    fn reachable<'w>(&self, project: &'w Project) -> Result<(&'w Project, Reach), Failure> {
        Ok((project, self.reach(&project.name)?))
    }

    fn reach(&self, project: &str) -> Result<Reach, Failure> {
        if !self.caller.sees(project) {
            return Err(Failure::unauthorized());
        }
        if let Some(code) = self.faults.refused_projects.get(project) {
            return Err(Failure::refused(code));
        }
        match self.faults.lost_projects.get(project) {
            None => Ok(Reach::Full),
            Some(AccessLoss::EmptyLists) => Ok(Reach::Hollow),
            Some(AccessLoss::Errors) => Err(Failure::unauthorized()),
        }
    }

    /// True for projects that the project lists show.
    fn lists(&self, project: &Project) -> bool {
        self.caller.sees(&project.name) && !self.faults.lost_projects.contains_key(&project.name)
    }

    /// True when the fault strikes this call.
    fn struck_by(&self, kind: FaultKind) -> bool {
        self.fault == Some(kind)
    }
}
