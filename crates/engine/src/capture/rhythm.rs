//! Which tables a poll looks at, when there are many projects.
//!
//! Most projects of a large team are quiet, and to look at each of them at every poll would take most of what the
//! source allows. So a poll looks at what is lively, and at the quiet ones in turn: so many that with up to that many
//! projects every poll looks at all.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::row::ProjectId;
use crate::schema::{Table, TableId};
use crate::source::Project;

/// Quiet projects whose tables with an order by update are looked at in a minute, or in a shorter poll.
const QUIET: u32 = 50;
/// Quiet projects whose tables are listed whole in a minute, or in a shorter poll: these change seldom.
const QUIET_WHOLE: u32 = 20;
/// A project is lively for so long after something new was found in it.
const LIVELY: Duration = Duration::from_mins(10);

/// When each table was looked at, and which projects are lively.
#[derive(Debug, Default)]
pub(super) struct Rhythm(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    looked: HashMap<(TableId, ProjectId), Look>,
    news: HashMap<ProjectId, Instant>,
    /// What the poll that goes on looks at.
    due: HashSet<(TableId, ProjectId)>,
}

#[derive(Clone, Copy, Debug)]
struct Look {
    began: Instant,
    /// It came to its end.
    ended: bool,
}

impl Rhythm {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a poll; polls are `interval` apart.
    pub(super) fn plan(&self, projects: &[Project], tables: &[&'static Table], interval: Duration) {
        let minutes = u32::try_from(interval.as_secs() / 60).unwrap_or(u32::MAX).max(1);
        let now = Instant::now();
        let inner = &mut *self.inner();
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < LIVELY;
        inner.news.retain(|_, at| is_recent(at));
        inner.due.clear();
        for table in tables {
            let room = if table.newest_first { QUIET } else { QUIET_WHOLE }.saturating_mul(minutes);
            let mut quiet: Vec<(Instant, ProjectId)> = Vec::new();
            for project in projects {
                match inner.looked.get(&(table.id, project.id)) {
                    // What a poll could not finish is looked at again, and takes nobody's turn.
                    Some(Look { began, ended: true }) if !inner.news.contains_key(&project.id) => {
                        quiet.push((*began, project.id));
                    }
                    _ => _ = inner.due.insert((table.id, project.id)),
                }
            }
            quiet.sort_unstable();
            let room = usize::try_from(room).unwrap_or(usize::MAX);
            inner.due.extend(quiet.into_iter().take(room).map(|(_, project)| (table.id, project)));
        }
    }

    /// Whether the poll that goes on looks at a table.
    pub(super) fn is_due(&self, project: &Project, table: &Table) -> bool {
        self.inner().due.contains(&(table.id, project.id))
    }

    /// A look at all that is new in a table begins.
    pub(super) fn begin(&self, project: &Project, table: &Table) {
        let look = Look { began: Instant::now(), ended: false };
        self.inner().looked.insert((table.id, project.id), look);
    }

    /// The look came to its end.
    pub(super) fn end(&self, project: &Project, table: &Table) {
        if let Some(look) = self.inner().looked.get_mut(&(table.id, project.id)) {
            look.ended = true;
        }
    }

    /// Something new was found in a project.
    pub(super) fn news(&self, project: ProjectId) {
        self.inner().news.insert(project, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use super::Rhythm;
    use crate::row::ProjectId;
    use crate::schema::{Table, TableId};
    use crate::source::Project;

    const MINUTE: Duration = Duration::from_mins(1);

    const fn table(id: u8, newest_first: bool) -> Table {
        Table {
            id: TableId(id),
            name: "Things",
            key_field: "Id",
            fields: &[],
            updated_field: None,
            volatile: &[],
            project_copy: None,
            look_up: newest_first,
            newest_first,
            from_inbox: false,
            project_id_column: false,
            flat: &[],
            custom: None,
        }
    }

    static ISSUES: Table = table(1, true);
    static ITERATIONS: Table = table(2, false);
    static MEMBERS: Table = table(3, false);
    const TABLES: [&Table; 3] = [&ISSUES, &ITERATIONS, &MEMBERS];

    fn projects(count: i64) -> Vec<Project> {
        (1..=count).map(|id| Project { id: ProjectId(id), name: format!("p{id}") }).collect()
    }

    /// A poll that finds nothing and fails nowhere: what it looked at.
    fn poll(rhythm: &Rhythm, projects: &[Project], interval: Duration) -> Vec<(TableId, ProjectId)> {
        rhythm.plan(projects, &TABLES, interval);
        let mut looked = Vec::new();
        for project in projects {
            for table in TABLES.into_iter().filter(|table| rhythm.is_due(project, table)) {
                rhythm.begin(project, table);
                rhythm.end(project, table);
                looked.push((table.id, project.id));
            }
        }
        looked
    }

    #[test]
    fn a_few_projects_are_looked_at_by_every_poll_however_often_that_is() {
        let (rhythm, projects) = (Rhythm::default(), projects(20));
        for interval in [Duration::from_secs(1), MINUTE, Duration::from_mins(10)] {
            for _ in 0..5 {
                assert_eq!(poll(&rhythm, &projects, interval).len(), 60);
            }
        }
    }

    #[test]
    fn of_many_quiet_projects_some_are_looked_at_in_turn() {
        let (rhythm, projects) = (Rhythm::default(), projects(300));
        assert_eq!(poll(&rhythm, &projects, MINUTE).len(), 900, "first all, whatever happened before");
        let mut looked: HashMap<_, u32> = HashMap::new();
        for _ in 0..30 {
            let this = poll(&rhythm, &projects, MINUTE);
            assert_eq!(this.len(), 90, "one and a half a second");
            this.into_iter().for_each(|one| *looked.entry(one).or_default() += 1);
        }
        let turns = |table: &Table| {
            let of = projects.iter().map(|project| looked.get(&(table.id, project.id)).copied());
            of.collect::<Vec<_>>()
        };
        assert_eq!(turns(&ISSUES), vec![Some(5); 300]);
        assert_eq!(turns(&ITERATIONS), vec![Some(2); 300]);
        assert_eq!(turns(&MEMBERS), vec![Some(2); 300]);
        assert_eq!(poll(&rhythm, &projects, Duration::from_mins(10)).len(), 700);
    }

    #[test]
    fn what_is_lively_or_was_not_finished_takes_nobodys_turn() {
        let (rhythm, projects) = (Rhythm::default(), projects(100));
        poll(&rhythm, &projects, MINUTE);
        rhythm.news(ProjectId(7));
        rhythm.plan(&projects, &TABLES, MINUTE);
        rhythm.begin(&projects[8], &ISSUES);
        for _ in 0..10 {
            let looked = {
                rhythm.plan(&projects, &TABLES, MINUTE);
                let due = |project: &&Project| rhythm.is_due(project, &ISSUES);
                projects.iter().filter(due).map(|project| project.id.0).collect::<Vec<_>>()
            };
            assert!(looked.contains(&7) && looked.contains(&9), "{looked:?}");
            assert_eq!(looked.len(), 52);
        }
    }
}
