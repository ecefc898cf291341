//! When two looks at a row say the same, and what is left when they do not.

use engine::row::{Row, integer};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::tables::{THINGS, cases};
use crate::values::{Dice, any_row, canonical, respelled, row, unset};

proptest! {
    #![proptest_config(cases(400))]

    /// Invariant 1: number spelling, unset spelling and volatile parts are no difference.
    #[test]
    fn another_spelling_is_the_same_row(a in any_row(), seed: u64) {
        let b = respelled(&a, &THINGS, true, seed);
        prop_assert_eq!(a.digest(&THINGS), b.digest(&THINGS), "{:?} and {:?}", &a, &b);
        prop_assert_eq!(a.merge(&b, &THINGS), None);
        // The other way round fields that are unset may come in, but nothing changes.
        let back = b.merge(&a, &THINGS).map(|merged| merged.changed).unwrap_or_default();
        prop_assert!(back.is_empty(), "{:?}", back);
    }

    /// Digests are equal exactly when the canonical rows are.
    #[test]
    fn a_digest_tells_rows_apart(a in any_row(), other in any_row(), seed: u64) {
        let mut dice = Dice(seed);
        let mut b = respelled(&a, &THINGS, true, seed);
        for (name, value) in other.fields() {
            if dice.one_in(3) {
                b.fields_mut().insert(name.clone(), value.clone());
            }
        }
        let equal = canonical(&a, &THINGS) == canonical(&b, &THINGS);
        prop_assert_eq!(a.digest(&THINGS) == b.digest(&THINGS), equal, "{:?} and {:?}", &a, &b);
        if equal {
            prop_assert_eq!(a.merge(&b, &THINGS).map(|merged| merged.changed).unwrap_or_default(), Vec::<String>::new());
        }
    }

    #[test]
    fn a_row_brings_itself_nothing_new(a in any_row()) {
        prop_assert_eq!(a.merge(&a, &THINGS), None);
    }

    /// What was merged in brings nothing new a second time, and nothing that only the older look had is lost.
    #[test]
    fn a_second_look_changes_nothing_more(a in any_row(), b in any_row(), seed: u64) {
        let now = a.merge(&b, &THINGS).map_or_else(|| a.clone(), |merged| merged.row);
        prop_assert_eq!(now.merge(&b, &THINGS), None, "{:?} after {:?}", &now, &b);
        // Zeroed over an object without those keys may mean "unset" or "not shown": no other spelling of that.
        if !b.fields().values().any(zeroed) {
            prop_assert_eq!(now.merge(&respelled(&b, &THINGS, true, seed), &THINGS), None);
        }
        for (name, value) in a.fields() {
            if !b.fields().contains_key(name) {
                prop_assert_eq!(now.get(name), Some(value));
            }
        }
        for name in b.fields().keys() {
            prop_assert!(now.get(name).is_some());
        }
    }

    /// Invariant 1: two shapes of an unchanged row, however often they alternate.
    #[test]
    fn shapes_take_turns_without_a_change(whole in any_row(), seed: u64) {
        let mut dice = Dice(seed);
        let listed = look(&mut dice, &whole);
        let looked_up = look(&mut dice, &whole);
        let mut now = listed.merge(&looked_up, &THINGS).map_or_else(|| listed.clone(), |merged| merged.row);
        if let Some(added) = now.merge(&listed, &THINGS) {
            prop_assert!(added.changed.is_empty(), "{:?}", added);
            now = added.row;
        }
        for again in [&listed, &looked_up, &listed] {
            let spelled = respelled(again, &THINGS, true, seed ^ 1);
            prop_assert_eq!(now.merge(&spelled, &THINGS), None, "{:?} after {:?}", &now, spelled);
        }
    }
}

/// Whether there is an object all of whose keys are unset.
fn zeroed(value: &Value) -> bool {
    match value {
        Value::Object(map) => (!map.is_empty() && unset(value)) || map.values().any(zeroed),
        Value::Array(items) => items.iter().any(zeroed),
        _ => false,
    }
}

/// What one shape shows of a row: fields and nested keys are left out at random, but not those that say which
/// thing a nested object is.
fn look(dice: &mut Dice, whole: &Row) -> Row {
    let keep = |value: &Value, dice: &mut Dice| (!dice.one_in(4)).then(|| less(dice, value));
    whole.fields().iter().filter_map(|(name, value)| Some((name.clone(), keep(value, dice)?))).collect()
}

fn less(dice: &mut Dice, value: &Value) -> Value {
    match value {
        value if unset(value) => value.clone(),
        Value::Array(items) => items.iter().map(|item| less(dice, item)).collect(),
        Value::Object(map) => {
            let mut kept = Map::new();
            for (key, value) in map {
                if key.ends_with("Id") || key == "Code" || dice.one_in(2) {
                    kept.insert(key.clone(), less(dice, value));
                }
            }
            // A shape that shows nothing but unset keys of a thing that is set would claim it to be unset.
            match unset(&Value::Object(kept.clone())) {
                true => value.clone(),
                false => Value::Object(kept),
            }
        }
        other => other.clone(),
    }
}

fn merged(older: Value, newer: Value) -> Option<(Value, Vec<String>, Vec<String>)> {
    let merged = row(older).merge(&row(newer), &THINGS)?;
    Some((json!(merged.row), merged.changed, merged.added))
}

#[test]
fn the_order_of_keys_is_no_difference() {
    let parse = |text: &str| serde_json::from_str::<Row>(text).unwrap();
    let a = parse(r#"{"Name": "a", "Owner": {"Id": 1, "Name": "x"}}"#);
    let b = parse(r#"{"Owner": {"Name": "x", "Id": 1}, "Name": "a"}"#);
    assert_eq!(a.digest(&THINGS), b.digest(&THINGS));
}

#[test]
fn numbers_and_unset_values_have_many_spellings() {
    let same = |a: Value, b: Value| {
        assert_eq!(row(a.clone()).digest(&THINGS), row(b.clone()).digest(&THINGS), "{a} and {b}");
        assert_eq!(merged(a, b), None);
    };
    same(json!({"Count": 1}), json!({"Count": 1.0}));
    same(json!({"Count": 1}), json!({"Count": "1"}));
    same(json!({"Share": "0.50"}), json!({"Share": 0.5}));
    for unset in
        [json!(null), json!(0), json!("0"), json!(""), json!([]), json!(-28_800_000), json!("-28800000")]
    {
        same(json!({"Count": unset}), json!({}));
    }
    same(json!({"Files": [{"FileId": 1, "Url": "a"}]}), json!({"Files": [{"FileId": 1, "Url": "b"}]}));
}

#[test]
fn a_text_that_looks_like_a_number_is_a_text_where_texts_are() {
    let (a, b) = (row(json!({"Name": "1"})), row(json!({"Name": "1.0"})));
    assert_ne!(a.digest(&THINGS), b.digest(&THINGS));
    assert_eq!(a.merge(&b, &THINGS).unwrap().changed, ["Name"]);
    assert_eq!(integer(&json!("12")), Some(12));
    assert_eq!(integer(&json!("12.5")), None);
}

#[test]
fn keys_that_a_newer_look_lacks_are_kept() {
    let (now, changed, added) = merged(
        json!({"Name": "a", "Watchers": [{"Id": 1}], "Owner": {"Id": 1, "Name": "x", "Avatar": "u"}}),
        json!({"Name": "b", "Owner": {"Id": 1, "Name": "y"}}),
    )
    .unwrap();
    let expected =
        json!({"Name": "b", "Watchers": [{"Id": 1}], "Owner": {"Id": 1, "Name": "y", "Avatar": "u"}});
    assert_eq!((now, changed, added), (expected, vec!["Name".to_owned(), "Owner".to_owned()], vec![]));
}

#[test]
fn what_only_the_newer_look_has_is_added_at_any_depth() {
    let (now, changed, added) =
        merged(json!({"Owner": {"Id": 1}}), json!({"Owner": {"Id": 1, "Team": {"Id": 2}}, "OwnerId": 1}))
            .unwrap();
    assert_eq!(now, json!({"Owner": {"Id": 1, "Team": {"Id": 2}}, "OwnerId": 1}));
    assert_eq!((changed, added), (vec![], vec!["Owner".to_owned(), "OwnerId".to_owned()]));
    // An object that was empty is no exception.
    let (now, ..) = merged(json!({"Owner": {}}), json!({"Owner": {"Id": 3, "Name": "z"}})).unwrap();
    assert_eq!(now, json!({"Owner": {"Id": 3, "Name": "z"}}));
}

#[test]
fn a_nested_object_that_became_another_one_is_replaced_whole() {
    for (old, new) in
        [(json!(1), json!(2)), (json!("a-1"), json!("a-2")), (json!(1), json!(0)), (json!(0), json!(1))]
    {
        let (now, ..) = merged(
            json!({"Owner": {"Code": old, "Name": "x", "Avatar": "u"}}),
            json!({"Owner": {"Code": new, "Name": "y"}}),
        )
        .unwrap();
        assert_eq!(now, json!({"Owner": {"Code": new, "Name": "y"}}), "nothing of the old one sticks");
    }
    let (now, ..) = merged(json!({"Owner": {"Code": 1, "Name": "x"}}), json!({"Owner": {}})).unwrap();
    assert_eq!(now, json!({"Owner": {}}), "an object without keys is unset");
}

#[test]
fn array_elements_keep_their_keys_by_identity() {
    let old =
        json!({"Labels": [{"Id": 1, "Name": "a", "Color": "red"}, {"Id": 2, "Name": "b", "Color": "blue"}]});
    let (now, ..) = merged(
        old.clone(),
        json!({"Labels": [{"Id": "2", "Name": "b2"}, {"Id": 3, "Name": "c"}, {"Id": 1, "Name": "a"}]}),
    )
    .unwrap();
    assert_eq!(
        now,
        json!({"Labels": [
            {"Id": "2", "Name": "b2", "Color": "blue"},
            {"Id": 3, "Name": "c"},
            {"Id": 1, "Name": "a", "Color": "red"},
        ]})
    );
    let (now, ..) = merged(old, json!({"Labels": [{"Code": 9}]})).unwrap();
    assert_eq!(
        now,
        json!({"Labels": [{"Code": 9}]}),
        "an element that says otherwise what it is, is another"
    );
}
