//! Analyses that are made to cost more than they may.

use greenlight_api::analysis::AnalysisRun;
use serde_json::{Value, json};

/// Metrics that never come to an end, or take all memory, or recurse; `url` answers with a list of some thousand numbers.
pub fn bombs(url: &str) -> Vec<(&'static str, Value)> {
    let nested = format!("$[?{}@.a{}]", "(".repeat(118), ")".repeat(118));
    let filters = format!("$[?{}@.a{}]", "@[?".repeat(60), "]".repeat(60));
    let loops = "result.all(a, result.all(b, result.all(c, a + b + c >= 0)))";
    let memory = "size(result.map(a, result.map(b, result.map(c, result)))) > 0";
    vec![
        ("nested-path", json!({"provider": {"web": {"url": url, "jsonPath": nested}}})),
        ("nested-filters", json!({"provider": {"web": {"url": url, "jsonPath": filters}}})),
        ("loops", json!({"successCondition": loops, "provider": {"web": {"url": url}}})),
        ("memory", json!({"successCondition": memory, "provider": {"web": {"url": url}}})),
        (
            "recursion",
            json!({"successCondition": format!("{}true", "!".repeat(4000)), "provider": {"web": {"url": url}}}),
        ),
    ]
}

/// What bombs are given: a list of numbers.
pub fn food() -> String {
    json!((0..5000).collect::<Vec<u32>>()).to_string()
}

/// A run of one metric, made by hand, in which no error is tolerated.
pub fn run_of(name: &str, metric: &Value) -> AnalysisRun {
    let mut metric = metric.clone();
    metric["name"] = "bomb".into();
    metric["consecutiveErrorLimit"] = 0.into();
    let object = json!({
        "apiVersion": "greenlight.dev/v1alpha1", "kind": "AnalysisRun", "metadata": {"name": name}, "spec": {"metrics": [metric]},
    });
    serde_json::from_value(object).expect("an AnalysisRun")
}
