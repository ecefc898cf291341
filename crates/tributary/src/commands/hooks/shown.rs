//! How deliveries are shown: as lines of a table, one whole, and as JSON. What opens the hook's door never is.

use std::time::Duration;

use engine::inbox::{Delivery, DeliveryNumber, Entry, Standing};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::Value;

use crate::present::text::span;

/// How much of a result the table shows.
const RESULT_WIDTH: usize = 70;
/// What stands in the place of a secret or of what is too long.
pub(super) const HIDDEN: &str = "…";

/// A delivery as JSON.
#[derive(Serialize)]
pub(super) struct Row<'a> {
    number: DeliveryNumber,
    delivery_id: Option<&'a str>,
    received: Timestamp,
    event: Option<&'a str>,
    entity: Option<&'a str>,
    project: Option<&'a str>,
    sender: Option<&'a str>,
    /// Only what was verified is kept.
    verified: bool,
    #[serde(flatten)]
    standing: &'a Standing,
    settled: Option<Timestamp>,
    delivered: Option<Timestamp>,
    to_target_ms: Option<i64>,
    replays: u32,
    /// How often its body came again under another delivery id, and when last.
    repeats: u32,
    last_received: Timestamp,
    bytes: u64,
}

impl<'a> Row<'a> {
    pub(super) fn of(entry: &'a Entry) -> Row<'a> {
        let summary = entry.summary.as_ref();
        Row {
            number: entry.number,
            delivery_id: entry.delivery_id.as_deref(),
            received: entry.received,
            event: summary.map(|summary| summary.event.as_str()),
            entity: summary.and_then(|summary| summary.entity.as_deref()),
            project: summary.and_then(|summary| summary.project.as_deref()),
            sender: summary.and_then(|summary| summary.sender.as_deref()),
            verified: true,
            standing: &entry.standing,
            settled: entry.settled,
            delivered: entry.delivered,
            to_target_ms: to_target(entry).and_then(|took| i64::try_from(took.as_millis()).ok()),
            replays: entry.replays,
            repeats: entry.repeats,
            last_received: entry.last_received,
            bytes: entry.size,
        }
    }
}

/// From receipt to the targets.
fn to_target(entry: &Entry) -> Option<SignedDuration> {
    entry.delivered.map(|delivered| delivered.duration_since(entry.received))
}

/// Hooks are fast: below ten seconds every millisecond counts.
fn in_target(took: Duration) -> String {
    if took < Duration::from_secs(10) { format!("{} ms", took.as_millis()) } else { span(took) }
}

fn result(standing: &Standing) -> String {
    match standing {
        Standing::Waiting { problem: None } => "waiting".to_owned(),
        Standing::Waiting { problem: Some(problem) } => format!("waiting, {problem}"),
        Standing::Applied => "applied".to_owned(),
        Standing::Unchanged => "unchanged".to_owned(),
        Standing::Ignored { reason } => format!("ignored: {reason}"),
        Standing::Dead { reason } => format!("dead: {reason}"),
    }
}

/// No longer than a line of the table has room for.
fn short(text: String) -> String {
    match text.char_indices().nth(RESULT_WIDTH) {
        Some(_) => text.chars().take(RESULT_WIDTH.saturating_sub(1)).chain(HIDDEN.chars()).collect(),
        None => text,
    }
}

/// A hook's URL without its last part, which is the token.
pub(super) fn without_token(url: &str) -> String {
    match url.rsplit_once('/') {
        Some((before, _)) => format!("{before}/{HIDDEN}"),
        None => HIDDEN.to_owned(),
    }
}

/// A body that is no JSON, without what may be the token of a hook's URL.
pub(super) fn without_tokens(body: &str) -> String {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "-_.~".contains(c);
    let mut text = body.to_owned();
    for before in ["/hooks/", "\\/hooks\\/", "%2Fhooks%2F", "%2fhooks%2f"] {
        let mut parts = text.split(before);
        let mut masked = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let rest = part.trim_start_matches(is_token);
            masked.extend([before, HIDDEN, rest]);
        }
        text = masked;
    }
    text
}

/// The deliveries as a table for people.
pub(super) fn table(entries: &[Entry]) -> String {
    let mut rows = vec![
        ["RECEIVED (UTC)", "NUMBER", "EVENT", "ENTITY", "PROJECT", "VERIFIED", "TO TARGET", "RESULT"]
            .map(str::to_owned),
    ];
    rows.extend(entries.iter().map(|entry| {
        let summary = entry.summary.clone().unwrap_or_default();
        let received = entry.received.strftime("%Y-%m-%d %H:%M:%S").to_string();
        let took = match to_target(entry) {
            Some(took) => in_target(Duration::try_from(took).unwrap_or_default()),
            None => "–".to_owned(),
        };
        let event = if summary.event.is_empty() { "–".to_owned() } else { summary.event };
        let entity = summary.entity.unwrap_or_else(|| "–".to_owned());
        let project = summary.project.unwrap_or_else(|| "–".to_owned());
        let number = entry.number.0.to_string();
        [received, number, event, entity, project, "yes".to_owned(), took, short(result(&entry.standing))]
    }));
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..7).map(width).collect();
    let line = |row: &[String; 8]| {
        let cells = row.iter().zip(widths.iter().copied().chain([0]));
        let cells: Vec<String> = cells.map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// One delivery for people.
pub(super) fn whole(delivery: &Delivery, parsed: Option<&Value>, body: &str) -> String {
    let entry = &delivery.entry;
    let summary = entry.summary.clone().unwrap_or_default();
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    let mut lines = vec![
        format!("number:       {}", entry.number.0),
        format!("delivery id:  {}", or_none(entry.delivery_id.clone())),
        format!("received:     {}", entry.received),
        format!("event:        {}", summary.event),
        format!("entity:       {}", or_none(summary.entity)),
        format!("project:      {}", or_none(summary.project)),
        format!("sender:       {}", or_none(summary.sender)),
        format!("result:       {}", result(&entry.standing)),
        format!("settled:      {}", or_none(entry.settled.map(|at| at.to_string()))),
        format!("in targets:   {}", or_none(entry.delivered.map(|at| at.to_string()))),
        format!("replays:      {}", entry.replays),
        format!("repeats:      {}", repeats(entry)),
        "headers:".to_owned(),
    ];
    lines.extend(delivery.headers.iter().map(|(name, value)| format!("  {name}: {value}")));
    lines.push("body:".to_owned());
    lines.push(
        parsed.and_then(|value| serde_json::to_string_pretty(value).ok()).unwrap_or_else(|| body.to_owned()),
    );
    lines.join("\n")
}

/// How often the same body came again.
fn repeats(entry: &Entry) -> String {
    match entry.repeats {
        0 => "0".to_owned(),
        times => format!("{times} under other delivery ids, last {}", entry.last_received),
    }
}

#[cfg(test)]
mod tests {
    use engine::inbox::{DeliveryNumber, Entry, Standing, Summary, Turn};
    use jiff::Timestamp;

    use super::{table, without_token, without_tokens};

    #[test]
    fn deliveries_stand_in_a_table() {
        let at = |ms: i64| Timestamp::from_millisecond(1_700_000_000_000 + ms).unwrap();
        let entry = |number: i64, event: &str, standing, delivered| Entry {
            number: DeliveryNumber(number),
            turn: Turn(number),
            delivery_id: None,
            received: at(0),
            last_received: at(0),
            summary: Some(Summary {
                event: event.to_owned(),
                entity: Some("issue 71".to_owned()),
                project: Some("app".to_owned()),
                ..Summary::default()
            }),
            standing,
            settled: None,
            delivered,
            replays: 0,
            repeats: 0,
            starts: 0,
            size: 10,
            room: 0,
        };
        let long = "a reason that nobody reads to its end ".repeat(5);
        let entries = [
            entry(3, "ISSUE_DELETED", Standing::Dead { reason: long }, None),
            entry(1, "ISSUE_UPDATED", Standing::Applied, Some(at(120))),
            entry(2, "GIT_PUSHED", Standing::Ignored { reason: "no table".to_owned() }, None),
        ];
        let text = table(&entries);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert!(lines[0].starts_with("RECEIVED (UTC)"), "{text}");
        let dead = lines[1].split_once("dead: ").unwrap().1;
        assert!(dead.starts_with("a reason") && dead.ends_with('…') && dead.chars().count() == 64, "{text}");
        assert!(lines[2].ends_with("applied") && lines[2].contains("ISSUE_UPDATED  issue 71  app"), "{text}");
        assert!(lines[3].ends_with("–          ignored: no table"), "{text}");
    }

    #[test]
    fn the_token_of_a_url_is_not_shown() {
        assert_eq!(without_token("https://h.example/a/hooks/s3-c_r.t~"), "https://h.example/a/hooks/…");
        assert_eq!(without_token("s3cret"), "…");
        for (body, shown) in [
            ("payload=%7B%22url%22%3A%22https%3A%2F%2Fh%2Fhooks%2Fs3cret%22%7D", "%2Fhooks%2F…%22%7D"),
            (r#"{"url":"https:\/\/h\/hooks\/s3cret","#, r#"\/hooks\/…","#),
            (r#"https://h/hooks/s3cret, /hooks/s3cret"#, "https://h/hooks/…, /hooks/…"),
        ] {
            let masked = without_tokens(body);
            assert!(masked.ends_with(shown) && !masked.contains("s3cret"), "{masked}");
        }
        assert_eq!(without_tokens("nothing of the kind"), "nothing of the kind");
    }
}
