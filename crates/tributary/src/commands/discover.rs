//! `tributary discover`: how many rows the source has, and which columns its tables get in either mode.

use std::collections::BTreeMap;

use engine::delivery::shape::Mode;
use engine::schema::{Shape, Table};
use engine::source::{Order, Project, Source, Urgency};
use futures::StreamExt;
use serde::Serialize;

use super::load_one;
use super::look::Look;
use super::shapes::{ColumnReport, shaper, stored_or_new};
use crate::cli::FileArgs;
use crate::exit::{self, Done, Failure};
use crate::pipeline::Pipeline;
use crate::present::text::{count, plural};

/// The result.
#[derive(Debug, Serialize)]
struct Report {
    tables: Vec<TableReport>,
}

#[derive(Debug, Serialize)]
struct TableReport {
    /// The table's name, as CODING spells it.
    name: &'static str,
    /// What the target calls it.
    target: String,
    /// The columns of the primary key.
    key: Vec<String>,
    /// Rows by project.
    rows: BTreeMap<String, u64>,
    columns: Columns,
    /// Fields that only look-ups show: with `details: off` they are unset in either mode.
    detailed: Vec<&'static str>,
    /// Whether its rows are the hook's deliveries.
    from_hooks: bool,
}

/// The columns in each mode.
#[derive(Debug, Default, Serialize)]
struct Columns {
    document: Vec<ColumnReport>,
    flat: Vec<ColumnReport>,
}

/// Discovers the source of a file's pipeline.
///
/// # Errors
/// A configuration that is wrong; a source that does not answer.
pub(crate) async fn run(args: &FileArgs) -> Result<Done, Failure> {
    let pipeline = load_one(&args.file)?;
    let look = Look::open(&pipeline).await?;
    let result = discover(&pipeline, &look).await;
    look.source.close().await;
    let report = result?;
    if args.json {
        exit::print_json(&report)?
    } else {
        exit::print(&text(&report, pipeline.task.mode.into()))?
    }
    Ok(Done::All)
}

async fn discover(pipeline: &Pipeline, look: &Look) -> Result<Report, Failure> {
    let projects = look.projects().await?;
    let custom = look.custom_fields(&projects).await?;
    let stored = stored_or_new(pipeline).await;
    let [document, flat] = [Mode::Document, Mode::Flat].map(|mode| shaper(pipeline, mode, &custom, &stored));
    let mut tables = Vec::new();
    // Both have the source's tables, in its order.
    for ((table, document), flat) in look.source.tables().iter().zip(document.tables()).zip(flat.tables()) {
        let mut rows = BTreeMap::new();
        for project in &projects {
            // What deliveries make is not there to be counted.
            if !table.from_inbox {
                rows.insert(project.name.clone(), rows_of(&look.source, project, table).await?);
            }
        }
        let columns = |columns: &[engine::target::Column]| columns.iter().map(ColumnReport::from).collect();
        let key = document.columns.iter().take(document.key_columns);
        tables.push(TableReport {
            name: table.name,
            target: document.name.clone(),
            key: key.map(|column| column.name.clone()).collect(),
            rows,
            columns: Columns { document: columns(&document.columns), flat: columns(&flat.columns) },
            detailed: detailed(table),
            from_hooks: table.from_inbox,
        });
    }
    Ok(Report { tables })
}

fn detailed(table: &Table) -> Vec<&'static str> {
    table.fields.iter().filter(|field| field.shape == Shape::Detail).map(|field| field.name).collect()
}

/// How many rows there are: by the source's own total, or counted where it gives none.
async fn rows_of(source: &impl Source, project: &Project, table: &'static Table) -> Result<u64, Failure> {
    let mut pages = std::pin::pin!(source.list(project, table, Order::Stable { skip: 0 }, Urgency::Poll));
    let mut rows = 0_u64;
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| error.problem)?;
        if let Some(total) = page.total {
            return Ok(total);
        }
        rows = rows.saturating_add(u64::try_from(page.rows.len()).unwrap_or(u64::MAX));
    }
    Ok(rows)
}

/// The pipeline's own mode comes first.
fn text(report: &Report, own: Mode) -> String {
    let mut lines = Vec::new();
    for table in &report.tables {
        let rows = match table.from_hooks {
            true => "a row for each delivery of the hook".to_owned(),
            false => plural(table.rows.values().sum(), "row"),
        };
        lines.push(format!("{} ({rows}), table {}, key {}", table.name, table.target, table.key.join(", ")));
        for (project, rows) in &table.rows {
            lines.push(format!("  {project}: {}", count(*rows)));
        }
        if !table.detailed.is_empty() {
            lines.push(format!("  with details only: {}", table.detailed.join(", ")));
        }
        let document = ("document", &table.columns.document);
        let flat = ("flat", &table.columns.flat);
        for (mode, columns) in if own == Mode::Flat { [flat, document] } else { [document, flat] } {
            lines.push(format!("  {mode} mode:"));
            for ColumnReport { name, r#type, field_id, field_name } in columns {
                let custom = field_id.zip(field_name.as_ref());
                let custom = custom.map(|(id, name)| format!("  (custom field {id}, {name})"));
                lines.push(format!("    {name:24} {type}{}", custom.unwrap_or_default()));
            }
        }
        lines.push(String::new());
    }
    lines.join("\n").trim_end().to_owned()
}
