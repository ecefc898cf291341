//! Iterations: the list with its two quirks, the detail, and writing them.

use serde::Serialize;

use crate::actions::paging::{cut, overlap, rows, spoil, total};
use crate::actions::{Call, Payload, Reach};
use crate::calendar::{DAY_MS, parse_day};
use crate::config::OffsetStyle;
use crate::failure::Failure;
use crate::faults::FaultKind;
use crate::render::iteration_body;
use crate::wire::IterationBody;
use crate::world::World;
use crate::world::iteration::Iteration;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct IterationPage<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    page: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    page_size: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_page: Option<i64>,
    total_row: i64,
    list: Vec<IterationBody<'a>>,
}

/// `DescribeIterationList`, newest first. `Offset` is a page index or a row offset by the settings.
pub(crate) fn list(world: &World, call: &mut Call<'_>) -> Result<Payload, Failure> {
    let (project, reach) = call.project(world)?;
    let fields = call.fields;
    let limit = cut(call, fields.id("Limit")?.unwrap_or(0));
    let offset = fields.id("Offset")?.unwrap_or(0);
    let statuses = fields.texts("Status");
    let people = fields.ids("Assignee")?.unwrap_or_default();
    let word = fields.text("Keywords").or_else(|| fields.text("keywords")).unwrap_or("").to_lowercase();
    let (from, to) = (day(call, "StartDate")?, day(call, "EndDate")?);
    let fits = |iteration: &Iteration| {
        (statuses.is_empty() || statuses.contains(&iteration.status()))
            && (people.is_empty() || people.contains(&iteration.assignee))
            && iteration.name.to_lowercase().contains(&word)
            && from.is_none_or(|from| iteration.start_at >= from)
            && to.is_none_or(|to| iteration.end_at < to + DAY_MS)
    };
    let shown = project.iterations.values().rev().filter(|iteration| reach == Reach::Full && fits(iteration));
    let bodies: Vec<IterationBody<'_>> = shown.map(iteration_body).collect();
    let total_row = total(call, bodies.len());
    let skip = match call.config.iteration_offset {
        OffsetStyle::PageIndex => rows(offset).saturating_mul(rows(limit)),
        OffsetStyle::RowOffset => rows(offset),
    };
    let window = overlap(call, skip, rows(limit));
    let list = spoil(call, bodies.into_iter().skip(window.skip).take(window.take).collect());
    let old_style = call.config.iteration_lower_case_data || call.struck_by(FaultKind::LowerCaseData);
    let pages = total_row.saturating_add(i64::from(limit) - 1).checked_div(i64::from(limit)).unwrap_or(0);
    let body = IterationPage {
        page: old_style.then_some(offset.saturating_add(1)),
        page_size: old_style.then_some(limit),
        total_page: old_style.then_some(pages),
        total_row,
        list,
    };
    Ok(Payload::of(if old_style { "data" } else { "Data" }, &body))
}

/// `DescribeIteration`.
pub(crate) fn detail(world: &World, call: &Call<'_>) -> Result<Payload, Failure> {
    let (project, reach) = call.project(world)?;
    let code = call.fields.need_id("IterationCode")?;
    let hidden = reach == Reach::Hollow || call.struck_by(FaultKind::DetailNotFound);
    let iteration = project.iterations.get(&code).filter(|_| !hidden).ok_or_else(Failure::not_found)?;
    Ok(Payload::of("Iteration", &iteration_body(iteration)))
}

/// `CreateIteration`; the answer carries the real millisecond that later reads round down.
pub(crate) fn create(world: &mut World, call: &Call<'_>, project: &str) -> Result<Payload, Failure> {
    let name = call.fields.need_text("Name")?;
    let edit = edit(world, call)?;
    let (code, at) = world.create_iteration(project, name, "", |iteration| edit.apply(iteration))?;
    let iteration = world.need(project)?.iterations.get(&code).ok_or_else(Failure::not_found)?;
    let body = IterationBody { created_at: at, updated_at: at, ..iteration_body(iteration) };
    Ok(Payload::of("Iteration", &body))
}

/// `ModifyIteration`.
pub(crate) fn modify(world: &mut World, call: &Call<'_>, project: &str) -> Result<Payload, Failure> {
    let (code, name) = (call.fields.need_id("IterationCode")?, call.fields.need_text("Name")?);
    let edit = edit(world, call)?;
    world.rename_iteration(project, code, name, |iteration| edit.apply(iteration))?;
    let iteration = world.need(project)?.iterations.get(&code).ok_or_else(Failure::not_found)?;
    Ok(Payload::of("Iteration", &iteration_body(iteration)))
}

/// The fields of an iteration that a request sets.
struct Edit {
    goal: Option<String>,
    assignee: Option<u32>,
    start_at: Option<i64>,
    end_at: Option<i64>,
}

impl Edit {
    fn apply(self, iteration: &mut Iteration) {
        if let Some(goal) = self.goal {
            iteration.goal = goal;
        }
        iteration.assignee = self.assignee.unwrap_or(iteration.assignee);
        iteration.start_at = self.start_at.unwrap_or(iteration.start_at);
        iteration.end_at = self.end_at.unwrap_or(iteration.end_at);
    }
}

fn edit(world: &World, call: &Call<'_>) -> Result<Edit, Failure> {
    let assignee = call.fields.id("Assignee")?;
    if assignee.is_some_and(|user| user != 0 && !world.users.contains_key(&user)) {
        return Err(Failure::invalid("assignee_not_exist"));
    }
    Ok(Edit {
        goal: call.fields.text("Goal").map(str::to_owned),
        assignee,
        start_at: day(call, "StartAt")?,
        end_at: day(call, "EndAt")?.map(|start| start + DAY_MS - 1_000),
    })
}

fn day(call: &Call<'_>, key: &str) -> Result<Option<i64>, Failure> {
    let Some(text) = call.fields.text(key).filter(|text| !text.is_empty()) else { return Ok(None) };
    parse_day(text).map(Some).ok_or_else(|| Failure::invalid(format!("`{key}` is no day")))
}
