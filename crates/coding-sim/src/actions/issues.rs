//! Issues: the list, the detail, the children, and writing them.

use std::time::Duration;

use serde::Serialize;

use crate::actions::paging::{Page, spoil, total};
use crate::actions::{Call, Payload, Reach};
use crate::conditions;
use crate::failure::Failure;
use crate::faults::FaultKind;
use crate::listing::{Query, SortKey, select};
use crate::operation::{CustomContent, IssueFields, ThirdLink};
use crate::render::{is_listable, issue_detail, issue_row};
use crate::request::Fields;
use crate::wire::IssueRow;
use crate::world::World;
use crate::world::catalog::Kind;
use crate::world::issue::Issue;
use crate::world::project::Project;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct IssuePage<'a> {
    page_number: u32,
    page_size: u32,
    total_page: i64,
    total_count: i64,
    list: Vec<IssueRow<'a>>,
}

/// `DescribeIssueListWithPage`.
pub(crate) fn list(world: &World, call: &mut Call<'_>) -> Result<Payload, Failure> {
    let (project, reach) = call.project(world)?;
    let query = query(project, call.fields)?;
    let page = Page::read(call)?;
    let body = if reach == Reach::Hollow {
        IssuePage {
            page_number: page.number,
            page_size: page.size,
            total_page: 0,
            total_count: 0,
            list: Vec::new(),
        }
    } else {
        let mut past = world.as_of(project.id, age(call));
        let lag = Duration::from_secs(u64::from(call.faults.listing_lag_seconds));
        past.extend(world.as_of(project.id, lag).into_iter().filter(|(_, before)| before.is_none()));
        let (rows, issues) = select(world, project, &query, page.window(call), &past);
        let total_count = total(call, rows);
        let issues: Vec<&Issue> = spoil(call, issues);
        IssuePage {
            page_number: page.number,
            page_size: page.size,
            total_page: page.count(total_count),
            total_count,
            list: issues.into_iter().map(|issue| issue_row(world, project, issue)).collect(),
        }
    };
    Ok(Payload::of("Data", &body))
}

/// How old the rows of a list are.
fn age(call: &Call<'_>) -> Duration {
    /// A stale list is this old unless the faults say otherwise.
    const STALE_SECONDS: u32 = 5;
    let struck = call.struck_by(FaultKind::StaleList);
    let once = match call.faults.stale_seconds {
        _ if !struck => 0,
        0 => STALE_SECONDS,
        seconds => seconds,
    };
    Duration::from_secs(u64::from(once.max(call.faults.listing_age_seconds)))
}

fn query(project: &Project, fields: Fields<'_>) -> Result<Query, Failure> {
    let kind = match fields.need_text("IssueType")? {
        "ALL" => None,
        text => {
            let known = Kind::parse(text).filter(|kind| is_listable(*kind));
            Some(known.ok_or_else(|| Failure::invalid(format!("`{text}` is no issue type")))?)
        }
    };
    let descending = match fields.text("SortValue").unwrap_or("DESC") {
        "DESC" | "" => true,
        "ASC" => false,
        other => return Err(Failure::invalid(format!("`{other}` is no sort value"))),
    };
    Ok(Query {
        kind,
        conditions: conditions::read(project, fields)?,
        sort: SortKey::parse(fields.text("SortKey").unwrap_or(""))?,
        descending,
        show_sub_issues: fields.flag("ShowSubIssues"),
    })
}

/// `DescribeIssue`.
pub(crate) fn detail(world: &World, call: &mut Call<'_>) -> Result<Payload, Failure> {
    let (project, issue) = one(world, call)?;
    Ok(Payload::of("Issue", &issue_detail(world, project, issue, &mut call.dice)))
}

/// `DescribeSubIssueList`.
pub(crate) fn sub_issues(world: &World, call: &Call<'_>) -> Result<Payload, Failure> {
    let (project, reach) = call.project(world)?;
    if reach == Reach::Hollow {
        return Ok(Payload::of("SubIssueList", &[(); 0]));
    }
    let (_, issue) = one(world, call)?;
    let rows = project.children(issue.code).filter_map(|code| project.issue(code));
    let rows: Vec<IssueRow<'_>> = rows.map(|issue| issue_row(world, project, issue)).collect();
    Ok(Payload::of("SubIssueList", &rows))
}

fn one<'w>(world: &'w World, call: &Call<'_>) -> Result<(&'w Project, &'w Issue), Failure> {
    let (project, reach) = call.project(world)?;
    let code = call.fields.need_id("IssueCode")?;
    let hidden = reach == Reach::Hollow || call.struck_by(FaultKind::DetailNotFound);
    let issue = project.issue(code).filter(|_| !hidden).ok_or_else(Failure::not_found)?;
    Ok((project, issue))
}

/// `CreateIssue`; the answer carries the real millisecond that later reads round down.
pub(crate) fn create(world: &mut World, call: &mut Call<'_>, project: &str) -> Result<Payload, Failure> {
    let mut fields = form(call.fields)?;
    fields.kind = Some(call.fields.need_text("Type")?.to_owned());
    call.fields.need_text("Name")?;
    call.fields.value("Priority").ok_or_else(|| Failure::missing("Priority"))?;
    fields.labels = call.fields.ids("LabelIds")?;
    fields.watchers = call.fields.ids("WatcherIds")?;
    let (code, at) = world.create_issue(project, &fields)?;
    let place = world.need(project)?;
    let issue = place.issue(code).ok_or_else(Failure::not_found)?;
    let mut body = issue_detail(world, place, issue, &mut call.dice);
    (body.created_at, body.updated_at) = (at, at);
    Ok(Payload::of("Issue", &body))
}

/// `ModifyIssue`: what is named changes, lists by adding and removing.
pub(crate) fn modify(world: &mut World, call: &mut Call<'_>, project: &str) -> Result<Payload, Failure> {
    let code = call.fields.need_id("IssueCode")?;
    let mut fields = form(call.fields)?;
    let issue = world.need(project)?.issue(code).ok_or_else(Failure::not_found)?;
    fields.labels = edited(call.fields, &issue.labels, ["LabelIds", "DelLabelIds", "UpdateLabelIds"])?;
    fields.watchers =
        edited(call.fields, &issue.watchers, ["WatcherIds", "DelWatcherIds", "UpdateWatchers"])?;
    world.set_issue(project, code, &fields, true)?;
    let place = world.need(project)?;
    let issue = place.issue(code).ok_or_else(Failure::not_found)?;
    Ok(Payload::of("Issue", &issue_detail(world, place, issue, &mut call.dice)))
}

fn edited(
    fields: Fields<'_>,
    now: &[u32],
    [add, remove, replace]: [&str; 3],
) -> Result<Option<Vec<u32>>, Failure> {
    let (added, removed, replaced) = (fields.ids(add)?, fields.ids(remove)?, fields.ids(replace)?);
    if added.is_none() && removed.is_none() && replaced.is_none() {
        return Ok(None);
    }
    let mut ids = replaced.unwrap_or_else(|| now.to_vec());
    ids.extend(added.unwrap_or_default());
    let removed = removed.unwrap_or_default();
    ids.retain(|id| !removed.contains(id));
    ids.sort_unstable();
    ids.dedup();
    Ok(Some(ids))
}

fn form(fields: Fields<'_>) -> Result<IssueFields, Failure> {
    let text = |key: &str| fields.text(key).map(str::to_owned);
    let priority =
        fields.value("Priority").map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    Ok(IssueFields {
        kind: None,
        type_id: fields.id("IssueTypeId")?,
        name: text("Name"),
        description: text("Description"),
        status: fields.id("StatusId")?,
        priority,
        assignee: fields.id("AssigneeId")?,
        iteration: fields.id("IterationCode")?,
        parent: fields.id("ParentCode")?,
        epic: fields.id("EpicCode")?,
        start_date: text("StartDate"),
        due_date: text("DueDate"),
        working_hours: fields.number("WorkingHours"),
        story_point: text("StoryPoint"),
        module: fields.id("ProjectModuleId")?,
        requirement_type: fields.id("RequirementTypeId")?,
        defect_type: fields.id("DefectTypeId")?,
        labels: None,
        watchers: None,
        custom: customs(fields)?,
        third_links: links(fields)?,
    })
}

fn objects<'a>(fields: Fields<'a>, key: &str) -> Vec<Fields<'a>> {
    let items = fields.value(key).and_then(|value| value.as_array()).map(Vec::as_slice).unwrap_or_default();
    items.iter().filter_map(|item| item.as_object()).map(Fields).collect()
}

fn customs(fields: Fields<'_>) -> Result<Vec<CustomContent>, Failure> {
    let read = |entry: Fields<'_>| {
        Ok(CustomContent {
            id: entry.need_id("Id")?,
            content: entry.text("Content").unwrap_or("").to_owned(),
        })
    };
    objects(fields, "CustomFieldValues").into_iter().map(read).collect()
}

fn links(fields: Fields<'_>) -> Result<Vec<ThirdLink>, Failure> {
    let read = |entry: Fields<'_>| {
        Ok(ThirdLink {
            third_type: entry.need_text("ThirdType")?.to_owned(),
            link: entry.need_text("Link")?.to_owned(),
            title: entry.need_text("Title")?.to_owned(),
        })
    };
    objects(fields, "ThirdLinks").into_iter().map(read).collect()
}
