//! Which rows a task wants. Judged on the row before and after a change, never on what is captured.

use serde::Serialize;
use serde_json::Value;

use crate::row::{Row, integer};
use crate::schema::TableId;

/// One thing that a row may be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Test {
    /// The value at the path is this number, however it is spelled.
    Number(&'static [&'static str], i64),
    /// The value at the path is this text.
    Text(&'static [&'static str], String),
}

/// A row of `table` passes when one of the tests does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// The table that the rule is about.
    pub table: TableId,
    /// What a row may be.
    pub any: Vec<Test>,
}

/// Rules that a row must pass, all that are about its table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Filter(pub Vec<Rule>);

impl Filter {
    /// Whether the task wants `row`.
    #[must_use]
    pub fn admits(&self, table: TableId, row: &Row) -> bool {
        let mut rules = self.0.iter().filter(|rule| rule.table == table);
        rules.all(|rule| rule.any.iter().any(|test| test.passes(row)))
    }
}

impl Test {
    fn passes(&self, row: &Row) -> bool {
        let (Test::Number(path, _) | Test::Text(path, _)) = self;
        let Some((first, rest)) = path.split_first() else { return false };
        let field = row.look(first);
        let found =
            field.as_deref().and_then(|field| rest.iter().try_fold(field, |value, key| value.get(key)));
        match self {
            Test::Number(_, number) => found.and_then(integer) == Some(*number),
            Test::Text(_, text) => found.and_then(Value::as_str) == Some(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(any: Vec<Test>, row: Value, expected: bool) {
        let filter = Filter(vec![Rule { table: TableId(1), any }]);
        let row: Row = serde_json::from_value(row).unwrap();
        assert_eq!(filter.admits(TableId(1), &row), expected);
        assert!(filter.admits(TableId(2), &row), "a rule speaks of its own table only");
    }

    #[test]
    fn compares_codes_as_numbers_never_as_parts_of_a_text() {
        let iteration = |code| vec![Test::Number(&["Iteration", "Code"], code)];
        check(iteration(12), json!({"Iteration": {"Code": 12}}), true);
        check(iteration(12), json!({"Iteration": {"Code": "12"}}), true);
        check(iteration(1), json!({"Iteration": {"Code": 12}}), false);
        check(iteration(12), json!({"Iteration": null}), false);
        check(iteration(12), json!({}), false);
    }

    #[test]
    fn passes_when_one_test_does() {
        let any = || vec![Test::Text(&["Type"], "DEFECT".into()), Test::Number(&["IssueTypeId"], 7)];
        check(any(), json!({"Type": "DEFECT", "IssueTypeId": 1}), true);
        check(any(), json!({"Type": "MISSION", "IssueTypeId": 7}), true);
        check(any(), json!({"Type": "MISSION", "IssueTypeId": 1}), false);
    }
}
