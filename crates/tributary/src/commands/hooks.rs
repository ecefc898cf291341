//! `tributary hooks`: the hook's URL, its registration at CODING, and its deliveries. All of it works beside a
//! running sync: keys change under a lock of their own, deliveries lie in a file that several may read.

mod pings;
mod shown;

use std::collections::BTreeMap;
use std::time::Duration;

use connectors::coding::config::{Projects, Register, WebhookSettings};
use connectors::coding::hook::has_few_values;
use connectors::coding::hook::register::How;
use connectors::coding::source::CodingSource;
use engine::inbox::{DeliveryNumber, Inbox, Query, StandingKind};
use engine::problem::Problem;
use engine::row::ProjectId;
use engine::source::{Project, Source, Urgency};
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use store::hook::HookVault;
use store::inbox::SqliteInbox;
use store::state_dir::StateDir;
use tokio::time::Instant;

use self::pings::{is_ping, pings};
use self::shown::{HIDDEN, Row, table, whole, without_token, without_tokens};
use super::look::{self, Look};
use super::{load_one, vault_key};
use crate::cli::{DeliveryResult, HooksAction, HooksArgs, ListArgs, ReplayArgs, UrlArgs};
use crate::exit::{self, Done, Failure};
use crate::pipeline::Pipeline;
use crate::present::text::{between, plural, span};
use crate::sync::hooks::{self, Keys};

/// How long a ping is waited for.
const PING_PATIENCE: Duration = Duration::from_secs(15);
/// How often it is looked whether it has come.
const PING_LOOK: Duration = Duration::from_millis(200);
/// Said where deliveries that were given up are wanted, and there are none.
const NOTHING_DEAD: &str = "Nothing was given up.";
/// Said where there is nothing to unregister.
const NO_HOOK: &str = "There is no hook of this pipeline at CODING.";
/// Deliveries read at once where all are wanted.
const PAGE: u32 = 500;

/// Carries out an action.
///
/// # Errors
/// A configuration without a hook; what CODING, the vault or the inbox say.
pub(crate) async fn run(args: &HooksArgs) -> Result<Done, Failure> {
    let pipeline = load_one(&args.file)?;
    let Some(settings) = pipeline.source.webhook.clone() else {
        return match args.action {
            // What was made before stays to be removed.
            HooksAction::Unregister => unregister(&pipeline, args.json).await,
            _ => Err(no_hook(&pipeline)),
        };
    };
    let hook = Hook { pipeline: &pipeline, settings: &settings, json: args.json };
    match &args.action {
        HooksAction::Url(url) => hook.url(url).await,
        HooksAction::Register => hook.register().await,
        HooksAction::Unregister => unregister(&pipeline, args.json).await,
        HooksAction::Ping => hook.ping().await,
        HooksAction::List(list) => hook.list(list).await,
        HooksAction::Dead(limit) => hook.dead(limit.limit).await,
        HooksAction::Show { id } => hook.show(id).await,
        HooksAction::Replay(replay) => hook.replay(replay).await,
    }
}

fn no_hook(pipeline: &Pipeline) -> Failure {
    Failure::from(Problem::new(
        "HOOKS-NONE",
        format!("{} has no hook", pipeline.file.display()),
        "its changes are found by polling alone",
        "Write `incremental: hybrid` and a block `webhook` with `public_url` under `source`.",
    ))
}

/// A pipeline with its hook.
struct Hook<'a> {
    pipeline: &'a Pipeline,
    settings: &'a WebhookSettings,
    json: bool,
}

impl Hook<'_> {
    /// The hook's keys. They may be wanted before the first run, which makes the state directory.
    async fn vault(&self) -> Result<HookVault, Failure> {
        StateDir::make(&self.pipeline.state).map_err(|error| error.problem)?;
        Ok(hooks::vault(&self.pipeline.state, vault_key()).await?)
    }

    fn print(&self, value: &Value, text: &str) -> Result<Done, Failure> {
        print(self.json, value, text)
    }

    /// Prints the hook's own secrets, which is what was asked for.
    fn hand_over(&self, value: &Value, text: &str) -> Result<Done, Failure> {
        let json = if self.json { exit::json(value)? } else { String::new() };
        exit::print_as_it_is(if self.json { &json } else { text })?;
        Ok(Done::All)
    }

    fn is_running(&self) -> Result<bool, Failure> {
        Ok(StateDir::is_running(&self.pipeline.state).map_err(|error| error.problem)?)
    }

    async fn url(&self, args: &UrlArgs) -> Result<Done, Failure> {
        let vault = self.vault().await?;
        if (args.rotate || args.revoke) && self.settings.token.is_some() {
            return Err(Failure::from(Problem::new(
                "HOOKS-TOKEN",
                "Cannot make a new URL",
                "its token stands in the pipeline file as `source.webhook.token`",
                "Write another token there, or take the key out to have tokens made and rotated.",
            )));
        }
        let overlap = if args.revoke { Duration::ZERO } else { args.overlap };
        if args.rotate || args.revoke {
            vault.rotate(overlap).await.map_err(|error| error.problem)?;
        }
        let keys = hooks::keys(self.settings, &vault).await?;
        let now = Timestamp::now();
        let older: Vec<Timestamp> = keys.tokens.iter().skip(1).filter_map(|token| token.until).collect();
        let still = older.into_iter().filter(|until| *until > now).max();
        let url = self.settings.url(&keys.token());
        let mut text = format!("URL:     {}\nSecret:  {}", url.expose_secret(), keys.secret.expose_secret());
        if let Some(until) = still {
            text.push_str(&format!("\nThe URL before it works for another {}.", span(between(now, until))));
        }
        if args.revoke {
            text.push_str("\nAll older URLs are refused now.");
        }
        if args.rotate || args.revoke {
            text.push_str(match (self.settings.register, self.is_running()?) {
                (Register::Manual, _) => "\nNow put the new URL into the hook at CODING.",
                (Register::Auto, true) => "\nThe running sync gives the new URL to CODING within seconds.",
                (Register::Auto, false) => {
                    "\nThe next `tributary sync` gives the new URL to CODING, or `tributary hooks PIPELINE.yaml \
                     register` at once."
                }
            });
        }
        let value = json!({
            "url": url.expose_secret(), "secret": keys.secret.expose_secret(), "older_until": still,
        });
        self.hand_over(&value, &text)
    }

    async fn register(&self) -> Result<Done, Failure> {
        let vault = self.vault().await?;
        let keys = hooks::keys(self.settings, &vault).await?;
        match self.settings.register {
            Register::Manual => self.manual(&keys).await,
            Register::Auto => self.register_at_coding(&vault, &keys).await,
        }
    }

    /// The steps of CODING's settings page, without asking CODING for anything.
    async fn manual(&self, keys: &Keys) -> Result<Done, Failure> {
        let url = self.settings.url(&keys.token());
        let names = match &self.pipeline.source.projects {
            Projects::Named(names) => names.clone(),
            Projects::All | Projects::AllBut(_) => vec!["PROJECT".to_owned()],
        };
        let look = Look::beside(self.pipeline).await?;
        let steps = |name: &String| {
            let project = Project { id: ProjectId(0), name: name.clone() };
            look.source.manual_steps(&project, &url, Some(&keys.secret), self.settings.basic.as_ref())
        };
        let steps: Vec<String> = names.iter().map(steps).collect();
        look.source.close().await;
        self.hand_over(&json!({ "steps": steps }), steps.join("\n").trim_end())
    }

    async fn register_at_coding(&self, vault: &HookVault, keys: &Keys) -> Result<Done, Failure> {
        let look = Look::beside(self.pipeline).await?;
        let outcomes = async {
            let projects = look.projects().await?;
            let (this, offered) = (|| std::iter::once(self.pipeline), look.source.tables());
            let keepers = look::keepers(&self.pipeline.state).await?.with(this(), offered);
            let tables = keepers.tables(this(), offered);
            let plan = hooks::plan(&self.pipeline.name, self.settings, keys);
            Ok::<_, Problem>(hooks::register(&look.source, &projects, &tables, &plan, vault).await)
        }
        .await;
        look.source.close().await;
        let (mut lines, mut values, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        for (project, outcome) in outcomes? {
            match outcome {
                Ok(registered) => {
                    let (how, said) = match &registered.how {
                        How::Created => ("created", "made the hook and sent a ping".to_owned()),
                        How::Found => ("found", "the hook is as it should be".to_owned()),
                        How::Repaired { what } => ("repaired", format!("put right: {}", what.join(", "))),
                    };
                    lines.push(format!("{}: {said}", project.name));
                    if !registered.left_out.is_empty() {
                        lines.push(format!("  CODING does not offer: {}", registered.left_out.join(", ")));
                    }
                    values.push(json!({
                        "project": project.name, "id": registered.id, "how": how,
                        "left_out": registered.left_out,
                    }));
                }
                Err(error) => problems.push(error.problem),
            }
        }
        if !problems.is_empty() {
            return Err(Failure::Problems(problems));
        }
        self.print(&json!({ "hooks": values }), &lines.join("\n"))
    }

    /// The projects of the pipeline whose hook was made by tributary, and its id.
    async fn registered(&self, look: &Look, vault: &HookVault) -> Result<Vec<(Project, String)>, Problem> {
        let keys = vault.load().await.map_err(|error| error.problem)?.unwrap_or_default();
        let projects = look.projects().await?;
        let known = |project: Project| keys.hooks.get(&project.id.0).map(|id| (project, id.clone()));
        Ok(projects.into_iter().filter_map(known).collect())
    }

    async fn ping(&self) -> Result<Done, Failure> {
        if !self.is_running()? {
            return Err(unheard(
                "no sync is running that could receive it",
                "Start `tributary sync` and try again.",
            ));
        }
        let vault = self.vault().await?;
        let inbox = self.inbox().await?;
        let look = Look::beside(self.pipeline).await?;
        // A ping that looks like an earlier one is no second delivery: that one came again.
        let earlier = pings(&inbox).await?;
        let asked = Timestamp::now();
        let pinged = async {
            let registered = self.registered(&look, &vault).await?;
            for (project, id) in &registered {
                look.source.ping(project, id).await.map_err(|error| error.problem)?;
            }
            Ok::<_, Problem>(registered.len())
        }
        .await;
        look.source.close().await;
        let result = match pinged {
            Ok(0) => Err(Failure::from(Problem::new(
                "HOOKS-UNREGISTERED",
                "Cannot have a ping sent",
                "tributary has made no hook at CODING",
                "Run `tributary hooks PIPELINE.yaml register`; a hook made by hand is tested with the button \
                 beside it in CODING.",
            ))),
            Ok(_) => self.await_ping(&inbox, asked, &earlier).await,
            Err(problem) => Err(problem.into()),
        };
        inbox.close().await.map_err(|error| error.problem)?;
        result
    }

    async fn await_ping(
        &self,
        inbox: &SqliteInbox,
        asked: Timestamp,
        earlier: &[DeliveryNumber],
    ) -> Result<Done, Failure> {
        let began = Instant::now();
        while began.elapsed() < PING_PATIENCE {
            let query = Query { standing: None, before: None, limit: 50 };
            let mut found = inbox.list(query).await.map_err(|error| error.problem)?;
            for number in earlier {
                let again = inbox.find(number.0.to_string()).await.map_err(|error| error.problem)?;
                found.extend(again.map(|delivery| delivery.entry));
            }
            let come = found.iter().find(|entry| is_ping(entry) && entry.last_received >= asked);
            if let Some(entry) = come {
                let took = span(between(asked, entry.last_received));
                let value = json!({ "reached": true, "number": entry.number });
                return self
                    .print(&value, &format!("The ping arrived after {took}: CODING reaches tributary."));
            }
            tokio::time::sleep(PING_LOOK).await;
        }
        Err(unheard(
            &format!("nothing came in within {} seconds", PING_PATIENCE.as_secs()),
            "Check that `public_url` leads to `listen` from outside: DNS, firewall, reverse proxy.",
        ))
    }

    async fn inbox(&self) -> Result<SqliteInbox, Failure> {
        if !self.pipeline.state.join(store::inbox::FILE).exists() {
            return Err(Failure::from(Problem::new(
                "HOOKS-EMPTY",
                "There is no inbox yet",
                format!("{} has received nothing so far", self.pipeline.state.display()),
                "Start `tributary sync`; deliveries are kept from then on.",
            )));
        }
        StateDir::examine(&self.pipeline.state).map_err(|error| error.problem)?;
        Ok(SqliteInbox::open_beside(&self.pipeline.state).await.map_err(|error| error.problem)?)
    }

    async fn list(&self, args: &ListArgs) -> Result<Done, Failure> {
        let standing = args.result.map(|result| match result {
            DeliveryResult::Waiting => StandingKind::Waiting,
            DeliveryResult::Applied => StandingKind::Applied,
            DeliveryResult::Unchanged => StandingKind::Unchanged,
            DeliveryResult::Ignored => StandingKind::Ignored,
            DeliveryResult::Dead => StandingKind::Dead,
        });
        self.show_all(standing, args.limit.limit, None).await
    }

    async fn dead(&self, limit: u32) -> Result<Done, Failure> {
        self.show_all(Some(StandingKind::Dead), limit, Some(NOTHING_DEAD)).await
    }

    /// Shows deliveries and how many there are of each result; only `none`, where it is said, when there are none.
    async fn show_all(
        &self,
        standing: Option<StandingKind>,
        limit: u32,
        none: Option<&str>,
    ) -> Result<Done, Failure> {
        let inbox = self.inbox().await?;
        let listed = inbox.list(Query { standing, before: None, limit }).await;
        let counts = inbox.counts().await;
        inbox.close().await.map_err(|error| error.problem)?;
        let (listed, counts) =
            (listed.map_err(|error| error.problem)?, counts.map_err(|error| error.problem)?);
        if self.json {
            let rows: Vec<Row<'_>> = listed.iter().map(Row::of).collect();
            exit::print_json(&json!({
                "deliveries": rows,
                "counts": {
                    "waiting": counts.waiting, "applied": counts.applied, "unchanged": counts.unchanged,
                    "ignored": counts.ignored, "dead": counts.dead, "bytes": counts.bytes,
                },
            }))?;
            return Ok(Done::All);
        }
        let sum = format!(
            "{} in the inbox: {} applied, {} unchanged, {} ignored, {} waiting, {} dead",
            plural(
                counts.applied + counts.unchanged + counts.ignored + counts.waiting + counts.dead,
                "delivery"
            ),
            counts.applied,
            counts.unchanged,
            counts.ignored,
            counts.waiting,
            counts.dead
        );
        let text = match (listed.is_empty(), none) {
            (true, Some(none)) => none.to_owned(),
            (true, None) => sum,
            (false, _) => format!("{}\n{sum}", table(&listed)),
        };
        exit::print(&text)?;
        Ok(Done::All)
    }

    async fn show(&self, id: &str) -> Result<Done, Failure> {
        let inbox = self.inbox().await?;
        let found = inbox.find(id.to_owned()).await;
        inbox.close().await.map_err(|error| error.problem)?;
        let Some(delivery) = found.map_err(|error| error.problem)? else { return Err(unknown(id)) };
        // One with too many values to be read is shown as it is.
        let few = Some(&delivery.body).filter(|body| has_few_values(body));
        let mut parsed: Option<Value> = few.and_then(|body| serde_json::from_slice(body).ok());
        if let Some(url) = parsed.as_mut().and_then(|body| body.pointer_mut("/hook/config/url")) {
            *url = Value::from(url.as_str().map_or(HIDDEN.to_owned(), without_token));
        }
        let body = without_tokens(&String::from_utf8_lossy(&delivery.body));
        let headers: serde_json::Map<String, Value> = delivery
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
            .collect();
        let shown = parsed.clone().unwrap_or_else(|| Value::from(body.as_str()));
        let value = json!({ "delivery": Row::of(&delivery.entry), "headers": headers, "body": shown });
        self.print(&value, &whole(&delivery, parsed.as_ref(), &body))
    }

    async fn replay(&self, args: &ReplayArgs) -> Result<Done, Failure> {
        let inbox = self.inbox().await?;
        let replayed = async {
            let numbers =
                if args.dead { all_dead(&inbox).await? } else { find_all(&inbox, &args.ids).await? };
            inbox.replay(numbers).await.map_err(|error| Failure::from(error.problem))
        }
        .await;
        inbox.close().await.map_err(|error| error.problem)?;
        let replayed = replayed?;
        let when = if self.is_running()? { "now" } else { "when a sync runs" };
        let text = match (replayed, args.dead) {
            (0, true) => NOTHING_DEAD.to_owned(),
            _ => format!("{} will be worked off once more {when}.", plural(replayed, "delivery")),
        };
        self.print(&json!({ "replayed": replayed }), &text)
    }
}

fn print(json: bool, value: &Value, text: &str) -> Result<Done, Failure> {
    if json {
        exit::print_json(value)?
    } else {
        exit::print(text)?
    }
    Ok(Done::All)
}

/// Deletes every hook that the state remembers, also those of projects that the file names no more, or of a file
/// that has no hook any more.
async fn unregister(pipeline: &Pipeline, json: bool) -> Result<Done, Failure> {
    let kept = hooks::kept(&pipeline.state, vault_key()).await?.hooks;
    let by_hand = pipeline.source.webhook.as_ref().is_some_and(|hook| hook.register == Register::Manual);
    if kept.is_empty() && !by_hand {
        return print(json, &json!({ "unregistered": [] }), NO_HOOK);
    }
    let look = Look::beside(pipeline).await?;
    let pages = if by_hand { pages(pipeline, &look.source) } else { Vec::new() };
    let done = if kept.is_empty() { Ok(Removed::default()) } else { remove(pipeline, &look, kept).await };
    look.source.close().await;
    let Removed { projects, problems } = done?;
    let mut lines = Vec::new();
    if !projects.is_empty() {
        lines.push(format!("Deleted the hook of {}.", projects.join(", ")));
        let running = StateDir::is_running(&pipeline.state).map_err(|error| error.problem)?;
        lines.extend(made_again(pipeline, running).map(str::to_owned));
    } else if problems.is_empty() && !by_hand {
        lines.push(NO_HOOK.to_owned());
    }
    if by_hand {
        lines.push("A hook that was made by hand is deleted by hand, in CODING:".to_owned());
        lines.extend(pages.iter().map(|page| format!("  {page}")));
    }
    if !lines.is_empty() && (problems.is_empty() || !json) {
        let value = match by_hand {
            true => json!({ "unregistered": projects, "by_hand": pages }),
            false => json!({ "unregistered": projects }),
        };
        print(json, &value, &lines.join("\n"))?;
    }
    if problems.is_empty() { Ok(Done::All) } else { Err(Failure::Problems(problems)) }
}

/// Which projects' hooks are gone, and what went wrong with the others.
#[derive(Default)]
struct Removed {
    projects: Vec<String>,
    problems: Vec<Problem>,
}

async fn remove(pipeline: &Pipeline, look: &Look, kept: BTreeMap<i64, String>) -> Result<Removed, Problem> {
    let vault = hooks::vault(&pipeline.state, vault_key()).await?;
    let roster = look.source.roster(Urgency::Poll).await.map_err(|error| error.problem)?;
    let mut removed = Removed::default();
    for (number, id) in kept {
        let project = roster.iter().find(|project| project.id.0 == number).cloned();
        // A project that is gone, or that the credential sees no more.
        let project =
            project.unwrap_or_else(|| Project { id: ProjectId(number), name: format!("project {number}") });
        match look.source.unregister(&project, &id).await {
            Ok(_) => {
                let forgotten = vault.change(move |keys| drop(keys.hooks.remove(&number))).await;
                forgotten.map_err(|error| error.problem)?;
                removed.projects.push(project.name);
            }
            Err(error) => removed.problems.push(error.problem),
        }
    }
    Ok(removed)
}

/// Where hooks made by hand stand at CODING.
fn pages(pipeline: &Pipeline, source: &CodingSource) -> Vec<String> {
    let names = match &pipeline.source.projects {
        Projects::Named(names) => names.clone(),
        Projects::All | Projects::AllBut(_) => vec!["PROJECT".to_owned()],
    };
    names.into_iter().map(|name| source.hook_page(&Project { id: ProjectId(0), name })).collect()
}

/// Who would make a hook again that was deleted, and how that is prevented.
fn made_again(pipeline: &Pipeline, running: bool) -> Option<&'static str> {
    let by_itself = pipeline.source.webhook.as_ref().is_some_and(|hook| hook.register == Register::Auto);
    match (running, by_itself) {
        (true, _) => Some(
            "The running sync makes it again within the hour: stop it, and write `incremental: polling` without \
             `webhook`, or `register: manual`, before the next start.",
        ),
        (false, true) => Some(
            "The next `tributary sync` makes it again, unless you write `incremental: polling` without `webhook`, or \
             `register: manual`.",
        ),
        (false, false) => None,
    }
}

fn unheard(why: &str, fix: &str) -> Failure {
    Failure::from(Problem::new("HOOKS-PING", "The ping did not arrive", why, fix))
}

fn unknown(id: &str) -> Failure {
    Failure::from(Problem::new(
        "HOOKS-UNKNOWN",
        format!("There is no delivery {id}"),
        "the inbox has none with this number or delivery id",
        "See `tributary hooks PIPELINE.yaml list`; deliveries are forgotten after `webhook.keep`.",
    ))
}

async fn find_all(inbox: &SqliteInbox, ids: &[String]) -> Result<Vec<DeliveryNumber>, Failure> {
    let mut numbers = Vec::with_capacity(ids.len());
    for id in ids {
        let found = inbox.find(id.clone()).await.map_err(|error| error.problem)?;
        numbers.push(found.ok_or_else(|| unknown(id))?.entry.number);
    }
    Ok(numbers)
}

async fn all_dead(inbox: &SqliteInbox) -> Result<Vec<DeliveryNumber>, Failure> {
    let (mut numbers, mut before) = (Vec::new(), None);
    loop {
        let query = Query { standing: Some(StandingKind::Dead), before, limit: PAGE };
        let page = inbox.list(query).await.map_err(|error| error.problem)?;
        let Some(last) = page.last() else { return Ok(numbers) };
        before = Some(last.number);
        numbers.extend(page.iter().map(|entry| entry.number));
    }
}
