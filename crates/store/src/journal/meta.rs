//! What the mirror keeps of a row beside its content, to columns and back.

use std::collections::BTreeMap;

use engine::clock::Moment;
use engine::journal::{Detail, Known, MirrorRow, Version};
use engine::position::Sequence;
use engine::row::{Digest, ProjectId, RowId, RowKey};
use engine::schema::TableId;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::sqlite::fault::Fault;
use crate::sqlite::{blob, integers};

/// The columns of `mirror`, in the order in which [`known`] reads and `commit` writes them.
pub(super) const COLUMNS: &str = "m.tab, m.project, m.id, m.sequence, m.inserted, m.first_detail, \
     m.listed_digest, m.listed, m.looked_up, m.observed, m.updated_ms, m.detail, m.alive";

/// Where the content stands when it is selected after [`COLUMNS`].
const BODY: usize = 13;

/// Stored number of `Stale`.
pub(super) const STALE: i64 = 2;
/// Stored number of `Missing`.
pub(super) const MISSING: i64 = 3;

/// The stored number of a detail's state; the pending ones are the high ones.
pub(super) fn detail_number(detail: Detail) -> i64 {
    match detail {
        Detail::Off => 0,
        Detail::Done => 1,
        Detail::Stale => STALE,
        Detail::Missing => MISSING,
    }
}

fn detail(number: i64) -> Result<Detail, Fault> {
    match number {
        0 => Ok(Detail::Off),
        1 => Ok(Detail::Done),
        STALE => Ok(Detail::Stale),
        MISSING => Ok(Detail::Missing),
        _ => Err(Fault::Damaged(format!("a row has the detail state {number}"))),
    }
}

/// A key from three columns that begin at `first`.
pub(super) fn key(row: &SqliteRow, first: usize) -> Result<RowKey, Fault> {
    let project = ProjectId(row.try_get(first + 1)?);
    Ok(RowKey { table: table(row.try_get(first)?)?, project, id: RowId(row.try_get(first + 2)?) })
}

/// A table by its stored number.
pub(super) fn table(number: i64) -> Result<TableId, Fault> {
    u8::try_from(number).map(TableId).map_err(|_| Fault::Damaged(format!("there is no table {number}")))
}

/// Reads [`COLUMNS`].
pub(super) fn known(row: &SqliteRow) -> Result<Known, Fault> {
    let digest: Option<Vec<u8>> = row.try_get(6)?;
    let listed_digest = match digest.map(<[u8; 16]>::try_from) {
        None => None,
        Some(Ok(bytes)) => Some(Digest(bytes)),
        Some(Err(_)) => return Err(Fault::Damaged("a digest has the wrong length".to_owned())),
    };
    let version = Version {
        sequence: Sequence(row.try_get(3)?),
        inserted: Sequence(row.try_get(4)?),
        first_detail: Sequence(row.try_get(5)?),
        listed_digest,
        listed: Moment(row.try_get(7)?),
        looked_up: Moment(row.try_get(8)?),
        observed: Moment(row.try_get(9)?),
        updated_ms: row.try_get(10)?,
        detail: detail(row.try_get(11)?)?,
    };
    let alive: i64 = row.try_get(12)?;
    Ok(Known { key: key(row, 0)?, version, alive: alive == 1 })
}

/// Reads [`COLUMNS`] and the content after them; also says how many bytes the content has.
pub(super) fn mirror_row(row: &SqliteRow) -> Result<(MirrorRow, usize), Fault> {
    let Known { key, version, alive } = known(row)?;
    let body: Option<&[u8]> = row.try_get(BODY)?;
    match (alive, body) {
        (false, _) => Ok((MirrorRow { key, version, row: None }, 0)),
        (true, Some(body)) => {
            let content = blob::unpack_row(body)?;
            Ok((MirrorRow { key, version, row: Some(content) }, blob::unpacked_len(body)))
        }
        (true, None) => Err(Fault::Damaged("a row has lost its content".to_owned())),
    }
}

/// Keys by table and project, each with its ids as one JSON array without repetition.
pub(super) fn by_table(keys: impl Iterator<Item = RowKey>) -> Result<Vec<(i64, i64, String)>, Fault> {
    let mut groups: BTreeMap<(i64, i64), Vec<i64>> = BTreeMap::new();
    for key in keys {
        groups.entry((i64::from(key.table.0), key.project.0)).or_default().push(key.id.0);
    }
    let text = |((table, project), mut ids): ((i64, i64), Vec<i64>)| {
        ids.sort_unstable();
        ids.dedup();
        Ok((table, project, integers(&ids)?))
    };
    groups.into_iter().map(text).collect()
}
