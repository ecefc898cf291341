//! `tributary preview`: the newest rows of a table, as the source shows them. Writes nothing.

use connectors::coding::config::Details;
use engine::problem::Problem;
use engine::row::{Row, RowId, RowKey};
use engine::schema::Table;
use engine::source::{Order, Project, Source, Urgency};
use futures::StreamExt;
use serde::Serialize;
use serde_json::Value;

use super::load_one;
use super::look::Look;
use crate::cli::PreviewArgs;
use crate::exit::{self, Done, Failure};

/// A value longer than this is cut for people; JSON shows all of it.
const MAX_CHARS: usize = 100;

/// The result.
#[derive(Debug, Serialize)]
struct Report {
    table: &'static str,
    rows: Vec<Previewed>,
}

#[derive(Debug, Serialize)]
struct Previewed {
    project: String,
    key: i64,
    row: Row,
}

/// Previews a table of a file's pipeline.
///
/// # Errors
/// A configuration that is wrong; a source that does not answer.
pub(crate) async fn run(args: &PreviewArgs) -> Result<Done, Failure> {
    let pipeline = load_one(&args.file)?;
    let look = Look::open(&pipeline)?;
    let details = pipeline.source.details != Details::Off;
    let result = preview(&look, args, details).await;
    look.source.close().await;
    let report = result?;
    if args.json {
        exit::print_json(&report)?
    } else {
        exit::print(&text(&report))?
    }
    Ok(Done::All)
}

async fn preview(look: &Look, args: &PreviewArgs, details: bool) -> Result<Report, Problem> {
    let source = &look.source;
    let table = source.tables().iter().find(|table| table.name == args.table).ok_or_else(|| {
        Problem::new(
            "USAGE-TABLE",
            format!("Cannot preview `{}`", args.table),
            "the source has no such table",
            "Run `tributary discover` to see its tables.",
        )
    })?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    for project in look.projects().await? {
        let newest = newest(source, &project, table, limit).await?;
        found.extend(newest.into_iter().map(|(id, listed)| (project.clone(), id, listed)));
    }
    // The newest of all projects; tables without a time keep the order of the listings.
    found.sort_by_key(|(_, _, listed)| std::cmp::Reverse(listed.updated_ms(table)));
    found.truncate(limit);
    let mut rows = Vec::new();
    for (project, id, listed) in found {
        let row = if details && table.look_up && table.has_detail() {
            full(source, &project, table, id, listed).await?
        } else {
            listed
        };
        rows.push(Previewed { project: project.name, key: id.0, row });
    }
    Ok(Report { table: table.name, rows })
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
    let mut lines = Vec::new();
    for previewed in &report.rows {
        lines.push(format!("{} {} {}", previewed.project, report.table, previewed.key));
        for (field, value) in previewed.row.fields() {
            let value = match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            lines.push(format!("  {field:24} {}", cut(&value)));
        }
        lines.push(String::new());
    }
    if report.rows.is_empty() {
        lines.push(format!("{} has no rows.", report.table));
    }
    lines.join("\n").trim_end().to_owned()
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
