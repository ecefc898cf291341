//! Which events the chosen tables need, and which of them CODING offers.

use coding_api::hook::{EVENTS as KNOWN, Group};
use engine::schema::{Table, TableId};
use engine::source::{SourceError, Urgency};

use super::super::source::CodingSource;
use super::super::tables::{EVENTS, ISSUES, ITERATIONS, PROJECT_MEMBERS};
use super::hear::MOVING;
use super::register::hook_error;

/// The events that a hook is to deliver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedEvents {
    /// Those to ask for, in order.
    pub events: Vec<String>,
    /// Those that the tables need and CODING does not offer: what they would have told is left to polls and
    /// censuses.
    pub not_offered: Vec<String>,
}

impl CodingSource {
    /// The events that a hook for these tables is to deliver: what they need, as far as CODING offers it.
    ///
    /// # Errors
    /// When CODING cannot be asked, or the credential may not manage hooks.
    pub async fn wanted_events(&self, tables: &[&'static Table]) -> Result<WantedEvents, SourceError> {
        let what = "learn which events hooks can have";
        self.may_manage(what)?;
        let offers = self.at(Urgency::Poll).events().await.map_err(|error| hook_error(what, error))?;
        let offered: Vec<String> = offers.into_iter().map(|offer| offer.code).collect();
        let tables: Vec<TableId> = tables.iter().map(|table| table.id).collect();
        Ok(wanted(&tables, &offered))
    }
}

/// What these tables need of what is offered. Where CODING does not say what it offers, everything known is asked
/// for: what it refuses then is left out at registration.
pub(super) fn wanted(tables: &[TableId], offered: &[String]) -> WantedEvents {
    let mut offered: Vec<&str> = offered.iter().map(String::as_str).collect();
    let known = || KNOWN.iter().map(|(code, _)| *code);
    if offered.is_empty() {
        offered.extend(known());
    }
    let mut events: Vec<String> =
        offered.iter().filter(|code| needs(tables, code)).map(|code| (*code).to_owned()).collect();
    events.sort_unstable();
    events.dedup();
    // The table Events takes what there is; only what rows depend on is missed.
    let rows: Vec<TableId> = tables.iter().copied().filter(|table| *table != EVENTS).collect();
    let missing = known().filter(|code| needs(&rows, code) && !offered.contains(code));
    WantedEvents { events, not_offered: missing.map(str::to_owned).collect() }
}

fn needs(tables: &[TableId], code: &str) -> bool {
    let group = Group::of(code);
    if group == Group::Ping {
        return false;
    }
    tables.iter().any(|table| match *table {
        ISSUES => group == Group::Issue || code == "ITERATION_PLANNED",
        ITERATIONS => group == Group::Iteration || MOVING.contains(&code),
        PROJECT_MEMBERS => group == Group::Member,
        EVENTS => true,
        _ => false,
    })
}
