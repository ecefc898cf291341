//! When looks begin, whom they are for, and what becomes of deliveries.

use std::time::Duration;

use jiff::Timestamp;

use super::{Desk, Done, Timing};
use crate::inbox::{DeliveryNumber, Entry, Settled, Standing, Summary, Turn};
use crate::position::Sequence;
use crate::problem::Problem;
use crate::row::{ProjectId, RowId, RowKey};
use crate::schema::TableId;
use crate::source::Hint;

const TABLE: TableId = TableId(1);
const PATIENCE: Duration = Duration::from_secs(30);

fn key(id: i64) -> RowKey {
    RowKey { table: TABLE, project: ProjectId(1), id: RowId(id) }
}

fn deliver(desk: &mut Desk, number: i64, ids: &[i64]) {
    deliver_at(desk, number, ids, Timing::default());
}

fn deliver_at(desk: &mut Desk, number: i64, ids: &[i64], timing: Timing) {
    let entry = Entry {
        number: DeliveryNumber(number),
        turn: Turn(number),
        delivery_id: None,
        received: Timestamp::UNIX_EPOCH,
        last_received: Timestamp::UNIX_EPOCH,
        summary: None,
        standing: Standing::Waiting { problem: None },
        settled: None,
        delivered: None,
        replays: 0,
        repeats: 0,
        starts: 0,
        size: 0,
        room: 0,
    };
    desk.open(&entry, Summary::default(), false);
    for id in ids {
        let hint = Hint { table: TABLE, id: RowId(*id), updated_ms: 0, gone: false, beside: false };
        desk.wish(key(*id), entry.number, &hint, timing);
    }
}

/// The rows whose looks begin now.
fn begin(desk: &mut Desk) -> Vec<i64> {
    let wanted = desk.due(10, |_| false).into_iter().flat_map(|batch| batch.wanted);
    wanted.map(|(key, _)| key.id.0).collect()
}

fn looked(desk: &mut Desk, id: i64, changed: bool) {
    let done = Done::Looked { key: key(id), changed, again: None, touched: Vec::new() };
    desk.finish(done, Sequence(7), PATIENCE).unwrap();
}

fn failed(desk: &mut Desk, id: i64) {
    let problem = Problem::new("X", "Cannot look", "it failed", "Wait.");
    let done = Done::Failed { keys: vec![key(id)], problem, own: false };
    desk.finish(done, Sequence(0), PATIENCE).unwrap();
}

fn standings(desk: &mut Desk) -> Vec<(i64, Standing)> {
    let told = |settled: Settled| (settled.number.0, settled.standing);
    desk.notes().into_iter().map(told).collect()
}

#[tokio::test(start_paused = true)]
async fn deliveries_before_a_look_share_it_and_later_ones_cause_one_more() {
    let mut desk = Desk::default();
    deliver(&mut desk, 1, &[71]);
    deliver(&mut desk, 2, &[71]);
    assert_eq!(begin(&mut desk), [71]);
    for number in 3..20 {
        deliver(&mut desk, number, &[71]);
    }
    assert!(begin(&mut desk).is_empty(), "one look at a time");
    looked(&mut desk, 71, true);
    assert_eq!(standings(&mut desk), [(1, Standing::Applied), (2, Standing::Applied)]);
    assert!(begin(&mut desk).is_empty(), "the next one comes a second later");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(begin(&mut desk), [71]);
    looked(&mut desk, 71, false);
    let settled = standings(&mut desk);
    assert_eq!(settled.len(), 17);
    assert!(settled.iter().all(|(_, standing)| *standing == Standing::Unchanged));
    assert!(desk.tidy().is_empty(), "the pause between two looks is kept");
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(desk.tidy(), [key(71)]);
}

#[tokio::test(start_paused = true)]
async fn a_delivery_is_settled_when_all_its_rows_had_their_look() {
    let mut desk = Desk::default();
    deliver(&mut desk, 1, &[71, 93]);
    assert_eq!(begin(&mut desk).len(), 2);
    looked(&mut desk, 93, true);
    assert!(standings(&mut desk).is_empty());
    looked(&mut desk, 71, false);
    assert_eq!(standings(&mut desk), [(1, Standing::Applied)]);
    assert!(desk.awaits_targets());
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_tried_again_and_goes_aside_only_while_others_succeed() {
    let mut desk = Desk::default();
    deliver(&mut desk, 1, &[71]);
    let mut tries = 0;
    let began = tokio::time::Instant::now();
    while began.elapsed() < Duration::from_mins(10) {
        if begin(&mut desk) == [71] {
            tries += 1;
            failed(&mut desk, 71);
        }
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert!((12..20).contains(&tries), "{tries} tries, further and further apart");
    let waiting = standings(&mut desk);
    assert!(matches!(&waiting[..], [(1, Standing::Waiting { problem: Some(_) })]), "{waiting:?}");
    // The source answers again, but not for this row.
    deliver(&mut desk, 2, &[72]);
    begin(&mut desk);
    looked(&mut desk, 72, true);
    tokio::time::advance(Duration::from_mins(2)).await;
    assert_eq!(begin(&mut desk), [71]);
    failed(&mut desk, 71);
    let dead = standings(&mut desk);
    assert!(matches!(&dead[..], [(2, Standing::Applied), (1, Standing::Dead { .. })]), "{dead:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_merely_touched_comes_last() {
    let mut desk = Desk::default();
    desk.wish_beside(key(5));
    deliver(&mut desk, 1, &[71]);
    let first: Vec<_> = desk.due(1, |_| false).into_iter().flat_map(|batch| batch.wanted).collect();
    assert_eq!(first[0].0, key(71));
    assert_eq!(begin(&mut desk), [5]);
}

#[tokio::test(start_paused = true)]
async fn a_row_whose_second_was_not_over_is_looked_at_once_more() {
    let mut desk = Desk::default();
    deliver(&mut desk, 1, &[71]);
    begin(&mut desk);
    let again = Some(Duration::from_secs(1));
    let done = Done::Looked { key: key(71), changed: true, again, touched: Vec::new() };
    desk.finish(done, Sequence(7), PATIENCE).unwrap();
    assert_eq!(standings(&mut desk), [(1, Standing::Applied)], "that keeps no delivery waiting");
    tokio::time::advance(Duration::from_secs(1)).await;
    let wanted: Vec<_> = desk.due(1, |_| false).into_iter().flat_map(|batch| batch.wanted).collect();
    assert!(wanted[0].1.only_again, "its listing is known");
}

/// Sizes of the batches that begin now while the source is busy.
fn begin_sparingly(desk: &mut Desk, room: usize) -> Vec<usize> {
    desk.due(room, |_| true).into_iter().map(|batch| batch.wanted.len()).collect()
}

#[tokio::test(start_paused = true)]
async fn while_the_source_is_busy_looks_wait_for_the_end_of_the_second_and_share_a_listing() {
    let mut desk = Desk::default();
    let began = tokio::time::Instant::now();
    // Twenty changes of one second, told as they happen.
    for number in 0..20_u64 {
        let settle = Duration::from_millis(1_000 - 50 * number);
        let number = i64::try_from(number).unwrap();
        deliver_at(&mut desk, number, &[number], Timing { settle, patient: true });
        assert!(begin_sparingly(&mut desk, 32).is_empty());
        assert_eq!(desk.next_due(), Some(began + Duration::from_secs(1)));
        tokio::time::advance(Duration::from_millis(50)).await;
    }
    assert_eq!(begin_sparingly(&mut desk, 32), [20]);
    assert_eq!(desk.next_due(), None);
}

#[tokio::test(start_paused = true)]
async fn while_the_source_is_busy_a_few_rows_wait_for_others_but_not_for_long() {
    let mut desk = Desk::default();
    let began = tokio::time::Instant::now();
    deliver(&mut desk, 1, &[1, 2, 3]);
    assert!(begin_sparingly(&mut desk, 32).is_empty());
    assert_eq!(desk.next_due(), Some(began + Duration::from_millis(250)));
    tokio::time::advance(Duration::from_millis(250)).await;
    assert_eq!(begin_sparingly(&mut desk, 32), [3]);
    deliver(&mut desk, 2, &[11, 12, 13, 14, 15, 16, 17, 18, 19, 20]);
    assert!(begin_sparingly(&mut desk, 5).is_empty(), "five would need a listing of their own");
    assert_eq!(desk.next_due(), None, "it is the end of a look that makes room");
    assert_eq!(begin_sparingly(&mut desk, 9), [9]);
}

#[tokio::test(start_paused = true)]
async fn while_the_source_has_time_a_look_begins_at_once() {
    let mut desk = Desk::default();
    let settle = Duration::from_millis(700);
    deliver_at(&mut desk, 1, &[71], Timing { settle, patient: false });
    assert_eq!(begin(&mut desk), [71]);
}
