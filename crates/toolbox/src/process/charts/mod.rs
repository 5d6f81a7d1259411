//! Charts that a Python program shows: its figures come back as data beside its output.
//!
//! Such a program runs inside `collect.py`, which prints every shown figure as one marked line, in
//! the words of `describe.py`; those lines are taken out of the output here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use serde_json::Value;

/// Begins a line that carries a chart. Known to published clients, which look for it themselves
/// when they run code in the old way.
const MARKER: &str = "dtn_artifact_k39fd2:";
const COLLECT: &str = include_str!("collect.py");
/// The program that turns figures into data; the interpreter uses it as well.
pub(crate) const DESCRIBE: &str = include_str!("describe.py");

/// What a run made besides its output.
#[derive(Debug, Serialize)]
pub(crate) struct Artifacts {
    charts: Vec<Value>,
}

/// Whether a program may show charts; only then is it worth running it differently.
pub(super) fn may_show(source: &str) -> bool {
    source.contains("import matplotlib") || source.contains("from matplotlib")
}

/// The program that runs `source` and reports its charts.
pub(super) fn collector(source: &str) -> String {
    COLLECT
        .replace("\"MARKER\"", &format!("{MARKER:?}"))
        .replace("\"DESCRIBE\"", &format!("{:?}", STANDARD.encode(DESCRIBE)))
        .replace("\"PROGRAM\"", &format!("{:?}", STANDARD.encode(source)))
}

/// Takes the charts out of an output. One that cannot be read is left out of both.
pub(super) fn extract(output: &str) -> (String, Option<Artifacts>) {
    let mut text = String::with_capacity(output.len());
    let mut charts = Vec::new();
    for line in output.split_inclusive('\n') {
        let Some((before, chart)) = line.split_once(MARKER) else {
            text.push_str(line);
            continue;
        };
        // The program may not have ended its line before.
        text.push_str(before);
        if let Ok(Value::Object(mut artifact)) = serde_json::from_str(chart) {
            charts.extend(artifact.remove("value").filter(Value::is_object));
        }
    }
    let artifacts = (!charts.is_empty()).then_some(Artifacts { charts });
    (text, artifacts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charts_are_taken_out_of_the_output() {
        let output = format!(
            "one\nhalf {MARKER}{{\"type\":\"chart\",\"value\":{{\"type\":\"line\"}}}}\n\
             rest\n{MARKER}broken\nlast"
        );
        let (text, artifacts) = extract(&output);
        assert_eq!(text, "one\nhalf rest\nlast");
        assert_eq!(
            artifacts.unwrap().charts,
            [serde_json::json!({"type": "line"})]
        );
        assert!(extract("plain\n").1.is_none());
    }
}
