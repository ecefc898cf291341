//! The reader of pipeline files, for its fuzz target and for the target's seeds.

use std::path::Path;

use crate::pipeline;

/// No message may show it.
const SECRET: &str = "9f3c1b7a55d2";

/// Reads the text of a pipeline file: it is read, or everything that is wrong is said with its place.
pub(crate) fn pipeline_yaml(text: &str) {
    let variable = |name: &str| match name {
        "TOKEN" => Some(SECRET.to_owned()),
        "RATE" => Some("7".to_owned()),
        _ => None,
    };
    let Err(findings) = pipeline::read(Path::new("conf/pipeline.yaml"), text, &variable) else { return };
    assert!(!findings.is_empty(), "it is refused without a reason");
    for finding in findings {
        let said = finding.problem.to_string();
        // What is no pipeline at all is so as a whole.
        assert!(!finding.path.is_empty() || finding.problem.code == "CONFIG-SYNTAX", "where? {said}");
        assert!(!finding.problem.why.is_empty() && !finding.problem.fix.is_empty(), "{said}");
        assert!(!finding.path.starts_with("source.auth") || !said.contains(SECRET), "{said}");
    }
}
