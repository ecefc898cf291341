//! The bodies of answers: what each object looks like as JSON. The list row and the detail differ
//! exactly as the service's do. Filled by [`crate::render`].

use std::borrow::Cow;

use serde::Serialize;

use crate::world::catalog::Role;

/// A user inside an issue, stripped as in recorded bodies.
#[derive(Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct UserBody<'a> {
    pub(crate) id: u32,
    pub(crate) status: i8,
    pub(crate) avatar: &'a str,
    pub(crate) name: &'a str,
    pub(crate) email: &'static str,
    pub(crate) team_id: u32,
    pub(crate) phone: &'static str,
    pub(crate) global_key: &'static str,
    pub(crate) team_global_key: &'static str,
}

/// An issue type as issues carry it.
#[derive(Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TypeBody {
    pub(crate) id: u32,
    pub(crate) name: &'static str,
    pub(crate) issue_type: &'static str,
    pub(crate) description: &'static str,
    pub(crate) is_system: bool,
}

/// The iteration of an issue; only lists have the id.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct IterationBrief<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<u32>,
    pub(crate) code: u32,
    pub(crate) name: &'a str,
    pub(crate) status: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LabelBody<'a> {
    pub(crate) id: u32,
    pub(crate) name: &'a str,
    pub(crate) color: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CustomBody<'a> {
    pub(crate) id: u32,
    pub(crate) name: &'a str,
    pub(crate) value_string: Cow<'a, str>,
}

/// A row of the issue lists.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct IssueRow<'a> {
    pub(crate) code: u32,
    #[serde(rename = "Type")]
    pub(crate) kind: &'static str,
    pub(crate) parent_type: &'static str,
    pub(crate) name: Cow<'a, str>,
    pub(crate) description: Cow<'a, str>,
    pub(crate) iteration_id: u32,
    pub(crate) iteration: IterationBrief<'a>,
    pub(crate) issue_status_id: u32,
    pub(crate) issue_status_name: &'static str,
    pub(crate) issue_status_type: &'static str,
    pub(crate) issue_type_id: u32,
    pub(crate) issue_type_detail: TypeBody,
    pub(crate) priority: &'static str,
    pub(crate) assignee_id: u32,
    pub(crate) assignees: Vec<UserBody<'a>>,
    pub(crate) creator_id: u32,
    pub(crate) start_date: i64,
    pub(crate) due_date: i64,
    pub(crate) working_hours: f64,
    pub(crate) story_point: &'a str,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) completed_at: i64,
    pub(crate) parent_id: u32,
    pub(crate) parent_code: u32,
    pub(crate) custom_fields: Vec<CustomBody<'a>>,
    pub(crate) labels: Vec<LabelBody<'a>>,
}

/// One issue with everything.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct IssueDetail<'a> {
    pub(crate) epic: EpicBody<'a>,
    pub(crate) parent_type: &'static str,
    pub(crate) code: u32,
    #[serde(rename = "Type")]
    pub(crate) kind: &'static str,
    pub(crate) name: Cow<'a, str>,
    pub(crate) description: Cow<'a, str>,
    pub(crate) iteration_id: u32,
    pub(crate) iteration: IterationBrief<'a>,
    pub(crate) issue_status_id: u32,
    pub(crate) issue_status_name: &'static str,
    pub(crate) issue_status_type: &'static str,
    pub(crate) issue_type_id: u32,
    pub(crate) issue_type_detail: TypeBody,
    pub(crate) priority: &'static str,
    pub(crate) assignee: UserBody<'a>,
    pub(crate) assignees: Vec<UserBody<'a>>,
    pub(crate) creator: UserBody<'a>,
    pub(crate) start_date: i64,
    pub(crate) due_date: i64,
    pub(crate) working_hours: f64,
    pub(crate) story_point: &'a str,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) completed_at: i64,
    pub(crate) project_module: NamedBody<'a>,
    pub(crate) watchers: Vec<UserBody<'a>>,
    pub(crate) labels: Vec<LabelBody<'a>>,
    pub(crate) files: Vec<FileBody<'a>>,
    pub(crate) requirement_type: NamedBody<'a>,
    pub(crate) defect_type: DefectTypeBody,
    pub(crate) custom_fields: Vec<CustomBody<'a>>,
    pub(crate) third_links: Vec<LinkBody<'a>>,
    pub(crate) sub_tasks: Vec<SubTaskBody<'a>>,
    pub(crate) parent: ParentBody<'a>,
    pub(crate) project: ProjectBody<'a>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct EpicBody<'a> {
    pub(crate) code: u32,
    #[serde(rename = "Type")]
    pub(crate) kind: &'static str,
    pub(crate) name: Cow<'a, str>,
    pub(crate) issue_status_id: u32,
    pub(crate) issue_status_name: &'static str,
    pub(crate) priority: &'static str,
    pub(crate) assignee: UserBody<'a>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ParentBody<'a> {
    pub(crate) code: u32,
    #[serde(rename = "Type")]
    pub(crate) kind: &'static str,
    pub(crate) name: Cow<'a, str>,
    pub(crate) issue_status_id: u32,
    pub(crate) issue_status_name: &'static str,
    pub(crate) issue_status_type: &'static str,
    pub(crate) priority: &'static str,
    pub(crate) assignee: UserBody<'a>,
    pub(crate) issue_type_detail: TypeBody,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SubTaskBody<'a> {
    pub(crate) code: u32,
    pub(crate) name: Cow<'a, str>,
    #[serde(rename = "Type")]
    pub(crate) kind: &'static str,
    pub(crate) priority: &'static str,
    pub(crate) issue_status_id: u32,
    pub(crate) issue_status_name: &'static str,
    pub(crate) assignee: UserBody<'a>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct NamedBody<'a> {
    pub(crate) id: u32,
    pub(crate) name: &'a str,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DefectTypeBody {
    pub(crate) id: u32,
    pub(crate) name: &'static str,
    pub(crate) icon_url: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct FileBody<'a> {
    pub(crate) file_id: u32,
    pub(crate) name: &'a str,
    pub(crate) size: u32,
    #[serde(rename = "Type")]
    pub(crate) kind: u8,
    /// Temporary: its signature differs at every answer.
    pub(crate) url: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LinkBody<'a> {
    pub(crate) id: u32,
    pub(crate) third_type: &'a str,
    pub(crate) link: &'a str,
    pub(crate) title: &'a str,
}

/// A project; inside an issue mostly zeroed.
#[derive(Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ProjectBody<'a> {
    pub(crate) id: u32,
    pub(crate) name: &'a str,
    pub(crate) display_name: &'a str,
    pub(crate) description: &'a str,
    pub(crate) icon: &'static str,
    #[serde(rename = "Type")]
    pub(crate) kind: u8,
    pub(crate) status: u8,
    pub(crate) max_member: u32,
    pub(crate) team_id: u32,
    pub(crate) team_owner_id: u32,
    pub(crate) user_owner_id: u32,
    pub(crate) start_date: i64,
    pub(crate) end_date: i64,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) is_demo: bool,
    pub(crate) archived: bool,
    pub(crate) program_ids: [u32; 0],
}

/// An iteration.
#[derive(Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct IterationBody<'a> {
    pub(crate) id: u32,
    pub(crate) code: u32,
    pub(crate) name: &'a str,
    pub(crate) goal: &'a str,
    pub(crate) status: &'static str,
    pub(crate) start_at: i64,
    pub(crate) end_at: i64,
    pub(crate) assignee: u32,
    pub(crate) creator: u32,
    pub(crate) starter: u32,
    pub(crate) completer: u32,
    pub(crate) deleter: u32,
    pub(crate) wait_process_count: i64,
    pub(crate) processing_count: i64,
    pub(crate) completed_count: i64,
    pub(crate) completed_percent: f64,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) completed_story_point: f64,
    pub(crate) all_story_point: f64,
    pub(crate) todo_story_point: f64,
    pub(crate) process_story_point: f64,
}

/// A member of a project or of the team.
#[derive(Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct MemberBody<'a> {
    pub(crate) id: u32,
    pub(crate) team_id: u32,
    pub(crate) name: &'a str,
    #[serde(rename = "NamePinYin")]
    pub(crate) name_pinyin: &'a str,
    pub(crate) avatar: &'a str,
    pub(crate) email: &'a str,
    pub(crate) phone: &'a str,
    pub(crate) email_validation: u8,
    pub(crate) phone_validation: u8,
    pub(crate) status: i8,
    pub(crate) global_key: &'a str,
    pub(crate) roles: Vec<&'static Role>,
    pub(crate) unique_ext_field: &'static str,
    pub(crate) department_member: DepartmentBody,
}

/// The department of a member: nobody has one here.
#[derive(Clone, Default, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DepartmentBody {
    pub(crate) ref_id: u32,
    pub(crate) third_party_id: &'static str,
    pub(crate) third_party_name: &'static str,
    pub(crate) third_party_avatar: &'static str,
    pub(crate) refs: [u8; 0],
}
