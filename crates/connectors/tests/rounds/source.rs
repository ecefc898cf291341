//! The world as a source: listings page by page, look-ups, a roster; true, or not, as the dice fall.

use std::collections::BTreeMap;
use std::sync::MutexGuard;

use engine::clock::Clock;
use engine::custom::CustomField;
use engine::inbox::Delivery;
use engine::journal::{MirrorRow, Reference};
use engine::problem::Problem;
use engine::row::{ProjectId, Row, RowKey};
use engine::schema::Table;
use engine::source::{
    Heard, Holders, LookUp, Order, Originals, Page, Project, Source, SourceError, SourceErrorKind, Urgency,
};
use futures::Stream;

use super::world::{PROJECTS, Shared, TABLES, Truth, World};

/// Rows a page.
const PAGE: usize = 13;

/// The world, seen through a credential.
pub(super) struct Memory {
    pub(super) world: Shared,
    pub(super) clock: Clock,
}

/// How a listing goes wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Style {
    /// It does not.
    True,
    /// Some rows are left out; the total counts them.
    Dropping,
    /// The end of a page comes again with the next.
    Repeating,
    /// No rows at all.
    Empty,
    /// All rows, and a total that is wrong by so many.
    Lying(i64),
    /// It ends after so many pages.
    Cut(usize),
    /// It breaks off after so many pages.
    Breaking(usize, SourceErrorKind),
    /// Some rows are shown as they were before, deleted ones included.
    Lagging,
    /// Says nothing of a total.
    Silent,
}

struct Listing {
    table: &'static Table,
    project: ProjectId,
    order: Order,
    style: Style,
    offset: usize,
    pages: usize,
    /// For a table whose listings cannot be checked: what it was when the listing began.
    snapshot: Option<Vec<(RowKey, Truth)>>,
    ended: bool,
}

fn error(kind: SourceErrorKind) -> SourceError {
    let problem = Problem::new("TEST", "Cannot ask", format!("{kind:?}"), "Ask again");
    SourceError { kind, problem, source: None }
}

impl Memory {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    fn begin(&self, project: ProjectId, table: &'static Table, order: Order) -> Listing {
        let mut world = self.world();
        let number = |world: &mut World, sides| usize::try_from(world.dice.below(sides)).unwrap();
        let style = match world.misbehaves.then(|| world.dice.below(20)) {
            Some(0 | 1) => Style::Dropping,
            Some(2 | 3) => Style::Repeating,
            Some(4) => Style::Empty,
            Some(5) => Style::Lying(1 + world.dice.below(3)),
            Some(6) => Style::Lying(-1 - world.dice.below(3)),
            Some(7) => Style::Cut(1 + number(&mut world, 3)),
            Some(8) if world.dice.one_in(3) => {
                Style::Breaking(number(&mut world, 4), SourceErrorKind::Transient)
            }
            Some(9) if world.dice.one_in(12) => {
                Style::Breaking(number(&mut world, 4), SourceErrorKind::AccessLost)
            }
            Some(10 | 11) if table.look_up => Style::Lagging,
            Some(12) => Style::Silent,
            _ => Style::True,
        };
        // Fewer than are known may be left out.
        let offset = match order {
            Order::Stable { skip } => usize::try_from(skip / 2).unwrap(),
            Order::NewestFirst | Order::Newest { .. } => 0,
        };
        let snapshot = (!table.look_up).then(|| rows(&world, table, project, order));
        Listing { table, project, order, style, offset, pages: 0, snapshot, ended: false }
    }

    fn page(&self, listing: &mut Listing) -> Option<Result<Page, SourceError>> {
        let Listing { table, project, order, style, .. } = *listing;
        if listing.ended {
            return None;
        }
        let mut world = self.world();
        world.arrive(project);
        let sent = self.clock.now();
        if world.is_lost(project) || style == Style::Empty {
            listing.ended = true;
            let total = if style == Style::Empty && world.dice.one_in(2) { None } else { Some(0) };
            return Some(Ok(Page { rows: Vec::new(), sent, total, unreadable: Vec::new() }));
        }
        match style {
            Style::Breaking(after, kind) if listing.pages >= after => {
                listing.ended = true;
                return Some(Err(error(kind)));
            }
            Style::Cut(after) if listing.pages >= after => return None,
            _ => {}
        }
        let all = listing.snapshot.clone().unwrap_or_else(|| rows(&world, table, project, order));
        let from = match style {
            Style::Repeating => listing.offset.saturating_sub(4),
            _ => listing.offset,
        };
        listing.pages += 1;
        listing.offset += PAGE;
        listing.ended = listing.offset >= all.len();
        let mut shown = Vec::new();
        for (key, truth) in all.iter().skip(from).take(listing.offset.saturating_sub(from)) {
            if style == Style::Dropping && world.dice.one_in(8) {
                continue;
            }
            let older =
                (style == Style::Lagging && world.dice.one_in(3)).then(|| world.older.get(key).cloned());
            let truth = older.flatten().unwrap_or_else(|| truth.clone());
            shown.push((key.id, world.listed(*key, &truth)));
        }
        if style == Style::Lagging && listing.ended {
            let gone: Vec<(RowKey, Truth)> = world
                .older
                .iter()
                .filter(|(key, _)| {
                    key.table == table.id && key.project == project && !world.rows.contains_key(key)
                })
                .map(|(key, truth)| (*key, truth.clone()))
                .collect();
            shown.extend(gone.into_iter().map(|(key, truth)| (key.id, world.listed(key, &truth))));
        }
        let count = i64::try_from(all.len()).unwrap();
        let total = match style {
            Style::Silent => None,
            Style::Lying(by) => Some(count + by),
            _ => Some(count),
        };
        let total = total.map(|total| u64::try_from(total).unwrap_or(0));
        Some(Ok(Page { rows: shown, sent, total, unreadable: Vec::new() }))
    }
}

fn rows(world: &World, table: &Table, project: ProjectId, order: Order) -> Vec<(RowKey, Truth)> {
    let mut rows: Vec<(RowKey, Truth)> =
        world.keys(table.id, project).map(|key| (key, world.rows[&key].clone())).collect();
    if matches!(order, Order::NewestFirst | Order::Newest { .. }) {
        rows.sort_by_key(|(_, truth)| std::cmp::Reverse(truth.updated_ms));
    }
    rows
}

impl Source for Memory {
    fn tables(&self) -> &'static [Table] {
        &TABLES
    }

    async fn roster(&self, _: Urgency) -> Result<Vec<Project>, SourceError> {
        let mut world = self.world();
        world.roll_call();
        let visible = PROJECTS.iter().filter(|(id, _)| !world.is_lost(ProjectId(*id)));
        Ok(visible.map(|(id, name)| Project { id: ProjectId(*id), name: (*name).to_owned() }).collect())
    }

    fn list(
        &self,
        project: &Project,
        table: &'static Table,
        order: Order,
        _: Urgency,
    ) -> impl Stream<Item = Result<Page, SourceError>> + Send {
        let listing = self.begin(project.id, table, order);
        futures::stream::unfold(listing, async |mut listing| {
            let page = self.page(&mut listing)?;
            // Answers overtake each other.
            tokio::task::yield_now().await;
            Some((page, listing))
        })
    }

    async fn look_up(&self, project: &Project, key: RowKey, _: Urgency) -> Result<LookUp, SourceError> {
        let (answer, pauses) = {
            let mut world = self.world();
            world.arrive(project.id);
            let sent = self.clock.now();
            let truth = world.rows.get(&key).cloned().filter(|_| !world.is_lost(project.id));
            let answer = if world.misbehaves && world.dice.one_in(12) {
                Err(error(SourceErrorKind::Transient))
            } else {
                // Within the second of the update, at times: then it has to be asked again.
                let early = world.misbehaves && world.dice.one_in(5);
                let row = truth.as_ref().map(|truth| world.looked_up(key, truth));
                let server_ms = truth.filter(|_| early).map(|truth| truth.updated_ms + 10);
                Ok(LookUp { sent, server_ms, row })
            };
            (answer, world.dice.below(4))
        };
        for _ in 0..pauses {
            tokio::task::yield_now().await;
        }
        answer
    }

    async fn custom_fields(
        &self,
        _: &Project,
        _: &'static Table,
        _: Urgency,
    ) -> Result<Vec<CustomField>, SourceError> {
        Ok(Vec::new())
    }

    fn hear(&self, _: &Delivery) -> Heard {
        unreachable!("no hooks in these tests")
    }

    fn touched(&self, _: RowKey, _: Option<&Row>, _: Option<&Row>) -> Vec<RowKey> {
        Vec::new()
    }

    fn references(&self, _: &Table, _: &Row) -> Vec<Reference> {
        Vec::new()
    }

    fn holders(&self, _: RowKey, _: Option<&Row>, _: Option<&Row>) -> Holders {
        Holders::default()
    }

    fn relatives(&self, _: RowKey, _: &Row) -> Originals {
        Originals::default()
    }

    fn renew(&self, _: &MirrorRow, _: &MirrorRow) -> Option<Row> {
        None
    }

    fn clock_ahead_ms(&self) -> i64 {
        0
    }

    fn requests(&self) -> BTreeMap<String, u64> {
        BTreeMap::new()
    }
}
