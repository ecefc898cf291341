CREATE SCHEMA coding;


SET default_tablespace = '';

SET default_table_access_method = heap;

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
-- Name: issues; Type: TABLE; Schema: coding; Owner: -
--

CREATE TABLE coding.issues (
    team_name text NOT NULL,
    project_name text NOT NULL,
    code bigint NOT NULL,
    project_id bigint,
    type text,
    name text,
    description text,
    issue_type_id bigint,
    issue_type_name text,
    issue_status_id bigint,
    issue_status_name text,
    issue_status_type text,
    priority bigint,
    priority_name text,
    assignee_id bigint,
    assignee_name text,
    assignees text,
    creator_id bigint,
    creator_name text,
    watchers text,
    iteration_id bigint,
    iteration_code bigint,
    iteration_name text,
    iteration_status text,
    parent_id bigint,
    parent_code bigint,
    parent_type text,
    parent_name text,
    epic_code bigint,
    epic_name text,
    sub_tasks text,
    sub_task_codes text,
    start_date date,
    due_date date,
    working_hours double precision,
    story_point double precision,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    completed_at timestamp with time zone,
    labels text,
    project_module_id bigint,
    project_module_name text,
    requirement_type_id bigint,
    requirement_type_name text,
    defect_type_id bigint,
    defect_type_name text,
    files text,
    third_links text,
    "客户名称" text,
    "复现步骤" text,
    "严重程度" text,
    "影响平台" text,
    "是否回归" text,
    "已确认" text,
    "测试负责人" text,
    "评审人" text,
    "上线时间" timestamp with time zone,
    "客户期望日期" date,
    "影响用户数" bigint,
    "预算_万元" double precision,
    "计划迭代" text,
    "涉及迭代" text,
    _observed_at timestamp with time zone,
    _synced_at timestamp with time zone,
    _detailed_at timestamp with time zone,
    _extra text
);


--
-- Name: iterations; Type: TABLE; Schema: coding; Owner: -
--

CREATE TABLE coding.iterations (
    team_name text NOT NULL,
    project_name text NOT NULL,
    code bigint NOT NULL,
    project_id bigint,
    id bigint,
    name text,
    goal text,
    status text,
    start_at date,
    end_at date,
    assignee_id bigint,
    creator_id bigint,
    starter_id bigint,
    completer_id bigint,
    deleter_id bigint,
    wait_process_count bigint,
    processing_count bigint,
    completed_count bigint,
    completed_percent double precision,
    completed_story_point double precision,
    all_story_point double precision,
    todo_story_point double precision,
    process_story_point double precision,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    _observed_at timestamp with time zone,
    _synced_at timestamp with time zone,
    _detailed_at timestamp with time zone,
    _extra text
);


--
-- Name: project_members; Type: TABLE; Schema: coding; Owner: -
--

CREATE TABLE coding.project_members (
    team_name text NOT NULL,
    project_name text NOT NULL,
    id bigint NOT NULL,
    project_id bigint,
    name text,
    name_pin_yin text,
    global_key text,
    status bigint,
    email text,
    email_validation boolean,
    phone text,
    phone_validation boolean,
    avatar text,
    team_id bigint,
    roles text,
    unique_ext_field text,
    department_member_id bigint,
    department_member_name text,
    _observed_at timestamp with time zone,
    _synced_at timestamp with time zone,
    _detailed_at timestamp with time zone,
    _extra text
);


--
-- Data for Name: _tributary_aside; Type: TABLE DATA; Schema: coding; Owner: -
--



--
-- Data for Name: _tributary_fields; Type: TABLE DATA; Schema: coding; Owner: -
--

INSERT INTO coding._tributary_fields VALUES ('issues', '客户名称', 'demo', 81001, '客户名称', 'text', '2026-11-20 17:03:01.425992+00', '2026-11-20 17:03:01.425992+00');
INSERT INTO coding._tributary_fields VALUES ('issues', '复现步骤', 'demo', 81002, '复现步骤', 'text', '2026-11-20 17:03:01.425992+00', '2026-11-20 17:03:01.425992+00');
INSERT INTO coding._tributary_fields VALUES ('issues', '严重程度', 'demo', 81003, '严重程度', 'text', '2026-11-20 17:03:01.425992+00', '2026-11-20 17:03:01.425992+00');
INSERT INTO coding._tributary_fields VALUES ('issues', '影响平台', 'demo', 81004, '影响平台', 'text', '2026-11-20 17:03:01.425992+00', '2026-11-20 17:03:01.425992+00');
INSERT INTO coding._tributary_fields VALUES ('issues', '是否回归', 'demo', 81005, '是否回归', 'text', '2026-11-20 17:03:01.425992+00', '2026-11-20 17:03:01.425992+00');
INSERT INTO coding._tributary_fields VALUES ('issues', '已确认', 'demo', 81006, '已确认', 'text', '2026-11-20 17:03:01.425992+00', '2026-11-20 17:03:01.425992+00');
INSERT INTO coding._tributary_fields VALUES ('issues', '测试负责人', 'demo', 81007, '测试负责人', 'text', '2026-11-20 17:03:01.425992+00', '2026-11-20 17:03:01.425992+00');
INSERT INTO coding._tributary_fields VALUES ('issues', '评审人', 'demo', 81008, '评审人', 'text', '2026-11-20 17:03:01.425992+00', '2026-11-20 17:03:01.425992+00');
INSERT INTO coding._tributary_fields VALUES ('issues', '上线时间', 'demo', 81009, '上线时间', 'timestamp', '2026-11-20 17:03:01.425992+00', '2026-11-20 17:03:01.425992+00');
INSERT INTO coding._tributary_fields VALUES ('issues', '客户期望日期', 'demo', 81010, '客户期望日期', 'date', '2026-11-20 17:03:01.425992+00', '2026-11-20 17:03:01.425992+00');
INSERT INTO coding._tributary_fields VALUES ('issues', '影响用户数', 'demo', 81011, '影响用户数', 'integer', '2026-11-20 17:03:01.425992+00', '2026-11-20 17:03:01.425992+00');
INSERT INTO coding._tributary_fields VALUES ('issues', '预算_万元', 'demo', 81012, '预算 (万元)', 'real', '2026-11-20 17:03:01.425992+00', '2026-11-20 17:03:01.425992+00');
INSERT INTO coding._tributary_fields VALUES ('issues', '计划迭代', 'demo', 81013, '计划迭代', 'text', '2026-11-20 17:03:01.425992+00', '2026-11-20 17:03:01.425992+00');
INSERT INTO coding._tributary_fields VALUES ('issues', '涉及迭代', 'demo', 81014, '涉及迭代', 'text', '2026-11-20 17:03:01.425992+00', '2026-11-20 17:03:01.425992+00');


--
-- Data for Name: _tributary_format; Type: TABLE DATA; Schema: coding; Owner: -
--

INSERT INTO coding._tributary_format VALUES (1);


--
-- Data for Name: _tributary_owners; Type: TABLE DATA; Schema: coding; Owner: -
--

INSERT INTO coding._tributary_owners VALUES ('project_members', 'demo', 90001, 'backend', 'task');
INSERT INTO coding._tributary_owners VALUES ('iterations', 'demo', 90001, 'backend', 'task');
INSERT INTO coding._tributary_owners VALUES ('issues', 'demo', 90001, 'backend', 'task');


--
-- Data for Name: _tributary_tables; Type: TABLE DATA; Schema: coding; Owner: -
--

INSERT INTO coding._tributary_tables VALUES ('project_members', '{"columns": [{"kind": "text", "name": "team_name"}, {"kind": "text", "name": "project_name"}, {"kind": "integer", "name": "id"}, {"kind": "integer", "name": "project_id"}, {"kind": "text", "name": "name"}, {"kind": "text", "name": "name_pin_yin"}, {"kind": "text", "name": "global_key"}, {"kind": "integer", "name": "status"}, {"kind": "text", "name": "email"}, {"kind": "boolean", "name": "email_validation"}, {"kind": "text", "name": "phone"}, {"kind": "boolean", "name": "phone_validation"}, {"kind": "text", "name": "avatar"}, {"kind": "integer", "name": "team_id"}, {"kind": "text", "name": "roles"}, {"kind": "text", "name": "unique_ext_field"}, {"kind": "integer", "name": "department_member_id"}, {"kind": "text", "name": "department_member_name"}, {"kind": "timestamp", "name": "_observed_at"}, {"kind": "timestamp", "name": "_synced_at"}, {"kind": "timestamp", "name": "_detailed_at"}, {"kind": "text", "name": "_extra"}], "synced_at": "_synced_at", "deleted_at": null, "key_columns": 3}', '0.1.0');
INSERT INTO coding._tributary_tables VALUES ('iterations', '{"columns": [{"kind": "text", "name": "team_name"}, {"kind": "text", "name": "project_name"}, {"kind": "integer", "name": "code"}, {"kind": "integer", "name": "project_id"}, {"kind": "integer", "name": "id"}, {"kind": "text", "name": "name"}, {"kind": "text", "name": "goal"}, {"kind": "text", "name": "status"}, {"kind": "date", "name": "start_at"}, {"kind": "date", "name": "end_at"}, {"kind": "integer", "name": "assignee_id"}, {"kind": "integer", "name": "creator_id"}, {"kind": "integer", "name": "starter_id"}, {"kind": "integer", "name": "completer_id"}, {"kind": "integer", "name": "deleter_id"}, {"kind": "integer", "name": "wait_process_count"}, {"kind": "integer", "name": "processing_count"}, {"kind": "integer", "name": "completed_count"}, {"kind": "real", "name": "completed_percent"}, {"kind": "real", "name": "completed_story_point"}, {"kind": "real", "name": "all_story_point"}, {"kind": "real", "name": "todo_story_point"}, {"kind": "real", "name": "process_story_point"}, {"kind": "timestamp", "name": "created_at"}, {"kind": "timestamp", "name": "updated_at"}, {"kind": "timestamp", "name": "_observed_at"}, {"kind": "timestamp", "name": "_synced_at"}, {"kind": "timestamp", "name": "_detailed_at"}, {"kind": "text", "name": "_extra"}], "synced_at": "_synced_at", "deleted_at": null, "key_columns": 3}', '0.1.0');
INSERT INTO coding._tributary_tables VALUES ('issues', '{"columns": [{"kind": "text", "name": "team_name"}, {"kind": "text", "name": "project_name"}, {"kind": "integer", "name": "code"}, {"kind": "integer", "name": "project_id"}, {"kind": "text", "name": "type"}, {"kind": "text", "name": "name"}, {"kind": "text", "name": "description"}, {"kind": "integer", "name": "issue_type_id"}, {"kind": "text", "name": "issue_type_name"}, {"kind": "integer", "name": "issue_status_id"}, {"kind": "text", "name": "issue_status_name"}, {"kind": "text", "name": "issue_status_type"}, {"kind": "integer", "name": "priority"}, {"kind": "text", "name": "priority_name"}, {"kind": "integer", "name": "assignee_id"}, {"kind": "text", "name": "assignee_name"}, {"kind": "text", "name": "assignees"}, {"kind": "integer", "name": "creator_id"}, {"kind": "text", "name": "creator_name"}, {"kind": "text", "name": "watchers"}, {"kind": "integer", "name": "iteration_id"}, {"kind": "integer", "name": "iteration_code"}, {"kind": "text", "name": "iteration_name"}, {"kind": "text", "name": "iteration_status"}, {"kind": "integer", "name": "parent_id"}, {"kind": "integer", "name": "parent_code"}, {"kind": "text", "name": "parent_type"}, {"kind": "text", "name": "parent_name"}, {"kind": "integer", "name": "epic_code"}, {"kind": "text", "name": "epic_name"}, {"kind": "text", "name": "sub_tasks"}, {"kind": "text", "name": "sub_task_codes"}, {"kind": "date", "name": "start_date"}, {"kind": "date", "name": "due_date"}, {"kind": "real", "name": "working_hours"}, {"kind": "real", "name": "story_point"}, {"kind": "timestamp", "name": "created_at"}, {"kind": "timestamp", "name": "updated_at"}, {"kind": "timestamp", "name": "completed_at"}, {"kind": "text", "name": "labels"}, {"kind": "integer", "name": "project_module_id"}, {"kind": "text", "name": "project_module_name"}, {"kind": "integer", "name": "requirement_type_id"}, {"kind": "text", "name": "requirement_type_name"}, {"kind": "integer", "name": "defect_type_id"}, {"kind": "text", "name": "defect_type_name"}, {"kind": "text", "name": "files"}, {"kind": "text", "name": "third_links"}, {"kind": "text", "name": "客户名称"}, {"kind": "text", "name": "复现步骤"}, {"kind": "text", "name": "严重程度"}, {"kind": "text", "name": "影响平台"}, {"kind": "text", "name": "是否回归"}, {"kind": "text", "name": "已确认"}, {"kind": "text", "name": "测试负责人"}, {"kind": "text", "name": "评审人"}, {"kind": "timestamp", "name": "上线时间"}, {"kind": "date", "name": "客户期望日期"}, {"kind": "integer", "name": "影响用户数"}, {"kind": "real", "name": "预算_万元"}, {"kind": "text", "name": "计划迭代"}, {"kind": "text", "name": "涉及迭代"}, {"kind": "timestamp", "name": "_observed_at"}, {"kind": "timestamp", "name": "_synced_at"}, {"kind": "timestamp", "name": "_detailed_at"}, {"kind": "text", "name": "_extra"}], "synced_at": "_synced_at", "deleted_at": null, "key_columns": 3}', '0.1.0');


--
-- Data for Name: _tributary_tasks; Type: TABLE DATA; Schema: coding; Owner: -
--

INSERT INTO coding._tributary_tasks VALUES ('task', 2, 7, 'b64a8024ce667d34515bea6bf2a18251', 20, '754ee1c7d07c107996c148989caa1a24', false, '2026-11-20 17:03:03.026414+00');


--
-- Data for Name: issues; Type: TABLE DATA; Schema: coding; Owner: -
--

INSERT INTO coding.issues VALUES ('demo', 'backend', 1, 90001, 'REQUIREMENT', 'CI 流水线 增加埋点 #25114', '```sql
SELECT * FROM orders WHERE note LIKE ''%100\%%'' -- ''quoted''
```
组合附加符号：é 与 é 不同，Å 与 Å 也不同。مرحبا بالعالم — right to left.组合附加符号：é 与 é 不同，Å 与 Å 也不同。', 31101, '技术需求 (tech)', 52003, '处理中', 'PROCESSING', 2, 'High', 8000002, '吴Ana', '吴Ana', 8000003, '李伟', '杨秀英|李伟', 30002, 2, '迭代 2', 'WAIT_PROCESS', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2025-07-20 06:40:24+00', '2025-12-03 12:28:03+00', NULL, '回归', 9000151, '客户端', 6101, '功能需求', NULL, NULL, NULL, NULL, NULL, NULL, '致命', NULL, NULL, 'true', NULL, NULL, '2025-12-03 05:20:43+00', NULL, NULL, 224.57, '1', '1,2', '2026-11-20 17:03:01.351605+00', '2026-11-20 17:03:01.840125+00', '2026-11-20 17:03:01.351605+00', NULL);
INSERT INTO coding.issues VALUES ('demo', 'backend', 3, 90001, 'REQUIREMENT', 'a\b "c" ''d'' `e` $1 %s ?', '{"json": [1, 2.50, null], "nested": {"引号": "\""}}数学符号 ∑∫√∞ ≠ ≤，货币 ￥€£，全角ＡＢＣ１２３。性能目标：单页 500 行，响应 < 200ms；并发 30 req/s。مرحبا بالعالم — right to left.组合附加符号：é 与 é 不同，Å 与 Å 也不同。مرحبا بالعالم — right to left.需要兼容 Windows
换行符与	制表符。零宽字符​在这里‍，还有﻿字节顺序标记。Überprüfung der Größenangaben – naïve café façade.预期结果：保存成功并返回列表；实际结果：弹出“系统繁忙，请稍后再试”。组合附加符号：é 与 é 不同，Å 与 Å 也不同。<img src="/api/file/1?a=1&b=2" alt=''图''>预期结果：保存成功并返回列表；实际结果：弹出“系统繁忙，请稍后再试”。<ul><li>第一步</li><li>第二步 &amp; 校验</li></ul>Überprüfung der Größenangaben – naïve café façade.预期结果：保存成功并返回列表；实际结果：弹出“系统繁忙，请稍后再试”。', 31101, '技术需求 (tech)', 52006, '已拒绝', 'COMPLETED', 0, 'Low', NULL, NULL, NULL, 8000001, '杨秀英', '杨秀英|吴Ana', 30001, 1, 'Sprint 1', 'PROCESSING', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1, '2025-09-25 09:22:46+00', '2025-12-13 12:55:23+00', '2025-12-13 12:55:23+00', NULL, NULL, NULL, 6102, '非功能需求', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-20 17:03:01.351783+00', '2026-11-20 17:03:01.840125+00', '2026-11-20 17:03:01.351783+00', NULL);
INSERT INTO coding.issues VALUES ('demo', 'backend', 4, 90001, 'REQUIREMENT', '导出报表 支持批量操作 #99951', '<p>用户在弱网环境下点击提交按钮后页面没有任何反馈。</p>null见附件截图 📎，以及昨天的讨论记录 🗒️。验收标准：无 P0/P1 缺陷，覆盖率 ≥ 80%。行分隔符 段分隔符 控制字符。表情组合：👨‍👩‍👧‍👦 🇨🇳 👍🏿 ☕️。预期结果：保存成功并返回列表；实际结果：弹出“系统繁忙，请稍后再试”。组合附加符号：é 与 é 不同，Å 与 Å 也不同。行分隔符 段分隔符 控制字符。需要兼容 Windows
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
', 31002, '需求', 52004, '待验证 ✅?', 'PROCESSING', 1, 'Medium', 8000002, '吴Ana', '吴Ana|杨秀英', 8000003, '李伟', '李伟', 30001, 1, 'Sprint 1', 'PROCESSING', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2025-12-20', '2026-01-04', NULL, 5, '2025-12-10 13:36:43+00', '2025-12-10 13:36:43+00', NULL, NULL, NULL, NULL, 6103, '运营需求', NULL, NULL, NULL, NULL, NULL, '组合附加符号：é 与 é 不同，Å 与 Å 也不同。', '提示, "低"', NULL, '否', NULL, NULL, NULL, NULL, '2025-02-19', NULL, NULL, NULL, '1,2', '2026-11-20 17:03:01.351849+00', '2026-11-20 17:03:01.840125+00', '2026-11-20 17:03:01.351849+00', NULL);
INSERT INTO coding.issues VALUES ('demo', 'backend', 5, 90001, 'REQUIREMENT', 'Webhook needs pagination #77113', '- [ ] 回归测试
- [x] 文档

---
コードレビューで指摘された箇所を修正してください。مرحبا بالعالم — right to left.生僻字：𠮷野家、㐂、龘、𪚥。''; DROP TABLE issues; --<img src="/api/file/1?a=1&b=2" alt=''图''><p>用户在弱网环境下点击提交按钮后页面没有任何反馈。</p>需要兼容 Windows
换行符与	制表符。性能目标：单页 500 行，响应 < 200ms；并发 30 req/s。数学符号 ∑∫√∞ ≠ ≤，货币 ￥€£，全角ＡＢＣ１２３。需要兼容 Windows
换行符与	制表符。コードレビューで指摘された箇所を修正してください。nullnull验收标准：无 P0/P1 缺陷，覆盖率 ≥ 80%。验收标准：无 P0/P1 缺陷，覆盖率 ≥ 80%。Steps to reproduce:
1. open the list
2. sort by priority
3. go to page 2
', 31002, '需求', 52003, '处理中', 'PROCESSING', 0, 'Low', 8000001, '杨秀英', '杨秀英', 8000002, '吴Ana', '吴Ana|李伟', 30002, 2, '迭代 2', 'WAIT_PROCESS', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-02-16', NULL, NULL, 3, '2026-02-01 17:34:24+00', '2026-02-01 17:34:24+00', NULL, '紧急|UI/UX', 9000153, '运维 & SRE', 6102, '非功能需求', NULL, NULL, 'dump.bin|图标.svg', NULL, '支付接口 add dark mode #2458', NULL, NULL, NULL, NULL, NULL, '杨秀英', NULL, NULL, '2025-05-17', 308455, NULL, NULL, NULL, '2026-11-20 17:03:01.351895+00', '2026-11-20 17:03:01.840125+00', '2026-11-20 17:03:01.351895+00', NULL);
INSERT INTO coding.issues VALUES ('demo', 'backend', 2, 90001, 'REQUIREMENT', 'renamed', '组合附加符号：é 与 é 不同，Å 与 Å 也不同。Steps to reproduce:
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
', 31101, '技术需求 (tech)', 52001, '未开始', 'TODO', 1, 'Medium', NULL, NULL, NULL, 8000001, '杨秀英', '杨秀英|吴Ana', 30002, 2, '迭代 2', 'WAIT_PROCESS', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2025-08-09', '2025-08-26', NULL, 1, '2025-07-23 22:45:26+00', '2026-11-20 17:03:01+00', NULL, '紧急|"quoted", with comma', 9000153, '运维 & SRE', 6101, '功能需求', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-11-20 17:03:02.264941+00', '2026-11-20 17:03:03.020482+00', '2026-11-20 17:03:02.776077+00', NULL);


--
-- Data for Name: iterations; Type: TABLE DATA; Schema: coding; Owner: -
--

INSERT INTO coding.iterations VALUES ('demo', 'backend', 1, 90001, 30001, 'Sprint 1', NULL, 'PROCESSING', NULL, NULL, 8000002, 8000002, 8000003, NULL, NULL, 0, 1, 1, 50, 1, 6, 0, 5, '2025-06-01 00:00:00+00', '2025-06-01 21:36:43+00', '2026-11-20 17:03:00.895862+00', '2026-11-20 17:03:01.840125+00', '2026-11-20 17:03:00.895862+00', NULL);
INSERT INTO coding.iterations VALUES ('demo', 'backend', 2, 90001, 30002, '迭代 2', NULL, 'WAIT_PROCESS', '2025-10-29', '2026-03-28', 8000001, 8000002, NULL, NULL, NULL, 1, 2, 0, 0, 0, 4, 1, 3, '2025-10-28 00:00:00+00', '2025-10-28 12:36:36+00', '2026-11-20 17:03:00.895862+00', '2026-11-20 17:03:01.840125+00', '2026-11-20 17:03:00.895862+00', NULL);


--
-- Data for Name: project_members; Type: TABLE DATA; Schema: coding; Owner: -
--

INSERT INTO coding.project_members VALUES ('demo', 'backend', 8000001, 90001, '杨秀英', 'yangxiuying', 'yangxiuying6060', 1, 'yangxiuying0@example.com', true, '13838672343', true, 'https://avatars.example.com/8000001.jpg?imageMogr2/cut/400x400x0x0', 4200042, '项目管理员', NULL, NULL, NULL, '2026-11-20 17:03:00.852735+00', '2026-11-20 17:03:01.840125+00', '2026-11-20 17:03:00.852735+00', NULL);
INSERT INTO coding.project_members VALUES ('demo', 'backend', 8000002, 90001, '吴Ana', 'wuana', 'wuana8070', 1, 'wuana1@example.com', true, NULL, false, '/static/fruit_avatar/Fruit-10.png', 4200042, '开发|外部顾问 "β"', NULL, NULL, NULL, '2026-11-20 17:03:00.852735+00', '2026-11-20 17:03:01.840125+00', '2026-11-20 17:03:00.852735+00', NULL);
INSERT INTO coding.project_members VALUES ('demo', 'backend', 8000003, 90001, '李伟', 'liwei', 'liwei4090', 1, 'liwei2@example.com', true, '13856617342', true, 'https://avatars.example.com/8000003.jpg?imageMogr2/cut/400x400x0x0', 4200042, '测试', NULL, NULL, NULL, '2026-11-20 17:03:00.852735+00', '2026-11-20 17:03:01.840125+00', '2026-11-20 17:03:00.852735+00', NULL);


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
-- Name: issues issues_pkey; Type: CONSTRAINT; Schema: coding; Owner: -
--

ALTER TABLE ONLY coding.issues
    ADD CONSTRAINT issues_pkey PRIMARY KEY (team_name, project_name, code);


--
-- Name: iterations iterations_pkey; Type: CONSTRAINT; Schema: coding; Owner: -
--

ALTER TABLE ONLY coding.iterations
    ADD CONSTRAINT iterations_pkey PRIMARY KEY (team_name, project_name, code);


--
-- Name: project_members project_members_pkey; Type: CONSTRAINT; Schema: coding; Owner: -
--

ALTER TABLE ONLY coding.project_members
    ADD CONSTRAINT project_members_pkey PRIMARY KEY (team_name, project_name, id);


--
-- PostgreSQL database dump complete
--
