//! Rows of very many values: what is said to fit into a page does.

use engine::schema::Kind;
use engine::target::{Cell, Target, TargetErrorKind};

use super::super::page;
use super::Schema;
use crate::contract::{Deletes, Site, assert_kind, batch, column, issues, plan, ready, row};

/// Columns beside those of every table.
const MANY: usize = 1_500;

#[tokio::test]
async fn what_fits_into_a_page_is_stored() {
    let site = Schema::new().await;
    let mut table = issues(Deletes::Hard);
    let first = table.columns.len();
    // Texts and numbers by turns, where alignment costs most, then one kind after the other.
    for at in 0..MANY {
        let kind = if at % 2 == 0 || at > 1_000 { Kind::Text } else { Kind::Integer };
        table.columns.push(column(&format!("c{at}"), kind));
    }
    let plan = plan("a", table);
    let table = &plan.tables[0];
    let mut target = ready(&site, &plan).await;
    let filled = |text: &str, values: usize, only: Option<Kind>| {
        let mut cells = row(table, "p", 1, "x");
        let places = (first..)
            .zip(&table.columns[first..])
            .filter(|(_, column)| only.is_none_or(|only| column.kind == only));
        for (at, column) in places.take(values) {
            cells[at] = match column.kind {
                Kind::Text => Cell::Text(text.into()),
                _ => Cell::Integer(7),
            };
        }
        cells
    };
    let mut sequence = 0;
    for length in [1, 12, 19, 20, 21, 22, 23, 24, 30, 126, 127, 300] {
        // Letters that do not compress.
        let text: String =
            (0..length).map(|at: u16| char::from(b'!' + u8::try_from(at * 37 % 90).unwrap())).collect();
        for only in [None, Some(Kind::Text)] {
            let numbers: Vec<usize> = (1..=MANY).collect();
            let most = numbers.partition_point(|values| page::fits(&filled(&text, *values, only)));
            assert!(most >= 300, "{most} values of {length} bytes");
            sequence += 1;
            target.write(&batch(sequence, vec![filled(&text, most, only)], vec![])).await.unwrap();
        }
    }
    // What does not fit is a matter of the row, and not of the others.
    let text = "x".repeat(20);
    let too_long = batch(sequence, vec![filled(&text, MANY, None)], vec![]);
    let said = assert_kind(target.write(&too_long).await, TargetErrorKind::Data);
    assert!(said.contains("row is too big"), "{said}");
}
