//! An iteration and the running tally of its issues.

use crate::world::catalog::Phase;
use crate::world::issue::Issue;

/// One iteration. Times in milliseconds; unset days are [`crate::calendar::UNSET_DAY`].
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Iteration {
    /// Database id, unique in the team; `IterationId` of an issue refers to it.
    pub(crate) id: u32,
    /// Public number, unique in the project.
    pub(crate) code: u32,
    pub(crate) name: String,
    pub(crate) goal: String,
    pub(crate) phase: Phase,
    pub(crate) start_at: i64,
    pub(crate) end_at: i64,
    pub(crate) assignee: u32,
    pub(crate) creator: u32,
    pub(crate) starter: u32,
    pub(crate) completer: u32,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    /// Kept by the project's index.
    pub(crate) tally: Tally,
}

impl Iteration {
    /// The status as the API spells it; waiting is named differently here than on issues.
    pub(crate) const fn status(&self) -> &'static str {
        match self.phase {
            Phase::Todo => "WAIT_PROCESS",
            Phase::Processing => "PROCESSING",
            Phase::Completed => "COMPLETED",
        }
    }
}

/// How many issues of each phase an iteration holds, and their story points.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    pub(crate) todo: Share,
    pub(crate) processing: Share,
    pub(crate) completed: Share,
}

/// A number of issues and the story points of them, in halves so that sums stay exact.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Share {
    pub(crate) issues: i64,
    pub(crate) half_points: i64,
}

impl Tally {
    /// Counts an issue in (`1`) or out (`-1`).
    pub(crate) fn count(&mut self, issue: &Issue, sign: i64) {
        let share = match issue.phase() {
            Phase::Todo => &mut self.todo,
            Phase::Processing => &mut self.processing,
            Phase::Completed => &mut self.completed,
        };
        share.issues += sign;
        share.half_points += sign * half_points(&issue.story_point);
    }

    /// Completed issues as a percentage with two digits.
    pub(crate) fn percent(&self) -> f64 {
        let total = self.todo.issues + self.processing.issues + self.completed.issues;
        let per_10_000 = self.completed.issues.saturating_mul(10_000).checked_div(total).unwrap_or(0);
        f64::from(i32::try_from(per_10_000).unwrap_or(0)) / 100.0
    }
}

impl Share {
    /// The story points.
    pub(crate) fn points(self) -> f64 {
        f64::from(i32::try_from(self.half_points).unwrap_or(0)) / 2.0
    }
}

fn half_points(text: &str) -> i64 {
    let Some((whole, fraction)) = text.split_once('.') else {
        return text.parse::<i32>().map_or(0, |points| i64::from(points) * 2);
    };
    whole.parse::<i32>().map_or(0, |points| i64::from(points) * 2 + i64::from(fraction.starts_with('5')))
}
