//! The whole of a pipeline file as a user writes it. Field docs are written for users: they are the help of the
//! schema. What a value means is settled in [`super::task`] and by the connectors.

use std::path::PathBuf;

use clap::ValueEnum;
use connectors::coding::config::CodingConfig;
use connectors::postgres::config::PostgresConfig;
use connectors::sqlite::config::SqliteConfig;
use schemars::JsonSchema;
use serde::Deserialize;

/// A pipeline: where rows come from, what is wanted of them, where they go.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PipelineConfig {
    /// Name of the task; without it the file's name without its ending.
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// Where rows come from.
    #[serde(default)]
    #[schemars(with = "CodingConfig")]
    pub(crate) source: Option<CodingConfig>,
    /// What is wanted of them.
    #[serde(default)]
    pub(crate) task: TaskConfig,
    /// Where they go.
    #[serde(default)]
    #[schemars(with = "TargetConfig")]
    pub(crate) target: Option<TargetConfig>,
    /// A directory for the journal and what tributary remembers.
    #[serde(default = "default_state")]
    pub(crate) state: PathBuf,
    /// How long the journal keeps changes, and that rows were deleted.
    #[serde(default = "default_retention")]
    pub(crate) retention: String,
}

fn default_state() -> PathBuf {
    PathBuf::from("coding.state")
}

fn default_retention() -> String {
    "7d".to_owned()
}

/// Where rows go: one of the targets.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum TargetConfig {
    /// A SQLite file.
    Sqlite(SqliteConfig),
    /// A schema of a PostgreSQL database.
    Postgres(PostgresConfig),
}

/// What is wanted of the source's rows.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TaskConfig {
    /// The tables to keep.
    pub(crate) tables: Vec<TableName>,
    /// Issues of these types alone: `DEFECT`, `REQUIREMENT`, `MISSION`, `EPIC`, `SUB_TASK`, or a type of your
    /// own by name or id. `[ALL]` = every type.
    pub(crate) issue_types: Vec<TypeName>,
    /// Issues and iterations of these iteration codes alone; empty = all.
    pub(crate) iterations: Vec<i64>,
    /// `document` keeps rows as the API gives them, nested values as JSON; `flat` makes scalar columns of them,
    /// custom fields included.
    pub(crate) mode: Mode,
    /// How tables and columns are named.
    pub(crate) naming: Naming,
    /// What happens in the target to a row that is deleted at the source.
    pub(crate) deletes: Deletes,
}

impl Default for TaskConfig {
    fn default() -> TaskConfig {
        TaskConfig {
            tables: vec![TableName::Issues, TableName::Iterations, TableName::ProjectMembers],
            issue_types: vec![TypeName("ALL".to_owned())],
            iterations: Vec::new(),
            mode: Mode::default(),
            naming: Naming::default(),
            deletes: Deletes::default(),
        }
    }
}

/// A table of CODING.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum TableName {
    /// Requirements, tasks, defects, epics and sub-tasks.
    Issues,
    /// Iterations.
    Iterations,
    /// Members of projects, with their roles.
    ProjectMembers,
    /// Deliveries of CODING's Service Hook, one row each: with `incremental: webhook` or `hybrid`.
    Events,
}

impl TableName {
    /// The name as CODING spells it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            TableName::Issues => "Issues",
            TableName::Iterations => "Iterations",
            TableName::ProjectMembers => "ProjectMembers",
            TableName::Events => "Events",
        }
    }
}

/// An issue type by name or id; in the file a text or a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TypeName(pub(crate) String);

impl<'de> Deserialize<'de> for TypeName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<TypeName, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(name) => Ok(TypeName(name)),
            serde_json::Value::Number(id) => Ok(TypeName(id.to_string())),
            _ => Err(serde::de::Error::custom("an issue type is a text or a number")),
        }
    }
}

impl JsonSchema for TypeName {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TypeName".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": ["string", "integer"] })
    }
}

/// In which form rows are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// One column per top-level field, nested values as JSON.
    #[default]
    Document,
    /// Scalar columns only, for SQL and sheets: custom fields as columns, unset values as NULL.
    Flat,
}

/// How tables and columns are named.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Naming {
    /// `project_members`, `issue_status_name`.
    #[default]
    SnakeCase,
    /// `ProjectMembers`, `IssueStatusName`.
    Original,
}

/// What happens in the target to a row that is deleted at the source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Deletes {
    /// It is deleted.
    #[default]
    Hard,
    /// It stays, with the time in `_deleted_at`.
    Soft,
}
