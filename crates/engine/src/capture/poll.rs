//! Reads what changed: newest updated first until what is known for sure begins.
//!
//! Pages move while rows are edited, and rows may become visible minutes after their update: every poll reads
//! some minutes back, a thorough one every hour the whole configured look-back. What is seen again and did not
//! change costs nothing. Tables without such an order are listed whole, which is a census. With many projects a poll
//! passes over quiet ones (`rhythm`).

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::listing::Reading;
use super::{Capture, CaptureError, document};
use crate::journal::Journal;
use crate::observation::Channel;
use crate::schema::Table;
use crate::source::{Order, Project, Source, Urgency};

/// How far an ordinary poll reads back.
const ORDINARY_LOOK_BACK: Duration = Duration::from_mins(10);
/// Time between two polls that read the whole look-back.
const THOROUGH_EVERY: Duration = Duration::from_hours(1);

/// How far the polls of a table are.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Watermark {
    /// Updates up to this time of the source, in milliseconds, have been seen, but for late ones.
    pub(super) ms: i64,
    /// When the whole look-back was read last, our time in milliseconds.
    pub(super) thorough_ms: i64,
}

impl<S: Source, J: Journal> Capture<S, J> {
    /// Reads what changed since the last poll.
    pub(super) async fn poll(&self, project: &Project, table: &'static Table) -> Result<(), CaptureError> {
        if !table.newest_first {
            return self.census(project, table, Urgency::Poll, Channel::Poll).await.map(drop);
        }
        self.rhythm.begin(project, table);
        let name = document("poll", table, project.id);
        let watermark: Watermark = self.recall(&name).await?.unwrap_or_default();
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let thorough = self.thorough
            || now_ms.saturating_sub(watermark.thorough_ms) >= millis(THOROUGH_EVERY)
            || watermark.thorough_ms > now_ms;
        let look_back = match thorough {
            true => self.settings.look_back,
            false => self.settings.look_back.min(ORDINARY_LOOK_BACK),
        };
        let reading = Reading {
            project,
            table,
            order: Order::NewestFirst,
            urgency: Urgency::Poll,
            channel: Channel::Poll,
            // Times have second precision: begin at the start of a second.
            until_ms: Some(
                watermark.ms.saturating_sub(millis(look_back)).div_euclid(1_000).saturating_mul(1_000),
            ),
            track: false,
        };
        let read = self.read(reading, None).await?;
        // A row dated in the future must not move the watermark there: what comes before would be passed over.
        let newest_ms = read.newest_ms.min(self.server_ms(now_ms));
        let next = Watermark {
            ms: watermark.ms.max(newest_ms),
            thorough_ms: if thorough { now_ms } else { watermark.thorough_ms },
        };
        if next.ms != watermark.ms || thorough {
            self.remember(&name, &json!(next)).await?;
        }
        self.rhythm.end(project, table);
        self.count(project, table).await
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
