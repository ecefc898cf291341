//! A target that is a map, and that watches what it is given: a key once a batch, positions that go forward, no
//! row that stands there already as it is.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use engine::delivery::shape::{Delivered, Shaper, Task};
use engine::journal::MirrorRow;
use engine::position::{Position, RebuildReason, Sequence};
use engine::row::RowId;
use engine::target::{Batch, Cell, Effect, Opened, Owned, Plan, Target, TargetError, TargetTable};
use jiff::Timestamp;

use super::world::PROJECTS;

/// What a target holds; it outlives those who write to it.
#[derive(Clone, Default)]
pub(super) struct Stock(Arc<Mutex<Held>>);

#[derive(Default)]
struct Held {
    tables: Vec<TargetTable>,
    rows: BTreeMap<(usize, String, i64), Vec<Cell>>,
    position: Option<Position>,
    owned: Vec<Owned>,
    writes: u64,
    idle: u64,
}

/// One who writes to a [`Stock`].
pub(super) struct Shelf(Stock);

impl Stock {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap()
    }

    /// How far it is.
    pub(super) fn position(&self) -> Option<Sequence> {
        self.held()
            .position
            .as_ref()
            .filter(|position| !position.rebuilding)
            .map(|position| position.sequence)
    }

    /// Rows written and deleted so far.
    pub(super) fn writes(&self) -> u64 {
        self.held().writes
    }

    /// Rows written that stood there already as they were.
    pub(super) fn idle(&self) -> u64 {
        self.held().idle
    }

    /// What differs from what `task` makes of the mirror.
    pub(super) fn differences(&self, task: Task, mirror: &[MirrorRow]) -> Vec<String> {
        let (tables, filter) = (task.tables.clone(), task.filter.clone());
        let shaper = Shaper::new(task);
        let mut expected = BTreeMap::new();
        for held in mirror {
            let (key, row) = (held.key, held.row.as_ref().unwrap());
            if !filter.admits(key.table, row) {
                continue;
            }
            let index = tables.iter().position(|table| table.id == key.table).unwrap();
            let project = PROJECTS.iter().find(|(id, _)| *id == key.project.0).unwrap().1;
            let delivered = Delivered {
                project,
                row,
                id: key.id,
                project_id: key.project.0,
                observed: held.version.observed,
                detailed: held.detailed(),
            };
            let cells = shaper.row(index, delivered, Timestamp::UNIX_EPOCH);
            expected.insert((index, project.to_owned(), key.id.0), cells);
        }
        let stock = self.held();
        let mut found = Vec::new();
        for (place, cells) in &expected {
            match stock.rows.get(place) {
                None => found.push(format!("{place:?} is missing in the target")),
                Some(row) if !stock.alike(place.0, row, cells) => {
                    found.push(format!("{place:?}: target {row:?}, mirror {cells:?}"));
                }
                Some(_) => {}
            }
        }
        let extra = stock.rows.keys().filter(|place| !expected.contains_key(place));
        found.extend(extra.map(|place| format!("{place:?} is too many in the target")));
        found
    }
}

impl Held {
    /// Equal but for the time of writing, and for when the look-up was: a later one that showed nothing new is
    /// not written.
    fn alike(&self, table: usize, a: &[Cell], b: &[Cell]) -> bool {
        let table = &self.tables[table];
        let detailed_at = table.columns.iter().position(|column| column.name == "_detailed_at").unwrap();
        a.iter().zip(b).enumerate().all(|(index, (a, b))| {
            index == table.synced_at
                || a == b
                || (index == detailed_at && *a != Cell::Null && *b != Cell::Null)
        })
    }
}

impl Shelf {
    pub(super) fn of(stock: &Stock) -> Shelf {
        Shelf(stock.clone())
    }
}

fn place(table: usize, key: &[Cell]) -> (usize, String, i64) {
    match key {
        [Cell::Text(team), Cell::Text(project), Cell::Integer(id), ..] if &**team == "acme" => {
            (table, project.to_string(), *id)
        }
        other => panic!("{other:?} is no key"),
    }
}

impl Target for Shelf {
    async fn open(&mut self, plan: &Plan) -> Result<Opened, TargetError> {
        let mut held = self.0.held();
        held.tables.clone_from(&plan.tables);
        Ok(Opened {
            position: held.position.clone(),
            owned: held.owned.clone(),
            fields: Vec::new(),
            rooms: Vec::new(),
        })
    }

    async fn prepare(
        &mut self,
        _plan: &Plan,
        rebuild: Option<RebuildReason>,
        position: &Position,
    ) -> Result<(), TargetError> {
        let mut held = self.0.held();
        assert!(
            matches!(rebuild, None | Some(RebuildReason::New | RebuildReason::Unfinished)),
            "nobody gave a reason for {rebuild:?}"
        );
        assert_eq!(position.rebuilding, rebuild.is_some());
        held.position = Some(position.clone());
        Ok(())
    }

    async fn own(&mut self, projects: &[Owned]) -> Result<(), TargetError> {
        self.0.held().owned.extend_from_slice(projects);
        Ok(())
    }

    async fn disown(&mut self, projects: &[Owned]) -> Result<(), TargetError> {
        self.0.held().owned.retain(|owned| !projects.contains(owned));
        Ok(())
    }

    async fn write(&mut self, batch: &Batch) -> Result<Vec<Effect>, TargetError> {
        let mut held = self.0.held();
        let from = held.position.as_ref().unwrap().sequence;
        assert!(batch.position.sequence >= from, "{:?} after {from:?}", batch.position);
        let mut effects = vec![Effect::default(); batch.tables.len()];
        for (index, table) in batch.tables.iter().enumerate() {
            let mut keys = HashSet::new();
            for row in &table.upserts {
                assert_eq!(row.len(), held.tables[index].columns.len());
                let place = place(index, row);
                assert!(keys.insert(place.clone()), "{place:?} stands twice in a batch");
                if held.rows.get(&place).is_some_and(|known| held.alike(index, known, row)) {
                    held.idle += 1;
                }
                effects[index].inserted += u64::from(held.rows.insert(place, row.clone()).is_none());
                held.writes += 1;
            }
            for key in &table.deletes {
                let place = place(index, key);
                assert!(keys.insert(place.clone()), "{place:?} stands twice in a batch");
                let deleted = u64::from(held.rows.remove(&place).is_some());
                effects[index].deleted += deleted;
                held.writes += deleted;
            }
        }
        held.position = Some(batch.position.clone());
        Ok(effects)
    }

    async fn ids(
        &mut self,
        table: usize,
        team: &str,
        project: &str,
        after: Option<RowId>,
        limit: u32,
    ) -> Result<Vec<RowId>, TargetError> {
        assert_eq!(team, "acme");
        let held = self.0.held();
        let ids = held.rows.keys().filter(|(t, p, _)| *t == table && p == project).map(|(.., id)| RowId(*id));
        let page =
            ids.filter(|id| after.is_none_or(|after| *id > after)).take(usize::try_from(limit).unwrap());
        Ok(page.collect())
    }

    async fn count(&mut self, table: usize, projects: &[Owned]) -> Result<u64, TargetError> {
        let held = self.0.held();
        let of = |place: &&(usize, String, i64)| {
            place.0 == table && projects.iter().any(|owned| owned.project == place.1)
        };
        Ok(u64::try_from(held.rows.keys().filter(of).count()).unwrap())
    }

    async fn put_aside(&mut self, _: usize, key: &[Cell], reason: &str) -> Result<(), TargetError> {
        panic!("{key:?} was put aside: {reason}")
    }

    async fn aside(&mut self) -> Result<Vec<u64>, TargetError> {
        Ok(Vec::new())
    }

    async fn close(self) {}
}
