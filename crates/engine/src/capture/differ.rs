//! The one place where an observation becomes a change.
//!
//! A pure function of what the mirror holds and what was seen. It must not read clocks, ask sources or write:
//! that is why the same observation twice makes no second change, and why a property test can prove it.

use crate::change::ChangeKind;
use crate::clock::Moment;
use crate::journal::{Detail, MirrorRow, Version};
use crate::observation::{LookedUp, Observation, Seen};
use crate::position::Sequence;
use crate::row::{Digest, Merged, Row, RowKey};
use crate::schema::{Shape, Table};

/// When the fields that only look-ups show are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Details {
    /// After the row was written with its listed fields.
    Background,
    /// Before the row is written.
    Eager,
    /// Never.
    Off,
}

/// What an observation means.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Nothing new, or older than what is known.
    Nothing,
    /// Nothing a target would care about, but the mirror's bookkeeping moves on.
    Note(Version),
    /// A change.
    Change(Box<Changed>),
    /// The row differs, and the policy wants its look-up before it is written.
    NeedsDetail,
}

/// A change before it is numbered.
#[derive(Clone, Debug, PartialEq)]
pub struct Changed {
    /// What happened.
    pub kind: ChangeKind,
    /// Whether this is the row's first look-up.
    pub first_detail: bool,
    /// The row as it stands now; its sequences are still the old ones.
    pub after: MirrorRow,
}

impl Details {
    /// Judges `observation` of a row of `table` against what the mirror holds of it. `digest` is the digest of
    /// the listed shape, if the observation carries one.
    #[must_use]
    pub fn judge(
        self,
        table: &Table,
        before: Option<&MirrorRow>,
        observation: &Observation,
        digest: Option<Digest>,
    ) -> Verdict {
        let Observation { key, sent, seen, .. } = observation;
        match seen {
            Seen::Listed(row) if self == Details::Eager && table.has_detail() => {
                match Details::Background.listed(table, before, *key, row, *sent, digest) {
                    Verdict::Change(_) => Verdict::NeedsDetail,
                    other => other,
                }
            }
            Seen::Listed(row) => self.listed(table, before, *key, row, *sent, digest),
            Seen::LookedUp(looked_up) => self.looked_up(table, before, *key, looked_up),
            Seen::Whole(row, looked_up) => self.whole(table, before, observation, row, looked_up, digest),
            Seen::Gone => gone(before, *sent),
            Seen::Derived(row) => derived(table, before, row),
            Seen::Doubted => doubted(table, before, *sent),
        }
    }

    fn listed(
        self,
        table: &Table,
        before: Option<&MirrorRow>,
        key: RowKey,
        row: &Row,
        sent: Moment,
        digest: Option<Digest>,
    ) -> Verdict {
        let updated_ms = row.updated_ms(table).unwrap_or(0);
        let detail = |missing| match self {
            _ if !table.has_detail() => Detail::Done,
            Details::Off => Detail::Off,
            Details::Background | Details::Eager => missing,
        };
        let Some(before) = before else {
            let version = Version {
                listed_digest: digest,
                listed: sent,
                observed: sent,
                updated_ms,
                detail: detail(Detail::Missing),
                ..blank_version()
            };
            return change(ChangeKind::Insert, false, key, version, Some(row.clone()));
        };
        let known = &before.version;
        let Some(content) = &before.row else {
            // A tombstone. A listing sent before the row was found gone knows nothing newer.
            if sent <= known.observed {
                return Verdict::Nothing;
            }
            if table.look_up && updated_ms <= known.updated_ms {
                // Listings lag: only a look-up may bring it back.
                return if known.detail == Detail::Stale {
                    Verdict::Nothing
                } else {
                    Verdict::Note(Version { detail: Detail::Stale, ..known.clone() })
                };
            }
            let version = Version {
                listed_digest: digest,
                listed: sent,
                observed: sent,
                updated_ms,
                detail: detail(Detail::Stale),
                ..blank_version()
            };
            return change(ChangeKind::Insert, false, key, version, Some(row.clone()));
        };
        if digest.is_some() && digest == known.listed_digest {
            return Verdict::Nothing;
        }
        if sent < known.looked_up || sent < known.listed {
            return Verdict::Nothing;
        }
        let Some(Merged { row: after, .. }) = content.merge(row, table) else {
            return Verdict::Note(Version { listed_digest: digest, ..known.clone() });
        };
        if table.look_up && updated_ms < known.updated_ms {
            // A listing that lags behind what was seen before: the look-up decides.
            return Verdict::Note(Version { listed_digest: digest, detail: Detail::Stale, ..known.clone() });
        }
        let version = Version {
            listed_digest: digest,
            listed: sent,
            observed: sent,
            updated_ms,
            detail: match known.detail {
                Detail::Missing => detail(Detail::Missing),
                Detail::Off | Detail::Done | Detail::Stale => detail(Detail::Stale),
            },
            ..known.clone()
        };
        change(ChangeKind::Update, false, key, version, Some(after))
    }

    fn looked_up(
        self,
        table: &Table,
        before: Option<&MirrorRow>,
        key: RowKey,
        looked_up: &LookedUp,
    ) -> Verdict {
        let LookedUp { row, sent, settled } = looked_up;
        let row = &if self == Details::Off { without(row, table, Shape::Detail) } else { row.clone() };
        let updated_ms = row.updated_ms(table).unwrap_or(0);
        let done = match self {
            _ if !settled => Detail::Stale,
            Details::Off if table.has_detail() => Detail::Off,
            _ => Detail::Done,
        };
        let fresh = |known: Version| Version {
            looked_up: *sent,
            observed: *sent,
            updated_ms,
            detail: done,
            // What was listed before says nothing about the row any more.
            listed_digest: None,
            ..known
        };
        let first = self != Details::Off && table.has_detail();
        let Some(before) = before else {
            return change(ChangeKind::Insert, first, key, fresh(blank_version()), Some(row.clone()));
        };
        let known = &before.version;
        let Some(content) = &before.row else {
            if *sent <= known.observed {
                return Verdict::Nothing;
            }
            return change(ChangeKind::Insert, first, key, fresh(blank_version()), Some(row.clone()));
        };
        if *sent <= known.looked_up {
            return Verdict::Nothing;
        }
        let first = first && known.first_detail == Sequence(0);
        // A listing that was sent later wins where both shapes carry a field; the rest is still wanted.
        let overtaken = *sent < known.listed;
        let newer = if overtaken { &only_detail(row, table) } else { row };
        let merged = content.merge(newer, table);
        let version = Version {
            looked_up: *sent,
            detail: if overtaken { Detail::Stale } else { done },
            ..known.clone()
        };
        let pending = matches!(known.detail, Detail::Missing | Detail::Stale);
        match merged {
            None => {
                if before.detailed().is_none() && version.detailed().is_some() {
                    // The target learns that nothing is pending any more.
                    return change(ChangeKind::Detail, first, key, version, Some(content.clone()));
                }
                Verdict::Note(version)
            }
            // Only listed fields are wanted: what else the look-up shows inside them is not listed.
            Some(Merged { changed, .. }) if self == Details::Off && changed.is_empty() => {
                Verdict::Note(version)
            }
            Some(Merged { row, changed, .. }) => {
                let completes = pending && changed.iter().all(|field| shape(table, field) == Shape::Detail);
                let kind = if completes || (first && changed.is_empty()) {
                    ChangeKind::Detail
                } else {
                    ChangeKind::Update
                };
                let listed_changed = changed.iter().any(|field| shape(table, field) != Shape::Detail);
                let version = Version {
                    observed: version.observed.max(*sent),
                    updated_ms: if overtaken { version.updated_ms } else { updated_ms },
                    listed_digest: if listed_changed { None } else { version.listed_digest },
                    ..version
                };
                change(kind, first, key, version, Some(row))
            }
        }
    }

    /// A listing and the look-up after it, written at once.
    fn whole(
        self,
        table: &Table,
        before: Option<&MirrorRow>,
        observation: &Observation,
        row: &Row,
        looked_up: &LookedUp,
        digest: Option<Digest>,
    ) -> Verdict {
        let key = observation.key;
        let listed = Details::Background.listed(table, before, key, row, observation.sent, digest);
        let Verdict::Change(listed) = listed else { return self.looked_up(table, before, key, looked_up) };
        let whole = match self.looked_up(table, Some(&listed.after), key, looked_up) {
            Verdict::Change(detailed) => Box::new(Changed {
                kind: listed.kind,
                first_detail: detailed.first_detail,
                after: detailed.after,
            }),
            Verdict::Note(version) => Box::new(Changed {
                after: MirrorRow { version, ..listed.after },
                kind: listed.kind,
                first_detail: false,
            }),
            Verdict::Nothing | Verdict::NeedsDetail => listed,
        };
        let was = before.and_then(|before| before.row.as_ref());
        if let (Some(was), Some(is)) = (was, &whole.after.row)
            && was.merge(is, table).is_none()
        {
            // The listing lagged, and the look-up took back what it showed.
            return self.looked_up(table, before, key, looked_up);
        }
        Verdict::Change(whole)
    }
}

fn gone(before: Option<&MirrorRow>, sent: Moment) -> Verdict {
    match before {
        Some(MirrorRow { row: Some(_), version, key })
            if sent > version.looked_up && sent > version.listed =>
        {
            let version = Version { observed: sent, detail: Detail::Done, ..version.clone() };
            change(ChangeKind::Delete, false, *key, version, None)
        }
        // A tombstone that a lagging listing had put in doubt.
        Some(MirrorRow { row: None, version, .. }) if version.detail == Detail::Stale => {
            Verdict::Note(Version {
                observed: version.observed.max(sent),
                detail: Detail::Done,
                ..version.clone()
            })
        }
        _ => Verdict::Nothing,
    }
}

fn derived(table: &Table, before: Option<&MirrorRow>, row: &Row) -> Verdict {
    let Some(MirrorRow { key, version, row: Some(content) }) = before else { return Verdict::Nothing };
    match content.merge(row, table) {
        None => Verdict::Nothing,
        // `row` is the whole mirrored row with its copies made true: nothing of the old one is to stay.
        // Should the copy be untrue all the same, the next listing puts it right.
        Some(_) => {
            let version = Version { listed_digest: None, ..version.clone() };
            change(ChangeKind::Update, false, *key, version, Some(row.clone()))
        }
    }
}

fn doubted(table: &Table, before: Option<&MirrorRow>, sent: Moment) -> Verdict {
    match before {
        Some(MirrorRow { row: Some(_), version, .. })
            if table.has_detail() && version.detail == Detail::Done =>
        {
            // Only what is asked from here on settles the doubt, not a look-up that is under way.
            let looked_up = version.looked_up.max(sent);
            Verdict::Note(Version { detail: Detail::Stale, looked_up, ..version.clone() })
        }
        // Its look-up is due in any case, or nobody asks for it.
        _ => Verdict::Nothing,
    }
}

fn change(kind: ChangeKind, first_detail: bool, key: RowKey, version: Version, row: Option<Row>) -> Verdict {
    Verdict::Change(Box::new(Changed { kind, first_detail, after: MirrorRow { key, version, row } }))
}

fn blank_version() -> Version {
    Version {
        sequence: Sequence(0),
        inserted: Sequence(0),
        first_detail: Sequence(0),
        listed_digest: None,
        listed: Moment(0),
        looked_up: Moment(0),
        observed: Moment(0),
        updated_ms: 0,
        detail: Detail::Done,
    }
}

/// Which shapes carry `field`; one that nobody declared may be in both.
fn shape(table: &Table, field: &str) -> Shape {
    table.fields.iter().find(|f| f.name == field).map_or(Shape::Both, |f| f.shape)
}

fn without(row: &Row, table: &Table, unwanted: Shape) -> Row {
    let keep = |name: &&String| shape(table, name) != unwanted;
    row.fields().iter().filter(|(name, _)| keep(name)).map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn only_detail(row: &Row, table: &Table) -> Row {
    let keep = |name: &&String| shape(table, name) == Shape::Detail;
    row.fields().iter().filter(|(name, _)| keep(name)).map(|(k, v)| (k.clone(), v.clone())).collect()
}
