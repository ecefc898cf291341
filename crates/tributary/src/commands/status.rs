//! `tributary status`: where a pipeline stands. Reads the state directory, also beside a running sync.

use std::path::Path;

use engine::journal::Journal;
use engine::status::{HooksStatus, State, Status, TaskStatus};
use jiff::Timestamp;
use serde::Serialize;
use store::journal::SqliteJournal;
use store::state_dir::StateDir;

use super::load_one;
use crate::cli::FileArgs;
use crate::exit::{self, Done, Failure};
use crate::present::text::{activity, between, count, plural, span};

/// The result.
#[derive(Debug, Serialize)]
struct Report<'a> {
    /// The task's name.
    task: &'a str,
    /// The state directory.
    state: &'a Path,
    /// Whether a sync runs right now.
    running: bool,
    /// The journal's newest sequence; nothing before the first sync.
    head: Option<i64>,
    /// What the running sync, or else the last one, said of itself.
    status: Option<Status>,
}

/// Shows where the pipeline of a file stands.
///
/// # Errors
/// A configuration that is wrong; a state directory that cannot be read.
pub(crate) async fn run(args: &FileArgs) -> Result<Done, Failure> {
    let pipeline = load_one(&args.file)?;
    let state = pipeline.state.as_path();
    let running = StateDir::is_running(state).map_err(|error| error.problem)?;
    let head = match head(state).await {
        // A journal that is just being made is none yet; whoever runs it would say if it were damaged.
        Err(_) if running => None,
        head => head?,
    };
    let report = Report {
        task: &pipeline.name,
        state,
        running,
        head,
        status: StateDir::read_status(state).map_err(|error| error.problem)?,
    };
    if args.json {
        exit::print_json(&report)?
    } else {
        exit::print(&text(&report, Timestamp::now()))?
    }
    Ok(Done::All)
}

async fn head(state: &Path) -> Result<Option<i64>, Failure> {
    if !state.join("journal.db").exists() {
        return Ok(None);
    }
    let journal = SqliteJournal::open_read_only(state).await.map_err(|error| error.problem)?;
    let bounds = journal.bounds().await.map_err(|error| error.problem);
    journal.close().await.map_err(|error| error.problem)?;
    Ok(Some(bounds?.head.0))
}

fn text(report: &Report<'_>, now: Timestamp) -> String {
    let Some(status) = &report.status else {
        return format!("{}: nothing has run yet (state: {})", report.task, report.state.display());
    };
    let runs = if report.running { "running" } else { "not running; this is the last that was heard" };
    let mut lines = vec![format!("{} ({runs})", report.state.display())];
    lines.push(format!("source: {}", activity(&status.capture, now)));
    problem(&status.capture, now, &mut lines);
    for (project, tables) in &status.projects {
        for (name, table) in tables {
            let mut line = format!("  {project}/{name}: {}", plural(table.rows, "row"));
            if !table.loaded {
                let total = table.total.map(|total| format!(" of {}", count(total))).unwrap_or_default();
                line.push_str(&format!(", loading: {}{total}", count(table.listed)));
            }
            if table.pending > 0 {
                line.push_str(&format!(", {} without details", count(table.pending)));
            }
            if let Some(held) = &table.held {
                let (rows, of, since) = (count(held.rows), count(held.of), span(between(held.since, now)));
                line.push_str(&format!(", deletes held: {rows} of {of} vanished {since} ago"));
            }
            if let Some(note) = &table.note {
                line.push_str(&format!(", {note}"));
            }
            lines.push(line);
        }
    }
    if let Some(hooks) = &status.hooks {
        lines.extend(hook(hooks, now));
    }
    let head = report.head.unwrap_or(status.head);
    for (name, task) in &status.tasks {
        lines.push(format!("task {name}: {}", activity(&task.activity, now)));
        problem(&task.activity, now, &mut lines);
        delivered(task, head, now, &mut lines);
    }
    let requests = status.requests.values().sum();
    lines.push(format!("{} sent since the start of the run", plural(requests, "request")));
    lines.join("\n")
}

/// From this share of missed changes on ...
const MISSED_SHARE: f64 = 0.05;
/// ... of at least so many changes, somebody should look at the hook.
const MISSED_LEAST: u64 = 20;

/// How the hook stands, and what to do where it cannot be relied on.
fn hook(hooks: &HooksStatus, now: Timestamp) -> Vec<String> {
    let reached = match hooks.reached {
        Some(at) => format!("last delivery {} ago", span(between(at, now))),
        None => "no delivery yet".to_owned(),
    };
    let mut line = format!("hook: {reached}, {} received", count(hooks.received));
    for (number, what) in [(hooks.repeated, "repeated"), (hooks.no_room, "sent away for want of room")] {
        if number > 0 {
            line.push_str(&format!(", {} {what}", count(number)));
        }
    }
    for (reason, number) in &hooks.refused {
        line.push_str(&format!(", {} refused ({reason})", count(*number)));
    }
    let mut lines = vec![line];
    if hooks.waiting > 0 || hooks.dead > 0 {
        let (waiting, dead) = (count(hooks.waiting), count(hooks.dead));
        lines.push(format!("  inbox: {waiting} waiting, {dead} given up (`tributary hooks … dead`)"));
    }
    if let Some(rate) = hooks.missed_rate() {
        let (missed, changes) = (count(hooks.missed), count(hooks.changes));
        lines.push(format!(
            "  missed-hook rate of the last 24 h, as far as polls have looked: {:.1} % ({missed} of {changes} changes)",
            rate * 100.0
        ));
        if rate > MISSED_SHARE && hooks.changes >= MISSED_LEAST {
            lines.push(
                "  the hook misses too much; polls bring it later. Check that it is enabled at CODING with all \
                 events, its send log there, and that `public_url` is reachable (`tributary hooks … ping`)"
                    .to_owned(),
            );
        }
    }
    lines.extend(hooks.note.iter().map(|note| format!("  {note}")));
    lines
}

/// The newest problem, unless the activity itself says it.
fn problem(of: &engine::status::Activity, now: Timestamp, lines: &mut Vec<String>) {
    if let (Some((at, problem)), false) = (&of.last_problem, matches!(of.state, State::Waiting { .. })) {
        lines.push(format!("  last problem, {} ago: {problem}", span(between(*at, now))));
    }
}

fn delivered(task: &TaskStatus, head: i64, now: Timestamp, lines: &mut Vec<String>) {
    let behind = u64::try_from(head.saturating_sub(task.position)).unwrap_or(0);
    let mut line = format!("  position {} of {head}", task.position);
    if behind > 0 {
        line.push_str(&format!(" ({} behind)", count(behind)));
    }
    if let Some(last) = task.last_write {
        line.push_str(&format!(", last write {} ago", span(between(last, now))));
    }
    if task.put_aside > 0 {
        line.push_str(&format!(", {} put aside", plural(task.put_aside, "row")));
    }
    lines.push(line);
    for (table, w) in &task.tables {
        let mut line = format!(
            "  {table}: {}, {} inserted, {} updated, {} deleted, {} detailed",
            plural(w.rows, "row"),
            count(w.inserted),
            count(w.updated),
            count(w.deleted),
            count(w.detailed)
        );
        if w.held > 0 {
            line.push_str(&format!(", {} held", count(w.held)));
        }
        if w.put_aside > 0 {
            line.push_str(&format!(", {} put aside", count(w.put_aside)));
        }
        lines.push(line);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use engine::problem::Problem;
    use engine::status::{HooksStatus, State, Status, TableStatus, TaskStatus, Written};
    use jiff::Timestamp;

    use super::{Report, hook, text};

    #[test]
    fn positions_counts_problems_and_waits_are_said() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let mut status = Status::default();
        status.capture.state = State::Following { next: Some(at(130)) };
        status.capture.last_problem =
            Some((at(40), Problem::new("X", "Cannot read", "it was gone", "Wait.")));
        let tables = status.projects.entry("app".to_owned()).or_default();
        tables.insert(
            "Issues".to_owned(),
            TableStatus { loaded: true, rows: 1_500, pending: 3, ..TableStatus::default() },
        );
        let mut task = TaskStatus { position: 90, last_write: Some(at(95)), ..TaskStatus::default() };
        task.activity.state = State::Following { next: None };
        task.tables.insert(
            "Issues".to_owned(),
            Written { rows: 1_499, inserted: 1_500, deleted: 1, ..Written::default() },
        );
        status.tasks.insert("t".to_owned(), task);
        status.requests.insert("DescribeIssue".to_owned(), 1_500);
        let report = Report {
            task: "t",
            state: Path::new("x.state"),
            running: true,
            head: Some(100),
            status: Some(status),
        };
        assert_eq!(
            text(&report, at(100)),
            "x.state (running)\n\
             source: following; next look in 30 s\n\
             \x20 last problem, 1 min 0 s ago: Cannot read: it was gone. Wait. [X]\n\
             \x20 app/Issues: 1,500 rows, 3 without details\n\
             task t: following\n\
             \x20 position 90 of 100 (10 behind), last write 5.0 s ago\n\
             \x20 Issues: 1,499 rows, 1,500 inserted, 0 updated, 1 deleted, 0 detailed\n\
             1,500 requests sent since the start of the run"
        );
    }

    #[test]
    fn a_hook_that_misses_too_much_is_pointed_out() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let mut hooks = HooksStatus {
            reached: Some(at(95)),
            received: 1_200,
            changes: 20,
            missed: 1,
            ..HooksStatus::default()
        };
        hooks.refused.insert("signature_wrong".to_owned(), 2);
        assert_eq!(
            hook(&hooks, at(100)),
            [
                "hook: last delivery 5.0 s ago, 1,200 received, 2 refused (signature_wrong)",
                "  missed-hook rate of the last 24 h, as far as polls have looked: 5.0 % (1 of 20 changes)",
            ]
        );
        hooks.missed = 2;
        assert!(hook(&hooks, at(100))[2].starts_with("  the hook misses too much"));
    }

    #[test]
    fn before_the_first_run_there_is_nothing() {
        let report =
            Report { task: "t", state: Path::new("x.state"), running: false, head: None, status: None };
        assert_eq!(text(&report, Timestamp::UNIX_EPOCH), "t: nothing has run yet (state: x.state)");
    }
}
