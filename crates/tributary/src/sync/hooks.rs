//! The hook of a connection: its inbox, its keys, the door through which deliveries come in, and that CODING knows
//! where the door is. What deliveries mean is the capture's business.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use connectors::coding::config::{Register, WebhookSettings};
use connectors::coding::hook::Proof;
use connectors::coding::hook::register::{HookPlan, How, Registered};
use connectors::coding::source::CodingSource;
use engine::capture::{Hooks, Progress};
use engine::inbox::Inbox;
use engine::journal::Journal;
use engine::problem::Problem;
use engine::schema::Table;
use engine::source::{Project, SourceError, SourceErrorKind};
use engine::status::Board;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use server::receiver::{Door, DoorToken, Doors, Limits, Receiver};
use store::hook::{HookKeys, HookVault};
use store::inbox::SqliteInbox;
use store::vault::Vault;
use tokio::sync::{OnceCell, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::recall;
use crate::pipeline::Pipeline;

/// A change that no delivery came for within this time was missed.
const MISSED_AFTER: Duration = Duration::from_mins(2);
/// How often it is looked whether somebody else changed the keys.
const LOOK_AT_KEYS: Duration = Duration::from_secs(1);
/// How often the hook at CODING is looked at and put right, and what it could not deliver is fetched.
const LOOK_AT_HOOK: Duration = Duration::from_hours(1);
/// A registration that failed is tried again after this time, then after twice as long ...
const RETRY_AFTER: Duration = Duration::from_secs(30);
/// ... but never later than this.
const RETRY_AT_LAST: Duration = Duration::from_mins(10);
/// Clocks differ: what failed so long before the last fetch is fetched too. The inbox knows repetitions.
const OVERLAP: Duration = Duration::from_mins(5);
/// Document with the time up to which everything that could not be delivered has been fetched, by project.
const FETCHED: &str = "hook/fetched";

/// The hook of a group of pipelines.
#[derive(Debug)]
pub(crate) struct Hook {
    /// The connection's name, for whoever asks at the door.
    connection: String,
    settings: WebhookSettings,
    inbox: Arc<SqliteInbox>,
    vault: HookVault,
}

/// A hook's keys as they count now: what the configuration says, else what was made.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    /// Tokens that open the door, the newest first.
    pub(crate) tokens: Vec<DoorToken>,
    /// The key of signatures.
    pub(crate) secret: SecretString,
}

impl Keys {
    /// Puts the configuration's keys before those that were made.
    pub(crate) fn of(settings: &WebhookSettings, kept: &HookKeys) -> Keys {
        let tokens = match &settings.token {
            Some(token) => vec![DoorToken { text: token.clone(), until: None }],
            None => kept
                .tokens
                .iter()
                .rev()
                .map(|token| DoorToken { text: token.text.clone(), until: token.until })
                .collect(),
        };
        let secret = settings.secret.clone().or_else(|| kept.secret.clone()).unwrap_or_default();
        Keys { tokens, secret }
    }

    /// The newest token.
    pub(crate) fn token(&self) -> SecretString {
        self.tokens.first().map(|token| token.text.clone()).unwrap_or_default()
    }
}

/// The keys of a pipeline's hook as they count now, made where there are none yet.
pub(crate) async fn keys(settings: &WebhookSettings, vault: &HookVault) -> Result<Keys, Problem> {
    let kept = vault.ensure().await.map_err(|error| error.problem)?;
    Ok(Keys::of(settings, &kept))
}

/// The keys as somebody else changed them. Makes none: a vault that is gone is no wish for other keys.
async fn reread(settings: &WebhookSettings, vault: &HookVault) -> Result<Keys, Problem> {
    let kept = vault.load().await.map_err(|error| error.problem)?.ok_or_else(|| {
        Problem::new(
            "VAULT-GONE",
            "The keys of the hook cannot be read",
            format!("{} does not hold them any more", store::vault::FILE),
            "Put the file back. The next start makes other keys, and the hook's URL is then another one.",
        )
    })?;
    Ok(Keys::of(settings, &kept))
}

/// Where the keys of a pipeline's hook are kept.
pub(crate) async fn vault(dir: &Path, key: Option<SecretString>) -> Result<HookVault, Problem> {
    let dir = dir.to_owned();
    match tokio::task::spawn_blocking(move || Vault::open(&dir, key)).await {
        Ok(opened) => Ok(HookVault::new(Arc::new(opened.map_err(|error| error.problem)?))),
        Err(error) => Err(super::group::broke_down(&error)),
    }
}

/// What is kept of a pipeline's hook; nothing where nothing has run yet. Makes nothing.
pub(crate) async fn kept(dir: &Path, key: Option<SecretString>) -> Result<HookKeys, Problem> {
    if !dir.join(store::vault::FILE).exists() {
        return Ok(HookKeys::default());
    }
    let kept = vault(dir, key).await?.load().await.map_err(|error| error.problem)?;
    Ok(kept.unwrap_or_default())
}

impl Hook {
    /// Opens the hook of a pipeline, if it has one. The caller holds the lock of `dir`.
    pub(crate) async fn open(
        pipeline: &Pipeline,
        dir: &Path,
        key: Option<SecretString>,
    ) -> Result<Option<Hook>, Problem> {
        let Some(settings) = pipeline.source.webhook.clone() else { return Ok(None) };
        let vault = vault(dir, key).await?;
        let inbox = SqliteInbox::open(dir, settings.max_bytes).await.map_err(|error| error.problem)?;
        Ok(Some(Hook { connection: pipeline.name.clone(), settings, inbox: Arc::new(inbox), vault }))
    }

    /// Where it listens.
    pub(crate) fn listen(&self) -> SocketAddr {
        self.settings.listen
    }

    /// What the capture needs of it.
    pub(crate) fn for_capture(&self) -> Hooks {
        let WebhookSettings { keep, max_bytes, give_up_after, .. } = self.settings;
        let inbox: Arc<dyn Inbox> = self.inbox.clone();
        Hooks { inbox, give_up_after, missed_after: MISSED_AFTER, keep, max_bytes }
    }

    /// Waits for what is under way and closes the inbox.
    pub(crate) async fn close(self) {
        if let Err(error) = self.inbox.close().await {
            tracing::warn!(problem = %error.problem, "the inbox was not closed cleanly");
        }
    }

    fn open_door(&self, keys: &Keys, doors: &Doors, board: &Board) {
        let proof = Proof {
            secret: Some(keys.secret.clone()),
            basic: self.settings.basic.clone(),
            allow_from: self.settings.allow_from.clone(),
        };
        let inbox: Arc<dyn Inbox> = self.inbox.clone();
        let (connection, tokens) = (self.connection.clone(), keys.tokens.clone());
        doors.set(Door { connection, tokens, proof, inbox, board: board.clone() });
    }
}

/// Keeps the door open and the hook at CODING right until it is cancelled.
pub(crate) struct Tending<J> {
    pub(crate) hook: Arc<Hook>,
    pub(crate) source: Arc<CodingSource>,
    pub(crate) journal: Arc<J>,
    pub(crate) tables: Vec<&'static Table>,
    pub(crate) doors: Doors,
    pub(crate) board: Board,
}

impl<J: Journal> Tending<J> {
    /// Deliveries come in as soon as this runs. Nothing about the hook ends the run: what it does not tell, polls
    /// find.
    ///
    /// # Errors
    /// The keys cannot be read or kept at the start, or the inbox takes nothing in any more.
    pub(crate) async fn run(
        self,
        mut progress: watch::Receiver<Progress>,
        cancel: CancellationToken,
    ) -> Result<(), Problem> {
        let hook = &self.hook;
        let mut stamp = hook.vault.stamp();
        let mut known = keys(&hook.settings, &hook.vault).await?;
        // What could not be read is spoken of once.
        let mut unread = None;
        hook.open_door(&known, &self.doors, &self.board);
        tracing::info!(listen = %hook.settings.listen, "deliveries of the hook can come in");
        // Up to when each project's failed deliveries have been fetched.
        let mut fetched = recall(&*self.journal, FETCHED).await.ok().flatten().unwrap_or_default();
        let (mut register_at, mut failures) = (Instant::now(), 0_u32);
        let (mut registered_for, mut reached, mut rotated) = (Vec::new(), false, false);
        loop {
            let now = progress.borrow_and_update().clone();
            let due = Instant::now() >= register_at || (now.projects != registered_for && failures == 0);
            let registers = hook.settings.register == Register::Auto && !now.projects.is_empty() && due;
            let (hook_plan, by_us) = (plan(&hook.connection, &hook.settings, &known), rotated);
            // Meanwhile a revoked URL must be refused and a stop be heard: it is dropped and begun again.
            let mut registering = std::pin::pin!(async {
                match registers {
                    true => Some(self.register(&now, &hook_plan, &mut fetched, by_us).await),
                    false => std::future::pending().await,
                }
            });
            loop {
                // Every arm only waits, or may be begun again.
                tokio::select! {
                    () = cancel.cancelled() => return Ok(()),
                    () = hook.inbox.ended() => return Err(deaf()),
                    failed = &mut registering => {
                        failures = if failed.unwrap_or(false) { failures.saturating_add(1) } else { 0 };
                        register_at = after(Instant::now(), pause(failures));
                        registered_for.clone_from(&now.projects);
                        rotated = false;
                        break;
                    }
                    changed = progress.changed(), if !registers => match changed {
                        Ok(()) => break,
                        Err(_) => return Ok(()),
                    },
                    () = tokio::time::sleep(LOOK_AT_KEYS) => {}
                }
                self.note_reached(&mut reached).await;
                let newest = hook.vault.stamp();
                if newest != stamp {
                    let read = match reread(&hook.settings, &hook.vault).await {
                        Ok(read) => read,
                        Err(problem) => {
                            if unread.replace(newest) != Some(newest) {
                                tracing::warn!(
                                    %problem,
                                    "the hook's keys were changed and cannot be read; those known so far go on \
                                     counting, and it is tried again every second"
                                );
                                self.board.hooks(|hooks| hooks.note = Some(problem.to_string()));
                            }
                            continue;
                        }
                    };
                    stamp = newest;
                    if unread.take().is_some() {
                        tracing::info!("the hook's keys can be read again");
                        self.board.hooks(|hooks| hooks.note = None);
                    }
                    let before = known.token().expose_secret().to_owned();
                    known = read;
                    hook.open_door(&known, &self.doors, &self.board);
                    if known.token().expose_secret() != before {
                        (register_at, rotated) = (Instant::now(), true);
                        break;
                    }
                }
                if !registers && Instant::now() >= register_at {
                    break;
                }
            }
        }
    }

    /// Puts the hook of every project right, and fetches what it could not deliver since the last time; whether any of
    /// it failed. `rotated` when the URL was changed here.
    async fn register(
        &self,
        progress: &Progress,
        plan: &HookPlan,
        fetched: &mut BTreeMap<i64, Timestamp>,
        rotated: bool,
    ) -> bool {
        let now = Timestamp::now();
        let (mut failed, mut unfetched) = (Vec::new(), false);
        let outcomes = register(&self.source, &progress.projects, &self.tables, plan, &self.hook.vault).await;
        for (project, outcome) in outcomes {
            let registered = match outcome {
                Ok(registered) => registered,
                // Of all that the credential sees, a project that it sees no more is not missed.
                Err(error) if progress.everything && error.kind == SourceErrorKind::AccessLost => continue,
                Err(error) => {
                    failed.push(error.problem);
                    continue;
                }
            };
            say(&project, &registered, rotated);
            let since = fetched.get(&project.id.0).and_then(|fetched| fetched.checked_sub(OVERLAP).ok());
            let done = match since {
                Some(since) => self.fetch_failed(&project, &registered.id, since).await,
                None => Ok(()),
            };
            match done {
                Ok(()) => drop(fetched.insert(project.id.0, now)),
                Err(error) => {
                    unfetched = true;
                    tracing::warn!(
                        project = %project.name, %error,
                        "what the hook could not deliver was not fetched; polls find it, and it is tried again"
                    );
                }
            }
        }
        if let Err(error) = self.journal.remember(FETCHED, &json!(fetched)).await {
            // Then more of the hook's log is gone through at the next start.
            tracing::debug!(problem = %error.problem, "not noted");
        }
        let note = failed.first().map(ToString::to_string);
        if let Some(problem) = failed.first() {
            tracing::warn!(%problem, "the hook is not as it should be; polls go on");
        }
        self.board.hooks(|hooks| hooks.note = note);
        unfetched || !failed.is_empty()
    }

    /// Takes in from the hook's log what could not be delivered: nobody listened, or there was no room.
    async fn fetch_failed(&self, project: &Project, id: &str, since: Timestamp) -> Result<(), Problem> {
        let missed =
            self.source.missed_deliveries(project, id, since).await.map_err(|error| error.problem)?;
        let fetched = missed.arrivals.len();
        for arrival in missed.arrivals {
            self.hook.inbox.accept(arrival).await.map_err(|error| error.problem)?;
        }
        if fetched > 0 || missed.resent > 0 {
            let resent = missed.resent;
            tracing::info!(project = %project.name, fetched, resent, "fetched what the hook could not deliver");
        }
        if missed.cut {
            tracing::warn!(
                project = %project.name,
                "the hook's log has more than is fetched at once; polls find the rest"
            );
        }
        Ok(())
    }

    /// Remembers once a run that the hook reaches us: for whoever checks it when nobody runs.
    async fn note_reached(&self, noted: &mut bool) {
        let reached = self.board.read().hooks.and_then(|hooks| hooks.reached);
        if let (Some(reached), false) = (reached, *noted) {
            *noted = true;
            if let Err(error) = self.hook.vault.change(move |keys| keys.reached = Some(reached)).await {
                tracing::debug!(problem = %error.problem, "not noted");
            }
        }
    }
}

/// Every delivery would be refused from here on, and nobody would know.
fn deaf() -> Problem {
    super::group::bug("the inbox takes no delivery in any more")
}

/// Until the hook is looked at again, after so many failures in a row.
fn pause(failures: u32) -> Duration {
    match failures {
        0 => LOOK_AT_HOOK,
        many => {
            let doubled = 2_u32.saturating_pow(many.saturating_sub(1));
            RETRY_AFTER.saturating_mul(doubled).min(RETRY_AT_LAST)
        }
    }
}

fn say(project: &Project, registered: &Registered, rotated: bool) {
    let project = &project.name;
    match &registered.how {
        How::Created => tracing::info!(%project, "made the hook at CODING"),
        How::Found => tracing::debug!(%project, "the hook at CODING is as it should be"),
        How::Repaired { .. } if rotated => tracing::info!(%project, "gave the new URL to CODING"),
        How::Repaired { what } => {
            tracing::warn!(%project, "the hook at CODING was changed and is put right: {}", what.join(", "));
        }
    }
    if !registered.left_out.is_empty() {
        tracing::debug!(%project, "CODING does not offer these events: {}", registered.left_out.join(", "));
    }
}

fn after(now: Instant, pause: Duration) -> Instant {
    now.checked_add(pause).unwrap_or(now)
}

/// How a connection's hook is to stand at CODING, but for the events.
pub(crate) fn plan(connection: &str, settings: &WebhookSettings, keys: &Keys) -> HookPlan {
    HookPlan {
        name: format!("tributary: {connection}"),
        url: settings.url(&keys.token()),
        secret: Some(keys.secret.clone()),
        basic: settings.basic.clone(),
        events: Vec::new(),
    }
}

/// Puts the hook of every project right, with the events that the tables want, and remembers which it is; pings those
/// that are new.
pub(crate) async fn register(
    source: &CodingSource,
    projects: &[Project],
    tables: &[&'static Table],
    plan: &HookPlan,
    vault: &HookVault,
) -> Vec<(Project, Result<Registered, SourceError>)> {
    let mut outcomes = Vec::new();
    // What cannot be read is found by its URL.
    let known = vault.load().await.ok().flatten().map(|keys| keys.hooks).unwrap_or_default();
    // They are the team's, and asked for once.
    let wanted = OnceCell::new();
    for project in projects {
        let outcome = async {
            let wanted = wanted.get_or_try_init(|| source.wanted_events(tables)).await?;
            let plan = HookPlan { events: wanted.events.clone(), ..plan.clone() };
            let known = known.get(&project.id.0).map(String::as_str);
            let registered = source.register(project, &plan, known).await?;
            if !matches!(registered.how, How::Found) {
                source.ping(project, &registered.id).await?;
            }
            Ok(registered)
        };
        let outcome = outcome.await;
        if let Ok(registered) = &outcome
            && known.get(&project.id.0) != Some(&registered.id)
        {
            let (project, id) = (project.id.0, registered.id.clone());
            if let Err(error) = vault.change(move |keys| drop(keys.hooks.insert(project, id))).await {
                tracing::warn!(problem = %error.problem, "the hook's id was not kept; it is found by its URL");
            }
        }
        outcomes.push((project.clone(), outcome));
    }
    outcomes
}

/// Where deliveries are received: one listener for each address.
pub(crate) struct Listeners {
    receivers: BTreeMap<SocketAddr, Receiver>,
    /// How many connections each may have.
    connections: usize,
}

impl Listeners {
    /// Listens nowhere yet.
    pub(crate) fn new(connections: usize) -> Listeners {
        Listeners { receivers: BTreeMap::new(), connections }
    }

    /// Listens on `address`, unless it does so already; says also where that is.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub(crate) async fn listen(&mut self, address: SocketAddr) -> Result<(Doors, SocketAddr), Problem> {
        let receiver = match self.receivers.entry(address) {
            Entry::Occupied(taken) => taken.into_mut(),
            Entry::Vacant(free) => {
                let limits = Limits { connections: self.connections, ..Limits::default() };
                free.insert(Receiver::bind(address).await?.with_limits(limits))
            }
        };
        Ok((receiver.doors(), receiver.address()))
    }

    /// Serves until cancelled.
    pub(crate) async fn run(self, cancel: CancellationToken) {
        futures::future::join_all(self.receivers.into_values().map(|receiver| receiver.run(cancel.clone())))
            .await;
    }
}
