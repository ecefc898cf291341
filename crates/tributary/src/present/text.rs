//! Numbers, times and activities as people read them.

use std::time::Duration;

use engine::status::{Activity, State};
use jiff::Timestamp;

/// `1234567` as `1,234,567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 row`, `2 rows`.
pub(crate) fn plural(number: u64, noun: &str) -> String {
    if number == 1 {
        return format!("1 {noun}");
    }
    match noun.strip_suffix("ry") {
        Some(stem) => format!("{} {stem}ries", count(number)),
        None => format!("{} {noun}s", count(number)),
    }
}

/// A time in its two largest units: `0.4 s`, `42 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{}.{} s", seconds, time.subsec_millis() / 100),
        10..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// From `from` to `to`; nothing when `to` is earlier.
pub(crate) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// What somebody is doing, in words: `looking for changes (for 3 s)`.
pub(crate) fn activity(activity: &Activity, now: Timestamp) -> String {
    let since = span(between(activity.since, now));
    let doing = |what: &str| format!("{what} (for {since})");
    match &activity.state {
        State::Starting => doing("starting"),
        State::Loading => doing("loading"),
        State::Rebuilding => doing("rebuilding the target from the mirror"),
        State::Polling => doing("looking for changes"),
        State::Census => doing("comparing all rows"),
        State::Delivering => doing("waiting until what was read is written"),
        State::Detailing => doing("fetching details"),
        State::Following { next: Some(next) } => {
            format!("following; next look {}", until(*next, now))
        }
        State::Following { next: None } => "following".to_owned(),
        State::Waiting { problem, next: Some(next) } => {
            format!("waiting for {since}. {problem} Next try {}.", until(*next, now))
        }
        State::Waiting { problem, next: None } => format!("ended {since} ago. {problem}"),
        State::Stopped => "stopped".to_owned(),
    }
}

/// `in 5 s`, or `now` when the time has come. Whole seconds, so that a live line does not flicker.
pub(crate) fn until(next: Timestamp, now: Timestamp) -> String {
    let seconds = between(now, next).as_secs();
    match seconds {
        0 => "now".to_owned(),
        1..60 => format!("in {seconds} s"),
        _ => format!("in {}", span(Duration::from_secs(seconds))),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use engine::problem::Problem;
    use engine::status::{Activity, State};
    use jiff::Timestamp;

    use super::{activity, count, plural, span, until};

    #[test]
    fn numbers_are_grouped() {
        let shown: Vec<String> = [0, 999, 1_000, 1_234_567].into_iter().map(count).collect();
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(plural(1, "row"), "1 row");
        assert_eq!(plural(2_000, "row"), "2,000 rows");
    }

    #[test]
    fn times_have_two_units() {
        let shown: Vec<String> =
            [450, 59_999, 185_000, 7_800_000, 273_600_000].map(|ms| span(Duration::from_millis(ms))).into();
        assert_eq!(shown, ["0.4 s", "59 s", "3 min 5 s", "2 h 10 min", "3 d 4 h"]);
    }

    #[test]
    fn what_somebody_does_or_waits_for_is_said() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let doing = |state| Activity { state, since: at(100), last_problem: None };
        assert_eq!(activity(&doing(State::Polling), at(103)), "looking for changes (for 3.0 s)");
        let following = doing(State::Following { next: Some(at(190)) });
        assert_eq!(activity(&following, at(110)), "following; next look in 1 min 20 s");
        let problem = Problem::new("X", "Cannot read", "it is gone", "Bring it back.");
        let waiting = doing(State::Waiting { problem, next: Some(at(115)) });
        assert_eq!(
            activity(&waiting, at(110)),
            "waiting for 10 s. Cannot read: it is gone. Bring it back. [X] Next try in 5 s."
        );
        assert_eq!(until(at(5), at(9)), "now");
    }
}
