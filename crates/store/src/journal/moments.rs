//! Moments of a clock that was ahead, put right when a journal is opened.
//!
//! Moments are order first and wall time second. What was recorded while the clock was a day ahead would stay in the
//! future for a day: nothing of it forgotten in time, everything after it pushed into the future too. Their order is
//! kept: all that is still to come is moved back by one span, so that the newest is now.

use engine::clock::Moment;
use sqlx::SqliteConnection;

use crate::sqlite::fault::Fault;

/// So far ahead is no fault of a clock: it is read twice.
const TOLERANCE: i64 = 1_000_000;

/// The newest moment up to `now`, and the oldest after it.
const AROUND: &str = "
WITH moments (m) AS (
    SELECT listed FROM mirror UNION ALL SELECT looked_up FROM mirror UNION ALL SELECT observed FROM mirror
    UNION ALL SELECT observed FROM log UNION ALL SELECT coalesce(detailed, 0) FROM log
)
SELECT coalesce(max(CASE WHEN m <= ?1 THEN m END), 0), coalesce(min(CASE WHEN m > ?1 THEN m END), ?1) FROM moments";

/// Puts right what lies ahead of `now`.
pub(super) async fn put_right(connection: &mut SqliteConnection, now: Moment) -> Result<(), Fault> {
    let newest: i64 =
        sqlx::query_scalar("SELECT newest_moment FROM bounds").fetch_one(&mut *connection).await?;
    let ahead = newest.saturating_sub(now.0);
    if ahead <= TOLERANCE {
        return Ok(());
    }
    let (past, future): (i64, i64) = sqlx::query_as(AROUND).bind(now.0).fetch_one(&mut *connection).await?;
    // Where the clock was ahead by less than it ran, what would be moved would pass what stays. The order of rows and
    // their copies counts more than their times; the log has no other use for them.
    let keeps_order = future.saturating_sub(ahead) > past;
    let mut statements = vec![
        "UPDATE log SET observed = iif(observed > ?1, observed - ?2, observed), \
         detailed = iif(detailed > ?1, detailed - ?2, detailed) WHERE observed > ?1 OR detailed > ?1",
    ];
    if keeps_order {
        statements.push(
            "UPDATE mirror SET listed = iif(listed > ?1, listed - ?2, listed), \
             looked_up = iif(looked_up > ?1, looked_up - ?2, looked_up), \
             observed = iif(observed > ?1, observed - ?2, observed) \
             WHERE listed > ?1 OR looked_up > ?1 OR observed > ?1",
        );
        statements.push("UPDATE bounds SET newest_moment = newest_moment - ?2");
    }
    for sql in statements {
        sqlx::query(sql).bind(now.0).bind(ahead).execute(&mut *connection).await?;
    }
    Ok(())
}
