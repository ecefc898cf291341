//! Changes by order, as the admin API and the in-process handle take them. Carried out in
//! [`crate::changes`].

use serde::{Deserialize, Serialize};

use crate::faults::AccessLoss;

/// A change by order. As JSON: `{"op": "set_issue", "project": "…", "code": 7, …}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum Operation {
    /// Creates an issue.
    CreateIssue {
        /// Identifier of the project.
        project: String,
        /// Its fields; `name` may be absent.
        #[serde(default)]
        fields: Box<IssueFields>,
    },
    /// Sets fields of an issue.
    SetIssue {
        /// Identifier of the project.
        project: String,
        /// Code of the issue.
        code: u32,
        /// What to set.
        fields: Box<IssueFields>,
        /// False: `UpdatedAt` stays as it is.
        #[serde(default = "yes")]
        touch: bool,
    },
    /// Deletes an issue.
    DeleteIssue {
        /// Identifier of the project.
        project: String,
        /// Code of the issue.
        code: u32,
    },
    /// Creates an iteration.
    CreateIteration {
        /// Identifier of the project.
        project: String,
        /// Its name.
        name: String,
        /// Its goal.
        #[serde(default)]
        goal: String,
    },
    /// Gives an iteration another name.
    RenameIteration {
        /// Identifier of the project.
        project: String,
        /// Code of the iteration.
        code: u32,
        /// The new name.
        name: String,
    },
    /// Deletes an iteration.
    DeleteIteration {
        /// Identifier of the project.
        project: String,
        /// Code of the iteration.
        code: u32,
    },
    /// Adds a user of the team to a project.
    AddMember {
        /// Identifier of the project.
        project: String,
        /// Id of the user.
        user: u32,
        /// Role types, for example `ProjectMember`; empty = that one.
        #[serde(default)]
        roles: Vec<String>,
    },
    /// Takes a member out of a project.
    DeleteMember {
        /// Identifier of the project.
        project: String,
        /// Id of the user.
        user: u32,
    },
    /// Sets the roles of a member.
    SetRoles {
        /// Identifier of the project.
        project: String,
        /// Id of the user.
        user: u32,
        /// Role types.
        roles: Vec<String>,
    },
    /// Gives a user another name.
    RenameUser {
        /// Id of the user.
        user: u32,
        /// The new name.
        name: String,
    },
    /// Gives a project another identifier.
    RenameProject {
        /// The present identifier.
        project: String,
        /// The new one.
        name: String,
    },
    /// Adds a custom field to all issue types of all projects. [`Applied::key`] is its id; values are set
    /// by [`IssueFields::custom`].
    AddField {
        /// Its name; several fields may have the same.
        name: String,
        /// The component type as the API spells it, for example `TEXT_INTEGER`.
        component: String,
        /// What can be chosen, for components that choose.
        #[serde(default)]
        options: Vec<String>,
    },
    /// Gives a custom field another name; no `UpdatedAt` of an issue moves.
    RenameField {
        /// Id of the field.
        field: u32,
        /// The new name.
        name: String,
    },
    /// Removes a custom field from the list of fields and from all issues; no `UpdatedAt` moves.
    RemoveField {
        /// Id of the field.
        field: u32,
    },
    /// Comments on an issue. The row stays as it is; hooks hear of it.
    CommentIssue {
        /// Identifier of the project.
        project: String,
        /// Code of the issue.
        code: u32,
        /// The text.
        #[serde(default)]
        content: String,
    },
    /// Books hours on an issue. The row stays as it is; hooks hear of it.
    LogWork {
        /// Identifier of the project.
        project: String,
        /// Code of the issue.
        code: u32,
        /// The hours of this entry; negative when an entry is deleted.
        hours: f64,
        /// The hours that remain.
        #[serde(default)]
        remaining: f64,
    },
    /// Sends an event of which the simulator has no data. One that is not in the catalogue goes to all
    /// hooks of the project.
    SendEvent {
        /// Identifier of the project.
        project: String,
        /// Its code, for example `GIT_PUSHED`.
        event: String,
        /// An object is laid into the envelope, beside `team`. A text is the whole body, as it stands.
        /// Absent: made up for pushes, merge requests and builds, an envelope without entity otherwise.
        #[serde(default)]
        body: serde_json::Value,
    },
    /// Hides a project from all credentials.
    LoseAccess {
        /// Identifier of the project.
        project: String,
        /// How it shows.
        style: AccessLoss,
    },
    /// Shows it again.
    RestoreAccess {
        /// Identifier of the project.
        project: String,
    },
}

const fn yes() -> bool {
    true
}

/// Fields of an issue to set; absent = as it is. Numbers 0 and empty texts unset.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IssueFields {
    /// `REQUIREMENT`, `MISSION`, `DEFECT`, `EPIC`, `SUB_TASK`; only when creating.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// Id of the issue type.
    pub type_id: Option<u32>,
    /// Title.
    pub name: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Id of the status.
    pub status: Option<u32>,
    /// `"0"` to `"3"`, or `""`.
    pub priority: Option<String>,
    /// Id of the user in charge.
    pub assignee: Option<u32>,
    /// Code of the iteration.
    pub iteration: Option<u32>,
    /// Code of the parent.
    pub parent: Option<u32>,
    /// Code of the epic.
    pub epic: Option<u32>,
    /// First day, `YYYY-MM-DD`, `""` unsets.
    pub start_date: Option<String>,
    /// Last day, `YYYY-MM-DD`, `""` unsets.
    pub due_date: Option<String>,
    /// Hours of work.
    pub working_hours: Option<f64>,
    /// Story points as the API spells them.
    pub story_point: Option<String>,
    /// Id of the project module.
    pub module: Option<u32>,
    /// Id of the requirement type.
    pub requirement_type: Option<u32>,
    /// Id of the defect type.
    pub defect_type: Option<u32>,
    /// Ids of all labels.
    pub labels: Option<Vec<u32>>,
    /// Ids of all watchers.
    pub watchers: Option<Vec<u32>>,
    /// Custom fields to set: id and content, in the spelling of [`Operation::CreateIssue`]'s API.
    pub custom: Vec<CustomContent>,
    /// Links to add.
    pub third_links: Vec<ThirdLink>,
}

/// The content of a custom field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CustomContent {
    /// Id of the field.
    pub id: u32,
    /// Plain text; ids of users with commas between; choices with commas between. `""` clears.
    pub content: String,
}

/// A link to another product.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThirdLink {
    /// The product, for example `CODESIGN`.
    pub third_type: String,
    /// The address or the embedding.
    pub link: String,
    /// What it is called.
    pub title: String,
}

/// A change that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// What was done, for example `set_issue`.
    pub kind: String,
    /// `Issues`, `Iterations`, `ProjectMembers`, `Users`, `Fields`, `Projects` or `Events`.
    pub table: String,
    /// Identifier of the project, empty for users and fields.
    pub project: String,
    /// Code or id of the row.
    pub key: u32,
}
