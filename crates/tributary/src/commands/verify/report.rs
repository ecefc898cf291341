//! What `verify` found, for people and for machines.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;

use engine::capture::Progress;
use engine::position::RebuildReason;
use engine::row::RowId;
use engine::schema::{Table, TableId};
use engine::source::Project;
use engine::target::{Looked, Owned, TargetTable};
use engine::verify::report::{Compared, Difference};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::commands::shapes::value;
use crate::pipeline::Pipeline;
use crate::present::text::{count, plural};

/// A value longer than this is cut for people; JSON shows all of it.
const MAX_CHARS: usize = 60;
/// So much that two values have in common is shown before their first difference.
const IN_COMMON: usize = 20;

/// The result.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// The task's name.
    task: String,
    /// The pipeline's file, for what to do next.
    #[serde(skip)]
    file: PathBuf,
    /// The state directory.
    state: PathBuf,
    /// Whether a sync runs meanwhile.
    running: bool,
    /// Whether the rebuild of the target has not ended: deletes may be held.
    #[serde(skip)]
    rebuilding: bool,
    /// Whether the first reading of the source has not ended.
    #[serde(skip)]
    unread: bool,
    /// Whether nothing differs.
    pub(super) equal: bool,
    /// With `--repair`: how many differences are gone.
    pub(super) repaired: Option<u64>,
    /// What else there is to know.
    pub(super) notes: Vec<String>,
    /// By project and table.
    pub(super) tables: Vec<TableReport>,
}

/// A table of a project.
#[derive(Debug, Serialize)]
pub(super) struct TableReport {
    project: String,
    table: &'static str,
    /// Its name in the target.
    target_table: String,
    #[serde(skip)]
    pub(super) id: TableId,
    /// In what the table itself is not as it should be.
    pub(super) columns: Vec<String>,
    /// How many rows there are, by those who were asked.
    pub(super) counted: Option<Counted>,
    /// The mirror's rows, as the task wants them, against the target's.
    pub(super) target: Side,
    /// With `--deep`: the source's rows against the mirror's.
    source: Option<Side>,
    /// With `--sample`: rows of the source, looked up, against the mirror's.
    sample: Option<Side>,
}

/// Number of rows.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Counted {
    /// As the source says.
    pub(super) source: u64,
    /// In the mirror, before any filter.
    pub(super) mirror: u64,
}

/// Two sides compared.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) compared: Compared,
}

impl Serialize for Side {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Compared { expected, found, lacking, extra, changed, undelivered, moving, unread, shown, .. } =
            &self.compared;
        let shown: Vec<Value> = shown.iter().map(|(id, difference)| spelled(*id, difference)).collect();
        let side = json!({
            "expected": expected, "found": found, "lacking": lacking, "extra": extra, "changed": changed,
            "undelivered": undelivered, "moving": moving, "read": !unread, "differences": shown,
        });
        side.serialize(serializer)
    }
}

fn spelled(id: RowId, difference: &Difference) -> Value {
    let (kind, values) = match difference {
        Difference::Lacking => ("lacking", None),
        Difference::Extra => ("extra", None),
        Difference::Undelivered => ("undelivered", None),
        Difference::Changed(values) => ("changed", Some(values)),
    };
    let cells = |values: &Vec<engine::verify::report::Value>| -> Value {
        let cell = |of: &engine::verify::report::Value| {
            json!({
                "column": of.column, "expected": value(of.expected.clone()), "found": value(of.found.clone()),
            })
        };
        values.iter().map(cell).collect()
    };
    match values {
        None => json!({ "id": id.0, "kind": kind }),
        Some(values) => json!({ "id": id.0, "kind": kind, "values": cells(values) }),
    }
}

impl TableReport {
    pub(super) fn new(
        project: &Project,
        table: &Table,
        shaped: &TargetTable,
        columns: Vec<String>,
        compared: Compared,
    ) -> TableReport {
        TableReport {
            project: project.name.clone(),
            table: table.name,
            target_table: shaped.name.clone(),
            id: table.id,
            columns,
            counted: None,
            target: Side { compared },
            source: None,
            sample: None,
        }
    }

    pub(super) fn compared_with_source(&mut self, compared: Compared) {
        self.source = Some(Side { compared });
    }

    pub(super) fn sampled(&mut self, compared: Compared) {
        self.sample = Some(Side { compared });
    }

    fn of_source(&self) -> u64 {
        self.source.as_ref().map_or(0, |side| side.compared.different()).saturating_add(self.of_sample())
    }

    fn of_sample(&self) -> u64 {
        self.sample.as_ref().map_or(0, |side| side.compared.different())
    }

    fn different(&self) -> u64 {
        let columns = u64::try_from(self.columns.len()).unwrap_or(u64::MAX);
        columns.saturating_add(self.target.compared.different()).saturating_add(self.of_source())
    }

    fn is_miscounted(&self) -> bool {
        self.counted.is_some_and(|counted| counted.source != counted.mirror)
    }
}

impl Report {
    pub(super) fn new(pipeline: &Pipeline, running: bool) -> Report {
        Report {
            task: pipeline.name.clone(),
            file: pipeline.file.clone(),
            state: pipeline.state.clone(),
            running,
            rebuilding: false,
            unread: false,
            equal: false,
            repaired: None,
            notes: Vec::new(),
            tables: Vec::new(),
        }
    }

    /// Notes how the target stands as a whole.
    pub(super) fn note_state(
        &mut self,
        looked: &Looked,
        awaited: Option<RebuildReason>,
        progress: &Progress,
    ) {
        let why = awaited.map(|reason| match reason {
            RebuildReason::New => "it has no position of this task",
            RebuildReason::Unfinished => "an earlier rebuild did not finish",
            RebuildReason::OtherJournal => "its position belongs to another state directory",
            RebuildReason::BehindTombstones => "deletions since its position have been forgotten",
            RebuildReason::Reshaped => {
                "tables, filters, mode, custom fields, naming or deletes are others than it was written with"
            }
            RebuildReason::Renamed => "a project's identifier changed",
            RebuildReason::Returned => "a project came back into the configuration",
            RebuildReason::Asked => "it was asked for",
        });
        self.notes.extend(why.map(|why| format!("the next sync rebuilds the target: {why}")));
        self.rebuilding = looked.position.as_ref().is_some_and(|position| position.rebuilding);
        if self.rebuilding {
            self.notes.push("a rebuild of the target has not finished, or its deletes are held".to_owned());
        }
        self.unread = !progress.loaded;
        let is_read = |owned: &&Owned| {
            progress
                .projects
                .iter()
                .any(|project| project.id.0 == owned.project_id && project.name == owned.project)
        };
        for owned in looked.owned.iter().filter(|owned| !is_read(owned)) {
            self.notes.push(format!(
                "the target has rows of project `{}`, which is read no more; they are not compared",
                owned.project
            ));
        }
        if self.unread {
            self.notes.push("the mirror is not complete yet: its first reading has not finished".to_owned());
        }
        if looked.put_aside > 0 {
            self.notes.push(format!(
                "{} put aside because the target cannot hold them; `_tributary_aside` names them",
                if looked.put_aside == 1 {
                    "1 row was".to_owned()
                } else {
                    format!("{} rows were", looked.put_aside)
                }
            ));
        }
    }

    /// Changes what is said of a table of a project.
    pub(super) fn table(&mut self, project: &Project, table: &Table, change: impl FnOnce(&mut TableReport)) {
        let own = self.tables.iter_mut().find(|own| own.project == project.name && own.id == table.id);
        if let Some(own) = own {
            change(own);
        }
    }

    /// Says whether all is equal. While a sync runs, the numbers of rows differ on the way.
    pub(super) fn conclude(&mut self) {
        let miscounted = !self.running && self.tables.iter().any(TableReport::is_miscounted);
        self.equal = self.different() == 0 && !miscounted;
    }

    /// Everything that differs, rows and columns.
    pub(super) fn different(&self) -> u64 {
        self.tables.iter().fold(0, |sum, table| sum.saturating_add(table.different()))
    }

    /// Whether there is something that writing again would mend.
    pub(super) fn is_repairable(&self) -> bool {
        self.different() > 0
    }

    /// Of the differences of all targets, those of one kind.
    fn sum(&self, of: impl Fn(&Compared) -> u64) -> u64 {
        self.tables.iter().fold(0, |sum, table| sum.saturating_add(of(&table.target.compared)))
    }

    /// What to do about the differences.
    fn remedy(&self) -> String {
        let file = self.file.display();
        let (sampled, stale) =
            (self.tables.iter().map(TableReport::of_sample).sum::<u64>(), self.stale_tables());
        if self.unread {
            return format!("`tributary sync {file} --once` ends the first reading.");
        }
        if self.rebuilding && self.sum(|compared| compared.extra) > 0 {
            return format!(
                "If the source is right, `tributary sync {file} --accept-deletes` deletes what it no longer shows."
            );
        }
        if self.repaired.is_some() {
            return format!(
                "Not all could be repaired; `tributary sync {file} --once` says what stands in the way, `tributary \
                 resync {file}` writes everything again."
            );
        }
        if self.sum(|compared| compared.undelivered) == self.different() {
            return match self.running {
                true => "The running sync has not delivered them yet: run this again later.".to_owned(),
                false => format!("`tributary sync {file} --once` delivers them."),
            };
        }
        let stop = if self.running { "Stop the sync, then " } else { "" };
        match (stale.is_empty(), sampled) {
            (true, _) => format!("{stop}`tributary verify {file} --repair` writes them again."),
            (false, 0) => format!(
                "{stop}`tributary verify {file} --deep --repair` reads those tables anew and writes them again."
            ),
            (false, _) => format!(
                "{stop}`tributary resync {file} --from-source` reads everything anew, details too, and writes it again."
            ),
        }
    }

    /// Tables of which the mirror is not as the source.
    pub(super) fn stale_tables(&self) -> Vec<TableId> {
        let mut stale: Vec<TableId> =
            self.tables.iter().filter(|table| table.of_source() > 0).map(|table| table.id).collect();
        stale.sort_unstable();
        stale.dedup();
        stale
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for table in &self.tables {
            write_table(f, table)?;
        }
        for note in &self.notes {
            writeln!(f, "note: {note}")?;
        }
        if let Some(repaired) = self.repaired {
            writeln!(f, "{} repaired", plural(repaired, "difference"))?;
        }
        if self.equal {
            return write!(f, "Equal.");
        }
        let file = self.file.display();
        let different = self.different();
        if different == 0 {
            return write!(
                f,
                "Different: CODING and the mirror do not have the same number of rows. `tributary sync {file} --once` \
                 reads what changed; `tributary verify {file} --deep` names the rows."
            );
        }
        write!(f, "Different: {}. {}", plural(different, "difference"), self.remedy())
    }
}

fn write_table(f: &mut Formatter<'_>, table: &TableReport) -> fmt::Result {
    let TableReport { project, table: name, target_table, .. } = table;
    writeln!(f, "{project}/{name} in `{target_table}`: {}", summary(&table.target.compared, "target"))?;
    for point in &table.columns {
        writeln!(f, "  table `{target_table}`: {point}")?;
    }
    write_differences(f, &table.target.compared)?;
    for (what, side) in [("CODING and mirror", &table.source), ("sample of CODING and mirror", &table.sample)]
    {
        let Some(side) = side else { continue };
        writeln!(f, "  {what}: {}", summary(&side.compared, "mirror"))?;
        write_differences(f, &side.compared)?;
    }
    if let Some(Counted { source, mirror }) = table.counted.filter(|_| table.is_miscounted()) {
        writeln!(f, "  CODING says {}, the mirror has {}", plural(source, "row"), count(mirror))?;
    }
    Ok(())
}

fn summary(compared: &Compared, place: &str) -> String {
    if compared.unread {
        return format!("{} not compared: the {place}'s cannot be read", plural(compared.expected, "row"));
    }
    let mut parts = vec![format!("{} compared", plural(compared.expected.max(compared.found), "row"))];
    for (number, what) in [
        (compared.lacking, format!("missing in the {place}")),
        (compared.extra, format!("too many in the {place}")),
        (compared.changed, "with other values".to_owned()),
        (compared.undelivered, "not delivered yet".to_owned()),
        (compared.moving, "changing too fast to be compared".to_owned()),
    ] {
        if number > 0 {
            parts.push(format!("{} {what}", count(number)));
        }
    }
    if compared.different() == 0 {
        parts.insert(1, "equal".to_owned());
    }
    parts.join(", ")
}

fn write_differences(f: &mut Formatter<'_>, compared: &Compared) -> fmt::Result {
    for (RowId(id), difference) in &compared.shown {
        match difference {
            Difference::Lacking => writeln!(f, "  {id}: missing")?,
            Difference::Extra => writeln!(f, "  {id}: should not be there")?,
            Difference::Undelivered => writeln!(f, "  {id}: not delivered yet")?,
            Difference::Changed(values) => {
                for engine::verify::report::Value { column, expected, found } in values {
                    let (found, expected) = short(&value(found.clone()), &value(expected.clone()));
                    writeln!(f, "  {id}: {column} is {found} instead of {expected}")?;
                }
            }
        }
    }
    let shown = u64::try_from(compared.shown.len()).unwrap_or(u64::MAX);
    match compared.different().saturating_sub(shown) {
        0 => Ok(()),
        more => writeln!(f, "  … and {} more", count(more)),
    }
}

/// Two values as lines of about [`MAX_CHARS`] characters that show where they begin to differ.
fn short(one: &Value, other: &Value) -> (String, String) {
    let (one, other) = (line(one), line(other));
    let common = one.iter().zip(&other).take_while(|(one, other)| one == other).count();
    let cut = one.len().max(other.len()) > MAX_CHARS && common > IN_COMMON;
    let from = if cut { common.saturating_sub(IN_COMMON) } else { 0 };
    let shown = |chars: &[char]| {
        let before = if from > 0 { "…" } else { "" };
        let shown: String = chars.iter().skip(from).take(MAX_CHARS).collect();
        let after = if chars.len().saturating_sub(from) > MAX_CHARS { "…" } else { "" };
        format!("{before}{shown}{after}")
    };
    (shown(&one), shown(&other))
}

/// The characters of a value; control characters would upset a terminal.
fn line(value: &Value) -> Vec<char> {
    let text = if value.is_null() { "NULL".to_owned() } else { value.to_string() };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use engine::target::Cell;

    use super::*;

    fn report(compared: Compared) -> Report {
        Report {
            task: "t".to_owned(),
            file: "p.yaml".into(),
            state: "p.state".into(),
            running: false,
            rebuilding: false,
            unread: false,
            equal: false,
            repaired: None,
            notes: vec!["something".to_owned()],
            tables: vec![TableReport {
                project: "app".to_owned(),
                table: "Issues",
                target_table: "issues".to_owned(),
                id: TableId(1),
                columns: Vec::new(),
                counted: Some(Counted { source: 3, mirror: 3 }),
                target: Side { compared },
                source: None,
                sample: None,
            }],
        }
    }

    #[test]
    fn equal_tables_take_a_line() {
        let mut report = report(Compared { expected: 1_500, found: 1_500, moving: 2, ..Compared::default() });
        report.conclude();
        assert_eq!(
            report.to_string(),
            "app/Issues in `issues`: 1,500 rows compared, equal, 2 changing too fast to be compared\n\
             note: something\nEqual."
        );
        report.tables[0].counted = Some(Counted { source: 4, mirror: 3 });
        report.conclude();
        assert!(!report.equal && report.to_string().contains("CODING says 4 rows, the mirror has 3"));
    }

    #[test]
    fn of_long_values_the_place_is_shown_where_they_differ() {
        let long = |middle: &str| Value::from(format!("{}{middle}{}", "a".repeat(150), "b".repeat(150)));
        let (one, other) = short(&long("x"), &long("yx"));
        assert_eq!(one, format!("…{}x{}…", "a".repeat(20), "b".repeat(39)));
        assert_eq!(other, format!("…{}yx{}…", "a".repeat(20), "b".repeat(38)));
        assert_eq!(short(&Value::Null, &Value::from("x\ny")), ("NULL".to_owned(), "\"x\\ny\"".to_owned()));
        let (one, other) = short(&Value::from("a".repeat(70)), &Value::from(""));
        assert_eq!((one, other), (format!("\"{}…", "a".repeat(59)), "\"\"".to_owned()));
    }

    #[test]
    fn differences_are_spelled_out_and_counted() {
        let value = engine::verify::report::Value {
            column: "name".to_owned(),
            expected: Cell::Text("x".into()),
            found: Cell::Null,
        };
        let mut report = report(Compared {
            expected: 3,
            found: 2,
            lacking: 30,
            changed: 1,
            shown: vec![(RowId(1), Difference::Lacking), (RowId(2), Difference::Changed(vec![value]))],
            ..Compared::default()
        });
        report.tables[0].columns = vec!["column `hours` is TEXT instead of REAL".to_owned()];
        report.conclude();
        assert_eq!(
            report.to_string(),
            "app/Issues in `issues`: 3 rows compared, 30 missing in the target, 1 with other values\n\
             \x20 table `issues`: column `hours` is TEXT instead of REAL\n\
             \x20 1: missing\n\
             \x20 2: name is NULL instead of \"x\"\n\
             \x20 … and 29 more\n\
             note: something\n\
             Different: 32 differences. `tributary verify p.yaml --repair` writes them again."
        );
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["equal"], json!(false));
        let target = &json["tables"][0]["target"];
        assert_eq!((&target["lacking"], &target["changed"]), (&json!(30), &json!(1)));
        assert_eq!(
            target["differences"][1],
            json!({ "id": 2, "kind": "changed", "values": [{ "column": "name", "expected": "x", "found": null }] })
        );
    }
}
