//! The custom fields of the team: they come, are renamed and go while the server runs.

/// A custom field; every issue type of every project has it.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    /// Never given again.
    pub(crate) id: u32,
    /// Need not be unique.
    pub(crate) name: String,
    pub(crate) component: Component,
    pub(crate) options: Vec<String>,
    pub(crate) unit: String,
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}

/// What sort of value a custom field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Component {
    TextSingleLine,
    TextMultiLine,
    SelectSingle,
    SelectMulti,
    Radio,
    Checkbox,
    MemberSingle,
    MemberMulti,
    DateTime,
    Date,
    Integer,
    Decimal,
    IterationSingle,
    IterationMulti,
}

impl Component {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::TextSingleLine => "TEXT_SINGLE_LINE",
            Self::TextMultiLine => "TEXT_MULTI_LINE",
            Self::SelectSingle => "SELECT_SINGLE",
            Self::SelectMulti => "SELECT_MULTI",
            Self::Radio => "RADIO",
            Self::Checkbox => "CHECKBOX",
            Self::MemberSingle => "SELECT_MEMBER_SINGLE",
            Self::MemberMulti => "SELECT_MEMBER_MULTI",
            Self::DateTime => "TEXT_DATETIME",
            Self::Date => "TEXT_DATE",
            Self::Integer => "TEXT_INTEGER",
            Self::Decimal => "TEXT_DECIMAL",
            Self::IterationSingle => "SELECT_ITERATION_SINGLE",
            Self::IterationMulti => "SELECT_ITERATION_MULTI",
        }
    }

    /// The component that the API spells so.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        FIRST.iter().map(|(_, component, ..)| *component).find(|component| component.as_str() == text)
    }
}

/// Of the fields that a team begins with: name, component, options, unit.
type First = (&'static str, Component, &'static [&'static str], &'static str);

/// One field per component, with ids that ascend from [`FIRST_ID`].
static FIRST: [First; 14] = [
    ("客户名称", Component::TextSingleLine, &[], ""),
    ("复现步骤", Component::TextMultiLine, &[], ""),
    ("严重程度", Component::SelectSingle, &["致命", "严重", "一般", "提示, \"低\""], ""),
    ("影响平台", Component::SelectMulti, &["iOS", "Android", "Web", "小程序 📱"], ""),
    ("是否回归", Component::Radio, &["是", "否"], ""),
    ("已确认", Component::Checkbox, &["true", "false"], ""),
    ("测试负责人", Component::MemberSingle, &[], ""),
    ("评审人", Component::MemberMulti, &[], ""),
    ("上线时间", Component::DateTime, &[], ""),
    ("客户期望日期", Component::Date, &[], ""),
    ("影响用户数", Component::Integer, &[], "人"),
    ("预算 (万元)", Component::Decimal, &[], "万元"),
    ("计划迭代", Component::IterationSingle, &[], ""),
    ("涉及迭代", Component::IterationMulti, &[], ""),
];

const FIRST_ID: u32 = 81_001;

/// The fields that a team made at `created_at` begins with, ascending by id.
pub(crate) fn first_fields(created_at: i64) -> Vec<Field> {
    let fields = (FIRST_ID..).zip(&FIRST).map(|(id, (name, component, options, unit))| Field {
        id,
        name: (*name).to_owned(),
        component: *component,
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        unit: (*unit).to_owned(),
        created_at,
        updated_at: created_at,
    });
    fields.collect()
}
