//! What the differ makes of one observation, given what the mirror holds.

use engine::capture::differ::Details;
use engine::change::ChangeKind;
use engine::clock::Moment;
use engine::journal::Detail;
use engine::observation::Seen;
use engine::row::Row;
use engine::schema::Table;
use serde_json::json;

use crate::sequences::{Mirror, Said, looked_up};
use crate::tables::{PEOPLE, THINGS};
use crate::values::row;

const SECOND: i64 = 1_000;

fn listed(name: &str, updated_seconds: i64) -> Row {
    row(json!({"Code": 1, "Name": name, "UpdatedAt": updated_seconds * SECOND, "OwnerId": 4}))
}

fn detailed(name: &str, updated_seconds: i64) -> Row {
    row(json!({
        "Code": "1", "Name": name, "UpdatedAt": updated_seconds * SECOND, "Watchers": [{"Id": 9}], "Labels": [],
    }))
}

fn mirror(details: Details) -> Mirror {
    Mirror::new(&THINGS, details)
}

/// Invariant 1.
#[test]
fn shapes_of_an_unchanged_row_take_turns_in_silence() {
    let mut mirror = mirror(Details::Background);
    assert_eq!(mirror.observe(1, Seen::Listed(listed("a", 5))), Said::Change(ChangeKind::Insert));
    assert_eq!(mirror.observe(2, looked_up(detailed("a", 5), 2, true)), Said::Change(ChangeKind::Detail));
    for moment in (3..11).step_by(2) {
        assert_eq!(mirror.observe(moment, Seen::Listed(listed("a", 5))), Said::Nothing);
        let again = mirror.observe(moment + 1, looked_up(detailed("a", 5), moment + 1, true));
        assert!(!matches!(again, Said::Change(_)), "{again:?}");
    }
    assert_eq!(mirror.row().unwrap().version.detail, Detail::Done);
}

/// Invariant 1, for rows that come with their look-up.
#[test]
fn an_eager_row_is_written_once_it_is_whole() {
    let mut mirror = mirror(Details::Eager);
    assert_eq!(mirror.observe(1, Seen::Listed(listed("a", 5))), Said::NeedsDetail);
    let whole = |moment| match looked_up(detailed("a", 5), moment, true) {
        Seen::LookedUp(look_up) => Seen::Whole(listed("a", 5), look_up),
        other => other,
    };
    assert_eq!(mirror.observe(1, whole(2)), Said::Change(ChangeKind::Insert));
    assert!(mirror.first_detail);
    assert_eq!(mirror.observe(3, Seen::Listed(listed("a", 5))), Said::Nothing);
    assert!(!matches!(mirror.observe(4, whole(5)), Said::Change(_)));
    assert_eq!(mirror.observe(6, Seen::Listed(listed("b", 6))), Said::NeedsDetail);
}

/// Invariant 1: a listing that lags is taken back by the look-up it led to; nothing happened.
#[test]
fn what_the_look_up_takes_back_is_no_change() {
    let mut mirror = mirror(Details::Eager);
    let whole = |listed_name, moment| match looked_up(detailed("a", 5), moment, true) {
        Seen::LookedUp(look_up) => Seen::Whole(listed(listed_name, 5), look_up),
        other => other,
    };
    mirror.observe(1, whole("a", 2));
    assert_eq!(mirror.observe(3, Seen::Listed(listed("lagging", 5))), Said::NeedsDetail);
    assert_eq!(mirror.observe(3, whole("lagging", 4)), Said::Note);
    assert_eq!((mirror.name(), mirror.row().unwrap().version.detail), ("a".to_owned(), Detail::Done));
}

/// Invariant 4: a look-up that was sent later wins, even with an older time of update.
#[test]
fn a_later_look_up_wins_even_when_it_is_dated_earlier() {
    let mut mirror = mirror(Details::Background);
    mirror.observe(1, Seen::Listed(listed("new", 9)));
    assert_eq!(mirror.observe(2, looked_up(detailed("old", 5), 2, true)), Said::Change(ChangeKind::Update));
    assert_eq!(mirror.name(), "old");
    assert_eq!(mirror.row().unwrap().version.updated_ms, 5 * SECOND);
}

#[test]
fn a_listing_loses_against_a_later_look_up() {
    let mut mirror = mirror(Details::Background);
    mirror.observe(5, looked_up(detailed("new", 9), 5, true));
    assert_eq!(mirror.observe(3, Seen::Listed(listed("old", 5))), Said::Nothing);
    assert_eq!(mirror.name(), "new");
}

#[test]
fn a_look_up_that_a_listing_overtook_brings_only_what_listings_lack() {
    let mut mirror = mirror(Details::Background);
    mirror.observe(1, Seen::Listed(listed("old", 5)));
    mirror.observe(4, Seen::Listed(listed("new", 6)));
    assert_eq!(mirror.observe(3, looked_up(detailed("old", 5), 3, true)), Said::Change(ChangeKind::Detail));
    assert_eq!(mirror.name(), "new");
    let held = mirror.row().unwrap();
    assert_eq!(held.row.as_ref().unwrap().get("Watchers"), Some(&json!([{"Id": 9}])));
    assert_eq!(held.version.detail, Detail::Stale, "it is asked for again");
}

/// A listing that lags behind what is known does not decide; the look-up does.
#[test]
fn a_listing_dated_before_what_is_known_is_looked_up() {
    let mut mirror = mirror(Details::Background);
    mirror.observe(1, looked_up(detailed("new", 9), 1, true));
    assert_eq!(mirror.observe(2, Seen::Listed(listed("old", 5))), Said::Note);
    assert_eq!((mirror.name(), mirror.row().unwrap().version.detail), ("new".to_owned(), Detail::Stale));
    assert_eq!(mirror.observe(3, Seen::Listed(listed("old", 5))), Said::Nothing, "it was said once");
    assert_eq!(
        mirror.row().unwrap().detailed(),
        Some(Moment(1)),
        "the row carries its details all the while"
    );
    assert_eq!(mirror.observe(4, looked_up(detailed("new", 9), 4, true)), Said::Note, "nothing happened");
    assert_eq!(mirror.row().unwrap().version.detail, Detail::Done);
}

/// Invariant 4: times have second precision.
#[test]
fn a_look_up_within_the_second_of_the_update_is_repeated() {
    let mut mirror = mirror(Details::Background);
    mirror.observe(1, Seen::Listed(listed("a", 5)));
    assert_eq!(mirror.observe(2, looked_up(detailed("a", 5), 2, false)), Said::Change(ChangeKind::Detail));
    let held = mirror.row().unwrap();
    assert_eq!((held.version.detail, held.detailed()), (Detail::Stale, Some(Moment(2))));
    mirror.observe(3, looked_up(detailed("b", 5), 3, true));
    assert_eq!(mirror.name(), "b", "an edit within the same second");
    let held = mirror.row().unwrap();
    assert_eq!((held.version.detail, held.detailed()), (Detail::Done, Some(Moment(3))));
    // With nothing edited meanwhile the repetition is no news.
    let mut mirror = self::mirror(Details::Background);
    mirror.observe(1, Seen::Listed(listed("a", 5)));
    mirror.observe(2, looked_up(detailed("a", 5), 2, false));
    assert_eq!(mirror.observe(3, looked_up(detailed("a", 5), 3, true)), Said::Note);
    assert_eq!(mirror.row().unwrap().version.detail, Detail::Done);
    // A listed edit makes the details those of an older version.
    mirror.observe(4, Seen::Listed(listed("c", 6)));
    assert_eq!(mirror.row().unwrap().detailed(), None);
    assert_eq!(mirror.observe(5, looked_up(detailed("c", 6), 5, true)), Said::Change(ChangeKind::Detail));
}

/// Invariant 2: gone is what was looked for after it was last seen.
#[test]
fn gone_needs_a_later_moment() {
    let mut mirror = mirror(Details::Background);
    assert_eq!(mirror.observe(1, Seen::Gone), Said::Nothing, "nothing is known to be gone");
    mirror.observe(5, Seen::Listed(listed("a", 5)));
    for moment in [4, 5] {
        assert_eq!(mirror.observe(moment, Seen::Gone), Said::Nothing);
    }
    mirror.observe(7, looked_up(detailed("a", 5), 7, true));
    assert_eq!(mirror.observe(7, Seen::Gone), Said::Nothing);
    assert_eq!(mirror.observe(8, Seen::Gone), Said::Change(ChangeKind::Delete));
    assert_eq!(mirror.observe(9, Seen::Gone), Said::Nothing, "once");
}

/// Invariant 4: a tombstone is not undone by a listing that may lag.
#[test]
fn a_listed_tombstone_is_looked_up_unless_it_is_dated_later() {
    let dead = || {
        let mut mirror = mirror(Details::Background);
        mirror.observe(1, Seen::Listed(listed("a", 5)));
        mirror.observe(4, Seen::Gone);
        mirror
    };
    let mut mirror = dead();
    assert_eq!(mirror.observe(3, Seen::Listed(listed("b", 9))), Said::Nothing, "sent before it was gone");
    assert_eq!(mirror.observe(3, looked_up(detailed("b", 9), 3, true)), Said::Nothing);
    assert_eq!(mirror.observe(5, Seen::Listed(listed("a", 5))), Said::Note);
    assert_eq!(mirror.row().unwrap().version.detail, Detail::Stale, "a look-up is asked for");
    assert_eq!(mirror.observe(6, Seen::Listed(listed("a", 5))), Said::Nothing, "once");
    // The look-up says that it is gone indeed ...
    assert_eq!(mirror.observe(7, Seen::Gone), Said::Note);
    assert_eq!(mirror.row().unwrap().version.detail, Detail::Done);
    // ... or that it is back.
    mirror.observe(8, Seen::Listed(listed("a", 5)));
    assert_eq!(mirror.observe(9, looked_up(detailed("a", 5), 9, true)), Said::Change(ChangeKind::Insert));

    let mut mirror = dead();
    assert_eq!(mirror.observe(5, Seen::Listed(listed("b", 6))), Said::Change(ChangeKind::Insert));
    assert_eq!(mirror.row().unwrap().version.detail, Detail::Stale);
}

/// Who has no look-up comes back with the next listing.
#[test]
fn a_table_without_look_ups_believes_its_listings() {
    let person = || Seen::Listed(row(json!({"Id": 1, "Name": "x"})));
    let mut mirror = Mirror::new(&PEOPLE, Details::Background);
    assert_eq!(mirror.observe(1, person()), Said::Change(ChangeKind::Insert));
    assert_eq!(mirror.row().unwrap().detailed(), Some(Moment(1)), "nothing is pending");
    assert_eq!(mirror.observe(2, Seen::Gone), Said::Change(ChangeKind::Delete));
    assert_eq!(mirror.observe(3, person()), Said::Change(ChangeKind::Insert));
}

#[test]
fn without_details_only_listed_fields_are_kept() {
    let mut mirror = mirror(Details::Off);
    mirror.observe(1, Seen::Listed(listed("a", 5)));
    assert_eq!(mirror.observe(2, looked_up(detailed("b", 6), 2, true)), Said::Change(ChangeKind::Update));
    let held = mirror.row().unwrap();
    assert_eq!(held.row.as_ref().unwrap().get("Watchers"), None);
    assert_eq!((held.version.detail, held.detailed()), (Detail::Off, None));
}

/// Invariant 1: where only listed fields are wanted, a look-up that shows more of an unchanged row is no change.
#[test]
fn without_details_a_richer_look_up_is_no_change() {
    let owned = |owner| row(json!({"Code": 1, "Name": "a", "UpdatedAt": 5_000, "Owner": owner}));
    let mut mirror = mirror(Details::Off);
    mirror.observe(1, Seen::Listed(owned(json!({"Id": 3}))));
    let richer = looked_up(owned(json!({"Id": 3, "Avatar": "u"})), 2, true);
    assert_eq!(mirror.observe(2, richer), Said::Note);
    assert_eq!(mirror.content().unwrap().get("Owner"), Some(&json!({"Id": 3})));
}

/// Copies made true are the row as it is to be, and say nothing of when it was seen.
#[test]
fn a_derived_row_replaces_the_mirrored_one() {
    let mut mirror = mirror(Details::Background);
    assert_eq!(mirror.observe(1, Seen::Derived(listed("a", 5))), Said::Nothing, "of an unknown row");
    mirror.observe(2, looked_up(detailed("a", 5), 2, true));
    let before = mirror.row().unwrap().version.clone();
    let mut content = mirror.row().unwrap().row.clone().unwrap().fields().clone();
    assert_eq!(mirror.observe(3, Seen::Derived(Row::from(content.clone()))), Said::Nothing);
    content.insert("Watchers".to_owned(), json!([]));
    assert_eq!(
        mirror.observe(3, Seen::Derived(Row::from(content.clone()))),
        Said::Change(ChangeKind::Update)
    );
    let after = mirror.row().unwrap();
    assert_eq!(after.row, Some(Row::from(content)));
    assert_eq!((after.version.observed, after.version.looked_up), (before.observed, before.looked_up));
    mirror.observe(4, Seen::Gone);
    assert_eq!(mirror.observe(5, Seen::Derived(listed("a", 5))), Said::Nothing, "of a tombstone");
}

/// A table must have what the tests above take for granted.
#[test]
fn the_tables_are_what_these_tests_need() {
    let has_detail = |table: &Table| table.has_detail();
    assert!(has_detail(&THINGS) && THINGS.look_up && !has_detail(&PEOPLE) && !PEOPLE.look_up);
}
