//! What people and others write is bounded in what it costs: random texts, and texts made to be expensive, are refused or done in
//! milliseconds, and nothing panics.

use std::time::{Duration, Instant};

use greenlight_api::analysis::{Metric, duration};
use greenlight_api::{Rejection, Request};
use greenlight_core::analysis::expression;
use greenlight_core::hash::Digest;
use proptest::prelude::*;
use serde_json::{Value, json};

/// Nothing takes longer, on a machine that has time; on one that has not, one of a few tries does not. A build that is not optimised is
/// several times slower.
const LONGEST: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1000 } else { 50 });

fn is_quick(what: &str, work: impl Fn()) {
    let took = (0..5).map(|_| {
        let started = Instant::now();
        work();
        started.elapsed()
    });
    let least = took.min().unwrap_or_default();
    assert!(least < LONGEST, "{what:?} takes {least:?}");
}

/// Words of conditions, so that many texts are ones.
fn condition() -> impl Strategy<Value = String> {
    let words = [
        "result",
        "x",
        "len",
        "isNaN",
        "asFloat",
        "size",
        "has",
        "(",
        ")",
        "[",
        "]",
        ".",
        ",",
        "0",
        "1",
        "0.95",
        "-",
        "!",
        "?",
        ":",
        "&&",
        "||",
        "==",
        "<",
        ">=",
        "+",
        "*",
        "'a'",
        "\"b\"",
        "'",
        "in",
        "true",
        " ",
        "\\",
        "{",
        "}",
        ".all(x, ",
        ".map(x, ",
        ".filter(x, ",
        "matches",
        "\u{e9}",
        "\n",
        "\"\"\"",
        "'''",
        "//",
        "`",
    ];
    prop::collection::vec(prop::sample::select(words.to_vec()), 0..60).prop_map(|words| words.concat())
}

fn results() -> [Value; 4] {
    let list: Vec<i32> = (0..10_000).collect();
    let nested = (0..60).fold(json!(1), |inner, _| json!([inner]));
    [json!(0.5), json!(list), nested, json!({"ok": true, "text": "x".repeat(60_000)})]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_condition_that_is_evaluated_at_once_is_cheap(condition in condition()) {
        is_quick(&condition, || drop(expression::check(&condition)));
        if expression::is_plain(&condition) {
            for result in results() {
                is_quick(&condition, || drop(expression::evaluate(&condition, &result)));
            }
        }
    }

    #[test]
    fn any_text_as_a_condition_a_duration_a_digest_a_request_or_a_mark_is_refused_or_read(text in "(\\PC|[\\p{Cc}\\p{Cf}]){0,300}") {
        is_quick(&text, || {
            drop(expression::check(&text));
            drop(duration(&text));
            drop(Digest::read(&text).hash(&text, 7));
            drop(serde_json::from_str::<Request>(&text));
            drop(serde_json::from_str::<Rejection>(&text));
        });
    }

    #[test]
    fn no_duration_overflows(number in "[0-9]{1,400}(\\.[0-9]{0,40})?", unit in "(ms|s|m|h)") {
        drop(duration(&format!("{number}{unit}{number}{unit}")));
    }
}

#[test]
fn what_nests_loops_or_doubles_is_not_evaluated_at_once() {
    let nested = format!("{}1{} == 1", "(".repeat(6), ")".repeat(6));
    let negated = format!("{}true", "!".repeat(17));
    let long = format!("result == '{}'", "x".repeat(512));
    let loops = "result.all(x, result.all(y, result.all(z, x + y + z > 0)))";
    for bomb in [
        nested.as_str(),
        &negated,
        &long,
        loops,
        "result.map(x, x) == []",
        "matches(result, '(a*)*b')",
        "result . all (x, x)",
    ] {
        assert!(!expression::is_plain(bomb), "{bomb}");
        is_quick(bomb, || drop(expression::check(bomb)));
    }
    assert!(expression::check(&"x".repeat(5000)).expect_err("too long").contains("at most 4096"));
}

#[test]
fn what_is_dressed_as_a_text_or_a_comment_is_not_evaluated_at_once() {
    let loops = "result.all(a, result.all(b, result.all(c, a + b + c >= 0)))";
    let nested = format!("{}1{} == 1", "(".repeat(6), ")".repeat(6));
    for bomb in [
        format!(r#"""" " """ != "" && {nested} && """ " """ != """#),
        format!(r#"""" " """ != "" && {loops} && """ " """ != """#),
        format!("''' ' ''' != '' && {loops} && ''' ' ''' != ''"),
        format!("true // \"\n && {loops} // \""),
    ] {
        let is_one = cel::Program::compile(&bomb);
        assert!(is_one.is_ok(), "{bomb} is none");
        assert!(!expression::is_plain(&bomb), "{bomb}");
        is_quick(&bomb, || drop(expression::check(&bomb)));
    }
    assert!(!expression::is_plain("1 in result"));
    assert!(expression::is_plain("result == \"\" || result.text.contains('in') && [result[0]][0] > -1"));
}

#[test]
fn the_dearest_plain_conditions_are_cheap() {
    let terms = |term: &str, count: usize| vec![term; count].join(" + ");
    let dear = [
        format!("{}1{} == 1", "(".repeat(5), ")".repeat(5)),
        format!("len({}) > 0", terms("result.text", 8)),
        format!("{} > 0", terms("len(result)", 8)),
        ["result[0]"; 8].join(" == "),
        vec!["a ? b : c"; 16].join(" && "),
        format!("{}1{}", "result[".repeat(5), "]".repeat(5)),
    ];
    for condition in &dear {
        assert!(expression::is_plain(condition), "{condition}");
        for result in results() {
            is_quick(condition, || drop(expression::evaluate(condition, &result)));
        }
    }
    let metric = Metric { success_condition: Some("result == result".to_owned()), ..Metric::default() };
    for result in results() {
        is_quick("result == result", || drop(expression::assess(&metric, &result)));
    }
}
