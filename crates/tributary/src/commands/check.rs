//! `tributary check`: tries everything a pipeline needs, item by item.

use std::path::Path;

use connectors::check::{CheckItem, Outcome};
use connectors::coding::hook::check::HookMemory;
use connectors::coding::tables::TABLES;
use engine::delivery::filter::Filter;
use engine::delivery::shape::{Mode, Shaper};
use engine::problem::Problem;
use engine::source::Project;
use engine::target::Owned;
use serde::Serialize;
use server::receiver::Receiver;
use store::journal::SqliteJournal;
use store::state_dir::StateDir;

use super::look::Look;
use super::{load_one, shapes, vault_key};
use crate::cli::FileArgs;
use crate::exit::{self, Done, Failure};
use crate::pipeline::{Pipeline, TargetSettings};
use crate::present::text::plural;
use crate::sync::{filter, hooks, plan};

/// The result as JSON.
#[derive(Serialize)]
struct Report<'a> {
    /// Whether nothing failed.
    ok: bool,
    items: &'a [CheckItem],
}

/// Checks the pipeline of a file.
///
/// # Errors
/// A configuration that is wrong; [`Failure::Shown`] when an item failed.
pub(crate) async fn run(args: &FileArgs) -> Result<Done, Failure> {
    let pipeline = load_one(&args.file)?;
    let items = check(&pipeline).await;
    let ok = items.iter().all(|item| item.outcome != Outcome::Failed);
    if args.json {
        exit::print_json(&Report { ok, items: &items })?;
    } else {
        exit::print(&table(&items))?;
    }
    if ok { Ok(Done::All) } else { Err(Failure::Shown) }
}

async fn check(pipeline: &Pipeline) -> Vec<CheckItem> {
    let mut shaper = shapes::of(pipeline, plan::task(pipeline, &TABLES, Filter::default(), false));
    let mut projects = Vec::new();
    let mut items = match Look::open(pipeline).await {
        Ok(look) => {
            let mut items = look.source.check().await;
            items.extend(look.renamed.iter().map(|(asked, project)| {
                let detail = format!("it is called `{}` now, and is still followed", project.name);
                CheckItem::warning(format!("source: project {asked}"), detail, "Correct `source.projects`.")
            }));
            if items.iter().all(|item| item.outcome != Outcome::Failed) {
                items.extend(check_filter(pipeline, &look).await);
                items.extend(check_hooks(pipeline, &look).await);
                match look.projects().await {
                    Ok(found) => {
                        items.extend(assign(&mut shaper, pipeline, &look, &found).await);
                        projects = found;
                    }
                    Err(problem) => {
                        items.push(CheckItem::failed("source: projects", said(&problem), problem.fix));
                    }
                }
            }
            look.source.close().await;
            items
        }
        Err(problem) => vec![CheckItem::failed("source: open", said(&problem), problem.fix.as_str())],
    };
    items.extend(check_listen(pipeline).await);
    let team = &shaper.task().team;
    let projects: Vec<Owned> = projects
        .into_iter()
        .map(|Project { id, name }| Owned { team: team.clone(), project_id: id.0, project: name })
        .collect();
    items.extend(match &pipeline.target {
        TargetSettings::Sqlite(sqlite) => {
            connectors::sqlite::config::check(sqlite, &pipeline.name, shaper.tables(), &projects).await
        }
        TargetSettings::Postgres(postgres) => {
            connectors::postgres::config::check(postgres, &pipeline.name, shaper.tables(), &projects).await
        }
    });
    items.push(check_state(&pipeline.state).await);
    items
}

/// Gives custom fields the columns that they have or get, in flat mode. What the source does not tell of them has an item
/// of its own.
async fn assign(
    shaper: &mut Shaper,
    pipeline: &Pipeline,
    look: &Look,
    projects: &[Project],
) -> Vec<CheckItem> {
    if shaper.task().mode != Mode::Flat {
        return Vec::new();
    }
    let custom = match look.custom_fields(projects).await {
        Ok(custom) => custom,
        Err(problem) => {
            return vec![CheckItem::warning("target: custom fields", said(&problem), problem.fix)];
        }
    };
    match shapes::stored(pipeline, &shaper.plan()).await {
        Ok(stored) => {
            shaper.assign(&custom, &stored.fields, &stored.rooms);
            check_room(shaper)
        }
        Err(why) => vec![CheckItem::warning(
            "target: custom fields",
            format!("whether their columns can be made could not be tried: {why}"),
            "Run this again once the target answers.",
        )],
    }
}

/// Whether there are more custom fields than columns, or than a row has room for.
fn check_room(shaper: &Shaper) -> Vec<CheckItem> {
    let warning = |detail| {
        let fix = "Nothing need be done: what has no column stands in `_extra`. Where you want columns for it, let the \
                   projects of the task have fewer custom fields, or take `mode: document`.";
        CheckItem::warning("target: custom fields", detail, fix)
    };
    let tables = shaper.tables().iter().zip(shaper.beyond()).enumerate();
    let items = tables.flat_map(|(at, (table, beyond))| {
        let beyond = (*beyond > 0).then(|| {
            let fields = plural(u64::try_from(*beyond).unwrap_or(u64::MAX), "custom field");
            warning(format!("{fields} of {} get no column: the table cannot have more", table.name))
        });
        let long = shaper.may_be_too_long(at).then(|| {
            let columns = table.columns.len();
            warning(format!(
                "a row of {} with a value in most of its {columns} columns is longer than the target can store",
                table.name
            ))
        });
        beyond.into_iter().chain(long)
    });
    items.collect()
}

/// Whether deliveries could come in at the address. Whoever runs on the state listens there, so nobody tries then.
async fn check_listen(pipeline: &Pipeline) -> Option<CheckItem> {
    let listen = pipeline.source.webhook.as_ref()?.listen;
    // A state that cannot be asked has an item of its own.
    let free = StateDir::is_running(&pipeline.state).is_ok_and(|running| !running);
    if !free {
        return None;
    }
    let name = format!("source: listen {listen}");
    Some(match Receiver::bind(listen).await {
        Ok(_) => CheckItem::ok(name, "free; deliveries come in there once a sync runs"),
        Err(problem) => CheckItem::failed(name, problem.why, problem.fix),
    })
}

/// Whether the state directory can be used, beside a running sync too. Makes none.
async fn check_state(path: &Path) -> CheckItem {
    let name = "state: directory";
    let failed = |problem: &Problem| CheckItem::failed(name, said(problem), problem.fix.as_str());
    match path.try_exists() {
        Ok(true) => {}
        Ok(false) => return CheckItem::ok(name, format!("{} is made by the first run", path.display())),
        Err(error) => {
            let fix = "Let the user that runs tributary into the directories above it.";
            return CheckItem::failed(name, format!("{} cannot be looked at ({error})", path.display()), fix);
        }
    }
    match StateDir::is_running(path) {
        Ok(true) => return CheckItem::ok(name, "a sync runs on it"),
        Ok(false) => {}
        Err(error) => return failed(&error.problem),
    }
    // Held only until the journal has been looked at.
    let held = match StateDir::open(path) {
        Ok(held) => held,
        Err(error) => return failed(&error.problem),
    };
    if !held.path().join(store::journal::FILE).exists() {
        return CheckItem::ok(name, "can be written; nothing has run in it yet");
    }
    let journal = match SqliteJournal::open_read_only(path).await {
        Ok(journal) => journal,
        Err(error) => return failed(&error.problem),
    };
    match journal.close().await {
        Ok(()) => CheckItem::ok(name, "can be written, and its journal can be read"),
        Err(error) => failed(&error.problem),
    }
}

/// Whether the hook is there, delivers what is wanted, and has been seen to reach us.
async fn check_hooks(pipeline: &Pipeline, look: &Look) -> Vec<CheckItem> {
    if pipeline.source.webhook.is_none() {
        return Vec::new();
    }
    let name = "source: hook";
    let failed = |problem: &Problem| vec![CheckItem::failed(name, said(problem), problem.fix.as_str())];
    let kept = match hooks::kept(&pipeline.state, vault_key()).await {
        Ok(kept) => kept,
        Err(problem) => return failed(&problem),
    };
    let projects = match look.projects().await {
        Ok(projects) => projects,
        Err(problem) => return failed(&problem),
    };
    let tables = plan::tables(std::iter::once(pipeline), &TABLES);
    // Where hooks may not be managed the item of each project says so.
    let wanted = look.source.wanted_events(&tables).await;
    let events = wanted.map(|wanted| wanted.events).unwrap_or_default();
    let mut items = Vec::new();
    let status = StateDir::read_status(&pipeline.state).unwrap_or_else(|error| {
        items.push(CheckItem::warning("state: status", said(&error.problem), error.problem.fix.as_str()));
        None
    });
    let reached = status.and_then(|status| status.hooks).and_then(|hooks| hooks.reached).max(kept.reached);
    for project in projects {
        let id = kept.hooks.get(&project.id.0).cloned();
        let memory = HookMemory { id, events: events.clone(), reached };
        items.extend(look.source.check_hook(&project, &memory).await);
    }
    items
}

/// Whether everything is there that the task's filter names.
async fn check_filter(pipeline: &Pipeline, look: &Look) -> Vec<CheckItem> {
    let wishes = &pipeline.task;
    if wishes.issue_types.is_none() && wishes.iterations.is_none() {
        return Vec::new();
    }
    let failed =
        |problem: Problem| vec![CheckItem::failed("task: filter", said(&problem), problem.fix.as_str())];
    let projects = match look.projects().await {
        Ok(projects) => projects,
        Err(problem) => return failed(problem),
    };
    let found = match filter::ask(pipeline, &look.source, &projects).await {
        Ok(found) => found,
        Err(error) => return failed(error.problem),
    };
    let findings = filter::of(pipeline, &found).err().unwrap_or_default();
    let mut items: Vec<CheckItem> =
        findings.into_iter().flat_map(|finding| failed(finding.problem)).collect();
    items.extend(found.unknown_iterations.into_iter().map(|code| {
        // It may have been there and be gone, which is no mistake.
        let problem = filter::never_was(pipeline, code).problem;
        CheckItem::warning("task: filter", said(&problem), problem.fix)
    }));
    if items.is_empty() {
        items.push(CheckItem::ok("task: filter", "all issue types and iterations that it names exist"));
    }
    items
}

fn said(problem: &Problem) -> String {
    format!("{}: {}", problem.what, problem.why)
}

/// The items for people: one line each, and what to do below those that need it.
fn table(items: &[CheckItem]) -> String {
    let width = items.iter().map(|item| item.name.chars().count()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for item in items {
        let mark = match item.outcome {
            Outcome::Ok => "ok     ",
            Outcome::Warning => "warning",
            Outcome::Failed => "FAILED ",
        };
        lines.push(format!("{mark}  {:width$}  {}", item.name, item.detail));
        if let Some(fix) = &item.fix {
            lines.push(format!("         {:width$}  → {fix}", ""));
        }
    }
    let count = |outcome| {
        let counted = items.iter().filter(|item| item.outcome == outcome).count();
        u64::try_from(counted).unwrap_or(u64::MAX)
    };
    lines.push(match (count(Outcome::Failed), count(Outcome::Warning)) {
        (0, 0) => "Everything needed is there.".to_owned(),
        (0, warnings) => format!("Everything needed is there; {}.", plural(warnings, "warning")),
        (failed, _) => format!("{} failed.", plural(failed, "item")),
    });
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use connectors::check::CheckItem;

    use super::table;

    #[test]
    fn items_stand_in_a_table_with_their_remedies() {
        let items = [
            CheckItem::ok("target: open", "opened coding.db"),
            CheckItem::warning("target: room", "20 MB left", "Make room."),
            CheckItem::failed("source: token", "CODING rejected it", "Make a new one."),
        ];
        assert_eq!(
            table(&items),
            "ok       target: open   opened coding.db\n\
             warning  target: room   20 MB left\n         \
             \x20              → Make room.\n\
             FAILED   source: token  CODING rejected it\n         \
             \x20              → Make a new one.\n\
             1 item failed."
        );
        let [fine, warning, _] = items;
        assert!(table(&[fine.clone(), warning]).ends_with("\nEverything needed is there; 1 warning."));
        assert!(table(&[fine]).ends_with("\nEverything needed is there."));
    }
}
