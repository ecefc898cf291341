//! Which texts of a pipeline are secret, known by their keys before anything else is known of the file, so that not even
//! a message about a broken file shows one.

use engine::words;
use serde_json::Value;

/// Keys whose texts are secrets.
const SECRET: [&str; 6] = ["token", "password", "secret", "client_secret", "refresh_token", "access_token"];
/// Keys whose texts are URLs that may hold a password.
const URLS: [&str; 4] = ["url", "proxy", "base_url", "public_url"];

/// Has every secret of a pipeline masked in all that leaves the process.
pub(crate) fn guard(root: &Value) {
    match root {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if SECRET.contains(&key.as_str()) => words::guard(text),
                    Value::String(text) if URLS.contains(&key.as_str()) => {
                        passwords(text).iter().for_each(|password| words::guard(password));
                    }
                    value => guard(value),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(guard),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Has a variable of the environment masked whose name says that it is a secret, wherever in the file it was written.
pub(crate) fn guard_variable(name: &str, value: &str) {
    let name = name.to_ascii_uppercase();
    if ["TOKEN", "SECRET", "PASS", "KEY", "CREDENTIAL"].iter().any(|word| name.contains(word)) {
        words::guard(value);
    }
}

/// The password of a URL, as it stands and decoded. One that is the user's name as well is no secret, and would be
/// masked where the user is meant.
fn passwords(url: &str) -> Vec<String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let mut found = Vec::new();
    if let Some((userinfo, _)) = rest.rsplit_once('@')
        && let Some((user, password)) = userinfo.split_once(':')
        && user != password
    {
        found.push(password.to_owned());
    }
    if let Some((_, query)) = rest.split_once('?') {
        let pairs = url::form_urlencoded::parse(query.as_bytes());
        found.extend(pairs.filter(|(key, _)| key == "password").map(|(_, value)| value.into_owned()));
    }
    let decoded: Vec<String> = found
        .iter()
        .filter_map(|text| url::Url::parse(&format!("x://:{text}@x")).ok())
        .filter_map(|url| percent_decoded(url.password()?))
        .collect();
    found.extend(decoded);
    found
}

fn percent_decoded(text: &str) -> Option<String> {
    // A plus sign is a plus sign here.
    let text = text.replace('+', "%2B");
    let (key, _) = url::form_urlencoded::parse(text.as_bytes()).next()?;
    Some(key.into_owned())
}

#[cfg(test)]
mod tests {
    use engine::words::masked;
    use serde_json::json;

    use super::{guard, passwords};

    #[test]
    fn every_secret_of_a_file_is_guarded() {
        guard(&json!({
            "source": { "auth": { "oauth": { "client_secret": "cl-ient.se", "refresh_token": "re+fre/sh" } } },
            "target": { "postgres": { "url": "postgres://me:p%40ss%2Bword@h/db" } },
        }));
        for said in ["cl-ient.se", "re+fre/sh", "p@ss+word", "p%40ss%2Bword"] {
            assert_eq!(masked(&format!("it said {said}!")), "it said ***!");
        }
    }

    #[test]
    fn a_password_that_is_the_user_too_is_no_secret() {
        assert_eq!(passwords("postgres://postgres:postgres@localhost/db"), Vec::<String>::new());
        assert_eq!(passwords("postgres://localhost/db?password=a%20b"), ["a b", "a b"]);
    }
}
