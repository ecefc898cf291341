//! Random rows, other spellings of them, and the plainest possible notion of when two of them are equal.

use engine::row::Row;
use engine::schema::{Kind, Table};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use crate::tables::THINGS;

/// Throws that follow from a seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn below(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(sides).unwrap()).unwrap()
    }

    pub(crate) fn one_in(&mut self, sides: usize) -> bool {
        self.below(sides) == 0
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

pub(crate) fn row(value: Value) -> Row {
    serde_json::from_value(value).unwrap()
}

/// Anything a source may put into a field.
pub(crate) fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..4).prop_map(Value::from),
        (-9_007_199_254_740_991_i64..=9_007_199_254_740_991).prop_map(Value::from),
        (-4_000_i32..4_000).prop_map(|eighths| json!(f64::from(eighths) / 8.0)),
        select(vec![json!(-28_800_000), json!(u64::MAX), json!(u64::MAX - 1), json!(0.1), json!(1e300)]),
        "[a字😀 ]{0,3}".prop_map(Value::from),
        "[0-9]{1,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(select(vec!["Id", "Code", "FileId", "Name", "Url", "More"]), inner, 0..5)
                .prop_map(|map| map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()),
        ]
    })
}

/// A row of `THINGS` with some of its fields, and one that no definition has.
pub(crate) fn any_row() -> impl Strategy<Value = Row> {
    let mut names: Vec<&str> = THINGS.fields.iter().map(|field| field.name).collect();
    names.extend(["Code", "Undeclared"]);
    btree_map(select(names), value(), 0..9)
        .prop_map(|map| map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect::<Row>())
}

/// The same row as another look may spell it. `omit`: unset fields may be left out, too.
pub(crate) fn respelled(row: &Row, table: &Table, omit: bool, seed: u64) -> Row {
    let mut dice = Dice(seed);
    let fields = row.fields().iter().filter_map(|(name, value)| {
        let leave_out = omit && unset(value) && dice.one_in(2);
        let numeric = matches!(table.kind(name), Kind::Integer | Kind::Real);
        (!leave_out).then(|| (name.clone(), respell(&mut dice, table, &[name], value, numeric)))
    });
    fields.collect()
}

fn respell(dice: &mut Dice, table: &Table, path: &[&str], value: &Value, numeric: bool) -> Value {
    if unset(value) {
        let spellings = [json!(null), json!(0), json!(0.0), json!(""), json!([]), json!(-28_800_000)];
        return spellings[dice.below(spellings.len())].clone();
    }
    if table.volatile.contains(&path) {
        return json!(format!("https://files.example/{}", dice.below(1_000_000)));
    }
    match value {
        Value::Number(number) => match (number.as_i64(), dice.below(3)) {
            (Some(integer), 0) => json!(exact(integer)),
            (Some(integer), 1) if numeric => json!(format!(" {integer}")),
            (None, 1) if numeric => json!(number.to_string()),
            _ => value.clone(),
        },
        Value::Array(items) => items.iter().map(|item| respell(dice, table, path, item, false)).collect(),
        Value::Object(map) => {
            let mut other = Map::new();
            for (key, value) in map {
                let inside: Vec<&str> = path.iter().copied().chain([key.as_str()]).collect();
                if !unset(value) || dice.one_in(2) {
                    other.insert(key.clone(), respell(dice, table, &inside, value, false));
                }
            }
            Value::Object(other)
        }
        other => other.clone(),
    }
}

/// An integer as a float; integers beyond what a float holds stay what they are.
fn exact(integer: i64) -> Value {
    let float: f64 = integer.to_string().parse().unwrap();
    if integer.abs() < 1 << 53 { json!(float) } else { json!(integer) }
}

/// What every row would look like if sources agreed on spellings: unset values left out, numbers as numbers.
pub(crate) fn canonical(row: &Row, table: &Table) -> Value {
    let mut plain = Map::new();
    for (name, value) in row.fields() {
        let numeric = matches!(table.kind(name), Kind::Integer | Kind::Real);
        let number =
            value.as_str().filter(|_| numeric).and_then(|text| serde_json::from_str(text.trim()).ok());
        let value = number.filter(Value::is_number).unwrap_or_else(|| value.clone());
        if !unset(&value) && !table.volatile.contains(&&[name.as_str()][..]) {
            plain.insert(name.clone(), plainly(&value, table, &[name]));
        }
    }
    Value::Object(plain)
}

fn plainly(value: &Value, table: &Table, path: &[&str]) -> Value {
    match value {
        value if unset(value) => Value::Null,
        Value::Number(number) => match number.as_f64() {
            Some(float)
                if number.is_f64() && float.fract() == 0.0 && float.abs() < 9_007_199_254_740_992.0 =>
            {
                json!(format!("{float:.0}").parse::<i64>().unwrap())
            }
            _ => value.clone(),
        },
        Value::Array(items) => items.iter().map(|item| plainly(item, table, path)).collect(),
        Value::Object(map) => {
            let mut plain = Map::new();
            for (key, value) in map {
                let inside: Vec<&str> = path.iter().copied().chain([key.as_str()]).collect();
                if !unset(value) && !table.volatile.contains(&&inside[..]) {
                    plain.insert(key.clone(), plainly(value, table, &inside));
                }
            }
            Value::Object(plain)
        }
        other => other.clone(),
    }
}

/// `null`, `0`, `""`, `[]`, `{}`, day 0 at UTC+8, and objects made of nothing else.
pub(crate) fn unset(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(_) => false,
        Value::Number(number) => [0.0, -28_800_000.0].contains(&number.as_f64().unwrap()),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.values().all(|value| unset(value) || *value == json!(false)),
    }
}
