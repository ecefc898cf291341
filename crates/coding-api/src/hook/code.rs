//! The event codes of the Service Hook, and what each is about.

/// Every event code that is documented or was seen, with what it is about. `DescribeEvents` says which of them
/// a team really offers.
pub static EVENTS: &[(&str, Group)] = &[
    ("ITERATION_CREATED", Group::Iteration),
    ("ITERATION_DELETED", Group::Iteration),
    ("ITERATION_UPDATED", Group::Iteration),
    ("ITERATION_PLANNED", Group::Iteration),
    ("ISSUE_CREATED", Group::Issue),
    ("ISSUE_DELETED", Group::Issue),
    ("ISSUE_UPDATED", Group::Issue),
    ("ISSUE_STATUS_UPDATED", Group::Issue),
    ("ISSUE_ASSIGNEE_CHANGED", Group::Issue),
    ("ISSUE_ITERATION_CHANGED", Group::Issue),
    ("ISSUE_RELATIONSHIP_CHANGED", Group::Issue),
    ("ISSUE_COMMENT_CREATED", Group::Issue),
    ("ISSUE_HOUR_RECORD_UPDATED", Group::Issue),
    ("GIT_PUSHED", Group::Code),
    ("GIT_MR_CREATED", Group::MergeRequest),
    ("GIT_MR_UPDATED", Group::MergeRequest),
    ("GIT_MR_MERGED", Group::MergeRequest),
    ("GIT_MR_CLOSED", Group::MergeRequest),
    ("GIT_MR_NOTE", Group::MergeRequest),
    ("CI_JOB_CREATED", Group::Build),
    ("CI_JOB_UPDATED", Group::Build),
    ("CI_JOB_DELETED", Group::Build),
    ("CI_JOB_STARTED", Group::Build),
    ("CI_JOB_FINISHED", Group::Build),
    ("MEMBER_CREATED", Group::Member),
    ("MEMBER_DELETED", Group::Member),
    ("MEMBER_ROLE_UPDATED", Group::Member),
    ("ARTIFACTS_VERSION_CREATED", Group::Artifact),
    ("ARTIFACTS_VERSION_UPDATED", Group::Artifact),
    ("ARTIFACTS_VERSION_DOWNLOADED", Group::Artifact),
    ("ARTIFACTS_VERSION_DELETED", Group::Artifact),
    ("ARTIFACTS_VERSION_RELEASED", Group::Artifact),
    ("ARTIFACTS_VERSION_DOWNLOAD_FORBIDDEN", Group::Artifact),
    ("ARTIFACTS_VERSION_DOWNLOAD_ALLOWED", Group::Artifact),
    ("ARTIFACTS_VERSION_DOWNLOAD_BLOCKED", Group::Artifact),
    ("ARTIFACTS_REPO_CREATED", Group::Artifact),
    ("ARTIFACTS_REPO_UPDATED", Group::Artifact),
    ("ARTIFACTS_REPO_DELETED", Group::Artifact),
    ("WIKI_CREATED", Group::Wiki),
    ("WIKI_UPDATED", Group::Wiki),
    ("WIKI_MOVED", Group::Wiki),
    ("WIKI_SHARE_UPDATED", Group::Wiki),
    ("WIKI_ACCESS_UPDATED", Group::Wiki),
    ("WIKI_COPIED", Group::Wiki),
    ("WIKI_MOVED_TO_RECYCLE_BIN", Group::Wiki),
    ("WIKI_RESTORED_FROM_RECYCLE_BIN", Group::Wiki),
    ("WIKI_DELETED", Group::Wiki),
    ("FILE_CREATED", Group::File),
    ("FILE_UPDATED", Group::File),
    ("FILE_RENAMED", Group::File),
    ("FILE_SHARE_UPDATED", Group::File),
    ("FILE_MOVED", Group::File),
    ("FILE_COPIED", Group::File),
    ("FILE_MOVED_TO_RECYCLE_BIN", Group::File),
    ("FILE_RESTORED_FROM_RECYCLE_BIN", Group::File),
    ("FILE_DELETED", Group::File),
    ("TEST_PLAN_CREATED", Group::Other),
    ("TEST_PLAN_UPDATED", Group::Other),
    ("TEST_PLAN_FINISHED", Group::Other),
    ("TEST_TASK_ASSIGNED", Group::Other),
    ("TEST_REPORT_CREATED", Group::Other),
    ("FLEXIBLE_TESTX_REVIEW_CREATED", Group::Other),
    ("FLEXIBLE_TESTX_REVIEW_COMMENTED", Group::Other),
    ("FLEXIBLE_TESTX_REVIEW_UPDATED", Group::Other),
    ("FLEXIBLE_TESTX_REVIEW_COMPLETED", Group::Other),
    ("FLEXIBLE_TESTX_PLAN_CREATED", Group::Other),
    ("FLEXIBLE_TESTX_PLAN_TASK_ASSIGNED", Group::Other),
    ("FLEXIBLE_TESTX_PLAN_UPDATED", Group::Other),
    ("FLEXIBLE_TESTX_PLAN_FINISHED", Group::Other),
    ("FLEXIBLE_TESTX_REPORT_CREATED", Group::Other),
    ("CODE_DOG_CREATE_JOB", Group::Other),
    ("CODE_DOG_RESULT_NOTIFY", Group::Other),
    ("PLAN_CREATED", Group::Other),
    ("PLAN_DELETED", Group::Other),
    ("PLAN_COMMENT_CREATED", Group::Other),
    // The vendor's own spelling.
    ("PLAN_STATUE_CHANGED", Group::Other),
    ("PLAN_ASSIGNEE_CHANGED", Group::Other),
    ("PLAN_UPDATED", Group::Other),
    ("RISK_CREATED", Group::Other),
    ("RISK_DELETED", Group::Other),
    ("RISK_COMMENT_CREATED", Group::Other),
    ("RISK_STATUS_CHANGED", Group::Other),
    ("RISK_ASSIGNEE_CHANGED", Group::Other),
    ("RISK_UPDATED", Group::Other),
    ("PING", Group::Ping),
];

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Group {
    /// An issue: its fields, comments, work logs, relations.
    Issue,
    /// An iteration, or what is planned into it.
    Iteration,
    /// A member of the project.
    Member,
    /// A push.
    Code,
    /// A merge request.
    MergeRequest,
    /// A build or its plan.
    Build,
    /// An artifact or its repository.
    Artifact,
    /// A wiki page.
    Wiki,
    /// A file.
    File,
    /// The test button, nothing happened.
    Ping,
    /// Testing, plans, risks, and codes that nobody has heard of yet.
    Other,
}

impl Group {
    /// What an event with this code is about. New codes of a known family belong to that family.
    #[must_use]
    pub fn of(code: &str) -> Self {
        const FAMILIES: [(&str, Group); 9] = [
            ("ISSUE_", Group::Issue),
            ("ITERATION_", Group::Iteration),
            ("MEMBER_", Group::Member),
            ("GIT_MR_", Group::MergeRequest),
            ("GIT_", Group::Code),
            ("CI_", Group::Build),
            ("ARTIFACTS_", Group::Artifact),
            ("WIKI_", Group::Wiki),
            ("FILE_", Group::File),
        ];
        if code == "PING" {
            return Self::Ping;
        }
        let family = FAMILIES.iter().find(|(prefix, _)| code.starts_with(prefix));
        family.map_or(Self::Other, |(_, group)| *group)
    }
}

#[cfg(test)]
mod tests {
    use super::{EVENTS, Group};

    #[test]
    fn every_known_code_stands_once_and_in_its_group() {
        for (at, (code, group)) in EVENTS.iter().enumerate() {
            assert_eq!(Group::of(code), *group, "{code}");
            assert!(!EVENTS[..at].iter().any(|(other, _)| other == code), "{code} stands twice");
        }
        assert_eq!(Group::of("ISSUE_TELEPORTED"), Group::Issue);
        assert_eq!(Group::of("GIT_TAGGED"), Group::Code);
        assert_eq!(Group::of("issue_updated"), Group::Other);
    }
}
