//! `tributary discover`: which tables and columns the source has, and how many rows.

use std::collections::BTreeMap;

use engine::schema::{Kind, Shape, Table};
use engine::source::{Order, Project, Source, Urgency};
use futures::StreamExt;
use serde::Serialize;

use super::load_one;
use super::look::Look;
use crate::cli::FileArgs;
use crate::exit::{self, Done, Failure};
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
    /// The columns of the primary key.
    key: [&'static str; 3],
    columns: Vec<ColumnReport>,
    /// Rows by project.
    rows: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize)]
struct ColumnReport {
    name: &'static str,
    r#type: &'static str,
    /// Whether listings show it, or only look-ups (`details`).
    seen: &'static str,
}

/// Discovers the source of a file's pipeline.
///
/// # Errors
/// A configuration that is wrong; a source that does not answer.
pub(crate) async fn run(args: &FileArgs) -> Result<Done, Failure> {
    let pipeline = load_one(&args.file)?;
    let look = Look::open(&pipeline)?;
    let result = discover(&look).await;
    look.source.close().await;
    let report = result?;
    if args.json {
        exit::print_json(&report)?
    } else {
        exit::print(&text(&report))?
    }
    Ok(Done::All)
}

async fn discover(look: &Look) -> Result<Report, Failure> {
    let projects = look.projects().await?;
    let mut tables = Vec::new();
    for table in look.source.tables() {
        let mut rows = BTreeMap::new();
        for project in &projects {
            rows.insert(project.name.clone(), rows_of(&look.source, project, table).await?);
        }
        let key = ["TeamName", "ProjectName", table.key_field];
        tables.push(TableReport { name: table.name, key, columns: columns(table), rows });
    }
    Ok(Report { tables })
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

fn columns(table: &Table) -> Vec<ColumnReport> {
    table
        .fields
        .iter()
        .map(|field| ColumnReport {
            name: field.name,
            r#type: match field.kind {
                Kind::Text => "text",
                Kind::Integer => "integer",
                Kind::Real => "real",
                Kind::Boolean => "boolean",
                Kind::Json => "json",
                Kind::Timestamp => "timestamp",
                Kind::Date => "date",
            },
            seen: match field.shape {
                Shape::Listed | Shape::Both => "listings",
                Shape::Detail => "details",
            },
        })
        .collect()
}

fn text(report: &Report) -> String {
    let mut lines = Vec::new();
    for table in &report.tables {
        let total = table.rows.values().sum();
        lines.push(format!("{} ({}), key {}", table.name, plural(total, "row"), table.key.join(", ")));
        for (project, rows) in &table.rows {
            lines.push(format!("  {project}: {}", count(*rows)));
        }
        for column in &table.columns {
            let seen = if column.seen == "details" { "  (with details)" } else { "" };
            lines.push(format!("    {:24} {}{seen}", column.name, column.r#type));
        }
        lines.push(String::new());
    }
    lines.join("\n").trim_end().to_owned()
}
