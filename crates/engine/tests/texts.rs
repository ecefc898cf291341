//! A row that was read from a text is the row that its values make.

use engine::row::{Row, RowReader, integer};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::tables::{THINGS, cases};
use crate::values::{Dice, any_row};

/// Reads a text as the rows of a page are read.
fn read(text: &str) -> serde_json::Result<Row> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let row = RowReader::of(&THINGS).read(&mut deserializer)?;
    deserializer.end().map(|()| row)
}

/// Other texts that say the same: laid out over lines, fields in another order, characters escaped that need not be.
fn texts(row: &Row, seed: u64) -> Vec<String> {
    let plain = serde_json::to_string(row.fields()).unwrap();
    let escaped = plain.chars().map(|c| match c {
        '字' => "\\u5b57".to_owned(),
        '😀' => "\\ud83d\\ude00".to_owned(),
        c => c.to_string(),
    });
    let mut members: Vec<String> = row.fields().iter().map(|(k, v)| format!("{}:{v}", json!(k))).collect();
    Dice(seed).shuffle(&mut members);
    vec![
        escaped.collect(),
        serde_json::to_string_pretty(row.fields()).unwrap(),
        format!("{{{}}}", members.join(",")),
        plain,
    ]
}

proptest! {
    #![proptest_config(cases(400))]

    #[test]
    fn a_text_is_read_as_its_values_are(row in any_row(), seed: u64) {
        for text in texts(&row, seed) {
            let found = read(&text).unwrap();
            prop_assert_eq!(found.digest(&THINGS), row.digest(&THINGS), "{}", text);
            prop_assert_eq!(found.integer("Count"), row.integer("Count"));
            for (name, value) in row.fields() {
                let (look, raw) = (found.look(name), found.raw(name));
                prop_assert_eq!(look.as_deref(), Some(value));
                prop_assert_eq!(&serde_json::from_str::<Value>(raw.unwrap()).unwrap(), value);
            }
            prop_assert_eq!((found.look("Nothing"), found.raw("Nothing")), (None, None));
            prop_assert_eq!(found.width(), row.fields().len());
            let kept = Row::from_json(found.json()).unwrap();
            prop_assert_eq!(kept.json(), found.json(), "what is kept is read as it was written");
            prop_assert_eq!(kept.digest(&THINGS), row.digest(&THINGS));
            prop_assert_eq!(&kept, &row);
            prop_assert_eq!(&found, &row);
        }
    }

    /// A reader remembers names and values of the row before: no row is read otherwise for that.
    #[test]
    fn rows_read_one_after_the_other_are_read_as_each_alone(
        rows in prop::collection::vec((any_row(), any::<u64>(), 0_usize..4, 0_usize..4), 1..12),
    ) {
        let mut reader = RowReader::of(&THINGS);
        for (row, seed, form, broken) in rows {
            let text = texts(&row, seed).swap_remove(form);
            // Once more, so that all of it is as in the row before; now and then one that ends too early.
            for text in [text.get(..text.len() / 2).filter(|_| broken == 0), Some(&text), Some(&text)] {
                let Some(text) = text else { continue };
                let found = reader.read(&mut serde_json::Deserializer::from_str(text));
                match read(text) {
                    Ok(alone) => {
                        let found = found.unwrap();
                        prop_assert_eq!(found.json(), alone.json());
                        prop_assert_eq!(found.digest(&THINGS), alone.digest(&THINGS));
                        prop_assert!(found.members().eq(alone.members()));
                    }
                    Err(_) => prop_assert!(found.is_err()),
                }
            }
        }
    }

    #[test]
    fn ids_inside_of_fields_are_found_as_among_values(row in any_row(), seed: u64) {
        fn at<'v>(value: &'v Value, path: &[&str], found: &mut Vec<&'v Value>) {
            match (value, path.split_first()) {
                (Value::Array(items), _) => items.iter().for_each(|item| at(item, path, found)),
                (Value::Object(map), Some((next, path))) => {
                    map.get(*next).into_iter().for_each(|value| at(value, path, found));
                }
                (value, None) => found.push(value),
                _ => {}
            }
        }
        fn paths(value: &Value, path: &mut Vec<String>, all: &mut Vec<Vec<String>>) {
            all.push(path.clone());
            match value {
                Value::Array(items) => items.iter().for_each(|item| paths(item, path, all)),
                Value::Object(map) => map.iter().for_each(|(name, value)| {
                    path.push(name.clone());
                    paths(value, path, all);
                    path.pop();
                }),
                _ => {}
            }
        }
        for text in texts(&row, seed) {
            let read = read(&text).unwrap();
            for (name, value) in row.fields() {
                let mut all = vec![vec!["Nowhere".to_owned()]];
                paths(value, &mut Vec::new(), &mut all);
                for path in all {
                    let path: Vec<&str> = path.iter().map(String::as_str).collect();
                    let mut found = Vec::new();
                    at(value, &path, &mut found);
                    let ids = found.into_iter().filter_map(integer).filter(|id| *id != 0);
                    prop_assert_eq!(read.ids(name, &path), ids.collect::<Vec<i64>>(), "{} {:?}", name, path);
                }
            }
        }
    }

    #[test]
    fn a_row_made_of_values_is_read_from_its_text(row in any_row()) {
        prop_assert_eq!(&Row::from_json(row.json()).unwrap(), &row);
    }

    /// Whatever is read can be asked for anything: no value is found to be none later.
    #[test]
    fn what_can_be_read_can_be_used(text in "[{}\\[\\]\":,0-9eE.+tfn \\\\u-]{0,40}") {
        for row in [read(&text), Row::from_json(&text)].into_iter().flatten() {
            let whole: Map<String, Value> = serde_json::from_str(&text).unwrap();
            prop_assert_eq!(row.fields(), &whole);
        }
    }
}

#[test]
fn a_changed_row_forgets_its_text_and_a_shared_one_is_copied() {
    let row = read(r#"{"Code":1,"Name":"a"}"#).unwrap();
    let mut changed = row.clone();
    changed.fields_mut().insert("Name".to_owned(), json!("b"));
    assert_eq!((row.json(), changed.json()), (r#"{"Code":1,"Name":"a"}"#, r#"{"Code":1,"Name":"b"}"#));
    assert_ne!(row.digest(&THINGS), changed.digest(&THINGS));
    let mut alone = read(r#"{"Code":1}"#).unwrap();
    alone.fields_mut().clear();
    assert_eq!((alone.json(), alone.width()), ("{}", 0));
}

#[test]
fn texts_are_kept_as_people_will_look_for_them() {
    let check = |text: &str, kept: &str| assert_eq!(read(text).unwrap().json(), kept);
    check("{ \"Name\" : \"a\\u5b57\\/b\" }", r#"{"Name":"a字/b"}"#);
    check("{\"Labels\": [\n  {\"b\": 1,\n  \"a\": 2}\n]}", r#"{"Labels":[{"a":2,"b":1}]}"#);
    check(
        r#"{"Labels":[{"b":1,"a":2.50}],"Name":"a\n\"b\""}"#,
        r#"{"Labels":[{"b":1,"a":2.50}],"Name":"a\n\"b\""}"#,
    );
}

#[test]
fn strange_names_and_repeated_ones_are_read_as_values_are() {
    let row = read(r#"{"a\"b\n":1,"Name":"a","Name":"b","":2,"\u0043ode":3}"#).unwrap();
    assert_eq!(row.look("a\"b\n").as_deref(), Some(&json!(1)));
    assert_eq!(row.raw("Name"), Some(r#""b""#));
    assert_eq!((row.integer(""), row.integer("Code")), (Some(2), Some(3)));
    assert_eq!(row.fields().len(), 4);
    let names: Vec<_> = row.members().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(names, ["a\"b\n", "Name", "Name", "", "Code"]);
}

#[test]
fn what_could_not_be_read_later_is_refused_at_once() {
    let deep = |levels: usize| format!("{{\"Labels\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    let row = read(&deep(125)).unwrap();
    assert!(row.fields().contains_key("Labels") && Row::from_json(row.json()).is_ok());
    let reserved = r#"{"Labels":[{"$serde_json::private::RawValue":1}]}"#;
    for text in [
        &deep(126),
        reserved,
        r#"{"Count":1e999}"#,
        r#"{"Name":"\ud83d"}"#,
        r#"{"Labels":[{"a":1e999}]}"#,
        "[]",
        "1",
    ] {
        assert!(read(text).is_err() && Row::from_json(text).is_err(), "{text}");
    }
    assert!(Row::from_json("{} {}").is_err());
}
