//! What a run came to, in figures.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// Figures of one scenario, in the order in which they are shown.
#[derive(Debug, Default)]
pub(super) struct Figures(Vec<(String, u64)>);

/// What takes time at the same time; in total it is the time of all.
const SECONDS: &str = "seconds";
/// Rows about which hooks were due, and those of them that no hook told of: their share is shown, too.
pub(super) const TOLD: &str = "rows that hooks were due for";
pub(super) const UNTOLD: &str = "… that no hook told of, healed";

impl Figures {
    pub(super) fn add(&mut self, name: &str, count: usize) {
        self.0.push((name.to_owned(), u64::try_from(count).unwrap_or(u64::MAX)));
    }

    pub(super) fn add_all(&mut self, prefix: &str, counts: &BTreeMap<String, u64>) {
        self.0.extend(counts.iter().map(|(name, count)| (format!("{prefix}{name}"), *count)));
    }

    pub(super) fn add_seconds(&mut self, took: Duration) {
        self.0.push((SECONDS.to_owned(), took.as_secs()));
    }

    fn of(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, count)| *count)
    }
}

/// All figures as a table, one column for each scenario and one for all together.
pub(super) fn table(columns: &[(&str, Figures)], took: Duration) -> String {
    // Names that only some have go after the one that they follow there.
    let mut names: Vec<&str> = Vec::new();
    for (_, figures) in columns {
        let mut place = 0;
        for (name, _) in &figures.0 {
            match names.iter().position(|known| known == name) {
                Some(at) => place = at + 1,
                None => {
                    names.insert(place, name);
                    place += 1;
                }
            }
        }
    }
    let mut text = String::from("| |");
    for (name, _) in columns {
        write!(text, " {name} |").ok();
    }
    text.push_str(" total |\n|---|");
    text.push_str(&"---:|".repeat(columns.len() + 1));
    let counts = |name: &str| -> Vec<Option<u64>> {
        let mut counts: Vec<_> = columns.iter().map(|(_, figures)| figures.of(name)).collect();
        let total = if name == SECONDS { took.as_secs() } else { counts.iter().flatten().sum() };
        counts.push(Some(total));
        counts
    };
    for name in names {
        write!(text, "\n| {name} |").ok();
        for count in counts(name) {
            write!(text, " {} |", count.map_or_else(String::new, |count| count.to_string())).ok();
        }
        if name == UNTOLD {
            text.push_str("\n| … in percent |");
            for (untold, told) in counts(UNTOLD).into_iter().zip(counts(TOLD)) {
                let percent = untold.zip(told).and_then(|(untold, told)| (untold * 100).checked_div(told));
                write!(text, " {} |", percent.map_or_else(String::new, |percent| percent.to_string())).ok();
            }
        }
    }
    text
}
