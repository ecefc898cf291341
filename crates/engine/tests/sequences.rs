//! A mirror of one row, kept as the recorder keeps it, under random observations: every sequence of changes is
//! legal, and no observation counts twice.

use engine::capture::differ::{Details, Verdict};
use engine::change::ChangeKind;
use engine::clock::Moment;
use engine::journal::MirrorRow;
use engine::observation::{Channel, LookedUp, Observation, Seen};
use engine::position::Sequence;
use engine::row::Row;
use engine::schema::Table;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use crate::tables::{PEOPLE, THINGS, cases, key};
use crate::values::row;

/// What the differ said, without the particulars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Nothing,
    Note,
    NeedsDetail,
    Change(ChangeKind),
}

/// The mirror of one row.
pub(crate) struct Mirror {
    table: &'static Table,
    details: Details,
    held: Option<MirrorRow>,
    sequence: i64,
    /// Whether the newest change was the row's first look-up.
    pub(crate) first_detail: bool,
}

impl Mirror {
    pub(crate) fn new(table: &'static Table, details: Details) -> Mirror {
        Mirror { table, details, held: None, sequence: 0, first_detail: false }
    }

    pub(crate) fn row(&self) -> Option<&MirrorRow> {
        self.held.as_ref()
    }

    pub(crate) fn content(&self) -> Option<&Row> {
        self.held.as_ref()?.row.as_ref()
    }

    pub(crate) fn name(&self) -> String {
        self.content().unwrap().get("Name").unwrap().as_str().unwrap().to_owned()
    }

    /// Has an observation judged, and keeps what comes of it.
    pub(crate) fn observe(&mut self, sent: i64, seen: Seen) -> Said {
        let digest = match &seen {
            Seen::Listed(row) | Seen::Whole(row, _) => Some(row.digest(self.table)),
            Seen::LookedUp(_) | Seen::Gone | Seen::Derived(_) | Seen::Doubted => None,
        };
        let observation =
            Observation { key: key(self.table), sent: Moment(sent), channel: Channel::Poll, seen };
        match self.details.judge(self.table, self.held.as_ref(), &observation, digest) {
            Verdict::Nothing => Said::Nothing,
            Verdict::NeedsDetail => Said::NeedsDetail,
            Verdict::Note(version) => {
                let held = self.held.as_mut().expect("there is something to take a note of");
                held.version = version;
                Said::Note
            }
            Verdict::Change(changed) => {
                self.sequence += 1;
                let mut after = changed.after;
                after.version.sequence = Sequence(self.sequence);
                if changed.kind == ChangeKind::Insert {
                    after.version.inserted = after.version.sequence;
                }
                if changed.first_detail {
                    after.version.first_detail = after.version.sequence;
                }
                self.first_detail = changed.first_detail;
                self.held = Some(after);
                Said::Change(changed.kind)
            }
        }
    }
}

/// A look-up sent at `sent`.
pub(crate) fn looked_up(row: Row, sent: i64, settled: bool) -> Seen {
    Seen::LookedUp(LookedUp { row, sent: Moment(sent), settled })
}

/// A random observation: few names and moments, so that they meet.
fn observation() -> impl Strategy<Value = (i64, Seen)> {
    let name = || select(vec!["a", "b", "c"]);
    let content = (name(), name(), 0_i64..4, 0_i64..3);
    (0_i64..12, 0_u8..11, content, any::<bool>()).prop_map(
        |(sent, kind, (name, other, updated, watchers), settled)| {
            let listed = row(
                json!({"Code": 1, "Id": 1, "Name": name, "UpdatedAt": updated * 1_000, "OwnerId": watchers}),
            );
            let detail = row(json!({
                "Code": 1,
                "Id": 1,
                "Name": other,
                "UpdatedAt": updated * 1_000,
                "Watchers": vec![1; usize::try_from(watchers).unwrap()],
            }));
            let seen = match kind {
                0..=3 => Seen::Listed(listed),
                4..=6 => looked_up(detail, sent, settled),
                7 => Seen::Whole(listed, LookedUp { row: detail, sent: Moment(sent + 1), settled }),
                8 => Seen::Gone,
                9 => Seen::Derived(detail),
                _ => Seen::Doubted,
            };
            (sent, seen)
        },
    )
}

fn policy() -> impl Strategy<Value = Details> {
    select(vec![Details::Background, Details::Eager, Details::Off])
}

fn table() -> impl Strategy<Value = &'static Table> {
    select(vec![&THINGS, &PEOPLE])
}

proptest! {
    #![proptest_config(cases(800))]

    /// Insert, then updates, then a delete, and only then another insert; each with a difference to show.
    #[test]
    fn every_sequence_of_changes_is_legal(
        table in table(), details in policy(), observations in vec(observation(), 1..24),
    ) {
        let mut mirror = Mirror::new(table, details);
        for (sent, seen) in observations {
            let before = mirror.row().cloned();
            let alive = mirror.content().is_some();
            match mirror.observe(sent, seen.clone()) {
                Said::Change(ChangeKind::Insert) => {
                    prop_assert!(!alive);
                    prop_assert!(mirror.content().is_some());
                }
                Said::Change(ChangeKind::Update) => {
                    prop_assert!(alive);
                    let (before, after) = (before.and_then(|held| held.row).unwrap(), mirror.content().unwrap());
                    prop_assert!(before.merge(after, table).is_some(), "an update that changes nothing");
                }
                Said::Change(ChangeKind::Detail) => prop_assert!(alive && mirror.content().is_some()),
                Said::Change(ChangeKind::Delete) => prop_assert!(alive && mirror.content().is_none()),
                Said::NeedsDetail => prop_assert_eq!(details, Details::Eager),
                Said::Nothing => prop_assert_eq!(before.as_ref(), mirror.row()),
                Said::Note => {
                    let detailed = before.as_ref().unwrap().detailed().is_some();
                    let content = before.and_then(|held| held.row);
                    prop_assert_eq!(content.as_ref(), mirror.content());
                    if content.is_some() && table.has_detail() {
                        let now = mirror.row().unwrap().detailed().is_some();
                        prop_assert!(detailed == now, "what is pending is news");
                    }
                }
            }
        }
    }

    /// Invariant 1: the same observation twice makes no second change, and settles down.
    #[test]
    fn an_observation_counts_once(
        table in table(), details in policy(), observations in vec(observation(), 1..12),
    ) {
        let mut mirror = Mirror::new(table, details);
        for (sent, seen) in observations {
            mirror.observe(sent, seen.clone());
            let again = mirror.observe(sent, seen.clone());
            prop_assert!(!matches!(again, Said::Change(_)), "{again:?} of {seen:?} at {sent}");
            let held = mirror.row().cloned();
            mirror.observe(sent, seen);
            prop_assert_eq!(held.as_ref(), mirror.row());
        }
    }

    /// Invariant 4: what is known of a row only ever gets newer.
    #[test]
    fn versions_only_move_forward(details in policy(), observations in vec(observation(), 1..24)) {
        let mut mirror = Mirror::new(&THINGS, details);
        let mut newest = (Moment(0), Moment(0), Moment(0));
        for (sent, seen) in observations {
            mirror.observe(sent, seen);
            let Some(held) = mirror.row() else { continue };
            let version = &held.version;
            let now = match version.inserted == version.sequence {
                // A row that came back is a new one; only when it was observed goes on.
                true => (Moment(0), Moment(0), version.observed),
                false => (version.listed, version.looked_up, version.observed),
            };
            prop_assert!(now.2 >= newest.2, "{now:?} after {newest:?}");
            if version.inserted != version.sequence {
                prop_assert!(now.0 >= newest.0 && now.1 >= newest.1, "{now:?} after {newest:?}");
            }
            newest = (version.listed, version.looked_up, version.observed);
        }
    }
}
