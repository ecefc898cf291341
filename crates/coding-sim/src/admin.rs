//! The admin API under `/_sim`: the truth, the counters, the faults, and changes by order. No credential.
//!
//! | request | answer |
//! |---|---|
//! | `GET /_sim/truth?table=&project=&shape=` | rows as JSON lines; `shape` is `full` unless given |
//! | `GET /_sim/counters`, `POST /_sim/counters/reset` | [`crate::Counters`] |
//! | `GET /_sim/faults`, `POST /_sim/faults` | [`Faults`]; a POST is merged into what stands, `null` resets |
//! | `GET /_sim/hook_faults`, `POST /_sim/hook_faults` | [`HookFaults`], merged alike |
//! | `GET /_sim/hook_counters`, `POST /_sim/hook_counters/reset` | [`crate::HookCounters`] |
//! | `GET /_sim/hook_deliveries?hook=` | [`crate::HookDelivery`]s of one hook |
//! | `GET /_sim/hooks` | [`crate::HookInfo`]s |
//! | `POST /_sim/hooks` `{"project": "…", "url": "…", "token": "…", "events": […]}` | registers a hook |
//! | `POST /_sim/mutator` `{"rate": f}` | sets the built-in changes per second |
//! | `POST /_sim/mutate` `{"count": n, "kinds": […]}` | makes changes now and lists them |
//! | `POST /_sim/apply` one operation or a list | applies [`Operation`]s in order and lists them |

use hyper::{Method, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::faults::Faults;
use crate::handle::WorldHandle;
use crate::hooks::faults::HookFaults;
use crate::http::{Body, json_body, plain};
use crate::mutator::MutationKind;
use crate::operation::Operation;
use crate::sim::SimError;
use crate::truth::{self, Shape, Table};

/// An answer: JSON, or why not.
type Answer = Result<Value, String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MutatorOrder {
    rate: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MutateOrder {
    count: usize,
    #[serde(default)]
    kinds: Vec<MutationKind>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HookOrder {
    project: String,
    url: String,
    #[serde(default)]
    token: String,
    #[serde(default)]
    events: Vec<String>,
}

/// Either one operation or several.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApplyOrder {
    operations: Vec<Operation>,
}

/// Answers one request.
pub(crate) fn answer(
    handle: &WorldHandle,
    method: &Method,
    path: &str,
    query: &[(String, String)],
    body: &[u8],
) -> Response<Body> {
    let get = |key: &str| query.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
    let answer = match (method, path) {
        (&Method::GET, "/_sim/truth") => return truth(handle, get("table"), get("project"), get("shape")),
        (&Method::GET, "/_sim/counters") => Ok(json!(handle.counters())),
        (&Method::POST, "/_sim/counters/reset") => {
            handle.reset_counters();
            Ok(json!({}))
        }
        (&Method::GET, "/_sim/faults") => Ok(json!(handle.faults())),
        (&Method::POST, "/_sim/faults") => change_faults(handle, body),
        (&Method::GET, "/_sim/hook_faults") => Ok(json!(handle.hook_faults())),
        (&Method::POST, "/_sim/hook_faults") => change_hook_faults(handle, body),
        (&Method::GET, "/_sim/hook_counters") => Ok(json!(handle.hook_counters())),
        (&Method::POST, "/_sim/hook_counters/reset") => {
            handle.reset_hook_counters();
            Ok(json!({}))
        }
        (&Method::GET, "/_sim/hook_deliveries") => {
            Ok(json!(handle.hook_deliveries(get("hook").unwrap_or(""))))
        }
        (&Method::GET, "/_sim/hooks") => Ok(json!(handle.hooks())),
        (&Method::POST, "/_sim/hooks") => read::<HookOrder>(body).and_then(|order| {
            let events: Vec<&str> = order.events.iter().map(String::as_str).collect();
            let id = handle.register_hook(&order.project, &order.url, &order.token, &events);
            id.map(|id| json!({ "id": id })).map_err(|error| error.to_string())
        }),
        (&Method::POST, "/_sim/mutator") => read::<MutatorOrder>(body).map(|order| {
            handle.set_mutator(order.rate);
            json!({})
        }),
        (&Method::POST, "/_sim/mutate") => {
            read::<MutateOrder>(body).map(|order| json!(handle.mutate(order.count, &order.kinds)))
        }
        (&Method::POST, "/_sim/apply") => apply(handle, body),
        _ => {
            return json_body(
                StatusCode::NOT_FOUND,
                json!({"error": "no such path"}).to_string().into_bytes(),
            );
        }
    };
    match answer {
        Ok(value) => json_body(StatusCode::OK, value.to_string().into_bytes()),
        Err(error) => json_body(StatusCode::BAD_REQUEST, json!({ "error": error }).to_string().into_bytes()),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

/// JSON lines; the rows of one moment.
fn truth(
    handle: &WorldHandle,
    table: Option<&str>,
    project: Option<&str>,
    shape: Option<&str>,
) -> Response<Body> {
    let wrong =
        |text: &str| json_body(StatusCode::BAD_REQUEST, json!({ "error": text }).to_string().into_bytes());
    let Some(table) = table.and_then(|name| serde_json::from_value::<Table>(Value::from(name)).ok()) else {
        return wrong("`table` is Issues, Iterations or ProjectMembers");
    };
    let Some(shape) = shape.map_or(Some(Shape::Full), |name| serde_json::from_value(Value::from(name)).ok())
    else {
        return wrong("`shape` is list, detail or full");
    };
    let world = handle.0.world();
    let Some(project) = world.project(project.unwrap_or("")) else { return wrong("no such `project`") };
    let mut lines = Vec::new();
    let mut after = 0;
    loop {
        /// Rows rendered at a time, so that only their text is kept.
        const CHUNK: usize = 1_000;
        let rows = truth::rows(&world, project, table, shape, after, CHUNK);
        let Some((last, _)) = rows.last() else { break };
        after = *last;
        for (_, row) in &rows {
            lines.extend_from_slice(row.to_string().as_bytes());
            lines.push(b'\n');
        }
    }
    plain(StatusCode::OK, "application/x-ndjson", lines.into())
}

/// Merges the given members into the faults; `null` removes an entry or resets a switch.
fn change_faults(handle: &WorldHandle, body: &[u8]) -> Answer {
    let patch: Value = read(body)?;
    let mut value = json!(handle.faults());
    merge(&mut value, patch);
    let faults: Faults = serde_json::from_value(value).map_err(|error| error.to_string())?;
    handle.set_faults(faults);
    Ok(json!(handle.faults()))
}

/// The same for the faults of hooks.
fn change_hook_faults(handle: &WorldHandle, body: &[u8]) -> Answer {
    let patch: Value = read(body)?;
    let mut value = json!(handle.hook_faults());
    merge(&mut value, patch);
    let faults: HookFaults = serde_json::from_value(value).map_err(|error| error.to_string())?;
    handle.set_hook_faults(faults);
    Ok(json!(handle.hook_faults()))
}

/// RFC 7396.
fn merge(target: &mut Value, patch: Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    target.remove(&key);
                } else {
                    merge(target.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (target, patch) => *target = patch,
    }
}

/// Takes one operation, a list, or `{"operations": […]}`.
fn apply(handle: &WorldHandle, body: &[u8]) -> Answer {
    let order: Value = read(body)?;
    let list = match order {
        Value::Array(list) => Value::Array(list),
        Value::Object(order) if order.contains_key("op") => json!([order]),
        other => {
            let order: ApplyOrder = serde_json::from_value(other).map_err(|error| error.to_string())?;
            json!(order.operations)
        }
    };
    let operations: Vec<Operation> = serde_json::from_value(list).map_err(|error| error.to_string())?;
    handle.apply(&operations).map(|done| json!(done)).map_err(|error: SimError| error.to_string())
}
