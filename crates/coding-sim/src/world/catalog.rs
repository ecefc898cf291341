//! What all projects of the team share and nobody changes: issue types, statuses, roles, sub-types.

use serde::Serialize;

/// The type of an issue as the API spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Epic,
    Requirement,
    Mission,
    Defect,
    SubTask,
}

impl Kind {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Epic => "EPIC",
            Self::Requirement => "REQUIREMENT",
            Self::Mission => "MISSION",
            Self::Defect => "DEFECT",
            Self::SubTask => "SUB_TASK",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Epic, Self::Requirement, Self::Mission, Self::Defect, Self::SubTask]
            .into_iter()
            .find(|kind| kind.as_str() == text.trim())
    }
}

/// How far a status is: the three that the API tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    Todo,
    Processing,
    Completed,
}

impl Phase {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Todo => "TODO",
            Self::Processing => "PROCESSING",
            Self::Completed => "COMPLETED",
        }
    }
}

/// An issue type of the team; `Requirement` and `Defect` have a custom one beside the system's.
#[derive(Debug)]
pub(crate) struct IssueType {
    pub(crate) id: u32,
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) description: &'static str,
    pub(crate) is_system: bool,
}

pub(crate) static ISSUE_TYPES: [IssueType; 7] = [
    IssueType {
        id: 31_001,
        name: "史诗",
        kind: Kind::Epic,
        description: "较大的目标，可拆成多个事项。",
        is_system: true,
    },
    IssueType {
        id: 31_002,
        name: "需求",
        kind: Kind::Requirement,
        description: "从用户角度描述的价值。",
        is_system: true,
    },
    IssueType {
        id: 31_003,
        name: "任务",
        kind: Kind::Mission,
        description: "为目标所做的具体工作。",
        is_system: true,
    },
    IssueType {
        id: 31_004,
        name: "缺陷",
        kind: Kind::Defect,
        description: "与预期不符的行为。",
        is_system: true,
    },
    IssueType {
        id: 31_005,
        name: "子工作项",
        kind: Kind::SubTask,
        description: "事项拆分出的小块。",
        is_system: true,
    },
    IssueType {
        id: 31_101,
        name: "技术需求 (tech)",
        kind: Kind::Requirement,
        description: "",
        is_system: false,
    },
    IssueType {
        id: 31_102,
        name: "线上故障",
        kind: Kind::Defect,
        description: "Found in \"production\"",
        is_system: false,
    },
];

/// The type with this id.
pub(crate) fn issue_type(id: u32) -> Option<&'static IssueType> {
    ISSUE_TYPES.iter().find(|entry| entry.id == id)
}

/// The system's own type of a kind.
pub(crate) fn system_type(kind: Kind) -> &'static IssueType {
    ISSUE_TYPES.iter().find(|entry| entry.kind == kind).unwrap_or(&ISSUE_TYPES[0])
}

/// A status of an issue.
#[derive(Debug)]
pub(crate) struct Status {
    pub(crate) id: u32,
    pub(crate) name: &'static str,
    pub(crate) phase: Phase,
}

pub(crate) static STATUSES: [Status; 6] = [
    Status { id: 52_001, name: "未开始", phase: Phase::Todo },
    Status { id: 52_002, name: "待评审", phase: Phase::Todo },
    Status { id: 52_003, name: "处理中", phase: Phase::Processing },
    Status { id: 52_004, name: "待验证 ✅?", phase: Phase::Processing },
    Status { id: 52_005, name: "已完成", phase: Phase::Completed },
    Status { id: 52_006, name: "已拒绝", phase: Phase::Completed },
];

/// The status with this id, the first one for an unknown id.
pub(crate) fn status(id: u32) -> &'static Status {
    STATUSES.iter().find(|entry| entry.id == id).unwrap_or(&STATUSES[0])
}

/// A small named thing: a requirement type, a defect type.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) id: u32,
    pub(crate) name: &'static str,
}

pub(crate) static REQUIREMENT_TYPES: [Named; 3] = [
    Named { id: 6_101, name: "功能需求" },
    Named { id: 6_102, name: "非功能需求" },
    Named { id: 6_103, name: "运营需求" },
];

pub(crate) static DEFECT_TYPES: [Named; 3] = [
    Named { id: 6_201, name: "功能缺陷" },
    Named { id: 6_202, name: "UI 界面问题" },
    Named { id: 6_203, name: "安全相关" },
];

/// A role, as the API answers it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Role {
    pub(crate) role_id: u32,
    pub(crate) role_type: &'static str,
    pub(crate) role_type_name: &'static str,
}

/// Roles that a member of a project may have.
pub(crate) static PROJECT_ROLES: [Role; 6] = [
    Role { role_id: 7_001, role_type: "ProjectAdmin", role_type_name: "项目管理员" },
    Role { role_id: 7_002, role_type: "ProjectMember", role_type_name: "开发" },
    Role { role_id: 7_003, role_type: "ProjectGuest", role_type_name: "测试" },
    Role { role_id: 7_004, role_type: "ProductManager", role_type_name: "产品" },
    Role { role_id: 7_005, role_type: "ProjectOperation", role_type_name: "运维" },
    Role { role_id: 7_006, role_type: "UserDefined", role_type_name: "外部顾问 \"β\"" },
];

/// Roles of a user in the team: owner first, then the ordinary one.
pub(crate) static TEAM_ROLES: [Role; 2] = [
    Role { role_id: 7_101, role_type: "EnterpriseOwner", role_type_name: "团队负责人" },
    Role { role_id: 7_102, role_type: "EnterpriseMember", role_type_name: "团队成员" },
];
