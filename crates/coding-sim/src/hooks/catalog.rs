//! The events that a Service Hook can be told to send: code, label, the older verb where it is known.

/// One event of the catalogue.
#[derive(Debug)]
pub(crate) struct EventKind {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    /// The body's `action`; recorded or documented for few events only.
    pub(crate) action: Option<&'static str>,
}

impl EventKind {
    const fn new(name: &'static str, label: &'static str) -> Self {
        Self { name, label, action: None }
    }

    const fn bare(name: &'static str) -> Self {
        Self::new(name, name)
    }

    const fn acting(name: &'static str, label: &'static str, action: &'static str) -> Self {
        Self { name, label, action: Some(action) }
    }

    /// The group and what it is called.
    pub(crate) fn group(&self) -> (&'static str, &'static str) {
        let prefix = self.name.split('_').next().unwrap_or_default();
        let label = GROUPS.iter().find(|(name, _)| *name == prefix).map_or(prefix, |(_, label)| label);
        (prefix, label)
    }
}

/// The event with this code.
pub(crate) fn event_kind(name: &str) -> Option<&'static EventKind> {
    EVENTS.iter().find(|event| event.name == name)
}

const GROUPS: [(&str, &str); 8] = [
    ("ITERATION", "迭代"),
    ("ISSUE", "事项"),
    ("GIT", "代码仓库"),
    ("CI", "持续集成"),
    ("MEMBER", "成员"),
    ("ARTIFACTS", "制品库"),
    ("WIKI", "Wiki"),
    ("FILE", "文件网盘"),
];

/// Every event, in the order in which they are offered.
pub(crate) static EVENTS: [EventKind; 84] = [
    EventKind::new("ITERATION_CREATED", "创建迭代"),
    EventKind::new("ITERATION_DELETED", "删除迭代"),
    EventKind::new("ITERATION_UPDATED", "更新迭代"),
    EventKind::new("ITERATION_PLANNED", "规划迭代"),
    EventKind::new("ISSUE_CREATED", "创建事项"),
    EventKind::new("ISSUE_DELETED", "删除事项"),
    EventKind::new("ISSUE_UPDATED", "更新事项信息"),
    EventKind::new("ISSUE_STATUS_UPDATED", "状态变更"),
    EventKind::new("ISSUE_ASSIGNEE_CHANGED", "分配处理人"),
    EventKind::new("ISSUE_ITERATION_CHANGED", "规划迭代"),
    EventKind::new("ISSUE_RELATIONSHIP_CHANGED", "关联关系变更"),
    EventKind::acting("ISSUE_COMMENT_CREATED", "增加评论", "comment"),
    EventKind::new("ISSUE_HOUR_RECORD_UPDATED", "更新工时信息"),
    EventKind::new("GIT_PUSHED", "代码推送"),
    EventKind::acting("GIT_MR_CREATED", "合并请求创建", "create"),
    EventKind::acting("GIT_MR_UPDATED", "合并请求更新", "synchronize"),
    EventKind::acting("GIT_MR_MERGED", "合并请求合并", "merge"),
    EventKind::new("GIT_MR_CLOSED", "合并请求关闭"),
    EventKind::new("GIT_MR_NOTE", "合并请求评论"),
    EventKind::new("CI_JOB_CREATED", "创建构建计划"),
    EventKind::acting("CI_JOB_UPDATED", "修改构建计划", "update_job"),
    EventKind::acting("CI_JOB_DELETED", "删除构建计划", "delete_job"),
    EventKind::acting("CI_JOB_STARTED", "启动构建计划", "trigger_build"),
    EventKind::acting("CI_JOB_FINISHED", "构建计划执行结束", "complete_build"),
    EventKind::acting("MEMBER_CREATED", "添加项目成员", "added"),
    EventKind::acting("MEMBER_DELETED", "移除项目成员", "deleted"),
    EventKind::new("MEMBER_ROLE_UPDATED", "更新项目成员用户组"),
    EventKind::acting("ARTIFACTS_VERSION_CREATED", "推送制品", "create"),
    EventKind::new("ARTIFACTS_VERSION_UPDATED", "更新制品"),
    EventKind::new("ARTIFACTS_VERSION_DOWNLOADED", "下载制品"),
    EventKind::new("ARTIFACTS_VERSION_DELETED", "删除制品"),
    EventKind::new("ARTIFACTS_VERSION_RELEASED", "发布制品"),
    EventKind::new("ARTIFACTS_VERSION_DOWNLOAD_FORBIDDEN", "禁止下载制品"),
    EventKind::new("ARTIFACTS_VERSION_DOWNLOAD_ALLOWED", "允许下载制品"),
    EventKind::new("ARTIFACTS_VERSION_DOWNLOAD_BLOCKED", "拦截下载制品"),
    EventKind::new("ARTIFACTS_REPO_CREATED", "创建制品仓库"),
    EventKind::new("ARTIFACTS_REPO_UPDATED", "更新制品仓库"),
    EventKind::new("ARTIFACTS_REPO_DELETED", "删除制品仓库"),
    EventKind::new("WIKI_CREATED", "文档新建"),
    EventKind::new("WIKI_UPDATED", "文档更新"),
    EventKind::new("WIKI_MOVED", "文档移动"),
    EventKind::new("WIKI_SHARE_UPDATED", "文档共享变更"),
    EventKind::new("WIKI_ACCESS_UPDATED", "文档权限变更"),
    EventKind::new("WIKI_COPIED", "文档复制"),
    EventKind::new("WIKI_MOVED_TO_RECYCLE_BIN", "文档移至回收站"),
    EventKind::new("WIKI_RESTORED_FROM_RECYCLE_BIN", "文档从回收站恢复"),
    EventKind::new("WIKI_DELETED", "文档彻底删除"),
    EventKind::new("FILE_CREATED", "文件新建"),
    EventKind::new("FILE_UPDATED", "文件更新"),
    EventKind::new("FILE_RENAMED", "文件 / 文件夹重命名"),
    EventKind::new("FILE_SHARE_UPDATED", "文件共享变更"),
    EventKind::new("FILE_MOVED", "文件 / 文件夹移动"),
    EventKind::new("FILE_COPIED", "文件 / 文件夹复制"),
    EventKind::new("FILE_MOVED_TO_RECYCLE_BIN", "文件 / 文件夹移至回收站"),
    EventKind::new("FILE_RESTORED_FROM_RECYCLE_BIN", "文件 / 文件夹从回收站恢复"),
    EventKind::new("FILE_DELETED", "文件 / 文件夹彻底删除"),
    // Only the vendor's list of values names the rest, without labels.
    EventKind::bare("TEST_PLAN_CREATED"),
    EventKind::bare("TEST_PLAN_UPDATED"),
    EventKind::bare("TEST_PLAN_FINISHED"),
    EventKind::bare("TEST_TASK_ASSIGNED"),
    EventKind::bare("TEST_REPORT_CREATED"),
    EventKind::bare("FLEXIBLE_TESTX_REVIEW_CREATED"),
    EventKind::bare("FLEXIBLE_TESTX_REVIEW_COMMENTED"),
    EventKind::bare("FLEXIBLE_TESTX_REVIEW_UPDATED"),
    EventKind::bare("FLEXIBLE_TESTX_REVIEW_COMPLETED"),
    EventKind::bare("FLEXIBLE_TESTX_PLAN_CREATED"),
    EventKind::bare("FLEXIBLE_TESTX_PLAN_TASK_ASSIGNED"),
    EventKind::bare("FLEXIBLE_TESTX_PLAN_UPDATED"),
    EventKind::bare("FLEXIBLE_TESTX_PLAN_FINISHED"),
    EventKind::bare("FLEXIBLE_TESTX_REPORT_CREATED"),
    EventKind::bare("CODE_DOG_CREATE_JOB"),
    EventKind::bare("CODE_DOG_RESULT_NOTIFY"),
    EventKind::bare("PLAN_CREATED"),
    EventKind::bare("PLAN_DELETED"),
    EventKind::bare("PLAN_COMMENT_CREATED"),
    EventKind::bare("PLAN_STATUE_CHANGED"),
    EventKind::bare("PLAN_ASSIGNEE_CHANGED"),
    EventKind::bare("PLAN_UPDATED"),
    EventKind::bare("RISK_CREATED"),
    EventKind::bare("RISK_DELETED"),
    EventKind::bare("RISK_COMMENT_CREATED"),
    EventKind::bare("RISK_STATUS_CHANGED"),
    EventKind::bare("RISK_ASSIGNEE_CHANGED"),
    EventKind::bare("RISK_UPDATED"),
];
