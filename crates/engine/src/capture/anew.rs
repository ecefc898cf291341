//! Reading everything anew: every listing and every detail, as if for the first time. The mirror stays, so that
//! the differ makes changes of what is really different, and of nothing else.

use serde_json::{Value, json};

use super::load::LOAD;
use super::recall;
use crate::journal::{Ask, Journal, JournalError};
use crate::schema::{Table, TableId};

/// Document with the tables that are being read anew.
const DOCUMENT: &str = "anew";

/// Has the next capture read `tables` anew, their details too where `details` are fetched. What an interrupted
/// one has done of it stays done.
///
/// # Errors
/// What the journal says.
pub async fn begin<J: Journal>(
    journal: &J,
    tables: &[&'static Table],
    details: bool,
) -> Result<(), JournalError> {
    let mut under_way: Vec<String> = recall(journal, DOCUMENT).await?.unwrap_or_default();
    let new: Vec<&Table> = tables
        .iter()
        .copied()
        .filter(|table| !table.from_inbox && !under_way.iter().any(|name| name == table.name))
        .collect();
    let detailed: Vec<TableId> =
        new.iter().filter(|table| details && table.has_detail()).map(|table| table.id).collect();
    journal.ask_details(&detailed, Ask::Again).await?;
    for table in &new {
        for (note, _) in journal.recall(&format!("{LOAD}/{}/", table.name)).await? {
            journal.remember(&note, &Value::Null).await?;
        }
        under_way.push(table.name.to_owned());
    }
    // Noted last: begun twice is better than not at all.
    journal.remember(DOCUMENT, &json!(under_way)).await
}

/// `tables` have been read.
pub(super) async fn end<J: Journal>(journal: &J, tables: &[&'static Table]) -> Result<(), JournalError> {
    let Some(mut under_way) = recall::<Vec<String>>(journal, DOCUMENT).await? else { return Ok(()) };
    under_way.retain(|name| !tables.iter().any(|table| table.name == name));
    let left = if under_way.is_empty() { Value::Null } else { json!(under_way) };
    journal.remember(DOCUMENT, &left).await
}
