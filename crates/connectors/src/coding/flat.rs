//! The columns of CODING's tables in flat mode: one scalar each, under the names of document mode where both say
//! the same.
//!
//! `StartAt` and `DueDate` and their like are days: CODING has them as the first or last moment of the day at
//! UTC+8. Of the ids, zero is none; of hours, points of an issue and times too; of counts it is a number.

use engine::schema::{FlatColumn, Kind, Path, Take};

const fn column(name: &'static str, kind: Kind, from: &'static [Path]) -> FlatColumn {
    FlatColumn { name, kind, take: Take::First(from), zero: false }
}

/// A number of which zero is one too.
const fn number(name: &'static str, kind: Kind, from: &'static [Path]) -> FlatColumn {
    FlatColumn { name, kind, take: Take::First(from), zero: true }
}

/// `key` of the objects of a list.
const fn joined(name: &'static str, list: &'static str, key: &'static str) -> FlatColumn {
    FlatColumn { name, kind: Kind::Text, take: Take::Joined { list, key }, zero: false }
}

/// The name of the person whose id stands at `id`.
const fn named(name: &'static str, id: &'static [Path], within: &'static [&'static str]) -> FlatColumn {
    FlatColumn {
        name,
        kind: Kind::Text,
        take: Take::Named { by: "Id", id, within, key: "Name" },
        zero: false,
    }
}

/// `key` of the parent. The issue's own `ParentType` will not do: without a parent it is the issue's own type.
const fn parent(name: &'static str, key: &'static str) -> FlatColumn {
    let take = Take::Named { by: "Code", id: PARENT, within: &["Parent"], key };
    FlatColumn { name, kind: Kind::Text, take, zero: false }
}

/// What CODING's English pages call the priorities 0 to 3.
const PRIORITIES: &[&str] = &["Low", "Medium", "High", "Urgent"];

const ASSIGNEE: &[Path] = &[&["AssigneeId"], &["Assignee", "Id"]];
const CREATOR: &[Path] = &[&["CreatorId"], &["Creator", "Id"]];
const PARENT: &[Path] = &[&["ParentCode"], &["Parent", "Code"]];

/// Issues; custom fields follow.
pub(super) const ISSUES: &[FlatColumn] = &[
    column("Type", Kind::Text, &[&["Type"]]),
    column("Name", Kind::Text, &[&["Name"]]),
    column("Description", Kind::Text, &[&["Description"]]),
    column("IssueTypeId", Kind::Integer, &[&["IssueTypeId"], &["IssueTypeDetail", "Id"]]),
    column("IssueTypeName", Kind::Text, &[&["IssueTypeDetail", "Name"]]),
    column("IssueStatusId", Kind::Integer, &[&["IssueStatusId"]]),
    column("IssueStatusName", Kind::Text, &[&["IssueStatusName"]]),
    column("IssueStatusType", Kind::Text, &[&["IssueStatusType"]]),
    number("Priority", Kind::Integer, &[&["Priority"]]),
    FlatColumn {
        name: "PriorityName",
        kind: Kind::Text,
        take: Take::Word(&["Priority"], PRIORITIES),
        zero: true,
    },
    column("AssigneeId", Kind::Integer, ASSIGNEE),
    named("AssigneeName", ASSIGNEE, &["Assignee", "Assignees"]),
    joined("Assignees", "Assignees", "Name"),
    column("CreatorId", Kind::Integer, CREATOR),
    named("CreatorName", CREATOR, &["Creator"]),
    joined("Watchers", "Watchers", "Name"),
    column("IterationId", Kind::Integer, &[&["IterationId"], &["Iteration", "Id"]]),
    column("IterationCode", Kind::Integer, &[&["Iteration", "Code"]]),
    column("IterationName", Kind::Text, &[&["Iteration", "Name"]]),
    column("IterationStatus", Kind::Text, &[&["Iteration", "Status"]]),
    column("ParentId", Kind::Integer, &[&["ParentId"]]),
    column("ParentCode", Kind::Integer, PARENT),
    parent("ParentType", "Type"),
    parent("ParentName", "Name"),
    column("EpicCode", Kind::Integer, &[&["Epic", "Code"]]),
    column("EpicName", Kind::Text, &[&["Epic", "Name"]]),
    joined("SubTasks", "SubTasks", "Name"),
    joined("SubTaskCodes", "SubTasks", "Code"),
    column("StartDate", Kind::Date, &[&["StartDate"]]),
    column("DueDate", Kind::Date, &[&["DueDate"]]),
    column("WorkingHours", Kind::Real, &[&["WorkingHours"]]),
    number("StoryPoint", Kind::Real, &[&["StoryPoint"]]),
    column("CreatedAt", Kind::Timestamp, &[&["CreatedAt"]]),
    column("UpdatedAt", Kind::Timestamp, &[&["UpdatedAt"]]),
    column("CompletedAt", Kind::Timestamp, &[&["CompletedAt"]]),
    joined("Labels", "Labels", "Name"),
    column("ProjectModuleId", Kind::Integer, &[&["ProjectModule", "Id"]]),
    column("ProjectModuleName", Kind::Text, &[&["ProjectModule", "Name"]]),
    column("RequirementTypeId", Kind::Integer, &[&["RequirementType", "Id"]]),
    column("RequirementTypeName", Kind::Text, &[&["RequirementType", "Name"]]),
    column("DefectTypeId", Kind::Integer, &[&["DefectType", "Id"]]),
    column("DefectTypeName", Kind::Text, &[&["DefectType", "Name"]]),
    joined("Files", "Files", "Name"),
    joined("ThirdLinks", "ThirdLinks", "Title"),
];

/// Iterations.
pub(super) const ITERATIONS: &[FlatColumn] = &[
    column("Id", Kind::Integer, &[&["Id"]]),
    column("Name", Kind::Text, &[&["Name"]]),
    column("Goal", Kind::Text, &[&["Goal"]]),
    column("Status", Kind::Text, &[&["Status"]]),
    column("StartAt", Kind::Date, &[&["StartAt"]]),
    column("EndAt", Kind::Date, &[&["EndAt"]]),
    column("AssigneeId", Kind::Integer, &[&["Assignee"]]),
    column("CreatorId", Kind::Integer, &[&["Creator"]]),
    column("StarterId", Kind::Integer, &[&["Starter"]]),
    column("CompleterId", Kind::Integer, &[&["Completer"]]),
    column("DeleterId", Kind::Integer, &[&["Deleter"]]),
    number("WaitProcessCount", Kind::Integer, &[&["WaitProcessCount"]]),
    number("ProcessingCount", Kind::Integer, &[&["ProcessingCount"]]),
    number("CompletedCount", Kind::Integer, &[&["CompletedCount"]]),
    number("CompletedPercent", Kind::Real, &[&["CompletedPercent"]]),
    number("CompletedStoryPoint", Kind::Real, &[&["CompletedStoryPoint"]]),
    number("AllStoryPoint", Kind::Real, &[&["AllStoryPoint"]]),
    number("TodoStoryPoint", Kind::Real, &[&["TodoStoryPoint"]]),
    number("ProcessStoryPoint", Kind::Real, &[&["ProcessStoryPoint"]]),
    column("CreatedAt", Kind::Timestamp, &[&["CreatedAt"]]),
    column("UpdatedAt", Kind::Timestamp, &[&["UpdatedAt"]]),
];

/// Members of a project.
pub(super) const PROJECT_MEMBERS: &[FlatColumn] = &[
    column("Name", Kind::Text, &[&["Name"]]),
    column("NamePinYin", Kind::Text, &[&["NamePinYin"]]),
    column("GlobalKey", Kind::Text, &[&["GlobalKey"]]),
    number("Status", Kind::Integer, &[&["Status"]]),
    column("Email", Kind::Text, &[&["Email"]]),
    number("EmailValidation", Kind::Boolean, &[&["EmailValidation"]]),
    column("Phone", Kind::Text, &[&["Phone"]]),
    number("PhoneValidation", Kind::Boolean, &[&["PhoneValidation"]]),
    column("Avatar", Kind::Text, &[&["Avatar"]]),
    column("TeamId", Kind::Integer, &[&["TeamId"]]),
    joined("Roles", "Roles", "RoleTypeName"),
    column("UniqueExtField", Kind::Text, &[&["UniqueExtField"]]),
    column("DepartmentMemberId", Kind::Integer, &[&["DepartmentMember", "RefId"]]),
    column("DepartmentMemberName", Kind::Text, &[&["DepartmentMember", "ThirdPartyName"]]),
];

/// Deliveries, without their payload: it is nested, whatever the event.
pub(super) const EVENTS: &[FlatColumn] = &[
    column("DeliveryId", Kind::Text, &[&["DeliveryId"]]),
    column("Event", Kind::Text, &[&["Event"]]),
    column("EventName", Kind::Text, &[&["EventName"]]),
    column("Entity", Kind::Text, &[&["Entity"]]),
    column("EntityType", Kind::Text, &[&["EntityType"]]),
    column("EntityId", Kind::Integer, &[&["EntityId"]]),
    column("SenderId", Kind::Integer, &[&["SenderId"]]),
    column("Sender", Kind::Text, &[&["Sender"]]),
    column("EventAt", Kind::Timestamp, &[&["EventAt"]]),
    column("ReceivedAt", Kind::Timestamp, &[&["ReceivedAt"]]),
];
