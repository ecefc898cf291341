//! Pings that have come.

use engine::inbox::{DeliveryNumber, Entry, Inbox, Query};
use store::inbox::SqliteInbox;

use crate::exit::Failure;

/// Whether a delivery is a ping, as far as it has been read.
pub(super) fn is_ping(entry: &Entry) -> bool {
    entry.summary.as_ref().is_some_and(|summary| summary.event == "PING")
}

/// The newest pings in the inbox: hardly more than one for each hook, for they look alike.
pub(super) async fn pings(inbox: &SqliteInbox) -> Result<Vec<DeliveryNumber>, Failure> {
    const PAGE: u32 = 1_000;
    const MOST: usize = 100;
    let (mut pings, mut before) = (Vec::new(), None);
    while pings.len() < MOST {
        let query = Query { standing: None, before, limit: PAGE };
        let page = inbox.list(query).await.map_err(|error| error.problem)?;
        let Some(last) = page.last() else { break };
        before = Some(last.number);
        pings.extend(page.iter().filter(|entry| is_ping(entry)).map(|entry| entry.number));
    }
    Ok(pings)
}
