//! Invariant 4: whatever the order in which observations of a row arrive, the end is the same, and it is the
//! one that a plain rule gives: what was sent last wins; what only look-ups show comes from the last look-up.

use engine::capture::differ::Details;
use engine::journal::Detail;
use engine::observation::{LookedUp, Seen};
use engine::row::Row;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

use crate::sequences::{Mirror, looked_up};
use crate::tables::{THINGS, cases};
use crate::values::{Dice, row};

/// How a row looked at a moment of its life.
#[derive(Clone, Debug, PartialEq)]
struct Life {
    /// Grows with every edit.
    edit: i64,
    /// Some edits do not move it.
    updated_seconds: i64,
    /// Edits that only look-ups show.
    watchers: i64,
}

impl Life {
    fn listed(&self) -> Row {
        let Life { edit, updated_seconds, .. } = self;
        row(json!({"Code": 1, "Count": edit, "UpdatedAt": updated_seconds * 1_000, "OwnerId": edit}))
    }

    fn detailed(&self) -> Row {
        let Life { edit, updated_seconds, watchers } = self;
        let count = edit.to_string();
        row(json!({"Code": 1, "Count": count, "UpdatedAt": updated_seconds * 1_000, "Watchers": [watchers]}))
    }
}

/// A life, one entry a moment: each step is nothing, an edit, an unseen edit, or one that only look-ups show.
fn life() -> impl Strategy<Value = Vec<Life>> {
    vec(0_u8..6, 2..14).prop_map(|steps| {
        let mut now = Life { edit: 1, updated_seconds: 100, watchers: 1 };
        let mut life = Vec::new();
        for step in steps {
            match step {
                0 | 1 => (now.edit, now.updated_seconds) = (now.edit + 1, now.updated_seconds + 1),
                2 => now.edit += 1,
                3 => (now.watchers, now.updated_seconds) = (now.watchers + 1, now.updated_seconds + 1),
                _ => {}
            }
            life.push(now.clone());
        }
        life
    })
}

/// One look at the row, sent at a moment of its own.
#[derive(Clone, Debug)]
enum Look {
    Listed,
    LookedUp,
    Gone,
}

/// Looks at every moment of a life, and perhaps at its end; in the order in which they arrive.
fn looks(dice: &mut Dice, moments: usize, dies: bool) -> Vec<(usize, Look)> {
    let mut looks: Vec<(usize, Look)> = (0..moments)
        .filter_map(|moment| match dice.below(5) {
            0 => None,
            1 | 2 => Some((moment, Look::LookedUp)),
            _ => Some((moment, Look::Listed)),
        })
        .collect();
    if dies {
        looks.push((moments, Look::Gone));
    }
    dice.shuffle(&mut looks);
    looks
}

/// The moment at which look number `moment` was sent.
fn sent(moment: usize) -> i64 {
    i64::try_from(moment).unwrap() * 10 + 10
}

fn replay(details: Details, life: &[Life], looks: &[(usize, Look)]) -> Mirror {
    let mut mirror = Mirror::new(&THINGS, details);
    for (moment, look) in looks {
        let sent = sent(*moment);
        match look {
            Look::Listed => mirror.observe(sent, Seen::Listed(life[*moment].listed())),
            Look::LookedUp => mirror.observe(sent, looked_up(life[*moment].detailed(), sent, true)),
            Look::Gone => mirror.observe(sent, Seen::Gone),
        };
    }
    mirror
}

proptest! {
    #![proptest_config(cases(1_500))]

    #[test]
    fn what_was_sent_last_wins(life in life(), dies: bool, off: bool, seed: u64) {
        let details = if off { Details::Off } else { Details::Background };
        let looks = looks(&mut Dice(seed), life.len(), dies);
        let mirror = replay(details, &life, &looks);

        let seen = |(_, look): &&(usize, Look)| !matches!(look, Look::Gone);
        let last = looks.iter().filter(seen).map(|(moment, _)| *moment).max();
        let last_look_up =
            looks.iter().filter(|(_, look)| matches!(look, Look::LookedUp)).map(|(moment, _)| *moment).max();
        // Nobody can be gone who was not there: such an answer comes by again.
        let gone = looks.iter().position(|(_, look)| matches!(look, Look::Gone)).is_some_and(|place| place > 0);

        let Some(last) = last else {
            prop_assert!(mirror.row().is_none());
            return Ok(());
        };
        if gone {
            prop_assert_eq!(mirror.content(), None, "a look sent before it was gone brings nothing back");
            return Ok(());
        }
        let content = mirror.content().unwrap();
        prop_assert_eq!(content.integer("Count"), Some(life[last].edit));
        prop_assert_eq!(content.integer("UpdatedAt"), Some(life[last].updated_seconds * 1_000));
        let watchers = last_look_up.filter(|_| !off).map(|moment| json!([life[moment].watchers]));
        prop_assert_eq!(content.get("Watchers"), watchers.as_ref());
        let pending = matches!(mirror.row().unwrap().version.detail, Detail::Stale | Detail::Missing);
        if last_look_up == Some(last) && !off {
            prop_assert!(!pending, "the last word has been spoken");
        }
        if !off && last_look_up.is_none_or(|moment| life[moment].updated_seconds < life[last].updated_seconds) {
            prop_assert!(pending, "details of an older version are asked for again");
        }
    }

    /// Listings that lag show the row as it was a while ago: either that does not matter, or a look-up is
    /// pending that puts it right.
    #[test]
    fn a_lagging_listing_is_put_right(life in life(), lags in vec(0_usize..6, 14), seed: u64) {
        let looks = looks(&mut Dice(seed), life.len(), false);
        let mut mirror = Mirror::new(&THINGS, Details::Background);
        for (moment, look) in &looks {
            let sent = sent(*moment);
            match look {
                Look::LookedUp => mirror.observe(sent, looked_up(life[*moment].detailed(), sent, true)),
                _ => mirror.observe(sent, Seen::Listed(life[moment.saturating_sub(lags[*moment])].listed())),
            };
        }
        let Some(newest) = looks.iter().map(|(moment, _)| *moment).max() else { return Ok(()) };
        let held = mirror.row().unwrap();
        let last_look_up =
            looks.iter().filter(|(_, look)| matches!(look, Look::LookedUp)).map(|(moment, _)| *moment).max();
        if let Some(moment) = last_look_up
            && held.version.detail == Detail::Done
        {
            let known = held.row.as_ref().unwrap().integer("UpdatedAt").unwrap();
            prop_assert!(known >= life[moment].updated_seconds * 1_000, "an older version is not kept as done");
        }
        // The look-up that is due, and that of the next census' candidate.
        let (sent, now) = (sent(newest) + 5, life.last().unwrap());
        mirror.observe(sent, looked_up(now.detailed(), sent, true));
        let content = mirror.content().unwrap();
        prop_assert_eq!(content.integer("Count"), Some(now.edit));
        prop_assert_eq!(mirror.row().unwrap().version.detail, Detail::Done);
    }

    /// With eager details every row comes as a listing and the look-up after it.
    #[test]
    fn whole_rows_in_any_order(life in life(), seed: u64) {
        let mut dice = Dice(seed);
        let mut moments: Vec<usize> = (0..life.len()).filter(|_| dice.one_in(2)).collect();
        let last = moments.last().copied();
        dice.shuffle(&mut moments);
        let mut mirror = Mirror::new(&THINGS, Details::Eager);
        for moment in moments {
            let (listed, sent) = (life[moment].listed(), sent(moment));
            let look_up = LookedUp {
                row: life[moment].detailed(),
                sent: engine::clock::Moment(sent + 1),
                settled: true,
            };
            mirror.observe(sent, Seen::Whole(listed, look_up));
        }
        let Some(last) = last else { return Ok(()) };
        let content = mirror.content().unwrap();
        prop_assert_eq!(content.integer("Count"), Some(life[last].edit));
        prop_assert_eq!(content.get("Watchers"), Some(&json!([life[last].watchers])));
        prop_assert_eq!(mirror.row().unwrap().version.detail, Detail::Done);
    }
}
