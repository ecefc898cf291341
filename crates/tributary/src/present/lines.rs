//! Progress as log lines: what happened since the last look at the board.
//!
//! [`Lines::tick`] is pure but for its memory; [`Line::log`] writes. Only counts and names appear, never rows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use engine::problem::Problem;
use engine::status::{Held, State, Status, Written};
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{info, warn};

use super::pace::Pace;
use super::text::{count, plural, span};

/// Between two lines about the same progress.
const PROGRESS: Duration = Duration::from_secs(10);

/// Something worth a line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Line {
    /// A first reading goes on.
    Loading { table: String, rows: u64, total: Option<u64>, per_second: Option<u64>, left: Option<Duration> },
    /// A first reading is complete.
    Loaded { table: String, rows: u64 },
    /// Details are still being fetched.
    Details { pending: u64, per_second: Option<u64>, left: Option<Duration> },
    /// No detail is pending any more.
    Detailed,
    /// A task still copies rows of the mirror.
    Copying { task: String, rows: u64, total: Option<u64> },
    /// A task wrote changes.
    Changed { task: String, table: String, by: Written, delay_ms: Option<i64> },
    /// Somebody waits.
    Waiting { who: String, problem: Problem },
    /// Somebody goes on after a wait.
    Resumed { who: String, after: Duration },
    /// Deletes are held.
    Held { table: String, held: Held },
    /// Held deletes are no longer held.
    Released { table: String },
    /// Something is known to be missing or wrong.
    Note { table: String, note: String },
    /// A task rebuilds its target.
    Rebuilding { task: String },
    /// All is read; changes are followed.
    Following,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Loading { table, rows, total, per_second, left } => {
                write!(f, "loading {table}: {}", count(*rows))?;
                match total {
                    Some(total) => write!(f, " of {}", plural(*total, "row"))?,
                    None => write!(f, " rows")?,
                }
                pace(f, *per_second, *left)
            }
            Line::Loaded { table, rows } => write!(f, "loaded {table}: {}", plural(*rows, "row")),
            Line::Details { pending, per_second, left } => {
                write!(f, "fetching details: {} to go", count(*pending))?;
                pace(f, *per_second, *left)
            }
            Line::Detailed => f.write_str("all details are there"),
            Line::Copying { task, rows, total: None } => {
                write!(f, "{task}: {} written", plural(*rows, "row"))
            }
            Line::Copying { task, rows, total: Some(total) } => {
                write!(f, "{task}: {} of {} written", count(*rows), plural(*total, "row"))
            }
            Line::Changed { task, table, by, delay_ms } => {
                write!(f, "{task}: {table}")?;
                let mut separator = " ";
                for (number, word) in [
                    (by.inserted, "inserted"),
                    (by.updated, "updated"),
                    (by.deleted, "deleted"),
                    (by.detailed, "detailed"),
                    (by.put_aside, "put aside"),
                ] {
                    if number > 0 {
                        write!(f, "{separator}{} {word}", count(number))?;
                        separator = ", ";
                    }
                }
                match delay_ms.and_then(|ms| u64::try_from(ms).ok()) {
                    Some(ms) => write!(f, ", {} after it was seen", span(Duration::from_millis(ms))),
                    None => Ok(()),
                }
            }
            Line::Waiting { who, problem } => write!(f, "{who} waits. {problem}"),
            Line::Resumed { who, after } => write!(f, "{who} goes on after {}", span(*after)),
            Line::Held { table, held } => write!(
                f,
                "{table}: {} of {} vanished at once; their deletes are held. Check the source; if it is \
                 right, run `sync` with --accept-deletes",
                count(held.rows),
                plural(held.of, "row"),
            ),
            Line::Released { table } => write!(f, "{table}: deletes are no longer held"),
            Line::Note { table, note } => write!(f, "{table}: {note}"),
            Line::Rebuilding { task } => write!(f, "{task}: the target is rebuilt from the mirror"),
            Line::Following => f.write_str("everything is read; following changes"),
        }
    }
}

fn pace(f: &mut fmt::Formatter<'_>, per_second: Option<u64>, left: Option<Duration>) -> fmt::Result {
    if let Some(per_second) = per_second {
        write!(f, ", {}/s", count(per_second))?;
    }
    match left {
        Some(left) => write!(f, ", {} left", span(left)),
        None => Ok(()),
    }
}

impl Line {
    /// Whether a person should see it even where there are bars.
    pub(crate) fn is_important(&self) -> bool {
        matches!(
            self,
            Line::Waiting { .. }
                | Line::Resumed { .. }
                | Line::Held { .. }
                | Line::Released { .. }
                | Line::Note { .. }
                | Line::Rebuilding { .. }
        )
    }

    /// Writes it to the log.
    pub(crate) fn log(&self, label: Option<&str>) {
        let state = label;
        match self {
            Line::Loading { table, rows, total, .. } => info!(state, table, rows, total, "{self}"),
            Line::Loaded { table, rows } => info!(state, table, rows, "{self}"),
            Line::Details { pending, .. } => info!(state, pending, "{self}"),
            Line::Copying { task, rows, total } => info!(state, task, rows, total, "{self}"),
            Line::Changed { task, table, by, delay_ms } => info!(
                state,
                task,
                table,
                inserted = by.inserted,
                updated = by.updated,
                deleted = by.deleted,
                detailed = by.detailed,
                put_aside = by.put_aside,
                delay_ms,
                "{self}"
            ),
            Line::Waiting { who, problem } => warn!(state, who, code = problem.code, "{self}"),
            Line::Held { table, held } => warn!(state, table, rows = held.rows, of = held.of, "{self}"),
            Line::Note { table, .. } => warn!(state, table, "{self}"),
            Line::Rebuilding { task } => info!(state, task, "{self}"),
            Line::Resumed { .. } | Line::Released { .. } | Line::Detailed | Line::Following => {
                info!(state, "{self}");
            }
        }
    }
}

/// What was said already.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    before: Option<Status>,
    paces: BTreeMap<String, Pace>,
    /// When progress was last said; each kind of progress starts to count at the first look.
    said: Option<Instant>,
    waiting: BTreeMap<String, (Timestamp, Problem)>,
    follows: bool,
    /// Whether details have been pending since it was last said that all are there.
    detailing: bool,
    /// Tasks whose rebuild was told; one that is taken up again is the same to a person.
    rebuilt: BTreeSet<String>,
}

impl Lines {
    /// What is worth saying now.
    pub(crate) fn tick(&mut self, status: &Status, now: Instant) -> Vec<Line> {
        let before = self.before.take().unwrap_or_default();
        let said = *self.said.get_or_insert(now);
        let progress = now.duration_since(said) >= PROGRESS;
        if progress {
            self.said = Some(now);
        }
        let mut lines = Vec::new();
        self.waits(status, &mut lines);
        self.tables(&before, status, now, progress, &mut lines);
        tasks(&before, status, progress, &mut self.rebuilt, &mut lines);
        let follows = matches!(status.capture.state, State::Following { .. });
        if follows && !self.follows {
            self.follows = true;
            lines.push(Line::Following);
        }
        self.before = Some(status.clone());
        lines
    }

    fn waits(&mut self, status: &Status, lines: &mut Vec<Line>) {
        let capture = std::iter::once(("the source".to_owned(), &status.capture));
        let tasks = status.tasks.iter().map(|(name, task)| (format!("task {name}"), &task.activity));
        for (who, activity) in capture.chain(tasks) {
            let said = self.waiting.get(&who);
            match (&activity.state, said) {
                // Nothing comes next: it has ended, and so does the process, with this problem.
                (State::Waiting { next: None, .. }, _) => {}
                (State::Waiting { problem, .. }, Some((_, known))) if known == problem => {}
                (State::Waiting { problem, .. }, _) => {
                    self.waiting.insert(who.clone(), (activity.since, problem.clone()));
                    lines.push(Line::Waiting { who, problem: problem.clone() });
                }
                (State::Stopped | State::Starting, _) | (_, None) => {}
                (_, Some((since, _))) => {
                    let after = super::text::between(*since, activity.since);
                    self.waiting.remove(&who);
                    lines.push(Line::Resumed { who, after });
                }
            }
        }
    }

    fn tables(
        &mut self,
        before: &Status,
        status: &Status,
        now: Instant,
        progress: bool,
        lines: &mut Vec<Line>,
    ) {
        let (mut pending, mut detailed) = (0, 0);
        for (project, tables) in &status.projects {
            for (name, table) in tables {
                let old = before.projects.get(project).and_then(|tables| tables.get(name));
                let full = format!("{project}/{name}");
                pending += table.pending;
                detailed += table.detailed;
                if table.loaded {
                    // Loaded by an earlier run: nothing was listed by this one, and there is nothing to say.
                    if old.is_some_and(|old| !old.loaded) || (old.is_none() && table.listed > 0) {
                        lines.push(Line::Loaded { table: full.clone(), rows: table.rows.max(table.listed) });
                    }
                    self.paces.remove(&full);
                } else if table.listed > 0 {
                    let pace = self.paces.entry(full.clone()).or_default();
                    pace.note(now, table.listed);
                    if progress {
                        lines.push(Line::Loading {
                            table: full.clone(),
                            rows: table.listed,
                            total: table.total,
                            per_second: pace.per_second(),
                            left: table.total.and_then(|total| pace.left(total.saturating_sub(table.listed))),
                        });
                    }
                }
                match (old.and_then(|old| old.held.as_ref()), &table.held) {
                    (None, Some(held)) => {
                        lines.push(Line::Held { table: full.clone(), held: held.clone() });
                    }
                    (Some(_), None) => lines.push(Line::Released { table: full.clone() }),
                    _ => {}
                }
                let old_note = old.and_then(|old| old.note.as_ref());
                if let Some(note) = table.note.as_ref().filter(|note| Some(*note) != old_note) {
                    lines.push(Line::Note { table: full, note: note.clone() });
                }
            }
        }
        let pace = self.paces.entry(String::new()).or_default();
        pace.note(now, detailed);
        self.detailing |= pending > 0;
        // While tables are still being listed, what is to be fetched grows with them. A table that cannot be listed keeps
        // nobody from being told.
        if status.capture.state == State::Loading {
            return;
        }
        if pending > 0 && progress {
            lines.push(Line::Details { pending, per_second: pace.per_second(), left: pace.left(pending) });
        } else if pending == 0 && std::mem::take(&mut self.detailing) {
            lines.push(Line::Detailed);
        }
    }
}

fn tasks(
    before: &Status,
    status: &Status,
    progress: bool,
    rebuilt: &mut BTreeSet<String>,
    lines: &mut Vec<Line>,
) {
    for (name, task) in &status.tasks {
        let old = before.tasks.get(name);
        if task.activity.state == State::Rebuilding && rebuilt.insert(name.clone()) {
            lines.push(Line::Rebuilding { task: name.clone() });
        }
        let copying = matches!(task.activity.state, State::Loading | State::Rebuilding | State::Starting);
        if copying {
            if progress && task.activity.state != State::Starting {
                let (rows, total) = match task.rebuild {
                    Some(rebuild) => (rebuild.done, Some(rebuild.total)),
                    None => (task.tables.values().map(|table| table.rows).sum(), None),
                };
                lines.push(Line::Copying { task: name.clone(), rows, total });
            }
            continue;
        }
        // What was written while copying is no news.
        let Some(old) = old.filter(|old| !matches!(old.activity.state, State::Loading | State::Rebuilding))
        else {
            continue;
        };
        for (table, written) in &task.tables {
            let was = old.tables.get(table).cloned().unwrap_or_default();
            let by = Written {
                rows: written.rows,
                inserted: written.inserted.saturating_sub(was.inserted),
                updated: written.updated.saturating_sub(was.updated),
                deleted: written.deleted.saturating_sub(was.deleted),
                detailed: written.detailed.saturating_sub(was.detailed),
                held: written.held,
                put_aside: written.put_aside.saturating_sub(was.put_aside),
            };
            if by.inserted + by.updated + by.deleted + by.put_aside > 0 {
                let (task, table) = (name.clone(), table.clone());
                lines.push(Line::Changed {
                    task,
                    table,
                    by,
                    delay_ms: status.tasks.get(name).and_then(|t| t.delay_ms),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use engine::problem::Problem;
    use engine::status::{Held, State, Status, TableStatus};
    use jiff::Timestamp;
    use tokio::time::Instant;

    use super::Lines;

    /// Feeds boards to the lines, some seconds apart, and gathers what is said.
    struct Script {
        lines: Lines,
        status: Status,
        start: Instant,
    }

    impl Script {
        fn new() -> Script {
            Script { lines: Lines::default(), status: Status::default(), start: Instant::now() }
        }

        fn at(&mut self, second: u64, change: impl FnOnce(&mut Status)) -> Vec<String> {
            change(&mut self.status);
            let now = self.start + Duration::from_secs(second);
            self.lines.tick(&self.status, now).iter().map(ToString::to_string).collect()
        }
    }

    fn issues(status: &mut Status, change: impl FnOnce(&mut TableStatus)) {
        change(status.projects.entry("app".to_owned()).or_default().entry("Issues".to_owned()).or_default());
    }

    const NOTHING: [String; 0] = [];

    #[test]
    fn a_load_is_told_every_ten_seconds_and_at_its_end() {
        let mut script = Script::new();
        let listed = |rows| {
            move |status: &mut Status| {
                status.capture.enter(State::Loading);
                issues(status, |table| (table.listed, table.total) = (rows, Some(4_000)));
            }
        };
        assert_eq!(script.at(0, |_| ()), NOTHING);
        assert_eq!(script.at(2, listed(200)), NOTHING);
        assert_eq!(script.at(6, listed(600)), NOTHING);
        let told = script.at(10, listed(1_000));
        assert_eq!(told, ["loading app/Issues: 1,000 of 4,000 rows, 100/s, 30 s left"]);
        // Details that keep up with the listing are not all there are.
        assert_eq!(script.at(11, |status| issues(status, |t| (t.listed, t.pending) = (1_100, 7))), NOTHING);
        assert_eq!(script.at(11, |status| issues(status, |t| t.pending = 0)), NOTHING);
        let done = script.at(12, |status| {
            status.capture.enter(State::Polling);
            issues(status, |table| (table.loaded, table.rows, table.pending) = (true, 4_000, 300));
        });
        assert_eq!(done, ["loaded app/Issues: 4,000 rows"]);
        let details = script.at(20, |status| issues(status, |t| (t.pending, t.detailed) = (100, 200)));
        assert_eq!(details, ["fetching details: 100 to go, 20/s, 5.0 s left"]);
        assert_eq!(script.at(21, |status| issues(status, |t| t.pending = 0)), ["all details are there"]);
        let following = script.at(22, |status| status.capture.enter(State::Following { next: None }));
        assert_eq!(following, ["everything is read; following changes"]);
    }

    #[test]
    fn a_wait_is_told_once_and_so_is_its_end() {
        let mut script = Script::new();
        let problem = || Problem::new("X", "Cannot read", "access is lost", "Give it back.");
        let waiting = |second| {
            move |status: &mut Status| {
                let next = Timestamp::from_second(second).ok();
                status.capture.enter(State::Waiting { problem: problem(), next });
            }
        };
        let told = script.at(0, waiting(10));
        assert_eq!(told, ["the source waits. Cannot read: access is lost. Give it back. [X]"]);
        assert_eq!(script.at(1, waiting(20)), NOTHING);
        let on = script.at(2, |status| status.capture.enter(State::Polling));
        assert_eq!(on.len(), 1);
        assert!(on[0].starts_with("the source goes on after "), "{on:?}");
        assert_eq!(script.at(3, |status| status.capture.enter(State::Census)), NOTHING);
    }

    #[test]
    fn changes_are_put_together_and_what_was_copied_is_none() {
        let mut script = Script::new();
        let write = |inserted, updated, deleted| {
            move |status: &mut Status| {
                let task = status.tasks.entry("t".to_owned()).or_default();
                task.delay_ms = Some(1_200);
                let table = task.tables.entry("Issues".to_owned()).or_default();
                (table.inserted, table.updated, table.deleted) = (inserted, updated, deleted);
            }
        };
        let state = |state| {
            move |status: &mut Status| status.tasks.entry("t".to_owned()).or_default().activity.enter(state)
        };
        assert_eq!(script.at(0, state(State::Loading)), NOTHING);
        assert_eq!(script.at(1, write(500, 0, 0)), NOTHING);
        assert_eq!(script.at(2, state(State::Following { next: None })), NOTHING);
        let told = script.at(3, write(502, 7, 1));
        assert_eq!(told, ["t: Issues 2 inserted, 7 updated, 1 deleted, 1.2 s after it was seen"]);
        assert_eq!(script.at(4, |_| ()), NOTHING);
    }

    #[test]
    fn holds_and_notes_are_told_when_they_come_and_go() {
        let mut script = Script::new();
        let held = Held { rows: 12, of: 12, since: Timestamp::UNIX_EPOCH };
        let told = script.at(0, |status| {
            issues(status, |table| {
                table.held = Some(held);
                table.note = Some("the total stays wrong by 3".to_owned());
            });
        });
        assert_eq!(
            told,
            [
                "app/Issues: 12 of 12 rows vanished at once; their deletes are held. Check the source; if it is \
                 right, run `sync` with --accept-deletes",
                "app/Issues: the total stays wrong by 3",
            ]
        );
        assert_eq!(script.at(1, |_| ()), NOTHING);
        let released = script.at(2, |status| issues(status, |table| table.held = None));
        assert_eq!(released, ["app/Issues: deletes are no longer held"]);
    }
}
