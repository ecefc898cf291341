//! Members of projects and of the team.

use serde::Serialize;

use crate::actions::paging::{Page, spoil, total};
use crate::actions::{Call, Payload, Reach};
use crate::failure::Failure;
use crate::render::{member_body, project_members as member_bodies, team_roles};
use crate::wire::MemberBody;
use crate::world::World;
use crate::world::catalog::{PROJECT_ROLES, Role};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ProjectMemberPage<'a> {
    page_number: u32,
    page_size: u32,
    total_count: i64,
    project_members: Vec<MemberBody<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TeamMemberPage<'a> {
    page_number: u32,
    page_size: u32,
    total_count: i64,
    team_members: Vec<MemberBody<'a>>,
}

/// `DescribeProjectMembers`, ascending by id.
pub(crate) fn project_members(world: &World, call: &mut Call<'_>) -> Result<Payload, Failure> {
    let (project, reach) = call.project_by_id(world)?;
    let page = Page::read(call)?;
    let role = call.fields.id("RoleId")?;
    let hidden = reach == Reach::Hollow || call.faults.members_empty;
    let members: Vec<MemberBody<'_>> = member_bodies(world, project)
        .filter(|member| {
            !hidden && role.is_none_or(|role| member.roles.iter().any(|known| known.role_id == role))
        })
        .collect();
    let (total_count, rows) = one_page(call, page, members);
    let body = ProjectMemberPage {
        page_number: page.number,
        page_size: page.size,
        total_count,
        project_members: rows,
    };
    Ok(Payload::of("Data", &body))
}

/// `DescribeTeamMembers`, ascending by id.
pub(crate) fn team_members(world: &World, call: &mut Call<'_>) -> Result<Payload, Failure> {
    let page = Page::read(call)?;
    let members =
        world.users.values().map(|user| member_body(world, user, team_roles(world, user.id))).collect();
    let (total_count, rows) = one_page(call, page, members);
    let body =
        TeamMemberPage { page_number: page.number, page_size: page.size, total_count, team_members: rows };
    Ok(Payload::of("Data", &body))
}

fn one_page<'a>(call: &mut Call<'_>, page: Page, members: Vec<MemberBody<'a>>) -> (i64, Vec<MemberBody<'a>>) {
    let window = page.window(call);
    let total = total(call, members.len());
    (total, spoil(call, members.into_iter().skip(window.skip).take(window.take).collect()))
}

/// `DescribeProjectRoles`.
pub(crate) fn roles(world: &World, call: &Call<'_>) -> Result<Payload, Failure> {
    let (_, reach) = call.project_by_id(world)?;
    let roles: &[Role] = if reach == Reach::Hollow { &[] } else { &PROJECT_ROLES };
    Ok(Payload::of("Roles", &roles))
}
