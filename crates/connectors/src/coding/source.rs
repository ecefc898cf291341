//! CODING as a source: listings, look-ups and the roster, with every answer in the engine's words.
//!
//! Start with [`CodingSource::open`]. It keeps no state but the client's; what is known of rows is the
//! journal's business.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use coding_api::{
    Client, ClientError, Credential, ErrorKind, IssueQuery, IssueType, Listing, OAuthCredential, PageSize,
    Priority, Reply, RowExt, SortKey, TokenStore,
};
use engine::clock::Clock;
use engine::custom::{CustomField, Holds};
use engine::inbox::Delivery;
use engine::journal::{MirrorRow, Reference};
use engine::problem::Problem;
use engine::row::{ProjectId, Row, RowId, RowKey};
use engine::schema::Table;
use engine::source::{
    Heard, Holders, LookUp, Order, Originals, Page, Project, Source, SourceError, SourceErrorKind,
    Unreadable, Urgency,
};
use futures::{Stream, StreamExt, TryStreamExt, stream};
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::config::{AuthConfig, CodingSettings, Projects};
use super::fault::source_error;
use super::hook;
use super::listed::Listed;
use super::relation;
use super::tables::{ISSUES, ITERATIONS, TABLES};

/// A custom field, from an entry of a project's list of fields; `None` for the system's own.
fn custom_field(entry: &coding_api::Row) -> Option<CustomField> {
    let field = entry.get("IssueField")?.as_object()?;
    if field.text("Type") != Some("CUSTOM") {
        return None;
    }
    let holds = match field.text("ComponentType").unwrap_or_default() {
        "TEXT_INTEGER" => Holds::Integer,
        "TEXT_DECIMAL" => Holds::Real,
        "TEXT_DATE" => Holds::Date,
        "TEXT_DATETIME" => Holds::Timestamp,
        "SELECT_MULTI" => Holds::Texts,
        "SELECT_MEMBER_SINGLE" => Holds::Name,
        "SELECT_MEMBER_MULTI" => Holds::Names,
        // Texts, choices, iterations, and what is not known yet.
        _ => Holds::Text,
    };
    Some(CustomField {
        id: field.integer("Id")?,
        name: field.text("Name").unwrap_or_default().to_owned(),
        holds,
    })
}

/// Rows a page when a whole table is read: the most that CODING gives.
const WHOLE_PAGE: u32 = 500;
/// Rows a page when the newest updates are read: most polls need one page.
const NEWEST_PAGE: u32 = 200;
/// Pages in flight when a whole table is read.
const LOOK_AHEAD: usize = 3;
/// The part of the budget in use above which look-ups are made sparingly.
const BUSY: f64 = 0.5;
/// A clock difference is believed for so long; clocks are put right now and then.
const CLOCK_WINDOW_SECONDS: i64 = 300;

/// CODING, for one credential.
pub struct CodingSource {
    client: Client,
    settings: CodingSettings,
    clock: Clock,
    /// The credential's user, once known; 0 when it has none (a project token).
    user: tokio::sync::OnceCell<i64>,
    /// Set once it is known that the credential belongs to the configured team, or that it does not say.
    team: tokio::sync::OnceCell<()>,
    ahead: Ahead,
}

/// The least that the server's clock is ahead of ours, from the `Date` of answers. Such a date is cut down to
/// the second and then travels, so the largest difference seen is the closest to the truth.
#[derive(Debug)]
struct Ahead {
    ms: AtomicI64,
    window: Mutex<(i64, i64)>,
}

impl Ahead {
    fn note(&self, server_time: Option<Timestamp>) {
        let Some(server_time) = server_time else { return };
        let now = Timestamp::now();
        let ahead = server_time.as_millisecond().saturating_sub(now.as_millisecond());
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, newest) = &mut *window;
        if now.as_second().saturating_sub(*since) > CLOCK_WINDOW_SECONDS || *since == 0 {
            (*since, *newest) = (now.as_second(), ahead);
            self.ms.store(ahead, Ordering::Relaxed);
        } else {
            *newest = (*newest).max(ahead);
            self.ms.fetch_max(*newest, Ordering::Relaxed);
        }
    }
}

impl CodingSource {
    /// A source of validated settings. Nothing is sent yet.
    ///
    /// # Errors
    /// When the credential or the CA file cannot be used.
    pub fn open(
        settings: CodingSettings,
        budgets: &coding_api::Budgets,
        tokens: Option<Arc<dyn TokenStore>>,
        clock: Clock,
    ) -> Result<CodingSource, SourceError> {
        let credential = credential(&settings.auth);
        CodingSource::with(settings, budgets, credential, tokens, clock)
    }

    /// A source with an OAuth access token that another process renews. Nothing is sent yet.
    ///
    /// # Errors
    /// When the token or the CA file cannot be used.
    pub fn open_with_token(
        settings: CodingSettings,
        budgets: &coding_api::Budgets,
        token: SecretString,
        clock: Clock,
    ) -> Result<CodingSource, SourceError> {
        CodingSource::with(settings, budgets, Credential::AccessToken(token), None, clock)
    }

    fn with(
        settings: CodingSettings,
        budgets: &coding_api::Budgets,
        credential: Credential,
        tokens: Option<Arc<dyn TokenStore>>,
        clock: Clock,
    ) -> Result<CodingSource, SourceError> {
        let budget = budgets.share(&settings.base_url, &settings.team, settings.rate_limit.unwrap_or(0));
        let mut builder = Client::builder(settings.base_url.clone(), credential).budget(budget);
        if let Some(tokens) = tokens {
            builder = builder.token_store(tokens);
        }
        if let Some(file) = &settings.ca_file {
            builder = builder.ca_file(file);
        }
        if let Some(proxy) = &settings.proxy {
            builder = builder.proxy(proxy.expose_secret());
        }
        let client = builder.build().map_err(unusable)?;
        let ahead = Ahead { ms: AtomicI64::new(0), window: Mutex::new((0, 0)) };
        let (user, team) = (tokio::sync::OnceCell::new(), tokio::sync::OnceCell::new());
        Ok(CodingSource { client, settings, clock, user, team, ahead })
    }

    /// The client, for checks and previews.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The settings it was opened with.
    #[must_use]
    pub fn settings(&self) -> &CodingSettings {
        &self.settings
    }

    /// Ends what the client has in the background.
    pub async fn close(&self) {
        self.client.close().await;
    }

    pub(super) fn at(&self, urgency: Urgency) -> Client {
        self.client.at(match urgency {
            Urgency::Hook => Priority::Hook,
            Urgency::Poll => Priority::Poll,
            Urgency::Load => Priority::Load,
            Urgency::Census => Priority::Census,
            Urgency::Detail => Priority::Detail,
        })
    }

    /// Fails when the credential belongs to another team than the configured one: CODING goes by the token
    /// alone, and the team is part of the key of every row.
    pub(super) async fn prove_team(&self, client: &Client) -> Result<(), SourceError> {
        self.team.get_or_try_init(|| self.ask_team(client)).await.copied()
    }

    async fn ask_team(&self, client: &Client) -> Result<(), SourceError> {
        let team = match client.team().await {
            Ok(reply) => reply.value,
            Err(error) if error.remedy() == coding_api::Remedy::Retry => {
                return Err(source_error("learn whose team this is", error));
            }
            // Not every credential may ask; whether it is good for anything, others find out.
            Err(_) => return Ok(()),
        };
        let host = team.text("TeamHost").and_then(|host| host.split_once("://")).map_or("", |(_, host)| host);
        let label = host.trim_end_matches('/').strip_suffix(".coding.net").unwrap_or_default();
        if label.is_empty() || label.eq_ignore_ascii_case(&self.settings.team) {
            return Ok(());
        }
        Err(SourceError {
            kind: SourceErrorKind::Refused,
            problem: Problem::new(
                "CODING-TEAM",
                format!("Cannot read team `{}`", self.settings.team),
                format!("the credential belongs to team `{label}`"),
                format!(
                    "Write `team: {label}`, or put a token of team `{}` into `source.auth`.",
                    self.settings.team
                ),
            ),
            source: None,
        })
    }

    /// The credential's user; 0 for a credential without one.
    async fn user(&self, client: &Client) -> Result<i64, SourceError> {
        self.user.get_or_try_init(|| self.ask_user(client)).await.copied()
    }

    async fn ask_user(&self, client: &Client) -> Result<i64, SourceError> {
        match client.current_user().await {
            Ok(reply) => {
                self.ahead.note(reply.server_time);
                Ok(reply.value.id().unwrap_or(0))
            }
            Err(error) if matches!(error.kind(), ErrorKind::Forbidden | ErrorKind::NotFound) => Ok(0),
            Err(error) => Err(source_error("learn whose credential this is", error)),
        }
    }

    async fn joined_projects(&self, client: &Client) -> Result<Vec<Project>, SourceError> {
        let user = self.user(client).await?;
        if user == 0 {
            return Ok(Vec::new());
        }
        let reply = client.user_projects(user).await.map_err(|e| source_error("list your projects", e))?;
        self.ahead.note(reply.server_time);
        Ok(reply.value.iter().filter_map(project).collect())
    }

    async fn team_projects(&self, client: &Client) -> Result<Vec<Project>, SourceError> {
        let pages: Result<Vec<coding_api::Page>, _> =
            client.projects().row_by_row().stream(1).try_collect().await;
        match pages {
            Ok(pages) => {
                pages.iter().for_each(|page| self.ahead.note(page.server_time));
                let unreadable = pages.iter().flat_map(|page| &page.unreadable);
                // A project that cannot be read must not be taken for one that is out of view.
                let half_read: Option<Vec<Project>> =
                    unreadable.clone().map(|row| project(&row.fields)).collect();
                let Some(half_read) = half_read else {
                    return Err(unreadable_project(unreadable.map(|row| row.why.as_str()).next()));
                };
                let read = pages.iter().flat_map(|page| &page.rows).filter_map(project);
                Ok(read.chain(half_read).collect())
            }
            // Some credentials see their own projects only.
            Err(error) if matches!(error.kind(), ErrorKind::Forbidden) => Ok(Vec::new()),
            Err(error) => Err(source_error("list the team's projects", error)),
        }
    }

    fn listing(&self, project: &Project, table: &Table, order: Order, client: &Client) -> (Listing, u32) {
        let size = match order {
            Order::Stable { .. } => WHOLE_PAGE,
            Order::NewestFirst => NEWEST_PAGE,
            Order::Newest { rows } => rows.clamp(1, NEWEST_PAGE),
        };
        let first = match order {
            Order::Stable { skip } => skip.checked_div(u64::from(size)).unwrap_or(0).saturating_add(1),
            Order::NewestFirst | Order::Newest { .. } => 1,
        };
        let listing = match table.id {
            ISSUES => {
                let (key, direction) = match order {
                    Order::Stable { .. } => (SortKey::Code, coding_api::Order::Ascending),
                    Order::NewestFirst | Order::Newest { .. } => {
                        (SortKey::UpdatedAt, coding_api::Order::Descending)
                    }
                };
                client
                    .issues(IssueQuery::new(project.name.as_str()).sort(key, direction).show_sub_issues(true))
            }
            ITERATIONS => client.iterations(project.name.as_str()),
            _ => client.project_members(project.id.0),
        };
        let listing = match PageSize::new(size) {
            Ok(size) => listing.with_page_size(size),
            Err(_) => listing,
        };
        (listing, u32::try_from(first).unwrap_or(u32::MAX))
    }

    fn page(&self, table: &Table, page: coding_api::Page<Row>) -> Page {
        self.ahead.note(page.server_time);
        let mut unreadable: Vec<Unreadable> = Vec::new();
        for row in page.unreadable {
            let id = row.key(table.key_field).map(RowId);
            unreadable.push(Unreadable { id, place: row.row, why: row.why });
        }
        let mut rows = Vec::with_capacity(page.rows.len());
        for (place, row) in (page.before.saturating_add(1)..).zip(page.rows) {
            match row.integer(table.key_field) {
                Some(id) => rows.push((RowId(id), row)),
                None => {
                    let why = format!("it has no `{}`", table.key_field);
                    unreadable.push(Unreadable { id: None, place, why });
                }
            }
        }
        Page { rows, sent: self.clock.at(page.sent_at), total: page.total, unreadable }
    }
}

impl Source for CodingSource {
    fn tables(&self) -> &'static [Table] {
        &TABLES
    }

    async fn roster(&self, urgency: Urgency) -> Result<Vec<Project>, SourceError> {
        let client = self.at(urgency);
        self.prove_team(&client).await?;
        let mut roster = match &self.settings.projects {
            Projects::All | Projects::AllBut(_) => Vec::new(),
            Projects::Named(names) => {
                let joined = self.joined_projects(&client).await?;
                if names.iter().all(|name| joined.iter().any(|project| project.name == *name)) {
                    return Ok(joined);
                }
                joined
            }
        };
        let team = self.team_projects(&client).await?;
        if team.is_empty() && roster.is_empty() {
            roster = self.joined_projects(&client).await?;
        }
        for project in team {
            if !roster.iter().any(|known| known.id == project.id) {
                roster.push(project);
            }
        }
        Ok(roster)
    }

    fn list(
        &self,
        project: &Project,
        table: &'static Table,
        order: Order,
        urgency: Urgency,
    ) -> impl Stream<Item = Result<Page, SourceError>> + Send {
        let (listing, first) = self.listing(project, table, order, &self.at(urgency));
        let look_ahead = if matches!(order, Order::Stable { .. }) { LOOK_AHEAD } else { 0 };
        let what = format!("list {} of project `{}`", table.name, project.name);
        let pages =
            listing.row_by_row().stream_as(Listed::of(table), first, look_ahead).map(
                move |page| match page {
                    Ok(page) => Ok(self.page(table, page)),
                    Err(error) => Err(source_error(&what, error)),
                },
            );
        // What deliveries make no listing shows: there is nothing to ask for.
        if table.from_inbox { stream::empty().left_stream() } else { pages.right_stream() }
    }

    async fn look_up(&self, project: &Project, key: RowKey, urgency: Urgency) -> Result<LookUp, SourceError> {
        let client = self.at(urgency);
        let before = Instant::now();
        let answer = match key.table {
            ISSUES => client.issue(&project.name, key.id.0).await,
            ITERATIONS => client.iteration(&project.name, key.id.0).await,
            _ => return Ok(LookUp { sent: self.clock.at(before), server_ms: None, row: None }),
        };
        match answer {
            Ok(Reply { value, sent_at, server_time }) => {
                self.ahead.note(server_time);
                // The date was made when the answer was: at the time of sending it was earlier by the round trip.
                let trip = i64::try_from(sent_at.elapsed().as_millis()).unwrap_or(i64::MAX);
                let dated = server_time.map(|time| time.as_millisecond().saturating_sub(trip));
                let now = Timestamp::now().as_millisecond();
                let reckoned = now.saturating_sub(trip).saturating_add(self.clock_ahead_ms());
                let row = match key.table {
                    ISSUES => complete(value),
                    _ => value,
                };
                Ok(LookUp {
                    sent: self.clock.at(sent_at),
                    server_ms: dated.map(|dated| dated.max(reckoned)),
                    row: Some(Row::from(row)),
                })
            }
            // An id that nobody has is also called an invalid parameter.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidParameter) => {
                Ok(LookUp { sent: self.clock.at(before), server_ms: None, row: None })
            }
            Err(error) => {
                let id = key.id.0;
                Err(source_error(format!("look up {id} in project `{}`", project.name), error))
            }
        }
    }

    async fn custom_fields(
        &self,
        project: &Project,
        _table: &'static Table,
        urgency: Urgency,
    ) -> Result<Vec<CustomField>, SourceError> {
        let client = self.at(urgency);
        let what = format!("read the custom fields of project `{}`", project.name);
        let failed = |error| source_error(&what, error);
        // Each type of issue has fields of its own; one is shown with every type that has it.
        let types = client.project_issue_types(&project.name).await.map_err(failed)?;
        let mut found: BTreeMap<i64, CustomField> = BTreeMap::new();
        for one in &types.value {
            let Some(base) = one.text("IssueType").and_then(IssueType::parse) else { continue };
            let entries = client.issue_fields(&project.name, base, one.integer("Id")).await;
            let entries = entries.map_err(failed)?.value;
            found.extend(entries.iter().filter_map(custom_field).map(|field| (field.id, field)));
        }
        Ok(found.into_values().collect())
    }

    fn hear(&self, delivery: &Delivery) -> Heard {
        hook::hear(delivery)
    }

    fn touched(&self, key: RowKey, before: Option<&Row>, after: Option<&Row>) -> Vec<RowKey> {
        hook::touched(key, before, after)
    }

    fn references(&self, table: &Table, row: &Row) -> Vec<Reference> {
        relation::references(table, row)
    }

    fn holders(&self, key: RowKey, before: Option<&Row>, after: Option<&Row>) -> Holders {
        relation::holders(key, before, after)
    }

    fn relatives(&self, key: RowKey, row: &Row) -> Originals {
        relation::relatives(key, row)
    }

    fn renew(&self, holder: &MirrorRow, other: &MirrorRow) -> Option<Row> {
        relation::renew(holder, other)
    }

    fn is_busy(&self, table: &Table) -> bool {
        let action = match table.id {
            ISSUES => "DescribeIssue",
            ITERATIONS => "DescribeIteration",
            _ => return false,
        };
        self.client.budget().usage(action) > BUSY
    }

    fn clock_ahead_ms(&self) -> i64 {
        self.ahead.ms.load(Ordering::Relaxed)
    }

    fn answers(&self) -> u64 {
        self.client.answers()
    }

    fn requests(&self) -> BTreeMap<String, u64> {
        self.client.counters().into_iter().map(|(action, count)| (action.to_owned(), count)).collect()
    }
}

/// A looked-up issue with the fields that only listings carry, as far as its objects say them.
fn complete(mut row: Map<String, Value>) -> Map<String, Value> {
    let id = |row: &Map<String, Value>, object: &str, key: &str| {
        row.get(object).and_then(|object| object.get(key)).and_then(engine::row::integer)
    };
    for (field, object, key) in
        [("AssigneeId", "Assignee", "Id"), ("CreatorId", "Creator", "Id"), ("ParentCode", "Parent", "Code")]
    {
        if let (false, Some(id)) = (row.contains_key(field), id(&row, object, key)) {
            row.insert(field.to_owned(), Value::from(id));
        }
    }
    if id(&row, "Parent", "Code") == Some(0) && !row.contains_key("ParentId") {
        row.insert("ParentId".to_owned(), Value::from(0));
    }
    let iteration = row.get("IterationId").and_then(engine::row::integer);
    if let (Some(id), Some(Value::Object(copy))) = (iteration, row.get_mut("Iteration"))
        && !copy.contains_key("Id")
    {
        copy.insert("Id".to_owned(), Value::from(id));
    }
    row
}

fn project(row: &coding_api::Row) -> Option<Project> {
    Some(Project { id: ProjectId(row.id()?), name: row.name()?.to_owned() })
}

fn credential(auth: &AuthConfig) -> Credential {
    match auth {
        AuthConfig::Token(token) => Credential::PersonalToken(token.clone()),
        AuthConfig::ProjectToken(token) => {
            Credential::ProjectToken { user: token.user.clone(), password: token.password.clone() }
        }
        AuthConfig::Oauth(oauth) => Credential::OAuth(OAuthCredential {
            client_id: oauth.client_id.clone(),
            client_secret: oauth.client_secret.clone(),
            refresh_token: oauth.refresh_token.clone(),
            access_token: oauth.access_token.clone(),
        }),
    }
}

fn unusable(error: ClientError) -> SourceError {
    let fix = match &error {
        ClientError::Credential => "Correct `source.auth`.",
        ClientError::CaFile { .. } | ClientError::CaFormat { .. } => "Correct `source.ca_file`.",
        ClientError::Proxy => "Correct `source.proxy`.",
        ClientError::NoCa { .. } => {
            "Install the system's certificate authorities (Debian's package `ca-certificates`), or name them in \
             `source.ca_file`."
        }
        _ => "Correct `source.ca_file` or `source.proxy`.",
    };
    SourceError {
        kind: SourceErrorKind::Refused,
        problem: Problem::new(
            "CODING-CLIENT",
            "Cannot prepare the connection to CODING",
            error.to_string(),
            fix,
        ),
        source: Some(Box::new(error)),
    }
}

/// A project of which not even id and name can be read.
fn unreadable_project(why: Option<&str>) -> SourceError {
    let why = why.unwrap_or("it is no object");
    SourceError {
        kind: SourceErrorKind::Transient,
        problem: Problem::new(
            "CODING-ANSWER",
            "Cannot list the team's projects",
            format!("one of them cannot be read, not even its `Id` and `Name`: {why}"),
            "It passes by itself when CODING answers properly; if it does not, ask CODING's support.",
        ),
        source: None,
    }
}
