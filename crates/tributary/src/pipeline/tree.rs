//! From the text of a file to a tree of values, with the variables of the environment filled in.
//!
//! Knows nothing of what the keys mean. Values never appear in its messages: any of them may be a secret.

use std::collections::BTreeSet;

use connectors::finding::Finding;
use serde_json::Value;

use super::secrets;

/// A tree, and which of its texts came from variables.
#[derive(Debug)]
pub(crate) struct Tree {
    pub(crate) root: Value,
    /// JSON pointers of texts that consist of one variable and nothing else; such a text may stand for a number
    /// or a boolean.
    pub(crate) from_variable: BTreeSet<String>,
}

/// Reads the text of a file. A syntax error is a finding whose path is `line L, column C`.
pub(crate) fn parse(text: &str) -> Result<Value, Finding> {
    let options = serde_saphyr::options! {
        // `details: off` is a word, not a boolean.
        strict_booleans: true,
    };
    let root: Value = serde_saphyr::from_str_with_options(text, options).map_err(|error| syntax(&error))?;
    if root.is_object() {
        return Ok(root);
    }
    let found = if root.is_null() { "it is empty" } else { "it is not a list of keys and values" };
    Err(Finding::new(
        "",
        "CONFIG-SYNTAX",
        "The file is no pipeline",
        found,
        "Write at least `source:` and `target:`; docs/configuration.md has an example.",
    ))
}

fn syntax(error: &serde_saphyr::Error) -> Finding {
    let error = error.without_snippet();
    let path =
        error.location().map(|at| format!("line {}, column {}", at.line(), at.column())).unwrap_or_default();
    let (why, fix) = explained(error);
    Finding::new(path, "CONFIG-SYNTAX", "The file cannot be read as YAML", why, fix)
}

/// Why a text is no YAML that we take, and what to do about it. The library's own words are used where they are for
/// the writers of files; others are for programmers.
fn explained(error: &serde_saphyr::Error) -> (String, &'static str) {
    use serde_saphyr::{Error, MessageFormatter as _, UserMessageFormatter};
    const LOOK: &str = "Check quotes, brackets and indentation around this place.";
    match error {
        Error::WithSnippet { error, .. } => explained(error),
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            (format!("the key `{key}` stands twice"), "Keep one of the two.")
        }
        Error::DuplicateMappingKey { key: None, .. } => {
            ("a key stands twice".to_owned(), "Keep one of the two.")
        }
        Error::MultipleDocuments { .. } => (
            "it holds several documents".to_owned(),
            "Write each pipeline into a file of its own, without `---`.",
        ),
        Error::UnknownAnchor { .. } => (
            "`*` refers to an anchor that is not there".to_owned(),
            "Name an anchor that is set with `&` before.",
        ),
        Error::Budget { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => (
            "it is larger or nested deeper than any pipeline".to_owned(),
            "Write it without so many levels and aliases.",
        ),
        error => {
            let text = UserMessageFormatter.format_message(error);
            // The message may end with a place of its own (ours is the path) or with advice to programmers.
            let why = [" at line ", "; use ", "\n"]
                .iter()
                .fold(&*text, |text, end| text.split_once(end).map_or(text, |(before, _)| before));
            (why.to_owned(), LOOK)
        }
    }
}

/// Fills `${NAME}` in every text of the tree; `$$` stands for one `$`.
pub(crate) fn substitute(mut root: Value, variable: &dyn Fn(&str) -> Option<String>) -> (Tree, Vec<Finding>) {
    let mut walk = Walk { variable, from_variable: BTreeSet::new(), findings: Vec::new() };
    walk.value(&mut root, &mut Vec::new());
    (Tree { root, from_variable: walk.from_variable }, walk.findings)
}

struct Walk<'a> {
    variable: &'a dyn Fn(&str) -> Option<String>,
    from_variable: BTreeSet<String>,
    findings: Vec<Finding>,
}

impl Walk<'_> {
    fn value(&mut self, value: &mut Value, at: &mut Vec<Step>) {
        match value {
            Value::String(text) => self.text(text, at),
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    at.push(Step::Index(index));
                    self.value(item, at);
                    at.pop();
                }
            }
            Value::Object(map) => {
                for (key, item) in map.iter_mut() {
                    at.push(Step::Key(key.clone()));
                    self.value(item, at);
                    at.pop();
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn text(&mut self, text: &mut String, at: &[Step]) {
        if !text.contains('$') {
            return;
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        let mut whole = false;
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                out.push('$');
                rest = after;
            } else if let Some((name, after)) = after.strip_prefix('{').and_then(|a| a.split_once('}')) {
                whole = out.is_empty() && before.is_empty() && after.is_empty();
                match (self.variable)(name) {
                    Some(value) => {
                        secrets::guard_variable(name, &value);
                        out.push_str(&value);
                    }
                    None => self.findings.push(missing_variable(path(at), name)),
                }
                rest = after;
            } else if after.starts_with('{') {
                self.findings.push(Finding::new(
                    path(at),
                    "CONFIG-VARIABLE",
                    "A variable has no end",
                    "`${` is not followed by `}`",
                    "Write `${NAME}`, or `$$` for a plain dollar sign.",
                ));
                rest = "";
                break;
            } else {
                out.push('$');
                rest = after;
            }
        }
        out.push_str(rest);
        if whole {
            self.from_variable.insert(pointer(at));
        }
        *text = out;
    }
}

fn missing_variable(path: String, name: &str) -> Finding {
    let valid = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if valid {
        Finding::new(
            path,
            "CONFIG-VARIABLE",
            format!("The variable {name} is not set"),
            "its value belongs here",
            format!("Set it before the start, for example `export {name}=…`."),
        )
    } else {
        Finding::new(
            path,
            "CONFIG-VARIABLE",
            "This is no variable",
            "the name between `${` and `}` may hold letters, digits and `_` alone",
            "Write `${NAME}`, or `$$` for a plain dollar sign.",
        )
    }
}

/// One step from the root to a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Key(String),
    Index(usize),
}

/// A place as people read it: `source.projects[1]`.
pub(crate) fn path(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        match step {
            Step::Key(key) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(key);
            }
            Step::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

/// A place as a JSON pointer: `/source/projects/1`.
pub(crate) fn pointer(steps: &[Step]) -> String {
    let mut text = String::new();
    for step in steps {
        text.push('/');
        match step {
            Step::Key(key) => text.push_str(&key.replace('~', "~0").replace('/', "~1")),
            Step::Index(index) => text.push_str(&index.to_string()),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{parse, substitute};

    fn filled(text: &str) -> (serde_json::Value, Vec<String>) {
        let variable = |name: &str| match name {
            "TOKEN" => Some("s3cret".to_owned()),
            "RATE" => Some("5".to_owned()),
            _ => None,
        };
        let (tree, findings) = substitute(parse(text).unwrap(), &variable);
        (tree.root, findings.into_iter().map(|f| format!("{}: {}", f.path, f.problem)).collect())
    }

    #[test]
    fn variables_are_filled_in_and_dollars_escaped() {
        let (root, findings) = filled("a: \"${TOKEN}\"\nb: [\"x-${RATE}-$$-$y-${TOKEN}\"]\nc: '$${TOKEN}'\n");
        assert_eq!(root, json!({"a": "s3cret", "b": ["x-5-$-$y-s3cret"], "c": "${TOKEN}"}));
        assert_eq!(findings, Vec::<String>::new());
    }

    #[test]
    fn every_missing_variable_is_named_with_its_place() {
        let (_, findings) = filled("a: { b: [\"${NOPE}\", \"${GONE}\"] }\nc: \"${TOKEN\"\nd: \"${A B}\"\n");
        assert_eq!(
            findings,
            [
                "a.b[0]: The variable NOPE is not set: its value belongs here. Set it before the start, for \
                 example `export NOPE=…`. [CONFIG-VARIABLE]",
                "a.b[1]: The variable GONE is not set: its value belongs here. Set it before the start, for \
                 example `export GONE=…`. [CONFIG-VARIABLE]",
                "c: A variable has no end: `${` is not followed by `}`. Write `${NAME}`, or `$$` for a plain \
                 dollar sign. [CONFIG-VARIABLE]",
                "d: This is no variable: the name between `${` and `}` may hold letters, digits and `_` alone. \
                 Write `${NAME}`, or `$$` for a plain dollar sign. [CONFIG-VARIABLE]",
            ]
        );
    }

    #[test]
    fn words_that_older_yaml_took_for_booleans_are_words() {
        assert_eq!(
            parse("details: off\nx: yes\ny: true\n").unwrap(),
            json!({"details": "off", "x": "yes", "y": true})
        );
    }

    #[test]
    fn a_syntax_error_names_line_and_column_and_no_value() {
        let finding = parse("source:\n  auth: { token: \"s3cret }\n").unwrap_err();
        assert!(finding.path.starts_with("line "), "{finding:?}");
        assert!(!finding.problem.to_string().contains("s3cret"), "{finding:?}");
        assert_eq!(finding.problem.code, "CONFIG-SYNTAX");
        let twice = parse("state: a\nstate: b\n").unwrap_err();
        assert_eq!(twice.path, "line 2, column 1");
        assert_eq!(
            twice.problem.to_string(),
            "The file cannot be read as YAML: the key `state` stands twice. Keep one of the two. [CONFIG-SYNTAX]"
        );
        for text in ["a: 1\n---\nb: 2\n", "a: *nowhere\n", "a: [b\n", "a: \"b\n", "a: b: c\n", "- a\nb: c\n"]
        {
            let problem = parse(text).unwrap_err().problem;
            let advice = ["Options", "Policy", "policy", "serde", "from_", "internal", "_events"];
            assert!(!advice.iter().any(|word| problem.to_string().contains(word)), "{text:?}: {problem}");
        }
    }

    #[test]
    fn an_empty_file_is_no_pipeline() {
        assert_eq!(parse("").unwrap_err().problem.why, "it is empty");
        assert_eq!(parse("- a\n").unwrap_err().problem.why, "it is not a list of keys and values");
    }
}
