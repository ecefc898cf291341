//! Issue types, statuses and fields.

use serde::Serialize;

use crate::actions::{Call, Payload};
use crate::failure::Failure;
use crate::render::type_body;
use crate::wire::TypeBody;
use crate::world::World;
use crate::world::catalog::{ISSUE_TYPES, Kind, STATUSES};
use crate::world::field::{Component, Field};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ProjectType {
    id: u32,
    name: &'static str,
    issue_type: &'static str,
    description: &'static str,
    is_system: bool,
    split_type: &'static str,
    split_target_issue_type_id: [u32; 0],
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ProjectStatus {
    issue_type: &'static str,
    issue_status_id: u32,
    is_default: bool,
    sort: usize,
    created_at: i64,
    updated_at: i64,
    issue_status: StatusBody,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StatusBody {
    id: u32,
    index: usize,
    name: &'static str,
    #[serde(rename = "Type")]
    kind: &'static str,
    description: &'static str,
    is_system: bool,
    created_at: i64,
    updated_at: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ProjectField<'a> {
    issue_field_id: u32,
    issue_type: &'static str,
    need_default: bool,
    required: bool,
    value_string: &'static str,
    created_at: i64,
    updated_at: i64,
    issue_field: FieldBody<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct FieldBody<'a> {
    id: u32,
    team_id: u32,
    name: &'a str,
    icon_url: &'static str,
    #[serde(rename = "Type")]
    kind: &'static str,
    component_type: &'static str,
    description: &'static str,
    options: Vec<OptionBody<'a>>,
    unit: &'a str,
    selectable: bool,
    required: bool,
    editable: bool,
    deletable: bool,
    sortable: bool,
    created_by: u32,
    created_at: i64,
    updated_at: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct OptionBody<'a> {
    title: &'a str,
    value: &'a str,
    sort: usize,
    icon: &'static str,
}

/// `DescribeTeamIssueTypeList`.
pub(crate) fn team_types() -> Payload {
    let types: Vec<TypeBody> = ISSUE_TYPES.iter().map(|entry| type_body(entry.id)).collect();
    Payload::of("IssueTypes", &types)
}

/// `DescribeProjectIssueTypeList`.
pub(crate) fn project_types(world: &World, call: &Call<'_>) -> Result<Payload, Failure> {
    call.project(world)?;
    let types = ISSUE_TYPES.iter().map(|entry| ProjectType {
        id: entry.id,
        name: entry.name,
        issue_type: entry.kind.as_str(),
        description: entry.description,
        is_system: entry.is_system,
        split_type: if entry.kind == Kind::Requirement { "ALL_REQUIREMENT" } else { "UNSPLITTABLE" },
        split_target_issue_type_id: [],
    });
    Ok(Payload::of("IssueTypes", &types.collect::<Vec<_>>()))
}

fn kind(call: &Call<'_>) -> Result<Kind, Failure> {
    let text = call.fields.need_text("IssueType")?;
    Kind::parse(text).ok_or_else(|| Failure::invalid(format!("`{text}` is no issue type")))
}

/// `DescribeProjectIssueStatusList`.
pub(crate) fn statuses(world: &World, call: &Call<'_>) -> Result<Payload, Failure> {
    let (project, _) = call.project(world)?;
    let (issue_type, at) = (kind(call)?.as_str(), project.created_at);
    let list = STATUSES.iter().enumerate().map(|(index, status)| ProjectStatus {
        issue_type,
        issue_status_id: status.id,
        is_default: index == 0,
        sort: index,
        created_at: at,
        updated_at: at,
        issue_status: StatusBody {
            id: status.id,
            index,
            name: status.name,
            kind: status.phase.as_str(),
            description: "",
            is_system: index < 5,
            created_at: world.created_at,
            updated_at: world.created_at,
        },
    });
    Ok(Payload::of("ProjectIssueStatusList", &list.collect::<Vec<_>>()))
}

/// `DescribeProjectIssueFieldList`: two of the system's fields and all custom ones.
pub(crate) fn fields(world: &World, call: &Call<'_>) -> Result<Payload, Failure> {
    let (project, _) = call.project(world)?;
    let issue_type = kind(call)?.as_str();
    let watchers = "{\"type\":\"VARIABLE\",\"value\":\"CREATOR\"}";
    let of_team = [
        (system_field(world, 80_001, "处理人", "ASSIGNEE", Component::MemberSingle), ""),
        (system_field(world, 80_002, "关注者", "WATCHER", Component::MemberMulti), watchers),
    ];
    let of_team =
        of_team.into_iter().chain(world.fields.iter().map(|field| (custom_field(world, field), "")));
    let list = of_team.map(|(field, value_string)| ProjectField {
        issue_field_id: field.id,
        issue_type,
        need_default: !value_string.is_empty(),
        required: false,
        value_string,
        created_at: project.created_at.max(field.created_at),
        updated_at: project.created_at.max(field.created_at),
        issue_field: field,
    });
    Ok(Payload::of("ProjectIssueFieldList", &list.collect::<Vec<_>>()))
}

fn system_field<'a>(
    world: &World,
    id: u32,
    name: &'a str,
    kind: &'static str,
    component: Component,
) -> FieldBody<'a> {
    FieldBody {
        id,
        team_id: world.team_id,
        name,
        icon_url: "",
        kind,
        component_type: component.as_str(),
        description: "",
        options: Vec::new(),
        unit: "",
        selectable: false,
        required: false,
        editable: false,
        deletable: false,
        sortable: true,
        created_by: 0,
        created_at: world.created_at,
        updated_at: world.created_at,
    }
}

fn custom_field<'a>(world: &World, field: &'a Field) -> FieldBody<'a> {
    let options = field.options.iter().enumerate();
    FieldBody {
        options: options.map(|(sort, title)| OptionBody { title, value: title, sort, icon: "" }).collect(),
        unit: &field.unit,
        selectable: true,
        editable: true,
        deletable: true,
        created_by: world.owner,
        created_at: field.created_at,
        updated_at: field.updated_at,
        ..system_field(world, field.id, &field.name, "CUSTOM", field.component)
    }
}
