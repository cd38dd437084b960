//! Conditions of a metric: CEL over `result`.
//!
//! Argo Rollouts writes them in another language (expr). What is the same in both works, with Argo's functions besides; what
//! is not is refused with the CEL to write instead.

use std::sync::Arc;

use cel::{Context, Env, Program, Value as Cel};
use greenlight_api::AnalysisPhase;
use greenlight_api::analysis::Metric;
use serde_json::Value;

/// Whether this text is a condition; if not, what to write instead.
pub fn check(condition: &str) -> Result<(), String> {
    compile(condition).map(drop)
}

/// The outcome of a measurement with this result, as its metric's conditions have it.
///
/// # Errors
/// When a condition is none, or cannot be evaluated on this result.
pub fn assess(metric: &Metric, result: &Value) -> Result<AnalysisPhase, String> {
    let holds = |condition: &Option<String>| condition.as_ref().map(|text| evaluate(text, result)).transpose();
    Ok(match (holds(&metric.success_condition)?, holds(&metric.failure_condition)?) {
        (_, Some(true)) | (Some(false), None) => AnalysisPhase::Failed,
        (Some(true), _) | (None, _) => AnalysisPhase::Successful,
        (Some(false), Some(false)) => AnalysisPhase::Inconclusive,
    })
}

/// Evaluates one condition.
///
/// # Errors
/// When it is none, or cannot be evaluated on this result.
pub fn evaluate(condition: &str, result: &Value) -> Result<bool, String> {
    let program = compile(condition)?;
    let mut context = Context::default();
    let number = |value: Cel| match value {
        Cel::Int(number) => number as f64,
        Cel::UInt(number) => number as f64,
        Cel::Float(number) => number,
        Cel::String(text) => text.parse().unwrap_or(f64::NAN),
        _ => f64::NAN,
    };
    let added = [
        context.add_function("len", |value: Cel| match value {
            Cel::List(items) => i64::try_from(items.len()).unwrap_or(i64::MAX),
            Cel::Map(map) => i64::try_from(map.map.len()).unwrap_or(i64::MAX),
            Cel::String(text) => i64::try_from(text.chars().count()).unwrap_or(i64::MAX),
            _ => 0,
        }),
        context.add_function("isNaN", move |value: Cel| matches!(value, Cel::Float(n) if n.is_nan())),
        context.add_function("isInf", move |value: Cel| matches!(value, Cel::Float(n) if n.is_infinite())),
        context.add_function("isNil", |value: Cel| matches!(value, Cel::Null)),
        context.add_function("asFloat", number),
        context.add_function("asInt", move |value: Cel| number(value) as i64),
    ];
    if added.iter().any(Result::is_err) {
        return Err("the functions of conditions could not be set up".to_owned());
    }
    let value = cel::to_value(WithNaN(result)).map_err(|error| error.to_string())?;
    context.add_variable_from_value("result", value);
    match program.execute(&context) {
        Ok(Cel::Bool(holds)) => Ok(holds),
        Ok(_) => {
            Err(format!("the condition {condition:?} is not true or false: compare something, as in result[0] >= 0.95"))
        }
        Err(error) => Err(format!("the condition {condition:?} does not fit the result {result}: {error}")),
    }
}

/// JSON has no number for NaN and infinity, which Prometheus answers with; they are written as these words.
struct WithNaN<'a>(&'a Value);

impl serde::Serialize for WithNaN<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::String(text) if text == "NaN" => serializer.serialize_f64(f64::NAN),
            Value::String(text) if text == "+Inf" => serializer.serialize_f64(f64::INFINITY),
            Value::String(text) if text == "-Inf" => serializer.serialize_f64(f64::NEG_INFINITY),
            Value::Array(items) => serializer.collect_seq(items.iter().map(WithNaN)),
            Value::Object(map) => serializer.collect_map(map.iter().map(|(key, value)| (key, WithNaN(value)))),
            // A whole number stays one: CEL compares numbers of different types by their value.
            other => other.serialize(serializer),
        }
    }
}

fn compile(condition: &str) -> Result<Program, String> {
    if let Some(advice) = advice(condition) {
        return Err(format!("the condition {condition:?} is not CEL: {advice}"));
    }
    let env = Arc::new(Env::stdlib());
    env.compile(condition).map_err(|error| {
        let first = error.to_string().lines().next().unwrap_or_default().to_owned();
        format!("the condition {condition:?} is not CEL: {first}")
    })
}

/// What expr has and CEL has not, with what to write instead.
fn advice(condition: &str) -> Option<String> {
    // Words within a text are not the language's.
    let code: String =
        condition.split(['"', '\'']).enumerate().map(|(n, part)| if n % 2 == 0 { part } else { " _ " }).collect();
    let word = |word: &str| code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|token| token == word);
    for (expr, cel) in [("and", "&&"), ("or", "||"), ("not", "!"), ("nil", "null")] {
        if word(expr) {
            return Some(format!("write {cel} in the place of {expr}"));
        }
    }
    if code.contains('#') {
        return Some(
            "write result.all(x, x > 1) in the place of all(result, {# > 1}); likewise exists and filter".into(),
        );
    }
    if code.contains("**") || code.contains("??") || code.contains("|>") || code.contains("..") {
        return Some("**, ??, |> and .. are not CEL".into());
    }
    if word("default") {
        return Some("write isNil(result) ? 0 : result in the place of default(result, 0)".into());
    }
    if word("contains") && !code.contains(".contains(") {
        return Some("write result.contains(\"ok\") in the place of result contains \"ok\"".into());
    }
    None
}
