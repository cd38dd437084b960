//! The conditions that Argo's users write: the same in CEL, or refused with what to write instead.

use greenlight_api::AnalysisPhase;
use greenlight_api::analysis::Metric;
use greenlight_core::analysis::expression::{assess, check, evaluate};
use serde_json::{Value, json};

#[test]
fn argos_usual_expressions_mean_the_same() {
    for (condition, result, holds) in [
        ("result[0] >= 0.95", json!([0.95]), true),
        ("result[0] >= 0.95", json!([0.9499]), false),
        ("result[0] >= 1", json!([1.0]), true),
        ("result[0] > 0.5", json!([1]), true),
        ("result == \"ok\"", json!("ok"), true),
        ("result == 'ok'", json!("no"), false),
        ("result.ok && result.rate < 0.01", json!({"ok": true, "rate": 0.001}), true),
        ("result.ok == true", json!({"ok": false}), false),
        ("len(result) == 0 || result[0] < 5", json!([]), true),
        ("len(result) > 0", json!([1, 2]), true),
        ("isNaN(result[0]) || result[0] < 1", json!(["NaN"]), true),
        ("!isNaN(result[0]) && result[0] < 1", json!(["NaN"]), false),
        ("isInf(result)", json!("+Inf"), true),
        ("isNil(result)", Value::Null, true),
        ("asFloat(result) >= 0.5", json!("0.75"), true),
        ("asInt(result) == 3", json!("3"), true),
        ("result in ['a', 'b']", json!("b"), true),
        ("result.all(x, x >= 0.9)", json!([0.95, 0.99]), true),
        ("result.exists(x, x < 0.9)", json!([0.95, 0.99]), false),
        ("result >= 200 && result < 300", json!(204), true),
        ("result == true", json!(true), true),
        ("true", json!(0), true),
        ("result.errors / result.requests < 0.05", json!({"errors": 9, "requests": 100}), false),
        ("(result.made * result.good / 100) >= 90", json!({"made": 95, "good": 95}), true),
        ("result[0] * 100 >= 95", json!([0.97]), true),
        ("1 - result.errors / result.requests >= 0.95", json!({"errors": 9, "requests": 100}), false),
        ("result.all(x, x.errors / x.requests < 0.05)", json!([{"errors": 9, "requests": 100}]), false),
        ("result[len(result) - 1] > 5", json!([1, 6]), true),
        ("result.now - result.before < 0", json!({"now": 1, "before": 2}), true),
        ("result % 2 == 0", json!(4), true),
        ("result[len(result) / 2] < 5", json!([1, 3, 9]), true),
        ("result / 60 % 24 == 18", json!(5430), true),
        ("result + '!' == 'ok!'", json!("ok"), true),
    ] {
        assert_eq!(evaluate(condition, &result), Ok(holds), "{condition} of {result}");
    }
}

#[test]
fn what_is_not_cel_is_refused_with_what_to_write() {
    for (condition, advice) in [
        ("result[0] > 1 and result[1] > 1", "write && in the place of and"),
        ("result == 1 or result == 2", "write || in the place of or"),
        ("not result", "write ! in the place of not"),
        ("result != nil", "write null in the place of nil"),
        ("all(result, {# > 1})", "write result.all(x, x > 1)"),
        ("default(result, 0) < 5", "write isNil(result) ? 0 : result"),
        ("result contains \"ok\"", "write result.contains(\"ok\")"),
        ("max(result) < 5", "there is no function max"),
        ("result.ok && 5 > sum (result.times)", "there is no function sum"),
        ("float(result) < 5", "write double(result)"),
        ("result[0] >=", "is not CEL"),
    ] {
        let refused = check(condition).expect_err(condition);
        assert!(refused.contains(advice), "{condition}: {refused}");
    }
    // Words within a text are the text's.
    assert_eq!(evaluate("result == 'this and that'", &json!("this and that")), Ok(true));
    assert_eq!(check("result.max > 1 && result.label == 'max(1)'").err(), None);
}

#[test]
fn a_condition_that_does_not_fit_the_result_is_an_error() {
    assert!(evaluate("result[0] > 1", &json!("text")).is_err());
    assert!(evaluate("result", &json!(5)).expect_err("not a truth value").contains("compare something"));
}

#[test]
fn what_has_no_length_or_no_number_in_it_is_not_taken_for_nothing() {
    for (condition, result, told) in [
        // Of both halves that cannot be evaluated, the second one is told.
        ("len(result) == 0 || result[0] < 5", json!(900), "does not fit the result 900"),
        ("len(result) == 0", json!(900), "it takes a list, a map or a text"),
        ("len(result) == 0", Value::Null, "it takes a list, a map or a text"),
        ("asInt(result) < 5", json!("many"), "it takes a number, or a text that is one"),
        ("asInt(result) < 5", Value::Null, "it takes a number, or a text that is one"),
        ("asInt(result) < 5", json!("NaN"), "it takes a finite number"),
        ("asInt(result) < 5", json!("-Inf"), "it takes a finite number"),
        ("asFloat(result) != 1", json!("many"), "it takes a number, or a text that is one"),
        ("!isNaN(result)", json!(["NaN"]), "it takes a number, or a text that is one"),
        ("!isInf(result)", json!(["+Inf"]), "it takes a number, or a text that is one"),
    ] {
        let refused = evaluate(condition, &result).expect_err(condition);
        assert!(refused.contains(told), "{condition} of {result}: {refused}");
    }
    assert_eq!(evaluate("asInt(result) == 3 && asFloat(result) == 3.7", &json!("3.7")), Ok(true));
    assert_eq!(evaluate("isNaN(result) || isInf(result)", &json!(3)), Ok(false));
}

#[test]
fn both_conditions_together_leave_room_for_doubt() {
    let metric = |success: Option<&str>, failure: Option<&str>| Metric {
        success_condition: success.map(str::to_owned),
        failure_condition: failure.map(str::to_owned),
        ..Metric::default()
    };
    let (low, high) = (Some("result < 3"), Some("result > 10"));
    for (metric, result, phase) in [
        (metric(None, None), 1, AnalysisPhase::Successful),
        (metric(low, None), 1, AnalysisPhase::Successful),
        (metric(low, None), 5, AnalysisPhase::Failed),
        (metric(None, high), 5, AnalysisPhase::Successful),
        (metric(None, high), 11, AnalysisPhase::Failed),
        (metric(low, high), 1, AnalysisPhase::Successful),
        (metric(low, high), 5, AnalysisPhase::Inconclusive),
        (metric(low, high), 11, AnalysisPhase::Failed),
    ] {
        assert_eq!(assess(&metric, &json!(result)), Ok(phase), "{metric:?} of {result}");
    }
}
