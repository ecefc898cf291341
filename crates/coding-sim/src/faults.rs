//! What a server can do to its clients: faults with a probability each, and standing switches.
//!
//! A fault is chosen before a request is handled; [`crate::distort`] and [`crate::http`] carry it out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::dice::Dice;

/// Faults and switches. As JSON this is what the admin API takes and answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Probability per request of each fault, 0 to 1; at most one strikes a request.
    pub each: BTreeMap<FaultKind, f64>,
    /// Only requests of these actions are struck; empty = all actions, but not the token endpoint, which
    /// is struck only where it is named, as `oauth/access_token`.
    pub actions: Vec<String>,
    /// A hanging request is cut off after this time; 0 = hangs until the client gives up.
    pub hang_ms: u64,
    /// How long a slow answer takes; 0 = 1,500 ms.
    pub trickle_ms: u64,
    /// How old the rows of a [`FaultKind::StaleList`] are; 0 = 5 s.
    pub stale_seconds: u32,
    /// Standing: lists show issues as they were so long ago, details are current.
    pub listing_age_seconds: u32,
    /// Standing: new issues appear in lists only after this time.
    pub listing_lag_seconds: u32,
    /// Standing: added to the totals of all lists that are not empty.
    pub total_delta: i64,
    /// Standing: page sizes are cut to this without a word; 0 = off.
    pub max_page_size: u32,
    /// Standing: pages of more rows than this never come: 504, as from a gateway that gave up; 0 = off.
    pub slow_above: u32,
    /// Standing: rows of issue and member lists that cannot be read, by code or id, in every project.
    pub spoiled_rows: BTreeMap<u32, Spoil>,
    /// Standing: the member list of every project answers empty.
    pub members_empty: bool,
    /// Standing: every credential is answered as unknown.
    pub credential_unknown: bool,
    /// Standing: the server answers nothing useful at all.
    pub outage: Option<Outage>,
    /// Standing: projects that the credentials no longer see, by identifier.
    pub lost_projects: BTreeMap<String, AccessLoss>,
    /// Standing: projects that the lists show and about which everything else answers this code, by identifier:
    /// `UnauthorizedOperation`, `ResourceNotFound`, `FailedOperation` or `InvalidParameterValue`.
    pub refused_projects: BTreeMap<String, String>,
    /// Standing: skew of the `Date` header.
    pub date_skew_seconds: i64,
    /// Standing: skew of the times that changed rows are stamped with.
    pub updated_at_skew_seconds: i64,
}

/// How a project is out of reach. It vanishes from the project lists in both styles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessLoss {
    /// Everything about it answers `UnauthorizedOperation`.
    Errors,
    /// Lists answer empty with zero totals, look-ups of rows `ResourceNotFound`; the project itself
    /// still answers.
    EmptyLists,
}

/// How an unreachable server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outage {
    /// Connections are reset.
    Reset,
    /// HTTP 503 with an HTML body.
    Unavailable,
    /// HTTP 302 to a login page.
    Moved,
}

/// What is wrong with a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spoil {
    /// A value is `NaN`.
    NotANumber,
    /// A value is `1e400`.
    HugeNumber,
    /// A text holds a tab as it is.
    RawTab,
    /// A value is nested 200 deep.
    TooDeep,
    /// The code or id itself is `NaN`.
    Nameless,
}

/// One thing that can happen to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The connection is reset before an answer.
    Reset,
    /// No answer.
    Hang,
    /// The right answer, slowly.
    Trickle,
    /// HTTP 500.
    Http500,
    /// HTTP 502.
    Http502,
    /// HTTP 503.
    Http503,
    /// HTTP 503 with `Retry-After: 1`.
    Http503RetryAfter,
    /// HTTP 429.
    Http429,
    /// HTTP 429 with `Retry-After: 1`.
    Http429RetryAfter,
    /// HTTP 401 for a good credential.
    Http401,
    /// HTTP 403 for a good credential.
    Http403,
    /// An HTML page with 200.
    Html200,
    /// An HTML page with 502.
    Html502,
    /// The body ends in the middle of the JSON, properly announced.
    TruncatedJson,
    /// The connection ends in the middle of the body.
    CutOff,
    /// `{"Response": null}`.
    NullResponse,
    /// `{}`.
    MissingResponse,
    /// No body at all.
    EmptyBody,
    /// The right JSON as `text/html`.
    WrongContentType,
    /// `Error` without `Response` around it.
    TopLevelError,
    /// `InternalError` inside a 200.
    InternalError,
    /// `RequestLimitExceeded` inside a 200.
    RequestLimitExceeded,
    /// `ResourceUnavailable` inside a 200.
    ResourceUnavailable,
    /// A list answers no rows, with the right total.
    EmptyPage,
    /// A list's total is wrong by a random number.
    LyingTotal,
    /// Only the first third of a page's rows; the page size is the one asked for.
    ShortPage,
    /// The page size is cut to a third, and pages are counted by it.
    CutPageSize,
    /// A row of the page comes twice, at the end and at the start.
    DuplicateRows,
    /// A valid gzip body.
    Gzip,
    /// Numbers in quotes.
    StringNumbers,
    /// `data` instead of `Data`.
    LowerCaseData,
    /// `null` for every 0 and every empty string.
    NullUnset,
    /// A list shows issues as they were [`Faults::stale_seconds`] ago.
    StaleList,
    /// A look-up answers `ResourceNotFound` for a row that exists.
    DetailNotFound,
    /// The credential is answered as unknown, once.
    CredentialUnknown,
    /// A lone surrogate in a text.
    LoneSurrogate,
    /// U+0000 in a text.
    NulCharacter,
    /// Bytes that are no UTF-8 in a text.
    InvalidUtf8,
}

/// Faults after which the same request simply succeeds, or which lose no information.
const TRANSIENT: [FaultKind; 28] = [
    FaultKind::Reset,
    FaultKind::Hang,
    FaultKind::Trickle,
    FaultKind::Http500,
    FaultKind::Http502,
    FaultKind::Http503,
    FaultKind::Http503RetryAfter,
    FaultKind::Http429,
    FaultKind::Http429RetryAfter,
    FaultKind::Html200,
    FaultKind::Html502,
    FaultKind::TruncatedJson,
    FaultKind::CutOff,
    FaultKind::NullResponse,
    FaultKind::MissingResponse,
    FaultKind::EmptyBody,
    FaultKind::WrongContentType,
    FaultKind::TopLevelError,
    FaultKind::InternalError,
    FaultKind::RequestLimitExceeded,
    FaultKind::ResourceUnavailable,
    FaultKind::EmptyPage,
    FaultKind::LyingTotal,
    FaultKind::ShortPage,
    FaultKind::CutPageSize,
    FaultKind::DuplicateRows,
    FaultKind::Gzip,
    FaultKind::DetailNotFound,
];

impl Faults {
    /// Every transient kind, together with probability `p` per request. A hang ends after two seconds.
    ///
    /// Left out are kinds that change values (spellings, stale rows, damaged texts) or that say that
    /// the credential is refused.
    #[must_use]
    pub fn transient(p: f64) -> Self {
        Self::evenly(p, &TRANSIENT)
    }

    /// The same data in other spellings: numbers in quotes, null for unset, `data`.
    #[must_use]
    pub fn spellings(p: f64) -> Self {
        Self::evenly(p, &[FaultKind::StringNumbers, FaultKind::NullUnset, FaultKind::LowerCaseData])
    }

    /// These kinds, together with probability `p` per request.
    #[must_use]
    pub fn evenly(p: f64, kinds: &[FaultKind]) -> Self {
        let count = f64::from(u32::try_from(kinds.len().max(1)).unwrap_or(u32::MAX));
        let each = kinds.iter().map(|kind| (*kind, p / count)).collect();
        Self { each, hang_ms: 2_000, ..Self::default() }
    }

    /// One kind with probability `p`.
    #[must_use]
    pub fn only(kind: FaultKind, p: f64) -> Self {
        Self { each: BTreeMap::from([(kind, p)]), ..Self::default() }
    }

    /// Rolls whether a request of `action` is struck, and by what. The sum of all probabilities decides
    /// whether; kinds that cannot happen to this action leave their share to the others.
    pub(crate) fn strike(&self, action: &str, dice: &mut Dice) -> Option<FaultKind> {
        let sum: f64 = self.each.values().sum();
        if sum <= 0.0 || !(self.actions.is_empty() || self.actions.iter().any(|name| name == action)) {
            return None;
        }
        if !dice.chance(sum) {
            return None;
        }
        let able: Vec<(FaultKind, f64)> = self
            .each
            .iter()
            .map(|(kind, p)| (*kind, *p))
            .filter(|(kind, _)| kind.applies_to(action))
            .collect();
        let mut point = dice.unit() * able.iter().map(|(_, p)| p).sum::<f64>();
        for (kind, p) in &able {
            point -= p;
            if point < 0.0 {
                return Some(*kind);
            }
        }
        None
    }
}

impl FaultKind {
    /// The name in JSON and in the counters.
    #[must_use]
    pub fn name(self) -> String {
        serde_json::to_value(self).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
    }

    fn applies_to(self, action: &str) -> bool {
        match self {
            Self::EmptyPage
            | Self::LyingTotal
            | Self::ShortPage
            | Self::CutPageSize
            | Self::DuplicateRows => PAGED.contains(&action),
            Self::StaleList => action == "DescribeIssueListWithPage",
            Self::LowerCaseData => action == "DescribeIterationList",
            Self::DetailNotFound => matches!(action, "DescribeIssue" | "DescribeIteration"),
            _ => true,
        }
    }
}

/// Lists that answer in pages.
pub(crate) const PAGED: [&str; 5] = [
    "DescribeIssueListWithPage",
    "DescribeIterationList",
    "DescribeProjectMembers",
    "DescribeTeamMembers",
    "DescribeCodingProjects",
];
