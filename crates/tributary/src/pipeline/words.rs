//! Words for what stands in a file and for what was expected there.

use serde_json::Value;

/// What a value is, with its article.
pub(crate) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a fraction",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a block of keys",
    }
}

/// What was expected, by the names that JSON Schema gives to types.
pub(crate) fn expected(types: &[String]) -> String {
    let mut words: Vec<&str> = types
        .iter()
        .filter(|name| *name != "null")
        .map(|name| match name.as_str() {
            "string" => "a text",
            "integer" => "a whole number",
            "number" => "a number",
            "boolean" => "true or false",
            "array" => "a list",
            "object" => "a block of keys",
            _ => "something else",
        })
        .collect();
    words.sort_unstable();
    words.join(" or ")
}

/// `a`, `b` or `c`.
pub(crate) fn one_of(words: &[&str]) -> String {
    joined(words, "or")
}

/// `a`, `b` and `c`.
pub(crate) fn all_of(words: &[&str]) -> String {
    joined(words, "and")
}

fn joined(words: &[&str], last: &str) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((only, [])) => only.clone(),
        Some((end, rest)) => format!("{} {last} {end}", rest.join(", ")),
    }
}

/// The word that was probably meant.
pub(crate) fn closest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    /// Below this, two words are no slips of each other (0 = nothing in common, 1 = equal).
    const ALIKE: f64 = 0.8;
    let word = word.to_lowercase();
    known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(&word, &candidate.to_lowercase()), *candidate))
        .filter(|(score, _)| *score >= ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::{all_of, closest, one_of};

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        assert_eq!(closest("intervall", &["census_interval", "interval", "look_back"]), Some("interval"));
        assert_eq!(closest("proejcts", &["projects", "proxy"]), Some("projects"));
        assert_eq!(closest("issues", &["Issues", "Iterations"]), Some("Issues"));
        assert_eq!(closest("postgres", &["sqlite"]), None);
        assert_eq!(closest("x", &[]), None);
    }

    #[test]
    fn lists_read_as_sentences() {
        assert_eq!(one_of(&["a"]), "`a`");
        assert_eq!(one_of(&["a", "b", "c"]), "`a`, `b` or `c`");
        assert_eq!(all_of(&["a", "b"]), "`a` and `b`");
    }
}
