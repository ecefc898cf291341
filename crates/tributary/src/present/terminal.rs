//! Progress on a terminal: a bar for each table while it is read, one for details, then one live line.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::status::{Copied, State, Status, TaskStatus};
use engine::words;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use jiff::Timestamp;
use tokio::time::Instant;

use super::lines::Line;
use super::pace::Pace;
use super::text::{activity, between, count, plural, span};

/// More bars than this would push each other off a small terminal; the rest is summed up in the live line.
const MAX_BARS: usize = 16;

/// Bars of one board.
#[derive(Debug)]
pub(crate) struct Terminal {
    bars: MultiProgress,
    shown: BTreeMap<String, (ProgressBar, Pace)>,
    line: ProgressBar,
    /// Rows written when following began; before, nothing that is written is a change.
    loaded: Option<u64>,
}

impl Terminal {
    /// Nothing is drawn yet.
    pub(crate) fn new(bars: MultiProgress) -> Terminal {
        let line = bars.add(ProgressBar::new_spinner());
        line.set_style(style("{spinner} {wide_msg}"));
        Terminal { bars, shown: BTreeMap::new(), line, loaded: None }
    }

    /// Draws the board as it stands.
    pub(crate) fn draw(&mut self, label: Option<&str>, status: &Status, now: Instant, wall: Timestamp) {
        let wanted = bars(status);
        self.shown.retain(|name, (bar, _)| {
            let stays = wanted.iter().any(|bar| bar.name == *name);
            if !stays {
                bar.finish_and_clear();
                self.bars.remove(bar);
            }
            stays
        });
        for bar in wanted.into_iter().take(MAX_BARS) {
            let (drawn, pace) = self.shown.entry(bar.name.clone()).or_insert_with(|| {
                let drawn = self.bars.insert_before(&self.line, ProgressBar::new(0));
                drawn.set_prefix(words::one_line(&bar.name).into_owned());
                drawn.set_style(style(match bar.total {
                    Some(_) => "{prefix:24!} {wide_bar} {msg}",
                    None => "{prefix:24!} {spinner} {wide_msg}",
                }));
                (drawn, Pace::default())
            });
            pace.note(now, bar.done);
            drawn.set_length(bar.total.unwrap_or(0).max(bar.done));
            drawn.set_position(bar.done);
            drawn.set_message(message(bar.done, bar.total, pace));
        }
        let written = written(status);
        let settled =
            status.tasks.values().all(|task| matches!(task.activity.state, State::Following { .. }));
        if self.loaded.is_none() && settled && matches!(status.capture.state, State::Following { .. }) {
            self.loaded = Some(written);
        }
        let changes = self.loaded.map(|loaded| written.saturating_sub(loaded));
        let text = live_line(status, changes, wall);
        let text = match label {
            Some(label) => format!("{label}: {text}"),
            None => text,
        };
        self.line.set_message(words::one_line(&text).into_owned());
        self.line.tick();
    }

    /// Prints a line above the bars.
    pub(crate) fn print(&self, label: Option<&str>, line: &Line, wall: Timestamp) {
        let time = wall.to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M:%S").to_string();
        let label = label.map(|label| format!("{label}: ")).unwrap_or_default();
        // A terminal that went away is no reason to stop.
        let _gone = self.bars.println(words::one_line(&format!("{time} {label}{line}")));
    }

    /// Takes everything off the screen.
    pub(crate) fn clear(&self) {
        for (bar, _) in self.shown.values() {
            bar.finish_and_clear();
        }
        self.line.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("our own templates are well formed").progress_chars("━╸─")
}

/// One bar as it should stand.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bar {
    name: String,
    done: u64,
    total: Option<u64>,
}

fn bars(status: &Status) -> Vec<Bar> {
    let mut bars = Vec::new();
    let (mut pending, mut detailed) = (0, 0);
    for (project, tables) in &status.projects {
        for (name, table) in tables {
            pending += table.pending;
            detailed += table.detailed;
            if !table.loaded {
                bars.push(Bar { name: format!("{project} {name}"), done: table.listed, total: table.total });
            }
        }
    }
    for (name, task) in &status.tasks {
        if let Some(Copied { done, total }) = task.rebuild.filter(|rebuild| rebuild.done < rebuild.total) {
            bars.push(Bar { name: format!("rebuild {name}"), done, total: Some(total) });
        }
    }
    if pending > 0 {
        bars.push(Bar { name: "details".to_owned(), done: detailed, total: Some(detailed + pending) });
    }
    bars
}

fn message(done: u64, total: Option<u64>, pace: &Pace) -> String {
    let mut text = count(done);
    if let Some(total) = total {
        text.push_str(&format!(" of {}", count(total)));
    }
    if let Some(per_second) = pace.per_second() {
        text.push_str(&format!("  {} rows/s", count(per_second)));
    }
    if let Some(left) = total.and_then(|total| pace.left(total.saturating_sub(done))) {
        // Rounded up: nothing is left only at the end.
        text.push_str(&format!(
            "  {} left",
            whole(left.as_secs().saturating_add(u64::from(left.subsec_nanos() > 0)))
        ));
    }
    text
}

/// Rows that tasks wrote since they started, deletes among them.
fn written(status: &Status) -> u64 {
    let tables = status.tasks.values().flat_map(|task| task.tables.values());
    tables.map(|table| table.inserted + table.updated + table.deleted).sum()
}

/// Everything at a glance, in one line. `changes` are those since following began.
fn live_line(status: &Status, changes: Option<u64>, now: Timestamp) -> String {
    let waits = status.tasks.iter().find(|(_, task)| matches!(task.activity.state, State::Waiting { .. }));
    if let Some((name, task)) = waits {
        return format!("task {name}: {}", activity(&task.activity, now));
    }
    let mut parts = Vec::new();
    let rows: u64 = status.projects.values().flat_map(BTreeMap::values).map(|table| table.rows).sum();
    if !status.projects.is_empty() {
        parts.push(plural(rows, "row"));
    }
    // What a rebuild writes over what is there is no change: its bar shows it.
    let is_rebuilt = |task: &TaskStatus| task.rebuild.is_some() || task.activity.state == State::Rebuilding;
    let rebuilding = status.tasks.values().any(is_rebuilt);
    match (changes, written(status)) {
        (Some(changes), _) => parts.push(plural(changes, "change")),
        (None, 0) if rebuilding => {}
        (None, written) => parts.push(format!("{} written", count(written))),
    }
    if let Some(last) = status.tasks.values().filter_map(|task| task.last_write).max() {
        let ago = between(last, now).as_secs();
        parts.push(if ago == 0 { "last just now".to_owned() } else { format!("last {} ago", whole(ago)) });
    }
    let delay = status.tasks.values().filter_map(|task| task.delay_ms).max();
    if let Some(delay) = delay.and_then(|ms| u64::try_from(ms).ok()) {
        parts.push(format!("delay {}", span(Duration::from_millis(delay))));
    }
    // A rebuild from the mirror has no capture.
    match status.tasks.values().next() {
        Some(task) if matches!(status.capture.state, State::Starting) => {
            parts.push(activity(&task.activity, now))
        }
        _ => parts.push(activity(&status.capture, now)),
    }
    parts.join(" · ")
}

fn whole(seconds: u64) -> String {
    if seconds < 60 { format!("{seconds} s") } else { span(Duration::from_secs(seconds)) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use engine::status::{Copied, State, Status, TableStatus, TaskStatus, Written};
    use jiff::Timestamp;
    use tokio::time::Instant;

    use super::{Bar, Pace, bars, live_line, message};

    fn status() -> Status {
        let mut status = Status::default();
        let tables = status.projects.entry("app".to_owned()).or_default();
        let issues = TableStatus {
            listed: 40,
            total: Some(100),
            pending: 30,
            detailed: 10,
            rows: 40,
            ..TableStatus::default()
        };
        tables.insert("Issues".to_owned(), issues);
        tables
            .insert("Iterations".to_owned(), TableStatus { loaded: true, rows: 5, ..TableStatus::default() });
        status
    }

    #[test]
    fn a_table_has_a_bar_until_it_is_loaded_and_details_have_one_of_their_own() {
        let bar = |name: &str, done, total| Bar { name: name.to_owned(), done, total: Some(total) };
        assert_eq!(bars(&status()), [bar("app Issues", 40, 100), bar("details", 10, 40)]);
    }

    #[test]
    fn a_bar_says_how_long_it_takes_in_whole_seconds() {
        let mut pace = Pace::default();
        let began = Instant::now();
        for second in 0..=4 {
            pace.note(began + Duration::from_secs(second), 1_000 * second);
        }
        assert_eq!(message(4_000, Some(6_500), &pace), "4,000 of 6,500  1,000 rows/s  3 s left");
        assert_eq!(message(4_000, Some(4_001), &pace), "4,000 of 4,001  1,000 rows/s  1 s left");
    }

    #[test]
    fn the_live_line_says_rows_changes_delay_and_what_comes_next() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let mut status = status();
        let mut task =
            TaskStatus { last_write: Some(at(95)), delay_ms: Some(1_230), ..TaskStatus::default() };
        task.tables.insert("Issues".to_owned(), Written { inserted: 3, updated: 2, ..Written::default() });
        status.tasks.insert("t".to_owned(), task);
        status.capture.enter(State::Following { next: Some(at(142)) });
        assert_eq!(
            live_line(&status, None, at(100)),
            "45 rows · 5 written · last 5 s ago · delay 1.2 s · following; next look in 42 s"
        );
        assert_eq!(
            live_line(&status, Some(1), at(100)),
            "45 rows · 1 change · last 5 s ago · delay 1.2 s · following; next look in 42 s"
        );
        // Rows that are written over the same ones.
        let mut task = status.tasks.remove("t").unwrap();
        task.tables.clear();
        task.rebuild = Some(Copied { done: 2, total: 45 });
        status.tasks.insert("t".to_owned(), task);
        assert_eq!(
            live_line(&status, None, at(100)),
            "45 rows · last 5 s ago · delay 1.2 s · following; next look in 42 s"
        );
    }
}
