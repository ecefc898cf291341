//! What a simulated team looks like and how its server behaves.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::faults::Faults;
use crate::hooks::faults::HookFaults;

/// Settings of one simulator. [`SimConfig::default`] is a small team `demo` on a free port.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The same seed and settings give byte-identical data.
    pub seed: u64,
    /// Sub-domain label of the team.
    pub team: String,
    /// The team's projects.
    pub projects: Vec<ProjectConfig>,
    /// Users of the team that are in no project.
    pub outsiders: u32,
    /// Typical size of a description in bytes; a few rows are far longer, some empty.
    pub description_bytes: usize,
    /// One row in this many has U+0000 and a lone surrogate in its texts; 0 = none.
    pub broken_text_one_in: u32,
    /// Requests per action in a sliding second; 0 = no limit.
    pub rate_limit: u32,
    /// Waited before every answer.
    pub latency: Duration,
    /// Changes per second that the server makes by itself; 0 = none.
    pub mutations_per_second: f64,
    /// Faults to begin with.
    pub faults: Faults,
    /// Faults of Service Hooks to begin with.
    pub hook_faults: HookFaults,
    /// Events that `DescribeEvents` does not offer and that a hook cannot be created with.
    pub unoffered_events: Vec<String>,
    /// How long a delivery may take.
    pub hook_timeout: Duration,
    /// Deliveries of one hook that are under way at the same time; they begin in the order of the events.
    /// With 1 each waits for the answer to the one before.
    pub hook_concurrency: usize,
    /// A hook's log keeps so many of its newest deliveries, within 128 MiB.
    pub hook_log_rows: usize,
    /// The accepted personal token.
    pub token: String,
    /// Scopes of the personal token.
    pub scopes: Vec<String>,
    /// Further personal tokens of the same team.
    pub more_tokens: Vec<TokenConfig>,
    /// Project tokens (Basic).
    pub project_tokens: Vec<ProjectToken>,
    /// The OAuth application, if there is one.
    pub oauth: Option<OAuthConfig>,
    /// How a refused credential is answered.
    pub refusal: Refusal,
    /// What `Offset` of the iteration list means.
    pub iteration_offset: OffsetStyle,
    /// True: the iteration list answers `data` with page fields, as the older service did.
    pub iteration_lower_case_data: bool,
    /// Page sizes above this are cut without a word; 0 = the documented 500.
    pub max_page_size: u32,
    /// The first creation time of the seed data, in milliseconds.
    pub epoch_ms: i64,
    /// The seed data spreads over this many days from the epoch.
    pub spread_days: u32,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            seed: 1,
            team: "demo".to_owned(),
            projects: vec![
                ProjectConfig::new("mobile-app", 400, 12, 14),
                ProjectConfig::new("backend", 120, 5, 9),
            ],
            outsiders: 5,
            description_bytes: 600,
            broken_text_one_in: 0,
            rate_limit: DOCUMENTED_RATE,
            latency: Duration::ZERO,
            mutations_per_second: 0.0,
            faults: Faults::default(),
            hook_faults: HookFaults::default(),
            // The vendor's document does not list them among the values that may be asked for.
            unoffered_events: ["ISSUE_HOUR_RECORD_UPDATED", "ITERATION_PLANNED"].map(str::to_owned).to_vec(),
            hook_timeout: DOCUMENTED_HOOK_TIMEOUT,
            hook_concurrency: 8,
            hook_log_rows: 10_000,
            token: DEFAULT_TOKEN.to_owned(),
            scopes: all_scopes(),
            more_tokens: Vec::new(),
            project_tokens: Vec::new(),
            oauth: None,
            refusal: Refusal::AuthFailure,
            iteration_offset: OffsetStyle::PageIndex,
            iteration_lower_case_data: false,
            max_page_size: 0,
            epoch_ms: DEFAULT_EPOCH_MS,
            spread_days: 300,
        }
    }
}

/// The vendor's stated limit: requests per second, team and action.
pub const DOCUMENTED_RATE: u32 = 30;
/// The documented largest page of the issue list.
pub const DOCUMENTED_PAGE: u32 = 500;
/// How long CODING waits for the answer to a hook.
const DOCUMENTED_HOOK_TIMEOUT: Duration = Duration::from_secs(5);
/// The personal token that a default simulator accepts (40 hex digits, as real ones).
pub const DEFAULT_TOKEN: &str = "5109a7e000000000000000000000000000000001";
/// 2025-06-01T00:00:00Z: fixed, so that the seed data does not depend on the day it is made.
const DEFAULT_EPOCH_MS: i64 = 1_748_736_000_000;

/// Every scope that the simulated actions ask for.
#[must_use]
pub fn all_scopes() -> Vec<String> {
    [
        "user:profile:ro",
        "team:profile:ro",
        "team:member:ro",
        "project:profile:ro",
        "project:member:ro",
        "collaboration:issue:rw",
        "service-hook:profile:rw",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect()
}

/// One project of the seed data.
#[derive(Clone, Debug)]
pub struct ProjectConfig {
    /// The identifier that requests name.
    pub name: String,
    /// How many issues of all types.
    pub issues: u32,
    /// How many iterations.
    pub iterations: u32,
    /// How many members.
    pub members: u32,
}

impl ProjectConfig {
    /// A project of the given sizes.
    #[must_use]
    pub fn new(name: &str, issues: u32, iterations: u32, members: u32) -> Self {
        Self { name: name.to_owned(), issues, iterations, members }
    }
}

/// A further personal token.
#[derive(Clone, Debug)]
pub struct TokenConfig {
    /// The token itself.
    pub token: String,
    /// Its scopes.
    pub scopes: Vec<String>,
    /// The projects that its user sees; `None` = all.
    pub projects: Option<Vec<String>>,
}

/// A project token: a user and a password for one project.
#[derive(Clone, Debug)]
pub struct ProjectToken {
    /// The user part.
    pub user: String,
    /// The password part.
    pub password: String,
    /// The project's identifier.
    pub project: String,
    /// Its scopes, spelled as those of a personal token.
    pub scopes: Vec<String>,
}

/// An OAuth application with one authorised user.
#[derive(Clone, Debug)]
pub struct OAuthConfig {
    /// The application's id.
    pub client_id: String,
    /// The application's secret.
    pub client_secret: String,
    /// An authorisation code that works once.
    pub code: Option<String>,
    /// An access token that is valid at the start, for `expires_in`.
    pub access_token: Option<String>,
    /// The refresh token that is valid at the start.
    pub refresh_token: String,
    /// Life of an access token in seconds; answered as a string.
    pub expires_in: u64,
    /// True: a refresh answers another refresh token and the old one is void.
    pub rotate_refresh_token: bool,
    /// Scopes of the tokens.
    pub scopes: Vec<String>,
}

/// How a refused credential is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `AuthFailure` inside a 200.
    AuthFailure,
    /// `ResourceNotFound` with `User not found, authorization invalid` inside a 200.
    UserNotFound,
    /// HTTP 401 with `AuthFailure` in the envelope.
    Http401,
}

/// What `Offset` means in the iteration list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffsetStyle {
    /// The number of the page, from 0.
    PageIndex,
    /// The number of rows to skip.
    RowOffset,
}
