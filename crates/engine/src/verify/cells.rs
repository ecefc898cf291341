//! When a cell that a target holds is the one that the mirror calls for.

use serde_json::Value;

use crate::target::Cell;

/// Whether two cells say the same. A target may spell JSON otherwise, and turn a float's `-0.0` into `0.0`.
pub(super) fn alike(expected: &Cell, found: &Cell) -> bool {
    match (expected, found) {
        (Cell::Json(expected), Cell::Json(found)) => expected == found || same_json(expected, found),
        (expected, found) => expected == found,
    }
}

fn same_json(expected: &str, found: &str) -> bool {
    match (serde_json::from_str(expected), serde_json::from_str(found)) {
        (Ok(expected), Ok(found)) => same(&expected, &found),
        _ => false,
    }
}

fn same(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || ((a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64())
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
        }
        (expected, found) => expected == found,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_compared_by_what_it_means() {
        let check = |a: &str, b: &str, expected| {
            assert_eq!(alike(&Cell::Json(a.into()), &Cell::Json(b.into())), expected, "{a} {b}");
        };
        check(r#"{"a":1,"b":[2]}"#, r#"{"b": [2.0], "a": 1}"#, true);
        check("1e20", "100000000000000000000", true);
        check("0.1", "0.10", true);
        check("[1,2]", "[2,1]", false);
        check(r#"{"a":null}"#, "{}", false);
        check("9007199254740993", "9007199254740992", false);
        check("not JSON", "not json", false);
    }

    #[test]
    fn other_cells_are_compared_as_they_are() {
        assert!(alike(&Cell::Real(0.0), &Cell::Real(-0.0)));
        assert!(!alike(&Cell::Integer(1), &Cell::Boolean(true)));
        assert!(!alike(&Cell::Text("1".into()), &Cell::Integer(1)));
        assert!(!alike(&Cell::Null, &Cell::Text("".into())));
        assert!(!alike(&Cell::Json("[]".into()), &Cell::Text("[]".into())));
    }
}
