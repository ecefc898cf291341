//! Which custom fields get a column where a table cannot have one for each of them.

use crate::custom::CustomField;
use crate::target::Room;

/// The places of those of the `fields` that get columns, in order. Who has a column in the table keeps it, then comes who
/// had one (`kept`, by field), then whoever is left, always by number: so a field that comes takes nobody's column away.
pub(super) fn chosen(
    fields: &[CustomField],
    kept: &[Option<String>],
    plain: &[&str],
    room: Option<&Room>,
) -> Vec<usize> {
    let all = 0..fields.len();
    let Some(Room { columns, left }) = room else { return all.collect() };
    let is_there = |name: &str| columns.iter().any(|column| column == name);
    let lacking = plain.iter().filter(|name| !is_there(name)).count();
    let mut left = left.saturating_sub(lacking);
    let rank = |at: &usize| match kept.get(*at).and_then(Option::as_deref) {
        Some(column) if is_there(column) => 0,
        Some(_) => 1,
        None => 2,
    };
    let mut chosen: Vec<usize> = all.collect();
    chosen.sort_by_key(rank);
    chosen.retain(|at| {
        let free = rank(at) == 0 || left > 0;
        if rank(at) > 0 {
            left = left.saturating_sub(1);
        }
        free
    });
    chosen.sort_unstable();
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::custom::Holds;

    #[test]
    fn who_has_a_column_keeps_it_and_the_rest_goes_by_number() {
        let fields: Vec<CustomField> =
            (1..=6).map(|id| CustomField { id, name: format!("f{id}"), holds: Holds::Text }).collect();
        let named = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        let check = |kept: [&str; 6], columns: &[&str], left, expected: &[usize]| {
            let room = Room { columns: columns.iter().map(|name| (*name).to_owned()).collect(), left };
            assert_eq!(chosen(&fields, &kept.map(named), &["id", "name"], Some(&room)), expected);
        };
        // A new table: two of its columns are no custom field's.
        check(["", "", "", "", "", ""], &[], 5, &[0, 1, 2]);
        check(["", "", "", "", "", ""], &[], 8, &[0, 1, 2, 3, 4, 5]);
        check(["", "", "", "", "", ""], &[], 1, &[]);
        // Made anew, the ones that had columns come first.
        check(["", "", "", "", "e", "f"], &[], 5, &[0, 4, 5]);
        // In a table that is there they cost nothing.
        check(["", "", "", "", "e", "f"], &["id", "name", "e", "f"], 0, &[4, 5]);
        check(["", "", "", "d", "e", ""], &["id", "name", "e"], 2, &[0, 3, 4]);
        assert_eq!(chosen(&fields, &[], &["id"], None), [0, 1, 2, 3, 4, 5]);
    }
}
