//! The tables of CODING, as the API's listings and look-ups show them, and the table that is made of deliveries.
//!
//! A field stands here when the reference of the API names it; anything else survives in `_extra`. Numbers of
//! tables are stored: never give one to another table.

use engine::schema::{CustomValues, Field, Kind, Shape, Table, TableId};

use super::flat;

/// Issues of all types, sub-tasks and epics included.
pub const ISSUES: TableId = TableId(1);
/// Iterations.
pub const ITERATIONS: TableId = TableId(2);
/// Members of a project, with their roles.
pub const PROJECT_MEMBERS: TableId = TableId(3);
/// Deliveries of the Service Hook, one row each, of whatever event.
pub const EVENTS: TableId = TableId(4);

const fn both(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, shape: Shape::Both }
}

const fn listed(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, shape: Shape::Listed }
}

const fn detail(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, shape: Shape::Detail }
}

/// All tables; those first whose rows others refer to.
pub static TABLES: [Table; 4] = [
    Table {
        id: PROJECT_MEMBERS,
        name: "ProjectMembers",
        key_field: "Id",
        fields: &[
            both("Name", Kind::Text),
            both("NamePinYin", Kind::Text),
            both("GlobalKey", Kind::Text),
            both("Status", Kind::Integer),
            both("Email", Kind::Text),
            both("EmailValidation", Kind::Integer),
            both("Phone", Kind::Text),
            both("PhoneValidation", Kind::Integer),
            both("Avatar", Kind::Text),
            both("TeamId", Kind::Integer),
            both("Roles", Kind::Json),
            both("UniqueExtField", Kind::Text),
            both("DepartmentMember", Kind::Json),
        ],
        updated_field: None,
        volatile: &[],
        project_copy: None,
        look_up: false,
        newest_first: false,
        from_inbox: false,
        project_id_column: true,
        flat: flat::PROJECT_MEMBERS,
        custom: None,
    },
    Table {
        id: ITERATIONS,
        name: "Iterations",
        key_field: "Code",
        fields: &[
            both("Id", Kind::Integer),
            both("Name", Kind::Text),
            both("Goal", Kind::Text),
            both("Status", Kind::Text),
            both("StartAt", Kind::Integer),
            both("EndAt", Kind::Integer),
            both("Assignee", Kind::Integer),
            both("Creator", Kind::Integer),
            both("Starter", Kind::Integer),
            both("Completer", Kind::Integer),
            both("Deleter", Kind::Integer),
            both("WaitProcessCount", Kind::Integer),
            both("ProcessingCount", Kind::Integer),
            both("CompletedCount", Kind::Integer),
            both("CompletedPercent", Kind::Real),
            both("CompletedStoryPoint", Kind::Real),
            both("AllStoryPoint", Kind::Real),
            both("TodoStoryPoint", Kind::Real),
            both("ProcessStoryPoint", Kind::Real),
            both("CreatedAt", Kind::Integer),
            both("UpdatedAt", Kind::Integer),
        ],
        // Counts change without it: it must not decide which of two observations is the newer one.
        updated_field: None,
        volatile: &[],
        project_copy: None,
        look_up: true,
        newest_first: false,
        from_inbox: false,
        project_id_column: true,
        flat: flat::ITERATIONS,
        custom: None,
    },
    Table {
        id: ISSUES,
        name: "Issues",
        key_field: "Code",
        fields: &[
            both("Type", Kind::Text),
            both("Name", Kind::Text),
            both("Description", Kind::Text),
            both("IssueTypeId", Kind::Integer),
            both("IssueTypeDetail", Kind::Json),
            both("IssueStatusId", Kind::Integer),
            both("IssueStatusName", Kind::Text),
            both("IssueStatusType", Kind::Text),
            both("Priority", Kind::Text),
            listed("AssigneeId", Kind::Integer),
            detail("Assignee", Kind::Json),
            both("Assignees", Kind::Json),
            listed("CreatorId", Kind::Integer),
            detail("Creator", Kind::Json),
            detail("Watchers", Kind::Json),
            both("IterationId", Kind::Integer),
            both("Iteration", Kind::Json),
            listed("ParentId", Kind::Integer),
            listed("ParentCode", Kind::Integer),
            both("ParentType", Kind::Text),
            detail("Parent", Kind::Json),
            detail("Epic", Kind::Json),
            detail("SubTasks", Kind::Json),
            both("StartDate", Kind::Integer),
            both("DueDate", Kind::Integer),
            both("WorkingHours", Kind::Real),
            both("StoryPoint", Kind::Text),
            both("CreatedAt", Kind::Integer),
            both("UpdatedAt", Kind::Integer),
            both("CompletedAt", Kind::Integer),
            both("Labels", Kind::Json),
            both("CustomFields", Kind::Json),
            detail("ProjectModule", Kind::Json),
            detail("RequirementType", Kind::Json),
            detail("DefectType", Kind::Json),
            detail("Files", Kind::Json),
            detail("ThirdLinks", Kind::Json),
            detail("Project", Kind::Json),
        ],
        updated_field: Some("UpdatedAt"),
        // URLs are signed for an hour, anew at every look.
        volatile: &[&["Files", "Url"], &["Project", "Name"]],
        project_copy: Some(("Project", "Name")),
        look_up: true,
        newest_first: true,
        from_inbox: false,
        project_id_column: false,
        flat: flat::ISSUES,
        custom: Some(CustomValues { list: "CustomFields", id: "Id", name: "Name", value: "ValueString" }),
    },
    Table {
        id: EVENTS,
        name: "Events",
        // The delivery's number, which only grows.
        key_field: "Id",
        fields: &[
            both("DeliveryId", Kind::Text),
            both("Event", Kind::Text),
            both("EventName", Kind::Text),
            both("Entity", Kind::Text),
            both("EntityType", Kind::Text),
            both("EntityId", Kind::Integer),
            both("SenderId", Kind::Integer),
            both("Sender", Kind::Text),
            both("EventAt", Kind::Integer),
            both("ReceivedAt", Kind::Integer),
            both("Payload", Kind::Json),
        ],
        updated_field: None,
        volatile: &[],
        project_copy: None,
        look_up: false,
        newest_first: false,
        from_inbox: true,
        project_id_column: true,
        flat: flat::EVENTS,
        custom: None,
    },
];
