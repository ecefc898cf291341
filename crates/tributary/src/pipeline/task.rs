//! The `task` part of a pipeline, validated: which rows, in which form.

use std::collections::BTreeSet;

use connectors::coding::config::Incremental;
use connectors::finding::Finding;

use super::config::{Deletes, Mode, Naming, TableName, TaskConfig};

/// A task's wishes, without contradictions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaskSettings {
    /// The tables, at least one, none twice, in the order of the file.
    pub(crate) tables: Vec<TableName>,
    /// Issue types by name or id; `None` = every type. That they exist is checked at the source.
    pub(crate) issue_types: Option<Vec<String>>,
    /// Iteration codes; `None` = all. That they exist is checked at the source.
    pub(crate) iterations: Option<BTreeSet<i64>>,
    pub(crate) mode: Mode,
    pub(crate) naming: Naming,
    pub(crate) deletes: Deletes,
}

const CONTRADICTION: &str = "CONFIG-CONTRADICTION";
const VALUE: &str = "CONFIG-VALUE";

/// What the wishes mean, or all that is wrong with them.
pub(crate) fn validate(config: &TaskConfig) -> Result<TaskSettings, Vec<Finding>> {
    let mut findings = Vec::new();
    tables(config, &mut findings);
    let issue_types = issue_types(config, &mut findings);
    let iterations = iterations(config, &mut findings);
    if !findings.is_empty() {
        return Err(findings);
    }
    Ok(TaskSettings {
        tables: config.tables.clone(),
        issue_types,
        iterations,
        mode: config.mode,
        naming: config.naming,
        deletes: config.deletes,
    })
}

/// Whether a table is chosen that only hooks fill, while there are none.
pub(crate) fn unfilled(config: &TaskConfig, incremental: Incremental) -> Option<Finding> {
    let index = config.tables.iter().position(|table| *table == TableName::Events)?;
    (!incremental.has_hooks()).then(|| {
        Finding::new(
            format!("task.tables[{index}]"),
            CONTRADICTION,
            "The table Events is chosen, but no hooks",
            "its rows are the deliveries of CODING's Service Hook, and `incremental: polling` receives none",
            "Write `incremental: hybrid` below `source`, or take `Events` out.",
        )
    })
}

fn tables(config: &TaskConfig, findings: &mut Vec<Finding>) {
    if config.tables.is_empty() {
        findings.push(Finding::new(
            "task.tables",
            VALUE,
            "No table is named",
            "the list is empty, so there is nothing to do",
            "Name at least one of Issues, Iterations, ProjectMembers and Events, or remove the key for the first three.",
        ));
    }
    for (index, table) in config.tables.iter().enumerate() {
        if config.tables.iter().take(index).any(|seen| seen == table) {
            findings.push(twice(format!("task.tables[{index}]"), table.as_str()));
        }
    }
}

fn issue_types(config: &TaskConfig, findings: &mut Vec<Finding>) -> Option<Vec<String>> {
    let names: Vec<&str> = config.issue_types.iter().map(|name| name.0.trim()).collect();
    if names.is_empty() {
        findings.push(Finding::new(
            "task.issue_types",
            VALUE,
            "No issue type is named",
            "the list is empty, so no issue would ever match",
            "Write `[ALL]` for every type, or name types.",
        ));
    }
    for (index, name) in names.iter().enumerate() {
        if name.is_empty() {
            findings.push(Finding::new(
                format!("task.issue_types[{index}]"),
                VALUE,
                "An issue type is empty",
                "it would match no issue",
                "Write its name or id, or take it out.",
            ));
        } else if names.iter().take(index).any(|seen| seen == name) {
            findings.push(twice(format!("task.issue_types[{index}]"), name));
        }
    }
    if names.contains(&"ALL") {
        if names.len() > 1 {
            findings.push(Finding::new(
                "task.issue_types",
                CONTRADICTION,
                "`ALL` stands beside other types",
                "it already means every type",
                "Write `[ALL]` alone, or name the types without it.",
            ));
        }
        return None;
    }
    if !names.is_empty() && !config.tables.contains(&TableName::Issues) {
        findings.push(Finding::new(
            "task.issue_types",
            CONTRADICTION,
            "Issue types are chosen, but not the table Issues",
            "the choice would have no effect",
            "Add `Issues` to `tables`, or take `issue_types` out.",
        ));
    }
    Some(names.into_iter().map(str::to_owned).collect())
}

fn iterations(config: &TaskConfig, findings: &mut Vec<Finding>) -> Option<BTreeSet<i64>> {
    for (index, code) in config.iterations.iter().enumerate() {
        let path = format!("task.iterations[{index}]");
        if *code < 1 {
            findings.push(Finding::new(
                path,
                VALUE,
                format!("{code} is no iteration code"),
                "codes count from 1",
                "Write the number that stands in the iteration's address.",
            ));
        } else if config.iterations.iter().take(index).any(|seen| seen == code) {
            findings.push(twice(path, &code.to_string()));
        }
    }
    if config.iterations.is_empty() {
        return None;
    }
    if !config.tables.iter().any(|table| matches!(table, TableName::Issues | TableName::Iterations)) {
        findings.push(Finding::new(
            "task.iterations",
            CONTRADICTION,
            "Iterations are chosen, but neither the table Issues nor the table Iterations",
            "the choice would have no effect",
            "Add one of them to `tables`, or take `iterations` out.",
        ));
    }
    Some(config.iterations.iter().copied().collect())
}

fn twice(path: String, name: &str) -> Finding {
    Finding::new(
        path,
        CONTRADICTION,
        format!("`{name}` is named twice"),
        "once is enough",
        "Take one of the two out.",
    )
}
