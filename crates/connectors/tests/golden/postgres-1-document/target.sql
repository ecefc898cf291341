CREATE SCHEMA coding;


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: Issues; Type: TABLE; Schema: coding; Owner: -
--

CREATE TABLE coding."Issues" (
    "TeamName" text NOT NULL,
    "ProjectName" text NOT NULL,
    "Code" bigint NOT NULL,
    "Type" text,
    "Name" text,
    "Description" text,
    "IssueTypeId" bigint,
    "IssueTypeDetail" jsonb,
    "IssueStatusId" bigint,
    "IssueStatusName" text,
    "IssueStatusType" text,
    "Priority" text,
    "AssigneeId" bigint,
    "Assignee" jsonb,
    "Assignees" jsonb,
    "CreatorId" bigint,
    "Creator" jsonb,
    "Watchers" jsonb,
    "IterationId" bigint,
    "Iteration" jsonb,
    "ParentId" bigint,
    "ParentCode" bigint,
    "ParentType" text,
    "Parent" jsonb,
    "Epic" jsonb,
    "SubTasks" jsonb,
    "StartDate" bigint,
    "DueDate" bigint,
    "WorkingHours" double precision,
    "StoryPoint" text,
    "CreatedAt" bigint,
    "UpdatedAt" bigint,
    "CompletedAt" bigint,
    "Labels" jsonb,
    "CustomFields" jsonb,
    "ProjectModule" jsonb,
    "RequirementType" jsonb,
    "DefectType" jsonb,
    "Files" jsonb,
    "ThirdLinks" jsonb,
    "Project" jsonb,
    _observed_at timestamp with time zone,
    _synced_at timestamp with time zone,
    _detailed_at timestamp with time zone,
    _extra jsonb
);


--
-- Name: Iterations; Type: TABLE; Schema: coding; Owner: -
--

CREATE TABLE coding."Iterations" (
    "TeamName" text NOT NULL,
    "ProjectName" text NOT NULL,
    "Code" bigint NOT NULL,
    "ProjectId" bigint,
    "Id" bigint,
    "Name" text,
    "Goal" text,
    "Status" text,
    "StartAt" bigint,
    "EndAt" bigint,
    "Assignee" bigint,
    "Creator" bigint,
    "Starter" bigint,
    "Completer" bigint,
    "Deleter" bigint,
    "WaitProcessCount" bigint,
    "ProcessingCount" bigint,
    "CompletedCount" bigint,
    "CompletedPercent" double precision,
    "CompletedStoryPoint" double precision,
    "AllStoryPoint" double precision,
    "TodoStoryPoint" double precision,
    "ProcessStoryPoint" double precision,
    "CreatedAt" bigint,
    "UpdatedAt" bigint,
    _observed_at timestamp with time zone,
    _synced_at timestamp with time zone,
    _detailed_at timestamp with time zone,
    _extra jsonb
);


--
-- Name: ProjectMembers; Type: TABLE; Schema: coding; Owner: -
--

CREATE TABLE coding."ProjectMembers" (
    "TeamName" text NOT NULL,
    "ProjectName" text NOT NULL,
    "Id" bigint NOT NULL,
    "ProjectId" bigint,
    "Name" text,
    "NamePinYin" text,
    "GlobalKey" text,
    "Status" bigint,
    "Email" text,
    "EmailValidation" bigint,
    "Phone" text,
    "PhoneValidation" bigint,
    "Avatar" text,
    "TeamId" bigint,
    "Roles" jsonb,
    "UniqueExtField" text,
    "DepartmentMember" jsonb,
    _observed_at timestamp with time zone,
    _synced_at timestamp with time zone,
    _detailed_at timestamp with time zone,
    _extra jsonb
);


--
-- Name: _tributary_aside; Type: TABLE; Schema: coding; Owner: -
--

CREATE TABLE coding._tributary_aside (
    task text NOT NULL,
    table_name text NOT NULL,
    key text NOT NULL,
    reason text NOT NULL,
    at timestamp with time zone NOT NULL
);


--
-- Name: _tributary_fields; Type: TABLE; Schema: coding; Owner: -
--

CREATE TABLE coding._tributary_fields (
    table_name text NOT NULL,
    column_name text NOT NULL,
    team text NOT NULL,
    field_id bigint NOT NULL,
    field_name text NOT NULL,
    type text NOT NULL,
    added_at timestamp with time zone NOT NULL,
    named_at timestamp with time zone NOT NULL
);


--
-- Name: _tributary_format; Type: TABLE; Schema: coding; Owner: -
--

CREATE TABLE coding._tributary_format (
    version bigint NOT NULL
);


--
-- Name: _tributary_owners; Type: TABLE; Schema: coding; Owner: -
--

CREATE TABLE coding._tributary_owners (
    table_name text NOT NULL,
    team text NOT NULL,
    project_id bigint NOT NULL,
    project text NOT NULL,
    task text NOT NULL
);


--
-- Name: _tributary_tables; Type: TABLE; Schema: coding; Owner: -
--

CREATE TABLE coding._tributary_tables (
    table_name text NOT NULL,
    definition jsonb NOT NULL,
    made_by text NOT NULL
);


--
-- Name: _tributary_tasks; Type: TABLE; Schema: coding; Owner: -
--

CREATE TABLE coding._tributary_tasks (
    task text NOT NULL,
    epoch bigint NOT NULL,
    writes bigint DEFAULT 0 NOT NULL,
    generation text,
    sequence bigint,
    fingerprint text,
    rebuilding boolean DEFAULT false NOT NULL,
    updated_at timestamp with time zone NOT NULL
);


--
-- Data for Name: Issues; Type: TABLE DATA; Schema: coding; Owner: -
--

INSERT INTO coding."Issues" VALUES ('demo', 'backend', 1, 'REQUIREMENT', 'CI 流水线 增加埋点 #25114', '```sql
SELECT * FROM orders WHERE note LIKE ''%100\%%'' -- ''quoted''
```
组合附加符号：é 与 é 不同，Å 与 Å 也不同。مرحبا بالعالم — right to left.组合附加符号：é 与 é 不同，Å 与 Å 也不同。', 31101, '{"Id": 31101, "Name": "技术需求 (tech)", "IsSystem": false, "IssueType": "REQUIREMENT", "Description": ""}', 52003, '处理中', 'PROCESSING', '2', 8000002, '{"Id": 8000002, "Name": "吴Ana", "Email": "", "Phone": "", "Avatar": "/static/fruit_avatar/Fruit-10.png", "Status": 1, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}', '[{"Id": 8000002, "Name": "吴Ana", "Email": "", "Phone": "", "Avatar": "/static/fruit_avatar/Fruit-10.png", "Status": 1, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}]', 8000003, '{"Id": 8000003, "Name": "李伟", "Email": "", "Phone": "", "Avatar": "https://avatars.example.com/8000003.jpg?imageMogr2/cut/400x400x0x0", "Status": 1, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}', '[{"Id": 8000001, "Name": "杨秀英", "Email": "", "Phone": "", "Avatar": "https://avatars.example.com/8000001.jpg?imageMogr2/cut/400x400x0x0", "Status": 1, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}, {"Id": 8000003, "Name": "李伟", "Email": "", "Phone": "", "Avatar": "https://avatars.example.com/8000003.jpg?imageMogr2/cut/400x400x0x0", "Status": 1, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}]', 30002, '{"Id": 30002, "Code": 2, "Name": "迭代 2", "Status": "WAIT_PROCESS"}', 0, 0, 'REQUIREMENT', '{"Code": 0, "Name": "", "Type": "", "Assignee": {"Id": 0, "Name": "", "Email": "", "Phone": "", "Avatar": "", "Status": 0, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}, "Priority": "", "IssueStatusId": 0, "IssueStatusName": "", "IssueStatusType": "", "IssueTypeDetail": {"Id": 0, "Name": "", "IsSystem": false, "IssueType": "", "Description": ""}}', '{"Code": 0, "Name": "", "Type": "", "Assignee": {"Id": 0, "Name": "", "Email": "", "Phone": "", "Avatar": "", "Status": 0, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}, "Priority": "", "IssueStatusId": 0, "IssueStatusName": ""}', '[]', 0, 0, 0, '', 1752993624000, 1764764883000, 0, '[{"Id": 9000106, "Name": "回归", "Color": "#2AC67F"}]', '[{"Id": 81003, "Name": "严重程度", "ValueString": "致命"}, {"Id": 81006, "Name": "已确认", "ValueString": "true"}, {"Id": 81009, "Name": "上线时间", "ValueString": "1764739243000"}, {"Id": 81012, "Name": "预算 (万元)", "ValueString": "224.57"}, {"Id": 81013, "Name": "计划迭代", "ValueString": "1"}, {"Id": 81014, "Name": "涉及迭代", "ValueString": "1,2"}]', '{"Id": 9000151, "Name": "客户端"}', '{"Id": 6101, "Name": "功能需求"}', '{"Id": 0, "Name": "", "IconUrl": ""}', '[]', '[]', '{"Id": 90001, "Icon": "", "Name": "backend", "Type": 0, "IsDemo": false, "Status": 0, "TeamId": 0, "EndDate": 0, "Archived": false, "CreatedAt": 0, "MaxMember": 0, "StartDate": 0, "UpdatedAt": 0, "ProgramIds": [], "Description": "", "DisplayName": "", "TeamOwnerId": 0, "UserOwnerId": 0}', '2026-11-20 20:25:50.939357+00', '2026-11-20 20:25:50.942525+00', '2026-11-20 20:25:50.939357+00', NULL);
INSERT INTO coding."Issues" VALUES ('demo', 'backend', 3, 'REQUIREMENT', 'a\b "c" ''d'' `e` $1 %s ?', '{"json": [1, 2.50, null], "nested": {"引号": "\""}}数学符号 ∑∫√∞ ≠ ≤，货币 ￥€£，全角ＡＢＣ１２３。性能目标：单页 500 行，响应 < 200ms；并发 30 req/s。مرحبا بالعالم — right to left.组合附加符号：é 与 é 不同，Å 与 Å 也不同。مرحبا بالعالم — right to left.需要兼容 Windows
换行符与	制表符。零宽字符​在这里‍，还有﻿字节顺序标记。Überprüfung der Größenangaben – naïve café façade.预期结果：保存成功并返回列表；实际结果：弹出“系统繁忙，请稍后再试”。组合附加符号：é 与 é 不同，Å 与 Å 也不同。<img src="/api/file/1?a=1&b=2" alt=''图''>预期结果：保存成功并返回列表；实际结果：弹出“系统繁忙，请稍后再试”。<ul><li>第一步</li><li>第二步 &amp; 校验</li></ul>Überprüfung der Größenangaben – naïve café façade.预期结果：保存成功并返回列表；实际结果：弹出“系统繁忙，请稍后再试”。', 31101, '{"Id": 31101, "Name": "技术需求 (tech)", "IsSystem": false, "IssueType": "REQUIREMENT", "Description": ""}', 52006, '已拒绝', 'COMPLETED', '0', 0, '{"Id": 0, "Name": "", "Email": "", "Phone": "", "Avatar": "", "Status": 0, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}', '[]', 8000001, '{"Id": 8000001, "Name": "杨秀英", "Email": "", "Phone": "", "Avatar": "https://avatars.example.com/8000001.jpg?imageMogr2/cut/400x400x0x0", "Status": 1, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}', '[{"Id": 8000001, "Name": "杨秀英", "Email": "", "Phone": "", "Avatar": "https://avatars.example.com/8000001.jpg?imageMogr2/cut/400x400x0x0", "Status": 1, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}, {"Id": 8000002, "Name": "吴Ana", "Email": "", "Phone": "", "Avatar": "/static/fruit_avatar/Fruit-10.png", "Status": 1, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}]', 30001, '{"Id": 30001, "Code": 1, "Name": "Sprint 1", "Status": "PROCESSING"}', 0, 0, 'REQUIREMENT', '{"Code": 0, "Name": "", "Type": "", "Assignee": {"Id": 0, "Name": "", "Email": "", "Phone": "", "Avatar": "", "Status": 0, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}, "Priority": "", "IssueStatusId": 0, "IssueStatusName": "", "IssueStatusType": "", "IssueTypeDetail": {"Id": 0, "Name": "", "IsSystem": false, "IssueType": "", "Description": ""}}', '{"Code": 0, "Name": "", "Type": "", "Assignee": {"Id": 0, "Name": "", "Email": "", "Phone": "", "Avatar": "", "Status": 0, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}, "Priority": "", "IssueStatusId": 0, "IssueStatusName": ""}', '[]', 0, 0, 0, '1.0', 1758792166000, 1765630523000, 1765630523000, '[]', '[]', '{"Id": 0, "Name": ""}', '{"Id": 6102, "Name": "非功能需求"}', '{"Id": 0, "Name": "", "IconUrl": ""}', '[]', '[]', '{"Id": 90001, "Icon": "", "Name": "backend", "Type": 0, "IsDemo": false, "Status": 0, "TeamId": 0, "EndDate": 0, "Archived": false, "CreatedAt": 0, "MaxMember": 0, "StartDate": 0, "UpdatedAt": 0, "ProgramIds": [], "Description": "", "DisplayName": "", "TeamOwnerId": 0, "UserOwnerId": 0}', '2026-11-20 20:25:50.939689+00', '2026-11-20 20:25:50.946789+00', '2026-11-20 20:25:50.939689+00', NULL);
INSERT INTO coding."Issues" VALUES ('demo', 'backend', 2, 'REQUIREMENT', 'renamed', '组合附加符号：é 与 é 不同，Å 与 Å 也不同。Steps to reproduce:
1. open the list
2. sort by priority
3. go to page 2
The request took "3.2 s" on average, the 99th percentile was above 11 s.Steps to reproduce:
1. open the list
2. sort by priority
3. go to page 2
预期结果：保存成功并返回列表；实际结果：弹出“系统繁忙，请稍后再试”。验收标准：无 P0/P1 缺陷，覆盖率 ≥ 80%。Überprüfung der Größenangaben – naïve café façade.行分隔符 段分隔符 控制字符。null负责人请在周五 23:59:59 前更新状态。- [ ] 回归测试
- [x] 文档

---
<img src="/api/file/1?a=1&b=2" alt=''图''>Steps to reproduce:
1. open the list
2. sort by priority
3. go to page 2
', 31101, '{"Id": 31101, "Name": "技术需求 (tech)", "IsSystem": false, "IssueType": "REQUIREMENT", "Description": ""}', 52001, '未开始', 'TODO', '1', 0, '{"Id": 0, "Name": "", "Email": "", "Phone": "", "Avatar": "", "Status": 0, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}', '[]', 8000001, '{"Id": 8000001, "Name": "杨秀英", "Email": "", "Phone": "", "Avatar": "https://avatars.example.com/8000001.jpg?imageMogr2/cut/400x400x0x0", "Status": 1, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}', '[{"Id": 8000001, "Name": "杨秀英", "Email": "", "Phone": "", "Avatar": "https://avatars.example.com/8000001.jpg?imageMogr2/cut/400x400x0x0", "Status": 1, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}, {"Id": 8000002, "Name": "吴Ana", "Email": "", "Phone": "", "Avatar": "/static/fruit_avatar/Fruit-10.png", "Status": 1, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}]', 30002, '{"Id": 30002, "Code": 2, "Name": "迭代 2", "Status": "WAIT_PROCESS"}', 0, 0, 'REQUIREMENT', '{"Code": 0, "Name": "", "Type": "", "Assignee": {"Id": 0, "Name": "", "Email": "", "Phone": "", "Avatar": "", "Status": 0, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}, "Priority": "", "IssueStatusId": 0, "IssueStatusName": "", "IssueStatusType": "", "IssueTypeDetail": {"Id": 0, "Name": "", "IsSystem": false, "IssueType": "", "Description": ""}}', '{"Code": 0, "Name": "", "Type": "", "Assignee": {"Id": 0, "Name": "", "Email": "", "Phone": "", "Avatar": "", "Status": 0, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}, "Priority": "", "IssueStatusId": 0, "IssueStatusName": ""}', '[]', 1754668800000, 1756223999000, 0, '1.0', 1753310726000, 1795206350000, 0, '[{"Id": 9000101, "Name": "紧急", "Color": "#E64340"}, {"Id": 9000105, "Name": "\"quoted\", with comma", "Color": "#F5A623"}]', '[]', '{"Id": 9000153, "Name": "运维 & SRE"}', '{"Id": 6101, "Name": "功能需求"}', '{"Id": 0, "Name": "", "IconUrl": ""}', '[]', '[]', '{"Id": 90001, "Icon": "", "Name": "backend", "Type": 0, "IsDemo": false, "Status": 0, "TeamId": 0, "EndDate": 0, "Archived": false, "CreatedAt": 0, "MaxMember": 0, "StartDate": 0, "UpdatedAt": 0, "ProgramIds": [], "Description": "", "DisplayName": "", "TeamOwnerId": 0, "UserOwnerId": 0}', '2026-11-20 20:25:50.9991+00', '2026-11-20 20:25:51.497291+00', '2026-11-20 20:25:51.495188+00', NULL);
INSERT INTO coding."Issues" VALUES ('demo', 'backend', 4, 'REQUIREMENT', '导出报表 支持批量操作 #99951', '<p>用户在弱网环境下点击提交按钮后页面没有任何反馈。</p>null见附件截图 📎，以及昨天的讨论记录 🗒️。验收标准：无 P0/P1 缺陷，覆盖率 ≥ 80%。行分隔符 段分隔符 控制字符。表情组合：👨‍👩‍👧‍👦 🇨🇳 👍🏿 ☕️。预期结果：保存成功并返回列表；实际结果：弹出“系统繁忙，请稍后再试”。组合附加符号：é 与 é 不同，Å 与 Å 也不同。行分隔符 段分隔符 控制字符。需要兼容 Windows
换行符与	制表符。nullSteps to reproduce:
1. open the list
2. sort by priority
3. go to page 2
- [ ] 回归测试
- [x] 文档

---
零宽字符​在这里‍，还有﻿字节顺序标记。```sql
SELECT * FROM orders WHERE note LIKE ''%100\%%'' -- ''quoted''
```
', 31002, '{"Id": 31002, "Name": "需求", "IsSystem": true, "IssueType": "REQUIREMENT", "Description": "从用户角度描述的价值。"}', 52004, '待验证 ✅?', 'PROCESSING', '1', 8000002, '{"Id": 8000002, "Name": "吴Ana", "Email": "", "Phone": "", "Avatar": "/static/fruit_avatar/Fruit-10.png", "Status": 1, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}', '[{"Id": 8000002, "Name": "吴Ana", "Email": "", "Phone": "", "Avatar": "/static/fruit_avatar/Fruit-10.png", "Status": 1, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}, {"Id": 8000001, "Name": "杨秀英", "Email": "", "Phone": "", "Avatar": "https://avatars.example.com/8000001.jpg?imageMogr2/cut/400x400x0x0", "Status": 1, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}]', 8000003, '{"Id": 8000003, "Name": "李伟", "Email": "", "Phone": "", "Avatar": "https://avatars.example.com/8000003.jpg?imageMogr2/cut/400x400x0x0", "Status": 1, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}', '[{"Id": 8000003, "Name": "李伟", "Email": "", "Phone": "", "Avatar": "https://avatars.example.com/8000003.jpg?imageMogr2/cut/400x400x0x0", "Status": 1, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}]', 30001, '{"Id": 30001, "Code": 1, "Name": "Sprint 1", "Status": "PROCESSING"}', 0, 0, 'REQUIREMENT', '{"Code": 0, "Name": "", "Type": "", "Assignee": {"Id": 0, "Name": "", "Email": "", "Phone": "", "Avatar": "", "Status": 0, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}, "Priority": "", "IssueStatusId": 0, "IssueStatusName": "", "IssueStatusType": "", "IssueTypeDetail": {"Id": 0, "Name": "", "IsSystem": false, "IssueType": "", "Description": ""}}', '{"Code": 0, "Name": "", "Type": "", "Assignee": {"Id": 0, "Name": "", "Email": "", "Phone": "", "Avatar": "", "Status": 0, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}, "Priority": "", "IssueStatusId": 0, "IssueStatusName": ""}', '[]', 1766160000000, 1767542399000, 0, '5.0', 1765373803000, 1765373803000, 0, '[]', '[{"Id": 81002, "Name": "复现步骤", "ValueString": "组合附加符号：é 与 é 不同，Å 与 Å 也不同。"}, {"Id": 81003, "Name": "严重程度", "ValueString": "提示, \"低\""}, {"Id": 81005, "Name": "是否回归", "ValueString": "否"}, {"Id": 81010, "Name": "客户期望日期", "ValueString": "2025-02-19"}, {"Id": 81014, "Name": "涉及迭代", "ValueString": "1,2"}]', '{"Id": 0, "Name": ""}', '{"Id": 6103, "Name": "运营需求"}', '{"Id": 0, "Name": "", "IconUrl": ""}', '[]', '[]', '{"Id": 90001, "Icon": "", "Name": "backend", "Type": 0, "IsDemo": false, "Status": 0, "TeamId": 0, "EndDate": 0, "Archived": false, "CreatedAt": 0, "MaxMember": 0, "StartDate": 0, "UpdatedAt": 0, "ProgramIds": [], "Description": "", "DisplayName": "", "TeamOwnerId": 0, "UserOwnerId": 0}', '2026-11-20 20:25:50.939799+00', '2026-11-20 20:25:50.946789+00', '2026-11-20 20:25:50.939799+00', NULL);
INSERT INTO coding."Issues" VALUES ('demo', 'backend', 5, 'REQUIREMENT', 'Webhook needs pagination #77113', '- [ ] 回归测试
- [x] 文档

---
コードレビューで指摘された箇所を修正してください。مرحبا بالعالم — right to left.生僻字：𠮷野家、㐂、龘、𪚥。''; DROP TABLE issues; --<img src="/api/file/1?a=1&b=2" alt=''图''><p>用户在弱网环境下点击提交按钮后页面没有任何反馈。</p>需要兼容 Windows
换行符与	制表符。性能目标：单页 500 行，响应 < 200ms；并发 30 req/s。数学符号 ∑∫√∞ ≠ ≤，货币 ￥€£，全角ＡＢＣ１２３。需要兼容 Windows
换行符与	制表符。コードレビューで指摘された箇所を修正してください。nullnull验收标准：无 P0/P1 缺陷，覆盖率 ≥ 80%。验收标准：无 P0/P1 缺陷，覆盖率 ≥ 80%。Steps to reproduce:
1. open the list
2. sort by priority
3. go to page 2
', 31002, '{"Id": 31002, "Name": "需求", "IsSystem": true, "IssueType": "REQUIREMENT", "Description": "从用户角度描述的价值。"}', 52003, '处理中', 'PROCESSING', '0', 8000001, '{"Id": 8000001, "Name": "杨秀英", "Email": "", "Phone": "", "Avatar": "https://avatars.example.com/8000001.jpg?imageMogr2/cut/400x400x0x0", "Status": 1, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}', '[{"Id": 8000001, "Name": "杨秀英", "Email": "", "Phone": "", "Avatar": "https://avatars.example.com/8000001.jpg?imageMogr2/cut/400x400x0x0", "Status": 1, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}]', 8000002, '{"Id": 8000002, "Name": "吴Ana", "Email": "", "Phone": "", "Avatar": "/static/fruit_avatar/Fruit-10.png", "Status": 1, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}', '[{"Id": 8000002, "Name": "吴Ana", "Email": "", "Phone": "", "Avatar": "/static/fruit_avatar/Fruit-10.png", "Status": 1, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}, {"Id": 8000003, "Name": "李伟", "Email": "", "Phone": "", "Avatar": "https://avatars.example.com/8000003.jpg?imageMogr2/cut/400x400x0x0", "Status": 1, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}]', 30002, '{"Id": 30002, "Code": 2, "Name": "迭代 2", "Status": "WAIT_PROCESS"}', 0, 0, 'REQUIREMENT', '{"Code": 0, "Name": "", "Type": "", "Assignee": {"Id": 0, "Name": "", "Email": "", "Phone": "", "Avatar": "", "Status": 0, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}, "Priority": "", "IssueStatusId": 0, "IssueStatusName": "", "IssueStatusType": "", "IssueTypeDetail": {"Id": 0, "Name": "", "IsSystem": false, "IssueType": "", "Description": ""}}', '{"Code": 0, "Name": "", "Type": "", "Assignee": {"Id": 0, "Name": "", "Email": "", "Phone": "", "Avatar": "", "Status": 0, "TeamId": 0, "GlobalKey": "", "TeamGlobalKey": ""}, "Priority": "", "IssueStatusId": 0, "IssueStatusName": ""}', '[]', 1771171200000, 0, 0, '3.0', 1769967264000, 1769967264000, 0, '[{"Id": 9000101, "Name": "紧急", "Color": "#E64340"}, {"Id": 9000104, "Name": "UI/UX", "Color": "#52A5FF"}]', '[{"Id": 81001, "Name": "客户名称", "ValueString": "支付接口 add dark mode #2458"}, {"Id": 81007, "Name": "测试负责人", "ValueString": "{\"Id\":8000001,\"Status\":1,\"GlobalKey\":\"yangxiuying6060\",\"Avatar\":\"https://avatars.example.com/8000001.jpg?imageMogr2/cut/400x400x0x0\",\"Name\":\"杨秀英\",\"Email\":\"\",\"Name_pinyin\":\"yangxiuying\"}"}, {"Id": 81010, "Name": "客户期望日期", "ValueString": "2025-05-17"}, {"Id": 81011, "Name": "影响用户数", "ValueString": "308455"}]', '{"Id": 9000153, "Name": "运维 & SRE"}', '{"Id": 6102, "Name": "非功能需求"}', '{"Id": 0, "Name": "", "IconUrl": ""}', '[{"Url": "https://files.example.com/600001?e=3600&sign=3b8c2f81dc2aae5a", "Name": "dump.bin", "Size": 1687601, "Type": 3, "FileId": 600001}, {"Url": "https://files.example.com/600002?e=3600&sign=111c328c0cc6eb0d", "Name": "图标.svg", "Size": 2681134, "Type": 4, "FileId": 600002}]', '[]', '{"Id": 90001, "Icon": "", "Name": "backend", "Type": 0, "IsDemo": false, "Status": 0, "TeamId": 0, "EndDate": 0, "Archived": false, "CreatedAt": 0, "MaxMember": 0, "StartDate": 0, "UpdatedAt": 0, "ProgramIds": [], "Description": "", "DisplayName": "", "TeamOwnerId": 0, "UserOwnerId": 0}', '2026-11-20 20:25:50.939896+00', '2026-11-20 20:25:50.946789+00', '2026-11-20 20:25:50.939896+00', NULL);


--
-- Data for Name: Iterations; Type: TABLE DATA; Schema: coding; Owner: -
--

INSERT INTO coding."Iterations" VALUES ('demo', 'backend', 1, 90001, 30001, 'Sprint 1', '', 'PROCESSING', -28800000, -28800000, 8000002, 8000002, 8000003, 0, 0, 0, 1, 1, 50, 1, 6, 0, 5, 1748736000000, 1748813803000, '2026-11-20 20:25:50.44303+00', '2026-11-20 20:25:50.486183+00', '2026-11-20 20:25:50.44303+00', NULL);
INSERT INTO coding."Iterations" VALUES ('demo', 'backend', 2, 90001, 30002, '迭代 2', '', 'WAIT_PROCESS', 1761667200000, 1774713599000, 8000001, 8000002, 0, 0, 0, 1, 2, 0, 0, 0, 4, 1, 3, 1761609600000, 1761654996000, '2026-11-20 20:25:50.44303+00', '2026-11-20 20:25:50.486183+00', '2026-11-20 20:25:50.44303+00', NULL);


--
-- Data for Name: ProjectMembers; Type: TABLE DATA; Schema: coding; Owner: -
--

INSERT INTO coding."ProjectMembers" VALUES ('demo', 'backend', 8000001, 90001, '杨秀英', 'yangxiuying', 'yangxiuying6060', 1, 'yangxiuying0@example.com', 1, '13838672343', 1, 'https://avatars.example.com/8000001.jpg?imageMogr2/cut/400x400x0x0', 4200042, '[{"RoleId": 7001, "RoleType": "ProjectAdmin", "RoleTypeName": "项目管理员"}]', '', '{"Refs": [], "RefId": 0, "ThirdPartyId": "", "ThirdPartyName": "", "ThirdPartyAvatar": ""}', '2026-11-20 20:25:50.438222+00', '2026-11-20 20:25:50.486183+00', '2026-11-20 20:25:50.438222+00', NULL);
INSERT INTO coding."ProjectMembers" VALUES ('demo', 'backend', 8000002, 90001, '吴Ana', 'wuana', 'wuana8070', 1, 'wuana1@example.com', 1, '', 0, '/static/fruit_avatar/Fruit-10.png', 4200042, '[{"RoleId": 7002, "RoleType": "ProjectMember", "RoleTypeName": "开发"}, {"RoleId": 7006, "RoleType": "UserDefined", "RoleTypeName": "外部顾问 \"β\""}]', '', '{"Refs": [], "RefId": 0, "ThirdPartyId": "", "ThirdPartyName": "", "ThirdPartyAvatar": ""}', '2026-11-20 20:25:50.438222+00', '2026-11-20 20:25:50.486183+00', '2026-11-20 20:25:50.438222+00', NULL);
INSERT INTO coding."ProjectMembers" VALUES ('demo', 'backend', 8000003, 90001, '李伟', 'liwei', 'liwei4090', 1, 'liwei2@example.com', 1, '13856617342', 1, 'https://avatars.example.com/8000003.jpg?imageMogr2/cut/400x400x0x0', 4200042, '[{"RoleId": 7003, "RoleType": "ProjectGuest", "RoleTypeName": "测试"}]', '', '{"Refs": [], "RefId": 0, "ThirdPartyId": "", "ThirdPartyName": "", "ThirdPartyAvatar": ""}', '2026-11-20 20:25:50.438222+00', '2026-11-20 20:25:50.486183+00', '2026-11-20 20:25:50.438222+00', NULL);


--
-- Data for Name: _tributary_aside; Type: TABLE DATA; Schema: coding; Owner: -
--

INSERT INTO coding._tributary_aside VALUES ('task', 'Issues', '["demo","backend",3]', 'a row does not fit (new row for relation "Issues" violates check constraint "no_poison")', '2026-11-20 20:25:52.569301+00');


--
-- Data for Name: _tributary_fields; Type: TABLE DATA; Schema: coding; Owner: -
--



--
-- Data for Name: _tributary_format; Type: TABLE DATA; Schema: coding; Owner: -
--

INSERT INTO coding._tributary_format VALUES (1);


--
-- Data for Name: _tributary_owners; Type: TABLE DATA; Schema: coding; Owner: -
--

INSERT INTO coding._tributary_owners VALUES ('ProjectMembers', 'demo', 90001, 'backend', 'task');
INSERT INTO coding._tributary_owners VALUES ('Iterations', 'demo', 90001, 'backend', 'task');
INSERT INTO coding._tributary_owners VALUES ('Issues', 'demo', 90001, 'backend', 'task');


--
-- Data for Name: _tributary_tables; Type: TABLE DATA; Schema: coding; Owner: -
--

INSERT INTO coding._tributary_tables VALUES ('ProjectMembers', '{"columns": [{"kind": "text", "name": "TeamName"}, {"kind": "text", "name": "ProjectName"}, {"kind": "integer", "name": "Id"}, {"kind": "integer", "name": "ProjectId"}, {"kind": "text", "name": "Name"}, {"kind": "text", "name": "NamePinYin"}, {"kind": "text", "name": "GlobalKey"}, {"kind": "integer", "name": "Status"}, {"kind": "text", "name": "Email"}, {"kind": "integer", "name": "EmailValidation"}, {"kind": "text", "name": "Phone"}, {"kind": "integer", "name": "PhoneValidation"}, {"kind": "text", "name": "Avatar"}, {"kind": "integer", "name": "TeamId"}, {"kind": "json", "name": "Roles"}, {"kind": "text", "name": "UniqueExtField"}, {"kind": "json", "name": "DepartmentMember"}, {"kind": "timestamp", "name": "_observed_at"}, {"kind": "timestamp", "name": "_synced_at"}, {"kind": "timestamp", "name": "_detailed_at"}, {"kind": "json", "name": "_extra"}], "synced_at": "_synced_at", "deleted_at": null, "key_columns": 3}', '0.1.0');
INSERT INTO coding._tributary_tables VALUES ('Iterations', '{"columns": [{"kind": "text", "name": "TeamName"}, {"kind": "text", "name": "ProjectName"}, {"kind": "integer", "name": "Code"}, {"kind": "integer", "name": "ProjectId"}, {"kind": "integer", "name": "Id"}, {"kind": "text", "name": "Name"}, {"kind": "text", "name": "Goal"}, {"kind": "text", "name": "Status"}, {"kind": "integer", "name": "StartAt"}, {"kind": "integer", "name": "EndAt"}, {"kind": "integer", "name": "Assignee"}, {"kind": "integer", "name": "Creator"}, {"kind": "integer", "name": "Starter"}, {"kind": "integer", "name": "Completer"}, {"kind": "integer", "name": "Deleter"}, {"kind": "integer", "name": "WaitProcessCount"}, {"kind": "integer", "name": "ProcessingCount"}, {"kind": "integer", "name": "CompletedCount"}, {"kind": "real", "name": "CompletedPercent"}, {"kind": "real", "name": "CompletedStoryPoint"}, {"kind": "real", "name": "AllStoryPoint"}, {"kind": "real", "name": "TodoStoryPoint"}, {"kind": "real", "name": "ProcessStoryPoint"}, {"kind": "integer", "name": "CreatedAt"}, {"kind": "integer", "name": "UpdatedAt"}, {"kind": "timestamp", "name": "_observed_at"}, {"kind": "timestamp", "name": "_synced_at"}, {"kind": "timestamp", "name": "_detailed_at"}, {"kind": "json", "name": "_extra"}], "synced_at": "_synced_at", "deleted_at": null, "key_columns": 3}', '0.1.0');
INSERT INTO coding._tributary_tables VALUES ('Issues', '{"columns": [{"kind": "text", "name": "TeamName"}, {"kind": "text", "name": "ProjectName"}, {"kind": "integer", "name": "Code"}, {"kind": "text", "name": "Type"}, {"kind": "text", "name": "Name"}, {"kind": "text", "name": "Description"}, {"kind": "integer", "name": "IssueTypeId"}, {"kind": "json", "name": "IssueTypeDetail"}, {"kind": "integer", "name": "IssueStatusId"}, {"kind": "text", "name": "IssueStatusName"}, {"kind": "text", "name": "IssueStatusType"}, {"kind": "text", "name": "Priority"}, {"kind": "integer", "name": "AssigneeId"}, {"kind": "json", "name": "Assignee"}, {"kind": "json", "name": "Assignees"}, {"kind": "integer", "name": "CreatorId"}, {"kind": "json", "name": "Creator"}, {"kind": "json", "name": "Watchers"}, {"kind": "integer", "name": "IterationId"}, {"kind": "json", "name": "Iteration"}, {"kind": "integer", "name": "ParentId"}, {"kind": "integer", "name": "ParentCode"}, {"kind": "text", "name": "ParentType"}, {"kind": "json", "name": "Parent"}, {"kind": "json", "name": "Epic"}, {"kind": "json", "name": "SubTasks"}, {"kind": "integer", "name": "StartDate"}, {"kind": "integer", "name": "DueDate"}, {"kind": "real", "name": "WorkingHours"}, {"kind": "text", "name": "StoryPoint"}, {"kind": "integer", "name": "CreatedAt"}, {"kind": "integer", "name": "UpdatedAt"}, {"kind": "integer", "name": "CompletedAt"}, {"kind": "json", "name": "Labels"}, {"kind": "json", "name": "CustomFields"}, {"kind": "json", "name": "ProjectModule"}, {"kind": "json", "name": "RequirementType"}, {"kind": "json", "name": "DefectType"}, {"kind": "json", "name": "Files"}, {"kind": "json", "name": "ThirdLinks"}, {"kind": "json", "name": "Project"}, {"kind": "timestamp", "name": "_observed_at"}, {"kind": "timestamp", "name": "_synced_at"}, {"kind": "timestamp", "name": "_detailed_at"}, {"kind": "json", "name": "_extra"}], "synced_at": "_synced_at", "deleted_at": null, "key_columns": 3}', '0.1.0');


--
-- Data for Name: _tributary_tasks; Type: TABLE DATA; Schema: coding; Owner: -
--

INSERT INTO coding._tributary_tasks VALUES ('task', 3, 16, 'bf17f4247e3118d17f971dbbac900f02', 22, '20b801cb5fa9ee24f0bb672255ff7957', false, '2026-11-20 20:25:52.574244+00');


--
-- Name: Issues Issues_pkey; Type: CONSTRAINT; Schema: coding; Owner: -
--

ALTER TABLE ONLY coding."Issues"
    ADD CONSTRAINT "Issues_pkey" PRIMARY KEY ("TeamName", "ProjectName", "Code");


--
-- Name: Iterations Iterations_pkey; Type: CONSTRAINT; Schema: coding; Owner: -
--

ALTER TABLE ONLY coding."Iterations"
    ADD CONSTRAINT "Iterations_pkey" PRIMARY KEY ("TeamName", "ProjectName", "Code");


--
-- Name: ProjectMembers ProjectMembers_pkey; Type: CONSTRAINT; Schema: coding; Owner: -
--

ALTER TABLE ONLY coding."ProjectMembers"
    ADD CONSTRAINT "ProjectMembers_pkey" PRIMARY KEY ("TeamName", "ProjectName", "Id");


--
-- Name: _tributary_aside _tributary_aside_pkey; Type: CONSTRAINT; Schema: coding; Owner: -
--

ALTER TABLE ONLY coding._tributary_aside
    ADD CONSTRAINT _tributary_aside_pkey PRIMARY KEY (task, table_name, key);


--
-- Name: _tributary_fields _tributary_fields_pkey; Type: CONSTRAINT; Schema: coding; Owner: -
--

ALTER TABLE ONLY coding._tributary_fields
    ADD CONSTRAINT _tributary_fields_pkey PRIMARY KEY (table_name, column_name);


--
-- Name: _tributary_fields _tributary_fields_table_name_team_field_id_key; Type: CONSTRAINT; Schema: coding; Owner: -
--

ALTER TABLE ONLY coding._tributary_fields
    ADD CONSTRAINT _tributary_fields_table_name_team_field_id_key UNIQUE (table_name, team, field_id);


--
-- Name: _tributary_owners _tributary_owners_pkey; Type: CONSTRAINT; Schema: coding; Owner: -
--

ALTER TABLE ONLY coding._tributary_owners
    ADD CONSTRAINT _tributary_owners_pkey PRIMARY KEY (table_name, team, project_id, project);


--
-- Name: _tributary_tables _tributary_tables_pkey; Type: CONSTRAINT; Schema: coding; Owner: -
--

ALTER TABLE ONLY coding._tributary_tables
    ADD CONSTRAINT _tributary_tables_pkey PRIMARY KEY (table_name);


--
-- Name: _tributary_tasks _tributary_tasks_pkey; Type: CONSTRAINT; Schema: coding; Owner: -
--

ALTER TABLE ONLY coding._tributary_tasks
    ADD CONSTRAINT _tributary_tasks_pkey PRIMARY KEY (task);


--
-- PostgreSQL database dump complete
--
