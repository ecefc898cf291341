//! `tributary preview`: the newest rows of a table, as the target would get them. Writes nothing.

use connectors::coding::config::Details;
use engine::clock::Moment;
use engine::custom::CustomFields;
use engine::delivery::shape::{Delivered, Mode, Shaper};
use engine::problem::Problem;
use engine::row::{Row, RowId, RowKey};
use engine::schema::Table;
use engine::source::{Order, Project, Source, Urgency};
use futures::StreamExt;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::load_one;
use super::look::Look;
use super::shapes::{ColumnReport, Stored, shaper, stored_or_new, value};
use crate::cli::PreviewArgs;
use crate::exit::{self, Done, Failure};
use crate::pipeline::Pipeline;

/// A value longer than this is cut for people; JSON shows all of it.
const MAX_CHARS: usize = 100;

/// The result.
#[derive(Debug, Serialize)]
struct Report {
    table: &'static str,
    mode: Mode,
    columns: Vec<ColumnReport>,
    /// Cells by column.
    rows: Vec<Map<String, Value>>,
}

/// Previews a table of a file's pipeline.
///
/// # Errors
/// A configuration that is wrong; a source that does not answer.
pub(crate) async fn run(args: &PreviewArgs) -> Result<Done, Failure> {
    let pipeline = load_one(&args.file)?;
    let look = Look::open(&pipeline).await?;
    let result = preview(&pipeline, &look, args).await;
    look.source.close().await;
    let report = result?;
    if args.json {
        exit::print_json(&report)?
    } else {
        exit::print(&text(&report))?
    }
    Ok(Done::All)
}

async fn preview(pipeline: &Pipeline, look: &Look, args: &PreviewArgs) -> Result<Report, Problem> {
    let source = &look.source;
    let mut offered = source.tables().iter().enumerate();
    let (index, table) = offered.find(|(_, table)| table.name == args.table).ok_or_else(|| {
        Problem::new(
            "USAGE-TABLE",
            format!("Cannot preview `{}`", args.table),
            "the source has no such table",
            "Run `tributary discover` to see its tables.",
        )
    })?;
    let projects = look.projects().await?;
    let mode = args.mode.unwrap_or(pipeline.task.mode).into();
    let (custom, stored) = match mode {
        Mode::Document => (CustomFields::default(), Stored::default()),
        Mode::Flat => (look.custom_fields(&projects).await?, stored_or_new(pipeline).await),
    };
    let mut shaper = shaper(pipeline, mode, &custom, &stored);
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    for project in projects {
        let newest = newest(source, &project, table, limit).await?;
        found.extend(newest.into_iter().map(|(id, listed)| (project.clone(), id, listed)));
    }
    // The newest of all projects; tables without a time keep the order of the listings.
    found.sort_by_key(|(_, _, listed)| std::cmp::Reverse(listed.updated_ms(table)));
    found.truncate(limit);
    let shaped = shaper.tables().get(index);
    let columns: Vec<ColumnReport> =
        shaped.iter().flat_map(|table| &table.columns).map(ColumnReport::from).collect();
    let wants_details = pipeline.source.details != Details::Off && table.look_up && table.has_detail();
    let mut rows = Vec::new();
    for (project, id, listed) in found {
        let observed = look.clock.now();
        let (row, detailed) = match wants_details {
            true => (full(source, &project, table, id, listed).await?, Some(look.clock.now())),
            // What has no details has all of them with every listing.
            false => (listed, (!table.has_detail()).then_some(observed)),
        };
        let seen = Seen { project: &project, id, row: &row, observed, detailed };
        rows.push(cells(&mut shaper, index, &seen, &columns));
    }
    Ok(Report { table: table.name, mode, columns, rows })
}

/// A row as it was seen.
struct Seen<'a> {
    project: &'a Project,
    id: RowId,
    row: &'a Row,
    observed: Moment,
    detailed: Option<Moment>,
}

/// The cells of a row, by column.
fn cells(shaper: &mut Shaper, index: usize, seen: &Seen<'_>, columns: &[ColumnReport]) -> Map<String, Value> {
    let Seen { project, id, row, observed, detailed } = *seen;
    let (name, project_id) = (project.name.as_str(), project.id.0);
    let delivered = Delivered { project: name, row, id, project_id, observed, detailed };
    let cells = shaper.row(index, delivered, Timestamp::now());
    columns.iter().map(|column| column.name.clone()).zip(cells.into_iter().map(value)).collect()
}

async fn newest(
    source: &impl Source,
    project: &Project,
    table: &'static Table,
    wanted: usize,
) -> Result<Vec<(RowId, Row)>, Problem> {
    let order = if table.newest_first { Order::NewestFirst } else { Order::Stable { skip: 0 } };
    let mut pages = std::pin::pin!(source.list(project, table, order, Urgency::Poll));
    let mut rows = Vec::new();
    while rows.len() < wanted {
        let Some(page) = pages.next().await else { break };
        rows.extend(page.map_err(|error| error.problem)?.rows);
    }
    rows.truncate(wanted);
    Ok(rows)
}

/// The row with what only a look-up shows.
async fn full(
    source: &impl Source,
    project: &Project,
    table: &'static Table,
    id: RowId,
    listed: Row,
) -> Result<Row, Problem> {
    let key = RowKey { table: table.id, project: project.id, id };
    let found = source.look_up(project, key, Urgency::Poll).await.map_err(|error| error.problem)?;
    let merged = found.row.and_then(|detail| listed.merge(&detail, table));
    Ok(merged.map_or(listed, |merged| merged.row))
}

fn text(report: &Report) -> String {
    let width = report.columns.iter().map(|column| column.name.chars().count()).max().unwrap_or(0).min(32);
    let mut lines = Vec::new();
    for row in &report.rows {
        let cells = || report.columns.iter().map(|column| (&column.name, row.get(&column.name)));
        // Team, project and id stand first.
        let key: Vec<String> = cells().skip(1).take(2).map(|(_, value)| plain(value)).collect();
        lines.push(format!("{} {}", report.table, key.join(" ")));
        for (column, value) in cells() {
            lines.push(format!("  {column:width$}  {}", cut(&plain(value))).trim_end().to_owned());
        }
        lines.push(String::new());
    }
    if report.rows.is_empty() {
        lines.push(format!("{} has no rows.", report.table));
    }
    lines.join("\n").trim_end().to_owned()
}

/// A value as people read it; unset is nothing.
fn plain(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// One line of at most [`MAX_CHARS`] characters; control characters would upset a terminal.
fn cut(value: &str) -> String {
    let mut chars = value.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut text: String = chars.by_ref().take(MAX_CHARS).collect();
    if chars.next().is_some() {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn long_and_wild_values_fit_on_a_line() {
        assert_eq!(cut("a\nb\u{1b}[31m"), "a b [31m");
        let long = cut(&"字".repeat(101));
        assert_eq!(long.chars().count(), 101);
        assert!(long.ends_with('…'));
    }
}
