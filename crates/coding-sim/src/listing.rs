//! Choosing the rows of one page of issues.
//!
//! The orders by code, creation and update are kept by the project: an unfiltered page by them costs
//! its rows alone, a time window is cut out by bisection. Everything else is filtered and sorted anew.

use std::collections::HashMap;

use crate::conditions::{Condition, Conditions, TimeKey};
use crate::failure::Failure;
use crate::world::World;
use crate::world::catalog::Kind;
use crate::world::issue::Issue;
use crate::world::project::Project;

/// What a list asks for.
#[derive(Debug)]
pub(crate) struct Query {
    pub(crate) kind: Option<Kind>,
    pub(crate) conditions: Conditions,
    pub(crate) sort: SortKey,
    pub(crate) descending: bool,
    pub(crate) show_sub_issues: bool,
}

/// The documented sort keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SortKey {
    Code,
    CreatedAt,
    UpdatedAt,
    Status,
    Priority,
    DueDate,
    Iteration,
    StatusType,
    Assignee,
    Parent,
    CompletedAt,
}

impl SortKey {
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        Ok(match text {
            "" | "CODE" | "PROJECT_ID" | "ISSUE_ROADMAP_SORT" => Self::Code,
            "CREATED_AT" => Self::CreatedAt,
            "UPDATED_AT" => Self::UpdatedAt,
            "STATUS" | "ISSUE_STATUS_ID" => Self::Status,
            "PRIORITY" => Self::Priority,
            "DUE_DATE" => Self::DueDate,
            "JOIN_ITERATION_AT" | "ISSUE_ITERATION_SORT" => Self::Iteration,
            "STATUS_TYPE" => Self::StatusType,
            "ASSIGNEE" => Self::Assignee,
            "PARENT_ID" => Self::Parent,
            "COMPLETED_AT" => Self::CompletedAt,
            _ => return Err(Failure::invalid(format!("`{text}` is no sort key"))),
        })
    }

    fn of(self, issue: &Issue) -> i64 {
        match self {
            Self::Code => i64::from(issue.code),
            Self::CreatedAt => issue.created_at,
            Self::UpdatedAt => issue.updated_at,
            Self::Status => i64::from(issue.status),
            Self::Priority if issue.priority > 3 => -1,
            Self::Priority => i64::from(issue.priority),
            Self::DueDate => issue.due_date,
            Self::Iteration => i64::from(issue.iteration),
            Self::StatusType => match issue.phase() {
                crate::world::catalog::Phase::Todo => 0,
                crate::world::catalog::Phase::Processing => 1,
                crate::world::catalog::Phase::Completed => 2,
            },
            Self::Assignee => i64::from(issue.assignee),
            Self::Parent => i64::from(issue.parent),
            Self::CompletedAt => issue.completed_at,
        }
    }
}

/// A part of a list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) skip: usize,
    pub(crate) take: usize,
}

/// The rows of a window and the number of all rows that match. `past` overrides rows with how they were.
pub(crate) fn select<'a>(
    world: &'a World,
    project: &'a Project,
    query: &Query,
    window: Window,
    past: &HashMap<u32, Option<&'a Issue>>,
) -> (usize, Vec<&'a Issue>) {
    let fits = |issue: &Issue| {
        (query.show_sub_issues || !issue.is_sub_issue())
            && query.kind.is_none_or(|kind| issue.kind == kind)
            && query.conditions.iter().all(|condition| condition.holds(world, issue))
    };
    if !past.is_empty() {
        let now = project.codes().iter().filter(|code| !past.contains_key(code));
        let now = now.filter_map(|code| project.issue(*code));
        let rows = now.chain(past.values().copied().flatten()).filter(|issue| fits(issue)).collect();
        return sorted(query, window, rows);
    }
    let order = match query.sort {
        SortKey::Code => Order::Codes(project.codes()),
        SortKey::CreatedAt => Order::Timed(narrow(project.by_created(), query, TimeKey::Created)),
        SortKey::UpdatedAt => Order::Timed(narrow(project.by_updated(), query, TimeKey::Updated)),
        _ => {
            let rows = project.codes().iter().filter_map(|code| project.issue(*code));
            return sorted(query, window, rows.filter(|issue| fits(issue)).collect());
        }
    };
    let at = |position: usize| {
        let position = if query.descending { order.len().checked_sub(position + 1)? } else { position };
        project.issue(order.code(position)?)
    };
    let ordered_by_window = match query.conditions.as_slice() {
        [] => true,
        [Condition::Between(TimeKey::Created, ..)] => query.sort == SortKey::CreatedAt,
        [Condition::Between(TimeKey::Updated, ..)] => query.sort == SortKey::UpdatedAt,
        _ => false,
    };
    if ordered_by_window && query.show_sub_issues && query.kind.is_none() {
        let end = window.skip.saturating_add(window.take).min(order.len());
        return (order.len(), (window.skip..end).filter_map(at).collect());
    }
    let mut total = 0_usize;
    let mut rows = Vec::with_capacity(window.take.min(1_000));
    for issue in (0..order.len()).filter_map(at).filter(|issue| fits(issue)) {
        if total >= window.skip && rows.len() < window.take {
            rows.push(issue);
        }
        total += 1;
    }
    (total, rows)
}

/// An order that the project keeps.
enum Order<'a> {
    Codes(&'a [u32]),
    Timed(&'a [(i64, u32)]),
}

impl Order<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Codes(codes) => codes.len(),
            Self::Timed(times) => times.len(),
        }
    }

    fn code(&self, at: usize) -> Option<u32> {
        match self {
            Self::Codes(codes) => codes.get(at).copied(),
            Self::Timed(times) => times.get(at).map(|(_, code)| *code),
        }
    }
}

/// The part of an order that lies in the query's window of the same time.
fn narrow<'a>(order: &'a [(i64, u32)], query: &Query, key: TimeKey) -> &'a [(i64, u32)] {
    let mut part = order;
    for condition in &query.conditions {
        if let Condition::Between(time, from, to) = condition
            && *time == key
        {
            let start = part.partition_point(|(at, _)| at < from);
            let end = part.partition_point(|(at, _)| at <= to);
            part = part.get(start..end).unwrap_or(&[]);
        }
    }
    part
}

fn sorted<'a>(query: &Query, window: Window, mut rows: Vec<&'a Issue>) -> (usize, Vec<&'a Issue>) {
    rows.sort_unstable_by_key(|issue| (query.sort.of(issue), issue.code));
    if query.descending {
        rows.reverse();
    }
    (rows.len(), rows.into_iter().skip(window.skip).take(window.take).collect())
}
