//! Texts of the seed data: short titles and long descriptions with everything that breaks readers.
//!
//! A derived text is kept as its seed alone and written out when a row is rendered, so that a million
//! rows with long descriptions fit in memory.

use std::borrow::Cow;

use crate::dice::Dice;

/// Stands in stored texts for a lone surrogate, which Rust strings cannot hold; the wire gets `\ud800`.
pub(crate) const LONE_SURROGATE: char = '\u{F8FF}';

/// A text of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Text {
    /// Written out of the seed whenever it is needed.
    Derived(u64),
    /// Given by a caller or an edit.
    Own(Box<str>),
}

impl Text {
    /// The text as a title.
    pub(crate) fn title(&self) -> Cow<'_, str> {
        match self {
            Self::Derived(seed) => Cow::Owned(title(*seed)),
            Self::Own(text) => Cow::Borrowed(text),
        }
    }

    /// The text as a description of about `typical` bytes.
    pub(crate) fn description(&self, typical: usize) -> Cow<'_, str> {
        match self {
            Self::Derived(seed) => Cow::Owned(description(*seed, typical)),
            Self::Own(text) => Cow::Borrowed(text),
        }
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::Own(text.into_boxed_str())
    }
}

const SUBJECTS: [&str; 16] = [
    "登录页面",
    "支付接口",
    "Search index",
    "导出报表",
    "mobile app",
    "消息推送 🔔",
    "权限校验",
    "CI 流水线",
    "用户头像",
    "Webhook",
    "数据库迁移",
    "缓存层",
    "the \"settings\" dialog",
    "订单列表",
    "API gateway",
    "多语言 i18n",
];

const VERBS: [&str; 16] = [
    "偶发超时",
    "needs pagination",
    "样式错位",
    "崩溃 💥",
    "重构",
    "is slow on 3G",
    "支持批量操作",
    "补充单元测试",
    "返回 500",
    "增加埋点",
    "升级依赖",
    "drops the last row",
    "无法保存",
    "add dark mode",
    "与设计稿不一致",
    "迁移到新版本",
];

/// Titles that trip parsers; each appears now and then.
const ODD_TITLES: [&str; 14] = [
    "null",
    "NULL",
    "undefined",
    "0",
    "-28800000",
    "true",
    "[]",
    "{}",
    "NaN",
    "1e400",
    " leading and trailing ",
    "零宽\u{200B}字符\u{FEFF}",
    "a\\b \"c\" 'd' `e` $1 %s ?",
    "🏳️‍🌈👩🏽‍💻",
];

const SENTENCES: [&str; 28] = [
    "<p>用户在弱网环境下点击提交按钮后页面没有任何反馈。</p>",
    "Steps to reproduce:\n1. open the list\n2. sort by priority\n3. go to page 2\n",
    "预期结果：保存成功并返回列表；实际结果：弹出“系统繁忙，请稍后再试”。",
    "<ul><li>第一步</li><li>第二步 &amp; 校验</li></ul>",
    "The request took \"3.2 s\" on average, the 99th percentile was above 11 s.",
    "见附件截图 📎，以及昨天的讨论记录 🗒️。",
    "```sql\nSELECT * FROM orders WHERE note LIKE '%100\\%%' -- 'quoted'\n```\n",
    "需要兼容 Windows\r\n换行符与\t制表符。",
    "null",
    "Überprüfung der Größenangaben – naïve café façade.",
    "コードレビューで指摘された箇所を修正してください。",
    "개발 환경에서만 재현됩니다.",
    "<img src=\"/api/file/1?a=1&b=2\" alt='图'>",
    "零宽字符\u{200B}在这里\u{200D}，还有\u{FEFF}字节顺序标记。",
    "路径 C:\\temp\\new\\table 与正则 ^\\d+\\.\\d{2}$ 都要原样保留。",
    "数学符号 ∑∫√∞ ≠ ≤，货币 ￥€£，全角ＡＢＣ１２３。",
    "生僻字：𠮷野家、㐂、龘、𪚥。",
    "表情组合：👨‍👩‍👧‍👦 🇨🇳 👍🏿 ☕️。",
    "{\"json\": [1, 2.50, null], \"nested\": {\"引号\": \"\\\"\"}}",
    "مرحبا بالعالم — right to left.",
    "性能目标：单页 500 行，响应 < 200ms；并发 30 req/s。",
    "</script><script>alert('xss')</script>",
    "'; DROP TABLE issues; --",
    "行分隔符\u{2028}段分隔符\u{2029}控制字符\u{1}\u{1F}。",
    "组合附加符号：e\u{301} 与 é 不同，Å 与 Å 也不同。",
    "负责人请在周五 23:59:59 前更新状态。",
    "- [ ] 回归测试\n- [x] 文档\n\n---\n",
    "验收标准：无 P0/P1 缺陷，覆盖率 ≥ 80%。",
];

/// One in this many rows has a description near the largest size seen in the field.
const HUGE_ONE_IN: u64 = 1_500;

fn title(seed: u64) -> String {
    let mut dice = Dice::of(seed, &[1]);
    if dice.below(24) == 0 {
        return dice.pick(&ODD_TITLES).map_or_else(String::new, |odd| (*odd).to_owned());
    }
    let subject = dice.pick(&SUBJECTS).copied().unwrap_or_default();
    let verb = dice.pick(&VERBS).copied().unwrap_or_default();
    format!("{subject} {verb} #{}", dice.below(100_000))
}

fn description(seed: u64, typical: usize) -> String {
    let mut dice = Dice::of(seed, &[2]);
    if typical == 0 || dice.below(12) == 0 {
        return String::new();
    }
    let size = if dice.below(HUGE_ONE_IN) == 0 {
        60_000_usize.saturating_add(dice.index(40_000))
    } else {
        (typical / 4).saturating_add(dice.index(typical.saturating_add(typical / 2)))
    };
    let mut text = String::with_capacity(size.saturating_add(160));
    while text.len() < size {
        text.push_str(dice.pick(&SENTENCES).copied().unwrap_or("…"));
    }
    text
}

/// A family and a given name with its spelling in Latin letters.
pub(crate) fn person(dice: &mut Dice) -> (String, String) {
    const FAMILY: [(&str, &str); 12] = [
        ("王", "wang"),
        ("李", "li"),
        ("张", "zhang"),
        ("刘", "liu"),
        ("陈", "chen"),
        ("杨", "yang"),
        ("赵", "zhao"),
        ("黄", "huang"),
        ("周", "zhou"),
        ("吴", "wu"),
        ("欧阳", "ouyang"),
        ("O'Brien ", "obrien"),
    ];
    const GIVEN: [(&str, &str); 12] = [
        ("伟", "wei"),
        ("芳", "fang"),
        ("秀英", "xiuying"),
        ("敏", "min"),
        ("静", "jing"),
        ("丽", "li"),
        ("强", "qiang"),
        ("磊", "lei"),
        ("洋", "yang"),
        ("艳 🌸", "yan"),
        ("勇", "yong"),
        ("Ana", "ana"),
    ];
    let family = dice.pick(&FAMILY).copied().unwrap_or_default();
    let given = dice.pick(&GIVEN).copied().unwrap_or_default();
    (format!("{}{}", family.0, given.0), format!("{}{}", family.1, given.1))
}
