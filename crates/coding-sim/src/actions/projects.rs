//! Looking up and listing projects.

use serde::Serialize;

use crate::actions::paging::{Page, spoil, total};
use crate::actions::{Call, Payload};
use crate::failure::Failure;
use crate::render::project_body;
use crate::wire::ProjectBody;
use crate::world::World;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ProjectPage<'a> {
    page_number: u32,
    page_size: u32,
    total_count: i64,
    project_list: Vec<ProjectBody<'a>>,
}

/// `DescribeProjectByName`.
pub(crate) fn by_name(world: &World, call: &Call<'_>) -> Result<Payload, Failure> {
    let (project, _) = call.project(world)?;
    Ok(Payload::of("Project", &project_body(world, project)))
}

/// `DescribeOneProject`.
pub(crate) fn by_id(world: &World, call: &Call<'_>) -> Result<Payload, Failure> {
    let (project, _) = call.project_by_id(world)?;
    Ok(Payload::of("Project", &project_body(world, project)))
}

/// `DescribeUserProjects`: those that the user is a member of; the token's user is in all of them.
/// Accepts `userId`, which some clients send.
pub(crate) fn of_user(world: &World, call: &Call<'_>) -> Result<Payload, Failure> {
    let user = match call.fields.id("UserId")? {
        Some(user) => user,
        None => call.fields.need_id("userId").map_err(|_| Failure::missing("UserId"))?,
    };
    let listed = shown(world, call).into_iter().filter(|body| {
        user == world.owner || world.project_by_id(body.id).is_some_and(|p| p.members.contains_key(&user))
    });
    Ok(Payload::of("ProjectList", &listed.collect::<Vec<_>>()))
}

/// `DescribeCodingProjects`.
pub(crate) fn all(world: &World, call: &mut Call<'_>) -> Result<Payload, Failure> {
    let page = Page::read(call)?;
    let window = page.window(call);
    let projects = shown(world, call);
    let total_count = total(call, projects.len());
    let rows = projects.into_iter().skip(window.skip).take(window.take).collect();
    let body = ProjectPage {
        page_number: page.number,
        page_size: page.size,
        total_count,
        project_list: spoil(call, rows),
    };
    Ok(Payload::of("Data", &body))
}

fn shown<'a>(world: &'a World, call: &Call<'_>) -> Vec<ProjectBody<'a>> {
    let filter = call.fields.text("ProjectName").unwrap_or("");
    world
        .projects
        .iter()
        .filter(|project| call.lists(project) && project.name.contains(filter))
        .map(|project| project_body(world, project))
        .collect()
}
