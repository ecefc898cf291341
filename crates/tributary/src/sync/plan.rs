//! From what a pipeline wishes to what a capture reads and a delivery does: projects, tables, form.

use connectors::coding::config::{Details, Projects};
use engine::capture::Projects as CaptureProjects;
use engine::delivery::filter::Filter;
use engine::delivery::shape::{Deletes as ShapeDeletes, Mode as ShapeMode, Naming as ShapeNaming, Task};
use engine::schema::Table;

use crate::pipeline::Pipeline;
use crate::pipeline::config::{Deletes, Mode, Naming};

impl From<Mode> for ShapeMode {
    fn from(mode: Mode) -> ShapeMode {
        match mode {
            Mode::Document => ShapeMode::Document,
            Mode::Flat => ShapeMode::Flat,
        }
    }
}

/// The projects that a pipeline's source is read of.
pub(crate) fn projects(pipeline: &Pipeline) -> CaptureProjects {
    match &pipeline.source.projects {
        Projects::All => CaptureProjects::All,
        Projects::AllBut(names) => CaptureProjects::AllBut(names.clone()),
        Projects::Named(names) => CaptureProjects::Named(names.clone()),
    }
}

/// The tables that any of the pipelines wants, in the source's order.
pub(crate) fn tables<'a>(
    pipelines: impl Iterator<Item = &'a Pipeline>,
    offered: &'static [Table],
) -> Vec<&'static Table> {
    let wanted: Vec<&str> = pipelines.flat_map(|p| &p.task.tables).map(|table| table.as_str()).collect();
    offered.iter().filter(|table| wanted.contains(&table.name)).collect()
}

/// What the delivery of a pipeline does.
pub(crate) fn task(
    pipeline: &Pipeline,
    offered: &'static [Table],
    filter: Filter,
    accept_deletes: bool,
) -> Task {
    Task {
        name: pipeline.name.clone(),
        team: pipeline.source.team.clone(),
        tables: tables(std::iter::once(pipeline), offered),
        filter,
        mode: pipeline.task.mode.into(),
        naming: match pipeline.task.naming {
            Naming::SnakeCase => ShapeNaming::SnakeCase,
            Naming::Original => ShapeNaming::Original,
        },
        deletes: match pipeline.task.deletes {
            Deletes::Hard => ShapeDeletes::Hard,
            Deletes::Soft => ShapeDeletes::Soft,
        },
        listed_only: pipeline.source.details == Details::Off,
        accept_deletes,
    }
}
