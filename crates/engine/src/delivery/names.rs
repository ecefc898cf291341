//! How tables and columns are called in a target.

use std::collections::HashSet;

use super::shape::Naming;

/// As long as every target lets a name be, in bytes: PostgreSQL cuts longer ones.
const MAX_BYTES: usize = 63;

/// Names that targets keep for themselves.
const RESERVED: [&str; 9] = ["rowid", "oid", "_rowid_", "ctid", "xmin", "xmax", "cmin", "cmax", "tableoid"];

/// Names in use, whatever their case: SQLite does not tell `Code` from `code`.
#[derive(Debug)]
pub(super) struct Taken(HashSet<String>);

impl Taken {
    /// These names are taken.
    pub(super) fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Taken {
        Taken(names.into_iter().chain(RESERVED).map(str::to_lowercase).collect())
    }

    /// Whether somebody has the name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains(&name.to_lowercase())
    }

    /// Takes a name.
    pub(super) fn take(&mut self, name: &str) {
        self.0.insert(name.to_lowercase());
    }

    /// Takes a name after the custom field's, one that nobody has.
    pub(super) fn name(&mut self, naming: Naming, field_name: &str, field_id: i64) -> String {
        let wish = words(naming, field_name);
        let mut name = cut(&wish, "");
        let mut suffix = format!("_{field_id}");
        while name.is_empty() || self.has(&name) {
            name = cut(if wish.is_empty() { "field" } else { &wish }, &suffix);
            suffix.push_str("_2");
        }
        self.take(&name);
        name
    }
}

/// A column's or table's name, from how the source spells it.
pub(super) fn called(naming: Naming, original: &str) -> String {
    match naming {
        Naming::SnakeCase => snake_case(original),
        Naming::Original => original.to_owned(),
    }
}

/// Letters and digits of any script, with `_` for everything between them.
fn words(naming: Naming, text: &str) -> String {
    let words: Vec<&str> =
        text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    called(naming, &words.join("_"))
}

/// `name` and `suffix`, within the length that is allowed.
fn cut(name: &str, suffix: &str) -> String {
    let room = MAX_BYTES.saturating_sub(suffix.len());
    let end = (0..=room.min(name.len())).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
    format!("{}{suffix}", name.get(..end).unwrap_or_default())
}

/// `IssueStatusName` → `issue_status_name`.
fn snake_case(original: &str) -> String {
    let letters: Vec<char> = original.chars().collect();
    let mut name = String::with_capacity(letters.len().saturating_add(8));
    for (index, letter) in letters.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|index| letters.get(index));
        let after = letters.get(index.saturating_add(1));
        let word_begins = letter.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase()
                    || before.is_ascii_digit()
                    || (before.is_uppercase() && after.is_some_and(|after| after.is_lowercase()))
            });
        if word_begins {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_columns_in_snake_case() {
        let check = |original, expected: &str| assert_eq!(snake_case(original), expected);
        check("Issues", "issues");
        check("ProjectMembers", "project_members");
        check("IssueStatusName", "issue_status_name");
        check("NamePinYin", "name_pin_yin");
        check("HTMLUrl", "html_url");
        check("_extra", "_extra");
    }

    #[test]
    fn a_custom_field_gets_a_name_of_its_own() {
        let mut taken = Taken::of(["name", "客户名称"]);
        let mut check = |naming, field: &str, id, expected: &str| {
            assert_eq!(taken.name(naming, field, id), expected);
        };
        let snake = Naming::SnakeCase;
        check(snake, "Root Cause", 1, "root_cause");
        check(snake, "root-cause", 2, "root_cause_2");
        check(snake, "预算 (万元)", 3, "预算_万元");
        check(snake, "Name", 4, "name_4");
        check(snake, "客户名称", 5, "客户名称_5");
        check(snake, "!?", 6, "field_6");
        check(snake, "", 6, "field_6_2");
        check(snake, "ctid", 7, "ctid_7");
        check(Naming::Original, "RootCauses", 8, "RootCauses");
        check(Naming::Original, "ROOTCAUSES", 9, "ROOTCAUSES_9");
        let long = "字".repeat(30);
        check(snake, &long, 10, &"字".repeat(21));
        check(snake, &long, 11, &format!("{}_11", "字".repeat(20)));
    }
}
