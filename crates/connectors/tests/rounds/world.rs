//! A plain map of rows, and the ways in which a source shows it other than it is. Deterministic by seed, as far
//! as the order of requests is.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use engine::journal::MirrorRow;
use engine::row::{ProjectId, Row, RowId, RowKey, integer, is_unset};
use engine::schema::{Field, Kind, Shape, Table, TableId};
use serde_json::{Value, json};

pub(super) const THINGS: TableId = TableId(1);
pub(super) const BOXES: TableId = TableId(2);
pub(super) const PEOPLE: TableId = TableId(3);

/// Projects by id, with their identifiers.
pub(super) const PROJECTS: [(i64, &str); 2] = [(1, "one"), (2, "two")];
/// Rows of a table of a project at first.
const ROWS: i64 = 60;
/// Real deletions of a table of a project: so few that none is held as suspicious.
const DELETIONS: usize = 8;
/// The shortest loss of access: longer than a look-up and its control are apart.
const SHORTEST_LOSS: Duration = Duration::from_millis(300);

const fn field(name: &'static str, kind: Kind, shape: Shape) -> Field {
    Field { name, kind, shape }
}

const fn table(id: TableId, name: &'static str, fields: &'static [Field]) -> Table {
    Table {
        id,
        name,
        key_field: "Code",
        fields,
        updated_field: None,
        volatile: &[],
        project_copy: None,
        look_up: true,
        newest_first: false,
        from_inbox: false,
        project_id_column: true,
        flat: &[],
        custom: None,
    }
}

/// One table with details and an order by update, one with look-ups only, one with neither.
pub(super) static TABLES: [Table; 3] = [
    Table { look_up: false, ..table(PEOPLE, "People", &FIELDS) },
    table(BOXES, "Boxes", &FIELDS),
    Table {
        updated_field: Some("UpdatedAt"),
        volatile: &[&["Files", "Url"]],
        newest_first: true,
        from_inbox: false,
        ..table(THINGS, "Things", &THING_FIELDS)
    },
];

const FIELDS: [Field; 3] = [
    field("Name", Kind::Text, Shape::Both),
    field("Count", Kind::Integer, Shape::Both),
    field("Owner", Kind::Json, Shape::Both),
];
const THING_FIELDS: [Field; 7] = [
    FIELDS[0],
    FIELDS[1],
    FIELDS[2],
    field("OwnerId", Kind::Integer, Shape::Listed),
    field("UpdatedAt", Kind::Integer, Shape::Both),
    field("Watchers", Kind::Json, Shape::Detail),
    field("Files", Kind::Json, Shape::Detail),
];

pub(super) type Shared = Arc<Mutex<World>>;

/// A row as it is.
#[derive(Clone, Debug)]
pub(super) struct Truth {
    name: String,
    count: i64,
    owner: i64,
    watchers: i64,
    pub(super) updated_ms: i64,
}

/// The source's side of things.
pub(super) struct World {
    pub(super) dice: Dice,
    pub(super) rows: BTreeMap<RowKey, Truth>,
    /// What listings that lag may still show.
    pub(super) older: HashMap<RowKey, Truth>,
    ever: HashSet<RowKey>,
    dead: HashSet<RowKey>,
    edited: HashSet<RowKey>,
    pub(super) misbehaves: bool,
    /// The project that cannot be seen at present, since when, and whether somebody noticed.
    lost: Option<(ProjectId, Instant, bool)>,
    now_ms: i64,
}

/// Throws that follow from a seed.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn below(&mut self, sides: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        i64::try_from((z ^ (z >> 31)) % u64::try_from(sides).unwrap()).unwrap()
    }

    pub(super) fn one_in(&mut self, sides: i64) -> bool {
        self.below(sides) == 0
    }
}

impl World {
    pub(super) fn new(seed: u64) -> Shared {
        let mut world = World {
            dice: Dice(seed),
            rows: BTreeMap::new(),
            older: HashMap::new(),
            ever: HashSet::new(),
            dead: HashSet::new(),
            edited: HashSet::new(),
            misbehaves: false,
            lost: None,
            // Well within the look-back, and past every second that anybody would wait for.
            now_ms: jiff::Timestamp::now().as_second() * 1_000 - 7_200_000,
        };
        for table in &TABLES {
            for (project, _) in PROJECTS {
                for id in 1..=ROWS {
                    world.insert(RowKey { table: table.id, project: ProjectId(project), id: RowId(id) });
                }
            }
        }
        Arc::new(Mutex::new(world))
    }

    pub(super) fn ever(&self, key: RowKey) -> bool {
        self.ever.contains(&key)
    }

    pub(super) fn edited(&self, key: RowKey) -> bool {
        self.edited.contains(&key)
    }

    pub(super) fn died(&self, key: RowKey) -> bool {
        self.dead.contains(&key)
    }

    /// Begins or ends lies, failures, losses of access and edits.
    pub(super) fn misbehave(&mut self, misbehaves: bool) {
        self.misbehaves = misbehaves;
        self.lost = None;
    }

    /// Deletes most things of one project; returns how many.
    pub(super) fn delete_most(&mut self) -> u64 {
        let keys: Vec<RowKey> = self.keys(THINGS, ProjectId(1)).skip(20).collect();
        keys.iter().for_each(|key| self.delete(*key));
        u64::try_from(keys.len()).unwrap()
    }

    pub(super) fn keys(&self, table: TableId, project: ProjectId) -> impl Iterator<Item = RowKey> + use<'_> {
        self.rows.keys().filter(move |key| key.table == table && key.project == project).copied()
    }

    fn insert(&mut self, key: RowKey) {
        self.now_ms += 1_000;
        let truth = Truth {
            name: format!("row {} {}", key.id.0, self.dice.below(1_000)),
            count: self.dice.below(4),
            owner: self.dice.below(4),
            watchers: self.dice.below(3),
            updated_ms: self.now_ms,
        };
        self.rows.insert(key, truth);
        self.ever.insert(key);
    }

    fn delete(&mut self, key: RowKey) {
        let Some(truth) = self.rows.remove(&key) else { return };
        self.older.insert(key, truth);
        self.dead.insert(key);
    }

    /// A request arrives: the world may move on, and access may be lost.
    pub(super) fn arrive(&mut self, project: ProjectId) {
        if !self.misbehaves {
            return;
        }
        if self.dice.one_in(6) {
            self.mutate();
        }
        if self.lost.is_none() && self.dice.one_in(400) {
            self.lost = Some((project, Instant::now(), false));
        }
    }

    pub(super) fn is_lost(&self, project: ProjectId) -> bool {
        self.lost.is_some_and(|(lost, ..)| lost == project)
    }

    /// The roster is asked for: a loss that was noticed and lasted long enough ends.
    pub(super) fn roll_call(&mut self) {
        if let Some((_, since, noticed)) = &mut self.lost {
            if *noticed && since.elapsed() >= SHORTEST_LOSS {
                self.lost = None;
            } else {
                *noticed = true;
            }
        }
    }

    fn mutate(&mut self) {
        let table = TABLES[usize::try_from(self.dice.below(3)).unwrap()].id;
        let project = ProjectId(1 + self.dice.below(2));
        let keys: Vec<RowKey> = self.keys(table, project).collect();
        let key = keys[usize::try_from(self.dice.below(i64::try_from(keys.len()).unwrap())).unwrap()];
        let died = self.dead.iter().filter(|dead| dead.table == table && dead.project == project).count();
        match self.dice.below(8) {
            0 => {
                let newest = self.ever.iter().filter(|k| k.table == table).map(|k| k.id.0).max().unwrap();
                self.insert(RowKey { table, project, id: RowId(newest + 1) });
            }
            1 if died < DELETIONS => self.delete(key),
            // People who left may come back; numbers of things are never given again.
            2 if table == PEOPLE => {
                if let Some(back) =
                    self.dead.iter().find(|k| k.table == table && k.project == project).copied()
                    && !self.rows.contains_key(&back)
                {
                    self.insert(back);
                    self.edited.insert(back);
                }
            }
            what => self.edit(key, what),
        }
    }

    fn edit(&mut self, key: RowKey, what: i64) {
        self.now_ms += 1_000;
        let (now, amount) = (self.now_ms, self.dice.below(5));
        let truth = self.rows.get_mut(&key).unwrap();
        self.older.insert(key, truth.clone());
        self.edited.insert(key);
        match what {
            // An edit that does not show in the time of update.
            3 => truth.count += 1 + amount,
            4 => {
                truth.watchers += 1;
                truth.updated_ms = now;
            }
            5 => {
                truth.owner = amount;
                truth.updated_ms = now;
            }
            _ => {
                truth.name.push_str(" *");
                truth.updated_ms = now;
            }
        }
    }

    /// A row as a listing spells it; every look spells it differently.
    pub(super) fn listed(&mut self, key: RowKey, truth: &Truth) -> Row {
        let mut fields = json!({
            "Code": key.id.0,
            "Name": truth.name,
            "Count": self.number(truth.count),
            "Owner": self.owner(truth, false),
        });
        if key.table == THINGS {
            fields["OwnerId"] = self.number(truth.owner);
            fields["UpdatedAt"] = json!(truth.updated_ms);
        }
        serde_json::from_value(fields).unwrap()
    }

    /// A row as a look-up spells it.
    pub(super) fn looked_up(&mut self, key: RowKey, truth: &Truth) -> Row {
        let mut row = self.listed(key, truth);
        if key.table == THINGS {
            row.fields_mut().remove("OwnerId");
            row.fields_mut().insert("Owner".to_owned(), self.owner(truth, true));
            let watchers: Vec<Value> = (0..truth.watchers).map(|id| json!({"Id": id + 1})).collect();
            row.fields_mut().insert("Watchers".to_owned(), Value::from(watchers));
            let url = format!("https://files.example/{}", self.dice.below(1_000_000));
            row.fields_mut().insert("Files".to_owned(), json!([{"FileId": 1, "Url": url}]));
        }
        row
    }

    fn number(&mut self, number: i64) -> Value {
        match (number, self.dice.below(3)) {
            (0, 0) => Value::Null,
            (0, 1) => json!(""),
            (number, 1) => json!(number.to_string()),
            (number, 2) => json!(format!("{number}.0").parse::<f64>().unwrap()),
            (number, _) => json!(number),
        }
    }

    /// An object that look-ups show in full; without an owner it is there, but zeroed.
    fn owner(&mut self, truth: &Truth, full: bool) -> Value {
        let set = truth.owner != 0;
        let mut owner = json!({"Id": self.number(truth.owner), "Name": if set { format!("o{}", truth.owner) } else { String::new() }});
        if full {
            owner["Avatar"] = json!(if set { format!("/a/{}", truth.owner) } else { String::new() });
        }
        owner
    }

    /// What differs between the mirror and the truth, in words.
    pub(super) fn differences(&self, mirror: &[MirrorRow], details: bool) -> Vec<String> {
        let held: HashMap<RowKey, &Row> =
            mirror.iter().filter_map(|row| Some((row.key, row.row.as_ref()?))).collect();
        let mut found: Vec<String> = held
            .keys()
            .filter(|key| !self.rows.contains_key(key))
            .map(|key| format!("{key:?} is too many"))
            .collect();
        for (key, truth) in &self.rows {
            let Some(row) = held.get(key) else {
                found.push(format!("{key:?} is missing"));
                continue;
            };
            let mut expected = vec![
                ("Name", json!(truth.name)),
                ("Count", json!(truth.count)),
                (
                    "Owner",
                    json!({"Id": truth.owner, "Name": if truth.owner == 0 { String::new() } else { format!("o{}", truth.owner) }}),
                ),
            ];
            if key.table == THINGS {
                expected.push(("UpdatedAt", json!(truth.updated_ms)));
                expected.push(("OwnerId", json!(truth.owner)));
                if details {
                    let watchers: Vec<Value> = (0..truth.watchers).map(|id| json!({"Id": id + 1})).collect();
                    expected.push(("Watchers", Value::from(watchers)));
                    let avatar = if truth.owner == 0 { String::new() } else { format!("/a/{}", truth.owner) };
                    expected.push(("Owner", json!({"Avatar": avatar})));
                }
            }
            for (name, value) in expected {
                let actual = row.get(name).cloned().unwrap_or_default();
                if !same(&actual, &value) {
                    found.push(format!("{key:?} {name}: mirror {actual}, truth {value}"));
                }
            }
        }
        found
    }
}

/// Whether `actual` says all that `expected` does.
fn same(actual: &Value, expected: &Value) -> bool {
    match (actual, expected) {
        (actual, expected) if is_unset(expected) => is_unset(actual) || integer(actual) == Some(0),
        (Value::Object(a), Value::Object(b)) => {
            b.iter().all(|(key, value)| same(a.get(key).unwrap_or(&Value::Null), value))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (actual, Value::Number(_)) => integer(actual) == integer(expected),
        _ => actual == expected,
    }
}
