//! Whatever is done in whatever order, the inbox says the same as a plain map.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::inbox::{
    Accepted, DeliveryNumber, Inbox, InboxCounts, Query, Settled, Standing, StandingKind, Summary, Turn,
};
use engine::journal::Limit;
use proptest::prelude::*;
use store::inbox::SqliteInbox;

use super::{ROOM, all, bulky};

#[derive(Clone, Debug)]
enum Step {
    /// A delivery with this id, or with none.
    Accept(Option<u8>, u16),
    /// By place in the model, in the present turn or an older one.
    Settle(Vec<(u8, bool, Standing, Option<String>)>),
    Replay(Vec<u8>),
    Prune(u16),
    Reopen,
}

#[derive(Clone, Debug)]
struct Known {
    id: Option<String>,
    turn: Turn,
    older: Turn,
    standing: Standing,
    summary: Option<Summary>,
    replays: u32,
    repeats: u32,
    size: u64,
    room: u64,
}

type Model = BTreeMap<DeliveryNumber, Known>;

fn a_standing() -> impl Strategy<Value = Standing> {
    prop_oneof![
        Just(Standing::Applied),
        Just(Standing::Unchanged),
        proptest::option::of("[^\u{0}]{0,5}").prop_map(|problem| Standing::Waiting { problem }),
        "[^\u{0}]{0,5}".prop_map(|reason| Standing::Ignored { reason }),
        "[^\u{0}]{0,5}".prop_map(|reason| Standing::Dead { reason }),
    ]
}

fn a_step() -> impl Strategy<Value = Step> {
    let settled =
        (any::<u8>(), prop::bool::weighted(0.8), a_standing(), proptest::option::of("[^\u{0}]{0,4}"));
    prop_oneof![
        4 => (proptest::option::weighted(0.8, 0..12_u8), 0..60_u16).prop_map(|(id, size)| Step::Accept(id, size)),
        3 => prop::collection::vec(settled, 0..6).prop_map(Step::Settle),
        1 => prop::collection::vec(any::<u8>(), 0..4).prop_map(Step::Replay),
        1 => (0..9_000_u16).prop_map(Step::Prune),
        1 => Just(Step::Reopen),
    ]
}

fn at(model: &Model, place: u8) -> Option<DeliveryNumber> {
    model.keys().nth(usize::from(place) % model.len().max(1)).copied()
}

fn counts(model: &Model) -> InboxCounts {
    let count = |kind| {
        let counted = model.values().filter(|known| known.standing.kind() == kind).count();
        u64::try_from(counted).unwrap()
    };
    InboxCounts {
        waiting: count(StandingKind::Waiting),
        applied: count(StandingKind::Applied),
        unchanged: count(StandingKind::Unchanged),
        ignored: count(StandingKind::Ignored),
        dead: count(StandingKind::Dead),
        bytes: model.values().map(|known| known.room).sum(),
    }
}

/// What the inbox says must be what the model says.
async fn compare(inbox: &SqliteInbox, model: &Model) {
    assert_eq!(inbox.counts().await.unwrap(), counts(model));
    let listed = all(inbox).await;
    assert!(listed.iter().map(|entry| entry.number).eq(model.keys().rev().copied()));
    for entry in &listed {
        let known = &model[&entry.number];
        assert_eq!(
            (&entry.delivery_id, entry.turn, &entry.standing, &entry.summary, entry.replays, entry.size),
            (&known.id, known.turn, &known.standing, &known.summary, known.replays, known.size)
        );
        assert_eq!((entry.repeats, entry.room), (known.repeats, known.room));
        let waits = known.standing.kind() == StandingKind::Waiting;
        assert_eq!(entry.settled.is_none(), waits);
    }
    let mut queue: Vec<_> = model
        .iter()
        .filter(|(_, known)| known.standing.kind() == StandingKind::Waiting)
        .map(|(number, known)| (known.turn, *number))
        .collect();
    queue.sort_unstable();
    let (mut read, mut after) = (Vec::new(), Turn(0));
    loop {
        let some = inbox.waiting(after, Limit { rows: 3, bytes: 500 }).await.unwrap();
        let Some(last) = some.last() else { break };
        after = last.entry.turn;
        inbox.heard(some.iter().map(|delivery| delivery.entry.number).collect()).await.unwrap();
        read.extend(some.iter().map(|delivery| (delivery.entry.turn, delivery.entry.number)));
    }
    assert_eq!(read, queue);
    for kind in [StandingKind::Waiting, StandingKind::Applied, StandingKind::Dead] {
        let before = model.keys().nth(model.len() / 2).copied();
        let found = inbox.list(Query { standing: Some(kind), before, limit: 2 }).await.unwrap();
        let expected = model.iter().rev().filter(|(number, known)| {
            known.standing.kind() == kind && before.is_none_or(|before| **number < before)
        });
        assert!(found.iter().map(|entry| entry.number).eq(expected.map(|(number, _)| *number).take(2)));
    }
}

async fn apply(inbox: &SqliteInbox, model: &mut Model, step: Step) {
    match step {
        Step::Accept(id, size) => {
            let id = id.map(|id| format!("id {id}"));
            let mut arrival = bulky("", usize::from(size));
            arrival.delivery_id.clone_from(&id);
            let there =
                model.iter().find(|(_, known)| id.is_some() && known.id == id).map(|(number, _)| *number);
            // Bodies of a size are the same here. All that waits has been read before.
            let same =
                model.iter().find(|(_, known)| known.size == u64::from(size)).map(|(number, _)| *number);
            match (inbox.accept(arrival).await.unwrap(), there.or(same)) {
                (Accepted::Repeated(number), Some(there_or_same)) => {
                    assert_eq!(number, there_or_same);
                    if there.is_none() {
                        let turn = inbox.find(number.0.to_string()).await.unwrap().unwrap().entry.turn;
                        assert!(model.values().all(|known| known.turn < turn), "it goes to the end");
                        let known = model.get_mut(&number).unwrap();
                        (known.older, known.turn) = (known.turn, turn);
                        known.standing = Standing::Waiting { problem: None };
                        known.repeats += 1;
                    }
                }
                (Accepted::New(number), None) => {
                    let entry = inbox.find(number.0.to_string()).await.unwrap().unwrap().entry;
                    let turn = entry.turn;
                    assert!(model.iter().all(|(other, known)| *other < number && known.turn < turn));
                    let known = Known {
                        id,
                        turn,
                        older: Turn(turn.0 - 1),
                        standing: Standing::Waiting { problem: None },
                        summary: None,
                        replays: 0,
                        repeats: 0,
                        size: u64::from(size),
                        room: entry.room,
                    };
                    model.insert(number, known);
                }
                (accepted, there) => panic!("{accepted:?}, though {there:?}"),
            }
        }
        Step::Settle(settled) => {
            let mut notes = Vec::new();
            for (place, present, standing, event) in settled {
                let Some(number) = at(model, place) else { continue };
                let known = model.get_mut(&number).unwrap();
                let summary =
                    event.map(|event| Summary { event, project: Some("p".to_owned()), ..Summary::default() });
                let turn = if present { known.turn } else { known.older };
                notes.push(Settled { number, turn, summary: summary.clone(), standing: standing.clone() });
                if present {
                    known.standing = standing;
                    known.summary = summary.or_else(|| known.summary.take());
                }
            }
            inbox.settle(notes).await.unwrap();
        }
        Step::Replay(places) => {
            let mut numbers: Vec<_> = places.into_iter().filter_map(|place| at(model, place)).collect();
            numbers.push(DeliveryNumber(1));
            let replayed = inbox.replay(numbers.clone()).await.unwrap();
            numbers.retain(|number| model.contains_key(number));
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(replayed, u64::try_from(numbers.len()).unwrap());
            for number in numbers {
                let turn = inbox.find(number.0.to_string()).await.unwrap().unwrap().entry.turn;
                assert!(model.values().all(|known| known.turn < turn), "a replay goes to the end");
                let known = model.get_mut(&number).unwrap();
                (known.older, known.turn) = (known.turn, turn);
                known.standing = Standing::Waiting { problem: None };
                known.replays += 1;
            }
        }
        Step::Prune(max) => {
            inbox.prune(Duration::from_hours(24), u64::from(max)).await.unwrap();
            let mut bytes = counts(model).bytes;
            let settled: Vec<_> = model
                .iter()
                .filter(|(_, known)| known.standing.kind() != StandingKind::Waiting)
                .map(|(number, known)| (*number, known.room))
                .collect();
            for (number, room) in settled {
                if bytes <= u64::from(max) {
                    break;
                }
                bytes -= room;
                model.remove(&number);
            }
        }
        Step::Reopen => unreachable!("done outside"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_inbox_agrees_with_a_map(steps in prop::collection::vec(a_step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let dir = tempfile::tempdir().unwrap();
            let mut inbox = SqliteInbox::open(dir.path(), ROOM).await.unwrap();
            let mut model = Model::new();
            for step in steps {
                if matches!(step, Step::Reopen) {
                    inbox.close().await.unwrap();
                    inbox = SqliteInbox::open(dir.path(), ROOM).await.unwrap();
                } else {
                    apply(&inbox, &mut model, step).await;
                }
                compare(&inbox, &model).await;
            }
            inbox.close().await.unwrap();
        });
    }
}
