//! Days and times as CODING means them: instants in milliseconds, days at UTC+8, second precision.

use jiff::civil::{Date, DateTime};

/// A day of milliseconds.
pub(crate) const DAY_MS: i64 = 86_400_000;
/// How far CODING's wall clock is ahead of UTC.
pub(crate) const UTC8_MS: i64 = 28_800_000;
/// What an iteration says for a day that is not set: the epoch's midnight at UTC+8.
pub(crate) const UNSET_DAY: i64 = -UTC8_MS;

/// Rounds a time down to its second.
pub(crate) fn floor_second(ms: i64) -> i64 {
    ms.div_euclid(1_000).saturating_mul(1_000)
}

/// Midnight at UTC+8 of the day that `ms` falls on.
pub(crate) fn day_start(ms: i64) -> i64 {
    ms.saturating_add(UTC8_MS).div_euclid(DAY_MS).saturating_mul(DAY_MS).saturating_sub(UTC8_MS)
}

/// The last second at UTC+8 of the day that `ms` falls on.
pub(crate) fn day_end(ms: i64) -> i64 {
    day_start(ms).saturating_add(DAY_MS - 1_000)
}

/// Reads `YYYY-MM-DD` as the instant of its midnight at UTC+8.
pub(crate) fn parse_day(text: &str) -> Option<i64> {
    let date: Date = text.trim().parse().ok()?;
    Some(utc8(date.at(0, 0, 0, 0)))
}

/// Reads a day or `YYYY-MM-DD HH:MM:SS` as the first and the last millisecond that it means.
fn parse_moment(text: &str) -> Option<(i64, i64)> {
    let text = text.trim();
    if text.contains(':') {
        let moment: DateTime = text.replace(' ', "T").parse().ok()?;
        let start = utc8(moment);
        return Some((start, start.saturating_add(999)));
    }
    let start = parse_day(text)?;
    Some((start, start.saturating_add(DAY_MS - 1)))
}

/// Reads `from_to`, both ends inclusive, as milliseconds.
pub(crate) fn parse_range(text: &str) -> Option<(i64, i64)> {
    let (from, to) = text.split_once('_')?;
    Some((parse_moment(from)?.0, parse_moment(to)?.1))
}

fn utc8(moment: DateTime) -> i64 {
    let epoch = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    let ms = moment.duration_since(epoch).as_millis();
    i64::try_from(ms).unwrap_or(i64::MAX).saturating_sub(UTC8_MS)
}

/// The present in milliseconds.
pub(crate) fn now_ms() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_utc8() {
        assert_eq!(day_end(1_664_380_799_000), 1_664_380_799_000);
        assert_eq!(parse_range("2022-09-28_2022-09-28"), Some((1_664_294_400_000, 1_664_380_799_999)));
        assert_eq!(
            parse_range("2022-09-28 23:59:59_2022-09-28 23:59:59"),
            Some((1_664_380_799_000, 1_664_380_799_999))
        );
        assert_eq!(parse_day("1970-01-01"), Some(UNSET_DAY));
        assert!(parse_range("1000-01-01_9999-12-31").is_some());
        assert_eq!(parse_range("2022-13-01_2022-13-02"), None);
    }
}
