//! An issue as the server keeps it: ids of other things, never copies of them.

use crate::texts::Text;
use crate::world::catalog::{Kind, Phase, status};

/// One issue. Times in milliseconds, floored to the second; 0 = unset everywhere.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Issue {
    /// Database id, unique in the team; `ParentId` refers to it.
    pub(crate) id: u32,
    /// Public number, unique in the project.
    pub(crate) code: u32,
    pub(crate) kind: Kind,
    pub(crate) type_id: u32,
    pub(crate) status: u32,
    /// `"0"` low to `"3"` urgent, 4 = none.
    pub(crate) priority: u8,
    pub(crate) name: Text,
    pub(crate) description: Text,
    /// Code of the iteration.
    pub(crate) iteration: u32,
    pub(crate) assignee: u32,
    pub(crate) assignees: Box<[u32]>,
    pub(crate) creator: u32,
    pub(crate) start_date: i64,
    pub(crate) due_date: i64,
    pub(crate) working_hours: f64,
    pub(crate) story_point: Box<str>,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    pub(crate) completed_at: i64,
    /// Code of the parent.
    pub(crate) parent: u32,
    /// Code of the epic.
    pub(crate) epic: u32,
    pub(crate) module: u32,
    pub(crate) requirement_type: u32,
    pub(crate) defect_type: u32,
    pub(crate) labels: Box<[u32]>,
    pub(crate) watchers: Box<[u32]>,
    pub(crate) files: Box<[File]>,
    pub(crate) links: Box<[Link]>,
    pub(crate) custom: Box<[Custom]>,
}

impl Issue {
    /// The three-valued state of the issue.
    pub(crate) fn phase(&self) -> Phase {
        status(self.status).phase
    }

    /// True for what a list without `ShowSubIssues` leaves out.
    pub(crate) fn is_sub_issue(&self) -> bool {
        self.parent != 0 || self.kind == Kind::SubTask
    }

    /// The priority as the API spells it.
    pub(crate) const fn priority_text(&self) -> &'static str {
        match self.priority {
            0 => "0",
            1 => "1",
            2 => "2",
            3 => "3",
            _ => "",
        }
    }
}

/// A file attached to an issue.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct File {
    pub(crate) id: u32,
    pub(crate) name: Box<str>,
    pub(crate) size: u32,
    /// 1 text, 2 image, 3 binary, 4 SVG.
    pub(crate) kind: u8,
}

/// A link to another product.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Link {
    pub(crate) id: u32,
    pub(crate) link: Box<str>,
    pub(crate) third_type: Box<str>,
    pub(crate) title: Box<str>,
}

/// The value of a custom field. It stays when the field goes, and is shown nowhere then.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Custom {
    pub(crate) field: u32,
    pub(crate) value: Value,
}

/// What a custom field holds; the wire has it as text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// A plain string, also for numbers, dates and single choices; `""` = cleared.
    Plain(Box<str>),
    /// Several choices; a JSON array of strings on the wire.
    Choices(Box<[Box<str>]>),
    /// One user; a JSON object on the wire.
    Member(u32),
    /// Several users; a JSON array on the wire.
    Members(Box<[u32]>),
}
