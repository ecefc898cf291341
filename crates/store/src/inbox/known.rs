//! Whether an arrival is there already: by its delivery id, which no signature covers, or by its very body, which one does.
//!
//! Under the same id it is the same delivery, sent again. The same body under another id is one that was sent again by
//! hand, or captured and played back, or one that tells of something new and looks the same: times have the precision
//! of seconds, and some events carry none. So it makes no second delivery, and is worked off again all the same.

use std::collections::{BTreeMap, HashMap};

use engine::inbox::{DeliveryNumber, StandingKind};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sqlx::{Row as _, SqliteConnection};

use super::intake::Packed;
use super::read::{WAITING, standing_number, unsigned};
use crate::sqlite::fault::Fault;

/// Bytes of a digest that are kept: two bodies that differ never share them by chance.
const DIGEST_BYTES: usize = 16;

/// By what a body is known again.
pub(super) fn digest(body: &[u8]) -> Vec<u8> {
    Sha256::digest(body).iter().take(DIGEST_BYTES).copied().collect()
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A delivery that is there.
pub(super) struct There {
    pub(super) number: i64,
    pub(super) turn: i64,
    pub(super) room: u64,
    pub(super) waits: bool,
    /// How it stood when it was looked for.
    stood: i64,
}

impl There {
    /// How it stands, as it is stored.
    pub(super) fn standing(&self) -> i64 {
        if self.waits { WAITING } else { self.stood }
    }
}

/// Deliveries that are there, of those that a group may repeat.
pub(super) struct Known {
    by_id: HashMap<String, i64>,
    by_digest: HashMap<Vec<u8>, There>,
}

impl Known {
    /// Looks for the deliveries of a group.
    pub(super) async fn among(connection: &mut SqliteConnection, group: &[Packed]) -> Result<Known, Fault> {
        let ids: Vec<&str> = group.iter().filter_map(|packed| packed.delivery_id.as_deref()).collect();
        let digests: Vec<String> = group.iter().map(|packed| hex(&packed.digest)).collect();
        let rows = sqlx::query(
            "SELECT d.delivery_id, d.number FROM json_each(?1) j \
             CROSS JOIN deliveries d INDEXED BY deliveries_id ON d.delivery_id = j.value",
        );
        let rows = rows.bind(json!(ids).to_string()).fetch_all(&mut *connection).await?;
        let by_id = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        let by_id = by_id.collect::<Result<_, Fault>>()?;
        let rows = sqlx::query(
            "SELECT d.digest, d.number, d.turn, d.room, d.standing FROM json_each(?1) j \
             CROSS JOIN deliveries d INDEXED BY deliveries_digest ON d.digest = unhex(j.value)",
        );
        let rows = rows.bind(json!(digests).to_string()).fetch_all(connection).await?;
        let there = |row: &sqlx::sqlite::SqliteRow| {
            let stood: i64 = row.try_get(4)?;
            let (number, turn, room) = (row.try_get(1)?, row.try_get(2)?, unsigned(row, 3)?);
            let waits = stood == standing_number(StandingKind::Waiting);
            Ok((row.try_get(0)?, There { number, turn, room, waits, stood }))
        };
        let by_digest = rows.iter().map(there).collect::<Result<_, Fault>>()?;
        Ok(Known { by_id, by_digest })
    }

    /// The delivery with its delivery id.
    pub(super) fn by_id(&self, packed: &Packed) -> Option<DeliveryNumber> {
        let id = packed.delivery_id.as_ref()?;
        self.by_id.get(id).copied().map(DeliveryNumber)
    }

    /// The delivery with its very body.
    pub(super) fn by_digest(&mut self, packed: &Packed) -> Option<&mut There> {
        self.by_digest.get_mut(&packed.digest)
    }

    /// One of the group is new.
    pub(super) fn add(&mut self, packed: &Packed, number: i64, turn: i64) {
        if let Some(id) = &packed.delivery_id {
            self.by_id.insert(id.clone(), number);
        }
        let there = There { number, turn, room: packed.room, waits: true, stood: WAITING };
        self.by_digest.insert(packed.digest.clone(), there);
    }
}

/// Bodies that came again.
#[derive(Default)]
pub(super) struct Repeats(BTreeMap<i64, Repeat>);

#[derive(Default)]
struct Repeat {
    times: u32,
    last: i64,
    /// The turn in which it is worked off once more.
    turn: Option<i64>,
}

impl Repeats {
    pub(super) fn note(&mut self, number: i64, received: i64, turn: Option<i64>) {
        let repeat = self.0.entry(number).or_default();
        repeat.times = repeat.times.saturating_add(1);
        repeat.last = repeat.last.max(received);
        repeat.turn = turn.or(repeat.turn);
    }

    /// Whether one of them is to be worked off once more.
    pub(super) fn moves(&self) -> bool {
        self.0.values().any(|repeat| repeat.turn.is_some())
    }

    pub(super) async fn write(self, connection: &mut SqliteConnection) -> Result<(), Fault> {
        if self.0.is_empty() {
            return Ok(());
        }
        let rows = self
            .0
            .into_iter()
            .map(|(number, Repeat { times, last, turn })| json!([number, times, last, turn]));
        let rows = serde_json::Value::Array(rows.collect()).to_string();
        let update = sqlx::query(
            "UPDATE deliveries SET repeats = repeats + (j.value ->> 1), \
                 last_received = max(last_received, j.value ->> 2), \
                 turn = ifnull(j.value ->> 3, turn), \
                 standing = iif(j.value ->> 3 IS NULL, standing, 0), \
                 words = iif(j.value ->> 3 IS NULL, words, NULL), \
                 settled = iif(j.value ->> 3 IS NULL, settled, NULL) \
             FROM json_each(?1) j WHERE number = j.value ->> 0",
        );
        update.bind(rows).execute(connection).await?;
        Ok(())
    }
}
