//! Whether a tree has the structure of a pipeline: a JSON Schema made from [`super::config`], and the validator's
//! errors said in our own sentences. Finds everything at once.
//!
//! What is wrong is cut out of the tree, so that the rest can still be judged by what it means. Values are shown
//! only where they cannot be secrets.

use connectors::finding::Finding;
use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::paths::{Location, LocationSegment};
use schemars::schema_for;
use serde_json::Value;

use super::config::PipelineConfig;
use super::tree::{Step, Tree, path, pointer};
use super::words::{closest, expected, kind_of, one_of};

/// What is wrong, and places that are explained by it and need no second finding.
#[derive(Debug, Default)]
pub(crate) struct Structure {
    pub(crate) findings: Vec<Finding>,
    covered: Vec<String>,
    /// Keys that were probably meant by unknown ones.
    meant: Vec<String>,
}

impl Structure {
    /// Whether what is wrong at `path` is already said, by a finding there, above or below.
    pub(crate) fn covers(&self, path: &str) -> bool {
        let within = |inner: &str, outer: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        self.covered.iter().any(|seen| within(seen, path) || within(path, seen))
    }

    fn add(&mut self, finding: Finding) {
        self.covered.push(finding.path.clone());
        self.findings.push(finding);
    }
}

/// The code of what is not there.
const MISSING: &str = "CONFIG-MISSING";

/// The schema of a pipeline file.
pub(crate) fn schema() -> Value {
    schema_for!(PipelineConfig).to_value()
}

/// Checks the tree and reads as much of it as is sound.
pub(crate) fn read(mut tree: Tree) -> (Option<PipelineConfig>, Structure) {
    let schema = schema();
    let validator = jsonschema::validator_for(&schema).expect("the schema of our own types compiles");
    let mut structure = Structure::default();
    let mut cuts = Vec::new();
    let wrong: Vec<_> = validator.iter_errors(&tree.root).map(|error| error.to_owned()).collect();
    let mut errors = wrong;
    if coerce(&errors, &mut tree) {
        errors = validator.iter_errors(&tree.root).map(|error| error.to_owned()).collect();
    }
    for error in &errors {
        translate(&schema, error, &mut structure, &mut cuts);
    }
    // A key that was misspelled is not missing as well.
    let Structure { findings, meant, .. } = &mut structure;
    findings.retain(|finding| finding.problem.code != MISSING || !meant.contains(&finding.path));
    for cut in &cuts {
        remove(&mut tree.root, cut);
    }
    (sound(tree.root, &mut structure), structure)
}

/// A text that is one variable and nothing else may stand for a number or a boolean.
fn coerce(errors: &[ValidationError<'_>], tree: &mut Tree) -> bool {
    let mut changed = false;
    for error in errors {
        let at = pointer(&steps(error.instance_path()));
        if !matches!(error.kind(), ValidationErrorKind::Type { .. }) || !tree.from_variable.contains(&at) {
            continue;
        }
        let Some(value) = tree.root.pointer_mut(&at) else { continue };
        let parsed = value.as_str().and_then(|text| serde_json::from_str::<Value>(text.trim()).ok());
        if let Some(parsed @ (Value::Number(_) | Value::Bool(_))) = parsed {
            *value = parsed;
            changed = true;
        }
    }
    changed
}

/// Reads the tree, cutting out what cannot be read until the rest can.
fn sound(mut root: Value, structure: &mut Structure) -> Option<PipelineConfig> {
    loop {
        let error = match serde_path_to_error::deserialize::<_, PipelineConfig>(&root) {
            Ok(config) => return Some(config),
            Err(error) => error,
        };
        let mut at = Vec::new();
        for segment in error.path().iter() {
            match segment {
                serde_path_to_error::Segment::Map { key } => at.push(Step::Key(key.clone())),
                serde_path_to_error::Segment::Seq { index } => at.push(Step::Index(*index)),
                // The content of a choice lies under its key.
                serde_path_to_error::Segment::Enum { variant } => at.push(Step::Key(variant.clone())),
                serde_path_to_error::Segment::Unknown => {}
            }
        }
        let place = path(&at);
        if !structure.covers(&place) {
            structure.add(Finding::new(
                place,
                "CONFIG-VALUE",
                "This value cannot be used",
                "it has a form or a size that is not expected here",
                "docs/configuration.md says what may stand here.",
            ));
        }
        while root.pointer(&pointer(&at)).is_none() && !at.is_empty() {
            at.pop();
        }
        if at.is_empty() {
            return None;
        }
        remove(&mut root, &at);
    }
}

/// Takes a value out of its map; a value in a list takes the list with it, so that no position moves.
fn remove(root: &mut Value, at: &[Step]) {
    let mut at = at;
    while let Some((last, parent)) = at.split_last() {
        if let Step::Key(key) = last {
            if let Some(Value::Object(map)) = root.pointer_mut(&pointer(parent)) {
                map.remove(key);
            }
            return;
        }
        at = parent;
    }
}

fn steps(location: &Location) -> Vec<Step> {
    location
        .iter()
        .map(|segment| match segment {
            LocationSegment::Property(key) => Step::Key(key.to_string()),
            LocationSegment::Index(index) => Step::Index(index),
        })
        .collect()
}

/// The schema that an error's keyword stands in.
fn schema_of<'a>(schema: &'a Value, error: &ValidationError<'_>) -> Option<&'a Value> {
    let (parent, _) = error.schema_path().as_str().rsplit_once('/')?;
    schema.pointer(parent)
}

fn translate(schema: &Value, error: &ValidationError<'_>, out: &mut Structure, cuts: &mut Vec<Vec<Step>>) {
    let at = steps(error.instance_path());
    let place = path(&at);
    let instance = error.instance();
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let known = schema_of(schema, error).map(property_names).unwrap_or_default();
            for key in unexpected {
                unknown_key(&at, key, &known, out);
                cuts.push(child(&at, key));
            }
            return;
        }
        ValidationErrorKind::Required { property } => {
            let key = property.as_str().unwrap_or_default();
            out.add(Finding::new(
                path(&child(&at, key)),
                MISSING,
                format!("`{key}` is missing"),
                format!("`{place}` needs it"),
                "Add it.",
            ));
            return;
        }
        ValidationErrorKind::Type { kind } => {
            let names: Vec<String> = match kind {
                TypeKind::Single(one) => vec![one.to_string()],
                TypeKind::Multiple(set) => set.iter().map(|one| one.to_string()).collect(),
            };
            out.add(wrong_type(&place, &names, instance));
        }
        ValidationErrorKind::Enum { options } => {
            let options: Vec<&str> =
                options.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            out.add(not_one_of(&place, &options, instance));
        }
        ValidationErrorKind::Minimum { limit } => out.add(Finding::new(
            place,
            "CONFIG-VALUE",
            format!("{instance} is too small"),
            format!("{limit} is the least"),
            format!("Write a number from {limit} up."),
        )),
        ValidationErrorKind::Maximum { limit } => out.add(Finding::new(
            place,
            "CONFIG-VALUE",
            format!("{instance} is too large"),
            format!("{limit} is the most"),
            format!("Write a number up to {limit}."),
        )),
        ValidationErrorKind::OneOfNotValid { context } | ValidationErrorKind::AnyOf { context } => {
            let branches = schema_of(schema, error)
                .and_then(|s| s.get("oneOf").or_else(|| s.get("anyOf")))
                .and_then(Value::as_array);
            choice(schema, &at, instance, branches.map_or(&[], Vec::as_slice), context, out, cuts);
            return;
        }
        _ => out.add(Finding::new(
            place,
            "CONFIG-VALUE",
            "This value cannot be used",
            error.masked().to_string(),
            "docs/configuration.md says what may stand here.",
        )),
    }
    cuts.push(at);
}

/// A value that fits none of several branches: words, keys to choose from, or a value that may be left out.
fn choice(
    schema: &Value,
    at: &[Step],
    instance: &Value,
    branches: &[Value],
    context: &[Vec<ValidationError<'static>>],
    out: &mut Structure,
    cuts: &mut Vec<Vec<Step>>,
) {
    let place = path(at);
    let mut words: Vec<&str> = Vec::new();
    for branch in branches {
        words.extend(branch.get("const").and_then(Value::as_str));
        words.extend(
            branch.get("enum").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str),
        );
    }
    if !words.is_empty() {
        out.add(not_one_of(&place, &words, instance));
        cuts.push(at.to_vec());
        return;
    }
    let keys: Vec<&str> = branches.iter().filter_map(sole_key).collect();
    if keys.is_empty() {
        // `anyOf [X, null]`: what is wrong is what X says.
        for error in context.first().into_iter().flatten() {
            translate(schema, error, out, cuts);
        }
        return;
    }
    let Value::Object(map) = instance else {
        let found = kind_of(instance);
        out.add(Finding::new(
            place,
            "CONFIG-TYPE",
            format!("This is {found}"),
            format!("the key {} is expected", one_of(&keys)),
            format!("Write {} and its value below.", one_of(&keys)),
        ));
        cuts.push(at.to_vec());
        return;
    };
    let chosen: Vec<usize> = branches
        .iter()
        .enumerate()
        .filter(|(_, b)| sole_key(b).is_some_and(|k| map.contains_key(k)))
        .map(|(i, _)| i)
        .collect();
    match chosen.as_slice() {
        [index] => {
            for error in context.get(*index).into_iter().flatten() {
                translate(schema, error, out, cuts);
            }
        }
        [] if map.is_empty() => {
            out.add(Finding::new(
                place,
                MISSING,
                "Nothing is chosen",
                format!("{} is expected", one_of(&keys)),
                "Add one of them.",
            ));
        }
        [] => map.keys().for_each(|key| unknown_key(at, key, &keys, out)),
        _ => {
            let found: Vec<&str> = keys.iter().copied().filter(|key| map.contains_key(*key)).collect();
            out.add(Finding::new(
                place,
                "CONFIG-CONTRADICTION",
                format!("{} stand side by side", super::words::all_of(&found)),
                "only one of them can be meant",
                "Keep one.",
            ));
        }
    }
    cuts.push(at.to_vec());
}

/// The key that a branch of a choice between keys is about.
fn sole_key(branch: &Value) -> Option<&str> {
    match branch.get("required")?.as_array()?.as_slice() {
        [key] => key.as_str(),
        _ => None,
    }
}

fn property_names(schema: &Value) -> Vec<&str> {
    schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, _)| key.as_str())
        .collect()
}

fn child(at: &[Step], key: &str) -> Vec<Step> {
    let mut steps = at.to_vec();
    steps.push(Step::Key(key.to_owned()));
    steps
}

fn unknown_key(at: &[Step], key: &str, known: &[&str], out: &mut Structure) {
    let fix = match closest(key, known) {
        Some(meant) => {
            out.covered.push(path(&child(at, meant)));
            out.meant.push(path(&child(at, meant)));
            format!("Did you mean `{meant}`?")
        }
        None => format!("Take it out, or write {}.", one_of(known)),
    };
    let place = path(at);
    let whose = if place.is_empty() { "a pipeline".to_owned() } else { format!("`{place}`") };
    out.add(Finding::new(
        path(&child(at, key)),
        "CONFIG-KEY",
        format!("The key `{key}` is unknown"),
        format!("{whose} has no such key"),
        fix,
    ));
}

fn wrong_type(place: &str, names: &[String], instance: &Value) -> Finding {
    let wants_text = names.iter().any(|name| name == "string");
    let fix = match instance {
        Value::Null => "Write a value, or take the key out.",
        Value::Number(_) | Value::Bool(_) if wants_text => "Put it in quotes.",
        Value::String(_) if names.iter().any(|name| name == "array") => "Put it in brackets: `[…]`.",
        Value::String(text) if !wants_text && serde_json::from_str::<Value>(text).is_ok() => {
            "Take the quotes off."
        }
        _ => "Change the value.",
    };
    Finding::new(
        place,
        "CONFIG-TYPE",
        format!("This is {}", kind_of(instance)),
        format!("{} is expected", expected(names)),
        fix,
    )
}

fn not_one_of(place: &str, options: &[&str], instance: &Value) -> Finding {
    let Value::String(found) = instance else {
        return wrong_type(place, &["string".to_owned()], instance);
    };
    let fix = match closest(found, options) {
        Some(meant) => format!("Did you mean `{meant}`?"),
        None => format!("Write {}.", one_of(options)),
    };
    Finding::new(
        place,
        "CONFIG-VALUE",
        format!("`{found}` cannot stand here"),
        format!("it is not one of {}", super::words::all_of(options)),
        fix,
    )
}
